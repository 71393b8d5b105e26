//! SEAM: Proof (signed challenge | CSR) → ProvenKey; spec/fulcio.md §7, spec/clients.md §0.6

use crate::identity::Challenge;

/// How the caller shows that it holds the private key. Bytes as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    SignedChallenge { /// PEM (leniently) or DER SubjectPublicKeyInfo
        key: Vec<u8>, signature: Vec<u8> },
    /// PEM PKCS#10
    Csr(Vec<u8>),
}
impl Proof { pub fn verify(&self, _challenge: &Challenge) -> Result<ProvenKey, PossessionError> { todo!() } }
/// A sound public key whose private half the caller holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey { /* spki DER exactly as certified; key_id SHA-1 of the key bits */ }
impl ProvenKey {
    pub fn spki(&self) -> &[u8] { todo!() }
    /// SHA-1 of subjectPublicKey's bits: the SubjectKeyIdentifier (RFC 5280 §4.2.1.2 method 1)
    pub fn key_id(&self) -> [u8; 20] { todo!() }
    /// SHA-256 of the SPKI, for records
    pub fn fingerprint(&self) -> [u8; 32] { todo!() }
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError { #[error("…")] KeyMissing }
