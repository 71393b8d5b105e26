//! Failures of ours: the key, the log, the store, the clock, the chain. The caller learns that it is not
//! his fault, and nothing of our insides.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use mayfly::authority::Authority;
use mayfly::certificate::check::CheckError;
use mayfly::certificate::profile::ProfileError;
use mayfly::ct::entry::Entry;
use mayfly::log::sequencer::QUEUE;
use mayfly::log::shards::Shards;
use mayfly::log::{Log, LogError};
use mayfly::record::Attempt;
use mayfly::signer::SignerError;
use mayfly::store::StoreError;
use mayfly::time::Timestamp;

use crate::support::authority::{Parts, chain};
use crate::support::issuer::MIDNIGHT;
use crate::support::patience::{soon, until};
use crate::support::signer::{FaultySigner, Mishap};
use crate::support::store::Fault;

use super::{Ask, Bite, Outcome};

const CASE: &str = "github/push";
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[tokio::test]
async fn chains() {
    super::check(bites()).await;
}

/// Settings with which nothing can be issued.
pub fn bites() -> Vec<Bite> {
    let expired = ProfileError::AuthorityExpired { not_after: chain().not_after() };
    let early = ProfileError::AuthorityNotYetValid { not_before: chain().not_before() };
    vec![
        Bite::world(
            CASE,
            |parts| parts.config.lifetime = CENTURY,
            Outcome::new(expired, 503, "AUTHORITY_EXPIRED"),
        ),
        Bite::world(
            CASE,
            |parts| parts.config.backdate = Duration::from_secs(2 * 365 * 24 * 60 * 60),
            Outcome::new(early, 503, "AUTHORITY_NOT_YET_VALID"),
        ),
    ]
}

/// Something that goes wrong while the authority runs.
struct Trouble {
    at: &'static Location<'static>,
    begin: fn(&Parts),
    outcome: Outcome,
    /// Whether the log ends by it, and the process with the log.
    ends: bool,
}

#[track_caller]
fn trouble(begin: fn(&Parts), outcome: Outcome) -> Trouble {
    Trouble { at: Location::caller(), begin, outcome, ends: false }
}

#[track_caller]
fn end(begin: fn(&Parts), error: LogError) -> Trouble {
    let outcome = Outcome::new(error, 503, "LOG_UNAVAILABLE");
    Trouble { at: Location::caller(), begin, outcome, ends: true }
}

fn troubles() -> Vec<Trouble> {
    let signer = || SignerError(FaultySigner::SECRET.to_owned());
    let midnight = Timestamp::from_secs(MIDNIGHT);
    let clock = LogError::Clock { head: midnight, now: Timestamp::from_secs(MIDNIGHT - 2) };
    let scts = der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
    vec![
        trouble(
            |parts| parts.signer.fail(Mishap::Refuses),
            Outcome::new(signer(), 503, "SIGNER_UNAVAILABLE"),
        ),
        trouble(|parts| parts.clock.set(MIDNIGHT - 2), Outcome::new(clock, 503, "CLOCK_WRONG")),
        // The entry is in the log by then; no certificate is.
        trouble(
            |parts| parts.log_key.fail(Mishap::Refuses),
            Outcome {
                logged: 1,
                ..Outcome::new(LogError::Signer(signer()), 503, "LOG_UNAVAILABLE")
            },
        ),
        trouble(
            |parts| parts.log_key.fail(Mishap::Rambles),
            Outcome {
                logged: 1,
                ..Outcome::new(CheckError::Extension(scts), 500, "CERTIFICATE_UNSOUND")
            },
        ),
        end(
            |parts| parts.store.fail(Fault::Before),
            LogError::Store(StoreError::Backend("told to fail".to_owned())),
        ),
        // Written all the same, which nobody knows before the next start.
        end(
            |parts| parts.store.fail(Fault::After),
            LogError::Store(StoreError::Backend("told to fail".to_owned())),
        ),
        end(|parts| parts.store.fail(Fault::Panic), LogError::Died),
    ]
}

#[tokio::test]
async fn troubles_of_ours() {
    for trouble in troubles() {
        let parts = Parts::golden();
        let good = Ask::golden(CASE).request();
        let authority = Arc::new(parts.open());
        (trouble.begin)(&parts);
        super::refused(&authority, &good, &trouble.outcome, trouble.at).await;

        parts.clock.set(MIDNIGHT);
        parts.signer.heal();
        parts.log_key.heal();
        let authority = if trouble.ends { Arc::new(parts.open()) } else { authority };
        super::issued(&authority, &good, trouble.at).await;
    }
}

fn full() -> Outcome {
    Outcome::new(LogError::Full, 503, "LOG_FULL")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_too_many_waiting() {
    let parts = Parts::golden();
    let good = Ask::golden(CASE).request();
    let authority = Arc::new(parts.open());
    let gate = parts.store.gate.lock().await;
    // What the sequencer takes later would make room again: it is to be held up with the first.
    let mut waiting = vec![queued(&authority).expect("there is room")];
    until("it is held up", async || parts.store.begun.load(Ordering::SeqCst) == 1).await;
    waiting.extend(std::iter::from_fn(|| queued(&authority)));
    assert_eq!(waiting.len(), 1 + QUEUE);
    super::refused(&authority, &good, &full(), Location::caller()).await;
    drop(gate);
    for append in waiting {
        soon("its place", append).await.unwrap();
    }
    super::issued(&authority, &good, Location::caller()).await;
}

/// Appends an entry that waits in the queue; none where that is full.
fn queued(authority: &Authority) -> Option<impl Future<Output = Result<(), LogError>> + use<>> {
    let entry = Entry {
        issuer_key_hash: [7; 32],
        tbs: vec![0; 8],
        precertificate: vec![0; 8],
        chain: [[1; 32]].into(),
    };
    let log = authority.logs.all()[0].clone();
    let mut append = Box::pin(async move { log.append(entry, Attempt::default()).await.map(drop) });
    let polled = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    polled.is_pending().then_some(append)
}

fn closed() -> Outcome {
    Outcome::new(LogError::Closed, 503, "SHUTTING_DOWN")
}

#[tokio::test]
async fn a_log_that_is_closed() {
    let parts = Parts::golden();
    let good = Ask::golden(CASE).request();
    let authority = Arc::new(parts.open());
    authority.logs.close().await;
    super::refused(&authority, &good, &closed(), Location::caller()).await;
    super::issued(&Arc::new(parts.open()), &good, Location::caller()).await;
}

fn read_only() -> Outcome {
    Outcome::new(LogError::ReadOnly, 503, "READ_ONLY")
}

#[tokio::test]
async fn a_log_that_is_read_only() {
    let parts = Parts::golden();
    let good = Ask::golden(CASE).request();
    let authority = Arc::new(parts.open_read_only());
    super::refused(&authority, &good, &read_only(), Location::caller()).await;
    super::issued(&Arc::new(parts.open()), &good, Location::caller()).await;
}

fn over() -> Outcome {
    let (origin, end) = ("ca.golden.example/ct/2026".to_owned(), Timestamp::from_year(2027));
    Outcome::new(LogError::Over { origin, end }, 503, "LOG_UNAVAILABLE")
}

fn uncovered() -> Outcome {
    let not_after = Timestamp::from_secs(MIDNIGHT + 600);
    Outcome::new(LogError::Uncovered { not_after }, 503, "LOG_UNAVAILABLE")
}

#[tokio::test]
async fn a_log_whose_window_has_ended_and_none_at_all() {
    let parts = Parts::golden();
    let good = Ask::golden(CASE).request();
    let authority = parts.open();
    authority.logs.close().await;
    authority.logs.put(Log::open_over(parts.means()).expect("a log"));
    super::refused(&Arc::new(authority), &good, &over(), Location::caller()).await;
    let authority = Arc::new(Authority { logs: Shards::new(Vec::new()), ..parts.open() });
    super::refused(&authority, &good, &uncovered(), Location::caller()).await;
    super::issued(&Arc::new(parts.open()), &good, Location::caller()).await;
}

/// What all of these end in.
pub fn outcomes() -> Vec<Outcome> {
    let bites = bites().into_iter().map(|bite| bite.outcome);
    let troubles = troubles().into_iter().map(|trouble| trouble.outcome);
    let closed = [full(), closed(), read_only(), over(), uncovered()];
    bites.chain(troubles).chain(closed).collect()
}
