//! The log engine: an entry goes in, its SCT or its place comes out, durable and in the tree.
//!
//! [`Log::append`] hands the entry to the [`sequencer`], which owns the tree, and signs when the entry
//! is where no crash can take it away. Everything else here reads, by the *published* head: what a
//! commit has not published yet nobody sees.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::ct::{entry::Entry, sct::Sct, window::Window};
use crate::record::Attempt;
use crate::signer::SignerError;
use crate::store::{Head, Owner, Store, StoreError};
use crate::time::{Clock, Timestamp};
use crate::tlog::merkle::Hash;
use crate::tlog::tile::{TileKind, TilePath, width_at};
pub use boot::Wanted;
pub use first::begin;
use follower::Follower;
pub use form::Form;
use mark::MarkError;
use once::Once;
pub use open::{Means, Opening, check};
use scrub::Damage;
use sequencer::{Pending, Place, TOLERANCE};
use signed::{Keys, Newest};
use tiles::Tiles;
use witness::{Cosigned, WitnessError};

pub mod audit;
mod boot;
mod closed;
mod compressed;
mod edge;
mod entries;
mod first;
mod follower;
mod form;
pub mod mark;
mod once;
pub mod open;
mod paths;
pub mod proofs;
pub mod scrub;
pub mod search;
pub mod sequencer;
pub mod shards;
pub mod signed;
mod tiles;
pub mod witness;

/// How many reads hold a thread at once.
const READS: usize = 8;

/// A log of certificates or of signatures. Cloning shares it.
///
/// The store is closed when the last clone is gone; [`Log::close`] ends appending before that.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    owner: Owner,
    shard: String,
    form: Form,
    store: Arc<dyn Store>,
    keys: Keys,
    clock: Arc<dyn Clock>,
    // None once the log is closed: the sequencer ends when the last sender is gone.
    queue: ArcSwapOption<SyncSender<Pending>>,
    published: Arc<ArcSwap<Head>>,
    newest: Newest,
    once: Once,
    reads: Semaphore,
    tiles: Arc<Tiles>,
    compressed: Arc<Tiles>,
    follower: OnceLock<Follower>,
    cosigned: OnceLock<Cosigned>,
    state: watch::Receiver<State>,
    damage: Damage,
}

/// How a log fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes entries.
    Open,
    /// It is read, and takes none.
    ReadOnly,
    /// It was closed, and has ended what it was at.
    Closed,
    /// Its window has ended.
    Over,
    /// It can no longer be trusted to append.
    Failed(LogError),
}

impl Log {
    /// Logs an entry, and what is kept of the attempt that made it. Durable, and covered by every
    /// checkpoint served from now on, when this returns.
    ///
    /// A caller that goes away before the answer may leave the entry in the log, as may an error.
    ///
    /// # Errors
    ///
    /// [`LogError::Full`] when too many wait already, [`LogError::Clock`] while the clock is wrong: try
    /// again later. [`LogError::Signer`] when the entry is logged but the SCT could not be signed.
    /// [`LogError::Closed`] and all others: never again.
    pub async fn append(&self, entry: Entry, attempt: Attempt<'_>) -> Result<Sct, LogError> {
        let record = attempt.to_json().map_err(|error| LogError::Record(error.to_string()))?;
        let Place { index, timestamp, leaf } = self.place(Box::new(entry), record).await?;
        let signer = &self.shared.keys.log;
        let signature = signer.sign(&leaf).await?;
        Ok(Sct {
            log_id: self.log_id(),
            timestamp,
            leaf_index: index,
            algorithm: signer.algorithm(),
            signature,
        })
    }

    /// Has an entry of the log's form sequenced; it is durable when this returns.
    async fn place(&self, entry: Box<dyn form::Entry>, record: String) -> Result<Place, LogError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Pending { entry, record, answer })?;
        // The sequencer answers everybody; it cannot only if it died.
        answered.await.map_err(|_| self.ended())?
    }

    fn enqueue(&self, pending: Pending) -> Result<(), LogError> {
        self.shared.damage.none()?;
        let queue = self.shared.queue.load();
        let queue = queue.as_ref().ok_or_else(|| self.ended())?;
        queue.try_send(pending).map_err(|error| match error {
            TrySendError::Full(_) => LogError::Full,
            TrySendError::Disconnected(_) => self.ended(),
        })
    }

    /// Why no entry is taken any more.
    fn ended(&self) -> LogError {
        match &*self.shared.state.borrow() {
            State::Failed(error) => error.clone(),
            State::ReadOnly => LogError::ReadOnly,
            State::Closed => LogError::Closed,
            State::Over => self.over(),
            State::Open if self.shared.queue.load().is_none() => LogError::Closed,
            State::Open => LogError::Died,
        }
    }

    /// Waits until the log can no longer be trusted to append, and says why; for ever in a log that
    /// fares well or was closed. The process must end then: another start finds out what is durable.
    pub async fn failed(&self) -> LogError {
        let mut state = self.shared.state.clone();
        let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await.is_ok();
        let still = matches!(*state.borrow(), State::Closed | State::ReadOnly | State::Over);
        if !failed && still {
            return std::future::pending().await;
        }
        self.ended()
    }

    /// Whether an entry would be taken now; asks nobody and waits for nothing.
    ///
    /// # Errors
    ///
    /// Why it would not: [`LogError::Clock`] may pass, all others stay.
    pub fn ready(&self) -> Result<(), LogError> {
        let Shared { state, queue, clock, .. } = &*self.shared;
        let alive = state.has_changed().is_ok() && *state.borrow() == State::Open;
        if !alive || queue.load().is_none() {
            return Err(self.ended());
        }
        self.shared.damage.none()?;
        self.check_clock(clock.now())
    }

    /// Whether a clock that says `now` can be right: time does not go back behind the newest head.
    ///
    /// # Errors
    ///
    /// [`LogError::Clock`] when it cannot.
    pub fn check_clock(&self, now: Timestamp) -> Result<(), LogError> {
        let head = self.head().timestamp;
        if head.since(now) > TOLERANCE { Err(LogError::Clock { head, now }) } else { Ok(()) }
    }

    /// What its entries look like.
    pub fn form(&self) -> Form {
        self.shared.form
    }

    /// `<host>/ct/<shard>` for certificates; for signatures the host's name alone, for all shards.
    pub fn origin(&self) -> &str {
        &self.shared.owner.origin
    }

    /// Which shard of its log it is, `2026`.
    pub fn shard(&self) -> &str {
        &self.shared.shard
    }

    /// SHA-256 of the log key's SPKI.
    pub fn log_id(&self) -> [u8; 32] {
        self.shared.owner.log_id
    }

    /// The certificates that it takes.
    pub fn window(&self) -> Window {
        self.shared.owner.window
    }

    /// The log key: DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        self.shared.keys.log.public_key()
    }

    /// The published head: everything in it is durable.
    pub fn head(&self) -> Head {
        **self.shared.published.load()
    }

    /// A tile of hashes, or of entries as the log's form has them, partial ones made on demand; `None`
    /// where the published tree has none so wide. Those who read a full tile share it.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read.
    pub async fn tile(&self, path: TilePath) -> Result<Option<Bytes>, LogError> {
        let TilePath { kind, index, width } = path;
        let form = self.shared.form;
        let serves = matches!(kind, TileKind::Hashes { .. }) || kind == form.tiles();
        let widest = width_at(self.head().size, kind.level(), index);
        if !serves || width == 0 || widest.is_none_or(|widest| width > widest) {
            return Ok(None);
        }
        let tiles = Arc::clone(&self.shared.tiles);
        if let Some(tile) = tiles.get(path) {
            return Ok(Some(tile));
        }
        // Whoever had the thread before may have read it.
        self.read(move |store| tiles.read(store, path)).await.map(Some)
    }

    /// A certificate of a chain by its SHA-256, DER.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read.
    pub async fn issuer(&self, fingerprint: [u8; 32]) -> Result<Option<Vec<u8>>, LogError> {
        self.read(move |store| store.issuer(&fingerprint)).await
    }

    /// Keeps the certificates of a chain, DER, before the first entry refers to them; durable on return.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when they cannot be written.
    pub async fn keep_chain(&self, ders: &[Vec<u8>]) -> Result<(), LogError> {
        let ders = ders.to_vec();
        self.read(move |store| ders.iter().try_for_each(|der| store.put_issuer(der))).await
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, LogError> {
        let _permit = self.shared.reads.acquire().await.map_err(|_| LogError::Closed)?;
        let store = Arc::clone(&self.shared.store);
        let read = tokio::task::spawn_blocking(move || read(store.as_ref())).await;
        Ok(read.map_err(|error| LogError::Thread(error.to_string()))??)
    }

    /// Stops taking entries, logs and answers those that are queued, and returns when the last commit is
    /// done. Reads go on.
    pub async fn close(&self) {
        self.shared.queue.store(None);
        let mut state = self.shared.state.clone();
        // An error means that the sequencer is gone, which is as good.
        let _ = state.wait_for(|state| *state != State::Open).await;
    }
}

/// Why the log did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Too many entries wait: try again in a moment.
    #[error("the log's queue is full; try again in a moment")]
    Full,
    /// It was closed.
    #[error("the log is shutting down")]
    Closed,
    /// It was opened to be read.
    #[error("the log is served for reading only (serve --read-only): it takes no entries")]
    ReadOnly,
    /// Something old in it is not what it was.
    #[error("the log takes no entries, because it was found damaged: {0}")]
    Damaged(String),
    /// It takes no certificates any more.
    #[error(
        "the log {origin} is closed: it took the certificates that end before {end}, and is only read from then on"
    )]
    Over {
        /// Which log.
        origin: String,
        /// The end of its window.
        end: Timestamp,
    },
    /// No shard takes such a certificate.
    #[error(
        "no shard of the log takes certificates that end at {not_after}; look at the clock, or make the next shard with `mayfly rotate log`"
    )]
    Uncovered {
        /// When it ends.
        not_after: Timestamp,
    },
    /// The clock is behind the newest entry: no timestamp would be true.
    #[error(
        "the clock is behind the log: it says {now}, the newest entry is from {head}; set the clock right, or find out whether it was wrong before"
    )]
    Clock {
        /// The timestamp of the head.
        head: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
    /// The store is another log's.
    #[error(
        "the store belongs to the log {theirs}, not to {ours}: check the URL, the data folder and the log key in the configuration"
    )]
    Foreign {
        /// Whose it is.
        theirs: String,
        /// Who asks.
        ours: String,
    },
    /// There are entries beyond the head, or missing before it.
    #[error(
        "the store has entries up to {rows}, its head says {size}: something else has written to it, or a part is missing; keep the file as it is and see \"When it does not start\" in docs/operating.md"
    )]
    Rows {
        /// One more than the highest index.
        rows: u64,
        /// The size of the head.
        size: u64,
    },
    /// The tree is not the one that the head names.
    #[error(
        "the tree of {size} entries in the store does not have the root that its head names: the store is damaged; keep it as it is, and do not put an old copy back"
    )]
    Root {
        /// The size of the head.
        size: u64,
    },
    /// An entry is not what its hash says.
    #[error(
        "entry {index} in the store is not the one that was logged: the store is damaged; keep it as it is, and do not put an old copy back"
    )]
    Entry {
        /// Its position.
        index: u64,
    },
    /// A certificate that an entry refers to is not there.
    #[error(
        "the certificate {fingerprint}, which entry {index} refers to, is not in the store: the store is damaged; keep it as it is, and do not put an old copy back"
    )]
    Issuer {
        /// The entry's position.
        index: u64,
        /// The certificate's SHA-256.
        fingerprint: Hash,
    },
    /// A tile is not made of what it stands for.
    #[error(
        "tile {index} of level {level} in the store does not match its entries: the store is damaged; keep it as it is, and do not put an old copy back"
    )]
    Tile {
        /// Its level.
        level: u8,
        /// Its position in the level.
        index: u64,
    },
    /// Two computations of the same tree differ.
    #[error(
        "two computations of the tree of {size} entries differ: the memory of this machine may be faulty; nothing was signed, test it before starting again"
    )]
    Miscomputed {
        /// The size it would have had.
        size: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mark does not let it go on, or failed.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// A witness does not let it go on.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The search index failed; it is made anew, and searches read the entries meanwhile.
    #[error("the search index failed: {0}")]
    Index(StoreError),
    /// The log key cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A record cannot be written or read, or is not that of its entry.
    #[error("a record does not hold: {0}")]
    Record(String),
    /// The system gives no thread.
    #[error("the log cannot have a thread: {0}")]
    Thread(String),
    /// The sequencer is gone without a word.
    #[error("the log's sequencer ended unexpectedly")]
    Died,
}
