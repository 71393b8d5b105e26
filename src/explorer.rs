//! Questions asked of all attempts, issued and refused, newest first, a page at a time.
//!
//! ```text
//! log       …  5  4  3  2  1  0     by place in the tree
//! refusals  …  c     b        a     by the order in which they were kept
//! page      5  c  4  b | 3  2  a …  whichever is later comes first; the cursor stands at |
//! ```
//!
//! A log of several shards is asked shard by shard, the newest first; an entry's place in all of them is one
//! number, its shard's above its own. The cursor names a place in both log and refusals, so that what comes
//! after it is the same however many attempts come meanwhile. How much is read for one page is bounded:
//! where that was not enough, the page is short and its cursor leads on.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::log::LogError;
use crate::log::search::Entries;
use crate::log::shards::Shards;
use crate::record::search::Search;
use crate::record::words::Clue;
use crate::record::{Outcome, Record};
use crate::store::StoreError;
use crate::store::refusals::Refusals;
use crate::time::Timestamp;

mod desk;
pub mod recorder;

use desk::Desk;
use recorder::Recorder;

/// How many records are read for one page.
const READ: usize = 10_000;
/// How many refusals are fetched at first, and at most.
const FETCHED: usize = 64;
const MOST_FETCHED: usize = 1024;
/// How much later than a refusal's time that of an earlier one may be.
const SLACK: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What to find.
    pub search: Search,
    /// Where to go on; none: at the newest.
    pub cursor: Option<Cursor>,
    /// How many records at most.
    pub limit: usize,
}

/// A part of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub records: Vec<Record>,
    /// Where the rest is; none: this was all.
    pub next: Option<Cursor>,
}

/// A place between two records: everything below these two numbers is yet to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    issued: u64,
    refused: u64,
}

/// The place of a shard's first entry, by how many shards are older; no shard has more than 2⁴⁰ entries.
const fn base(older: usize) -> u64 {
    (older as u64) << 40
}

impl Cursor {
    const NEWEST: Self = Self { issued: u64::MAX, refused: u64::MAX };

    /// Which of `shards` shards it leads to: how many of them are older.
    pub fn shard(self, shards: usize) -> usize {
        let newest = shards.saturating_sub(1);
        let shard = usize::try_from(self.issued.saturating_sub(1) >> 40).unwrap_or(newest);
        shard.min(newest)
    }

    /// How many entries are yet to come of shards with so many, the oldest first.
    pub fn left(self, sizes: impl IntoIterator<Item = u64>) -> u64 {
        let before = |(older, size)| self.issued.saturating_sub(base(older)).min(size);
        sizes.into_iter().enumerate().map(before).sum()
    }
}

/// Two hexadecimal numbers, `1f-3`; to others a word without a meaning.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.issued, self.refused)
    }
}

/// There is no such cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: take the one that the page before gave")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let number = |text: &str| {
            let plain = text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
            u64::from_str_radix(text, 16).ok().filter(|_| plain)
        };
        let (issued, refused) = text.split_once('-').ok_or(NoCursor)?;
        match (number(issued), number(refused)) {
            (Some(issued), Some(refused)) => Ok(Self { issued, refused }),
            _ => Err(NoCursor),
        }
    }
}

/// Asks a running instance.
#[derive(Clone)]
pub struct Explorer {
    logs: Shards,
    recorder: Recorder,
    desk: Desk,
}

impl Explorer {
    /// Asks `logs`, and the refusals that `recorder` keeps.
    pub fn new(logs: Shards, recorder: Recorder) -> Self {
        Self { logs, recorder, desk: Desk::new() }
    }

    /// A page of the answer.
    ///
    /// # Errors
    ///
    /// [`ExplorerError`] when what is asked cannot be read, or too many ask.
    pub async fn ask(&self, mut question: Question) -> Result<Page, ExplorerError> {
        if self.recorder.is_failing() && question.search.admits(Outcome::Refused) {
            let missing = StoreError::Backend("their file cannot be used".to_owned());
            return Err(ExplorerError::Refusals(missing));
        }
        let turn = self.desk.turn().await.ok_or(ExplorerError::Busy)?;
        let logs = self.logs.all();
        let mut records = Vec::new();
        loop {
            let older = question.first_shard(logs.len());
            let Some(log) = logs.get(older) else { return Ok(Page { records, next: None }) };
            let (recorder, asked) = (self.recorder.clone(), question.clone());
            let turn = turn.clone();
            let looked = log.look(move |entries| {
                let _turn = &turn;
                match page(older, entries, recorder.refusals().as_deref(), &asked) {
                    Err(ExplorerError::Log(error)) => Err(error),
                    asked => Ok(asked),
                }
            });
            let page = looked.await??;
            question.limit = question.limit.saturating_sub(page.records.len());
            records.extend(page.records);
            question.cursor = page.next;
            // A page that is short within its shard has read what one page may.
            let goes_on = page.next.is_some_and(|next| next.shard(logs.len()) < older);
            if question.limit == 0 || !goes_on {
                return Ok(Page { records, next: page.next });
            }
        }
    }

    /// The record of one entry of a shard, or of the one of `now`; none where there is no such entry.
    ///
    /// # Errors
    ///
    /// As [`Explorer::ask`].
    pub async fn record(
        &self,
        shard: Option<&str>,
        index: u64,
        now: Timestamp,
    ) -> Result<Option<Record>, ExplorerError> {
        let log = match shard {
            Some(name) => self.logs.named(name),
            None => self.logs.at(now),
        };
        let Some(log) = log else { return Ok(None) };
        Ok(log.record(index).await?)
    }
}

impl Question {
    /// Which of `shards` shards to ask first: how many of them are older.
    pub fn first_shard(&self, shards: usize) -> usize {
        match self.search.admits(Outcome::Issued) {
            true => self.cursor.unwrap_or(Cursor::NEWEST).shard(shards),
            false => 0,
        }
    }
}

/// A page of the answer, out of a shard of the log with so many older ones, and the refusals beside it.
/// It ends with the shard, for the older refusals stand among the older entries.
///
/// # Errors
///
/// [`ExplorerError`] when those cannot be read.
pub fn page(
    older: usize,
    entries: Entries<'_>,
    refusals: Option<&Refusals>,
    question: &Question,
) -> Result<Page, ExplorerError> {
    let Question { search, cursor, limit } = question;
    let (start, base) = (cursor.unwrap_or(Cursor::NEWEST), base(older));
    let from = |result, before| if search.admits(result) { before } else { 0 };
    let mut budget = READ;
    let mut issued =
        entries.search(search, from(Outcome::Issued, start.issued.saturating_sub(base)))?;
    let mut refused = Refused {
        refusals,
        search,
        clues: search.terms.clues(),
        waiting: VecDeque::new(),
        page: FETCHED,
        before: from(Outcome::Refused, start.refused),
    };
    let mut first = issued.next(&mut budget)?;
    let mut second = refused.next(&mut budget)?;
    let mut records = Vec::new();
    while records.len() < *limit {
        // Without knowing what comes next on one side nobody can say which side comes first.
        let is_known = |head: bool, before: u64| head || before == 0;
        if !is_known(first.is_some(), issued.before())
            || !is_known(second.is_some(), refused.before)
        {
            break;
        }
        match (&first, &second) {
            (None, _) if older > 0 => break,
            (None, None) => break,
            (Some(one), Some((_, other))) if one.time < other.time => {
                records.extend(second.take().map(|(_, record)| record));
                second = refused.next(&mut budget)?;
            }
            (None, Some(_)) => {
                records.extend(second.take().map(|(_, record)| record));
                second = refused.next(&mut budget)?;
            }
            (Some(_), _) => {
                records.extend(first.take());
                first = issued.next(&mut budget)?;
            }
        }
    }
    let above = |place: u64| place.saturating_add(1);
    let next = Cursor {
        issued: base + first.and_then(|record| record.index).map_or(issued.before(), above),
        refused: second.map_or(refused.before, |(place, _)| above(place)),
    };
    Ok(Page { records, next: Some(next).filter(|next| next.issued > 0 || next.refused > 0) })
}

/// The refusals that a search finds, one after the other.
struct Refused<'a> {
    refusals: Option<&'a Refusals>,
    search: &'a Search,
    clues: Vec<Vec<Clue>>,
    waiting: VecDeque<(u64, Record)>,
    /// How many to fetch next.
    page: usize,
    /// Everything from this place on was looked at; 0 at the end.
    before: u64,
}

impl Refused<'_> {
    /// The next one with its place; none at the end, and none for now when `budget` is spent.
    fn next(&mut self, budget: &mut usize) -> Result<Option<(u64, Record)>, ExplorerError> {
        while self.before > 0 && *budget > 0 {
            let Some((place, record)) = self.waiting.pop_front() else {
                let fetched =
                    self.refusals.map(|all| all.find(&self.clues, self.before, self.page));
                self.page = MOST_FETCHED.min(self.page * 2);
                self.waiting.extend(fetched.transpose()?.unwrap_or_default());
                if self.waiting.is_empty() {
                    self.before = 0;
                }
                continue;
            };
            *budget -= 1;
            self.before = place;
            if record.time.plus(SLACK) < self.search.since {
                self.before = 0;
            } else if self.search.finds(&record) {
                return Ok(Some((place, record)));
            }
        }
        Ok(None)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplorerError {
    /// Others ask already, more than we answer at once.
    #[error("too many searches at once")]
    Busy,
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The refusals cannot be read.
    #[error("the refusals cannot be read: {0}")]
    Refusals(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_a_shard() {
        let at = |issued| Cursor { issued, refused: 0 };
        for (cursor, shard) in [
            (Cursor::NEWEST, 2),
            (at(base(2) + 1), 2),
            // Below the first entry of the third is the end of the second.
            (at(base(2)), 1),
            (at(base(1) + 7), 1),
            (at(base(1)), 0),
            (at(0), 0),
        ] {
            assert_eq!(cursor.shard(3), shard, "{cursor}");
        }
        for (cursor, left) in [
            (Cursor::NEWEST, 600),
            (at(base(2) + 7), 307),
            (at(base(2)), 300),
            (at(base(1)), 100),
            (at(1), 1),
            (at(0), 0),
        ] {
            assert_eq!(cursor.left([100, 200, 300]), left, "{cursor}");
        }
        assert_eq!(Cursor::NEWEST.shard(1), 0);
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        for cursor in [Cursor::NEWEST, Cursor { issued: 0, refused: 31 }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "1F-2", "1ffffffffffffffff-0"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }
}
