//! SEAM: port Store. The doc comment of the trait is its contract (durability, ordering, errors, concurrency).
pub mod sqlite;
use crate::record::Record;
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

/// The newest committed state of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head { pub size: u64, pub root: Hash, pub timestamp: Timestamp }

/// One entry, placed: what is written for it.
#[derive(Clone, Debug)]
pub struct Placed { pub index: u64, pub leaf_hash: Hash, /// static-ct-api TileLeaf, TLS
   pub tile_leaf: Vec<u8>, pub record: Record }

/// What one transaction makes durable: entries, the full hash tiles they complete, the new head.
#[derive(Clone, Debug)]
pub struct Batch { /// the head this batch was computed from; the store refuses if it is not its own
   pub before: Option<Head>, pub entries: Vec<Placed>, /// (level, tile index, 256 × 32 octets)
   pub tiles: Vec<(u8, u64, Vec<u8>)>, pub head: Head }

/// Where a log lives.
pub trait Store: Send + Sync {
    fn head(&self) -> Result<Option<Head>, StoreError>;
    /// Atomic and durable on return.
    fn append(&self, batch: &Batch) -> Result<(), StoreError>;
    fn leaf_hashes(&self, range: std::ops::Range<u64>) -> Result<Vec<Hash>, StoreError>;
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;
    fn tile_leaves(&self, range: std::ops::Range<u64>) -> Result<Vec<Vec<u8>>, StoreError>;
    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError>;
    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError>;
    /// newest first, below `before` if given, at most `limit`
    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Record>, StoreError>;
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError { #[error("{0}")] Backend(String) }
