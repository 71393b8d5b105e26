//! Searches over what a log has issued: candidates by the index, the rest entry by entry.
//!
//! ```text
//! size  ┬ published, not indexed yet: every entry is read
//! upto  ┼ indexed: the entries that have what the search's words are made of are read
//! 0     ┴
//! ```
//!
//! Every record found was read and compared; the index only says which need not be read. Where to begin and
//! to stop for a range of times the entries say: what is kept of an attempt could be anybody's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Log, LogError};
use crate::ct::entry::TileLeaf;
use crate::record::Record;
use crate::record::search::Search;
use crate::record::words::Clue;
use crate::store::index::{Index, Upto};
use crate::store::{Placed, Store, StoreError};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

/// How many entries, or candidates, are fetched at first, and at most: asking the index for a common word
/// costs more than what it yields.
const PAGE: usize = 64;
const MOST_ENTRIES: usize = 256;
const MOST_CANDIDATES: usize = 4096;
/// How many of the newest entries are read for a search by letters that very many words begin with, before
/// the index is asked: it gathers all entries first that have one of those, which takes seconds.
const STARTS: u64 = 1000;
/// How many entries an index is asked for before its silence is believed.
const SAMPLE: u64 = 16;
/// How far the time of a request may be from that of its entry: requests are logged within seconds, by a
/// clock that may be set meanwhile. The entries' own times are in order, and signed for.
const SLACK: Duration = Duration::from_secs(60);

/// Whether an index that had come so far is of the log in `store`, which has had `size` entries since.
///
/// # Errors
///
/// [`LogError::Index`] when it is not; [`LogError::Store`] when the store cannot be read.
pub fn check(upto: Upto, store: &dyn Store, size: u64) -> Result<(), LogError> {
    let last = match upto.size.checked_sub(1).filter(|last| *last < size) {
        Some(last) => store.leaf_hashes(last..last + 1)?,
        None => Vec::new(),
    };
    if upto.size > size || last.first() != upto.last.as_ref() {
        let entries = upto.size;
        return Err(LogError::Index(StoreError::Corrupt(format!(
            "it has {entries} entries, which are not the first of the log's {size}"
        ))));
    }
    Ok(())
}

/// Whether an index finds some of the first `upto` entries, which it says it has.
///
/// # Errors
///
/// As [`check`].
pub fn sample(index: &Index, store: &dyn Store, upto: u64) -> Result<(), LogError> {
    let step = usize::try_from(upto / SAMPLE + 1).unwrap_or(usize::MAX);
    for entry in (0..upto).step_by(step) {
        for leaf in store.leaf_hashes(entry..entry + 1)? {
            let clues = [vec![Clue::leaf(&leaf)]];
            let found = index.find(&clues, entry..entry + 1, 1).map_err(LogError::Index)?;
            if found != [entry] {
                let missing = format!("it does not have entry {entry}, which it says it has");
                return Err(LogError::Index(StoreError::Corrupt(missing)));
            }
        }
    }
    Ok(())
}

/// The entries of a log, as far as they may be seen.
#[derive(Clone, Copy)]
pub struct Entries<'a> {
    /// Where they are.
    pub store: &'a dyn Store,
    /// What finds them fast.
    pub index: Option<&'a Index>,
    /// How many there are.
    pub size: u64,
}

impl Log {
    /// The record of one published entry; none where there is none.
    ///
    /// # Errors
    ///
    /// As [`Entries::record`].
    pub async fn record(&self, index: u64) -> Result<Option<Record>, LogError> {
        self.glance(move |entries| entries.record(index)).await
    }

    /// Looks at the published entries, on a thread that may block; once more without the index, where that
    /// fails. The caller sees to it that not too many look at once.
    ///
    /// # Errors
    ///
    /// What `look` yields; [`LogError::Thread`] when there is no thread to be had.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl Fn(Entries<'_>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let shared = Arc::clone(&self.shared);
        let looked = tokio::task::spawn_blocking(move || {
            let size = shared.published.load().size;
            let follower = shared.follower.get();
            let index = follower.and_then(|follower| follower.index());
            let entries = Entries { store: shared.store.as_ref(), index: index.as_deref(), size };
            match (look(entries), follower) {
                (Err(LogError::Index(error)), Some(follower)) => {
                    tracing::warn!(%error, "the search index cannot be read and is made anew");
                    follower.make_anew();
                    look(Entries { index: None, ..entries })
                }
                (looked, _) => looked,
            }
        });
        looked.await.map_err(|error| LogError::Thread(error.to_string()))?
    }

    /// The index of the entry with this leaf hash, if the published tree has one.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read, [`LogError::Index`] when the index cannot.
    pub async fn index_of(&self, leaf: Hash) -> Result<Option<u64>, LogError> {
        self.glance(move |entries| entries.index_of(leaf)).await
    }

    /// The same as [`Log::look`] for a look that is short: it waits among the reads, and not behind the
    /// searches, which may take long.
    pub(super) async fn glance<T: Send + 'static>(
        &self,
        look: impl Fn(Entries<'_>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let _permit = self.shared.reads.acquire().await.map_err(|_| LogError::Closed)?;
        self.look(look).await
    }
}

impl<'a> Entries<'a> {
    /// The record of one entry; none where there is no such entry.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`] when the store cannot be read, [`LogError::Record`] when the record cannot.
    pub fn record(&self, index: u64) -> Result<Option<Record>, LogError> {
        self.placed(index)?.map(|placed| self.read(&placed)).transpose()
    }

    fn placed(&self, index: u64) -> Result<Option<Placed>, StoreError> {
        if index >= self.size {
            return Ok(None);
        }
        let found = self.store.records(Some(index + 1), 1)?;
        Ok(found.into_iter().find(|placed| placed.index == index))
    }

    /// The place of a leaf, by its hash.
    ///
    /// # Errors
    ///
    /// As [`Log::index_of`].
    pub fn index_of(&self, leaf: Hash) -> Result<Option<u64>, LogError> {
        let found = self.find(leaf)?;
        if let (None, Some(index)) = (found, self.index) {
            // A proof that is not given is a word against the log.
            sample(index, self.store, self.upto()?)?;
        }
        Ok(found)
    }

    /// The same, by the word of an index that was sampled when it was opened.
    ///
    /// # Errors
    ///
    /// As [`Log::index_of`].
    pub fn find(&self, leaf: Hash) -> Result<Option<u64>, LogError> {
        let upto = self.upto()?;
        let mut end = self.size;
        while end > upto {
            let start = end.saturating_sub(256).max(upto);
            let hashes = self.store.leaf_hashes(start..end)?;
            if let Some((index, _)) = (start..end).zip(hashes).find(|(_, hash)| *hash == leaf) {
                return Ok(Some(index));
            }
            end = start;
        }
        let Some(index) = self.index else { return Ok(None) };
        let clues = [vec![Clue::leaf(&leaf)]];
        for found in index.find(&clues, 0..upto, PAGE).map_err(LogError::Index)? {
            if self.store.leaf_hashes(found..found + 1)?.first() == Some(&leaf) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What `search` finds below `before`, newest first.
    ///
    /// # Errors
    ///
    /// [`LogError::Store`], [`LogError::Index`] or [`LogError::Record`] when those cannot be read.
    pub fn search(self, search: &'a Search, before: u64) -> Result<Issued<'a>, LogError> {
        let mut clues = search.terms.clues();
        let before = self.end(search.until, before.min(self.size))?;
        let mut upto = match clues.is_empty() {
            true => 0,
            false => self.upto()?.min(before),
        };
        if let Some(index) = self.index {
            clues = index.spelled(clues).map_err(LogError::Index)?;
        }
        if clues.iter().flatten().any(|clue| matches!(clue, Clue::Start(_))) {
            upto = upto.min(before.saturating_sub(STARTS));
        }
        let waiting = VecDeque::new();
        Ok(Issued { entries: self, search, clues, upto, waiting, page: PAGE, before })
    }

    /// How far the index has come; nowhere without one.
    fn upto(&self) -> Result<u64, LogError> {
        let upto = self.index.map(Index::upto).transpose().map_err(LogError::Index)?;
        Ok(upto.map_or(0, |upto| upto.size).min(self.size))
    }

    /// Below which entry those of `until` and before are, at most `end`.
    fn end(&self, until: Timestamp, mut end: u64) -> Result<u64, LogError> {
        let latest = until.plus(SLACK);
        let mut start = if latest < Timestamp::from_millis(u64::MAX) { 0 } else { end };
        while start < end {
            let middle = start + (end - start) / 2;
            let time = logged(&self.existing(middle)?)?;
            if time <= latest { start = middle + 1 } else { end = middle }
        }
        Ok(end)
    }

    /// The record in a row.
    fn read(&self, placed: &Placed) -> Result<Record, LogError> {
        let Placed { index, tile_leaf, record, .. } = placed;
        let record = Record::read(*index, tile_leaf, record);
        let record = record.map_err(|error| LogError::Record(error.to_string()))?;
        Ok(Record { shard: self.store.owner().shard().to_owned(), ..record })
    }

    /// An entry that must be there.
    fn existing(&self, index: u64) -> Result<Placed, StoreError> {
        let missing = || StoreError::Corrupt(format!("entry {index} is missing"));
        self.placed(index)?.ok_or_else(missing)
    }
}

/// When an entry was logged.
fn logged(placed: &Placed) -> Result<Timestamp, LogError> {
    let leaf = TileLeaf::read(&placed.tile_leaf);
    leaf.map(|(leaf, _)| leaf.timestamp).map_err(|error| LogError::Record(error.to_string()))
}

/// The records that a search finds, one after the other.
pub struct Issued<'a> {
    entries: Entries<'a>,
    search: &'a Search,
    clues: Vec<Vec<Clue>>,
    upto: u64,
    waiting: VecDeque<Candidate>,
    /// How many to fetch next.
    page: usize,
    before: u64,
}

enum Candidate {
    Named(u64),
    Read(Placed),
}

impl Issued<'_> {
    /// The next record; none at the end, and none for now when `budget`, which counts the entries that
    /// may be read, is spent.
    ///
    /// # Errors
    ///
    /// As [`Entries::search`].
    pub fn next(&mut self, budget: &mut usize) -> Result<Option<Record>, LogError> {
        while self.before > 0 && *budget > 0 {
            let Some(candidate) = self.waiting.pop_front() else {
                self.fetch()?;
                continue;
            };
            *budget -= 1;
            let placed = match candidate {
                Candidate::Named(index) => self.entries.existing(index)?,
                Candidate::Read(placed) => placed,
            };
            self.before = placed.index;
            if logged(&placed)?.plus(SLACK) < self.search.since {
                self.before = 0;
                break;
            }
            let record = self.entries.read(&placed)?;
            if self.search.finds(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Everything from this entry on was looked at; 0 at the end.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// Fetches the next candidates.
    fn fetch(&mut self) -> Result<(), LogError> {
        let Entries { store, index, .. } = self.entries;
        let (indexed, scanned) =
            (self.before.min(self.upto), self.before.saturating_sub(self.upto));
        match index {
            Some(index) if scanned == 0 => {
                let found = index.find(&self.clues, 0..indexed, self.page);
                let found = found.map_err(LogError::Index)?;
                self.waiting.extend(found.into_iter().map(Candidate::Named));
                if self.waiting.is_empty() {
                    self.before = 0;
                }
            }
            _ => {
                let most = usize::try_from(scanned).unwrap_or(usize::MAX);
                let found =
                    store.records(Some(self.before), self.page.min(MOST_ENTRIES).min(most))?;
                self.waiting.extend(found.into_iter().map(Candidate::Read));
                if self.waiting.is_empty() {
                    self.before = indexed;
                }
            }
        }
        self.page = MOST_CANDIDATES.min(self.page * 2);
        Ok(())
    }
}
