//! SEAM: the log engine: append(entry, record) → SCT, durable and in the tree
use std::sync::Arc;
use crate::ct::{entry::Entry, sct::Sct};
use crate::record::Record;
use crate::signer::Signer;
use crate::store::{Head, Store};
use crate::time::Clock;
use crate::tlog::tile::TilePath;
pub mod sequencer;

/// A certificate log. Cloning shares it.
#[derive(Clone)]
pub struct Log { }
impl Log {
    /// boot checks, starts the sequencer thread
    pub fn open(_store: Arc<dyn Store>, _signer: Arc<dyn Signer>, _clock: Arc<dyn Clock>, _origin: String) -> Result<Self, LogError> { todo!() }
    /// Durable, and covered by every checkpoint served from now on, when this returns.
    pub async fn append(&self, _entry: Entry, _record: Record) -> Result<Sct, LogError> { todo!() }
    /// `<host>/ct/<shard>`
    pub fn origin(&self) -> &str { todo!() }
    /// SHA-256 of the log key's SPKI
    pub fn log_id(&self) -> [u8; 32] { todo!() }
    /// DER SPKI of the log key
    pub fn public_key(&self) -> &[u8] { todo!() }
    /// the published head
    pub fn head(&self) -> Head { todo!() }
    /// signed note of the published head; signed on demand, kept until the head moves
    pub async fn checkpoint(&self) -> Result<String, LogError> { todo!() }
    /// hash or data tile as static-ct-api has it, partial ones made on demand; None where the published tree has none of that width
    pub async fn tile(&self, _path: TilePath) -> Result<Option<Vec<u8>>, LogError> { todo!() }
    pub async fn issuer(&self, _fingerprint: [u8; 32]) -> Result<Option<Vec<u8>>, LogError> { todo!() }
    pub async fn records(&self, _before: Option<u64>, _limit: usize) -> Result<Vec<Record>, LogError> { todo!() }
    /// stops taking entries, answers every queued one, closes the store
    pub async fn close(&self) { todo!() }
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError { #[error("the log's queue is full")] Full, #[error("the log is shutting down")] Closed, #[error("{0}")] Store(crate::store::StoreError) }
