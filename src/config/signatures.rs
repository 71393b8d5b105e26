//! `signatures`: who may log signatures.

use crate::config::patrons::Patrons;
use crate::config::reader::{Section, Table};

pub(super) const SIGNATURES: Table =
    Table { section: "signatures", keys: &["from"], later: &[], strict: true };

/// Reads it from the top of the file.
pub(super) fn read(top: &Section<'_>) -> Option<Patrons> {
    let Some(cursor) = top.get("signatures") else { return Some(Patrons::default()) };
    let section = cursor.section(&SIGNATURES)?;
    section.get("from").map_or(Some(Patrons::default()), Patrons::read)
}
