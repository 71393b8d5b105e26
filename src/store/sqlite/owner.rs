//! Whose a database is, and whether it is one of ours.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{APPLICATION, FORMAT, NOTE_KEY, Owner, StoreError, at, hash, meta, natural, pragma};
use crate::ct::window::Window;
use crate::store::reader;
use crate::time::Timestamp;

/// Whose the log at `path` is, also while another process appends to it. Leaves nothing beside it.
///
/// # Errors
///
/// As [`super::open_read_only`].
pub fn owner(path: &Path) -> Result<Owner, StoreError> {
    look(path, |connection| recognise(connection, path))
}

/// Which second key signs the checkpoints of the log at `path`: SHA-256 of its SPKI, where that was known when
/// the log was made. Leaves nothing beside it.
///
/// # Errors
///
/// As [`owner`].
pub fn note_key(path: &Path) -> Result<Option<[u8; 32]>, StoreError> {
    look(path, |connection| {
        recognise(connection, path)?;
        let sql = "SELECT value FROM meta WHERE name = ?1";
        let id: Option<Vec<u8>> =
            connection.query_row(sql, [NOTE_KEY], |row| row.get(0)).optional()?;
        id.map(|id| Ok(hash(&id)?.0)).transpose()
    })
}

fn look<T>(
    path: &Path,
    look: impl Fn(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Missing(path.display().to_string()));
    }
    let real = path.canonicalize().map_err(at(path))?;
    let read = |connection| look(&connection);
    // The owner was there, whole, before the file had its name, and is never written again. Crash: where the
    // disk was full the file may be shorter than it says, and the rest of it still in the write-ahead log.
    reader::open_immutable(&real).and_then(read).or_else(|_| reader::open(&real).and_then(read))
}

/// Reads whose log this is, if it is one.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<Owner, StoreError> {
    let unrecognised =
        |reason: String| StoreError::Unrecognised { path: path.display().to_string(), reason };
    match pragma(connection, "application_id") {
        Ok(APPLICATION) => {}
        Ok(_) => return Err(unrecognised("it is some other program's database".into())),
        Err(StoreError::Corrupt(reason)) => return Err(unrecognised(reason)),
        Err(error) => return Err(error),
    }
    let format: i64 = meta(connection, "format")?;
    if format != FORMAT {
        return Err(unrecognised(format!("its format is {format}, here it is {FORMAT}")));
    }
    let log_id = hash(&meta::<Vec<u8>>(connection, "log id")?)?.0;
    let time = |name| meta(connection, name).and_then(natural).map(Timestamp::from_millis);
    let window = Window { start: time("window start")?, end: time("window end")? };
    Ok(Owner { origin: meta(connection, "origin")?, log_id, window })
}
