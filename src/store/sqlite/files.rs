//! Where the open files of a database are: still at their names, or moved from under us.
//!
//! A file that is renamed away, removed or replaced goes on to be written by whoever has it open. What is
//! committed then is durable in a file that nobody will find again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{at, beside};
use crate::store::StoreError;

/// A file by its device and number, whatever it is called.
type Identity = (u64, u64);

/// A database and its write-ahead log, as they were when they were opened.
pub(super) struct Files {
    database: (PathBuf, Identity),
    journal: PathBuf,
    // SQLite makes it with the first commit, and keeps it while the database is open.
    first: OnceLock<Identity>,
}

impl Files {
    /// Those of the database at `path`, which is open.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let path = path.canonicalize().map_err(at(path))?;
        let identity = identity(&path).map_err(at(&path))?;
        Ok(Self {
            journal: beside(&path, "wal"),
            database: (path, identity),
            first: OnceLock::new(),
        })
    }

    /// Whether both are where they were; asked after a commit, before anybody hears of it.
    pub fn hold(&self) -> Result<(), StoreError> {
        let (database, opened) = &self.database;
        let journal = identity(&self.journal);
        let first = self.first.get_or_init(|| *journal.as_ref().unwrap_or(opened));
        for (path, found, expected) in
            [(database, identity(database), opened), (&self.journal, journal, first)]
        {
            if found.ok().as_ref() != Some(expected) {
                return Err(StoreError::Moved(path.display().to_string()));
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}
