//! SEAM: parse back with x509-cert, compare with the profile → CheckedTbs
/// A TBS that was parsed back and compared. Not Clone: signing consumes it.
#[derive(Debug)]
pub struct CheckedTbs { /* der */ }
impl CheckedTbs { pub fn der(&self) -> &[u8] { todo!() } }
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError { #[error("…")] Unreadable }
