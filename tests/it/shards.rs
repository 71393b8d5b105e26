//! Shards: the turn of the year under load, the closed one after it, more load than one can bear, and whose
//! note verifies where.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt as _;
use mayfly::authority::{Authority, Issued, Request, Trust};
use mayfly::cli::verify::check_served;
use mayfly::ct::entry::Entry;
use mayfly::ct::sct::Sct;
use mayfly::ct::window::Window;
use mayfly::http::{App, router};
use mayfly::keyset::Keyset;
use mayfly::log::sequencer::QUEUE;
use mayfly::log::shards::Shards;
use mayfly::log::{self, Log, LogError, Opening};
use mayfly::possession::Proof;
use mayfly::reading::Reading;
use mayfly::record::{Attempt, Caller};
use mayfly::signer::Signer;
use mayfly::store::{Owner, Store, StoreError, sqlite};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::key::{CheckpointError, PublicKey};
use mayfly::tlog::merkle::{Hash, leaf_hash};
use mayfly::tlog::note::SignedNote;
use mayfly::trust::Material;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::faults::stage;
use crate::support::authority::{self, Parts, golden};
use crate::support::caller;
use crate::support::issuer::MIDNIGHT;
use crate::support::patience::{soon, until};
use crate::support::store::{FaultyStore, HandClock, LogKey, means_of_certificates, opening};

const CALLERS: usize = 8;
const EACH: usize = 40;
/// Certificates hold a minute: those that are issued from here on end in the new year.
const TURN: u64 = MIDNIGHT - 60;
const YEARS: [u64; 2] = [2025, 2026];

/// An authority with the shards of two years in a folder, and a clock that moves when it is read.
struct Bench {
    folder: tempfile::TempDir,
    keys: [Arc<LogKey>; 2],
    clock: Arc<HandClock>,
    parts: Parts,
}

impl Bench {
    /// A little before the turn.
    fn new() -> Self {
        let clock = Arc::new(HandClock::at(Timestamp::from_secs(TURN - 6), 40));
        let mut parts = Parts::golden();
        parts.config.lifetime = Duration::from_secs(60);
        let keys = [(); 2].map(|()| Arc::new(LogKey::p256()));
        let bench = Self { folder: tempfile::tempdir().unwrap(), keys, clock, parts };
        for (year, key) in YEARS.into_iter().zip(&bench.keys) {
            let owner = Owner {
                origin: origin(year),
                log_id: Hash::of(&[key.public_key()]).0,
                window: Window::year(Timestamp::from_year(year)),
            };
            sqlite::create(&bench.path(year), &owner, bench.clock.now()).unwrap();
        }
        bench
    }

    fn path(&self, year: u64) -> std::path::PathBuf {
        self.folder.path().join(format!("{year}.sqlite"))
    }

    fn key(&self, at: usize) -> PublicKey {
        PublicKey::from_spki(self.keys[at].public_key()).unwrap()
    }

    /// The shard of one of the two years, to append to.
    fn open(&self, at: usize) -> Log {
        self.open_over(at, Arc::new(self.store(at)))
    }

    fn store(&self, at: usize) -> impl Store + use<> {
        let store = sqlite::open(&self.path(YEARS[at])).unwrap();
        authority::chain().ders().iter().for_each(|der| store.put_issuer(der).unwrap());
        store
    }

    fn open_over(&self, at: usize, store: Arc<dyn Store>) -> Log {
        let mark = Some(self.folder.path().join(format!("{}.mark", YEARS[at])));
        Log::open(Opening { mark, ..opening(self.means(at, store)) }).unwrap()
    }

    /// The same when its window has ended.
    fn over(&self, at: usize) -> Log {
        let store = sqlite::open_read_only(&self.path(YEARS[at])).unwrap();
        Log::open_over(self.means(at, Arc::new(store))).unwrap()
    }

    fn means(&self, at: usize, store: Arc<dyn Store>) -> log::Means {
        let key: Arc<dyn Signer> = self.keys[at].clone();
        let (keys, clock) = (key.into(), self.clock.clone());
        means_of_certificates(store, keys, clock, &origin(YEARS[at]))
    }

    fn authority(&self, logs: Vec<Log>) -> Arc<Authority> {
        let parts = self.parts.open();
        let trust = Trust {
            keyset: Keyset::new(self.parts.config.issuers.clone()).unwrap(),
            policy: self.parts.config.policy.clone(),
        };
        Arc::new(Authority {
            clock: self.clock.clone(),
            logs: Shards::new(logs),
            trust: ArcSwap::from_pointee(trust),
            ..parts
        })
    }
}

fn origin(year: u64) -> String {
    format!("ca.golden.example/ct/{year}")
}

fn request() -> Request {
    let claims = caller::claims(&golden("github/push"));
    Request {
        token: caller::token(&caller::header(), claims.to_string().as_bytes()),
        proof: caller::proof(&claims),
        caller: Caller::default(),
    }
}

/// The same over HTTP.
fn exchange() -> axum::http::Request<Body> {
    let Request { token, proof, .. } = request();
    let Proof::SignedChallenge { key, signature } = proof else { panic!("a signed challenge") };
    let body = serde_json::json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "content": String::from_utf8(key).unwrap() },
            "proofOfPossession": BASE64_STANDARD.encode(signature),
        },
    });
    let request = axum::http::Request::post("/api/v2/signingCert");
    let request = request.header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// Certificates that many ask for at once.
async fn load(authority: &Arc<Authority>) -> Vec<Issued> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let authority = Arc::clone(authority);
        callers.spawn(async move {
            let mut issued = Vec::new();
            for _ in 0..EACH {
                issued.push(authority.issue(request()).await.unwrap());
            }
            issued
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_turn_of_the_year_each_certificate_finds_its_shard() {
    let bench = Bench::new();
    let authority = bench.authority(vec![bench.open(1), bench.open(0)]);
    let issued = load(&authority).await;

    // By the key that verifies its SCT a certificate is of the shard of its year, and of no other.
    let mut counts = [0_u64; 2];
    for issued in &issued {
        let reading = Reading::of_pem(&issued.certificate.pem()).unwrap();
        let issuer = Reading::of(&issued.chain.ders()[0]).unwrap().public_key().unwrap();
        let (_, end) = reading.validity();
        let at = usize::from(end >= Timestamp::from_secs(MIDNIGHT));
        let (sct, _) = reading.verify_sct(&bench.key(at), &issuer).unwrap();
        assert_eq!(sct.leaf_index, issued.index);
        assert!(reading.verify_sct(&bench.key(1 - at), &issuer).is_err());
        counts[at] += 1;
    }
    assert!(counts[0] > 20 && counts[1] > 20, "{counts:?}: the load was all on one side");
    let logs = authority.logs.all();
    assert_eq!(logs.iter().map(|log| log.head().size).collect::<Vec<_>>(), counts);
    let mut heads = Vec::new();
    for (log, year) in logs.iter().zip(YEARS) {
        assert_eq!(log.origin(), origin(year), "the earlier one comes first");
        heads.push(check_served(log, None).await.unwrap().head);
    }

    // The year is over while the server runs: the shard is closed, and the last head stays.
    bench.clock.set(Timestamp::from_secs(MIDNIGHT));
    soon("the shard is closed", logs[0].close()).await;
    authority.logs.put(bench.over(0));
    drop(logs);
    closed(&bench, &authority.logs, heads[0]).await;
    let late = load(&authority).await.len() as u64;
    assert_eq!(authority.logs.size(), counts[0] + counts[1] + late);
    soon("the log is closed", authority.logs.close()).await;
    drop(authority);

    // And when it starts again.
    let authority = bench.authority(vec![bench.over(0), bench.open(1)]);
    closed(&bench, &authority.logs, heads[0]).await;
    load(&authority).await;
    let newest = authority.logs.all()[1].clone();
    check_served(&newest, Some(heads[1])).await.unwrap();
    assert_eq!(newest.head().size, counts[1] + 2 * late);
    soon("the log is closed", authority.logs.close()).await;
}

/// P18: ten times what there is room for, while the disk stands still. Every shard bears as much, whoever
/// finds no room is told to come again, and who was let in finds the entry in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shard_turns_the_same_overload_away_and_keeps_what_it_promised() {
    let bench = Bench::new();
    let stores = [0, 1].map(|at| Arc::new(FaultyStore::new(Arc::new(bench.store(at)))));
    stores.iter().for_each(|store| store.put_issuer(stage::ISSUER).unwrap());
    let logs = [0, 1].map(|at| bench.open_over(at, stores[at].clone()));
    let authority = bench.authority(logs.to_vec());
    let router = router(App::new(Arc::clone(&authority), &Material::default()));
    let asked = async || soon("an answer", router.clone().oneshot(exchange())).await.unwrap();
    for (at, time) in [TURN - 6, MIDNIGHT].into_iter().enumerate() {
        bench.clock.set(Timestamp::from_secs(time));
        let gate = stores[at].gate.lock().await;
        // The sequencer holds the first one, and takes no other.
        let mut promised = vec![queued(&logs[at], 0).unwrap()];
        until("it is held up", async || stores[at].begun.load(Ordering::SeqCst) == 1).await;
        let offered = (1..10 * QUEUE as u64).map(|number| queued(&logs[at], number));
        promised.extend(offered.filter_map(Result::ok));
        assert_eq!(promised.len(), 1 + QUEUE, "at {at}");
        for _ in 0..20 {
            let answer = asked().await;
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "1");
        }
        drop(gate);
        let mut given = Vec::new();
        for (number, append) in promised {
            given.push((number, soon("an SCT", append).await.unwrap()));
        }
        assert_eq!(asked().await.status(), 200, "it goes on");
        check_served(&logs[at], None).await.unwrap();
        let leaves = stage::leaves(&logs[at]).await;
        assert_eq!(leaves.len(), given.len() + 1);
        for (number, sct) in given {
            let leaf = stage::entry(number).merkle_tree_leaf(sct.timestamp, sct.leaf_index);
            assert_eq!(leaves[sct.leaf_index as usize], leaf_hash(&leaf));
        }
    }
}

type Append<'a> = Pin<Box<dyn Future<Output = Result<Sct, LogError>> + 'a>>;

/// An append that is in the queue with its number; an error if there was no room.
fn queued(log: &Log, number: u64) -> Result<(u64, Append<'_>), LogError> {
    let mut append: Append<'_> = Box::pin(stage::append(log, number));
    match append.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Ok((number, append)),
        Poll::Ready(answer) => {
            assert_eq!(answer, Err(LogError::Full));
            Err(LogError::Full)
        }
    }
}

/// Appends an entry that is nobody's.
async fn append(log: &Log) -> Result<(), LogError> {
    let entry = Entry {
        issuer_key_hash: [7; 32],
        tbs: vec![0; 8],
        precertificate: vec![0; 8],
        chain: [[1; 32]].into(),
    };
    log.append(entry, Attempt::default()).await.map(drop)
}

/// What a log says of itself to lists of logs.
async fn about(bench: &Bench, log: &Log) -> serde_json::Value {
    let chains = bench.parts.open_read_only().succession;
    let router = mayfly::http::log::routes::<()>(log.clone(), chains, "https");
    let path = log.origin().split_once('/').unwrap().1;
    let request = axum::http::Request::get(format!("/{path}/log.v3.json"));
    let request = request.body(axum::body::Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// The first shard is closed: nothing gets in, and what was read is read for ever.
async fn closed(bench: &Bench, logs: &Shards, head: mayfly::ct::judge::Sighting) {
    let log = logs.all()[0].clone();
    assert!(log.is_over());
    let end = Timestamp::from_secs(MIDNIGHT);
    let over = LogError::Over { origin: origin(2025), end };
    let refused = append(&log).await;
    assert_eq!(refused.as_ref(), Err(&over));
    assert_eq!(log.ready().as_ref(), Err(&over));
    let late = logs.current(end.minus(Duration::from_secs(1))).map(drop);
    assert_eq!(late, Err(over));
    let about = about(bench, &log).await;
    assert_eq!(
        (&about["status"], &about["status_timestamp"]),
        (&"readonly".into(), &end.to_string().into())
    );
    assert_eq!(about["temporal_interval"]["end_exclusive"], end.to_string());
    assert_eq!(about["final_tree_head"]["tree_size"], head.size);
    let judged = check_served(&log, Some(head)).await.unwrap();
    assert_eq!(judged.head, head);
    assert_eq!(logs.current(end).map(|log| log.origin().to_owned()), Ok(origin(2026)));
    let beyond = Timestamp::from_year(2027);
    let none = logs.current(beyond).map(drop);
    assert_eq!(none, Err(LogError::Uncovered { not_after: beyond }));
    assert_eq!(logs.covered(end), beyond);
    // It has no failure, and closing it is nothing.
    log.close().await;
    let failed = tokio::time::timeout(Duration::ZERO, log.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
}

/// The file itself cannot be written any more, and another process may read it, or even have it locked.
#[tokio::test]
async fn a_closed_shard_holds_no_lock_and_writes_nothing() {
    let bench = Bench::new();
    let over = bench.over(0);
    let _locked = sqlite::open(&bench.path(2025)).unwrap();
    assert!(check_served(&over, None).await.is_ok());
    let read_only = sqlite::open_read_only(&bench.path(2025)).unwrap();
    assert_eq!(read_only.put_issuer(b"a certificate"), Err(StoreError::ReadOnly));
}

#[tokio::test]
async fn a_note_of_one_shard_never_verifies_for_another() {
    let bench = Bench::new();
    let logs = [bench.open(0), bench.open(1)];
    for (at, log) in logs.iter().enumerate() {
        let note: SignedNote = log.checkpoint().await.unwrap().parse().unwrap();
        let (checkpoint, _) = bench.key(at).verify_checkpoint(&note).unwrap();
        assert_eq!(checkpoint.origin, origin(YEARS[at]));
        let other = bench.key(1 - at).verify_checkpoint(&note);
        assert_eq!(other.err(), Some(CheckpointError::OtherKey));
        // Nor under the other one's name: the signer's name is not the note's.
        let [one, two] = YEARS.map(origin);
        let renamed = note.to_string();
        let renamed =
            if at == 0 { renamed.replace(&one, &two) } else { renamed.replace(&two, &one) };
        let renamed: SignedNote = renamed.parse().unwrap();
        for key in [bench.key(0), bench.key(1)] {
            assert!(key.verify_checkpoint(&renamed).is_err(), "{renamed}");
        }
    }
}

#[tokio::test]
async fn a_shard_that_comes_later_is_watched_too() {
    let bench = Bench::new();
    let shards = Shards::new(vec![bench.open(0)]);
    let watched = shards.clone();
    let failed = tokio::spawn(async move { watched.failed().await });
    // Its store goes on by itself: the sequencer's next commit does not fit, and it fails.
    let log = bench.open(1);
    shards.put(log.clone());
    damage(&bench.path(2026));
    let refused = append(&log).await;
    assert_eq!(refused, Err(LogError::Store(StoreError::Conflict)));
    let failed = soon("its failure", failed).await.unwrap();
    assert_eq!(failed, LogError::Store(StoreError::Conflict));
}

/// What somebody puts away is one file, with all that was logged in it.
#[tokio::test]
async fn a_closed_shard_is_one_file() {
    let bench = Bench::new();
    let authority = bench.authority(vec![bench.open(0), bench.open(1)]);
    authority.issue(request()).await.unwrap();
    let over = bench.over(0);
    soon("the log is closed", authority.logs.close()).await;
    drop(authority);
    let away = bench.folder.path().join("away.sqlite");
    std::fs::copy(bench.path(2025), &away).unwrap();
    let store = sqlite::open_read_only(&away).unwrap();
    assert_eq!(store.head(), Ok(over.head()));
    assert_eq!(over.head().size, 1);
}

/// Moves the head of a database behind the store's back.
fn damage(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("UPDATE head SET timestamp = timestamp + 1").unwrap();
}
