//! Refused attempts, in a file of their own: the newest of them, for so long and so many as are kept.
//!
//! Nobody waits for this file and nothing is issued by what is in it. A damaged one is put aside under
//! another name, and a new one begun.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::StoreError;
use super::beside::{self, Beside, Kind};
use super::index::expression;
use crate::record::words::Clue;
use crate::record::{Record, words};
use crate::time::Timestamp;

/// How many are kept at most, however young. Each takes at most twice the octets that its JSON may have
/// ([`Record::clipped`]), the index of its words included: 8 GB for all.
pub const MOST: u64 = 1_000_000;
/// How many are removed at once at most: whoever writes must not wait for a year's worth.
const STEP: u64 = 512;

/// The refusals of an instance: `Mayr`.
const KIND: Kind = Kind {
    application: 0x4d61_7972,
    format: 1,
    schema: "
    CREATE TABLE refusals (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: a cursor stands for a place
        time   INTEGER NOT NULL,                   -- milliseconds since 1970
        record TEXT NOT NULL                       -- JSON
    ) STRICT;
    CREATE VIRTUAL TABLE words
        USING fts5(word, content='', contentless_delete=1, detail=none, tokenize='ascii');",
};

/// The refused attempts.
pub struct Refusals {
    database: Beside,
}

/// What keeps a refusal and what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Older ones go.
    pub since: Timestamp,
    /// No more than these.
    pub most: u64,
}

impl Refusals {
    /// Opens the file at `path`, to add to it; makes one where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unrecognised`] or [`StoreError::Corrupt`] when it is none or damaged;
    /// [`StoreError::Backend`] when the disk says no.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Beside::open(path, &KIND)? })
    }

    /// Opens the file at `path` to read, also while another process adds to it.
    ///
    /// # Errors
    ///
    /// As [`Refusals::open`]; [`StoreError::Missing`] when there is none.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Beside::open_read_only(path, &KIND)? })
    }

    /// Removes the file at `path`, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] when the disk says no.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        beside::remove(path)
    }

    /// Puts the file at `path` aside, in the place of one that was put there before; yields its new name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] when the disk says no.
    pub fn put_aside(path: &Path) -> Result<PathBuf, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        let aside = PathBuf::from(name);
        let failed =
            |error: std::io::Error| StoreError::Backend(format!("{}: {error}", path.display()));
        std::fs::rename(path, &aside).map_err(failed)?;
        // Its write-ahead log would be replayed into the next file.
        beside::remove(path)?;
        Ok(aside)
    }

    /// Adds these, the oldest first, and removes some of those that are out of `bounds`. All of it, or
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be written.
    pub fn add(&self, records: &[Record], bounds: Bounds) -> Result<(), StoreError> {
        let mut writer = self.database.writer()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for record in records {
            let record = record.clipped();
            let json = record.to_json().map_err(|error| StoreError::Backend(error.to_string()))?;
            let time = record.time.as_millis().cast_signed();
            transaction
                .prepare_cached("INSERT INTO refusals (time, record) VALUES (?1, ?2)")?
                .execute(params![time, json])?;
            transaction
                .prepare_cached("INSERT INTO words (rowid, word) VALUES (last_insert_rowid(), ?1)")?
                .execute([words::of(&record, None)])?;
        }
        prune(&transaction, bounds)?;
        Ok(transaction.commit()?)
    }

    /// One more than the highest place that has ever been taken.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn end(&self) -> Result<u64, StoreError> {
        self.database.read(|connection| {
            let sql = "SELECT max(id) + 1 FROM refusals";
            let end: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(end.map_or(0, i64::cast_unsigned))
        })
    }

    /// Refusals below the place `before` with every one of these clues, newest first, at most `limit`, each
    /// with its place.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn find(
        &self,
        clues: &[Vec<Clue>],
        before: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Record)>, StoreError> {
        let (before, limit) = (i64::try_from(before).unwrap_or(i64::MAX), limit.cast_signed());
        self.database.read(|connection| {
            if clues.is_empty() {
                let sql = "SELECT id, record FROM refusals WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
                return rows(connection, sql, params![before, limit]);
            }
            let sql = "SELECT id, record FROM refusals WHERE id IN (
                           SELECT rowid FROM words WHERE words MATCH ?3 AND rowid < ?1
                           ORDER BY rowid DESC LIMIT ?2
                       ) ORDER BY id DESC";
            rows(connection, sql, params![before, limit, expression(clues)])
        })
    }
}

/// Removes some of those that are out of bounds, the oldest first.
fn prune(connection: &Connection, bounds: Bounds) -> Result<(), StoreError> {
    let sql = "SELECT min(id), max(id) FROM refusals";
    let (first, last) = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let surplus = last.saturating_sub(bounds.most.cast_signed());
    let step = first.saturating_add(STEP.cast_signed());
    // The first that stays, as far as one step looks.
    let sql = "SELECT min(id) FROM refusals WHERE id > ?1 AND id < ?2 AND time >= ?3";
    let young: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(params![surplus, step, bounds.since.as_millis().cast_signed()], |row| {
            row.get(0)
        })?;
    let end = young.unwrap_or(step.min(last + 1));
    for table in ["DELETE FROM words WHERE rowid = ?1", "DELETE FROM refusals WHERE id = ?1"] {
        let mut delete = connection.prepare_cached(table)?;
        for id in first..end {
            delete.execute([id])?;
        }
    }
    Ok(())
}

fn rows(
    connection: &Connection,
    sql: &str,
    asked: &[&dyn rusqlite::ToSql],
) -> Result<Vec<(u64, Record)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(asked)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(placed(row)?);
    }
    Ok(found)
}

fn placed(row: &Row<'_>) -> Result<(u64, Record), StoreError> {
    let (id, json): (i64, String) = (row.get(0)?, row.get(1)?);
    let record = Record::from_json(&json)
        .map_err(|error| StoreError::Corrupt(format!("refusal {id} is unreadable: {error}")))?;
    Ok((id.cast_unsigned(), record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;
    use crate::record::refused::OCTETS;

    const ALL: Bounds = Bounds { since: Timestamp::from_secs(0), most: MOST };

    fn refusals() -> (tempfile::TempDir, Refusals) {
        let folder = tempfile::tempdir().unwrap();
        let refusals = Refusals::open(&folder.path().join("refusals.sqlite")).unwrap();
        (folder, refusals)
    }

    fn records(seconds: std::ops::Range<u64>) -> Vec<Record> {
        let record = |seconds| Record {
            time: Timestamp::from_secs(seconds),
            result: Outcome::Refused,
            request_id: format!("request-{seconds}"),
            reason: Some("TOKEN_EXPIRED".into()),
            ..Record::default()
        };
        seconds.map(record).collect()
    }

    fn ids(refusals: &Refusals, clues: &[Vec<Clue>], before: u64) -> Vec<u64> {
        let found = refusals.find(clues, before, 3).unwrap();
        found.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn what_is_kept_is_found_newest_first() {
        let (folder, refusals) = refusals();
        assert_eq!(refusals.end(), Ok(0));
        refusals.add(&records(0..5), ALL).unwrap();
        assert_eq!(refusals.end(), Ok(6));
        assert_eq!(ids(&refusals, &[], u64::MAX), [5, 4, 3]);
        assert_eq!(ids(&refusals, &[], 3), [2, 1]);
        assert_eq!(ids(&refusals, &[vec![Clue::word("expired")]], 4), [3, 2, 1]);
        assert_eq!(ids(&refusals, &[vec![Clue::whole("request-2")]], 9), [3]);
        let path = folder.path().join("refusals.sqlite");
        let reader = Refusals::open_read_only(&path).unwrap();
        assert_eq!(reader.find(&[], 9, 1).unwrap(), [(5, records(4..5).remove(0))]);
    }

    #[test]
    fn a_file_whose_maker_died_before_its_tables_is_none_yet() {
        let journal = |path: &Path| {
            Connection::open(path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
        };
        for begin in [|path: &Path| std::fs::write(path, []).unwrap(), journal] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("refusals.sqlite");
            begin(&path);
            let missing = Some(StoreError::Missing(path.display().to_string()));
            assert_eq!(Refusals::open_read_only(&path).err(), missing);
            Refusals::open(&path).unwrap().add(&records(0..1), ALL).unwrap();
            assert_eq!(ids(&Refusals::open_read_only(&path).unwrap(), &[], 9), [1]);
        }
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_a_little_at_a_time() {
        let (_folder, refusals) = refusals();
        refusals.add(&records(0..1200), ALL).unwrap();
        let kept = |refusals: &Refusals| {
            let words = [vec![Clue::word("expired")]];
            let found = refusals.find(&[], u64::MAX, 5000).unwrap();
            assert_eq!(refusals.find(&words, u64::MAX, 5000).unwrap(), found);
            found.len()
        };
        let old = Bounds { since: Timestamp::from_secs(1100), most: MOST };
        for left in [688, 176, 100, 100] {
            refusals.add(&[], old).unwrap();
            assert_eq!(kept(&refusals), left);
        }
        refusals.add(&[], Bounds { most: 30, ..ALL }).unwrap();
        assert_eq!(kept(&refusals), 30);
        let none = Bounds { since: Timestamp::from_secs(9999), most: MOST };
        refusals.add(&[], none).unwrap();
        assert_eq!(kept(&refusals), 0);
        refusals.add(&records(0..1), ALL).unwrap();
        assert_eq!(ids(&refusals, &[], u64::MAX), [1201]);
    }

    #[test]
    fn a_refusal_takes_no_more_room_than_there_is_for_one() {
        let (folder, refusals) = refusals();
        // No word twice: an index makes the most of them.
        let text =
            |number: u64| (0..220).map(|word| format!("{:x} ", number << 16 | word)).collect();
        let long = |number: u64| Record {
            message: Some(text(number)),
            got: Some(text(number + 0x8000)),
            ..Record::default()
        };
        let count = 256;
        refusals.add(&(0x1000..0x1000 + count).map(long).collect::<Vec<_>>(), ALL).unwrap();
        let longest = "SELECT max(length(CAST(record AS BLOB))) FROM refusals";
        let longest: isize = refusals
            .database
            .read(|connection| Ok(connection.query_row(longest, [], |row| row.get(0))?))
            .unwrap();
        assert!((OCTETS - 100..=OCTETS).contains(&longest.unsigned_abs()), "{longest}");
        drop(refusals);
        let octets = std::fs::metadata(folder.path().join("refusals.sqlite")).unwrap().len();
        assert!(octets <= count * 2 * OCTETS as u64, "{octets}");
    }

    #[test]
    fn a_damaged_file_is_put_aside() {
        let (folder, refusals) = refusals();
        drop(refusals);
        let path = folder.path().join("refusals.sqlite");
        std::fs::write(&path, "no database, but a text long enough to look at").unwrap();
        assert!(matches!(Refusals::open(&path), Err(StoreError::Corrupt(_))));
        let aside = Refusals::put_aside(&path).unwrap();
        assert!(std::fs::read_to_string(aside).unwrap().starts_with("no database"));
        assert!(Refusals::open(&path).is_ok());
    }
}
