//! The files that a configuration was made of, and whether they are still the same.
//!
//! A stamp is taken from the very file that was read, through the same handle: whatever happens to the
//! path afterwards (a write in place, a rename over it, a symbolic link that points elsewhere) gives
//! the path another stamp.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells a file from the one that was at its path before: device, inode, length, and when it was
/// last written and last changed in any way (nobody can set the latter back), in seconds and
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64, u64, u64, [i64; 2], [i64; 2]);

impl Stamp {
    /// The stamp of a file.
    pub(super) fn of(file: &Metadata) -> Self {
        let (written, changed) =
            ([file.mtime(), file.mtime_nsec()], [file.ctime(), file.ctime_nsec()]);
        Self(file.dev(), file.ino(), file.len(), written, changed)
    }

    /// The stamp of the file that is at `path` now; none where there is none.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self::of(&file))
    }
}

/// Files by their paths, with the stamps they had; none where there was no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Option<Stamp>>);

impl Files {
    /// Notes a file that was read.
    pub(super) fn insert(&mut self, path: &Path, stamp: Stamp) {
        self.0.insert(path.to_owned(), Some(stamp));
    }

    /// The same paths, as they are now.
    pub fn look(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Stamp::at(path))).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
