//! `from`, of `signatures` and of `timestamps`: whose requests are taken, where no token is shown.

use crate::config::reader::Cursor;
use crate::quote::quote;

/// Whose requests are taken, where no token is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patrons {
    /// Anyone's, where the instance is for this machine alone; elsewhere as [`Patrons::Issued`].
    #[default]
    Local,
    /// Anyone's.
    Anyone,
    /// Theirs to whom this instance issued a certificate lately.
    Issued,
}

impl Patrons {
    /// Whether anyone's are, at an instance for this machine alone or not.
    pub fn are_all(self, is_local: bool) -> bool {
        match self {
            Self::Anyone => true,
            Self::Issued => false,
            Self::Local => is_local,
        }
    }

    /// Reads `anyone` or `issued`.
    pub(super) fn read(cursor: &Cursor<'_>) -> Option<Self> {
        match cursor.text()? {
            "anyone" => Some(Self::Anyone),
            "issued" => Some(Self::Issued),
            other => cursor.fail(format!("expected anyone or issued, got {}", quote(other))),
        }
    }
}
