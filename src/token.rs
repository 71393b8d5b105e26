//! SEAM: compact JWS → UnverifiedToken → Claims

use std::sync::Arc;
use crate::issuer::Issuer;
use crate::time::Timestamp;

/// A token that parses and nothing more.
#[derive(Debug)]
pub struct UnverifiedToken { }
impl UnverifiedToken {
    /// strict: ≤ 64 KiB, exactly two dots (counted first), base64url without padding, header members, `iss`, …
    pub fn parse(_compact: &str) -> Result<Self, TokenError> { todo!() }
    /// `iss` as the token claims it: for finding the issuer, nothing else
    pub fn unverified_issuer(&self) -> &str { todo!() }
    pub fn key_id(&self) -> Option<&str> { todo!() }
    /// Signature by `key`?
    pub fn is_signed_by(&self, _key: &VerifyingKey) -> bool { todo!() }
    /// Signature by one of `keys` (the candidates), then issuer, times and audience → the only constructor of Claims.
    pub fn verify(self, _issuer: &Arc<Issuer>, _keys: &[Arc<VerifyingKey>], _now: Timestamp) -> Result<Claims, TokenError> { todo!() }
}
/// A token issuer's key, parsed once.
pub struct VerifyingKey { }
impl VerifyingKey {
    /// One member of a key set's `keys` (RFC 7517), or None when it is odd: skipped, not fatal
    pub fn from_jwk(_jwk: &serde_json::Value) -> Option<Self> { todo!() }
    pub fn key_id(&self) -> Option<&str> { todo!() }
}
/// What a verified token says.
#[derive(Clone, Debug)]
pub struct Claims { issuer: Arc<Issuer>, iss: String, sub: String, members: serde_json::Map<String, serde_json::Value> }
impl Claims {
    pub fn issuer(&self) -> &Arc<Issuer> { &self.issuer }
    /// `iss`, which equals the issuer whose key verified
    pub fn iss(&self) -> &str { &self.iss }
    pub fn sub(&self) -> &str { &self.sub }
    pub fn get(&self, name: &str) -> Option<&serde_json::Value> { self.members.get(name) }
    pub fn members(&self) -> &serde_json::Map<String, serde_json::Value> { &self.members }
    /// Claims that no token vouches for, to test what comes after.
    #[cfg(test)]
    pub(crate) fn assumed(issuer: Arc<Issuer>, members: serde_json::Map<String, serde_json::Value>) -> Self {
        let text = |name: &str| members.get(name).and_then(serde_json::Value::as_str).unwrap().to_owned();
        Self { issuer, iss: text("iss"), sub: text("sub"), members }
    }
}
/// Why a token does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError { #[error("…")] Empty }
