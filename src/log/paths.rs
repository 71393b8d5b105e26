//! The inclusion path of every new entry, checked before the commit.
//!
//! From the frontier before the batch and the leaf hashes that are about to be stored, without the
//! store: at each level the nodes of the new tree from the frontier's rightmost one on.
//!
//! ```text
//! 3 entries, 3 new ones           levels
//!          ┌────┴────┐            [root]
//!      ┌───┴───┐     │            [F1, n45]          F1: the frontier's pair
//!     F1      ┌┴┐   ┌┴┐           [F1, n23, n45]
//!             F0 3  4 5           [F0, 3, 4, 5]      F0: the frontier's single leaf
//! ```
//!
//! A third routine beside [`Frontier`] and [`super::edge::Edge`], which both may have gone wrong alike
//! in what they were given: here each leaf is hashed anew from the octets that are about to be stored,
//! and has to lead to the very root that is about to be signed.

use crate::tlog::merkle::{Frontier, Hash, node_hash, verify_inclusion};

/// The nodes of a grown tree that the paths of its new leaves run over.
pub struct Paths {
    size: u64,
    // For each height the index of the first node, and the nodes. A last node without a sibling stands,
    // unchanged, for its parent.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Paths {
    /// Those of the tree `before`, grown by `leaves`.
    pub fn new(before: &Frontier, leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut frontier = before.nodes().iter().rev().copied();
        let mut levels = Vec::new();
        let mut grown: Vec<Hash> = leaves.into_iter().collect();
        let size = before.size() + grown.len() as u64;
        for height in 0..64_u32 {
            let mut first = before.size() >> height;
            let mut level = Vec::with_capacity(grown.len() + 1);
            // The frontier has a node here, and the path of the node behind it needs that as its sibling.
            if first & 1 == 1 {
                level.extend(frontier.next());
                first -= 1;
            }
            level.append(&mut grown);
            let top = first == 0 && level.len() <= 1;
            if !top {
                grown.extend(level.chunks(2).map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    lone => lone.first().copied().unwrap_or(Hash::EMPTY),
                }));
            }
            levels.push((first, level));
            if top {
                break;
            }
        }
        Self { size, levels }
    }

    /// The siblings of a new leaf, from below upward.
    fn of(&self, index: u64) -> Vec<Hash> {
        let mut proof = Vec::with_capacity(self.levels.len());
        for (height, (first, nodes)) in self.levels.iter().enumerate() {
            let sibling = (index >> height) ^ 1;
            let place = sibling.checked_sub(*first).and_then(|place| usize::try_from(place).ok());
            proof.extend(place.and_then(|place| nodes.get(place)));
        }
        proof
    }

    /// Whether the leaf at `index` is in the tree with this root.
    pub fn hold(&self, (index, leaf): (u64, Hash), root: Hash) -> bool {
        verify_inclusion((index, leaf), (self.size, root), &self.of(index)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::leaf_hash;

    fn leaf(number: u64) -> Hash {
        leaf_hash(&number.to_be_bytes())
    }

    fn frontier(size: u64) -> Frontier {
        let mut frontier = Frontier::default();
        (0..size).for_each(|number| frontier.push(leaf(number)));
        frontier
    }

    #[test]
    fn every_new_leaf_of_every_small_batch_has_its_path() {
        for before in 0..40 {
            let start = frontier(before);
            for new in 1..40 {
                let root = frontier(before + new).root();
                let paths = Paths::new(&start, (before..before + new).map(leaf));
                for index in before..before + new {
                    assert!(paths.hold((index, leaf(index)), root), "{before} + {new}: {index}");
                    assert!(!paths.hold((index, leaf(index + 1)), root));
                    assert!(!paths.hold((index ^ 1, leaf(index)), root));
                }
            }
        }
    }

    #[test]
    fn a_large_tree_has_paths_too() {
        let mut before = frontier(65_535);
        for new in [1, 2, 512] {
            let size = before.size();
            let paths = Paths::new(&before, (size..size + new).map(leaf));
            (size..size + new).for_each(|number| before.push(leaf(number)));
            assert!(
                (size..size + new).all(|index| paths.hold((index, leaf(index)), before.root()))
            );
        }
    }

    #[test]
    fn a_bit_flipped_in_any_node_is_seen() {
        // A size at which every node has a sibling: what no path runs over decides nothing.
        let root = frontier(16).root();
        let mut seen = 0;
        for bit in 0..256 {
            let leaves = (5..16).map(leaf);
            let mut paths = Paths::new(&frontier(5), leaves);
            for level in 0..paths.levels.len() - 1 {
                for place in 0..paths.levels[level].1.len() {
                    // Whose sibling has only old leaves is on the path of none that is new.
                    let sibling = (paths.levels[level].0 + place as u64) ^ 1;
                    if (sibling + 1) << level <= 5 {
                        continue;
                    }
                    paths.levels[level].1[place].0[bit / 8] ^= 1 << (bit % 8);
                    let hold = (5..16).all(|index| paths.hold((index, leaf(index)), root));
                    assert!(!hold, "level {level}, node {place}, bit {bit}");
                    paths.levels[level].1[place].0[bit / 8] ^= 1 << (bit % 8);
                    seen += 1;
                }
            }
        }
        assert!(seen > 256 * 20);
    }
}
