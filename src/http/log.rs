//! The certificate log over HTTP: static-ct-api, and the doors of RFC 6962 that stay shut.
//!
//! ```text
//! GET  /ct/<shard>/checkpoint              the signed head
//! GET  /ct/<shard>/tile/<L>/<N>[.p/<W>]    hashes
//! GET  /ct/<shard>/tile/data/<N>[.p/<W>]   entries
//! GET  /ct/<shard>/issuer/<hex>            one certificate of the authority's chain
//! GET  /ct/<shard>/ct/v1/get-roots         the root that every entry leads to
//! POST /ct/<shard>/ct/v1/add-[pre-]chain   403: this log has one submitter
//! ```
//!
//! Anybody may read, from any origin. What is published never changes and may be kept for good;
//! what is not there yet will be, so an error may not be kept at all.
//!
//! Spec: C2SP static-ct-api; RFC 6962 §4.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::certificate::Chain;
use crate::log::{Log, LogError};
use crate::tlog::merkle::Hash;
use crate::tlog::tile::{TileKind, TilePath};

/// The highest level of hash tiles in a log of 2^40 entries, the most that there can be.
const MAX_TILE_LEVEL: u8 = 5;

/// What every route shares.
#[derive(Clone)]
struct Served {
    log: Log,
    /// The answer of `get-roots`.
    roots: Arc<str>,
}

/// The routes of a log, below the path of its origin: `/ct/<shard>`.
///
/// `chain` is the authority's, whose root every entry leads to. The router brings its own state and
/// merges with one of any other.
pub fn routes<S: Clone + Send + Sync + 'static>(log: Log, chain: &Chain) -> Router<S> {
    let prefix = prefix(log.origin()).to_owned();
    let log = Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/issuer/{fingerprint}", get(issuer))
        .route("/ct/v1/get-roots", get(roots))
        .route("/ct/v1/add-chain", post(shut))
        .route("/ct/v1/add-pre-chain", post(shut))
        .fallback(async || Problem::NoRoute)
        .method_not_allowed_fallback(async || Problem::Method)
        .with_state(Served { log, roots: get_roots(chain).into() });
    if prefix.is_empty() { log } else { Router::new().nest(&prefix, log) }
}

/// The path of an origin: what follows its host, with the slash.
fn prefix(origin: &str) -> &str {
    origin.find('/').and_then(|slash| origin.get(slash..)).unwrap_or_default()
}

/// The body of `get-roots`.
fn get_roots(chain: &Chain) -> String {
    let root = chain.ders().last().map(|der| BASE64_STANDARD.encode(der));
    json!({ "certificates": Vec::from_iter(root) }).to_string()
}

async fn checkpoint(State(served): State<Served>) -> Result<Response, Problem> {
    let checkpoint = served.log.checkpoint().await?;
    Ok(found(Content::Checkpoint, checkpoint))
}

async fn tile(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    let path = tile_path(uri.path()).ok_or(Problem::TilePath)?;
    let tile = served.log.tile(path).await?.ok_or(Problem::NoTile)?;
    Ok(found(Content::Tile, tile))
}

async fn issuer(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    let fingerprint = issuer_path(uri.path()).ok_or(Problem::NoIssuer)?;
    let der = served.log.issuer(fingerprint.0).await?.ok_or(Problem::NoIssuer)?;
    Ok(found(Content::Issuer, der))
}

async fn roots(State(served): State<Served>) -> Response {
    found(Content::Roots, served.roots.to_string())
}

async fn shut() -> Problem {
    Problem::Shut
}

/// The tile that a request's path names.
///
/// Attack: the path is taken as it was sent. Decoded first, `x001%2F002` would be a second name of
/// a tile, which a cache keeps apart from the first.
fn tile_path(path: &str) -> Option<TilePath> {
    let tile: TilePath = path.strip_prefix("/tile/")?.parse().ok()?;
    match tile.kind {
        TileKind::Data => Some(tile),
        TileKind::Hashes { level } if level <= MAX_TILE_LEVEL => Some(tile),
        TileKind::Hashes { .. } | TileKind::Entries => None,
    }
}

fn issuer_path(path: &str) -> Option<Hash> {
    path.strip_prefix("/issuer/")?.parse().ok()
}

/// What an answer holds.
#[derive(Clone, Copy)]
enum Content {
    Checkpoint,
    Tile,
    Issuer,
    Roots,
}

impl Content {
    /// Media type, and how long it may be kept.
    const fn headers(self) -> (&'static str, &'static str) {
        const FOR_GOOD: &str = "public, max-age=604800, immutable";
        match self {
            Self::Checkpoint => ("text/plain; charset=utf-8", "no-cache"),
            Self::Tile => ("application/octet-stream", FOR_GOOD),
            Self::Issuer => ("application/pkix-cert", FOR_GOOD),
            Self::Roots => ("application/json", "no-cache"),
        }
    }
}

fn found(content: Content, body: impl IntoResponse) -> Response {
    let (media_type, caching) = content.headers();
    (headers(media_type, caching), body).into_response()
}

type Headers = [(axum::http::HeaderName, HeaderValue); 3];

const fn headers(media_type: &'static str, caching: &'static str) -> Headers {
    [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ]
}

/// Why there is nothing to serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error(
        "this log serves checkpoint, tile/…, issuer/… and ct/v1/get-roots; see https://c2sp.org/static-ct-api"
    )]
    NoRoute,
    #[error(
        "this is not the path of a tile: write tile/<level>/<index> or tile/data/<index>, the index in groups of three digits (x001/x234/067), and .p/<1 to 255> behind it for a partial tile"
    )]
    TilePath,
    #[error("the log has no such tile yet; its checkpoint says how many entries there are")]
    NoTile,
    #[error(
        "no entry of this log names such an issuer; issuer/ takes the SHA-256 of a certificate, 64 lowercase hex digits"
    )]
    NoIssuer,
    #[error("this route takes another method: GET to read, POST for add-chain and add-pre-chain")]
    Method,
    #[error(
        "this log takes the certificates of its own authority only, and logs each one before it is handed out; there is nothing to submit"
    )]
    Shut,
    /// What the log says is for the operator.
    #[error("the log cannot be read at the moment; try again")]
    Log,
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        tracing::error!(%error, "the log cannot be read");
        Self::Log
    }
}

impl Problem {
    /// The status of HTTP and the code of gRPC's gateway, whose shape all our errors have.
    const fn status(&self) -> (StatusCode, u8) {
        match self {
            Self::NoRoute | Self::TilePath | Self::NoTile | Self::NoIssuer => {
                (StatusCode::NOT_FOUND, 5)
            }
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, 12),
            Self::Shut => (StatusCode::FORBIDDEN, 7),
            Self::Log => (StatusCode::SERVICE_UNAVAILABLE, 14),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let body = json!({ "code": code, "message": self.to_string(), "details": [] }).to_string();
        let mut response = (status, headers("application/json", "no-store"), body).into_response();
        if self == Self::Log {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_the_origin_without_its_host() {
        assert_eq!(prefix("ca.example.com/ct/2026"), "/ct/2026");
        assert_eq!(prefix("localhost:5555/ct/2026"), "/ct/2026");
        assert_eq!(prefix("ca.example.com"), "");
    }

    #[track_caller]
    fn check(path: &str, tile: Option<&str>) {
        assert_eq!(tile_path(path).map(|tile| tile.to_string()).as_deref(), tile, "{path}");
    }

    #[test]
    fn a_tile_has_one_path() {
        check("/tile/0/x001/x234/067", Some("0/x001/x234/067"));
        check("/tile/5/000.p/1", Some("5/000.p/1"));
        check("/tile/data/x001/000.p/255", Some("data/x001/000.p/255"));
        check("/tile/data/x001%2F000", None);
        check("/tile/data/%30%30%30", None);
        check("/tile/data/000/", None);
        check("/tile/data//000", None);
        check("/tile//data/000", None);
        check("/tile/data/000.p/256", None);
        check("/tile/data/000.p/0", None);
        check("/tile/data/x000/001", None);
        check("/tile/06/000", None);
        // Other logs have these.
        check("/tile/6/000", None);
        check("/tile/entries/000", None);
        check("/tile/names/000", None);
    }

    #[test]
    fn an_issuer_has_one_path() {
        let hex = Hash::EMPTY.to_string();
        assert_eq!(issuer_path(&format!("/issuer/{hex}")), Some(Hash::EMPTY));
        assert_eq!(issuer_path(&format!("/issuer/{}", hex.to_uppercase())), None);
        assert_eq!(issuer_path(&format!("/issuer/{hex}0")), None);
        assert_eq!(issuer_path("/issuer/"), None);
    }

    fn header(response: &Response, name: axum::http::HeaderName) -> &str {
        response.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn what_is_published_may_be_kept_and_the_head_may_not() {
        for (content, media_type, caching) in [
            (Content::Checkpoint, "text/plain; charset=utf-8", "no-cache"),
            (Content::Tile, "application/octet-stream", "public, max-age=604800, immutable"),
            (Content::Issuer, "application/pkix-cert", "public, max-age=604800, immutable"),
            (Content::Roots, "application/json", "no-cache"),
        ] {
            let response = found(content, vec![1_u8]);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header(&response, CONTENT_TYPE), media_type);
            assert_eq!(header(&response, CACHE_CONTROL), caching);
            assert_eq!(header(&response, ACCESS_CONTROL_ALLOW_ORIGIN), "*");
            assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().count(), 1);
        }
    }

    #[test]
    fn no_error_may_be_kept() {
        for (problem, status) in [
            (Problem::NoTile, 404),
            (Problem::NoIssuer, 404),
            (Problem::Method, 405),
            (Problem::Shut, 403),
            (Problem::from(LogError::Closed), 503),
        ] {
            let response = problem.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(header(&response, CACHE_CONTROL), "no-store");
            assert_eq!(header(&response, CONTENT_TYPE), "application/json");
        }
    }
}
