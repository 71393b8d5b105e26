//! SEAM: Certificate, Serial, Chain
pub mod profile;
pub mod tbs;
pub mod check;

/// 20 octets, top bit clear, not zero
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial([u8; 20]);
impl Serial { /// clears the top bit
    pub fn from_bytes(mut octets: [u8; 20]) -> Self { octets[0] &= 0x7f; Self(octets) }
    pub fn as_bytes(&self) -> &[u8; 20] { &self.0 } /* Display lower hex */ }
/// A signed certificate, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate { /* der */ }
impl Certificate { pub fn der(&self) -> &[u8] { todo!() } pub fn pem(&self) -> String { todo!() }
 /// tbs ‖ algorithm ‖ signature → Certificate; only authority.rs calls it, with a CheckedTbs' bytes and their signature
 pub fn assemble(_tbs: check::CheckedTbs, _algorithm: crate::algorithm::SignatureAlgorithm, _signature: &[u8]) -> Self { todo!() } }
/// The authority's chain: issuing certificate first, root last. Checked (spec §9.1): signatures, names, CA flags, EKU, validity at `now`.
#[derive(Clone, Debug)]
pub struct Chain { /* ders, pems, subject of the issuing cert raw DER, SKI, spki, not_before/after of the whole chain */ }
impl Chain {
    pub fn from_pem(_pem: &[u8], _now: crate::time::Timestamp) -> Result<Self, ChainError> { todo!() }
    pub fn ders(&self) -> &[Vec<u8>] { todo!() }
    /// each with its trailing newline
    pub fn pems(&self) -> &[String] { todo!() }
    /// SPKI of the issuing certificate, DER
    pub fn spki(&self) -> &[u8] { todo!() }
    /// SHA-256 of that SPKI: RFC 6962's issuer_key_hash
    pub fn issuer_key_hash(&self) -> [u8; 32] { todo!() }
    pub fn fingerprints(&self) -> std::sync::Arc<[[u8; 32]]> { todo!() }
    /// earliest end of any certificate in it
    pub fn not_after(&self) -> crate::time::Timestamp { todo!() }
    /// latest start of any certificate in it
    pub fn not_before(&self) -> crate::time::Timestamp { todo!() }
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError { #[error("…")] Empty }
