//! A log that grows at every look at it.

use std::sync::atomic::{AtomicU64, Ordering};

use mayfly::log::{self, Form, Wanted};
use mayfly::time::Clock as _;
use tokio::runtime::Handle;

use super::{Bench, append, close, owner};
use crate::support::patience::soon;
use crate::support::store::FaultyStore;

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
        let busy = FaultyStore::new(store);
        assert!(busy.counted.set(Box::new(grow)).is_ok());
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
