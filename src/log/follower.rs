//! The thread that keeps the search index: behind the log, never in its way.
//!
//! Published entries are indexed in batches, as soon as a batch waits or nothing new has come for a
//! moment. A search looks through what the index does not have yet, entry by entry ([`super::search`]), so
//! that it never misses what is logged. Crash by crash: how far the index has come is written with what
//! was added, so it is of some state of the log; one that is not (another log's, ahead of this one, or
//! damaged) is thrown away and made anew.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use super::search::{check, sample};
use super::{Log, LogError};
use crate::record::{Record, words};
use crate::store::index::Index;
use crate::store::{Head, Placed, Store, StoreError};
use crate::tlog::merkle::Hash;

/// How many entries are indexed without waiting for more.
const BATCH: u64 = 256;
/// How many entries are added at once when many wait: larger steps, less work.
const STEP: u64 = 2048;
/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(250);
/// Before an index that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// Between two lines about the progress of a long way.
const LINE: Duration = Duration::from_secs(10);
/// How many entries make a long way.
const LONG: u64 = 10_000;

/// The thread, and what it keeps; the thread ends when this is dropped.
pub(super) struct Follower {
    kept: Arc<Kept>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its readers share.
#[derive(Default)]
struct Kept {
    index: ArcSwapOption<Index>,
    upto: AtomicU64,
    /// A reader has found the index unfit.
    is_unfit: AtomicBool,
}

impl Log {
    /// Keeps a search index of this log in the file at `path`, by a thread of its own, until the last
    /// clone of the log is gone.
    ///
    /// # Errors
    ///
    /// [`LogError::Thread`] when there is no thread to be had.
    pub fn keep_index(&self, path: PathBuf) -> Result<(), LogError> {
        let kept = Arc::<Kept>::default();
        if self.shared.follower.get().is_some() {
            return Ok(());
        }
        let (stop, stopped) = channel();
        let worker = Worker {
            path,
            store: Arc::clone(&self.shared.store),
            published: Arc::clone(&self.shared.published),
            kept: Arc::clone(&kept),
            stopped,
            seen: 0,
            way: None,
            is_failing: false,
        };
        let thread = std::thread::Builder::new().name("follower".into()).spawn(|| worker.run());
        let thread = thread.map_err(|error| LogError::Thread(error.to_string()))?;
        let follower = Follower { kept, stop: Some(stop), thread: Some(thread) };
        // Of two at once the second ends here.
        drop(self.shared.follower.set(follower));
        Ok(())
    }

    /// How many published entries the search index has; none where no index is kept.
    pub fn indexed(&self) -> Option<u64> {
        Some(self.shared.follower.get()?.kept.upto.load(Ordering::Relaxed))
    }
}

impl Follower {
    /// The index, if it is fit to be asked.
    pub(super) fn index(&self) -> Option<Arc<Index>> {
        self.kept.index.load_full()
    }

    /// Has a damaged index made anew.
    pub(super) fn make_anew(&self) {
        self.kept.is_unfit.store(true, Ordering::Relaxed);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It may hold the store, which whoever dropped the log may open again.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Worker {
    path: PathBuf,
    store: Arc<dyn Store>,
    published: Arc<ArcSwap<Head>>,
    kept: Arc<Kept>,
    stopped: Receiver<()>,
    /// The size of the log at the last look.
    seen: u64,
    way: Option<Way>,
    is_failing: bool,
}

/// A long way to go: where it began, and when, and when a line said so.
struct Way {
    from: u64,
    since: Instant,
    line: Instant,
}

impl Worker {
    fn run(mut self) {
        let mut rest = Duration::ZERO;
        while self.stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
            rest = match self.step() {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK,
                Err(error) => self.fail(&error),
            };
        }
    }

    /// Indexes what waits, if it is time; yields whether more may wait.
    fn step(&mut self) -> Result<bool, LogError> {
        if self.kept.is_unfit.swap(false, Ordering::Relaxed) {
            return Err(LogError::Index(StoreError::Corrupt("a search found it so".to_owned())));
        }
        let index = self.index()?;
        let (upto, size) = (self.kept.upto.load(Ordering::Relaxed), self.published.load().size);
        let (waiting, is_growing) = (size.saturating_sub(upto), size != self.seen);
        self.seen = size;
        if waiting == 0 || waiting < BATCH && is_growing {
            self.arrive(upto);
            return Ok(false);
        }
        let end = upto + waiting.min(STEP);
        self.set_out(upto, waiting);
        let (words, last) = read(self.store.as_ref(), upto, end)?;
        index.add(upto, &words, last).map_err(LogError::Index)?;
        self.kept.upto.store(end, Ordering::Relaxed);
        self.is_failing = false;
        Ok(end < size)
    }

    /// The index, opened; made anew where it does not fit.
    fn index(&self) -> Result<Arc<Index>, LogError> {
        if let Some(index) = self.kept.index.load_full() {
            return Ok(index);
        }
        let index = match self.open() {
            Err(LogError::Index(error)) if !matches!(error, StoreError::Backend(_)) => {
                tracing::warn!(%error, "the search index does not fit the log and is made anew");
                Index::remove(&self.path).map_err(LogError::Index)?;
                self.open()?
            }
            opened => opened?,
        };
        let upto = index.upto().map_err(LogError::Index)?;
        self.kept.upto.store(upto.size, Ordering::Relaxed);
        let index = Arc::new(index);
        self.kept.index.store(Some(Arc::clone(&index)));
        Ok(index)
    }

    /// Opens the index, if it is of a state of this log.
    fn open(&self) -> Result<Index, LogError> {
        let index = Index::open(&self.path, self.store.owner()).map_err(LogError::Index)?;
        let upto = index.upto().map_err(LogError::Index)?;
        check(upto, self.store.as_ref(), self.published.load().size)?;
        sample(&index, self.store.as_ref(), upto.size)?;
        Ok(index)
    }

    /// Says what is wrong, once; yields how long to rest.
    fn fail(&mut self, error: &LogError) -> Duration {
        if !self.is_failing {
            tracing::warn!(%error, "the search index lags: searches read what it does not have");
        }
        self.is_failing = true;
        let is_damaged = |error: &StoreError| !matches!(error, StoreError::Backend(_));
        if let LogError::Index(error) = error
            && is_damaged(error)
        {
            // Whoever is asking it keeps it until done.
            self.kept.index.store(None);
            return Index::remove(&self.path).map_or(RETRY, |()| LOOK);
        }
        // The disk may have room again, or the log be readable.
        RETRY
    }

    fn set_out(&mut self, upto: u64, waiting: u64) {
        let now = Instant::now();
        match &mut self.way {
            None if waiting >= LONG => {
                tracing::info!(entries = waiting, "indexing the log for searches");
                self.way = Some(Way { from: upto, since: now, line: now });
            }
            Some(way) if now - way.line >= LINE => {
                tracing::info!(indexed = upto, left = waiting, "indexing the log for searches");
                way.line = now;
            }
            _ => {}
        }
    }

    fn arrive(&mut self, upto: u64) {
        if let Some(Way { from, since, .. }) = self.way.take() {
            let (entries, seconds) = (upto - from, since.elapsed().as_secs_f64());
            let speed = entries as f64 / seconds.max(0.001);
            tracing::info!(
                entries,
                "the log is indexed: {seconds:.1} s, {speed:.0} entries a second"
            );
        }
    }
}

/// The words of the entries from `from` up to `end`, in order, and the last one's leaf hash.
fn read(store: &dyn Store, from: u64, end: u64) -> Result<(Vec<String>, Hash), StoreError> {
    let (mut all, mut last) = (Vec::new(), Hash::EMPTY);
    let mut next = from;
    while next < end {
        let page = (end - next).min(BATCH);
        let limit = usize::try_from(page).unwrap_or(usize::MAX);
        let found = store.records(Some(next + page), limit)?;
        for (index, placed) in (next..next + page).zip(found.iter().rev()) {
            if placed.index != index {
                return Err(StoreError::Corrupt(format!("entry {index} is missing")));
            }
            all.push(words(placed));
            last = placed.leaf_hash;
        }
        next += page;
    }
    Ok((all, last))
}

/// The words of one entry. Of one that cannot be read its place is all that can be found.
fn words(placed: &Placed) -> String {
    let Placed { index, leaf_hash, tile_leaf, record } = placed;
    match Record::read(*index, tile_leaf, record) {
        Ok(record) => words::of(&record, Some(leaf_hash)),
        Err(_) => words::leaf(leaf_hash),
    }
}
