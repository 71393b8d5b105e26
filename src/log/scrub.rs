//! The scrub: a thread that reads old entries and tiles again, all the while the log is open.
//!
//! A disk forgets silently, and what nobody reads nobody misses. So all of the log is computed again from
//! its entries ([`Audit`]), slowly: a tile's worth of entries, a rest, the next ones; and after the last a
//! long rest. What it finds is said as an error, once; from then on nothing is appended and no new head is
//! signed, because each would vouch for what is no longer there. Everything is still read and served.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::LogError;
use super::audit::Audit;
use super::form::Form;
use crate::store::{Head, Store, StoreError};

/// The rest after each slice of 256 entries: a million entries take two hours.
pub const REST: Duration = Duration::from_secs(2);
/// The rest after all of them, in rests after a slice: an hour.
const ROUND: u32 = 1800;

/// What was found wrong with a log while it was open.
#[derive(Clone, Debug, Default)]
pub struct Damage(Arc<OnceLock<LogError>>);

impl Damage {
    /// Whether nothing was found.
    ///
    /// # Errors
    ///
    /// [`LogError::Damaged`] if something was.
    pub fn none(&self) -> Result<(), LogError> {
        self.0.get().map_or(Ok(()), |found| Err(LogError::Damaged(found.to_string())))
    }

    /// Says what was found, and remembers the first of it.
    pub(super) fn note(&self, found: LogError) {
        tracing::error!(%found, "the log is damaged; it takes no entries any more");
        // The first is enough.
        let _ = self.0.set(found);
    }
}

/// What is scrubbed.
pub struct Scrub {
    /// Where the log lives.
    pub store: Arc<dyn Store>,
    /// What its entries look like.
    pub form: Form,
    /// How far it goes.
    pub published: Arc<ArcSwap<Head>>,
    /// Where what is found is said.
    pub damage: Damage,
}

/// A scrub that is under way.
pub struct Scrubbing {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Scrubbing {
    /// Ends it, and waits until it has let go of the store.
    pub fn end(self) {
        drop(self.stop);
        // A panic there has been printed, and is nothing to stop for here.
        let _ = self.thread.join();
    }
}

impl Scrub {
    /// Begins, with so much rest between two slices.
    ///
    /// # Errors
    ///
    /// [`LogError::Thread`] when there is no thread to be had.
    pub fn start(self, rest: Duration) -> Result<Scrubbing, LogError> {
        let (stop, stopped) = sync_channel(0);
        let scrub = move || while self.round(rest, &stopped) {};
        let thread = std::thread::Builder::new().name("scrub".into()).spawn(scrub);
        let thread = thread.map_err(|error| LogError::Thread(error.to_string()))?;
        Ok(Scrubbing { stop, thread })
    }

    /// Reads all of the log once; yields whether to begin again.
    fn round(&self, rest: Duration, stopped: &Receiver<()>) -> bool {
        let mut audit = Audit::of(self.form, **self.published.load());
        loop {
            if !rested(rest, stopped) {
                return false;
            }
            match audit.step(self.store.as_ref()) {
                Ok(None) => return rested(rest.saturating_mul(ROUND), stopped),
                Ok(Some(found)) => found.into_iter().for_each(|found| self.damage.note(found)),
                Err(LogError::Store(StoreError::Backend(error))) => {
                    // It may pass; if it does not, the next commit fails as well.
                    tracing::warn!(error, "the scrub could not read the log");
                    return rested(rest.saturating_mul(ROUND), stopped);
                }
                Err(found) => self.damage.note(found),
            }
            if self.damage.none().is_err() {
                return false;
            }
        }
    }
}

/// Waits; yields false when the log is being closed.
fn rested(rest: Duration, stopped: &Receiver<()>) -> bool {
    stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout)
}
