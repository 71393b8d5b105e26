//! Full tiles of entries, compressed: once each, and kept while they are asked for.
//!
//! A tile that grows is served as it is: compressed for every width it ever had, it would cost more
//! than it saves.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Log, LogError};
use crate::store::{Store, StoreError};
use crate::tlog::tile::TilePath;

impl Log {
    /// The tile that [`Log::tile`] yields, as a gzip file.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn compressed_tile(&self, path: TilePath) -> Result<Option<Bytes>, LogError> {
        if let Some(kept) = self.shared.compressed.get(path) {
            return Ok(Some(kept));
        }
        let Some(tile) = self.tile(path).await? else { return Ok(None) };
        let compressed = Arc::clone(&self.shared.compressed);
        let compress = move |_: &dyn Store| {
            // Whoever had the thread before may have compressed it.
            if let Some(kept) = compressed.get(path) {
                return Ok(kept);
            }
            let gzip = Bytes::from(gzip(&tile)?);
            compressed.keep(path, &gzip);
            Ok(gzip)
        };
        self.read(compress).await.map(Some)
    }
}

fn gzip(octets: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(octets.len() / 2), Compression::default());
    let written = encoder.write_all(octets).and_then(|()| encoder.finish());
    // A Vec takes whatever is written to it.
    written.map_err(|error| StoreError::Backend(error.to_string()))
}
