//! The TUF repository on disk: its keys, and the metadata that was signed with them.
//!
//! ```text
//! tuf/1.root.json                   which keys sign; for ever, for clients follow them one by one
//! tuf/1.key                         signs 2.root.json, and may be off the machine until then
//! tuf/1.online.key                  signs the rest while 1.root.json is the newest
//! tuf/<version>.targets.json        which files there are
//! tuf/<version>.snapshot.json       which of those is in force
//! tuf/timestamp.json                which of those is
//! tuf/targets/<sha256>.<name>       the files
//! tuf.newest                        the version of the newest root, once there is a second one
//! ```
//!
//! What is signed is on disk before anybody sees it, `timestamp.json` last, which puts the others in force.
//! Versions other than a root's are minutes since 1970, or the one after the last if that is more: a client that
//! saw a version takes none before it, and so an old copy of the folder, put back, is no step back to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ceremony::{self, public};
use super::place::{self, Adding, UNFINISHED};
use super::{InstallationError, OLDER, write};
use crate::signer::Signer;
use crate::signer::file::FileSigner;
use crate::time::Timestamp;
use crate::tuf::{self, Key, Metadata, Role, Statement, Targets, TufError};

/// So many versions of `targets` and of `snapshot` are kept for those who have just been told of them.
const KEPT: usize = 8;

/// A thousand years in minutes, which is what versions count.
const MILLENNIUM: u64 = 1_000 * 365 * 24 * 60;

/// The folder of the files that the metadata is about.
const TARGETS: &str = "targets";

/// The file that remembers the newest root is called as the folder is, and this behind it.
const MEMORY: &str = "newest";

/// A repository, and the key that keeps it fresh.
#[derive(Clone)]
pub struct Repository {
    folder: PathBuf,
    /// The newest root.
    root: Metadata,
    key: Key,
    /// None where it is only read.
    signer: Option<Arc<FileSigner>>,
}

/// What clients may see of a repository.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Documents and files, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// From when on some of it is about to expire, if nobody signs it anew.
    pub overdue: Option<Timestamp>,
}

/// What clients go by at present, as far as the online key has signed it.
#[derive(Default)]
struct InForce {
    targets: Option<Metadata>,
    snapshot: Option<Metadata>,
    timestamp: Option<Metadata>,
}

impl Repository {
    /// Opens the repository in `folder`: the newest of its roots, and the key that this one names.
    ///
    /// # Errors
    ///
    /// [`InstallationError::Repository`], one variant for each rule; [`InstallationError::Key`] and
    /// [`InstallationError::Io`] when a file cannot be read.
    pub fn open(folder: &Path, passphrase: Option<&str>) -> Result<Self, InstallationError> {
        let root = newest_root(folder)?;
        is_newest(folder, root.version())?;
        let [_, key] = root.keys().map_err(in_file(folder, &root.file()))?;
        let path = folder.join(online_key(root.version()));
        let signer = FileSigner::open(&path, passphrase)?;
        if Key::from_spki(signer.public_key()).as_ref() != Ok(&key) {
            return Err(RepositoryError::WrongKey { key: path, root: root.file() }.into());
        }
        Ok(Self { folder: folder.to_owned(), root, key, signer: Some(Arc::new(signer)) })
    }

    /// Opens the one in `folder` to publish what another one has signed, without any key; none where there is none.
    ///
    /// # Errors
    ///
    /// [`InstallationError::Repository`] when a root does not hold, [`InstallationError::Io`] when a file cannot be
    /// read.
    pub fn open_read_only(folder: &Path) -> Result<Option<Self>, InstallationError> {
        let root = match newest_root(folder) {
            Err(InstallationError::Repository(RepositoryError::Missing { .. })) => return Ok(None),
            root => root?,
        };
        let [_, key] = root.keys().map_err(in_file(folder, &root.file()))?;
        Ok(Some(Self { folder: folder.to_owned(), root, key, signer: None }))
    }

    /// Whether there is a newer root than when it was opened.
    pub fn is_superseded(&self) -> bool {
        self.folder.join(Role::Root.file(self.root.version() + 1)).exists()
    }

    /// Its newest root.
    pub const fn root(&self) -> &Metadata {
        &self.root
    }

    /// Signs what does not say what it should, or was signed too long ago; nothing where it is only read.
    ///
    /// # Errors
    ///
    /// [`InstallationError::Io`] when it cannot be written; what was in force still is.
    pub fn renew(&self, files: &Targets, now: Timestamp) -> Result<(), InstallationError> {
        let Some(signer) = &self.signer else { return Ok(()) };
        // Crash: whoever made the root may have died before this.
        remember(&self.folder, self.root.version())?;
        let version = self.next_version(now);
        let InForce { targets, snapshot, timestamp } = self.in_force();
        let stated = |old: Option<Metadata>, statement: Statement| match old
            .filter(|old| old.still_says(&statement, now))
        {
            Some(old) => Ok(old.version()),
            None => self.state(&Metadata::new(statement, version, now), signer),
        };
        for (name, text) in files {
            let path = self.folder.join(TARGETS).join(tuf::target_file(name, text));
            if fs::read(&path).ok().as_ref() != Some(text) {
                place::replace(&path, text)?;
            }
        }
        let targets = stated(targets, Statement::targets(files))?;
        let snapshot = stated(snapshot, Statement::snapshot(targets))?;
        stated(timestamp, Statement::timestamp(snapshot))?;
        self.prune()
    }

    /// What clients may see.
    ///
    /// # Errors
    ///
    /// [`InstallationError::Io`] when it cannot be read.
    pub fn published(&self) -> Result<Published, InstallationError> {
        let mut files = BTreeMap::from([("root.json".to_owned(), first_root(&self.folder)?)]);
        for name in names(&self.folder)? {
            if Role::of_file(&name).is_some() || name == Role::Timestamp.file(0) {
                files.extend(read_listed(&self.folder.join(&name))?.map(|text| (name, text)));
            }
        }
        let targets = self.folder.join(TARGETS);
        for name in names(&targets)?.into_iter().filter(|name| name != UNFINISHED) {
            let text = read_listed(&targets.join(&name))?;
            files.extend(text.map(|text| (format!("{TARGETS}/{name}"), text)));
        }
        let InForce { targets, snapshot, timestamp } = self.in_force();
        let overdue = |it: Option<Metadata>| it.map_or(Timestamp::default(), |it| it.overdue());
        let rest = [targets, snapshot, timestamp].map(overdue);
        let overdue = Some(rest.into_iter().fold(self.root.overdue(), Timestamp::min));
        Ok(Published { files, overdue })
    }

    /// Signs metadata, and puts it where clients find it; yields its version.
    fn state(&self, metadata: &Metadata, signer: &FileSigner) -> Result<u64, InstallationError> {
        let document = signed(metadata, &[(&self.key, signer)])?;
        place::replace(&self.folder.join(metadata.file()), &document)?;
        Ok(metadata.version())
    }

    fn in_force(&self) -> InForce {
        let verified = |role: Role, version: u64| {
            let document = fs::read(self.folder.join(role.file(version))).ok()?;
            let metadata = Metadata::verify(&document, role, &self.key).ok()?;
            (role == Role::Timestamp || metadata.version() == version).then_some(metadata)
        };
        let timestamp = verified(Role::Timestamp, 0);
        let follow =
            |metadata: &Option<Metadata>, role| verified(role, metadata.as_ref()?.names()?);
        let snapshot = follow(&timestamp, Role::Snapshot);
        let targets = follow(&snapshot, Role::Targets);
        InForce { targets, snapshot, timestamp }
    }

    /// Later than every version that anybody saw, whoever has signed it.
    fn next_version(&self, now: Timestamp) -> u64 {
        let last = fs::read(self.folder.join(Role::Timestamp.file(0))).ok();
        let last = last.and_then(|text| Metadata::parse(&text, Role::Timestamp).ok());
        // What no signature vouches for takes nobody further than a thousand years ahead.
        let minutes = now.as_secs() / 60;
        let last = last.map(|last| last.version()).filter(|last| *last < minutes + MILLENNIUM);
        last.map_or(0, |last| last + 1).max(minutes)
    }

    /// Removes what nobody can have been told of lately.
    fn prune(&self) -> Result<(), InstallationError> {
        let all = names(&self.folder)?;
        let mut kept = BTreeSet::from([UNFINISHED.to_owned()]);
        for role in [Role::Targets, Role::Snapshot] {
            let versions = all.iter().filter_map(|name| Role::of_file(name));
            let mut versions: Vec<u64> =
                versions.filter(|(of, _)| *of == role).map(|(_, version)| version).collect();
            versions.sort_unstable();
            let (old, new) = versions.split_at(versions.len().saturating_sub(KEPT));
            for version in old {
                remove(&self.folder.join(role.file(*version)))?;
            }
            for version in new.iter().filter(|_| role == Role::Targets) {
                let path = self.folder.join(role.file(*version));
                let metadata = Metadata::parse(&read(&path)?, role);
                // One that a crash left half would keep nothing; one that is not ours keeps nothing either.
                kept.extend(metadata.iter().flat_map(Metadata::target_files));
            }
        }
        let folder = self.folder.join(TARGETS);
        let mut old = names(&folder)?.into_iter().filter(|name| !kept.contains(name));
        old.try_for_each(|name| remove(&folder.join(name)))
    }
}

/// Fills the folder of a new repository, and flushes it.
pub(super) fn fill(
    folder: &Path,
    passphrase: Option<&str>,
    now: Timestamp,
) -> Result<(), InstallationError> {
    for folder in [folder, &folder.join(TARGETS)] {
        fs::create_dir(folder).map_err(|error| InstallationError::io(folder, &error))?;
    }
    write_root(folder, 1, (passphrase, now), None)
}

/// Makes new keys for the repository in `folder`, which the newest root vouches for; yields the version of the
/// root that names them.
///
/// # Errors
///
/// [`RepositoryError::NoRootKey`] when the newest root's key is not there, [`RepositoryError::Busy`] while
/// somebody else does this; else what cannot be read or written.
pub fn rotate(
    folder: &Path,
    passphrase: Option<&str>,
    now: Timestamp,
) -> Result<u64, InstallationError> {
    let Some(adding) = Adding::begin(folder)? else { return Err(RepositoryError::Busy.into()) };
    let root = newest_root(folder)?;
    is_newest(folder, root.version())?;
    let path = folder.join(root_key(root.version()));
    if !path.exists() {
        return Err(RepositoryError::NoRootKey { key: path }.into());
    }
    let signer = FileSigner::open(&path, passphrase)?;
    let [key, _] = root.keys().map_err(in_file(folder, &root.file()))?;
    if Key::from_spki(signer.public_key()).as_ref() != Ok(&key) {
        return Err(RepositoryError::WrongKey { key: path, root: root.file() }.into());
    }
    let version = root.version() + 1;
    adding
        .add(&|staging| write_root(staging, version, (passphrase, now), Some((&key, &signer))))?;
    remember(folder, version)?;
    Ok(version)
}

/// Whether no root newer than this version is remembered; yields the one that is.
///
/// Attack: an old copy of the folder, put back, would go on with keys that were taken back, and make a second root
/// of a version that clients have seen; they could never follow.
fn is_newest(folder: &Path, version: u64) -> Result<u64, InstallationError> {
    let memory = folder.with_extension(MEMORY);
    let known = match fs::read_to_string(&memory) {
        Ok(text) => text.trim().parse().unwrap_or(1),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
        Err(error) => return Err(InstallationError::io(&memory, &error)),
    };
    match version < known {
        true => Err(RepositoryError::Old { memory, known, version }.into()),
        false => Ok(known),
    }
}

/// Keeps the version of the newest root beside the folder, once there is more than the first.
fn remember(folder: &Path, version: u64) -> Result<(), InstallationError> {
    let memory = folder.with_extension(MEMORY);
    match is_newest(folder, version)? < version {
        true => place::replace(&memory, format!("{version}\n").as_bytes()),
        false => Ok(()),
    }
}

/// Makes the keys of a root, and the root, which the one `before` it vouches for.
fn write_root(
    folder: &Path,
    version: u64,
    (passphrase, now): (Option<&str>, Timestamp),
    before: Option<(&Key, &FileSigner)>,
) -> Result<(), InstallationError> {
    let files = [root_key(version), online_key(version)];
    for file in &files {
        let made = ceremony::signing_key(file, passphrase).map_err(InstallationError::Ceremony)?;
        write(folder, &[made])?;
    }
    let [root, online] = files.map(|file| FileSigner::open(&folder.join(file), passphrase));
    let (root, online) = (root?, online?);
    let key = |signer: &FileSigner| {
        Key::from_spki(signer.public_key()).map_err(in_file(folder, &Role::Root.file(version)))
    };
    let (key, online) = (key(&root)?, key(&online)?);
    let metadata = Metadata::new(Statement::root(&key, &online), version, now);
    let signers: Vec<_> = before.into_iter().chain([(&key, &root)]).collect();
    let document = signed(&metadata, &signers)?;
    let text = String::from_utf8_lossy(&document).into_owned();
    write(folder, &[public(&metadata.file(), text)])
}

/// The document of `metadata`, signed by each key.
fn signed(
    metadata: &Metadata,
    signers: &[(&Key, &FileSigner)],
) -> Result<Vec<u8>, InstallationError> {
    let message = metadata.message();
    let mut signatures = Vec::new();
    for (key, signer) in signers {
        let signature = signer.sign_now(&message);
        let signature =
            signature.map_err(|error| InstallationError::Ceremony(error.to_string()))?;
        signatures.push((*key, signature));
    }
    Ok(metadata.document(&signatures))
}

/// The first root of the repository in `folder`, by which clients begin.
///
/// # Errors
///
/// [`RepositoryError::Missing`] when there is none, [`InstallationError::Io`] when it cannot be read.
pub fn first_root(folder: &Path) -> Result<Vec<u8>, InstallationError> {
    let root = folder.join(Role::Root.file(1));
    read_listed(&root)?.ok_or(RepositoryError::Missing { root }.into())
}

/// Follows the roots from the first one, each of which the one before vouches for, to the newest.
///
/// # Errors
///
/// [`RepositoryError::Missing`] when there is none, [`RepositoryError::Metadata`] when one does not hold.
pub fn newest_root(folder: &Path) -> Result<Metadata, InstallationError> {
    let mut newest: Option<Metadata> = None;
    loop {
        let version = newest.as_ref().map_or(1, |root| root.version() + 1);
        let file = Role::Root.file(version);
        let path = folder.join(&file);
        let document = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return newest.ok_or(RepositoryError::Missing { root: path }.into());
            }
            document => document.map_err(|error| InstallationError::io(&path, &error))?,
        };
        newest = Some(root(&document, newest.as_ref()).map_err(in_file(folder, &file))?);
    }
}

/// A root that holds by itself, and by the one before it.
fn root(document: &[u8], before: Option<&Metadata>) -> Result<Metadata, TufError> {
    let root = Metadata::parse(document, Role::Root)?;
    for vouching in before.into_iter().chain([&root]) {
        let [key, _] = vouching.keys()?;
        Metadata::verify(document, Role::Root, &key)?;
    }
    Ok(root)
}

fn root_key(version: u64) -> String {
    format!("{version}.key")
}

fn online_key(version: u64) -> String {
    format!("{version}.online.key")
}

fn read(path: &Path) -> Result<Vec<u8>, InstallationError> {
    fs::read(path).map_err(|error| InstallationError::io(path, &error))
}

/// The same of a file that was there a moment ago: the one who signs may have removed it beside one who reads.
fn read_listed(path: &Path) -> Result<Option<Vec<u8>>, InstallationError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(|error| InstallationError::io(path, &error)),
    }
}

fn remove(path: &Path) -> Result<(), InstallationError> {
    fs::remove_file(path).map_err(|error| InstallationError::io(path, &error))
}

/// The names of what is in a folder.
fn names(folder: &Path) -> Result<Vec<String>, InstallationError> {
    let unreadable = |error: io::Error| InstallationError::io(folder, &error);
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    names.filter_map(|name| name.transpose()).collect::<io::Result<_>>().map_err(unreadable)
}

fn in_file(folder: &Path, file: &str) -> impl Fn(TufError) -> InstallationError {
    let path = folder.join(file);
    move |error| RepositoryError::Metadata { path: path.clone(), error }.into()
}

/// Why there is no TUF repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// The folder is from before the newest root.
    #[error(
        "{} remembers root {known} of the TUF repository, and the newest that is there is {version}: an old copy of the \
         folder was put back; put the newest one back, for clients have seen what it signed",
        memory.display()
    )]
    Old {
        /// What remembers it.
        memory: PathBuf,
        /// The newest root that was there.
        known: u64,
        /// The newest root that is there.
        version: u64,
    },
    /// There is none.
    #[error(
        "{}: the TUF repository of this instance is missing; put the folder back, for its keys are what \
         clients trust; {}",
        root.display(), OLDER
    )]
    Missing {
        /// Its first root.
        root: PathBuf,
    },
    /// A root that does not hold.
    #[error("{}: {error}", path.display())]
    Metadata {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        error: TufError,
    },
    /// A key that the root does not name.
    #[error("{}: it is not the key that {root} names; put the right key back", key.display())]
    WrongKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the root.
        root: String,
    },
    /// The root's key is somewhere else.
    #[error(
        "{}: the key that must vouch for the next one is not here; put it back for the rotation",
        key.display()
    )]
    NoRootKey {
        /// Where it should be.
        key: PathBuf,
    },
    /// Somebody else is at it.
    #[error(
        "another process is changing the keys of the TUF repository at this moment; look again"
    )]
    Busy,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn files(text: &str) -> Targets {
        [("trusted_root.json", text.as_bytes().to_vec())].into()
    }

    /// A new repository, in a folder that is made with it.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tuf");
        fill(&folder, None, NOW).unwrap();
        (parent, folder)
    }

    fn open(folder: &Path) -> Repository {
        Repository::open(folder, None).unwrap()
    }

    /// As whoever puts an old copy of the folder back, who has no second root.
    #[test]
    fn a_folder_from_before_the_newest_root_is_not_gone_on_from() {
        let (parent, folder) = repository();
        open(&folder);
        let memory = parent.path().join("tuf.newest");
        assert!(!memory.exists());
        assert_eq!(rotate(&folder, None, NOW), Ok(2));
        open(&folder);
        for file in ["2.root.json", "2.key", "2.online.key"] {
            fs::remove_file(folder.join(file)).unwrap();
        }
        let old = RepositoryError::Old { memory: memory.clone(), known: 2, version: 1 };
        assert_eq!(Repository::open(&folder, None).err(), Some(old.clone().into()));
        assert_eq!(rotate(&folder, None, NOW), Err(old.into()));
        // What a crash kept from being remembered is remembered by the next one who signs.
        fs::remove_file(&memory).unwrap();
        assert_eq!(rotate(&folder, None, NOW), Ok(2));
        fs::remove_file(&memory).unwrap();
        let repository = open(&folder);
        assert!(!memory.exists(), "whoever only looks writes nothing");
        repository.renew(&files("a"), NOW).unwrap();
        assert_eq!(fs::read_to_string(memory).unwrap(), "2\n");
    }

    /// Versions of targets, snapshot and timestamp that are in force, each of which the next one names.
    fn versions(repository: &Repository) -> [u64; 3] {
        let InForce { targets, snapshot, timestamp } = repository.in_force();
        [targets, snapshot, timestamp].map(|it| it.map_or(0, |it| it.version()))
    }

    #[test]
    fn each_role_is_signed_anew_when_its_time_has_come() {
        let (_parent, folder) = repository();
        let repository = open(&folder);
        assert_eq!(repository.published().unwrap().overdue, Some(Timestamp::default()));
        let minutes = |days: u64| NOW.as_secs() / 60 + days * 24 * 60;
        let first = minutes(0);
        for (days, text, expected) in [
            (0, "a", [first; 3]),
            (0, "a", [first; 3]),
            (1, "a", [first, first, minutes(1)]),
            (7, "a", [first, minutes(7), minutes(7)]),
            (8, "b", [minutes(8); 3]),
            (38, "b", [minutes(38); 3]),
        ] {
            let now = NOW.plus(DAY.saturating_mul(u32::try_from(days).unwrap()));
            repository.renew(&files(text), now).unwrap();
            assert_eq!(versions(&repository), expected, "day {days}");
            assert_eq!(versions(&open(&folder)), expected, "day {days}, after a restart");
            let published = repository.published().unwrap();
            assert_eq!(published.overdue, Some(now.plus(DAY.saturating_mul(3))), "day {days}");
            let path =
                format!("targets/{}", tuf::target_file("trusted_root.json", text.as_bytes()));
            assert_eq!(published.files[&path], text.as_bytes());
        }
    }

    #[test]
    fn versions_never_go_back() {
        let (_parent, folder) = repository();
        let repository = open(&folder);
        repository.renew(&files("a"), NOW).unwrap();
        let first = NOW.as_secs() / 60;
        // In the same minute, by a clock that was set back, with a signature that does not hold any more.
        repository.renew(&files("b"), NOW).unwrap();
        assert_eq!(versions(&repository), [first + 1; 3]);
        repository.renew(&files("c"), NOW.minus(DAY)).unwrap();
        assert_eq!(versions(&repository), [first + 2; 3]);
        rotate(&folder, None, NOW).unwrap();
        open(&folder).renew(&files("c"), NOW).unwrap();
        assert_eq!(versions(&open(&folder)), [first + 3; 3]);
        // With all of it lost.
        fs::remove_file(folder.join("timestamp.json")).unwrap();
        open(&folder).renew(&files("c"), NOW.plus(DAY)).unwrap();
        assert_eq!(versions(&open(&folder)), [first + 24 * 60; 3]);
    }

    #[test]
    fn what_a_crash_leaves_is_not_in_force_and_not_in_the_way() {
        let (_parent, folder) = repository();
        let repository = open(&folder);
        repository.renew(&files("a"), NOW).unwrap();
        let later = NOW.plus(DAY);
        let name = Role::Targets.file(later.as_secs() / 60);
        for (file, text) in [(name.as_str(), "{}"), (".new", "{"), ("targets/.new", "x")] {
            fs::write(folder.join(file), text).unwrap();
        }
        assert_eq!(versions(&repository), [NOW.as_secs() / 60; 3]);
        let published = repository.published().unwrap();
        assert!(published.files.keys().all(|path| !path.ends_with(".new")));
        repository.renew(&files("b"), later).unwrap();
        assert_eq!(versions(&repository), [later.as_secs() / 60; 3]);
    }

    #[test]
    fn damage_is_signed_over() {
        let (_parent, folder) = repository();
        let repository = open(&folder);
        repository.renew(&files("a"), NOW).unwrap();
        let first = NOW.as_secs() / 60;
        let target = format!("targets/{}", tuf::target_file("trusted_root.json", b"a"));
        for (file, expected) in [
            (Role::Snapshot.file(first), [first + 1; 3]),
            (Role::Targets.file(first + 1), [first + 2; 3]),
            (target.clone(), [first + 2; 3]),
        ] {
            fs::write(folder.join(&file), "damaged").unwrap();
            repository.renew(&files("a"), NOW).unwrap();
            assert_eq!(versions(&repository), expected, "{file}");
        }
        assert_eq!(fs::read(folder.join(target)).unwrap(), b"a");
    }

    #[test]
    fn only_the_latest_versions_are_kept_and_their_files() {
        let (_parent, folder) = repository();
        let repository = open(&folder);
        for at in 0..20 {
            repository.renew(&files(&at.to_string()), NOW).unwrap();
        }
        let published = repository.published().unwrap().files;
        let count = |part: &str| published.keys().filter(|path| path.contains(part)).count();
        assert_eq!((count(".targets.json"), count(".snapshot.json")), (KEPT, KEPT));
        assert_eq!(count("targets/"), KEPT);
        assert!(["root.json", "1.root.json"].iter().all(|path| published.contains_key(*path)));
        assert_eq!(names(&folder.join(TARGETS)).unwrap().len(), KEPT);
        assert!(published.keys().all(|path| !path.contains("key")), "{published:?}");
    }

    #[test]
    fn each_root_is_vouched_for_by_the_one_before() {
        let (_parent, folder) = repository();
        let first = open(&folder);
        assert_eq!((first.root().version(), first.is_superseded()), (1, false));
        assert_eq!(rotate(&folder, None, NOW), Ok(2));
        assert!(first.is_superseded());
        assert_eq!(rotate(&folder, None, NOW), Ok(3));
        let third = open(&folder);
        assert_eq!(third.root().version(), 3);
        assert_eq!(third.root().expires(), NOW.plus(DAY.saturating_mul(3652)));
        third.renew(&files("a"), NOW).unwrap();
        assert_eq!(versions(&third)[2], NOW.as_secs() / 60);
        assert_eq!(versions(&first), [0; 3], "the keys of the first root sign nothing any more");

        // Attack: a root of somebody else's in the middle.
        let (_other, other) = repository();
        rotate(&other, None, NOW).unwrap();
        fs::copy(other.join("2.root.json"), folder.join("2.root.json")).unwrap();
        let error = TufError::Signature { role: "root" };
        let path = folder.join("2.root.json");
        let refused = RepositoryError::Metadata { path, error };
        assert_eq!(Repository::open(&folder, None).err(), Some(refused.into()));
    }

    #[test]
    fn says_what_is_missing_or_wrong() {
        let (_parent, folder) = repository();
        let (root, online, key) =
            (folder.join("1.root.json"), folder.join("1.online.key"), folder.join("1.key"));
        let online_key = fs::read(&online).unwrap();
        fs::copy(&key, &online).unwrap();
        let wrong = RepositoryError::WrongKey { key: online.clone(), root: "1.root.json".into() };
        assert_eq!(Repository::open(&folder, None).err(), Some(wrong.into()));
        fs::write(&online, &online_key).unwrap();
        fs::write(&key, &online_key).unwrap();
        let wrong = RepositoryError::WrongKey { key: key.clone(), root: "1.root.json".into() };
        assert_eq!(rotate(&folder, None, NOW), Err(wrong.into()));
        fs::remove_file(&key).unwrap();
        assert!(Repository::open(&folder, None).is_ok(), "the root's key may be elsewhere");
        assert_eq!(rotate(&folder, None, NOW), Err(RepositoryError::NoRootKey { key }.into()));
        fs::remove_file(&online).unwrap();
        assert!(matches!(Repository::open(&folder, None), Err(InstallationError::Key(_))));
        fs::remove_file(&root).unwrap();
        assert_eq!(
            Repository::open(&folder, None).err(),
            Some(RepositoryError::Missing { root }.into())
        );
    }
}
