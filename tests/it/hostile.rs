//! Forty hostile callers against the real binary, over sockets.
//!
//! Each is withstood only if the answer is of the class that its row says, nothing is logged, nobody
//! was called who should not be, memory stays within the row's bounds, and a good request right after
//! is issued.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use self::bench::{Answer, Bench};
use crate::support::patience::soon;

mod algorithms;
mod bench;
mod claims;
mod doors;
mod issuers;
mod keys;
mod tokens;

/// No row takes longer, on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(90);
/// By how many MiB the process may grow, unless the row says otherwise.
const ALLOWANCE: u64 = 96;

/// The cases, as their catalogue names them.
const PUBLIC: [&str; 40] = [
    "JW-001",
    "JW-004",
    "JW-007",
    "JW-019",
    "JW-024",
    "JW-025",
    "JW-041",
    "JW-046", //
    "AL-001a",
    "AL-003a",
    "AL-006",
    "AL-011",
    "AL-015a",
    "AL-019",
    "AL-020",
    "AL-047", //
    "IS-001",
    "IS-002",
    "IS-013a",
    "IS-014",
    "TM-001",
    "TM-004a",
    "TM-006",
    "AU-001",
    "AU-010", //
    "SE-001",
    "SE-008a",
    "SR-002f",
    "SK-002",
    "SC-001",
    "SC-010-job_workflow_ref", //
    "DC-003",
    "DC-009",
    "PK-010-1024",
    "PK-035a",
    "PP-004",
    "CS-004",
    "CS-020",
    "HT-010",
    "RS-001",
];

/// One hostile caller.
struct Row {
    id: Text,
    act: Act,
    expect: Expect,
    /// Words of the refusal: each is refused for what is wrong with it, and not for a slip of ours.
    words: Text,
    allowance: u64,
}

/// What somebody does, and what is said to the last of it.
enum Act {
    Ask(fn(&Bench) -> Value),
    Course(Course),
}

type Text = &'static str;
type Course = for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// What may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// 400, 401 or 403.
    TokenRefused,
    /// 400 or 422.
    KeyRefused,
    /// Any 4xx.
    Refused,
    /// Any 4xx, 502, 503 or 504.
    Unavailable,
    /// Any 4xx, or a connection that was closed.
    TurnedAway,
    /// A certificate.
    Issued,
}

impl Expect {
    fn allows(self, status: Option<u16>) -> bool {
        match (self, status) {
            (Self::TurnedAway, None) => true,
            (_, None) => false,
            (Self::TokenRefused, Some(status)) => matches!(status, 400 | 401 | 403),
            (Self::KeyRefused, Some(status)) => matches!(status, 400 | 422),
            (Self::Refused | Self::TurnedAway, Some(status)) => (400..500).contains(&status),
            (Self::Unavailable, Some(status)) => matches!(status, 400..500 | 502..=504),
            (Self::Issued, Some(status)) => matches!(status, 200 | 201),
        }
    }
}

impl Row {
    fn ask(id: Text, expect: Expect, words: Text, body: fn(&Bench) -> Value) -> Self {
        Self { id, act: Act::Ask(body), expect, words, allowance: ALLOWANCE }
    }

    fn course(id: Text, expect: Expect, words: Text, course: Course) -> Self {
        Self { id, act: Act::Course(course), expect, words, allowance: ALLOWANCE }
    }

    fn within(self, allowance: u64) -> Self {
        Self { allowance, ..self }
    }

    async fn is_withstood(&self, bench: &Bench) {
        let (id, before) = (self.id, bench.head().await);
        let resident = bench.forget_peak();
        let answer = match self.act {
            Act::Ask(body) => bench.post(&body(bench)).await,
            Act::Course(course) => course(bench).await,
        };
        let grown = bench.peak().saturating_sub(resident) / 1024;
        assert!(self.expect.allows(answer.status), "{id}: {:?} to get {answer:?}", self.expect);
        assert!(grown <= self.allowance, "{id}: {grown} MiB more, {} allowed", self.allowance);
        assert_eq!(bench.canary(), 0, "{id}: somebody was called");
        if self.expect == Expect::Issued {
            assert!(answer.certificate().is_some(), "{id}: no certificate in {answer:?}");
        } else {
            assert!(answer.says(self.words), "{id}: {:?} is not said in {answer:?}", self.words);
            assert!(answer.certificate().is_none(), "{id}: a certificate in {answer:?}");
            assert_eq!(bench.head().await, before, "{id}: something was logged");
        }
        let size = bench.head().await.size;
        let good = bench.post(&bench.good()).await;
        assert!(good.certificate().is_some(), "{id}: a good request right after: {good:?}");
        assert_eq!(bench.head().await.size, size + 1, "{id}: a good request is logged once");
    }
}

/// Every one of `rows` is withstood, one after the other.
async fn withstand(rows: Vec<Row>) {
    let bench = soon("an instance that issues", Bench::start()).await;
    for row in rows {
        let withstood = tokio::time::timeout(PATIENCE, row.is_withstood(&bench));
        assert!(withstood.await.is_ok(), "{}: not within {PATIENCE:?}", row.id);
    }
}

#[test]
fn all_forty_are_here() {
    let rows = [
        tokens::rows(),
        algorithms::rows(),
        issuers::rows(),
        claims::rows(),
        keys::rows(),
        doors::rows(),
    ];
    let rows: Vec<&str> = rows.iter().flatten().map(|row| row.id).collect();
    let found: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(found, BTreeSet::from(PUBLIC));
    assert_eq!(rows.len(), PUBLIC.len(), "one twice");
}
