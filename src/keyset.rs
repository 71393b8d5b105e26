//! SEAM: OIDC discovery and key sets over HTTPS, cached
use crate::issuer::{Issuer, Issuers};
use crate::time::Timestamp;
use crate::token::{Claims, TokenError, UnverifiedToken};

/// The keys of every trusted issuer.
pub struct Keyset { }
impl Keyset {
    pub fn new(_issuers: Issuers) -> Result<Self, KeysetError> { todo!() }
    pub fn issuers(&self) -> &Issuers { todo!() }
    pub async fn verify(&self, _token: UnverifiedToken, _now: Timestamp) -> Result<Claims, KeysetError> { todo!() }
}
/// Why keys did not verify a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysetError {
    /// refusals
    #[error(transparent)] Token(#[from] TokenError),
    #[error("issuer is not configured")] UnknownIssuer { issuer: String, nearest: Option<String> },
    /// failures that are nobody's here: 503
    #[error("issuer {issuer} does not answer ({cause}); this is not the token's fault, try again")] Unreachable { issuer: String, cause: String },
}
