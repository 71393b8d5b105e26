//! The search index of a log, in a file of its own: which entries have which words.
//!
//! It is derived from the entries and may be deleted at any time; [`crate::log`] follows the log with it.
//! A contentless FTS5 table of one column has a row for every entry, whose id is the entry's index. Words
//! come as [`crate::record::words`] makes them, and FTS5 takes them apart at blanks alone: what is not
//! ASCII is a letter to its tokenizer.

use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::beside::{self, Beside, Kind};
use super::{Owner, StoreError};
use crate::record::words::Clue;
use crate::tlog::merkle::Hash;

/// The index of a certificate log: `Mayi`.
const KIND: Kind = Kind {
    application: 0x4d61_7969,
    format: 2,
    schema: "
    -- Whose index it is, how many entries it has, and the leaf hash of the last one: one row.
    CREATE TABLE state (
        id     INTEGER PRIMARY KEY CHECK (id = 0),
        origin TEXT NOT NULL,
        log_id BLOB NOT NULL,
        upto   INTEGER NOT NULL,
        last   BLOB
    ) STRICT;
    CREATE VIRTUAL TABLE words
        USING fts5(word, content='', columnsize=0, detail=none, tokenize='ascii');
    CREATE VIRTUAL TABLE spelled USING fts5vocab(words, instance);
    INSERT INTO words (words, rank) VALUES ('automerge', 8);",
};

/// How many words that begin alike are looked for one by one.
const ALIKE: usize = 64;

/// A search index.
pub struct Index {
    database: Beside,
}

/// How far an index has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upto {
    /// How many entries it has: those below this index.
    pub size: u64,
    /// The leaf hash of the last one.
    pub last: Option<Hash>,
}

impl Index {
    /// Opens the index of `owner`'s log at `path`, to add to it; makes an empty one where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unrecognised`] when it is another log's or no index; [`StoreError::Corrupt`] when it
    /// is damaged; [`StoreError::Backend`] when the disk says no.
    pub fn open(path: &Path, owner: &Owner) -> Result<Self, StoreError> {
        let database = Beside::open(path, &KIND)?;
        database.writer()?.execute(
            "INSERT INTO state (id, origin, log_id, upto) VALUES (0, ?1, ?2, 0) ON CONFLICT DO NOTHING",
            params![owner.origin, owner.log_id.as_slice()],
        )?;
        Self { database }.of(owner, path)
    }

    /// Opens the index of `owner`'s log at `path` to read, also while another process adds to it.
    ///
    /// # Errors
    ///
    /// As [`Index::open`]; [`StoreError::Missing`] when there is none.
    pub fn open_read_only(path: &Path, owner: &Owner) -> Result<Self, StoreError> {
        Self { database: Beside::open_read_only(path, &KIND)? }.of(owner, path)
    }

    /// Removes the index at `path`, if there is one, whatever it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] when the disk says no.
    pub fn remove(path: &Path) -> Result<(), StoreError> {
        beside::remove(path)
    }

    fn of(self, owner: &Owner, path: &Path) -> Result<Self, StoreError> {
        let (origin, log_id) = self.database.read(|connection| {
            let sql = "SELECT origin, log_id FROM state";
            Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })?;
        let theirs = Owner { origin, log_id, window: owner.window };
        if theirs == *owner {
            return Ok(self);
        }
        let (path, reason) = (path.display().to_string(), format!("it is that of {theirs}"));
        Err(StoreError::Unrecognised { path, reason })
    }

    /// How far it has come.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn upto(&self) -> Result<Upto, StoreError> {
        self.database.read(upto)
    }

    /// Adds the words of the entries behind the last one, in order; `last` is the leaf hash of the newest.
    /// All of them, or none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when `first` is not the entry that comes next; another [`StoreError`] when
    /// it cannot be written.
    pub fn add(&self, first: u64, words: &[String], last: Hash) -> Result<(), StoreError> {
        let mut writer = self.database.writer()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if upto(&transaction)?.size != first {
            return Err(StoreError::Conflict);
        }
        let mut insert =
            transaction.prepare_cached("INSERT INTO words (rowid, word) VALUES (?1, ?2)")?;
        for (index, words) in (first..).zip(words) {
            insert.execute(params![index.cast_signed(), words])?;
        }
        drop(insert);
        let sql = "UPDATE state SET upto = upto + ?1, last = ?2";
        transaction.execute(sql, params![words.len().cast_signed(), last.0.as_slice()])?;
        Ok(transaction.commit()?)
    }

    /// The same clues, with words in the place of the letters that they begin with, where there are few.
    ///
    /// Of a word FTS5 reads what it is asked for, of letters first everything: which entries have any of the
    /// words that begin so, whatever the range, and those may be nearly all.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn spelled(&self, clues: Vec<Vec<Clue>>) -> Result<Vec<Vec<Clue>>, StoreError> {
        self.database.read(|connection| {
            let spelled = |clue| spelled(connection, clue);
            let row = |row: Vec<Clue>| {
                let row = row.into_iter().map(spelled).collect::<Result<Vec<_>, _>>();
                row.map(|row| row.concat())
            };
            clues.into_iter().map(row).collect()
        })
    }

    /// The entries in `range` with every one of these clues, newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    pub fn find(
        &self,
        clues: &[Vec<Clue>],
        range: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        // Of no words nothing has one.
        if clues.iter().any(Vec::is_empty) {
            return Ok(Vec::new());
        }
        self.database.read(|connection| {
            let sql = "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid >= ?2 AND rowid < ?3
                       ORDER BY rowid DESC LIMIT ?4";
            let mut statement = connection.prepare_cached(sql)?;
            let range = [range.start, range.end].map(u64::cast_signed);
            let asked = params![expression(clues), range[0], range[1], limit.cast_signed()];
            let rows = statement.query_map(asked, |row| row.get(0).map(i64::cast_unsigned))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn upto(connection: &Connection) -> Result<Upto, StoreError> {
    let mut statement = connection.prepare_cached("SELECT upto, last FROM state")?;
    Ok(statement.query_row([], |row| {
        let (size, last): (i64, Option<[u8; 32]>) = (row.get(0)?, row.get(1)?);
        Ok(Upto { size: size.cast_unsigned(), last: last.map(Hash) })
    })?)
}

/// The words that a clue stands for; the clue itself where there are too many.
fn spelled(connection: &Connection, clue: Clue) -> Result<Vec<Clue>, StoreError> {
    let Clue::Start(letters) = &clue else { return Ok(vec![clue]) };
    let sql = "SELECT term FROM spelled WHERE term >= ?1 LIMIT 1";
    let mut next = connection.prepare_cached(sql)?;
    let (mut words, mut from) = (Vec::new(), letters.clone());
    loop {
        let word: Option<String> = next.query_row([&from], |row| row.get(0)).optional()?;
        match word.filter(|word| word.starts_with(letters)) {
            None => return Ok(words),
            Some(_) if words.len() == ALIKE => return Ok(vec![clue]),
            Some(word) => {
                // Behind it, and before all that begin with it.
                from = format!("{word}\u{1}");
                words.push(Clue::Word(word));
            }
        }
    }
}

/// FTS5's words for: one of every row. Clues are letters and digits, so that quotes hold them.
pub(super) fn expression(clues: &[Vec<Clue>]) -> String {
    let one = |clue: &Clue| match clue {
        Clue::Word(word) => format!("\"{word}\""),
        Clue::Start(letters) => format!("\"{letters}\" *"),
    };
    let any = |row: &Vec<Clue>| {
        let row: Vec<String> = row.iter().map(one).collect();
        format!("({})", row.join(" OR "))
    };
    clues.iter().map(any).collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ct::window::Window;
    use crate::time::Timestamp;

    fn owner() -> Owner {
        let window = Window::year(Timestamp::from_secs(1_767_225_600));
        Owner { origin: "test/ct/2026".into(), log_id: [7; 32], window }
    }

    fn index() -> (tempfile::TempDir, Index) {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(&folder.path().join("2026.index.sqlite"), &owner()).unwrap();
        (folder, index)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|words| (*words).to_owned()).collect()
    }

    #[track_caller]
    fn check(index: &Index, clues: &[&[Clue]], expected: &[u64]) {
        let clues: Vec<Vec<Clue>> = clues.iter().map(|row| row.to_vec()).collect();
        assert_eq!(index.find(&clues, 0..100, 100).unwrap(), expected, "{clues:?}");
    }

    #[test]
    fn finds_entries_by_their_words_newest_first() {
        let (_folder, index) = index();
        let batch = words(&["acme app", "acme äpp and", "or near 0", "apple or"]);
        index.add(0, &batch, Hash([1; 32])).unwrap();
        let (word, start) = (Clue::word, Clue::start);
        check(&index, &[&[word("acme")]], &[1, 0]);
        check(&index, &[&[word("acme")], &[word("app")]], &[0]);
        check(&index, &[&[word("äpp"), word("near")]], &[2, 1]);
        check(&index, &[&[start("app")]], &[3, 0]);
        check(&index, &[&[word("and")], &[word("or"), word("acme")]], &[1]);
        check(&index, &[&[word("0")]], &[2]);
        check(&index, &[&[word("nothing")]], &[]);
        let clues = [vec![Clue::word("or")]];
        assert_eq!(index.find(&clues, 0..3, 9).unwrap(), [2]);
        assert_eq!(index.find(&clues, 3..9, 9).unwrap(), [3]);
        assert_eq!(index.find(&clues, 0..9, 1).unwrap(), [3]);
    }

    #[test]
    fn the_words_that_begin_so_are_looked_for_where_they_are_few() {
        let (_folder, index) = index();
        let many: String = (0..ALIKE).map(|number| format!(" b{number}")).collect();
        index.add(0, &words(&["app apple äpp", "apply or", "ap", &many]), Hash([1; 32])).unwrap();
        index.add(4, &words(&["application", "app"]), Hash([1; 32])).unwrap();
        let (word, start) = (Clue::word, Clue::start);
        let clues = vec![vec![start("app"), word("or")], vec![start("nothing")], vec![start("b")]];
        let spelled = index.spelled(clues.clone()).unwrap();
        let app = ["app", "apple", "application", "apply", "or"].map(Clue::word).to_vec();
        assert_eq!(spelled[..2], [app, vec![]]);
        assert_eq!(spelled[2].len(), ALIKE);
        for row in clues {
            let spelled = index.spelled(vec![row.clone()]).unwrap();
            let found = index.find(&[row], 0..9, 9).unwrap();
            assert_eq!(index.find(&spelled, 0..9, 9).unwrap(), found);
        }
        index.add(6, &words(&["bb"]), Hash([1; 32])).unwrap();
        let letters = vec![vec![start("b")]];
        assert_eq!(index.spelled(letters.clone()).unwrap(), letters);
    }

    #[test]
    fn what_comes_next_comes_next() {
        let (_folder, index) = index();
        assert_eq!(index.upto().unwrap(), Upto { size: 0, last: None });
        index.add(0, &words(&["a", "b"]), Hash([1; 32])).unwrap();
        assert_eq!(index.upto().unwrap(), Upto { size: 2, last: Some(Hash([1; 32])) });
        for first in [0, 1, 3] {
            assert_eq!(index.add(first, &words(&["c"]), Hash([2; 32])), Err(StoreError::Conflict));
        }
        index.add(2, &words(&["c"]), Hash([2; 32])).unwrap();
        check(&index, &[&[Clue::word("c")]], &[2]);
    }

    #[test]
    fn another_logs_index_is_none() {
        let (folder, index) = index();
        let path = folder.path().join("2026.index.sqlite");
        drop(index);
        assert!(Index::open(&path, &owner()).is_ok());
        let other = Owner { origin: "other/ct/2026".into(), ..owner() };
        for opened in [Index::open(&path, &other), Index::open_read_only(&path, &other)] {
            let error = opened.err().unwrap();
            assert!(matches!(error, StoreError::Unrecognised { .. }), "{error}");
        }
        std::fs::write(&path, "no database at all, but a text of some length").unwrap();
        assert!(matches!(Index::open(&path, &owner()), Err(StoreError::Corrupt(_))));
        Index::remove(&path).unwrap();
        let missing = Index::open_read_only(&path, &owner());
        assert!(matches!(missing, Err(StoreError::Missing(_))));
        assert!(Index::open(&path, &owner()).is_ok());
    }
}
