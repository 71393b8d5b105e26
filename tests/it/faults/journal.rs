//! What clients hold and monitors have seen, in a file that is synced before anybody goes on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Lines of `<what> <text>`, each durable when [`Journal::keep`] returns.
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// A new one in `folder`.
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("journal");
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        Self { file: Mutex::new(file.expect("a journal")), path }
    }

    /// Keeps a line, for good.
    pub fn keep(&self, what: &str, text: &str) {
        assert!(!text.contains('\n'), "a line has no lines");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{what} {text}\n").as_bytes()).expect("room for a line");
        file.sync_data().expect("a disk that syncs");
    }

    /// Every line about `what`, as the file has them.
    pub fn all(&self, what: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.path).expect("the journal");
        let lines = text.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
        lines.map(str::to_owned).collect()
    }
}
