//! A new log's file: made under another name, and renamed when it is whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{TransactionBehavior, params};

use super::{
    APPLICATION, FORMAT, NOTE_KEY, PAGE_OCTETS, at, beside, connect, harden, integer, journal,
    lock, sync_directory,
};
use crate::store::{Head, Owner, StoreError};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

/// Makes the file of a new, empty log at `path`, as of `now`, and closes it.
///
/// # Errors
///
/// [`StoreError::Exists`] when there is anything at `path`; [`StoreError::InUse`] when somebody else is
/// making it; [`StoreError::Backend`] when the disk says no. Then nothing is left at `path`.
pub fn create(path: &Path, owner: &Owner, now: Timestamp) -> Result<(), StoreError> {
    make(path, (owner, None), now)
}

/// The same, remembering which second key signs the checkpoints of the log: SHA-256 of its SPKI.
///
/// # Errors
///
/// As [`create`].
pub fn create_for_note_key(
    path: &Path,
    (owner, note_key): (&Owner, [u8; 32]),
    now: Timestamp,
) -> Result<(), StoreError> {
    make(path, (owner, Some(note_key)), now)
}

fn make(path: &Path, owner: (&Owner, Option<[u8; 32]>), now: Timestamp) -> Result<(), StoreError> {
    let _lock = lock(path)?;
    // Crash: SQLite would replay an old write-ahead log into the new file, should one have been left.
    for taken in [path.to_owned(), beside(path, "wal"), beside(path, "journal")] {
        if taken.symlink_metadata().is_ok() {
            return Err(StoreError::Exists(taken.display().to_string()));
        }
    }
    // Crash: until the rename there is only the file under its other name, and whoever creates
    // next begins anew. SQLite's own files beside it are gone when the last connection closes: a
    // rollback journal that outlived a power cut would undo the tables.
    let unfinished = beside(path, "new");
    for leftover in ["new", "new-journal", "new-wal", "new-shm"] {
        remove(&beside(path, leftover))?;
    }
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(&unfinished).map_err(at(&unfinished))?;
    fill(&unfinished, owner, now)?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(at(&unfinished))?;
    std::fs::rename(&unfinished, path).map_err(at(path))?;
    sync_directory(path)
}

/// Writes the tables, the owner and the empty head into the empty file at `path`.
fn fill(
    path: &Path,
    (owner, note_key): (&Owner, Option<[u8; 32]>),
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut connection = connect(path)?;
    connection.pragma_update(None, "page_size", PAGE_OCTETS)?;
    harden(&connection, path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    let mut meta = transaction.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
    meta.execute(params!["format", FORMAT])?;
    meta.execute(params!["origin", owner.origin])?;
    meta.execute(params!["log id", owner.log_id.as_slice()])?;
    meta.execute(params!["window start", integer(owner.window.start.as_millis())?])?;
    meta.execute(params!["window end", integer(owner.window.end.as_millis())?])?;
    if let Some(note_key) = note_key {
        meta.execute(params![NOTE_KEY, note_key.as_slice()])?;
    }
    drop(meta);
    let head = Head { size: 0, root: Hash::EMPTY, timestamp: now };
    transaction.execute(
        "INSERT INTO head (id, size, root, timestamp, epoch) VALUES (0, ?1, ?2, ?3, zeroblob(16))",
        params![integer(head.size)?, head.root.0.as_slice(), integer(now.as_millis())?],
    )?;
    transaction.commit()?;
    // Crash: a disk that fills up just now would leave a file without its tables to be renamed.
    journal::empty(&connection)?;
    connection.close().map_err(|(_, error)| error.into())
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
