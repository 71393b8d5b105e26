//! Proofs that the engine makes, held against roots that were computed from all leaves.

use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use mayfly::log::proofs::Unprovable;
use mayfly::log::{Log, LogError};
use mayfly::tlog::merkle::{Frontier, Hash, verify_consistency, verify_inclusion};
use mayfly::tlog::tile::{TileKind, decode_hashes};

use super::{Bench, answered, close, fill, queued, tile};

/// The leaf hashes of a log, and the root of every size that it had.
struct History {
    leaves: Vec<Hash>,
    roots: Vec<Hash>,
}

impl History {
    async fn of(log: &Log) -> Self {
        let size = log.head().size;
        let mut leaves = Vec::new();
        while (leaves.len() as u64) < size {
            let first = leaves.len() as u64;
            let width = (size - first).min(256) as u16;
            let hashes = tile(log, TileKind::Hashes { level: 0 }, first / 256, width).await;
            leaves.extend(decode_hashes(&hashes.unwrap()).unwrap());
        }
        let mut frontier = Frontier::default();
        let mut roots = vec![frontier.root()];
        for leaf in &leaves {
            frontier.push(*leaf);
            roots.push(frontier.root());
        }
        Self { leaves, roots }
    }

    fn tree(&self, size: u64) -> (u64, Hash) {
        (size, self.roots[size as usize])
    }

    async fn check_inclusion(&self, log: &Log, index: u64, size: u64) {
        let proof = log.inclusion_proof(index, size).await.unwrap();
        let leaf = (index, self.leaves[index as usize]);
        assert_eq!(verify_inclusion(leaf, self.tree(size), &proof), Ok(()), "{index} in {size}");
    }

    async fn check_consistency(&self, log: &Log, first: u64, second: u64) {
        let proof = log.consistency_proof(first, second).await.unwrap();
        let verified = verify_consistency(self.tree(first), self.tree(second), &proof);
        assert_eq!(verified, Ok(()), "{first} to {second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_that_the_log_had_can_be_proved() {
    for bench in [Bench::memory(), Bench::sqlite()] {
        let (log, _) = bench.open();
        fill(&log, 600).await;
        let history = History::of(&log).await;
        for second in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 600] {
            for first in (0..=second).filter(|first| first % 37 == 0 || second - first < 3) {
                history.check_consistency(&log, first, second).await;
                if first < second {
                    history.check_inclusion(&log, first, second).await;
                }
            }
        }
        close(&log).await;
    }
}

/// Three levels of tiles, and trees of sizes that end inside each of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_can_be_proved() {
    let bench = Bench::memory();
    let (log, _) = bench.open();
    // An SCT that cannot be signed leaves the entry, and saves the time for it.
    bench.key.broken.store(true, Ordering::SeqCst);
    while log.head().size < 66_000 {
        let next = log.head().size..(log.head().size + 4000).min(66_000);
        let appends: Vec<_> = next.map(|number| queued(&log, number)).collect();
        for append in appends {
            // Some are answered before they are waited for.
            let error = match append {
                Ok(append) => answered(append).await.unwrap_err(),
                Err(error) => error,
            };
            assert!(matches!(error, LogError::Signer(_)), "{error}");
        }
    }
    let history = History::of(&log).await;
    let size = log.head().size;
    let sizes = [1, 255, 256, 257, 4096, 65_535, 65_536, 65_537, 65_800, size];
    for (place, second) in sizes.iter().enumerate() {
        for first in &sizes[..=place] {
            history.check_consistency(&log, *first, *second).await;
            history.check_inclusion(&log, first - 1, *second).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_tree_does_not_hold_cannot_be_proved() {
    let (log, _) = Bench::memory().open();
    fill(&log, 5).await;
    let beyond = Unprovable::Beyond { size: 6, head: 5 };
    assert_eq!(log.inclusion_proof(0, 6).await, Err(beyond.clone()));
    assert_eq!(log.consistency_proof(5, 6).await, Err(beyond));
    let outside = Unprovable::Outside { index: 5, size: 5 };
    assert_eq!(log.inclusion_proof(5, 5).await, Err(outside));
    let none = Unprovable::Outside { index: 0, size: 0 };
    assert_eq!(log.inclusion_proof(0, 0).await, Err(none));
    let backwards = Unprovable::Backwards { first: 3, second: 2 };
    assert_eq!(log.consistency_proof(3, 2).await, Err(backwards));
    let last = u64::MAX;
    let beyond = Unprovable::Beyond { size: last, head: 5 };
    assert_eq!(log.inclusion_proof(last - 1, last).await, Err(beyond.clone()));
    assert_eq!(log.consistency_proof(1, last).await, Err(beyond));
}

/// Somebody else's transaction holds the database up in the middle of a commit; whoever reads reads on.
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_database_never_wait_for_its_writer() {
    let bench = Bench::sqlite();
    let (log, _) = bench.open();
    fill(&log, 300).await;
    let history = History::of(&log).await;
    let other = rusqlite::Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut append = queued(&log, 300).unwrap();
    let reads = async {
        history.check_inclusion(&log, 299, 300).await;
        history.check_consistency(&log, 255, 300).await;
        assert_eq!(log.index_of(history.leaves[0]).await, Ok(Some(0)));
        assert!(tile(&log, TileKind::Data, 0, 256).await.is_some());
        assert!(tile(&log, TileKind::Data, 1, 45).await.is_none());
        assert_eq!(log.signed_head().await.unwrap().head.size, 300);
    };
    tokio::time::timeout(Duration::from_secs(20), reads).await.expect("reads wait for a write");
    let waits = append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(waits, "the commit was not held up");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(answered(append).await.unwrap().leaf_index, 300);
    close(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_found_by_its_leaf_hash() {
    for bench in [Bench::memory(), Bench::sqlite()] {
        let (log, _) = bench.open();
        assert_eq!(log.index_of(Hash::EMPTY).await, Ok(None));
        fill(&log, 513).await;
        let history = History::of(&log).await;
        for index in [0, 255, 256, 300, 511, 512] {
            let leaf = history.leaves[index];
            assert_eq!(log.index_of(leaf).await, Ok(Some(index as u64)));
        }
        assert_eq!(log.index_of(Hash::EMPTY).await, Ok(None));
        close(&log).await;
    }
}
