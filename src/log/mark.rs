//! The high-water mark: the newest head, remembered outside the database.
//!
//! The worst that can be done to a log is well meant: an old copy of its database is put back. It is whole
//! and sound, and going on from it would sign a second tree of sizes that were signed before. So each
//! head is written here, too, after its commit and before anybody sees it; and a database that is
//! behind its mark, or of another history, is never appended to.
//!
//! ```text
//! at 0 and at 4096, in turn:
//! slot   "mayfly mark 1\n" ‖ size u64 ‖ root[32] ‖ timestamp u64 ‖ u16<origin> ‖ SHA-256 of all that
//! ```
//!
//! The newest whole slot counts: one that was being written when the power went is not whole, and
//! then the one before it counts.
//!
//! **What it detects**: the database alone replaced by an older copy, or by one of another history; its
//! newest part lost (a disk that forgot what it had promised to keep); the database of another log.
//!
//! **What it does not detect**: database and mark put back together, so it belongs on another disk than
//! the database, outside of what is copied and restored as one. A mark that is deleted or replaced while
//! the log is open is made anew within a second; one that was so at rest is missed at the start. And nobody
//! waits for its disk: the mark is written at once, but synced once a second and when the log is closed.
//! After the death of the process nothing is missing; after a power cut it may be behind by the heads of that
//! second, and an old copy that is just as old would pass. The database itself is never behind what was
//! acknowledged. And where there is no mark, an empty database passes for a new log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::quote::quote;
use crate::store::{Head, Store};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
use crate::tlog::tls::{self, Reader};

use super::LogError;
use super::edge::Edge;
use super::form::Form;

const MAGIC: &[u8] = b"mayfly mark 1\n";
/// Where the second slot begins: a page of its own, so that writing one does not touch the other.
const SECOND: u64 = 4096;
/// No slot is longer: an origin is a host name and a few letters.
const SLOT_OCTETS: usize = 1024;
/// So often the mark is synced, and looked for under its name.
const EVERY: Duration = Duration::from_secs(1);

/// A mark that is being written.
#[derive(Debug)]
pub struct Mark {
    kept: Arc<Kept>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a mark shares with the thread that looks after it.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    origin: String,
    slots: Mutex<Slots>,
    is_unsynced: AtomicBool,
    /// Why nothing may be written any more.
    failed: OnceLock<MarkError>,
}

/// The file, and what was written to it last.
#[derive(Debug)]
struct Slots {
    file: Arc<File>,
    /// Whether the second slot is the next one to be written.
    second: bool,
    head: Head,
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The log that it is about.
    pub origin: String,
    /// The newest head of that log.
    pub head: Head,
}

/// Whether a log may go on from its head, as its mark at `path` remembers; it has none yet only where it is
/// empty.
///
/// # Errors
///
/// [`LogError::Mark`] with what does not hold; [`LogError::Store`] when the store cannot be read.
pub fn check(store: &dyn Store, (path, form): (&Path, Form)) -> Result<(), LogError> {
    let name = || path.display().to_string();
    let mark = read(path)?;
    // After the mark: whoever appends meanwhile commits a head before it is remembered.
    let (origin, size) = (&store.owner().origin, store.head()?.size);
    let Some(mark) = mark else {
        let is_new = size <= form.first();
        let missing = || MarkError::Missing { path: name(), size }.into();
        return if is_new { Ok(()) } else { Err(missing()) };
    };
    if mark.origin != *origin {
        let (theirs, ours) = (mark.origin, origin.clone());
        return Err(MarkError::Foreign { path: name(), theirs, ours }.into());
    }
    let Head { size: newest, root, timestamp } = mark.head;
    if newest > size {
        return Err(MarkError::Ahead { path: name(), newest, timestamp, size }.into());
    }
    if Edge::within(store, newest)?.root() == Some(root) {
        return Ok(());
    }
    Err(MarkError::Forked { path: name(), size: newest }.into())
}

/// Says of the missing mark of `shard` that it is at `beside`, if there is one that was not moved along; else how
/// that shard gets a new one.
pub fn look_beside(error: LogError, shard: &str, beside: &Path) -> LogError {
    let LogError::Mark(MarkError::Missing { path, size }) = error else { return error };
    let (shard, there) = (shard.to_owned(), beside.display().to_string());
    match path != there && beside.exists() {
        true => MarkError::Unmoved { path, size, there }.into(),
        false => MarkError::Lost { path, size, shard }.into(),
    }
}

/// What the mark at `path` says; none where there is none, or no slot is whole.
///
/// # Errors
///
/// [`MarkError::Io`] when it cannot be read.
pub fn read(path: &Path) -> Result<Option<Remembered>, MarkError> {
    match File::open(path) {
        Ok(file) => Ok(newest(&file).map_err(at(path))?.map(|(mark, _)| mark)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// The newest whole slot, and whether it is the second one.
fn newest(file: &File) -> io::Result<Option<(Remembered, bool)>> {
    let mut slots = Vec::new();
    for second in [false, true] {
        let octets = slot(file, second)?;
        slots.extend(decode(&octets).map(|mark| (mark, second)));
    }
    // Every head is later than the one before it.
    Ok(slots.into_iter().max_by_key(|(mark, _)| mark.head.timestamp))
}

fn slot(file: &File, second: bool) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; SLOT_OCTETS];
    let mut length = 0;
    while let Some(rest) = octets.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset(second) + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    octets.truncate(length);
    Ok(octets)
}

const fn offset(second: bool) -> u64 {
    if second { SECOND } else { 0 }
}

fn encode(origin: &str, head: Head) -> Vec<u8> {
    let mut slot = MAGIC.to_vec();
    slot.extend_from_slice(&head.size.to_be_bytes());
    slot.extend_from_slice(&head.root.0);
    slot.extend_from_slice(&head.timestamp.as_millis().to_be_bytes());
    tls::put_opaque16(&mut slot, origin.as_bytes());
    let sum = Hash::of(&[&slot]);
    slot.extend_from_slice(&sum.0);
    slot
}

fn decode(slot: &[u8]) -> Option<Remembered> {
    let mut reader = Reader::new(slot.strip_prefix(MAGIC)?);
    let size = reader.u64().ok()?;
    let root = Hash(*reader.take(32).ok()?.first_chunk()?);
    let timestamp = Timestamp::from_millis(reader.u64().ok()?);
    let origin = str::from_utf8(reader.opaque16().ok()?).ok()?.to_owned();
    let summed = slot.get(..slot.len() - reader.rest().len())?;
    let whole = reader.take(32).ok()? == Hash::of(&[summed]).0;
    whole.then_some(Remembered { origin, head: Head { size, root, timestamp } })
}

/// Makes the mark at `path` anew with this head, durable, in the place of whatever is there.
///
/// # Errors
///
/// [`MarkError::Io`].
pub fn make(path: &Path, origin: &str, head: Head) -> Result<(), MarkError> {
    // Crash: under its own name there is a whole mark or none.
    let mut name = path.as_os_str().to_owned();
    name.push("-new");
    let unfinished = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&unfinished).map_err(at(&unfinished))?;
    let written = file.write_all_at(&encode(origin, head), 0).and_then(|()| file.sync_all());
    written.map_err(at(&unfinished))?;
    std::fs::rename(&unfinished, path).map_err(at(path))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

impl Mark {
    /// Opens the mark at `path`, which fits `head`, to be written; makes it where there is none yet.
    ///
    /// # Errors
    ///
    /// [`MarkError::Io`]; [`MarkError::Thread`] when there is no thread to sync it.
    pub fn open(path: &Path, origin: &str, head: Head) -> Result<Self, MarkError> {
        if read(path)?.is_none() {
            make(path, origin, head)?;
        }
        let file = open(path)?;
        let newest = newest(&file).map_err(at(path))?;
        let second = newest.is_some_and(|(_, second)| !second);
        let kept = Arc::new(Kept {
            path: path.to_owned(),
            origin: origin.to_owned(),
            slots: Mutex::new(Slots { file: Arc::new(file), second, head }),
            is_unsynced: AtomicBool::new(false),
            failed: OnceLock::new(),
        });
        let (stop, stopped) = channel();
        let keeper = Arc::clone(&kept);
        let thread = std::thread::Builder::new()
            .name("mark".into())
            .spawn(move || keeper.keep(&stopped))
            .map_err(|error| MarkError::Thread(error.to_string()))?;
        let mut mark = Self { kept, stop: Some(stop), thread: Some(thread) };
        mark.write(head)?;
        mark.sync()?;
        if read(path)?.is_none_or(|mark| mark.origin != origin || mark.head != head) {
            let why = "what was written is not what is read".to_owned();
            return Err(MarkError::Io { path: path.display().to_string(), why });
        }
        Ok(mark)
    }

    /// Remembers `head`; in the file when this returns, on the disk a second later.
    ///
    /// # Errors
    ///
    /// [`MarkError::Io`], also of a sync since the last call.
    pub fn write(&mut self, head: Head) -> Result<(), MarkError> {
        let Kept { path, origin, failed, .. } = self.kept.as_ref();
        if let Some(error) = failed.get() {
            return Err(error.clone());
        }
        let mut slots = self.kept.slots();
        slots.head = head;
        slots.file.write_all_at(&encode(origin, head), offset(slots.second)).map_err(at(path))?;
        slots.second = !slots.second;
        self.kept.is_unsynced.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes what was written durable, under the name of the mark.
    ///
    /// # Errors
    ///
    /// [`MarkError::Io`].
    pub fn sync(&self) -> Result<(), MarkError> {
        self.kept.look()?;
        self.kept.sync()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It would make anew what whoever closed the log has moved away.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Kept {
    /// Looks after the file once [`EVERY`], until the mark is dropped, or something fails: after a failed
    /// sync the system may report success for what it has dropped.
    fn keep(&self, stopped: &Receiver<()>) {
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let is_unsynced = self.is_unsynced.swap(false, Ordering::AcqRel);
            let synced = if is_unsynced { self.sync() } else { Ok(()) };
            if let Err(error) = synced.and_then(|()| self.look()) {
                let _ = self.failed.set(error);
                return;
            }
        }
    }

    fn sync(&self) -> Result<(), MarkError> {
        // Nobody waits for the disk.
        let file = Arc::clone(&self.slots().file);
        file.sync_data().map_err(at(&self.path))
    }

    /// Makes the mark anew when it was deleted, or another file put in its place: what is written to a file
    /// without a name is remembered by nobody.
    fn look(&self) -> Result<(), MarkError> {
        let path = &self.path;
        let file = Arc::clone(&self.slots().file);
        if is_at(&file, path).map_err(at(path))? {
            return Ok(());
        }
        // Meanwhile no head is written, so that none is written to the old file.
        let mut slots = self.slots();
        let head = slots.head;
        if let Some(other) = read(path)?.filter(|other| !other.is_before(&self.origin, head)) {
            let Remembered { origin, head: Head { size, .. } } = other;
            let why = format!(
                "another file took its place, which remembers {size} entries of the log {}",
                quote(&origin)
            );
            return Err(MarkError::Io { path: path.display().to_string(), why });
        }
        make(path, &self.origin, head)?;
        *slots = Slots { file: Arc::new(open(path)?), second: true, head };
        let path = path.display();
        tracing::warn!(
            "the log's mark {path} was deleted or replaced while the log was open, and was made anew; \
             find out by whom: without it an old copy of the database is not noticed"
        );
        Ok(())
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// Whether nothing is forgotten where this is replaced by `head` of the log `origin`.
    fn is_before(&self, origin: &str, head: Head) -> bool {
        self.origin == origin && self.head.size <= head.size
    }
}

fn open(path: &Path) -> Result<File, MarkError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(at(path))
}

/// Whether `path` still is this very file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.metadata() {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The error of the system about the file at `path`.
fn at(path: &Path) -> impl Fn(io::Error) -> MarkError {
    move |error| MarkError::Io { path: path.display().to_string(), why: error.to_string() }
}

/// Why a mark does not let a log go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// It remembers more than the database has.
    #[error(
        "the database has {size} entries, but {path} remembers {newest}, the newest of {timestamp}: an old copy of the database was put back, or its newest part is lost; find the newer one, or serve this one for reading (serve --read-only), or close this log and begin a new one; going on from here would sign a second history"
    )]
    Ahead {
        /// The mark.
        path: String,
        /// The size that it remembers.
        newest: u64,
        /// And its time.
        timestamp: Timestamp,
        /// The size of the database's tree.
        size: u64,
    },
    /// It remembers another history.
    #[error(
        "the first {size} entries in the database are not those that {path} remembers: this is the database of another history, continued from an old copy; find the one that belongs to the mark, and serve this one for reading only (serve --read-only)"
    )]
    Forked {
        /// The mark.
        path: String,
        /// The size that it remembers.
        size: u64,
    },
    /// There is none.
    #[error(
        "the log has {size} entries, but {path}, which remembers the newest, is missing or unreadable: is its disk mounted?"
    )]
    Missing {
        /// Where it should be.
        path: String,
        /// The size of the database's tree.
        size: u64,
    },
    /// There is none, of a shard that an instance has.
    #[error(
        "the log has {size} entries, but {path}, which remembers the newest, is missing or unreadable: is its disk mounted? Where it is lost for good and this database is known to be the newest, `mayfly log fsck --accept-head --shard {shard}` makes a new one"
    )]
    Lost {
        /// Where it should be.
        path: String,
        /// The size of the database's tree.
        size: u64,
        /// Whose it is: `ct/2026`, `tlog/2026`.
        shard: String,
    },
    /// There is none, but one at the place where it is by default.
    #[error(
        "the log has {size} entries, but {path}, which remembers the newest, is missing; there is one at {there}: with the server stopped, move it there (mv {there} {path}), or take `log.mark` out of the configuration"
    )]
    Unmoved {
        /// Where it should be.
        path: String,
        /// The size of the database's tree.
        size: u64,
        /// Where there is one.
        there: String,
    },
    /// It is another log's.
    #[error(
        "{path} remembers the log {}, not {ours}: every log needs a mark of its own; mend `log.mark` in the configuration",
        quote(theirs)
    )]
    Foreign {
        /// The mark.
        path: String,
        /// Whose it is.
        theirs: String,
        /// Who asks.
        ours: String,
    },
    /// The disk below it failed.
    #[error("the log's mark failed: {path}: {why}; look at its disk (space, permissions, errors)")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system says.
        why: String,
    },
    /// The system gives no thread.
    #[error("the log's mark cannot have a thread: {0}")]
    Thread(String),
}

#[cfg(test)]
impl Mark {
    /// Has the next write fail, as after a failed sync.
    pub fn fail(&self) {
        let path = self.kept.path.display().to_string();
        self.kept.failed.set(MarkError::Io { path, why: "told to fail".into() }).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "ca.example.com/ct/2026";

    #[test]
    fn one_that_is_missing_is_where_it_was_or_made_anew_for_its_shard() {
        let folder = tempfile::tempdir().unwrap();
        let beside = folder.path().join("2026.mark");
        for (path, shard) in [("2026.mark", "tlog/2026"), ("head-2026", "ct/2026")] {
            let path = folder.path().join(path).display().to_string();
            let missing = || MarkError::Missing { path: path.clone(), size: 4 }.into();
            let said = look_beside(missing(), shard, &beside).to_string();
            assert!(said.contains(&format!("--accept-head --shard {shard}`")), "{said}");
        }
        std::fs::write(&beside, "").unwrap();
        let path = folder.path().join("head-tlog-2026").display().to_string();
        let missing = MarkError::Missing { path, size: 4 }.into();
        let said = look_beside(missing, "tlog/2026", &beside).to_string();
        assert!(said.contains("there is one at"), "{said}");
    }

    fn head(size: u64) -> Head {
        Head { size, root: Hash([size as u8; 32]), timestamp: Timestamp::from_secs(size) }
    }

    fn remembered(size: u64) -> Option<Remembered> {
        Some(Remembered { origin: ORIGIN.into(), head: head(size) })
    }

    #[test]
    fn the_newest_head_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2026.mark");
        assert_eq!(read(&path), Ok(None));
        for size in [0, 5] {
            let mut mark = Mark::open(&path, ORIGIN, head(size)).unwrap();
            assert_eq!(read(&path), Ok(remembered(size)));
            for size in size + 1..size + 5 {
                mark.write(head(size)).unwrap();
                assert_eq!(read(&path), Ok(remembered(size)));
            }
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    /// What a power cut may leave of the slot that was being written.
    #[test]
    fn a_torn_slot_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2026.mark");
        let mut mark = Mark::open(&path, ORIGIN, head(1)).unwrap();
        mark.write(head(2)).unwrap();
        mark.write(head(3)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let (file, second) = (File::open(&path).unwrap(), true);
        let at_two = if newest(&file).unwrap().unwrap().1 == second { 0 } else { SECOND as usize };
        let (at_three, length) = (SECOND as usize - at_two, encode(ORIGIN, head(3)).len());
        for octet in 0..length {
            let mut torn = whole.clone();
            torn[at_three + octet] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(read(&path), Ok(remembered(2)), "octet {octet}");
            torn[at_two + octet] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(read(&path), Ok(None), "both");
        }
        for length in [0, 1, 100] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path), Ok(None), "{length} octets");
        }
    }

    /// A mark with 2 entries in it, of which `change` takes the file away.
    fn taken(change: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf, Mark) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2026.mark");
        let mut mark = Mark::open(&path, ORIGIN, head(1)).unwrap();
        change(&path);
        let _ = mark.write(head(2));
        (folder, path, mark)
    }

    #[test]
    fn a_mark_that_is_deleted_or_replaced_is_made_anew() {
        let old = |path: &Path| make(path, ORIGIN, head(0)).unwrap();
        let takes: [fn(&Path); 3] = [
            |path| std::fs::remove_file(path).unwrap(),
            |path| std::fs::rename(path, path.with_extension("away")).unwrap(),
            |path| {
                std::fs::remove_file(path).unwrap();
                std::fs::write(path, "no mark").unwrap();
            },
        ];
        for take in takes.into_iter().map(|take| take as fn(&Path)).chain([old as fn(&Path)]) {
            let (_folder, path, mut mark) = taken(take);
            mark.sync().unwrap();
            assert_eq!(read(&path), Ok(remembered(2)));
            for size in 3..6 {
                mark.write(head(size)).unwrap();
                assert_eq!(read(&path), Ok(remembered(size)));
            }
        }
    }

    /// It is not waited for that a head is written, or the log closed.
    #[test]
    fn the_thread_misses_a_mark_that_was_deleted() {
        let (_folder, path, mark) = taken(|path| std::fs::remove_file(path).unwrap());
        while read(&path) != Ok(remembered(2)) {
            std::thread::yield_now();
        }
        drop(mark);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_mark_that_knows_more_is_not_replaced() {
        for (origin, size) in [(ORIGIN, 3), ("other.example/ct/2026", 1)] {
            let (_folder, path, mark) = taken(|path| make(path, origin, head(size)).unwrap());
            let Err(MarkError::Io { why, .. }) = mark.sync() else { panic!("{origin}") };
            assert!(why.contains(&format!("remembers {size} entries")), "{why}");
            assert_eq!(read(&path).unwrap().unwrap().head, head(size));
        }
    }

    #[test]
    fn a_failed_sync_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2026.mark");
        let mut mark = Mark::open(&path, ORIGIN, head(1)).unwrap();
        mark.fail();
        let failed = MarkError::Io { path: path.display().to_string(), why: "told to fail".into() };
        assert_eq!(mark.write(head(2)), Err(failed));
    }

    #[test]
    fn a_mark_where_none_can_be_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Mark::open(&folder.path().join("no/folder"), ORIGIN, head(0));
        assert!(matches!(opened, Err(MarkError::Io { .. })));
        let long = "x".repeat(SLOT_OCTETS);
        let opened = Mark::open(&folder.path().join("long"), &long, head(0));
        assert!(matches!(opened, Err(MarkError::Io { .. })), "what cannot be read back");
    }
}
