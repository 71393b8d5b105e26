//! The thread that keeps refusals: nobody waits for it.
//!
//! A refusal is handed over where there is room for it, and dropped and counted where there is none: a
//! flood of them, a full disk or a damaged file cost records of refusals, and never a certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use crate::record::{Record, milliseconds};
use crate::store::StoreError;
use crate::store::refusals::{Bounds, MOST, Refusals};
use crate::time::Clock;

/// How many refusals may wait.
const QUEUE: usize = 1024;
/// How many are written at once, and how long it takes at least when so many come: in a flood the cores
/// are for those who get certificates.
const BATCH: usize = 256;
const PACE: Duration = Duration::from_millis(100);
/// How long nothing comes before what is too old is looked for.
const REST: Duration = Duration::from_secs(60);
/// Before a file that cannot be opened is tried again, and between two lines that say how many were
/// dropped.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps refusals. Cloning shares it; what waits is written before the last clone is gone.
///
/// The one by default keeps nothing.
#[derive(Clone, Default)]
pub struct Recorder(Option<Arc<Running>>);

struct Running {
    kept: Arc<Kept>,
    // None once it ends.
    queue: Option<SyncSender<Record>>,
    thread: Option<JoinHandle<()>>,
    clock: Arc<dyn Clock>,
}

/// What the thread and its users share.
#[derive(Default)]
struct Kept {
    refusals: ArcSwapOption<Refusals>,
    failing: AtomicBool,
    dropped: AtomicU64,
}

impl Recorder {
    /// Keeps refusals in the file at `path` for as long as `keep` says; where that is no time at all, none,
    /// and those that are there go.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(path: PathBuf, keep: Duration, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        if keep.is_zero() {
            if let Err(error) = Refusals::remove(&path) {
                tracing::warn!(%error, "refusals that are not to be kept cannot be removed");
            }
            return Ok(Self::default());
        }
        let kept = Arc::<Kept>::default();
        let (queue, waiting) = sync_channel(QUEUE);
        let (shared, now) = (Arc::clone(&kept), Instant::now());
        let worker = Worker {
            path,
            keep,
            clock: Arc::clone(&clock),
            kept: shared,
            waiting,
            tried: None,
            said: now,
        };
        let thread = std::thread::Builder::new().name("recorder".into());
        let thread = Some(thread.spawn(move || worker.run())?);
        Ok(Self(Some(Arc::new(Running { kept, queue: Some(queue), thread, clock }))))
    }

    /// Hands over a refusal that was said just now; drops it where too many wait.
    pub fn keep(&self, refusal: Record) {
        let Some(running) = &self.0 else { return };
        let duration_ms = milliseconds(running.clock.now().since(refusal.time));
        let refusal = Record { duration_ms, ..refusal };
        let queue = running.queue.as_ref();
        if queue.is_none_or(|queue| queue.try_send(refusal).is_err()) {
            running.kept.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether refusals should be kept, and their file cannot be used: what is asked of them has no answer.
    pub fn is_failing(&self) -> bool {
        self.0.as_ref().is_some_and(|running| running.kept.failing.load(Ordering::Relaxed))
    }

    /// The refusals that are kept; none where none are, or their file cannot be opened.
    pub fn refusals(&self) -> Option<Arc<Refusals>> {
        self.0.as_ref()?.kept.refusals.load_full()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.queue.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Worker {
    path: PathBuf,
    keep: Duration,
    clock: Arc<dyn Clock>,
    kept: Arc<Kept>,
    waiting: Receiver<Record>,
    /// When opening the file last failed.
    tried: Option<Instant>,
    /// When a line last said how many were dropped.
    said: Instant,
}

impl Worker {
    fn run(mut self) {
        self.write(&[]);
        loop {
            let batch: Vec<_> = match self.waiting.recv_timeout(REST) {
                Ok(first) => {
                    let rest = self.waiting.try_iter().take(BATCH - 1);
                    std::iter::once(first).chain(rest).collect()
                }
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.write(&batch);
            self.say(RETRY);
            if batch.len() == BATCH {
                std::thread::sleep(PACE);
            }
        }
        self.say(Duration::ZERO);
    }

    /// Writes a batch, or counts it as dropped.
    fn write(&mut self, batch: &[Record]) {
        let Some(refusals) = self.refusals() else { return self.drop(batch) };
        let bounds = Bounds { since: self.clock.now().minus(self.keep), most: MOST };
        if let Err(error) = refusals.add(batch, bounds) {
            tracing::warn!(%error, "refusals cannot be written");
            self.drop(batch);
            self.kept.refusals.store(None);
            self.kept.failing.store(true, Ordering::Relaxed);
            // Damage may lie where opening does not look; else it was the disk, which may have room again.
            let damaged = matches!(error, StoreError::Corrupt(_));
            let aside = damaged.then(|| Refusals::put_aside(&self.path)).transpose();
            match aside {
                Ok(Some(aside)) => {
                    let aside = aside.display();
                    tracing::warn!(%aside, "the file of refusals was put aside, a new one begun");
                }
                _ => self.tried = Some(Instant::now()),
            }
        }
    }

    fn drop(&self, batch: &[Record]) {
        self.kept.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }

    /// The file, opened; a damaged one is put aside, and another one begun.
    fn refusals(&mut self) -> Option<Arc<Refusals>> {
        if let Some(refusals) = self.kept.refusals.load_full() {
            return Some(refusals);
        }
        if self.tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            return None;
        }
        match self.open() {
            Ok(refusals) => {
                self.kept.refusals.store(Some(Arc::new(refusals)));
                self.tried = None;
            }
            Err(error) => {
                tracing::warn!(%error, "refusals are not kept: their file cannot be opened");
                self.tried = Some(Instant::now());
            }
        }
        self.kept.failing.store(self.tried.is_some(), Ordering::Relaxed);
        self.kept.refusals.load_full()
    }

    fn open(&self) -> Result<Refusals, StoreError> {
        match Refusals::open(&self.path) {
            Err(error @ (StoreError::Corrupt(_) | StoreError::Unrecognised { .. })) => {
                let aside = Refusals::put_aside(&self.path)?;
                let aside = aside.display();
                tracing::warn!(%error, %aside, "the file of refusals was put aside, a new one begun");
                Refusals::open(&self.path)
            }
            opened => opened,
        }
    }

    /// Says how many were dropped, at most once in `between`.
    fn say(&mut self, between: Duration) {
        if self.said.elapsed() < between {
            return;
        }
        let dropped = self.kept.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "refusals were not kept: too many at once, or no place for them"
            );
            self.said = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;
    use crate::time::{SystemClock, Timestamp};

    const MONTH: Duration = Duration::from_secs(30 * 86_400);

    fn start(path: PathBuf, keep: Duration) -> Recorder {
        Recorder::start(path, keep, Arc::new(SystemClock)).unwrap()
    }

    fn refusal(request_id: &str, time: Timestamp) -> Record {
        Record {
            time,
            result: Outcome::Refused,
            request_id: request_id.into(),
            ..Record::default()
        }
    }

    /// Who is kept in the file at `path`, newest first.
    fn kept(path: &std::path::Path) -> Vec<String> {
        let found = Refusals::open_read_only(path).unwrap().find(&[], u64::MAX, 9).unwrap();
        found.into_iter().map(|(_, record)| record.request_id).collect()
    }

    #[test]
    fn what_waits_is_written_before_the_end_and_what_is_old_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refusals.sqlite");
        let recorder = start(path.clone(), MONTH);
        let now = SystemClock.now();
        for id in ["a", "b"] {
            recorder.clone().keep(refusal(id, now));
        }
        drop(recorder);
        assert_eq!(kept(&path), ["b", "a"]);
        let recorder = start(path.clone(), MONTH);
        recorder.keep(refusal("c", now));
        drop(recorder);
        assert_eq!(kept(&path), ["c", "b", "a"]);

        let old = folder.path().join("old.sqlite");
        let recorder = start(old.clone(), MONTH);
        recorder.keep(refusal("old", now.minus(MONTH + MONTH)));
        recorder.keep(refusal("new", now));
        drop(recorder);
        drop(start(old.clone(), MONTH));
        assert_eq!(kept(&old), ["new"]);

        drop(start(path.clone(), Duration::ZERO));
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_no_place_at_all_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refusals.sqlite");
        std::fs::write(&path, [7; 9000]).unwrap();
        let recorder = start(path.clone(), MONTH);
        recorder.keep(refusal("a", SystemClock.now()));
        drop(recorder);
        assert_eq!(kept(&path), ["a"]);
        assert!(folder.path().join("refusals.sqlite.damaged").exists());

        let recorder = start(folder.path().join("nowhere/refusals.sqlite"), MONTH);
        (0..2 * QUEUE).for_each(|_| recorder.keep(refusal("a", SystemClock.now())));
        assert!(recorder.refusals().is_none());
    }
}
