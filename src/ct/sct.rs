//! SEAM: SignedCertificateTimestamp, RFC 6962 §3.2, with the `leaf_index` extension of static-ct-api
use crate::algorithm::SignatureAlgorithm;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct { pub log_id: [u8; 32], pub timestamp: Timestamp, pub leaf_index: u64, pub algorithm: SignatureAlgorithm, pub signature: Vec<u8> }
impl Sct { /// TLS encoding
    pub fn encode(&self) -> Vec<u8> { todo!() }
    pub fn decode(_tls: &[u8]) -> Result<Self, SctError> { todo!() } }
/// The 8 octets `00 00 05 i4…i0` of CtExtensions. Index < 2^40.
pub fn leaf_index_extension(_index: u64) -> [u8; 8] { todo!() }
/// SignedCertificateTimestampList: u16<u16<SCT>…>, TLS
pub fn encode_list(_scts: &[Sct]) -> Vec<u8> { todo!() }
pub fn decode_list(_tls: &[u8]) -> Result<Vec<Sct>, SctError> { todo!() }
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SctError { #[error("…")] Truncated }
