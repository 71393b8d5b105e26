//! `signatures`: who may log signatures.

use crate::config::reader::{Section, Table};
use crate::quote::quote;

pub(super) const SIGNATURES: Table =
    Table { section: "signatures", keys: &["from"], later: &[], strict: true };

/// Whose signatures the log takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signers {
    /// Anyone's, where the instance is for this machine alone; elsewhere as [`Signers::Issued`].
    #[default]
    Local,
    /// Those with a certificate that this instance issued lately.
    Issued,
    /// Anyone's.
    Anyone,
}

impl Signers {
    /// Whether a certificate of this instance is wanted.
    pub fn is_issued(self, is_local: bool) -> bool {
        match self {
            Self::Local => !is_local,
            Self::Issued => true,
            Self::Anyone => false,
        }
    }
}

/// Reads it from the top of the file.
pub(super) fn read(top: &Section<'_>) -> Option<Signers> {
    let Some(cursor) = top.get("signatures") else { return Some(Signers::Local) };
    let section = cursor.section(&SIGNATURES)?;
    let Some(from) = section.get("from") else { return Some(Signers::Local) };
    match from.text()? {
        "issued" => Some(Signers::Issued),
        "anyone" => Some(Signers::Anyone),
        other => from.fail(format!("expected issued or anyone, got {}", quote(other))),
    }
}
