//! Somebody outside, who reads a log over its routes and remembers what may never change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::header::{AsHeaderName, CACHE_CONTROL, HeaderName};
use axum::http::{HeaderMap, Request};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use mayfly::authority::Authority;
use mayfly::config::Readers;
use mayfly::ct::entry::TileLeaf;
use mayfly::ct::sct::Sct;
use mayfly::http::{Access, App, router};
use mayfly::log::Log;
use mayfly::log::signed::Keys;
use mayfly::record::Attempt;
use mayfly::signer::Signer;
use mayfly::store::Store as _;
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::{Hash, verify_inclusion};
use mayfly::tlog::note::SignedNote;
use mayfly::trust::Material;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::support::authority::Parts;
use crate::support::made_log::MadeLog;
use crate::support::patience::soon;
use crate::support::store::{LogKey, means_of_certificates, opening};

/// Below it the log is served.
pub const PREFIX: &str = "/ct/2026";

/// A log of made certificates, and the routes through which it is read.
pub struct Outside {
    pub made: MadeLog,
    pub parts: Parts,
    pub note_key: Arc<LogKey>,
    pub authority: Arc<Authority>,
    router: Router,
    /// What was served to be kept for good, by its address.
    kept: Mutex<BTreeMap<String, Bytes>>,
    /// What a cache in between holds, by its address; none: there is no cache.
    cache: Option<Mutex<BTreeMap<String, Answer>>>,
}

/// A head as readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    pub root: Hash,
    pub timestamp: Timestamp,
}

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The text of a header; none is empty.
    pub fn header(&self, name: impl AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn caching(&self) -> &str {
        self.header(CACHE_CONTROL)
    }

    /// Whether it may be kept for a day at least.
    pub fn may_be_kept(&self) -> bool {
        self.status == 200 && self.age() >= 86_400
    }

    /// How many seconds it may be kept.
    fn age(&self) -> u32 {
        let age = self.caching().split("max-age=").nth(1).unwrap_or_default();
        age.split(',').next().unwrap_or_default().parse().unwrap_or(0)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Outside {
    /// An empty log, and `size` entries for it.
    pub fn new(size: u64) -> Self {
        let (made, parts) = (MadeLog::of(size), Parts::golden());
        parts.store.put_issuer(&made.root_der).unwrap();
        let note_key = Arc::new(LogKey::ed25519(7));
        let authority = Arc::new(authority(&parts, &note_key));
        let router = open(&authority);
        let (kept, cache) = (Mutex::default(), None);
        Self { made, parts, note_key, authority, router, kept, cache }
    }

    /// The same, through a cache that keeps whatever it may, for as long as the test runs.
    pub fn behind_a_cache(self) -> Self {
        Self { cache: Some(Mutex::default()), ..self }
    }

    /// The same log, opened anew.
    pub fn restart(&mut self) {
        self.authority = Arc::new(authority(&self.parts, &self.note_key));
        self.router = open(&self.authority);
    }

    /// Logs entries until there are `size`, one after the other.
    pub async fn grow(&mut self, size: u64) -> Vec<Sct> {
        let mut scts = Vec::new();
        for number in self.authority.logs.size()..size {
            scts.push(self.begin_append(number).await.unwrap());
        }
        scts
    }

    /// An entry on its way into the log.
    pub fn begin_append(&self, number: u64) -> JoinHandle<Sct> {
        let (log, entry) = (self.log(), self.made.entries[number as usize].clone());
        let appended = async move { log.append(entry, Attempt::default()).await.unwrap() };
        tokio::spawn(soon("an SCT", appended))
    }

    /// The log.
    pub fn log(&self) -> Log {
        self.authority.logs.all()[0].clone()
    }

    /// The log key, as the world knows it.
    pub fn key(&self) -> PublicKey {
        PublicKey::from_spki(self.log().public_key()).unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    /// `GET`, held to what was served before if it may be kept, and to what all errors have in common.
    pub async fn get_with(&self, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
        let address = format!("{path} {headers:?}");
        let cache = self.cache.as_ref();
        if let Some(answer) = cache.and_then(|cache| cache.lock().unwrap().get(&address).cloned()) {
            return answer;
        }
        let answer = self.ask(path, headers).await;
        if let Some(cache) = cache.filter(|_| answer.age() > 0) {
            cache.lock().unwrap().insert(address, answer.clone());
        }
        answer
    }

    async fn ask(&self, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
        let mut request = Request::builder().uri(format!("{PREFIX}/{path}"));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        if answer.status != 200 {
            assert_eq!(answer.caching(), "no-store", "{path}");
        } else if answer.may_be_kept() {
            let address = format!("{path} {}", answer.header("content-encoding"));
            let mut kept = self.kept.lock().unwrap();
            let before = kept.entry(address).or_insert_with(|| answer.body.clone());
            assert_eq!(*before, answer.body, "{path} has changed");
        }
        answer
    }

    /// The body of what must be there.
    pub async fn read(&self, path: &str) -> Bytes {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.body
    }

    pub async fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path).await.to_vec()).unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.read(path).await).unwrap()
    }

    /// The head in the checkpoint, its signature verified.
    pub async fn head(&self) -> Head {
        let note: SignedNote = self.text("checkpoint").await.parse().unwrap();
        let (checkpoint, timestamp) = self.key().verify_checkpoint(&note).unwrap();
        Head { size: checkpoint.size, root: checkpoint.root, timestamp }
    }

    /// The head that RFC 6962's readers get.
    pub async fn sth(&self) -> Head {
        let sth = self.json("ct/v1/get-sth").await;
        let root = BASE64_STANDARD.decode(sth["sha256_root_hash"].as_str().unwrap()).unwrap();
        Head {
            size: sth["tree_size"].as_u64().unwrap(),
            root: Hash(root.try_into().unwrap()),
            timestamp: Timestamp::from_millis(sth["timestamp"].as_u64().unwrap()),
        }
    }

    /// What RFC 6962 wants beside a leaf, written once more.
    pub fn extra_data(&self, leaf: &TileLeaf<'_>) -> Vec<u8> {
        let long = |octets: &[u8]| [&(octets.len() as u32).to_be_bytes()[1..], octets].concat();
        [long(leaf.der()), long(&long(&self.made.root_der))].concat()
    }

    /// All ways to prove entry `index` in the whole tree agree, and hold.
    pub async fn check_proofs(&self, index: u64, leaf: Hash, input: &str) {
        let head = self.sth().await;
        let size = head.size;
        let hash = BASE64_STANDARD.encode(leaf).replace('+', "%2B");
        let by_hash = format!("ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}");
        let by_hash = self.json(&by_hash).await;
        let entry = format!("ct/v1/get-entry-and-proof?leaf_index={index}&tree_size={size}");
        let entry = self.json(&entry).await;
        assert_eq!(by_hash["leaf_index"], index);
        assert_eq!(by_hash["audit_path"], entry["audit_path"]);
        assert_eq!(entry["leaf_input"], input);
        let path = texts(&entry["audit_path"]);
        assert_eq!(verify_inclusion((index, leaf), (size, head.root), &path), Ok(()));
    }
}

/// The port of an authority whose log anybody may read.
fn open(authority: &Arc<Authority>) -> Router {
    let anyone = Access::to_log(&Readers::Anyone, false);
    let nobody = Access::to_records(&Readers::Nobody, false);
    router(App::new(Arc::clone(authority), &Material::default()).with_access(anyone, nobody))
}

/// The parts' authority, its log with a second key.
fn authority(parts: &Parts, note_key: &Arc<LogKey>) -> Authority {
    let authority = parts.open();
    let (log, note): (Arc<dyn Signer>, Arc<dyn Signer>) = (parts.log_key.clone(), note_key.clone());
    let clock: Arc<dyn Clock> = parts.clock.clone();
    let origin = authority.logs.all()[0].origin().to_owned();
    let keys = Keys { log, note: Some(note) };
    let means = means_of_certificates(parts.store.clone(), keys, clock, &origin);
    authority.logs.put(Log::open(opening(means)).unwrap());
    authority
}

/// The hashes of a proof.
pub fn texts(proof: &Value) -> Vec<Hash> {
    let hash = |text: &Value| {
        let octets = BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap();
        Hash(octets.try_into().unwrap())
    };
    proof.as_array().unwrap().iter().map(hash).collect()
}
