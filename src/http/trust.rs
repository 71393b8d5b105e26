//! The trust files: what verifiers and signers must know, each with an ETag so that they can ask often.
//!
//! They are replaced together: whoever asks for one after another gets an older one of them, never files
//! that were not in force at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use super::envelope;
use crate::tlog::merkle::Hash;
use crate::trust::Material;

/// The files as they are now; cloning shares them.
#[derive(Clone)]
pub struct TrustFiles(Arc<ArcSwap<Files>>);

/// By path, without the slash before it.
type Files = BTreeMap<String, File>;

#[derive(Clone)]
struct File {
    text: Bytes,
    etag: String,
}

impl From<&Material> for TrustFiles {
    fn from(material: &Material) -> Self {
        let files = Self(Arc::default());
        files.set(material.texts());
        files
    }
}

impl TrustFiles {
    /// Serves these files from now on, by their paths, and no others.
    pub fn set(&self, texts: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let old = self.0.load();
        let file = |(path, text): (String, Vec<u8>)| {
            let kept = old.get(&path).filter(|file| file.text == text).cloned();
            (path, kept.unwrap_or_else(|| File::new(text)))
        };
        self.0.store(Arc::new(texts.into_iter().map(file).collect()));
    }
}

impl File {
    fn new(text: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", Hash::of(&[&text]));
        Self { text: text.into(), etag }
    }
}

/// Serves `files`.
pub fn routes<S: Clone + Send + Sync + 'static>(files: TrustFiles) -> Router<S> {
    let answer = || get(answer).with_state(files.clone());
    let router = Router::new().route("/tuf/{*path}", answer());
    Material::NAMES.iter().fold(router, |router, name| router.route(&format!("/{name}"), answer()))
}

async fn answer(State(files): State<TrustFiles>, uri: Uri, headers: HeaderMap) -> Response {
    let files = files.0.load();
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let Some(file) = files.get(path) else {
        return envelope::not_found(headers).await.into_response();
    };
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

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(files: &TrustFiles, path: &str, tags: &[&str]) -> (StatusCode, Option<String>) {
        let mut request = Request::builder().uri(path);
        for tag in tags {
            request = request.header(IF_NONE_MATCH, *tag);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = routes(files.clone()).with_state(()).oneshot(request).await.unwrap();
        let tag = answer.headers().get(ETAG).map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status(), tag)
    }

    #[tokio::test]
    async fn whoever_has_the_file_is_told_so_until_it_changes() {
        let files = TrustFiles::from(&Material::default());
        for name in Material::NAMES {
            let path = format!("/{name}");
            let (status, tag) = get(&files, &path, &[]).await;
            let tag = tag.unwrap();
            assert_eq!(status, StatusCode::OK, "{name}");
            for known in [&[tag.as_str()][..], &["\"a\"", &format!("W/{tag}")], &["*"]] {
                assert_eq!(get(&files, &path, known).await.0, StatusCode::NOT_MODIFIED, "{name}");
            }
            files.set(
                Material { url: "https://a.example".to_owned(), ..Material::default() }.texts(),
            );
            let changed = get(&files, &path, &[&tag]).await;
            let same = name == "trusted_root.json";
            assert_eq!(changed.0 == StatusCode::NOT_MODIFIED, same, "{name}");
            files.set(Material::default().texts());
        }
    }

    #[tokio::test]
    async fn what_is_not_set_is_not_there() {
        let files = TrustFiles::from(&Material::default());
        assert_eq!(get(&files, "/tuf/timestamp.json", &[]).await, (StatusCode::NOT_FOUND, None));
        files.set([("tuf/timestamp.json".to_owned(), b"{}".to_vec())]);
        assert_eq!(get(&files, "/tuf/timestamp.json", &[]).await.0, StatusCode::OK);
        assert_eq!(get(&files, "/trusted_root.json", &[]).await.0, StatusCode::NOT_FOUND);
    }
}
