//! The shards of a log: which one takes an entry, and all of them to be read.
//!
//! Each is a log of its own, with a key, a name and a [`Window`]; a certificate belongs into the one that
//! holds its notAfter, a signature into the one that holds the time when it comes. A shard is added before its window begins, and stays when it has ended.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Log, LogError};
use crate::ct::window::Window;
use crate::time::Timestamp;

/// All shards of a log. Cloning shares them.
#[derive(Clone)]
pub struct Shards {
    // Replaced as a whole; watched by whoever waits for one of them to fail.
    logs: Arc<watch::Sender<Arc<[Log]>>>,
}

impl Shards {
    /// These shards.
    pub fn new(logs: Vec<Log>) -> Self {
        Self { logs: Arc::new(watch::Sender::new(sorted(logs))) }
    }

    /// All of them, earliest window first.
    pub fn all(&self) -> Arc<[Log]> {
        self.logs.borrow().clone()
    }

    /// The shard for a certificate that ends at `not_after`, or for a signature that comes then, which takes
    /// it now.
    ///
    /// # Errors
    ///
    /// [`LogError::Uncovered`] when there is none; those of [`Log::ready`].
    pub fn current(&self, not_after: Timestamp) -> Result<Log, LogError> {
        let logs = self.all();
        let log = logs.iter().find(|log| log.window().holds(not_after));
        let log = log.ok_or(LogError::Uncovered { not_after })?;
        log.ready().map(|()| log.clone())
    }

    /// The shard of this name.
    pub fn named(&self, name: &str) -> Option<Log> {
        self.all().iter().find(|log| log.shard() == name).cloned()
    }

    /// The shard whose window holds `now`; the newest where none does.
    pub fn at(&self, now: Timestamp) -> Option<Log> {
        let logs = self.all();
        logs.iter().find(|log| log.window().holds(now)).or(logs.last()).cloned()
    }

    /// Whether a clock that says `now` can be right, by the newest heads of all of them.
    ///
    /// # Errors
    ///
    /// [`LogError::Clock`] when it cannot.
    pub fn check_clock(&self, now: Timestamp) -> Result<(), LogError> {
        self.all().iter().try_for_each(|log| log.check_clock(now))
    }

    /// The first notAfter from `from` on that no shard takes.
    pub fn covered(&self, from: Timestamp) -> Timestamp {
        let windows: Vec<Window> = self.all().iter().map(Log::window).collect();
        Window::covered(&windows, from)
    }

    /// Adds a shard, in place of one of the same name.
    pub fn put(&self, log: Log) {
        self.logs.send_modify(|logs| {
            let mut all = logs.to_vec();
            all.retain(|other| other.shard() != log.shard());
            all.push(log);
            *logs = sorted(all);
        });
    }

    /// How many entries all of them have.
    pub fn size(&self) -> u64 {
        self.all().iter().map(|log| log.head().size).sum()
    }

    /// Waits until one of them, of those added later too, can no longer be trusted to append, and says
    /// why; see [`Log::failed`].
    pub async fn failed(&self) -> LogError {
        let mut changes = self.logs.subscribe();
        loop {
            let mut each = JoinSet::new();
            let logs = changes.borrow_and_update().clone();
            for log in logs.iter() {
                let log = log.clone();
                each.spawn(async move { log.failed().await });
            }
            tokio::select! {
                Some(Ok(error)) = each.join_next() => return error,
                // We hold the sender: there is always a next change to wait for.
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Closes all of them; see [`Log::close`].
    pub async fn close(&self) {
        for log in self.all().iter() {
            log.close().await;
        }
    }
}

fn sorted(mut logs: Vec<Log>) -> Arc<[Log]> {
    logs.sort_by_key(Log::window);
    logs.into()
}
