//! SEAM: the one profile, spec/fulcio.md §8.1 and decisions.md
use std::time::Duration;
use super::{Chain, Serial, tbs::Tbs};
use crate::algorithm::SignatureAlgorithm;
use crate::policy::Grant;
use crate::time::Timestamp;

/// What all our certificates share.
#[derive(Clone, Debug)]
pub struct Profile { }
impl Profile {
    pub fn new(_chain: &Chain, _algorithm: SignatureAlgorithm, _lifetime: Duration, _backdate: Duration) -> Self { todo!() }
    /// Err(Expired) when the certificate would outlive the chain, or start before it
    pub fn certificate(&self, _grant: &Grant, _serial: Serial, _now: Timestamp) -> Result<Tbs, ProfileError> { todo!() }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError { #[error("…")] AuthorityExpired { not_after: Timestamp } }
