//! Proofs about the tree: made of tiles and leaf hashes, each of which is read once for a proof.
//!
//! A node of the tree lies in a tile or folds out of neighbours in one, so a proof reads the tiles above
//! its leaf and those at the right edge: at most two on each level, six rows in a log of 16 million.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::edge::{WIDTH, subtree};
use super::form::Form;
use super::tiles::Tiles;
use super::{Log, LogError};
use crate::store::{Store, StoreError};
use crate::tlog::merkle::{self, Hash};
use crate::tlog::tile::{TileKind, TilePath, decode_hashes};

/// How many levels of the tree one tile spans.
const SPAN: u8 = 8;

impl Log {
    /// Proves that entry `index` is in the tree of the first `size` entries: siblings, from the leaf upward.
    ///
    /// # Errors
    ///
    /// [`Unprovable`], one variant for each reason.
    pub async fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, Unprovable> {
        if index >= size {
            return Err(Unprovable::Outside { index, size });
        }
        self.prove(size, move |node| merkle::inclusion_proof(index, size, node)).await
    }

    /// Proves that the tree of the first `second` entries begins with that of the first `first`.
    ///
    /// # Errors
    ///
    /// [`Unprovable`], one variant for each reason.
    pub async fn consistency_proof(
        &self,
        first: u64,
        second: u64,
    ) -> Result<Vec<Hash>, Unprovable> {
        if first > second {
            return Err(Unprovable::Backwards { first, second });
        }
        self.prove(second, move |node| merkle::consistency_proof(first, second, node)).await
    }

    /// What `proof` makes of the nodes of the tree of `size` entries.
    async fn prove(
        &self,
        size: u64,
        proof: impl FnOnce(&mut Node<'_>) -> Result<Vec<Hash>, StoreError> + Send + 'static,
    ) -> Result<Vec<Hash>, Unprovable> {
        let head = self.head().size;
        if size > head {
            return Err(Unprovable::Beyond { size, head });
        }
        let tiles = self.shared.tiles.clone();
        let read = self.read(move |store| {
            let mut nodes = Nodes { store, tiles: &tiles, size: head, read: BTreeMap::new() };
            proof(&mut |height, index| nodes.node(height, index))
        });
        Ok(read.await?)
    }
}

/// Proves that entry `index` is in the tree of the first `size` entries of the certificate log in `store`,
/// which has them.
///
/// # Errors
///
/// Those of the store.
pub fn inclusion_proof(store: &dyn Store, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
    let tiles = Tiles::new(Form::Certificates);
    let mut nodes = Nodes { store, tiles: &tiles, size, read: BTreeMap::new() };
    merkle::inclusion_proof(index, size, |height, index| nodes.node(height, index))
}

/// Yields the hash of a complete node by its height above the leaves and its index.
type Node<'a> = dyn FnMut(u8, u64) -> Result<Hash, StoreError> + 'a;

/// The nodes of the tree of `size` entries, and the tiles of it that were read.
struct Nodes<'a> {
    store: &'a dyn Store,
    tiles: &'a Tiles,
    size: u64,
    read: BTreeMap<TilePath, Bytes>,
}

impl Nodes<'_> {
    fn node(&mut self, height: u8, index: u64) -> Result<Hash, StoreError> {
        let (level, depth) = (height / SPAN, height % SPAN);
        // A proof asks for nodes of the tree alone, whose indexes are far from the end of the numbers.
        let first = index << depth;
        let tile = self.tile(level, first / WIDTH)?;
        let begin = usize::try_from(first % WIDTH * 32).unwrap_or(usize::MAX);
        let below = tile.get(begin..begin.saturating_add(32 << depth));
        below.and_then(decode_hashes).and_then(|hashes| subtree(&hashes)).ok_or_else(|| {
            StoreError::Corrupt(format!("node {index} at height {height} is not in its tile"))
        })
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<Bytes, StoreError> {
        let kind = TileKind::Hashes { level };
        // As wide as the tree has it by now: full tiles are shared with those who read them.
        let path = TilePath::at(self.size, kind, index).ok_or_else(|| {
            StoreError::Corrupt(format!("tile {index} of level {level} is empty"))
        })?;
        Ok(match self.read.entry(path) {
            Entry::Occupied(read) => read.get().clone(),
            Entry::Vacant(place) => place.insert(self.tiles.read(self.store, path)?).clone(),
        })
    }
}

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprovable {
    /// The tree is not so large yet.
    #[error("the tree has {head} entries, not {size}; ask for a size that the log has published")]
    Beyond {
        /// What was asked for.
        size: u64,
        /// What there is.
        head: u64,
    },
    /// The entry is not among those.
    #[error(
        "entry {index} is not among the first {size}; the tree size must be larger than the index"
    )]
    Outside {
        /// The entry.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The earlier tree is larger than the later one.
    #[error(
        "the tree of {first} entries does not come before that of {second}; give the smaller size first"
    )]
    Backwards {
        /// The size that should be the smaller one.
        first: u64,
        /// The size that should be the larger one.
        second: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ct::window::Window;
    use crate::store::Owner;
    use crate::store::sqlite;
    use crate::time::Timestamp;

    /// The store is empty: any other tile than those above the leaf and at the edge is missing.
    #[test]
    fn one_proof_reads_few_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let (origin, window) = ("a.example/ct/1".to_owned(), Window::year(Timestamp::default()));
        let owner = Owner { origin, log_id: [1; 32], window };
        sqlite::create(&path, &owner, Timestamp::from_secs(0)).unwrap();
        let store = sqlite::open(&path).unwrap();
        let tiles = Tiles::new(Form::Certificates);
        let (leaf, size) = (0x0012_3456, (1 << 24) - 1);
        let mut nodes = Nodes { store: &store, tiles: &tiles, size, read: BTreeMap::new() };
        for level in 0..3 {
            for place in [leaf, size - 1] {
                let index = place >> (8 * (level + 1));
                let path = TilePath::at(size, TileKind::Hashes { level }, index).unwrap();
                let tile = vec![0; usize::from(path.width) * 32];
                nodes.read.insert(path, tile.into());
            }
        }
        let known = nodes.read.len();
        let read = |height, index| nodes.node(height, index);
        let proof = merkle::inclusion_proof(leaf, size, read).unwrap();
        assert_eq!(proof.len(), 24);
        assert_eq!(nodes.read.len(), known);
    }
}
