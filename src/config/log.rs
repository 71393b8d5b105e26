//! `log` and `keep_refusals`: who may read what was issued, and what is kept of it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::address::Address;
use crate::config::reader::{Cursor, Section, Table};
use crate::config::trusted::file;
use crate::quote::quote;
use crate::tlog::policy::Policy;

pub(super) const LOG: Table = Table {
    section: "log",
    keys: &["readers", "records", "mark", "witnesses"],
    later: &[],
    strict: true,
};

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
    /// Who cosigns its checkpoints, and how many of them are enough.
    pub witnesses: Option<Policy>,
    /// How long refusals are kept.
    pub keep_refusals: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            readers: Readers::Local,
            records: Readers::Local,
            mark: None,
            witnesses: None,
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
    let witnesses = log.get("witnesses").map_or(Some(None), |at| witnesses(at, folder).map(Some));
    Some(LogConfig {
        readers: readers?,
        records: records?,
        mark: mark?,
        witnesses: witnesses?,
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

/// The policy in a file, whose witnesses can be asked.
fn witnesses(cursor: &Cursor<'_>, folder: &Path) -> Option<Policy> {
    let text = file(cursor, folder)?;
    let name = cursor.text()?;
    let policy = match Policy::parse(&text) {
        Ok(policy) => policy,
        Err(error) => return cursor.fail(format!("{name}: {error}")),
    };
    for witness in policy.witnesses() {
        let of = format!("{name}: the witness {}", quote(&witness.name));
        match witness.url.as_deref().map(address) {
            None => cursor.warn(format!("{of} has no URL, and is not asked")),
            Some(Err(problem)) => cursor.refuse(format!("{of}: {problem}")),
            Some(Ok(())) => {}
        }
    }
    let is_asked = |place: usize| policy.witnesses().get(place).is_some_and(|it| it.url.is_some());
    let is_any = policy.witnesses().iter().any(|witness| witness.url.is_some());
    if !is_any || !policy.is_met(is_asked) {
        let too_few = "the witnesses that have a URL must be some, and enough for the quorum";
        return cursor.fail(format!("{name}: {too_few}"));
    }
    Some(policy)
}

/// Whether a witness can be asked at `url`; what is expected where it cannot.
fn address(url: &str) -> Result<(), String> {
    let address = Address::parse(url).map_err(|error| error.to_string())?;
    match address.is_exposed() || address.host.contains('*') {
        true => Err("expected a URL that begins with https:// and a host".to_owned()),
        false => Ok(()),
    }
}
