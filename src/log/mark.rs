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
//! the database, outside of what is copied and restored as one. And nobody waits for its disk: the mark is
//! written at once, but synced once a second and when the log is closed. After the death of the process
//! nothing is missing; after a power cut it may be behind by the heads of that second, and an old copy
//! that is just as old would pass. The database itself is never behind what was acknowledged. And where
//! there is no mark, an empty database passes for a new log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::quote::quote;
use crate::store::{Head, Store};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
use crate::tlog::tls::{self, Reader};

use super::LogError;
use super::edge::Edge;

const MAGIC: &[u8] = b"mayfly mark 1\n";
/// Where the second slot begins: a page of its own, so that writing one does not touch the other.
const SECOND: u64 = 4096;
/// No slot is longer: an origin is a host name and a few letters.
const SLOT_OCTETS: usize = 1024;
/// At most so often is the mark synced.
const EVERY: Duration = Duration::from_secs(1);

/// A mark that is being written.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
    file: Arc<File>,
    origin: String,
    /// Whether the second slot is the next one to be written.
    second: bool,
    nudge: SyncSender<()>,
    failed: Arc<OnceLock<String>>,
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The log that it is about.
    pub origin: String,
    /// The newest head of that log.
    pub head: Head,
}

/// Whether a log may go on from `head`, as its mark at `path` remembers; it has none yet only where it is
/// empty.
///
/// # Errors
///
/// [`LogError::Mark`] with what does not hold; [`LogError::Store`] when the store cannot be read.
pub fn check(store: &dyn Store, path: &Path, head: Head) -> Result<(), LogError> {
    let (origin, size) = (&store.owner().origin, head.size);
    let name = || path.display().to_string();
    let Some(mark) = read(path)? else {
        return match size {
            0 => Ok(()),
            _ => Err(MarkError::Missing { path: name(), size }.into()),
        };
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
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
        let newest = newest(&file).map_err(at(path))?;
        let file = Arc::new(file);
        let failed = Arc::new(OnceLock::new());
        let (nudge, nudged) = sync_channel(1);
        let (synced, failure) = (Arc::clone(&file), Arc::clone(&failed));
        std::thread::Builder::new()
            .name("mark".into())
            .spawn(move || sync(&synced, &nudged, &failure))
            .map_err(|error| MarkError::Thread(error.to_string()))?;
        let second = newest.is_some_and(|(_, second)| !second);
        let mut mark =
            Self { path: path.to_owned(), file, origin: origin.to_owned(), second, nudge, failed };
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
        if let Some(why) = self.failed.get() {
            return Err(MarkError::Io { path: self.path.display().to_string(), why: why.clone() });
        }
        let slot = encode(&self.origin, head);
        self.file.write_all_at(&slot, offset(self.second)).map_err(at(&self.path))?;
        self.second = !self.second;
        // A full channel has been nudged already.
        let _ = self.nudge.try_send(());
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// [`MarkError::Io`].
    pub fn sync(&self) -> Result<(), MarkError> {
        self.file.sync_data().map_err(at(&self.path))
    }
}

/// Syncs after a nudge, at most once [`EVERY`]; until the mark is dropped, or a sync fails: after that
/// the system may report success for what it has dropped.
fn sync(file: &File, nudged: &Receiver<()>, failed: &OnceLock<String>) {
    while nudged.recv().is_ok() {
        if let Err(error) = file.sync_data() {
            let _ = failed.set(error.to_string());
            return;
        }
        std::thread::sleep(EVERY);
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
        "the log has {size} entries, but {path}, which remembers the newest, is missing or unreadable: is its disk mounted? Where it is lost for good and this database is known to be the newest, `mayfly log fsck --accept-head` makes a new one"
    )]
    Missing {
        /// Where it should be.
        path: String,
        /// The size of the database's tree.
        size: u64,
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
        self.failed.set("told to fail".into()).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "ca.example.com/ct/2026";

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
