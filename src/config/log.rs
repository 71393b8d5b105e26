//! `log` and `keep_refusals`: who may read what was issued, and what is kept of it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::reader::{Cursor, Section, Table};
use crate::quote::quote;

pub(super) const LOG: Table =
    Table { section: "log", keys: &["readers", "records", "mark"], later: &[], strict: true };

/// `log.readers` takes the same.
pub(super) const RECORDS: Table =
    Table { section: "log.records", keys: &["token_file"], later: &[], strict: true };

const DAY: Duration = Duration::from_hours(24);
const KEPT: RangeInclusive<Duration> = Duration::ZERO..=DAY.saturating_mul(366);

/// Who may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readers {
    /// Whoever asks, where the instance is for this machine alone; nobody elsewhere.
    #[default]
    Local,
    /// Whoever asks.
    Anyone,
    /// Nobody, not even on this machine.
    Nobody,
    /// Whoever shows a token that stands in this file, one a line.
    Token(PathBuf),
}

/// What a file says of the certificate log and of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Who may read the certificate log: `/ct/`.
    pub readers: Readers,
    /// Who may read the records of all attempts: `/api/records`.
    pub records: Readers,
    /// The file that remembers the newest head; beside the database where nothing is said.
    pub mark: Option<PathBuf>,
    /// How long refusals are kept.
    pub keep_refusals: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            readers: Readers::Local,
            records: Readers::Local,
            mark: None,
            keep_refusals: DAY.saturating_mul(30),
        }
    }
}

/// Reads both keys from the top of the file; paths are relative to `folder`.
pub(super) fn read(top: &Section<'_>, folder: &Path) -> Option<LogConfig> {
    let default = LogConfig::default();
    let keep_refusals =
        top.get("keep_refusals").map_or(Some(default.keep_refusals), |at| at.duration(KEPT));
    let Some(cursor) = top.get("log") else {
        return Some(LogConfig { keep_refusals: keep_refusals?, ..default });
    };
    let log = cursor.section(&LOG)?;
    let who = |name| log.get(name).map_or(Some(Readers::Local), |cursor| readers(cursor, folder));
    let (readers, records) = (who("readers"), who("records"));
    let mark =
        log.get("mark").map_or(Some(None), |at| at.text().map(|text| Some(folder.join(text))));
    Some(LogConfig {
        readers: readers?,
        records: records?,
        mark: mark?,
        keep_refusals: keep_refusals?,
    })
}

fn readers(cursor: &Cursor<'_>, folder: &Path) -> Option<Readers> {
    match cursor.node.text() {
        Some("anyone") => Some(Readers::Anyone),
        Some("nobody") => Some(Readers::Nobody),
        Some(other) => cursor.fail(format!(
            "expected anyone, nobody or {{ token_file: FILE }}, got {}",
            quote(other)
        )),
        None => {
            let section = cursor.section(&RECORDS)?;
            let file = section.require("token_file")?.text()?;
            Some(Readers::Token(folder.join(file)))
        }
    }
}
