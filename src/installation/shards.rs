//! The shards of the two logs on disk: for each one a database and keys of its own.
//!
//! ```text
//! ct/2026.sqlite   the log of the certificates that end in 2026
//! ct/2026.key      its key
//! ct/2026.note.key the key that signs its checkpoints a second time
//! ct/shards        the names of all that were ever open
//! tlog/…           the same for the signatures that come in 2026
//! ```
//!
//! Whoever adds one holds the lock of the folder, writes all files into a folder inside, and moves them
//! up, the keys first: where there is a database there are its keys, and nothing takes another one's place.
//! A key without a database is that of a log that was lost, or of one that is just moving up.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::place::{self, Adding};
use super::{InstallationError, ceremony, succession, write};
use crate::algorithm::SignatureAlgorithm;
use crate::config::LogConfig;
use crate::ct::window::Window;
use crate::log::{self, LogError, mark, signed::Keys};
use crate::signer::Signer;
use crate::signer::file::FileSigner;
use crate::store::{Owner, sqlite};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
use crate::tlog::note::{self, VerifierKey};
use crate::trust::LogTrust;

mod kind;

pub use self::kind::{Folder, Kind};

/// How long before nothing takes certificates any more the next shard is made: as long as verifiers may
/// take to fetch the trust files again.
pub const AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How far the time in which a shard's timestamps count reaches beyond its window. The first
/// certificates are logged a lifetime before the window begins; and clients do not agree on whether the
/// end itself still counts, so nothing comes near it.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Remembers the shards that there are: where all files of one are gone, nothing else may know of it.
const LEDGER: &str = "shards";

/// What stands above the names in it.
const LEDGER_HEAD: &str = "Every shard that this log has; one that is missing is not begun anew.\n";

/// One shard at rest.
#[derive(Clone)]
pub struct Shard {
    /// Of which log it is.
    pub kind: Kind,
    /// Its database.
    pub database: PathBuf,
    /// Whose the database says it is.
    pub owner: Owner,
    /// Its key.
    pub signer: Arc<dyn Signer>,
    /// The Ed25519 key for its checkpoints.
    pub note: Arc<dyn Signer>,
    /// Which one that was when the shard was made.
    made_with: Option<[u8; 32]>,
}

impl Shard {
    /// Opens the shard with this database, and its key.
    fn open(
        kind: Kind,
        database: &Path,
        passphrase: Option<&str>,
    ) -> Result<Self, InstallationError> {
        let owner = sqlite::owner(database)?;
        let key = |extension| FileSigner::open(&database.with_extension(extension), passphrase);
        let (signer, note) = (Arc::new(key("key")?), Arc::new(key("note.key")?));
        let made_with = sqlite::note_key(database)?;
        Ok(Self { kind, database: database.to_owned(), owner, signer, note, made_with })
    }

    /// The year, and what tells it from another shard of that year.
    pub fn name(&self) -> &str {
        self.database.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// Its name with that of its log's folder: `ct/2026`, `tlog/2026`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.kind.folder(), self.name())
    }

    /// What signs for it.
    pub fn keys(&self) -> Keys {
        Keys { log: Arc::clone(&self.signer), note: Some(Arc::clone(&self.note)) }
    }

    /// The line by which verifiers of notes know its second key, at an instance with this URL.
    pub fn verifier_key(&self, url: &str) -> Option<String> {
        let key = note::ed25519_key(self.note.public_key())?;
        Some(VerifierKey::ed25519(&self.ours(url).origin, key).to_string())
    }

    /// Whose it is by its key and the name of its file, at an instance with this URL.
    pub fn ours(&self, url: &str) -> Owner {
        let origin = self.kind.origin(url, self.name());
        owner(origin, self.signer.as_ref(), self.owner.window)
    }

    /// Whether it takes nothing any more that is issued or comes at `now` or later.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.owner.window.end
    }

    /// The file that remembers its newest head.
    pub fn mark(&self, config: &LogConfig) -> PathBuf {
        Marks::of(self, config.mark.as_deref()).path(self.name())
    }

    /// Where that file is by default: beside the database.
    pub fn mark_beside(&self) -> PathBuf {
        Marks::of(self, None).path(self.name())
    }

    /// What a mark that is missing means, for this shard.
    pub fn look_beside(&self, error: LogError) -> LogError {
        mark::look_beside(error, &self.path(), &self.mark_beside())
    }

    /// The file of its search index, whether or not there is one.
    pub fn index(&self) -> PathBuf {
        self.database.with_extension("index.sqlite")
    }

    /// Where it is served, at an instance with this URL.
    pub fn url(&self, url: &str) -> String {
        format!("{url}/{}", self.path())
    }

    /// What verifiers need to know of it, at an instance with this URL.
    pub fn trust(&self, url: &str, now: Timestamp) -> LogTrust {
        let Window { start, end } = self.owner.window;
        LogTrust {
            url: self.url(url),
            public_key: self.signer.public_key().to_vec(),
            algorithm: self.signer.algorithm(),
            id: log_id(self.signer.as_ref()),
            since: start.minus(MARGIN),
            until: self.is_over(now).then(|| end.plus(MARGIN)),
        }
    }
}

/// Where the marks are, and what stands around the name of a shard in theirs.
struct Marks {
    folder: PathBuf,
    before: OsString,
    after: &'static str,
}

impl Marks {
    /// `ct/2026.mark`, beside the database; `head-2026` and `head-tlog-2026`, where the configuration says
    /// `head`.
    fn of(shard: &Shard, configured: Option<&Path>) -> Self {
        let folder = |path: &Path| place::folder_of(path).to_owned();
        let Some(mark) = configured else {
            return Self {
                folder: folder(&shard.database),
                before: OsString::new(),
                after: ".mark",
            };
        };
        let mut mark = mark.as_os_str().to_owned();
        mark.push(match shard.kind {
            Kind::Certificates => "-",
            Kind::Signatures => "-tlog-",
        });
        let mark = Path::new(&mark);
        let before = mark.file_name().unwrap_or_default().to_owned();
        Self { folder: folder(mark), before, after: "" }
    }

    fn path(&self, shard: &str) -> PathBuf {
        let mut name = self.before.clone();
        name.push(shard);
        name.push(self.after);
        self.folder.join(name)
    }

    /// The shard whose mark is called `file`, if that is one.
    fn shard<'a>(&self, file: &'a OsStr) -> Option<&'a str> {
        let shard = file.to_str()?.strip_prefix(self.before.to_str()?)?.strip_suffix(self.after)?;
        is_name(shard).then_some(shard)
    }
}

/// All shards in `folder`, earliest window first; those that `known` has are not opened again.
///
/// # Errors
///
/// [`InstallationError::NoLog`] when there is none, [`InstallationError::NoDatabase`] when one is not
/// whole, [`InstallationError::Forgotten`] when one was there; else why a file cannot be read.
pub fn read(
    folder: &Folder,
    passphrase: Option<&str>,
    known: &[Shard],
) -> Result<Vec<Shard>, InstallationError> {
    let mut shards = Vec::new();
    for database in databases(&folder.path)? {
        let shard = match known.iter().find(|shard| shard.database == database) {
            Some(known) => known.clone(),
            None => Shard::open(folder.kind, &database, passphrase)?,
        };
        shards.push(shard);
    }
    shards.sort_by_key(|shard| shard.owner.window);
    Ok(shards)
}

/// Keeps the names of `shards` in `folder` for good, before anything is logged in them.
///
/// # Errors
///
/// [`InstallationError::Io`].
pub fn remember(folder: &Path, shards: &[Shard]) -> Result<(), InstallationError> {
    let before = ledger(folder)?;
    let mut names = before.clone();
    names.extend(shards.iter().map(|shard| shard.name().to_owned()));
    if names == before {
        return Ok(());
    }
    let lines = names.iter().flat_map(|name| [name.as_str(), "\n"]);
    let text = LEDGER_HEAD.to_owned() + &lines.collect::<String>();
    place::replace(&folder.join(LEDGER), text.as_bytes())
}

/// The names of the shards that were ever open here.
fn ledger(folder: &Path) -> Result<BTreeSet<String>, InstallationError> {
    let path = folder.join(LEDGER);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter(|line| is_name(line)).map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(InstallationError::io(&path, &error)),
    }
}

/// Whether a mark remembers a shard that is not among `shards`: it was there, and is to be put back, not begun
/// anew under its name.
///
/// # Errors
///
/// [`InstallationError::Forgotten`] names the mark.
pub fn remembered(shards: &[Shard], config: &LogConfig) -> Result<(), InstallationError> {
    let Some(shard) = shards.first() else { return Ok(()) };
    let marks = Marks::of(shard, config.mark.as_deref());
    let Ok(entries) = fs::read_dir(&marks.folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let file = entry.file_name();
        let is_there = |name: &&str| shards.iter().any(|shard| shard.name() == *name);
        if let Some(name) = marks.shard(&file).filter(|name| !is_there(name)) {
            let (by, name) = (entry.path(), format!("{}/{name}", shard.kind.folder()));
            return Err(InstallationError::Forgotten { by, name });
        }
    }
    Ok(())
}

/// Whether there are shards in `folder` that `known` does not have.
///
/// # Errors
///
/// As [`read`].
pub fn has_others(folder: &Folder, known: &[Shard]) -> Result<bool, InstallationError> {
    let is_known = |database| known.iter().any(|shard| shard.database == database);
    Ok(databases(&folder.path)?.into_iter().any(|database| !is_known(database)))
}

/// The databases in `folder`, by name.
fn databases(folder: &Path) -> Result<Vec<PathBuf>, InstallationError> {
    let files = Files::list(folder)?;
    // One that moves up has its key here first, and may have arrived since.
    let files = if files.lost().is_some() { Files::list(folder)? } else { files };
    if let Some(name) = files.lost()
        && !files.moving
    {
        let key = folder.join(format!("{name}.key"));
        return Err(InstallationError::NoDatabase { key });
    }
    if let Some(name) = ledger(folder)?.difference(&files.databases).next() {
        let (by, name) = (folder.join(LEDGER), name.clone());
        return Err(InstallationError::Forgotten { by, name });
    }
    if files.databases.is_empty() {
        return Err(InstallationError::NoLog { folder: folder.to_owned() });
    }
    let path = |name: &String| folder.join(format!("{name}.sqlite"));
    Ok(files.databases.iter().map(path).collect())
}

/// What is in the folder of shards.
struct Files {
    databases: BTreeSet<String>,
    keys: BTreeSet<String>,
    /// Whether some are on their way into it.
    moving: bool,
}

impl Files {
    fn list(folder: &Path) -> Result<Self, InstallationError> {
        let mut files = Self { databases: BTreeSet::new(), keys: BTreeSet::new(), moving: false };
        let unreadable = |error| InstallationError::io(folder, &error);
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
            entries => entries.map_err(unreadable)?,
        };
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            let Some(name) = name.to_str() else { continue };
            files.moving |= name == place::WHOLE;
            match name.split_once('.') {
                Some((shard, "sqlite")) if is_name(shard) => {
                    files.databases.insert(shard.to_owned());
                }
                Some((shard, "key")) if is_name(shard) => {
                    files.keys.insert(shard.to_owned());
                }
                _ => {}
            }
        }
        Ok(files)
    }

    /// A key without a database.
    fn lost(&self) -> Option<&String> {
        self.keys.difference(&self.databases).next()
    }
}

/// A year, and what tells a shard from another one of that year: `2026`, `2026b`, `2026-2`.
fn is_name(name: &str) -> bool {
    let (year, rest) = name.split_at_checked(4).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    year.len() == 4 && year.chars().all(|c| c.is_ascii_digit()) && rest.chars().all(plain)
}

/// What the next shard is made with.
#[derive(Clone, Copy)]
pub struct New<'a> {
    /// The one name that clients use.
    pub url: &'a str,
    /// Encrypts the key.
    pub passphrase: Option<&'a str>,
    /// The time now.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A shard of this name was made.
    Made(String),
    /// There was nothing to be made.
    Covered,
    /// Another process is making one.
    Busy,
}

/// Makes the next shard in `folder`, unless those that are there take every certificate that ends from
/// now to `until`. Of two who do this at once one wins.
///
/// # Errors
///
/// As [`read`], and what keeps it from being written; then `folder` is as it was, or as the next call
/// will find it and finish it.
pub fn extend(
    folder: &Folder,
    new: New<'_>,
    until: Timestamp,
) -> Result<Outcome, InstallationError> {
    let Folder { kind, path: folder } = folder;
    // Also before the look: whoever died may have left one half.
    let Some(adding) = Adding::begin(folder)? else { return Ok(Outcome::Busy) };
    let mut windows = Vec::new();
    for database in databases(folder)? {
        windows.push(sqlite::owner(&database)?.window);
    }
    windows.sort();
    let covered = Window::covered(&windows, new.now);
    if covered > until {
        return Ok(Outcome::Covered);
    }
    let window = Window::next(&windows, covered);
    let file = succession::vacant(&folder.join(format!("{:04}.sqlite", covered.year())))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    adding.add(&|staging| {
        fill(&Folder { kind: *kind, path: staging.to_owned() }, &name, window, new)
    })?;
    Ok(Outcome::Made(name))
}

/// Writes keys and database of a new shard into `folder`, and flushes them.
pub(super) fn fill(
    folder: &Folder,
    name: &str,
    window: Window,
    new: New<'_>,
) -> Result<(), InstallationError> {
    let Folder { kind, path: folder } = folder;
    let made = ceremony::log_keys(name, new.passphrase).map_err(InstallationError::Ceremony)?;
    write(folder, &made)?;
    let key = |kind| FileSigner::open(&folder.join(format!("{name}.{kind}")), new.passphrase);
    let (signer, note) = (key("key")?, key("note.key")?);
    let owner = owner(kind.origin(new.url, name), &signer, window);
    let database = folder.join(format!("{name}.sqlite"));
    sqlite::create_for_note_key(&database, (&owner, log_id(&note)), new.now)?;
    if *kind == Kind::Signatures {
        let entry = ceremony::first_entry(&owner.origin, name);
        let entry = entry.map_err(InstallationError::Ceremony)?;
        let store = Arc::new(sqlite::open(&database)?);
        let epoch = ceremony::epoch().map_err(InstallationError::Ceremony)?;
        log::begin(store, entry, epoch, new.now)?;
    }
    // Nobody else knows of this folder; where the shard goes there may be one already.
    let lock = folder.join(format!("{name}.sqlite-lock"));
    fs::remove_file(&lock).map_err(|error| InstallationError::io(&lock, &error))
}

/// The owner of a shard's database.
fn owner(origin: String, key: &dyn Signer, window: Window) -> Owner {
    Owner { origin, log_id: log_id(key), window }
}

fn log_id(key: &dyn Signer) -> [u8; 32] {
    Hash::of(&[key.public_key()]).0
}

/// Whether every shard has keys of its own, and a window of its own in its log.
///
/// # Errors
///
/// [`InstallationError::NoteKeyAlgorithm`], [`InstallationError::SharedNoteKey`],
/// [`InstallationError::SwappedNoteKey`],
/// [`InstallationError::SharedLogKey`], [`InstallationError::Overlap`].
pub(super) fn check(shards: &[Shard]) -> Result<(), InstallationError> {
    for (at, shard) in shards.iter().enumerate() {
        let name = || shard.path();
        if shard.note.algorithm() != SignatureAlgorithm::Ed25519 {
            return Err(InstallationError::NoteKeyAlgorithm { shard: name() });
        }
        if shard.note.public_key() == shard.signer.public_key() {
            return Err(InstallationError::SharedNoteKey { shard: name() });
        }
        // Another one altogether may be meant, where the first was lost.
        let theirs = Some(log_id(shard.note.as_ref()));
        let mut others = shards.iter().filter(|other| other.database != shard.database);
        if let Some(other) = others.find(|other| other.made_with == theirs) {
            let other = other.path();
            return Err(InstallationError::SwappedNoteKey { shard: name(), other });
        }
        for other in shards.iter().skip(at + 1) {
            let names = || (shard.path(), other.path());
            // Attack: a head says nothing of its log. Two trees under one key can be shown as one that
            // was forked, and each as the other's.
            if shard.signer.public_key() == other.signer.public_key()
                || shard.note.public_key() == other.note.public_key()
            {
                let (one, other) = names();
                return Err(InstallationError::SharedLogKey { one, other });
            }
            if shard.kind == other.kind && shard.owner.window.overlaps(&other.owner.window) {
                let (one, other) = names();
                return Err(InstallationError::Overlap { one, other });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
