//! `timestamps`: who gets them, and by what the clock is judged.

use std::collections::BTreeSet;

use crate::config::patrons::Patrons;
use crate::config::reader::{Cursor, Section, Table};
use crate::quote::quote;

pub(super) const TIMESTAMPS: Table =
    Table { section: "timestamps", keys: &["from", "ntp"], later: &[], strict: true };

/// More NTP servers than anybody needs.
const SERVERS: usize = 16;

/// What a file says of timestamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimestampConfig {
    /// Who gets them.
    pub from: Patrons,
    /// The NTP servers that must agree with the clock, `host` or `host:port`.
    pub ntp: Vec<String>,
}

/// Reads the key from the top of the file.
pub(super) fn read(top: &Section<'_>) -> Option<TimestampConfig> {
    let Some(cursor) = top.get("timestamps") else { return Some(TimestampConfig::default()) };
    let section = cursor.section(&TIMESTAMPS)?;
    let from = section.get("from").map_or(Some(Patrons::default()), Patrons::read);
    let ntp = section.get("ntp").map_or(Some(Vec::new()), servers);
    Some(TimestampConfig { from: from?, ntp: ntp? })
}

fn servers(cursor: &Cursor<'_>) -> Option<Vec<String>> {
    let servers = cursor.texts()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if let Some(odd) = servers.iter().find(|it| it.is_empty() || !it.chars().all(plain)) {
        return cursor.fail(format!(
            "expected the names of NTP servers such as ntp.example.com, got {}",
            quote(odd)
        ));
    }
    let mut once = BTreeSet::new();
    if let Some(twice) = servers.iter().find(|it| !once.insert(it.to_ascii_lowercase())) {
        return cursor.fail(format!(
            "{} is there twice, and would count twice; name each NTP server once",
            quote(twice)
        ));
    }
    if servers.len() > SERVERS {
        return cursor.fail(format!("expected at most {SERVERS} NTP servers"));
    }
    Some(servers)
}
