//! A log in one SQLite file.
//!
//! WAL and `synchronous=FULL`: a commit is one sync of the write-ahead log. One connection writes, a
//! few read, and a lock file beside the database keeps a second process out. The file is made under
//! another name and renamed when it is whole, so that whatever has the right name is a log.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, Params, Row, params};
use rusqlite::{Transaction, TransactionBehavior};

use super::readers::Readers;
use super::{Batch, Epoch, Head, Owner, Placed, Store, StoreError, Tile};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
pub use creation::{create, create_for_note_key};
use files::Files;

mod copy;
mod creation;
mod entries;
mod files;
mod journal;
mod owner;

use owner::recognise;
pub use owner::{note_key, owner};

/// What the tables look like; a file of another format is refused.
const FORMAT: i64 = 1;
/// Where the note key's hash stands, if it does.
const NOTE_KEY: &str = "note key";
/// `Mayf`, SQLite's `application_id`: tells our files from other people's.
const APPLICATION: i32 = 0x4d61_7966;
/// 3.51.3, the first without the WAL-reset bug, by which two connections could damage the file.
const SQLITE: i32 = 3_051_003;
/// Holds four entries of a CI provider, or three with long names; a page of 4096 octets would hold one.
const PAGE_OCTETS: i64 = 8192;
/// What the write-ahead log is cut back to when a slow reader has let it grow.
const JOURNAL_OCTETS: i64 = 64 << 20;
/// How many read at once: more would only compete for the same cores.
const READERS: usize = 4;

/// A log in one SQLite file. Dropping it closes the file and lets the next one in.
pub struct Sqlite {
    owner: Owner,
    // Fields drop in this order: the writer last of the connections, because only it can move the
    // write-ahead log into the database.
    readers: Readers,
    writer: Option<Writer>,
}

/// What writes, where the log was opened for that.
struct Writer {
    connection: Mutex<Connection>,
    files: Files,
    // Dropped after everything that it guards.
    _lock: Lock,
}

/// Opens the log at `path`, to append and to read.
///
/// # Errors
///
/// [`StoreError::Missing`], [`StoreError::InUse`] and [`StoreError::Unrecognised`] as they say;
/// [`StoreError::Corrupt`] when SQLite finds the file damaged; [`StoreError::Backend`] otherwise.
pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Missing(path.display().to_string()));
    }
    let lock = lock(path)?;
    let connection = connect(path)?;
    // Before anything that writes: somebody else's database stays as it is.
    let owner = recognise(&connection, path)?;
    sound(&connection)?;
    harden(&connection, path)?;
    journal::renew(&connection, path)?;
    let readers = Readers::open(path, READERS)?;
    // Crash: whoever made the file may have died between the rename and the sync of the new name.
    sync_directory(path)?;
    let (connection, files) = (Mutex::new(connection), Files::of(path)?);
    let writer = Some(Writer { connection, files, _lock: lock });
    Ok(Sqlite { owner, readers, writer })
}

/// Opens the log at `path` to read only, also while another process appends to it.
///
/// # Errors
///
/// As [`open`], without [`StoreError::InUse`].
pub fn open_read_only(path: &Path) -> Result<Sqlite, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Missing(path.display().to_string()));
    }
    let readers = Readers::open(path, READERS)?;
    let owner = readers.with(|connection| recognise(connection, path))?;
    readers.with(sound)?;
    Ok(Sqlite { owner, readers, writer: None })
}

/// `log.db` → `log.db-new`: SQLite names its own files so, too.
pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-");
    name.push(what);
    PathBuf::from(name)
}

/// The lock file beside a database, locked.
struct Lock(File);

/// A quirk of the system's: a process that is just being started has a copy of the handle, which would
/// keep the lock until it runs its own program.
impl Drop for Lock {
    fn drop(&mut self) {
        // Closing does it, too, if that fails.
        let _ = self.0.unlock();
    }
}

/// Takes the lock file beside `path`.
///
/// Not the database itself: closing any handle of that file would drop SQLite's own locks on it.
fn lock(path: &Path) -> Result<Lock, StoreError> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = beside(&real, "lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&name).map_err(at(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(at(&name)(error)),
    }
}

/// The error of the system about the file at `path`.
fn at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |error| StoreError::Backend(format!("{}: {error}", path.display()))
}

/// Makes names in the directory of `path` durable.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|file| file.sync_all()).map_err(at(directory))
}

/// Opens the connection that writes.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE {
        return Err(StoreError::Backend(format!(
            "SQLite {} can damage a log; at least 3.51.3 is needed",
            rusqlite::version()
        )));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle(&connection)?;
    Ok(connection)
}

/// What every connection has in common.
pub(super) fn settle(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Checks the tables that everything hangs on, and that stay small.
fn sound(connection: &Connection) -> Result<(), StoreError> {
    for table in ["meta", "head", "chains", "issuers"] {
        check(connection, &format!("PRAGMA quick_check({table})"))?;
    }
    Ok(())
}

/// Has SQLite check itself.
fn check(connection: &Connection, pragma: &str) -> Result<(), StoreError> {
    let found: String = connection.query_row(pragma, [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(found)) }
}

fn meta<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T, StoreError> {
    Ok(connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))?)
}

fn pragma<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<T, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Makes commits durable. What that hangs on is read back: SQLite ignores a pragma that it cannot obey.
fn harden(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_OCTETS)?;
    let mode: String = pragma(connection, "journal_mode")?;
    let synchronous: i64 = pragma(connection, "synchronous")?;
    if mode != "wal" || synchronous != 2 {
        return Err(StoreError::Backend(format!(
            "{} does not allow durable commits (journal_mode {mode}, synchronous {synchronous}); \
             use a local file system",
            path.display()
        )));
    }
    Ok(())
}

/// The file alone is the whole log, then, also while others read it: only the last connection would
/// move the write-ahead log into it by itself.
impl Drop for Sqlite {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            // Where it cannot be moved it is read from where it is.
            let _ = journal::end(&writer.connection());
        }
    }
}

impl Writer {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sqlite {
    /// One transaction, the way that everything is written: all of `work` with the commit, or nothing where
    /// it fails.
    fn transact(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let mut connection = writer.connection();
        let outcome = commit(&mut connection, work);
        if matches!(outcome, Err(StoreError::Backend(_) | StoreError::Corrupt(_))) {
            journal::leave(&connection)?;
        }
        outcome.and_then(|()| writer.files.hold())
    }

    /// What `decode` makes of every row in `range`, which must all be there.
    fn column<T>(
        &self,
        sql: &str,
        range: &Range<u64>,
        decode: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let wanted = range.end.saturating_sub(range.start);
        let found = self.readers.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([integer(range.start)?, integer(range.end)?])?;
            let mut values = Vec::new();
            while let Some(row) = rows.next()? {
                values.push(decode(row)?);
            }
            Ok(values)
        })?;
        if u64::try_from(found.len()) == Ok(wanted) {
            return Ok(found);
        }
        Err(StoreError::Corrupt(format!(
            "of the entries {} to {} only {} are there",
            range.start,
            range.end,
            found.len()
        )))
    }
}

impl Store for Sqlite {
    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.readers.with(head)
    }

    fn end(&self) -> Result<u64, StoreError> {
        self.readers.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT max(idx) + 1 FROM entries")?;
            natural(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0))
        })
    }

    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError> {
        self.transact(|transaction| {
            upon(transaction, head)?;
            let sql = "UPDATE head SET epoch = ?1 WHERE id = 0";
            transaction.execute(sql, [epoch.0.as_slice()])?;
            Ok(())
        })
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        self.transact(|transaction| {
            upon(transaction, batch.before)?;
            if epoch(transaction)? != batch.epoch.0 {
                return Err(StoreError::Conflict);
            }
            write(transaction, batch)
        })
    }

    fn mend(&self, head: Head, tiles: &[Tile]) -> Result<(), StoreError> {
        self.transact(|transaction| {
            upon(transaction, head)?;
            write_tiles(transaction, tiles)
        })
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let sql = "SELECT leaf_hash FROM entries WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
        self.column(sql, &range, |row| hash(blob(row, 0)?))
    }

    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = format!("{} WHERE idx >= ?1 AND idx < ?2 ORDER BY idx", entries::SELECT);
        self.column(&sql, &range, entries::tile_leaf)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.with(|connection| {
            let sql = "SELECT hashes FROM tiles WHERE level = ?1 AND idx = ?2";
            one_blob(connection.prepare_cached(sql)?, params![level, integer(index)?])
        })
    }

    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError> {
        let fingerprint = Hash::of(&[der]).0;
        let sql = "INSERT INTO issuers (fingerprint, der) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.transact(|transaction| {
            transaction.prepare_cached(sql)?.execute(params![fingerprint.as_slice(), der])?;
            Ok(())
        })
    }

    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.with(|connection| {
            let sql = "SELECT der FROM issuers WHERE fingerprint = ?1";
            one_blob(connection.prepare_cached(sql)?, params![fingerprint.as_slice()])
        })
    }

    fn examine(&self) -> Result<(), StoreError> {
        self.readers.with(|connection| check(connection, "PRAGMA integrity_check(1)"))
    }

    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Placed>, StoreError> {
        // SQLite counts to 2⁶³-1; so does a log, and a limit beyond it is none.
        let before = integer(before.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.readers.with(|connection| {
            let sql = format!("{} WHERE idx < ?1 ORDER BY idx DESC LIMIT ?2", entries::SELECT);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([before, limit])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(entries::placed(row)?);
            }
            Ok(records)
        })
    }
}

/// See [`Sqlite::transact`].
fn commit(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // Immediate: the write lock is taken before a head is read, so nobody moves it in between.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    work(&transaction)?;
    Ok(transaction.commit()?)
}

/// Whether the head still is the one that a caller has seen.
fn upon(transaction: &Transaction<'_>, before: Head) -> Result<(), StoreError> {
    if head(transaction)? == before { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Writes the rows of a batch.
fn write(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), StoreError> {
    entries::write(transaction, &batch.entries)?;
    write_tiles(transaction, &batch.tiles)?;
    let (size, time) = (integer(batch.head.size)?, integer(batch.head.timestamp.as_millis())?);
    let sql = "UPDATE head SET size = ?1, root = ?2, timestamp = ?3 WHERE id = 0";
    let root = batch.head.root.0.as_slice();
    match transaction.prepare_cached(sql)?.execute(params![size, root, time])? {
        1 => Ok(()),
        rows => Err(StoreError::Corrupt(format!("there are {rows} heads"))),
    }
}

fn write_tiles(transaction: &Transaction<'_>, tiles: &[Tile]) -> Result<(), StoreError> {
    let sql = "INSERT INTO tiles (level, idx, hashes) VALUES (?1, ?2, ?3)
               ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes";
    let mut statement = transaction.prepare_cached(sql)?;
    for tile in tiles {
        statement.execute(params![tile.level, integer(tile.index)?, tile.hashes])?;
    }
    Ok(())
}

fn head(connection: &Connection) -> Result<Head, StoreError> {
    let sql = "SELECT size, root, timestamp FROM head WHERE id = 0";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Err(StoreError::Corrupt("it has no head".into()));
    };
    Ok(Head {
        size: natural(row.get(0)?)?,
        root: hash(blob(row, 1)?)?,
        timestamp: Timestamp::from_millis(natural(row.get(2)?)?),
    })
}

fn epoch(connection: &Connection) -> Result<Vec<u8>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT epoch FROM head WHERE id = 0")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

fn one_blob(
    mut statement: CachedStatement<'_>,
    key: impl Params,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(statement.query_row(key, |row| row.get(0)).optional()?)
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], StoreError> {
    row.get_ref(column)?.as_blob().map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn hash(octets: &[u8]) -> Result<Hash, StoreError> {
    let wrong = |_| StoreError::Corrupt(format!("a hash of {} octets", octets.len()));
    octets.try_into().map(Hash).map_err(wrong)
}

fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value)
        .map_err(|_| StoreError::Backend(format!("{value} is beyond SQLite's range")))
}

fn natural(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("a count of {value}")))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode};
        let damaged = match error.sqlite_error_code() {
            Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
            None => matches!(
                error,
                Error::QueryReturnedNoRows
                    | Error::FromSqlConversionFailure(..)
                    | Error::IntegralValueOutOfRange(..)
                    | Error::Utf8Error(..)
                    | Error::InvalidColumnType(..)
            ),
        };
        if damaged { Self::Corrupt(error.to_string()) } else { Self::Backend(error.to_string()) }
    }
}
