//! Connections that only read, whatever may be written beside them.
//!
//! SQLite shares an index of the write-ahead log between processes, in a file that it makes where there is
//! none. On a file system that cannot be written there is no such file, but nobody who writes either: the
//! database is read as it lies there, with an index of our own.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::sqlite::{beside, settle};

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_URI);

/// Opens the database at `path` to read, also while another process writes.
///
/// # Errors
///
/// [`StoreError::Unwritable`] when this user may not read it, [`StoreError::Backend`] when the system says no; what is
/// wrong with the file shows when it is read.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let connection = Connection::open_with_flags(uri(path), FLAGS)?;
    settle(&connection)?;
    let looked = connection.query_row("PRAGMA schema_version", [], |_| Ok(()));
    match looked.map_err(|error| error.sqlite_error_code()) {
        Err(Some(ErrorCode::CannotOpen)) if is_read_only(path) => open_still(path),
        Err(Some(ErrorCode::ReadOnly)) => Err(unwritable(path)),
        _ => Ok(connection),
    }
}

fn unwritable(path: &Path) -> StoreError {
    let folder = path.parent().unwrap_or(Path::new(".")).display().to_string();
    StoreError::Unwritable { path: path.display().to_string(), folder }
}

/// Opens the database at `path` as it lies there: nobody can be writing to it.
fn open_still(path: &Path) -> Result<Connection, StoreError> {
    if !beside(path, "wal").metadata().is_ok_and(|file| file.len() > 0) {
        return open_immutable(path);
    }
    // Alone, SQLite keeps the index in memory. A quirk: to be alone it asks for a lock that only those who may
    // write get; so it has to do without locks.
    let connection = Connection::open_with_flags_and_vfs(uri(path), FLAGS, "unix-none")?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    settle(&connection)?;
    Ok(connection)
}

/// Opens the database at `path` without a lock, and without a look at the write-ahead log.
///
/// # Errors
///
/// As [`open`].
pub(super) fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(uri(path) + "?immutable=1", FLAGS)?;
    settle(&connection)?;
    Ok(connection)
}

/// Whether nothing can be written beside `path`, by anybody.
fn is_read_only(path: &Path) -> bool {
    // A file without a name, which is gone at once.
    let tried = tempfile::tempfile_in(path.parent().unwrap_or(Path::new(".")));
    tried.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
}

/// The path as `file:…`.
fn uri(path: &Path) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-".contains(&octet);
    let octets = path.as_os_str().as_bytes().iter().map(|octet| match plain(*octet) {
        true => char::from(*octet).to_string(),
        false => format!("%{octet:02x}"),
    });
    octets.fold("file:".to_owned(), |uri, octet| uri + &octet)
}
