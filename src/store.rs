//! The port to the place where a log lives: head, entries, tiles, issuers.
//!
//! A [`Store`] keeps; it does not compute. What is a leaf, which tile is complete and what the root
//! is, [`crate::log`] decides, hands over as one [`Batch`], and has it made durable or refused whole.

use std::fmt;
use std::ops::Range;

use crate::ct::window::Window;
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

mod beside;
pub mod index;
mod reader;
mod readers;
pub mod refusals;
pub mod sqlite;

/// The log that a store belongs to: written when the store is made, the same ever after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The log's origin: `<host>/ct/<shard>` for a certificate log.
    pub origin: String,
    /// SHA-256 of the log key's SPKI.
    pub log_id: [u8; 32],
    /// The certificates that it takes.
    pub window: Window,
}

impl Owner {
    /// The last part of the origin: which shard of its log it is, `2026`.
    pub fn shard(&self) -> &str {
        self.origin.rsplit('/').next().unwrap_or_default()
    }
}

/// `ca.example.com/ct/2026 (log id 0011…)`, the id in hex.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (log id {})", self.origin, Hash(self.log_id))
    }
}

/// The newest committed state of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub size: u64,
    /// The Merkle tree hash over all of them.
    pub root: Hash,
    /// The time of the batch that made it: no entry is later.
    pub timestamp: Timestamp,
}

/// Who appends: drawn at random by each process that opens a log to append to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub [u8; 16]);

/// One entry, placed: what is written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its position in the tree, from 0.
    pub index: u64,
    /// The hash of its leaf.
    pub leaf_hash: Hash,
    /// What its tile of entries holds of it: octets, whose meaning the log knows. (A store may pack what
    /// it recognises, as long as every octet comes back.)
    pub tile_leaf: Vec<u8>,
    /// What its [`crate::record::Record`] says beside the certificate: [`crate::record::Attempt`], JSON.
    pub record: String,
}

/// A tile of hashes, as far as it is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for the tiles made of leaf hashes.
    pub level: u8,
    /// Its position in the level, from 0.
    pub index: u64,
    /// 1 to 256 hashes of 32 octets: at level 0 always 256.
    pub hashes: Vec<u8>,
}

/// What one transaction makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The head that this batch was computed from.
    pub before: Head,
    /// The epoch that it is written in.
    pub epoch: Epoch,
    /// The new entries: indexes from `before.size` up, without a gap.
    pub entries: Vec<Placed>,
    /// The tiles that the entries completed, and the tiles above those, which grew: such a tile takes
    /// the place of the one that is stored, whose hashes it begins with.
    pub tiles: Vec<Tile>,
    /// The head with the new entries.
    pub head: Head,
}

/// Where a log lives.
///
/// # Contract
///
/// All that [`crate::log`] relies on, and all that a second implementation has to keep.
///
/// **What there is.** An owner; one head; entries, by their index from 0; tiles of hashes, by level and
/// index; issuers, by their SHA-256; an epoch. A store just made has the head `(0, SHA-256 of nothing,
/// the time of its making)`, the epoch of 16 zeros, and nothing else.
///
/// **One owner, one writer.** A store belongs to one log ([`Store::owner`]) from the day it was made. A
/// value of this trait that can append holds its place alone: opening the same place a second time, in
/// this process or another, must fail while it lives, as far as the place allows it.
///
/// **Epochs.** Locks have holes: network file systems, containers, a machine that stood still and woke
/// up. So whoever is going to append first says [`Store::begin`] with an epoch that nobody had before.
/// It is durable on return, and from then on a batch of any other epoch is refused, whoever holds
/// whatever lock. `begin` compares and swaps as `append` does: with another head than the caller's it
/// changes nothing.
///
/// **Compare and swap.** [`Store::append`] first compares [`Batch::before`] with the head in the store and
/// [`Batch::epoch`] with the epoch, inside the same transaction, and refuses with
/// [`StoreError::Conflict`] where one of them differs. No other writer comes between the comparison and
/// the commit: the head's row is locked, or the whole database.
///
/// **Atomic.** `append` makes the whole batch visible at once, to every reader and after every
/// crash, or nothing of it. A head is never visible without its entries and tiles, nor they without it.
///
/// **Durable.** When `append`, `begin` or `put_issuer` has returned `Ok`, its work survives the death of
/// the process, of the machine, and a power cut. A write that waits in a cache is not durable.
///
/// **Errors of writes.** [`StoreError::Conflict`] and [`StoreError::ReadOnly`] promise that nothing was
/// written. After every other error of a write it may be there, whole, or not at all: the caller must not
/// write again before it has opened the store anew and read its head. [`StoreError::Moved`] is one of those:
/// what was written is durable, but perhaps where the next opening does not look. An implementation never
/// retries a write or a sync: after a failed sync the system may have dropped the pages and report success.
///
/// **Ordering.** Reads see what `append` has returned for, and may see more: whoever serves them cuts at
/// the head that it has published. A read is of one state; two reads may be of two, the later not older.
///
/// **Never changed.** Entries, issuers and full tiles stay as they were written: an entry at an index
/// that is taken fails the whole batch. Entries are read back octet for octet. A tile that is not full is
/// replaced by one that begins with the same hashes. Only [`Store::mend`] writes over a tile that is not
/// what its entries make it.
///
/// **Concurrency.** All methods may be called from many threads at once. They block, so asynchronous
/// callers give them threads of their own. A read never waits for an append, nor an append for reads.
///
/// **Bounds.** A range is answered with all of its rows; a caller asks for at most 256 at once. A range
/// that reaches beyond the rows there are is [`StoreError::Corrupt`]: the caller cuts at the head.
///
/// **Soundness.** Whatever opens a store lets the database check what it can of its own structures in no
/// time; [`Store::examine`] all of them.
///
/// **Errors of reads.** [`StoreError::Corrupt`] is what the rows themselves say wrong (a missing row, a hash
/// of 31 octets) and stays; [`StoreError::Backend`] may pass.
pub trait Store: Send + Sync {
    /// The log that this store belongs to.
    fn owner(&self) -> &Owner;

    /// The newest head; one of size 0 in a store just made.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn head(&self) -> Result<Head, StoreError>;

    /// One more than the highest index that has an entry; 0 when there is none. Differs from the head's
    /// size only in a store that something else has written to.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn end(&self) -> Result<u64, StoreError>;

    /// Begins an epoch: from its return on only batches of `epoch` are taken. `head` is the one that the
    /// caller has checked.
    ///
    /// # Errors
    ///
    /// As [`Store::append`].
    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError>;

    /// Writes a batch: atomic, and durable on return.
    ///
    /// # Errors
    ///
    /// As the contract says: [`StoreError::Conflict`] and [`StoreError::ReadOnly`] have changed nothing, all
    /// others, [`StoreError::Moved`] too, leave the outcome open.
    fn append(&self, batch: &Batch) -> Result<(), StoreError>;

    /// The leaf hashes of the entries in `range`.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError>;

    /// The tile leaves of the entries in `range`.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The hashes of a tile as far as it was written; `None` where no batch has written it.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes tiles that were made anew from the entries in the place of what is stored; durable on
    /// return. Compares and swaps `head` as [`Store::begin`] does.
    ///
    /// # Errors
    ///
    /// As [`Store::append`].
    fn mend(&self, head: Head, tiles: &[Tile]) -> Result<(), StoreError>;

    /// Keeps a certificate of a chain, DER, under its SHA-256; durable on return. Keeping it twice is
    /// keeping it once.
    ///
    /// # Errors
    ///
    /// As [`Store::append`].
    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError>;

    /// The certificate with this SHA-256, DER.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Whether the database finds its own structures sound: reads all of it, and may take long.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] with what it finds, or as the contract says.
    fn examine(&self) -> Result<(), StoreError>;

    /// Entries with their records, newest first: those below `before` if it is given, at most `limit`.
    ///
    /// # Errors
    ///
    /// As the contract says.
    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Placed>, StoreError>;
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no store at this place.
    #[error("{0} does not exist: give the right path, or make a new log there")]
    Missing(String),
    /// There is something at the place where a store was to be made.
    #[error("{0} exists already: a new log is never made over an old one")]
    Exists(String),
    /// Somebody else has it open.
    #[error(
        "{0} is in use by another process: only one may write to a log; stop the other one first"
    )]
    InUse(String),
    /// It is no store of ours, or of a version that this program does not know.
    #[error("{path} is not a log that this version of mayfly can open: {reason}")]
    Unrecognised {
        /// Where.
        path: String,
        /// What was found.
        reason: String,
    },
    /// The head or the epoch is not the one that the batch was computed in; nothing was written.
    #[error(
        "the store's head or epoch has moved: another process writes to this log, or an old copy of it was put back"
    )]
    Conflict,
    /// It was opened to be read; nothing was written.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// This user may write neither it nor beside it. A quirk: SQLite writes there to read, too.
    #[error(
        "{path} cannot be read: {folder} is not writable by this user, and whoever reads the database keeps an index beside it; run this as the user whose folder it is, or let this one write there"
    )]
    Unwritable {
        /// The database.
        path: String,
        /// Its folder.
        folder: String,
    },
    /// What is stored cannot be right.
    #[error("the store is damaged: {0}; keep it as it is, and do not put an old copy back")]
    Corrupt(String),
    /// Somebody has taken away what it writes to.
    #[error(
        "{0} was moved, removed or replaced while it was in use: what was written last is in the file that was taken away, not in one of that name; if that file still exists move it back, then start again; leave the files of a running instance where they are"
    )]
    Moved(String),
    /// The database or the disk below it failed.
    #[error("the store failed: {0}; look at the disk (space, errors) before starting again")]
    Backend(String),
}
