//! The head seen at the last visit: a small file a log, which the next visit is held to.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VerifyError;
use crate::ct::judge::Sighting;
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

/// What is kept.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Visit {
    origin: String,
    /// Hex; absent when no key was known.
    log_id: Option<String>,
    size: u64,
    /// Hex.
    root: String,
    /// Milliseconds since the epoch.
    timestamp: Option<u64>,
}

/// The file of a log when none is named: `$XDG_STATE_HOME/mayfly/<SHA-256 of the origin>.json`.
pub(super) fn default_path(origin: &str) -> Result<PathBuf, VerifyError> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| Path::new(path).is_absolute());
    let state = match (state, std::env::home_dir()) {
        (Some(state), _) => PathBuf::from(state),
        (None, Some(home)) => home.join(".local/state"),
        (None, None) => return Err(VerifyError::NoHome),
    };
    Ok(state.join("mayfly").join(format!("{}.json", Hash::of(&[origin.as_bytes()]))))
}

impl Visit {
    pub(super) fn new(origin: &str, log_id: Option<[u8; 32]>, head: Sighting) -> Self {
        Self {
            origin: origin.to_owned(),
            log_id: log_id.map(|id| Hash(id).to_string()),
            size: head.size,
            root: head.root.to_string(),
            timestamp: head.timestamp.map(Timestamp::as_millis),
        }
    }

    /// The visit kept in a file; none when there is no file.
    pub(super) fn load(file: &Path) -> Result<Option<Self>, VerifyError> {
        let unusable =
            |error: String| VerifyError::State { file: file.display().to_string(), error };
        let bytes = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error.to_string())),
        };
        let visit: Self =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        // Attack: a file that was cut or edited must not pass for a first visit.
        let well_formed =
            visit.root().is_some() && visit.log_id.is_some() == visit.log_id().is_some();
        if well_formed {
            Ok(Some(visit))
        } else {
            Err(unusable("its hashes are malformed".to_owned()))
        }
    }

    /// Writes the file whole, or leaves the old one.
    pub(super) fn save(&self, file: &Path) -> Result<(), VerifyError> {
        self.write(file).map_err(|error| VerifyError::State {
            file: file.display().to_string(),
            error: error.to_string(),
        })
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut temporary, self)?;
        temporary.write_all(b"\n")?;
        temporary.persist(file)?;
        Ok(())
    }

    /// The head, when it is that of the log `origin` and signed by the same key as now.
    pub(super) fn of_same_log(
        self,
        file: &Path,
        origin: &str,
        log_id: Option<[u8; 32]>,
    ) -> Result<Sighting, VerifyError> {
        if self.origin != origin {
            let file = file.display().to_string();
            return Err(VerifyError::OtherLog { file, origin: self.origin });
        }
        match (self.log_id(), log_id) {
            (Some(_), None) => return Err(VerifyError::KeyMissing(origin.to_owned())),
            (Some(then), Some(now)) if then != now => {
                let file = file.display().to_string();
                return Err(VerifyError::OtherKey { origin: origin.to_owned(), file });
            }
            _ => {}
        }
        Ok(Sighting {
            size: self.size,
            root: self.root().unwrap_or(Hash::EMPTY),
            timestamp: self.timestamp.map(Timestamp::from_millis),
        })
    }

    /// The log's id at that visit, if its key was known.
    fn log_id(&self) -> Option<[u8; 32]> {
        self.log_id.as_deref()?.parse().ok().map(|Hash(id)| id)
    }

    fn root(&self) -> Option<Hash> {
        self.root.parse().ok()
    }
}
