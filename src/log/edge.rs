//! The right edge of the tree: at each level the tile that is not full yet.
//!
//! ```text
//! size 70,000   level 0: 70,000 mod 256 = 112 leaf hashes
//!               level 1:    273 mod 256 =  17 roots of 256 leaves
//!               level 2:      1 mod 256 =   1 root of 65,536 leaves
//! ```
//!
//! It yields the tiles to be stored, and a second computation of the root beside
//! [`crate::tlog::merkle::Frontier`]: one folds perfect subtrees as they come, the other whole tiles.
//!
//! Spec: C2SP tlog-tiles.

use std::collections::BTreeMap;

use crate::store::{Store, StoreError, Tile};
use crate::tlog::merkle::{self, Hash};
use crate::tlog::tile::{FULL_WIDTH, decode_hashes, encode_hashes};

/// How many hashes fill a tile.
pub const WIDTH: u64 = FULL_WIDTH as u64;
/// The levels of a tree of 64-bit size.
const LEVELS: u8 = 8;

/// How many hashes the tree of `size` entries has at `level`: the roots of its whole subtrees of 256^level leaves.
pub fn hashes_at(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

/// The tiles that are not full, and the size of the tree that they belong to.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    size: u64,
    // levels[l] holds the last `hashes_at(size, l) % 256` hashes of level l.
    levels: Vec<Vec<Hash>>,
}

/// Tiles that a batch completed or grew, the newest state of each.
#[derive(Debug, Default)]
pub struct Grown(BTreeMap<(u8, u64), Vec<u8>>);

impl Grown {
    /// The tiles, lowest level first.
    pub fn into_tiles(self) -> Vec<Tile> {
        let tile = |((level, index), hashes)| Tile { level, index, hashes };
        self.0.into_iter().map(tile).collect()
    }
}

impl Edge {
    /// Reads the edge of the tree of `size` entries.
    ///
    /// # Errors
    ///
    /// Those of the store; [`StoreError::Corrupt`] when a tile is missing or not as wide as `size` says.
    pub fn read(store: &dyn Store, size: u64) -> Result<Self, StoreError> {
        let mut levels = vec![store.leaf_hashes(size - size % WIDTH..size)?];
        for level in (1..LEVELS).take_while(|level| hashes_at(size, *level) > 0) {
            let hashes = hashes_at(size, level);
            let tile = match hashes % WIDTH {
                0 => Vec::new(),
                width => whole(store.tile(level, hashes / WIDTH)?, width)
                    .ok_or_else(|| wrong_width(level, hashes / WIDTH))?,
            };
            levels.push(tile);
        }
        Ok(Self { size, levels })
    }

    /// Reads the edge that a tree of `size` entries had, or has, out of one that may have grown since.
    ///
    /// # Errors
    ///
    /// As [`Edge::read`].
    pub fn within(store: &dyn Store, size: u64) -> Result<Self, StoreError> {
        let levels = (0..LEVELS).take_while(|level| *level == 0 || hashes_at(size, *level) > 0);
        let tile = |level| {
            let (index, width) = (hashes_at(size, level) / WIDTH, hashes_at(size, level) % WIDTH);
            let tile =
                if width > 0 { read_tile(store, (level, index), width)? } else { Vec::new() };
            decode_hashes(&tile).ok_or_else(|| wrong_width(level, index))
        };
        Ok(Self { size, levels: levels.map(tile).collect::<Result<_, _>>()? })
    }

    /// The size of the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, and to `grown` the tiles that it completes and those above that grow.
    pub fn push(&mut self, leaf: Hash, grown: &mut Grown) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..LEVELS {
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(place) else { return };
            tile.push(hash);
            let full = tile.len() as u64 == WIDTH;
            if full || level > 0 {
                let index = (hashes_at(self.size, level) - 1) / WIDTH;
                grown.0.insert((level, index), encode_hashes(tile));
            }
            if !full {
                return;
            }
            hash = match subtree(tile) {
                Some(root) => root,
                None => return,
            };
            tile.clear();
        }
    }

    /// Whether tiles of a batch, as they are about to be stored, are those of this edge: each that grew is
    /// a part of it, and each full one has its root in the tile above.
    pub fn holds(&self, tiles: &[Tile]) -> bool {
        let hash = |level, place: u64| {
            let tile = |tile: &&Tile| (tile.level, tile.index) == (level, place / WIDTH);
            let hashes = decode_hashes(&tiles.iter().find(tile)?.hashes)?;
            hashes.get(usize::try_from(place % WIDTH).ok()?).copied()
        };
        tiles.iter().all(|tile| {
            let hashes = decode_hashes(&tile.hashes).unwrap_or_default();
            if hashes.len() as u64 == WIDTH {
                return hash(tile.level + 1, tile.index) == subtree(&hashes);
            }
            let edge = self.levels.get(usize::from(tile.level));
            hashes_at(self.size, tile.level) / WIDTH == tile.index && edge == Some(&hashes)
        })
    }

    /// The root of the tree; `None` only if the edge is not that of its size.
    pub fn root(&self) -> Option<Hash> {
        merkle::root(self.size, |height, index| self.node(height, index).ok_or(())).ok()
    }

    /// The roots of the perfect subtrees that the tree is made of, left to right.
    pub fn nodes(&self) -> Option<Vec<Hash>> {
        let heights = (0..64u8).rev().filter(|height| self.size >> height & 1 == 1);
        heights.map(|height| self.node(height, (self.size >> height) - 1)).collect()
    }

    /// The hash of the node `height` levels above the leaves, where the edge has it.
    fn node(&self, height: u8, index: u64) -> Option<Hash> {
        let level = height / 8;
        let tile = self.levels.get(usize::from(level))?;
        let leaves = 1usize << (height % 8);
        let first = index.checked_mul(leaves as u64)?;
        let begin =
            usize::try_from(first.checked_sub(hashes_at(self.size, level) / WIDTH * WIDTH)?);
        let begin = begin.ok()?;
        subtree(tile.get(begin..begin.checked_add(leaves)?)?)
    }
}

/// The hashes of a stored tile if there are exactly `width`.
fn whole(octets: Option<Vec<u8>>, width: u64) -> Option<Vec<Hash>> {
    decode_hashes(&octets?).filter(|hashes| hashes.len() as u64 == width)
}

fn wrong_width(level: u8, index: u64) -> StoreError {
    StoreError::Corrupt(format!("tile {index} of level {level} is missing or has a wrong size"))
}

/// The root of a perfect subtree from its lowest nodes, a power of two of them.
pub fn subtree(nodes: &[Hash]) -> Option<Hash> {
    match nodes {
        [] => None,
        [one] => Some(*one),
        _ => {
            let (left, right) = nodes.split_at(nodes.len() / 2);
            Some(merkle::node_hash(&subtree(left)?, &subtree(right)?))
        }
    }
}

/// The first `width` hashes of a tile, from wherever the store has them.
///
/// # Errors
///
/// Those of the store; [`StoreError::Corrupt`] when they are not there.
pub fn read_tile(store: &dyn Store, place: (u8, u64), width: u64) -> Result<Vec<u8>, StoreError> {
    let (level, index) = place;
    if level == 0 && width < WIDTH {
        let first = index.saturating_mul(WIDTH);
        let hashes = store.leaf_hashes(first..first.saturating_add(width))?;
        return Ok(encode_hashes(&hashes));
    }
    let mut tile = store.tile(level, index)?.unwrap_or_default();
    let octets = usize::try_from(width * 32).unwrap_or(usize::MAX);
    if tile.len() < octets {
        return Err(wrong_width(level, index));
    }
    tile.truncate(octets);
    Ok(tile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::Frontier;

    fn leaf(number: u64) -> Hash {
        merkle::leaf_hash(&number.to_be_bytes())
    }

    /// All tiles of a tree, level by level, from the definition.
    fn tiles(size: u64) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let mut nodes: Vec<Hash> = (0..size).map(leaf).collect();
        for level in 0.. {
            for (index, hashes) in nodes.chunks(256).enumerate() {
                if level > 0 || hashes.len() == 256 {
                    let hashes = encode_hashes(hashes);
                    tiles.push(Tile { level, index: index as u64, hashes });
                }
            }
            nodes = nodes.chunks_exact(256).filter_map(subtree).collect();
            if nodes.is_empty() {
                return tiles;
            }
        }
        tiles
    }

    #[test]
    fn tiles_and_root_are_those_of_the_tree() {
        let (mut edge, mut frontier) = (Edge::default(), Frontier::default());
        let mut grown = Grown::default();
        let checked = [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000];
        for number in 0..70_000 {
            edge.push(leaf(number), &mut grown);
            frontier.push(leaf(number));
            if checked.contains(&frontier.size()) {
                assert_eq!(edge.root(), Some(frontier.root()), "at {}", frontier.size());
                assert_eq!(edge.nodes().as_deref(), Some(frontier.nodes()));
            }
        }
        assert_eq!(grown.into_tiles(), tiles(70_000));
    }

    /// P8.
    #[test]
    fn a_bit_flipped_in_a_tile_is_seen() {
        let (mut edge, mut grown) = (Edge::default(), Grown::default());
        (0..700).for_each(|number| edge.push(leaf(number), &mut grown));
        let tiles = grown.into_tiles();
        assert!(edge.holds(&tiles) && tiles.len() == 3);
        for tile in 0..tiles.len() {
            for place in [0, 31, 32, tiles[tile].hashes.len() - 1] {
                let mut flipped = tiles.clone();
                flipped[tile].hashes[place] ^= 1;
                assert!(!edge.holds(&flipped), "tile {tile}, octet {place}");
            }
            let mut without = tiles.clone();
            without.remove(tile);
            assert_eq!(edge.holds(&without), tile < 2, "a full tile without the one above");
            let mut moved = tiles.clone();
            moved[tile].index += 1;
            assert!(!edge.holds(&moved));
        }
    }

    #[test]
    fn an_empty_tree_has_the_root_of_nothing() {
        assert_eq!(Edge::default().root(), Some(Hash::EMPTY));
        assert_eq!(Edge::default().nodes(), Some(Vec::new()));
    }

    #[test]
    fn a_subtree_is_hashed_as_the_tree_is() {
        let mut frontier = Frontier::default();
        let leaves: Vec<Hash> = (0..8).map(leaf).collect();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        assert_eq!(subtree(&leaves), Some(frontier.root()));
        assert_eq!(subtree(&[]), None);
    }
}
