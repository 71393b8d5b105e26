//! SEAM: Claims → Identity, by issuer kind

use crate::extensions::Extensions;
use crate::token::Claims;
pub mod ci;

/// Who asks, as the certificate will say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity { /* san, extensions, challenge: private */ }
impl Identity {
    pub fn from_claims(_claims: &Claims) -> Result<Self, IdentityError> { todo!() }
    pub fn san(&self) -> &San { todo!() }
    pub fn extensions(&self) -> &Extensions { todo!() }
    pub fn challenge(&self) -> &Challenge { todo!() }
}
/// The one subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San { Email(String), Uri(String), /// `sub!domain`, an otherName 1.3.6.1.4.1.57264.1.7
    Username(String) }
/// The text whose signature proves possession of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);
impl Challenge { pub fn as_str(&self) -> &str { &self.0 }
 /// for tests of possession only: real ones come out of an Identity
 pub fn new(text: impl Into<String>) -> Self { Self(text.into()) } }
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError { #[error("…")] ClaimMissing { name: String } }
