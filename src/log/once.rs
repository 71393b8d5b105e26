//! An entry that is logged once, however often it comes.
//!
//! ```text
//! it came lately, or comes at this moment   → its place is known, or awaited
//! the log has it                            → found by its leaf hash
//! else                                      → it is appended
//! ```
//!
//! Two that are the same have the same leaf hash, and it is compared whole. What the search index does not
//! have yet is looked through leaf by leaf, so nothing is missed while it lags.

use moka::future::Cache;

use super::{Log, LogError};
use crate::tlog::merkle::{Hash, leaf_hash};

/// How many places are remembered: those who ask again mostly do so at once.
const PLACES: u64 = 1 << 14;

/// The places of entries that came lately, by their leaf hashes.
pub(super) struct Once(Cache<Hash, u64>);

impl Default for Once {
    fn default() -> Self {
        Self(Cache::new(PLACES))
    }
}

impl Log {
    /// Logs octets that may have been logged before; yields their index. Durable, and covered by every
    /// checkpoint served from now on, when this returns.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub async fn append_once(&self, entry: Vec<u8>, record: String) -> Result<u64, LogError> {
        let (log, leaf) = (self.clone(), leaf_hash(&entry));
        // A task of its own: one who goes away must not leave an entry behind that the next one, who asks for
        // the same, cannot see yet.
        let logged = tokio::spawn(async move {
            let places = log.shared.once.0.clone();
            places.try_get_with(leaf, log.find_or_append(leaf, entry, record)).await
        });
        let logged = logged.await.map_err(|error| LogError::Thread(error.to_string()))?;
        logged.map_err(|error| LogError::clone(&error))
    }

    async fn find_or_append(
        self,
        leaf: Hash,
        entry: Vec<u8>,
        record: String,
    ) -> Result<u64, LogError> {
        if let Some(index) = self.glance(move |entries| entries.find(leaf)).await? {
            return Ok(index);
        }
        Ok(self.place(Box::new(entry), record).await?.index)
    }
}
