//! Questions asked of all attempts, issued and refused, newest first, a page at a time.
//!
//! ```text
//! log       …  5  4  3  2  1  0     by place in the tree
//! refusals  …  c     b        a     by the order in which they were kept
//! page      5  c  4  b | 3  2  a …  whichever is later comes first; the cursor stands at |
//! ```
//!
//! The cursor names a place in both, so that what comes after it is the same however many attempts come
//! meanwhile. How much is read for one page is bounded: where that was not enough, the page is short and
//! its cursor leads on.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::log::search::Entries;
use crate::log::{Log, LogError};
use crate::record::search::Search;
use crate::record::words::Clue;
use crate::record::{Outcome, Record};
use crate::store::StoreError;
use crate::store::refusals::Refusals;

pub mod recorder;

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

impl Cursor {
    const NEWEST: Self = Self { issued: u64::MAX, refused: u64::MAX };

    /// The entry of the log below which it stands.
    pub const fn index(self) -> u64 {
        self.issued
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
    log: Log,
    recorder: Recorder,
}

impl Explorer {
    /// Asks `log`, and the refusals that `recorder` keeps.
    pub fn new(log: Log, recorder: Recorder) -> Self {
        Self { log, recorder }
    }

    /// A page of the answer.
    ///
    /// # Errors
    ///
    /// [`ExplorerError`] when what is asked cannot be read.
    pub async fn ask(&self, question: Question) -> Result<Page, ExplorerError> {
        let recorder = self.recorder.clone();
        let looked = self.log.look(move |entries| {
            match page(entries, recorder.refusals().as_deref(), &question) {
                Err(ExplorerError::Log(error)) => Err(error),
                asked => Ok(asked),
            }
        });
        looked.await?
    }

    /// The record of one entry; none where there is no such entry.
    ///
    /// # Errors
    ///
    /// As [`Explorer::ask`].
    pub async fn record(&self, index: u64) -> Result<Option<Record>, ExplorerError> {
        Ok(self.log.look(move |entries| entries.record(index)).await?)
    }
}

/// A page of the answer, out of a log and the refusals beside it.
///
/// # Errors
///
/// [`ExplorerError`] when those cannot be read.
pub fn page(
    entries: Entries<'_>,
    refusals: Option<&Refusals>,
    question: &Question,
) -> Result<Page, ExplorerError> {
    let Question { search, cursor, limit } = question;
    let start = cursor.unwrap_or(Cursor::NEWEST);
    let from = |result, before| if search.admits(result) { before } else { 0 };
    let mut budget = READ;
    let mut issued = entries.search(search, from(Outcome::Issued, start.issued))?;
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
        issued: first.and_then(|record| record.index).map_or(issued.before(), above),
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
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        for cursor in [Cursor::NEWEST, Cursor { issued: 0, refused: 31 }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "1F-2", "1ffffffffffffffff-0"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }
}
