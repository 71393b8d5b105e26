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
use serde_json::Value;

use super::envelope;
use crate::installation::repository::Published;
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
use crate::trust::Material;

/// The files as they are now; cloning shares them.
#[derive(Clone)]
pub struct TrustFiles(Arc<ArcSwap<Files>>);

#[derive(Default)]
struct Files {
    /// By path, without the slash before it.
    all: BTreeMap<String, File>,
    overdue: Option<Timestamp>,
}

#[derive(Clone)]
struct File {
    text: Bytes,
    etag: String,
}

impl From<&Material> for TrustFiles {
    fn from(material: &Material) -> Self {
        let files = Self(Arc::default());
        files.set(material, &Published::default());
        files
    }
}

impl TrustFiles {
    /// Serves the files that say this from now on, and the TUF repository, and no others.
    pub fn set(&self, material: &Material, repository: &Published) {
        let old = self.0.load();
        let text = |(name, file): (&str, Value)| (name.to_owned(), file.to_string().into_bytes());
        let below = |(path, text): (&String, &Vec<u8>)| (format!("tuf/{path}"), text.clone());
        let texts = material.files().into_iter().map(text);
        let texts = texts.chain(repository.files.iter().map(below));
        let file = |(path, text): (String, Vec<u8>)| {
            let kept = old.all.get(&path).filter(|file| file.text == text).cloned();
            (path, kept.unwrap_or_else(|| File::new(text)))
        };
        let (all, overdue) = (texts.map(file).collect(), repository.overdue);
        self.0.store(Arc::new(Files { all, overdue }));
    }

    /// Whether some of it is about to expire, and should have been signed anew by now.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.overdue().is_some_and(|overdue| now >= overdue)
    }

    /// From when on it is.
    pub fn overdue(&self) -> Option<Timestamp> {
        self.0.load().overdue
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
    let Some(file) = files.all.get(path) else {
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
            let other = Material { url: "https://a.example".to_owned(), ..Material::default() };
            files.set(&other, &Published::default());
            let changed = get(&files, &path, &[&tag]).await;
            let same = name == "trusted_root.json";
            assert_eq!(changed.0 == StatusCode::NOT_MODIFIED, same, "{name}");
            files.set(&Material::default(), &Published::default());
        }
    }

    #[tokio::test]
    async fn the_repository_comes_and_goes_with_the_files() {
        let files = TrustFiles::from(&Material::default());
        let path = "/tuf/targets/1.trusted_root.json";
        assert_eq!(get(&files, path, &[]).await, (StatusCode::NOT_FOUND, None));
        assert!(!files.is_overdue(Timestamp::from_secs(9)));
        let repository = Published {
            files: [("targets/1.trusted_root.json".to_owned(), b"{}".to_vec())].into(),
            overdue: Some(Timestamp::from_secs(9)),
        };
        files.set(&Material::default(), &repository);
        assert_eq!(get(&files, path, &[]).await.0, StatusCode::OK);
        assert_eq!(get(&files, "/trusted_root.json", &[]).await.0, StatusCode::OK);
        assert_eq!([8, 9].map(|at| files.is_overdue(Timestamp::from_secs(at))), [false, true]);
    }
}
