//! SEAM: precertificate entries: RFC 6962 §3.4 MerkleTreeLeaf, static-ct-api TileLeaf, RFC 6962 extra_data later
use crate::time::Timestamp;

/// A precertificate entry before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry { pub issuer_key_hash: [u8; 32], /// DER TBSCertificate without poison
    pub tbs: Vec<u8>, /// DER of the signed precertificate
    pub precertificate: Vec<u8>, /// SHA-256 of each issuer certificate, issuing one first, root last
    pub chain: std::sync::Arc<[[u8; 32]]> }
impl Entry {
    /// TLS MerkleTreeLeaf; byte for byte also what the SCT signs
    pub fn merkle_tree_leaf(&self, _timestamp: Timestamp, _index: u64) -> Vec<u8> { todo!() }
    /// static-ct-api TileLeaf
    pub fn tile_leaf(&self, _timestamp: Timestamp, _index: u64) -> Vec<u8> { todo!() }
}
/// A TileLeaf read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEntry { pub timestamp: Timestamp, pub index: u64, pub entry: Entry }
/// Reads one TileLeaf (precert or x509 entry, any extensions with a leaf_index) off the front of a data tile; yields the rest
pub fn read_tile_leaf(_bytes: &[u8]) -> Result<(LoggedEntry, &[u8]), EntryError> { todo!() }
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError { #[error("…")] Truncated }
