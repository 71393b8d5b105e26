//! Request bodies, bounded, and the methods that Fulcio's routes take.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::handler::Handler;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::App;
use super::problem::Problem;
use super::protojson::{self, Readable};

/// The longest body that Fulcio's routes take, and Rekor's: octets.
pub const LONGEST: usize = 4 << 20;

/// A protobuf message that came as JSON, whatever the content type says.
pub struct Json<T>(pub T);

impl<T: Readable, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request, (LONGEST, |_| Problem::body_too_large())).await?;
        protojson::read(&bytes).map(Self)
    }
}

/// Reads a body of at most so many octets, or says that it is too large.
pub async fn read(
    request: Request,
    (longest, too_large): (usize, fn(usize) -> Problem),
) -> Result<Bytes, Problem> {
    if request.body().size_hint().lower() > longest as u64 {
        return Err(too_large(longest));
    }
    match Limited::new(request.into_body(), longest).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(longest)),
        Err(_) => Err(Problem::body_broken()),
    }
}

/// The media type of a body, in small letters and without its parameters, if its sender says one; nothing where
/// what he says is not text.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(kind.split(';').next()?.trim().to_ascii_lowercase())
}

/// POST and nothing else; other methods get upstream's answer.
pub fn fulcio_post<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    post(handler).fallback(wrong_method)
}

/// GET and nothing else, not even HEAD. A quirk of upstream's gateway: a form that is POSTed is
/// served as the GET.
pub fn fulcio_get<H: Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    post(handler.clone())
        .layer(from_fn(forms_only))
        .merge(get(handler).head(wrong_method))
        .fallback(wrong_method)
}

async fn wrong_method() -> Problem {
    Problem::method_not_implemented()
}

async fn forms_only(request: Request, next: Next) -> Response {
    let form = "application/x-www-form-urlencoded";
    if request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == form) {
        let (parts, _) = request.into_parts();
        return next.run(Request::from_parts(parts, Body::empty())).await;
    }
    Problem::method_not_implemented().into_response()
}
