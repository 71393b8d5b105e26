//! A database beside the log's: what is in it can be made anew, or may be lost.
//!
//! WAL and `synchronous=NORMAL`: a commit does not wait for the disk, and a power cut may take the last
//! ones, whole. The log never waits for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::readers::Readers;
use super::sqlite::settle;

/// How many read at once.
const READERS: usize = 2;
/// What the write-ahead log is cut back to when a slow reader has let it grow.
const JOURNAL_OCTETS: i64 = 16 << 20;

/// What tells a kind of database from others, and how one is made.
pub(super) struct Kind {
    /// SQLite's `application_id`.
    pub application: i32,
    /// What the tables look like; another one is another kind.
    pub format: i32,
    /// Makes the tables.
    pub schema: &'static str,
}

/// A database: one connection writes, a few read.
pub(super) struct Beside {
    readers: Readers,
    // Dropped last: only it can move the write-ahead log into the database.
    writer: Option<Mutex<Connection>>,
}

impl Beside {
    /// Opens the database at `path`; makes one where there is none.
    pub(super) fn open(path: &Path, kind: &Kind) -> Result<Self, StoreError> {
        let create = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut writer = connect(path, create)?;
        let is_new = is_empty(&writer)?;
        if is_new {
            private(path)?;
        }
        writer.pragma_update(None, "journal_mode", "wal")?;
        writer.pragma_update(None, "synchronous", "normal")?;
        writer.pragma_update(None, "journal_size_limit", JOURNAL_OCTETS)?;
        if is_new {
            let transaction = writer.transaction()?;
            transaction.pragma_update(None, "application_id", kind.application)?;
            transaction.pragma_update(None, "user_version", kind.format)?;
            transaction.execute_batch(kind.schema)?;
            transaction.commit()?;
        }
        recognise(&writer, path, kind)?;
        Ok(Self { readers: Readers::open(path, READERS)?, writer: Some(writer.into()) })
    }

    /// Opens the database at `path` to read only, also while another process writes.
    pub(super) fn open_read_only(path: &Path, kind: &Kind) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing(path.display().to_string()));
        }
        let readers = Readers::open(path, READERS)?;
        if readers.with(is_empty)? {
            return Err(StoreError::Missing(path.display().to_string()));
        }
        readers.with(|connection| recognise(connection, path, kind))?;
        Ok(Self { readers, writer: None })
    }

    /// The connection that writes.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `read` on a free connection; queues for one when none is free.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.readers.with(read)
    }
}

/// `2026.index.sqlite`, and SQLite's own files beside it.
pub(super) fn files(path: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Removes the database at `path`, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for file in files(path) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Backend(format!("{}: {error}", file.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was issued is nobody else's business.
fn private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode)
        .map_err(|error| StoreError::Backend(format!("{}: {error}", path.display())))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle(&connection)?;
    Ok(connection)
}

/// Whether it has no tables yet. Crash: whoever made the file may have died before they were in it.
fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    let version = connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
    Ok(version? == 0)
}

fn recognise(connection: &Connection, path: &Path, kind: &Kind) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id")? == kind.application && pragma("user_version")? == kind.format {
        return Ok(());
    }
    let (path, reason) = (path.display().to_string(), "it is another kind of database".to_owned());
    Err(StoreError::Unrecognised { path, reason })
}
