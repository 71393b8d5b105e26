//! Reading the files that a configuration is made of, and whether they still say the same.
//!
//! A stamp is taken from the very file that was read, through the same handle: whatever happens to the
//! path afterwards (a write in place, a rename over it, a symbolic link that points elsewhere) has it
//! read again. What counts then is what it says: a file that was only touched is the same.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tlog::merkle::Hash;

/// Octets that a configuration file, or a file that it names, may have.
const MAX_FILE: u64 = 1 << 20;

/// The text of a file that is not too large, and the stamp of that file.
pub(super) fn read(path: &Path) -> Result<(String, Stamp), String> {
    read_text(path, MAX_FILE)
}

/// The text of a regular file of at most so many octets, and the stamp of that file.
fn read_text(path: &Path, most: u64) -> Result<(String, Stamp), String> {
    let read = read_octets(path, most).map_err(|error| format!("cannot be read: {error}"));
    let (octets, stamp) = read?;
    if octets.len() as u64 > most {
        let (number, unit) =
            if most < MAX_FILE { (most >> 10, "KiB") } else { (most >> 20, "MiB") };
        return Err(format!("cannot be read: it has more than {number} {unit}"));
    }
    let text = String::from_utf8(octets).map_err(|_| "cannot be read: it is not UTF-8")?;
    Ok((text, stamp))
}

/// At most one octet more than a file may have. Its times are taken first: a write while we read gives
/// the file others.
fn read_octets(path: &Path, most: u64) -> io::Result<(Vec<u8>, Stamp)> {
    // Opening a pipe would wait for whoever writes into it. A link to a file is a file.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = File::open(path)?;
    let place = Place::of(&file.metadata()?);
    let mut octets = Vec::new();
    file.take(most + 1).read_to_end(&mut octets)?;
    let stamp = Stamp { place, octets: Hash::of(&[&octets]) };
    Ok((octets, stamp))
}

/// A file as it was read. Two are the same when their octets are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    place: Place,
    octets: Hash,
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Stamp {}

/// What tells a file from the one that was at its path before: device, inode, length, and when it was
/// last written and last changed in any way (nobody can set the latter back), in seconds and
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u64, u64, u64, [i64; 2], [i64; 2]);

impl Place {
    fn of(file: &Metadata) -> Self {
        let (written, changed) =
            ([file.mtime(), file.mtime_nsec()], [file.ctime(), file.ctime_nsec()]);
        Self(file.dev(), file.ino(), file.len(), written, changed)
    }
}

/// Files by their paths, with the stamps they had; none where there was no file that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Stamp>>);

impl Files {
    /// The files at these paths, as they are now.
    pub fn at<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| (path.clone(), None)).collect()).look()
    }

    /// Notes a file that was read.
    pub(super) fn insert(&mut self, path: &Path, stamp: Stamp) {
        self.0.insert(path.to_owned(), Some(stamp));
    }

    /// The same paths, as they are now. Only what is another file, or was written to, is read.
    pub fn look(&self) -> Self {
        let look = |(path, known): (&PathBuf, &Option<Stamp>)| {
            let place = std::fs::metadata(path).ok().map(|file| Place::of(&file));
            let known = known.filter(|known| Some(known.place) == place);
            let read = || read_octets(path, MAX_FILE).ok().map(|(_, stamp)| stamp);
            (path.clone(), known.or_else(read))
        };
        Self(self.0.iter().map(look).collect())
    }
}

/// The text of a file, read anew whenever that may be another.
#[derive(Debug)]
pub struct Text {
    path: PathBuf,
    most: u64,
    /// What was at the path at the last look, and what it said or why it said nothing; none before the first.
    last: Option<(Option<Place>, Result<Stamp, String>)>,
}

impl Text {
    /// Of the regular file at this path, which may have so many octets.
    pub fn at(path: PathBuf, most: u64) -> Self {
        Self { path, most, last: None }
    }

    /// What the file says, or why it cannot be read; none where that is what it was at the last look. A file
    /// is read once, or not at all.
    pub fn look(&mut self) -> Option<Result<String, String>> {
        let place = std::fs::metadata(&self.path).ok().map(|file| Place::of(&file));
        if place.is_some() && self.last.as_ref().is_some_and(|(known, _)| *known == place) {
            return None;
        }
        let (text, stamp) = match read_text(&self.path, self.most) {
            Ok((text, stamp)) => (Ok(text), Ok(stamp)),
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let is_same = self.last.as_ref().is_some_and(|(_, known)| *known == stamp);
        // The place of what was read, whatever was at the path before.
        let place = stamp.as_ref().map_or(place, |stamp| Some(stamp.place));
        self.last = Some((place, stamp));
        (!is_same).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_text_is_read_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut text = Text::at(path.clone(), 2048);
        let missing = text.look().unwrap().unwrap_err();
        assert!(missing.contains("cannot be read: No such file"), "{missing}");
        assert_eq!(text.look(), None);
        fs::write(&path, "one").unwrap();
        assert_eq!(text.look(), Some(Ok("one".to_owned())));
        assert_eq!(text.look(), None);
        fs::write(&path, "one").unwrap();
        assert_eq!(text.look(), None, "written anew");
        fs::write(folder.path().join("b"), "two").unwrap();
        fs::rename(folder.path().join("b"), &path).unwrap();
        assert_eq!(text.look(), Some(Ok("two".to_owned())));
        fs::write(&path, [b'a'; 2049]).unwrap();
        let long = Err("cannot be read: it has more than 2 KiB".to_owned());
        assert_eq!((text.look(), text.look()), (Some(long), None));
        fs::write(&path, [b'a'; 2048]).unwrap();
        assert_eq!(text.look(), Some(Ok("a".repeat(2048))));
    }

    #[test]
    fn what_a_file_says_counts_and_not_when_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let set_back = || {
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        };
        let nothing = Files::at([&path]);
        fs::write(&path, "one").unwrap();
        set_back();
        let one = nothing.look();
        assert_ne!(one, nothing);
        // As long, as old, and another text.
        fs::write(&path, "two").unwrap();
        set_back();
        let two = one.look();
        assert_ne!(two, one);
        fs::write(&path, "two").unwrap();
        assert_eq!(two.look(), two, "written anew");
        fs::write(folder.path().join("b"), "two").unwrap();
        fs::rename(folder.path().join("b"), &path).unwrap();
        assert_eq!(two.look(), two, "another file that says the same");
        fs::remove_file(&path).unwrap();
        assert_eq!(two.look(), nothing);
    }
}
