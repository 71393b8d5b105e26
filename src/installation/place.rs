//! A new folder, whole or not at all, and never over another one.
//!
//! Beside, where that can be done: everything is built in a sibling, and one rename makes it the folder.
//! The system refuses that rename when the folder holds anything, so of two processes one wins.
//!
//! Inside, where the folder itself cannot be replaced (a mount point, a symbolic link, a parent that is
//! not ours): everything is built in a folder inside, one rename gives that its name [`WHOLE`], and then
//! its contents move up. Whoever dies in between is followed by one who finds [`WHOLE`] and goes on.
//!
//! What a crash leaves behind is called `.mayfly-…` (inside) or `.<folder>.mayfly-…` (beside), holds
//! keys that nobody has used, and is swept away by the next one who makes the folder.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use tempfile::{TempDir, TempPath};

use super::InstallationError;

/// What is being built inside a folder is called so, with something random behind it.
const STAGING: &str = ".mayfly-";
/// A file that is being replaced is written as this.
pub(super) const UNFINISHED: &str = ".new";
/// What was built inside a folder, and is about to move up.
pub(super) const WHOLE: &str = ".mayfly-whole";

/// Whether there is no installation in `dir` yet, or no `dir`. `lost+found` of a fresh file system is
/// nothing, and neither is what somebody left who died while making one.
///
/// # Errors
///
/// [`InstallationError::Io`] when it cannot be read, [`InstallationError::Dangling`] when it is a link
/// to nowhere.
pub fn is_vacant(dir: &Path) -> Result<bool, InstallationError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return nowhere(dir),
        Err(error) => return Err(InstallationError::io(dir, &error)),
    };
    let mut vacant = true;
    for entry in entries {
        let name = entry.map_err(|error| InstallationError::io(dir, &error))?.file_name();
        if name == WHOLE {
            return Ok(true);
        }
        let unfinished = name.as_encoded_bytes().starts_with(STAGING.as_bytes());
        vacant &= unfinished || name == "lost+found";
    }
    Ok(vacant)
}

/// `dir` is not there; a link to it may be.
fn nowhere(dir: &Path) -> Result<bool, InstallationError> {
    match fs::read_link(dir) {
        Ok(target) => Err(InstallationError::Dangling { link: dir.to_owned(), target }),
        Err(_) => Ok(true),
    }
}

/// Writes everything that a folder is to hold into an empty one, and flushes it.
pub(super) type Fill<'a> = &'a dyn Fn(&Path) -> Result<(), InstallationError>;

/// Makes `dir`, which is vacant, what `fill` says.
pub(super) fn place(dir: &Path, fill: Fill<'_>) -> Result<(), InstallationError> {
    match beside(dir, fill) {
        Err(_) if !is_vacant(dir)? => Err(InstallationError::Taken { dir: dir.to_owned() }),
        Err(_) if dir.is_dir() => inside(dir, fill),
        outcome => outcome,
    }
}

fn beside(dir: &Path, fill: Fill<'_>) -> Result<(), InstallationError> {
    let parent = folder_of(dir);
    fs::create_dir_all(parent).map_err(at(parent))?;
    let mut prefix = OsString::from(".");
    prefix.push(dir.file_name().unwrap_or_default());
    prefix.push(STAGING);
    let taken = || InstallationError::Taken { dir: dir.to_owned() };
    let staging = Staging::new(parent, &prefix, fill)?.ok_or_else(taken)?;
    staging.rename(dir)?;
    sync(parent)
}

fn inside(dir: &Path, fill: Fill<'_>) -> Result<(), InstallationError> {
    let taken = || InstallationError::Taken { dir: dir.to_owned() };
    let _lock = lock(dir).map_err(at(dir))?.ok_or_else(taken)?;
    let whole = dir.join(WHOLE);
    if !whole.is_dir() {
        let staging = Staging::new(dir, OsStr::new(STAGING), fill)?.ok_or_else(taken)?;
        // Under the lock: nobody else of us puts anything here any more.
        if !is_vacant(dir)? {
            return Err(taken());
        }
        staging.rename(&whole)?;
        sync(dir)?;
    }
    move_up(&whole, dir)
}

/// A folder that holds something, and that one process at a time adds to.
pub(super) struct Adding<'a> {
    dir: &'a Path,
    _lock: File,
}

impl<'a> Adding<'a> {
    /// Takes the folder, and finishes what somebody began who died; none while somebody else has it.
    pub(super) fn begin(dir: &'a Path) -> Result<Option<Self>, InstallationError> {
        let Some(lock) = lock(dir).map_err(at(dir))? else { return Ok(None) };
        let whole = dir.join(WHOLE);
        if whole.is_dir() {
            move_up(&whole, dir)?;
        }
        Ok(Some(Self { dir, _lock: lock }))
    }

    /// Adds what `fill` makes, over nothing: the whole of it sooner or later, or nothing.
    pub(super) fn add(&self, fill: Fill<'_>) -> Result<(), InstallationError> {
        let taken = || InstallationError::Taken { dir: self.dir.to_owned() };
        let staging = Staging::new(self.dir, OsStr::new(STAGING), fill)?.ok_or_else(taken)?;
        let whole = self.dir.join(WHOLE);
        staging.rename(&whole)?;
        sync(self.dir)?;
        move_up(&whole, self.dir)
    }
}

/// The folder that something is in, which may be the one that we are in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Makes `path` a file with these contents: the old one or the new one, whole, whoever dies here.
pub(super) fn replace(path: &Path, contents: &[u8]) -> Result<(), InstallationError> {
    let dir = folder_of(path);
    let unfinished = dir.join(UNFINISHED);
    let mut file = File::create(&unfinished).map_err(at(&unfinished))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(at(&unfinished))?;
    fs::rename(&unfinished, path).map_err(at(path))?;
    sync(dir)
}

/// Moves what is in `whole` into `dir`, over nothing, in the order of names. Whoever dies here is
/// followed by one who goes on.
fn move_up(whole: &Path, dir: &Path) -> Result<(), InstallationError> {
    let entries = fs::read_dir(whole).map_err(at(whole))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>().map_err(at(whole))?;
    paths.sort();
    for from in paths {
        let to = dir.join(from.file_name().unwrap_or_default());
        let moved = match from.is_dir() {
            // Fails over everything but an empty folder.
            true => fs::rename(&from, &to),
            false => move_file(&from, &to),
        };
        moved.map_err(at(&to))?;
    }
    sync(dir)?;
    fs::remove_dir(whole).map_err(at(whole))?;
    sync(dir)
}

/// A rename that fails where there is a file already.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    TempPath::try_from_path(from)?.persist_noclobber(to).map_err(|failed| {
        // Dropped, it would be deleted.
        let _ = failed.path.keep();
        failed.error
    })
}

/// A folder being filled, locked as long as somebody fills it; it vanishes if it is dropped.
struct Staging {
    folder: TempDir,
    _lock: Option<File>,
}

impl Staging {
    /// Fills a new folder in `parent`, which only its owner can enter, after those that crashes left.
    /// None when somebody else swept it away, who makes the same folder.
    fn new(
        parent: &Path,
        prefix: &OsStr,
        fill: Fill<'_>,
    ) -> Result<Option<Self>, InstallationError> {
        sweep(parent, prefix);
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.tempdir_in(parent).map_err(at(parent))?;
        // Once it is ours and still there it stays; a file system without such locks sweeps nothing.
        let lock = lock(folder.path()).unwrap_or(None);
        if !folder.path().is_dir() {
            return Ok(None);
        }
        fill(folder.path())?;
        sync_all(folder.path())?;
        Ok(Some(Self { folder, _lock: lock }))
    }

    /// Makes it `path`, which is an empty folder or not there.
    fn rename(self, path: &Path) -> Result<(), InstallationError> {
        fs::rename(self.folder.path(), path).map_err(at(path))?;
        // It is not there any more, and must not be looked for.
        let _ = self.folder.keep();
        Ok(())
    }
}

/// Removes the folders in `parent` that somebody who died began to fill.
fn sweep(parent: &Path, prefix: &OsStr) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let began = name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        if began
            && name != WHOLE
            && let Ok(Some(_dead)) = lock(&entry.path())
        {
            // One that stays is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Locks the folder itself until the file is dropped; none when somebody else has.
fn lock(dir: &Path) -> io::Result<Option<File>> {
    let file = File::open(dir)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes the names in a folder durable, and those in the folders in it.
fn sync_all(dir: &Path) -> Result<(), InstallationError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.is_dir() {
            sync_all(&path)?;
        }
    }
    sync(dir)
}

/// Makes the names in a folder durable.
fn sync(dir: &Path) -> Result<(), InstallationError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(at(dir))
}

fn at(path: &Path) -> impl Fn(io::Error) -> InstallationError {
    move |error| InstallationError::io(path, &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn fill(dir: &Path) -> Result<(), InstallationError> {
        fs::write(dir.join("a.key"), "ours").unwrap();
        fs::create_dir(dir.join("ct")).unwrap();
        fs::write(dir.join("ct/log"), "ours").unwrap();
        Ok(())
    }

    fn taken(dir: &Path) -> Result<(), InstallationError> {
        Err(InstallationError::Taken { dir: dir.to_owned() })
    }

    /// What happens at a mount point, without one.
    #[test]
    fn fills_a_folder_from_inside() {
        let dir = tempfile::tempdir().unwrap();
        inside(dir.path(), &fill).unwrap();
        assert_eq!(names(dir.path()), ["a.key", "ct"]);
        assert_eq!(fs::read(dir.path().join("ct/log")).unwrap(), b"ours");
    }

    #[test]
    fn whoever_comes_second_touches_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        // The first one is done while the second one is at it.
        let late = |staging: &Path| {
            if !dir.exists() {
                fs::create_dir(&dir).unwrap();
                fs::write(dir.join("a.key"), "theirs").unwrap();
            }
            fill(staging)
        };
        assert_eq!(place(&dir, &late), taken(&dir));
        assert_eq!(inside(&dir, &late), taken(&dir));
        assert_eq!(names(&dir), ["a.key"]);
        assert_eq!(fs::read(dir.join("a.key")).unwrap(), b"theirs");
        assert_eq!(names(parent.path()), ["data"]);
    }

    #[test]
    fn one_at_a_time_fills_a_folder_from_inside() {
        let dir = tempfile::tempdir().unwrap();
        let _first = lock(dir.path()).unwrap().unwrap();
        assert_eq!(inside(dir.path(), &fill), taken(dir.path()));
        assert!(names(dir.path()).is_empty());
    }

    /// Wherever somebody died who filled it from inside, the next one goes on.
    #[test]
    fn goes_on_where_somebody_died() {
        for moved in [&[][..], &["a.key"], &["ct"], &["a.key", "ct"]] {
            let dir = tempfile::tempdir().unwrap();
            let whole = dir.path().join(WHOLE);
            fs::create_dir(&whole).unwrap();
            fill(&whole).unwrap();
            for name in moved {
                fs::rename(whole.join(name), dir.path().join(name)).unwrap();
            }
            assert_eq!(is_vacant(dir.path()), Ok(true), "{moved:?}");
            place(dir.path(), &|_| Ok(())).unwrap();
            assert_eq!(names(dir.path()), ["a.key", "ct"], "{moved:?}");
            assert_eq!(fs::read(dir.path().join("a.key")).unwrap(), b"ours");
        }
    }

    #[test]
    fn moves_up_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join(WHOLE);
        fs::create_dir(&whole).unwrap();
        fill(&whole).unwrap();
        fs::write(dir.path().join("a.key"), "theirs").unwrap();
        assert!(move_up(&whole, dir.path()).is_err());
        assert_eq!(fs::read(dir.path().join("a.key")).unwrap(), b"theirs");
        assert_eq!(fs::read(whole.join("a.key")).unwrap(), b"ours");
    }

    #[test]
    fn sweeps_away_what_crashes_left_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        for name in [".data.mayfly-dead", ".data.mayfly-live", ".other.mayfly-dead"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let live = lock(&parent.path().join(".data.mayfly-live")).unwrap();
        assert!(live.is_some());
        place(&dir, &fill).unwrap();
        assert_eq!(names(parent.path()), [".data.mayfly-live", ".other.mayfly-dead", "data"]);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".mayfly-dead")).unwrap();
        place(dir.path(), &fill).unwrap();
        assert_eq!(names(dir.path()), ["a.key", "ct"]);
    }

    #[test]
    fn nothing_is_left_beside_a_folder_that_could_not_be_made() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data"), "in the way").unwrap();
        assert!(place(&dir.path().join("data"), &fill).is_err());
        assert_eq!(names(dir.path()), ["data"]);
    }
}
