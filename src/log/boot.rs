//! What must hold before a log goes on where it stopped.
//!
//! The worst that can happen is to sign a second tree of a size that was signed before. So the store
//! must be this log's, whole, and its newest part must be what its head says, before the first entry
//! is taken. Old entries and tiles are for the scrub and for `mayfly log fsck`.

use std::path::Path;

use super::LogError;
use super::edge::{Edge, WIDTH, hashes_at, read_tile, subtree};
use super::entries::Entries;
use super::form::Form;
use super::mark;
use super::sequencer::TOLERANCE;
use crate::store::{Head, Owner, Store};
use crate::time::Timestamp;
use crate::tlog::merkle::{Frontier, Hash};
use crate::tlog::tile::encode_hashes;

/// How many of the newest entries are hashed again.
const NEWEST: u64 = 256;

/// The tree, as far as appending to it needs.
#[derive(Clone, Debug)]
pub struct Tree {
    /// As the store has it.
    pub head: Head,
    /// The tree as perfect subtrees.
    pub frontier: Frontier,
    /// The tree as tiles.
    pub edge: Edge,
}

/// What a store must be to go on with.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose it is.
    pub owner: &'a Owner,
    /// What its entries look like.
    pub form: Form,
    /// What the clock says.
    pub now: Timestamp,
    /// The file that remembers the newest head, if one does.
    pub mark: Option<&'a Path>,
}

/// Reads the tree from `store` and checks it: whose it is; its head, and the clock; the tree that the
/// tiles make, the newest entries and their issuers; that there is nothing beyond the head; and at last
/// what is remembered elsewhere. (What the database can find out about itself, it did when it was
/// opened.)
///
/// # Errors
///
/// One variant of [`LogError`] for each thing that does not hold.
pub fn check(store: &dyn Store, wanted: Wanted<'_>) -> Result<Tree, LogError> {
    let Wanted { owner, form, now, mark } = wanted;
    if store.owner() != owner {
        let (theirs, ours) = (store.owner().to_string(), owner.to_string());
        return Err(LogError::Foreign { theirs, ours });
    }
    let head = store.head()?;
    if head.timestamp.since(now) > TOLERANCE {
        return Err(LogError::Clock { head: head.timestamp, now });
    }
    let edge = Edge::read(store, head.size)?;
    let frontier = edge.nodes().and_then(|nodes| Frontier::from_nodes(head.size, nodes));
    let frontier = frontier.ok_or(LogError::Root { size: head.size })?;
    if frontier.root() != head.root {
        return Err(LogError::Root { size: head.size });
    }
    newest_entries(store, form, head)?;
    newest_tile(store, head.size)?;
    let rows = store.end()?;
    // Whoever appends meanwhile has moved the head as well.
    if rows < head.size || rows > head.size && rows > store.head()?.size {
        return Err(LogError::Rows { rows, size: head.size });
    }
    mark.map_or(Ok(()), |mark| mark::check(store, (mark, form)))?;
    Ok(Tree { head, frontier, edge })
}

/// The newest entries are what their hashes say, and the certificates that they refer to are there.
fn newest_entries(store: &dyn Store, form: Form, head: Head) -> Result<(), LogError> {
    let range = head.size.saturating_sub(NEWEST)..head.size;
    let leaves = store.tile_leaves(range.clone())?;
    let hashes = store.leaf_hashes(range.clone())?;
    let mut entries = Entries::new(form, head.timestamp);
    for ((index, leaf), hash) in range.zip(&leaves).zip(hashes) {
        if let Some(found) = entries.look(store, index, (leaf, hash))? {
            return Err(found);
        }
    }
    Ok(())
}

/// The newest full tile is made of its entries' hashes, and the tile above it holds its root.
fn newest_tile(store: &dyn Store, size: u64) -> Result<(), LogError> {
    let Some(index) = hashes_at(size, 1).checked_sub(1) else { return Ok(()) };
    let first = index * WIDTH;
    let hashes = store.leaf_hashes(first..first + WIDTH)?;
    let tile = read_tile(store, (0, index), WIDTH)?;
    if tile != encode_hashes(&hashes) {
        return Err(LogError::Tile { level: 0, index });
    }
    let above = read_tile(store, (1, index / WIDTH), index % WIDTH + 1)?;
    if above.last_chunk::<32>().copied().map(Hash) != subtree(&hashes) {
        return Err(LogError::Tile { level: 1, index: index / WIDTH });
    }
    Ok(())
}
