//! A log that grows at every look at it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mayfly::log::{self, Form, Wanted};
use mayfly::store::{Batch, Epoch, Head, Owner, Placed, Store, StoreError, Tile};
use mayfly::time::Clock as _;
use mayfly::tlog::merkle::Hash;
use tokio::runtime::Handle;

use super::{Bench, append, close, owner};
use crate::support::patience::soon;

/// A store that somebody appends to whenever its entries are counted.
struct Busy {
    inner: Arc<dyn Store>,
    grow: Box<dyn Fn() + Send + Sync>,
}

/// Whoever looks does not have to find a moment in which nobody appends.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_log_is_checked_in_one_look() {
    for bench in Bench::all() {
        let bench = bench.filled(3).await;
        let (log, store) = bench.open();
        let (writer, next, runtime) = (log.clone(), AtomicU64::new(3), Handle::current());
        let grow = move || {
            let number = next.fetch_add(1, Ordering::SeqCst);
            assert!(number < 10, "it has been looked at often enough");
            runtime.block_on(append(&writer, number)).unwrap();
        };
        let busy = Busy { inner: store, grow: Box::new(grow) };
        let (owner, now, mark) = (owner(&bench.key), bench.clock.now(), bench.mark.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let (owner, form, mark) = (&owner, Form::Certificates, mark.as_deref());
            log::check(&busy, Wanted { owner, form, now, mark })
        });
        let head = soon("it is checked", checked).await.unwrap().unwrap();
        assert_eq!((head.size, log.head().size), (3, 4));
        close(&log).await;
    }
}

impl Store for Busy {
    fn end(&self) -> Result<u64, StoreError> {
        (self.grow)();
        self.inner.end()
    }

    fn owner(&self) -> &Owner {
        self.inner.owner()
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.inner.head()
    }

    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError> {
        self.inner.begin(head, epoch)
    }

    fn mend(&self, head: Head, tiles: &[Tile]) -> Result<(), StoreError> {
        self.inner.mend(head, tiles)
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        self.inner.append(batch)
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        self.inner.leaf_hashes(range)
    }

    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        self.inner.tile_leaves(range)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.tile(level, index)
    }

    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError> {
        self.inner.put_issuer(der)
    }

    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.issuer(fingerprint)
    }

    fn examine(&self) -> Result<(), StoreError> {
        self.inner.examine()
    }

    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Placed>, StoreError> {
        self.inner.records(before, limit)
    }
}
