//! The write-ahead log, where commits are durable first.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE as KEEP;

use super::{at, beside};
use crate::store::StoreError;

/// Moves what is in it into the database; says so if that fails, which closing does not.
pub(super) fn empty(connection: &Connection) -> Result<(), StoreError> {
    // Its one row says whether somebody was reading, and how many pages there were.
    Ok(connection.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(()))?)
}

/// Has it kept as it is, whatever closes the database.
///
/// Crash: a sync failed. What it did not cover counts as clean in the system's cache; moved into the database
/// from there, half of it might reach the disk, and a power cut leave neither the one state nor the other.
pub(super) fn leave(connection: &Connection) -> Result<(), StoreError> {
    connection.set_db_config(KEEP, true)?;
    Ok(())
}

/// Moves what is in it into the database at the end, unless it is to be left.
pub(super) fn end(connection: &Connection) -> Result<(), StoreError> {
    if connection.db_config(KEEP)? { Ok(()) } else { empty(connection) }
}

/// Makes the commits that are in it durable once more.
///
/// Crash: the process before may have ended because a sync failed. What it had written may then be in the
/// system's cache alone, and count as clean there: it is read as a commit, and no later sync writes it. As
/// pages of the database it is written anew. The empty log is synced at once, so that the old one cannot
/// come back after a power cut and cover newer pages.
pub(super) fn renew(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let journal = beside(path, "wal");
    // A quirk of SQLite's: a database that has only now been told to keep one cannot empty it.
    if !journal.metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    empty(connection)?;
    match File::open(&journal).and_then(|file| file.sync_all()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&journal)(error)),
        _ => Ok(()),
    }
}
