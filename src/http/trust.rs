//! `/trusted_root.json`: what verifiers must trust, with an ETag so that they can ask often.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::tlog::merkle::Hash;

/// Serves `trusted_root` as it is; keys change with a restart, so it is made once.
pub fn routes<S: Clone + Send + Sync + 'static>(trusted_root: String) -> Router<S> {
    let hash = Hash::of(&[trusted_root.as_bytes()]);
    let file = Arc::new(File { text: trusted_root.into(), etag: format!("\"{hash}\"") });
    Router::new().route("/trusted_root.json", get(answer).with_state(file))
}

struct File {
    text: Bytes,
    etag: String,
}

async fn answer(State(file): State<Arc<File>>, headers: HeaderMap) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.trim_start_matches("W/") == file.etag
    });
    let headers = [
        (ETAG, file.etag.clone()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (CONTENT_TYPE, "application/json".to_owned()),
    ];
    match known {
        true => (StatusCode::NOT_MODIFIED, headers, Body::empty()).into_response(),
        false => (headers, file.text.clone()).into_response(),
    }
}
