//! `/trusted_root.json`: what verifiers must trust, with an ETag so that they can ask often.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::tlog::merkle::Hash;

/// The file as it is now; cloning shares it.
#[derive(Clone)]
pub struct TrustedRoot(Arc<ArcSwap<File>>);

struct File {
    text: Bytes,
    etag: String,
}

impl File {
    fn new(text: String) -> Self {
        let etag = format!("\"{}\"", Hash::of(&[text.as_bytes()]));
        Self { text: text.into(), etag }
    }
}

impl From<String> for TrustedRoot {
    fn from(text: String) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(File::new(text))))
    }
}

impl TrustedRoot {
    /// Serves `text` from now on.
    pub fn set(&self, text: String) {
        if self.0.load().text != text {
            self.0.store(Arc::new(File::new(text)));
        }
    }
}

/// Serves `trusted_root`.
pub fn routes<S: Clone + Send + Sync + 'static>(trusted_root: TrustedRoot) -> Router<S> {
    Router::new().route("/trusted_root.json", get(answer).with_state(trusted_root))
}

async fn answer(State(served): State<TrustedRoot>, headers: HeaderMap) -> Response {
    let file = served.0.load();
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
