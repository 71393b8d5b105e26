//! The log engine: an entry goes in, its SCT comes out, durable and in the tree.
//!
//! [`Log::append`] hands the entry to the [`sequencer`], which owns the tree, and signs when the entry
//! is where no crash can take it away. Everything else here reads, by the *published* head: what a
//! commit has not published yet nobody sees.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore, oneshot, watch};

use crate::ct::{entry::Entry, sct::Sct};
use crate::record::{Attempt, Record};
use crate::signer::{Signer, SignerError};
use crate::store::{Head, Owner, Placed, Store, StoreError};
use crate::time::{Clock, Timestamp};
use crate::tlog::merkle::Hash;
use crate::tlog::note::{Checkpoint, SignedNote, rfc6962_signature, tree_head};
use crate::tlog::tile::{TileKind, TilePath, width_at};
use crate::tlog::tls::DigitallySigned;
use edge::{WIDTH, read_tile};
use follower::Follower;
use sequencer::{Pending, Place, QUEUE, Sequencer, TOLERANCE};
use tiles::Tiles;

mod boot;
mod edge;
mod follower;
pub mod search;
pub mod sequencer;
mod tiles;

/// How many reads hold a thread at once.
const READS: usize = 8;

/// A certificate log. Cloning shares it.
///
/// The store is closed when the last clone is gone; [`Log::close`] ends appending before that.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    owner: Owner,
    store: Arc<dyn Store>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    // None once the log is closed: the sequencer ends when the last sender is gone.
    queue: ArcSwapOption<SyncSender<Pending>>,
    published: Arc<ArcSwap<Head>>,
    // The head that the newest checkpoint was signed for, and the checkpoint. Locked while one is being
    // signed, so that many who ask make one signature.
    checkpoint: Mutex<Option<(Head, String)>>,
    reads: Semaphore,
    tiles: Arc<Tiles>,
    follower: OnceLock<Follower>,
    searches: Semaphore,
    state: watch::Receiver<State>,
}

/// How a log fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes entries.
    Open,
    /// It was closed, and has ended what it was at.
    Closed,
    /// It can no longer be trusted to append.
    Failed(LogError),
}

/// Whether a log could go on in `store`, as [`Log::open`] finds out; yields its head.
///
/// Somebody may be writing meanwhile: what was read is then of two states, and is read again.
///
/// # Errors
///
/// As [`Log::open`].
pub fn check(store: &dyn Store, owner: &Owner, now: Timestamp) -> Result<Head, LogError> {
    loop {
        let before = store.head()?;
        match boot::check(store, owner, now) {
            Err(_) if store.head()? != before => {}
            checked => return checked.map(|tree| tree.head),
        }
    }
}

impl Log {
    /// Checks that the store is this log's and whole, and starts the sequencer.
    ///
    /// `origin` is `<host>/ct/<shard>`; the log id is made from the signer's key.
    ///
    /// # Errors
    ///
    /// [`LogError::Foreign`], [`LogError::Clock`], [`LogError::Rows`], [`LogError::Root`],
    /// [`LogError::Entry`], [`LogError::Tile`] when the store is not fit to go on with;
    /// [`LogError::Store`] when it cannot be read; [`LogError::Thread`] when there is no thread to be had.
    pub fn open(
        store: Arc<dyn Store>,
        signer: Arc<dyn Signer>,
        clock: Arc<dyn Clock>,
        origin: String,
    ) -> Result<Self, LogError> {
        let owner = Owner { origin, log_id: Hash::of(&[signer.public_key()]).0 };
        let tree = boot::check(store.as_ref(), &owner, clock.now())?;
        let published = Arc::new(ArcSwap::from_pointee(tree.head));
        let (sender, queue) = sync_channel(QUEUE);
        let (state, watched) = watch::channel(State::Open);
        let sequencer = Sequencer {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            queue,
            tree,
            published: Arc::clone(&published),
            state,
        };
        std::thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || sequencer.run())
            .map_err(|error| LogError::Thread(error.to_string()))?;
        let shared = Shared {
            owner,
            store,
            signer,
            clock,
            queue: ArcSwapOption::from_pointee(sender),
            published,
            checkpoint: Mutex::default(),
            reads: Semaphore::new(READS),
            tiles: Arc::default(),
            follower: OnceLock::new(),
            searches: Semaphore::new(search::SEARCHES),
            state: watched,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Logs an entry, and what is kept of the attempt that made it. Durable, and covered by every
    /// checkpoint served from now on, when this returns.
    ///
    /// A caller that goes away before the answer may leave the
    /// entry in the log, as may an error.
    ///
    /// # Errors
    ///
    /// [`LogError::Full`] when too many wait already, [`LogError::Clock`] while the clock is wrong: try
    /// again later. [`LogError::Signer`] when the entry is logged but the SCT could not be signed.
    /// [`LogError::Closed`] and all others: never again.
    pub async fn append(&self, entry: Entry, attempt: Attempt<'_>) -> Result<Sct, LogError> {
        let record = attempt.to_json().map_err(|error| LogError::Record(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        self.enqueue(Pending { entry, record, answer })?;
        // The sequencer answers everybody; it cannot only if it died.
        let Place { index, timestamp, leaf } = answered.await.map_err(|_| self.ended())??;
        let signer = &self.shared.signer;
        let signature = signer.sign(&leaf).await?;
        Ok(Sct {
            log_id: self.log_id(),
            timestamp,
            leaf_index: index,
            algorithm: signer.algorithm(),
            signature,
        })
    }

    fn enqueue(&self, pending: Pending) -> Result<(), LogError> {
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
            State::Closed => LogError::Closed,
            State::Open if self.shared.queue.load().is_none() => LogError::Closed,
            State::Open => LogError::Died,
        }
    }

    /// Waits until the log can no longer be trusted to append, and says why; for ever in a log that
    /// fares well or was closed. The process must end then: another start finds out what is durable.
    pub async fn failed(&self) -> LogError {
        let mut state = self.shared.state.clone();
        let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await.is_ok();
        if !failed && *state.borrow() == State::Closed {
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
        let (head, now) = (self.head().timestamp, clock.now());
        if head.since(now) > TOLERANCE { Err(LogError::Clock { head, now }) } else { Ok(()) }
    }

    /// `<host>/ct/<shard>`.
    pub fn origin(&self) -> &str {
        &self.shared.owner.origin
    }

    /// SHA-256 of the log key's SPKI.
    pub fn log_id(&self) -> [u8; 32] {
        self.shared.owner.log_id
    }

    /// The log key: DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        self.shared.signer.public_key()
    }

    /// The published head: everything in it is durable.
    pub fn head(&self) -> Head {
        **self.shared.published.load()
    }

    /// The published head as a signed note with an RFC 6962 signature; signed when first asked for, kept
    /// until the head moves.
    ///
    /// # Errors
    ///
    /// [`LogError::Signer`] when the log key cannot be used.
    pub async fn checkpoint(&self) -> Result<String, LogError> {
        let mut newest = self.shared.checkpoint.lock().await;
        let head = self.head();
        if let Some((_, note)) = newest.as_ref().filter(|(signed, _)| *signed == head) {
            return Ok(note.clone());
        }
        let note = self.sign(head).await?;
        *newest = Some((head, note.clone()));
        Ok(note)
    }

    async fn sign(&self, head: Head) -> Result<String, LogError> {
        let Head { size, root, timestamp } = head;
        let signer = &self.shared.signer;
        let signature = signer.sign(&tree_head(timestamp, size, &root)).await?;
        let signed = DigitallySigned { algorithm: signer.algorithm(), signature };
        let origin = self.origin();
        let signature = rfc6962_signature(origin, &self.log_id(), timestamp, &signed.encode());
        let text = Checkpoint { origin: origin.to_owned(), size, root }.to_string();
        Ok(SignedNote { text, signatures: vec![signature] }.to_string())
    }

    /// A hash or data tile as static-ct-api has it, partial ones made on demand; `None` where the
    /// published tree has none so wide. Those who read a full tile share it.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read.
    pub async fn tile(&self, path: TilePath) -> Result<Option<Bytes>, LogError> {
        let TilePath { kind, index, width } = path;
        let widest = width_at(self.head().size, kind.level(), index);
        if kind == TileKind::Entries || width == 0 || widest.is_none_or(|widest| width > widest) {
            return Ok(None);
        }
        let tiles = Arc::clone(&self.shared.tiles);
        if let Some(tile) = tiles.get(path) {
            return Ok(Some(tile));
        }
        let read = self.read(move |store| {
            // Whoever had the thread before may have read it.
            if let Some(tile) = tiles.get(path) {
                return Ok(tile);
            }
            let tile = Bytes::from(match kind {
                TileKind::Hashes { level } => read_tile(store, (level, index), u64::from(width))?,
                TileKind::Data | TileKind::Entries => {
                    let first = index * WIDTH;
                    store.tile_leaves(first..first + u64::from(width))?.concat()
                }
            });
            tiles.keep(path, &tile);
            Ok(tile)
        });
        read.await.map(Some)
    }

    /// A certificate of a chain by its SHA-256, DER.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read.
    pub async fn issuer(&self, fingerprint: [u8; 32]) -> Result<Option<Vec<u8>>, LogError> {
        self.read(move |store| store.issuer(&fingerprint)).await
    }

    /// The records of published entries, newest first: those below `before` if it is given, at most
    /// `limit`.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read, [`LogError::Record`] when a record cannot.
    pub async fn records(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Record>, LogError> {
        let size = self.head().size;
        let before = before.map_or(size, |before| before.min(size));
        let found = self.read(move |store| store.records(Some(before), limit)).await?;
        let read = |placed: &Placed| {
            let Placed { index, tile_leaf, record, .. } = placed;
            Record::read(*index, tile_leaf, record)
                .map_err(|error| LogError::Record(error.to_string()))
        };
        found.iter().map(read).collect()
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
    /// The search index failed; it is made anew, and searches read the entries meanwhile.
    #[error("the search index failed: {0}")]
    Index(StoreError),
    /// The log key cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A record cannot be written or read.
    #[error("a record cannot be written or read: {0}")]
    Record(String),
    /// The system gives no thread.
    #[error("the log cannot have a thread: {0}")]
    Thread(String),
    /// The sequencer is gone without a word.
    #[error("the log's sequencer ended unexpectedly")]
    Died,
}
