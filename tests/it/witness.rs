//! Witnesses: what they cosign is served, what does not verify is not, and a log that they have seen more of
//! is not gone on from.

mod real;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use mayfly::config::Proxy;
use mayfly::ct::window::Window;
use mayfly::http::{self, App};
use mayfly::log::signed::Keys;
use mayfly::log::witness::{Pace, Shown, WitnessError, Witnesses};
use mayfly::log::{Log, LogError, Opening};
use mayfly::record::Attempt;
use mayfly::store::{Owner, Store as _};
use mayfly::time::Timestamp;
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::Hash;
use mayfly::tlog::note::{SignedNote, VerifierKey, ed25519_key};
use mayfly::tlog::policy::Policy;
use mayfly::trust::Material;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::support::authority::Parts;
use crate::support::issuer::MIDNIGHT;
use crate::support::made_log::{MadeLog, ORIGIN};
use crate::support::patience::{soon, until};
use crate::support::store::{HandClock, LogKey, MemoryStore, means_of_certificates, opening};
use crate::support::witness::{FakeWitness, Lie};

const PACE: Pace = Pace {
    every: Duration::from_millis(10),
    answer: Duration::from_millis(300),
    longest: Duration::from_millis(40),
};

/// A log in memory, and the keys by which witnesses know it.
struct Bench {
    made: MadeLog,
    keys: Keys,
    store: Arc<MemoryStore>,
}

/// A log that is open, and cosigned until this is dropped.
struct Open {
    log: Log,
    cosigning: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.cosigning.abort();
    }
}

impl Bench {
    fn new(size: u64) -> Self {
        let keys = Keys { log: Arc::new(LogKey::p256()), note: Some(Arc::new(LogKey::ed25519(9))) };
        Self::of(MadeLog::of(size), keys)
    }

    fn of(made: MadeLog, keys: Keys) -> Self {
        let window = Window::year(Timestamp::from_secs(MIDNIGHT));
        let log_id = Hash::of(&[keys.log.public_key()]).0;
        let owner = Owner { origin: ORIGIN.to_owned(), log_id, window };
        let store = Arc::new(MemoryStore::new(owner, Timestamp::from_secs(MIDNIGHT)));
        store.put_issuer(&made.root_der).unwrap();
        Self { made, keys, store }
    }

    /// Another history under the same keys.
    fn forked(&self, size: u64) -> Self {
        Self::of(MadeLog::of(size), self.keys.clone())
    }

    fn vkey(&self) -> VerifierKey {
        let note = self.keys.note.as_ref().unwrap();
        VerifierKey::ed25519(ORIGIN, ed25519_key(note.public_key()).unwrap())
    }

    async fn witness(&self, name: &str) -> FakeWitness {
        let witness = FakeWitness::start(name).await;
        witness.knows(self.vkey());
        witness
    }

    fn open(&self, shown: Vec<Shown>) -> Result<Log, LogError> {
        let clock = Arc::new(HandClock::at(Timestamp::from_secs(MIDNIGHT), 1));
        let (store, keys) = (Arc::clone(&self.store), self.keys.clone());
        let means = means_of_certificates(store, keys, clock, ORIGIN);
        Log::open(Opening { shown, ..opening(means) })
    }

    /// Opens it and has it cosigned.
    fn cosigned(&self, policy: &str) -> Open {
        let log = self.open(Vec::new()).unwrap();
        let witnesses = witnesses(policy);
        let cosigning = tokio::spawn(log.witness(&witnesses).unwrap());
        assert!(log.witness(&witnesses).is_none(), "twice");
        Open { log, cosigning }
    }

    /// What witnesses show of it.
    async fn shown(&self, policy: &str) -> Vec<Shown> {
        witnesses(policy).shown(&[(ORIGIN.to_owned(), self.keys.clone())]).await
    }

    /// Logs the next entry; whoever holds an SCT finds its entry in the checkpoint, at once.
    async fn append(&self, log: &Log) {
        let entry = self.made.entries[log.head().size as usize].clone();
        let sct = log.append(entry, Attempt::default()).await.unwrap();
        let note: SignedNote = log.checkpoint().await.unwrap().parse().unwrap();
        assert!(self.key().verify_checkpoint(&note).unwrap().0.size > sct.leaf_index);
    }

    fn key(&self) -> PublicKey {
        PublicKey::from_spki(self.keys.log.public_key()).unwrap()
    }

    /// Who has cosigned the checkpoint of the newest head.
    async fn cosigners(&self, log: &Log, of: &[&FakeWitness]) -> Vec<String> {
        self.judge(&log.checkpoint().await.unwrap(), log.head().size, of)
    }

    /// Who has cosigned this checkpoint, each of which must hold, after the log's own signatures.
    fn judge(&self, note: &str, size: u64, of: &[&FakeWitness]) -> Vec<String> {
        let note: SignedNote = note.parse().unwrap();
        assert_eq!(self.key().verify_checkpoint(&note).unwrap().0.size, size);
        let (own, others) = note.signatures.split_at(2);
        assert!(own.iter().all(|line| line.name == ORIGIN));
        let verified = |witness: &&&FakeWitness| witness.cosigner().verify(&note.text, others);
        let verified: Vec<_> = of.iter().filter_map(|it| verified(&it).ok()).collect();
        assert_eq!(verified, others, "each line is of one of them, and holds");
        verified.into_iter().map(|line| line.name).collect()
    }
}

fn witnesses(policy: &str) -> Witnesses {
    Witnesses::new(Policy::parse(policy).unwrap(), &Proxy::None).unwrap().at(PACE)
}

fn all(witnesses: &[&FakeWitness]) -> String {
    let lines: String = witnesses.iter().map(|witness| witness.line()).collect();
    let names = lines.lines().filter_map(|line| line.split(' ').nth(1)).collect::<Vec<_>>();
    format!("{lines}group all-of-them all {}\nquorum all-of-them\n", names.join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_head_is_served_at_once_and_cosigned_soon() {
    let bench = Bench::new(40);
    let (a, b) = (bench.witness("A").await, bench.witness("B").await);
    let both = [&a, &b];
    let open = bench.cosigned(&all(&both));
    assert_eq!(open.log.cosigned_checkpoint(), None);
    for _ in 0..40 {
        bench.append(&open.log).await;
    }
    let names = both.map(|witness| witness.key_name().to_owned());
    until("both cosign", async || bench.cosigners(&open.log, &both).await == names).await;
    until("it is complete", async || {
        open.log.cosigned_checkpoint() == open.log.checkpoint().await.ok()
    })
    .await;
    assert!(!open.log.wants_witnesses(Timestamp::from_secs(MIDNIGHT + 3600)));
    for witness in both {
        assert_eq!(witness.seen().unwrap().size, 40);
        assert_eq!(witness.complaints(), [""; 0]);
        assert!(witness.shortest() >= PACE.every, "{:?}", witness.shortest());
    }
    // Nobody is asked about an old head again, nor after the end.
    open.log.close().await;
    let mut open = open;
    soon("the cosigning ends", &mut open.cosigning).await.unwrap();
}

/// A witness that is hostile or away changes nothing but that its cosignature is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_verify_is_not_served() {
    let lies = [
        Lie::Silent,
        Lie::Page,
        Lie::Huge,
        Lie::OtherKey,
        Lie::OtherText,
        Lie::Extended,
        Lie::Status(400),
        Lie::Status(403),
        Lie::Status(404),
        Lie::Status(422),
        Lie::Status(500),
        Lie::Status(302),
        Lie::Size(u64::MAX),
        Lie::Size(2),
        Lie::NoSize,
    ];
    let bench = Bench::new(lies.len() as u64 + 1);
    let (liar, b) = (bench.witness("A").await, bench.witness("B").await);
    let both = [&liar, &b];
    let names = both.map(|witness| witness.key_name().to_owned());
    let open = bench.cosigned(&all(&both));
    let log = &open.log;
    bench.append(log).await;
    let an_hour_later = Timestamp::from_secs(MIDNIGHT + 3600);
    for lie in lies {
        until("both cosign", async || bench.cosigners(log, &both).await == names).await;
        until("it is complete", async || !log.wants_witnesses(an_hour_later)).await;
        let complete = log.cosigned_checkpoint().unwrap();
        liar.lie(lie);
        bench.append(log).await;
        liar.asked(3).await;
        until("B cosigns", async || bench.cosigners(log, &both).await == names[1..]).await;
        assert_eq!(log.cosigned_checkpoint().as_ref(), Some(&complete), "{lie:?}");
        assert!(log.wants_witnesses(an_hour_later), "{lie:?}");
        assert_eq!(log.ready(), Ok(()), "{lie:?}");
        liar.lie(Lie::Truth);
    }
    until("both cosign", async || bench.cosigners(log, &both).await == names).await;
    assert_eq!((liar.complaints(), b.complaints()), (vec![], vec![]));
}

/// After a restart of the log, and where the witness has forgotten or was told by others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_witness_has_seen_is_learnt_and_gone_on_from() {
    let bench = Bench::new(30);
    let witness = bench.witness("A").await;
    let one = [&witness];
    let policy = all(&one);
    let cosigned = async |log: &Log| {
        until("it cosigns", async || bench.cosigners(log, &one).await.len() == 1).await;
    };
    let open = bench.cosigned(&policy);
    for _ in 0..7 {
        bench.append(&open.log).await;
    }
    cosigned(&open.log).await;
    let old = witness.seen().unwrap();
    open.log.close().await;

    // The cosignature of the very same head is asked for anew.
    let open = bench.cosigned(&policy);
    assert_eq!(bench.cosigners(&open.log, &one).await, [""; 0]);
    cosigned(&open.log).await;
    for _ in 7..20 {
        bench.append(&open.log).await;
    }
    cosigned(&open.log).await;
    assert_eq!(witness.seen().unwrap().size, 20);

    witness.put_back(old);
    bench.append(&open.log).await;
    cosigned(&open.log).await;
    assert_eq!(witness.seen().unwrap().size, 21);
    assert_eq!(witness.complaints(), [""; 0]);
}

/// Also where only the witness remembers: database and mark were put back together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_a_witness_has_seen_more_of_is_not_gone_on_from() {
    let bench = Bench::new(6);
    let (witness, away) = (bench.witness("A").await, bench.witness("B").await);
    let policy = format!("{}{}quorum A\n", witness.line(), away.line());
    assert_eq!(bench.shown(&policy).await, []);
    let open = bench.cosigned(&policy);
    for _ in 0..5 {
        bench.append(&open.log).await;
    }
    until("A has seen all", async || witness.seen().is_some_and(|seen| seen.size == 5)).await;
    until("B has seen all", async || away.seen().is_some_and(|seen| seen.size == 5)).await;
    open.log.close().await;

    // One that does not answer shows nothing, and keeps nobody for long.
    away.lie(Lie::Silent);
    let shown = bench.shown(&policy).await;
    assert_eq!(shown.len(), 1);
    assert!(bench.open(shown.clone()).is_ok(), "it is the newest");

    let by = "A".to_owned();
    let older = bench.forked(3);
    fill(&older).await;
    let ahead = WitnessError::Ahead { by: by.clone(), seen: 5, size: 3 };
    assert_eq!(older.open(shown.clone()).err(), Some(ahead.into()));
    let other = bench.forked(8);
    fill(&other).await;
    let forked = WitnessError::Forked { by: by.clone(), size: 5 };
    assert_eq!(other.open(shown.clone()).err(), Some(forked.into()));
    let empty = bench.forked(0);
    let ahead = WitnessError::Ahead { by, seen: 5, size: 0 };
    assert_eq!(empty.open(shown.clone()).err(), Some(ahead.into()));
    assert!(empty.open(Vec::new()).is_ok());

    // What this log has not signed counts nothing: it is another's, by other keys.
    let keys = Keys { log: Arc::new(LogKey::p256()), note: Some(Arc::new(LogKey::ed25519(10))) };
    let stranger = Bench::of(MadeLog::of(0), keys);
    assert_eq!(stranger.shown(&policy).await, []);
}

/// A witness that was away at the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_shows_another_history_ends_the_taking_of_entries() {
    let bench = Bench::new(5);
    let witness = bench.witness("A").await;
    let policy = all(&[&witness]);
    let open = bench.cosigned(&policy);
    for _ in 0..5 {
        bench.append(&open.log).await;
    }
    until("it has seen all", async || witness.seen().is_some_and(|seen| seen.size == 5)).await;
    open.log.close().await;
    assert_eq!(witness.complaints(), [""; 0]);
    for (size, sentence) in [
        (2, "has seen 5, signed by this log"),
        (7, "are not those that the witness \"A\" has seen"),
    ] {
        let other = bench.forked(size);
        fill(&other).await;
        let open = other.cosigned(&policy);
        until("it takes nothing", async || open.log.ready().is_err()).await;
        let error = open.log.ready().unwrap_err();
        assert!(matches!(error, LogError::Damaged(_)), "{error}");
        assert!(error.to_string().contains(sentence), "{error}");
        // What is there is still served.
        assert!(open.log.checkpoint().await.is_ok());
        open.log.close().await;
    }
}

/// Logs all entries.
async fn fill(bench: &Bench) {
    let log = bench.open(Vec::new()).unwrap();
    for _ in 0..bench.made.entries.len() {
        bench.append(&log).await;
    }
    log.close().await;
}

/// Certificates are issued all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_that_is_wanting_for_a_minute_is_a_warning() {
    let parts = Parts::golden();
    let authority = Arc::new(parts.open());
    let log = authority.logs.all()[0].clone();
    // It does not know this log.
    let witness = FakeWitness::start("A").await;
    let cosigning = tokio::spawn(log.witness(&witnesses(&all(&[&witness]))).unwrap());
    let router = http::router(App::new(Arc::clone(&authority), &Material::default()));
    let warnings = async || {
        let request = Request::builder().uri("/readyz").body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        body["warnings"].as_array().unwrap().iter().map(|it| it["part"].clone()).collect::<Vec<_>>()
    };
    log.append(MadeLog::of(1).entries.remove(0), Attempt::default()).await.unwrap();
    witness.asked(2).await;
    assert_eq!(warnings().await, [""; 0]);
    parts.clock.set(MIDNIGHT + 60);
    assert_eq!(warnings().await, ["witnesses"]);
    cosigning.abort();
}
