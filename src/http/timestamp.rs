//! The door of the timestamp authority: RFC 3161 over HTTP, and sigstore's JSON form of it.
//!
//! ```text
//! POST /api/v1/timestamp            application/timestamp-query: DER; application/json
//! 200 application/timestamp-reply
//! GET  /api/v1/timestamp/certchain  PEM: the certificate that signs first, its root last
//! ```
//!
//! Bad input is a problem in JSON, as upstream's, and no `PKIStatus` failure.
//!
//! Spec: RFC 3161 §3.4; sigstore/timestamp-authority, `openapi.yaml`.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::timestamp;
use crate::timestamping::{PATH, StampError, Timestamping};

use super::answers;
use super::body;
use super::cors;
use super::patrons::{self, Welcome};
use super::problem::Problem;
use super::rate::{self, Rate};
use super::wrong_method;

/// How many octets a request may have.
const LONGEST_DER: usize = 4096;
const LONGEST_JSON: usize = 1024;

/// How many timestamps one address gets in a second, and for how many seconds at once: a hundred builds
/// behind one address may end together.
const RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// The routes of the timestamps.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    (timestamping, welcome): (Arc<Timestamping>, Welcome),
) -> Router<S> {
    let rate = Arc::new(Rate::per_second(RATE, BURST));
    // With a fallback of their own, methods that are none of these get through the layers, too: preflights.
    let stamp = post(stamp)
        .layer(from_fn_with_state(welcome, patrons::guard))
        .layer(from_fn_with_state(rate, rate::guard));
    Router::new()
        .route(PATH, stamp.fallback(wrong_method))
        .route(&format!("{PATH}/certchain"), get(chain).fallback(wrong_method))
        .route_layer(from_fn(cors::answer))
        .with_state(timestamping)
}

async fn stamp(
    State(timestamping): State<Arc<Timestamping>>,
    request: Request,
) -> Result<Response, Problem> {
    let form = Form::of(request.headers()).ok_or_else(Problem::not_a_timestamp_query)?;
    let request = form.read(request).await?;
    let reply = timestamping.stamp(&request).await.map_err(failed)?;
    tracing::debug!("stamped");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/timestamp-reply")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, reply).into_response())
}

async fn chain(State(timestamping): State<Arc<Timestamping>>) -> Result<Response, Problem> {
    let chain = timestamping.chain().map_err(failed)?;
    Ok(answers::pem(chain.pem()))
}

fn failed(error: StampError) -> Problem {
    tracing::error!(%error, "no timestamp");
    Problem::unstamped(&error)
}

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Der,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match body::media_type(headers)?.as_str() {
            "application/timestamp-query" => Some(Self::Der),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    async fn read(self, request: Request) -> Result<timestamp::Request, Problem> {
        let longest = match self {
            Self::Der => LONGEST_DER,
            Self::Json => LONGEST_JSON,
        };
        let body = body::read(request, (longest, Problem::too_large)).await?;
        let read = match self {
            Self::Der => timestamp::Request::from_der(&body),
            Self::Json => timestamp::Request::from_json(&body),
        };
        read.map_err(|error| Problem::unstampable(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_tells_the_form() {
        for (kind, form) in [
            ("application/timestamp-query", Some(Form::Der)),
            ("Application/Timestamp-Query; charset=utf-8", Some(Form::Der)),
            ("application/json;charset=utf-8", Some(Form::Json)),
            ("application/timestamp-reply", None),
            ("application/jsonp", None),
            ("", None),
        ] {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
            assert_eq!(Form::of(&headers), form, "{kind}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), None);
    }
}
