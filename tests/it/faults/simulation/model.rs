//! What a log must be: a tree by definition, with another library than the engine's.

use std::collections::BTreeMap;

use mayfly::ct::judge::Sighting;
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// The hash of every perfect subtree: RFC 6962 §2.1.
#[derive(Clone, Default)]
pub struct Tree(Vec<Vec<Hash>>);

impl Tree {
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for height in 0.. {
            if self.0.len() == height {
                self.0.push(Vec::new());
            }
            self.0[height].push(hash);
            let [.., left, right] = self.0[height][..] else { return };
            if self.0[height].len() % 2 == 1 {
                return;
            }
            hash = node(&left, &right);
        }
    }

    pub fn size(&self) -> u64 {
        self.0.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root over the first `size` leaves.
    pub fn root(&self, size: u64) -> Hash {
        let heights = (0..self.0.len()).filter(|height| size >> height & 1 == 1);
        let nodes = heights.map(|height| self.0[height][(size >> height) as usize - 1]);
        nodes.reduce(|right, left| node(&left, &right)).unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// The hashes of a tile.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Vec<u8> {
        let first = index as usize * 256;
        self.0[usize::from(level) * 8][first..first + usize::from(width)].concat()
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A logged entry, cut out of its TileLeaf.
pub struct Leaf {
    pub millis: u64,
    /// Which entry it is: the first octets of its TBS.
    pub number: u64,
    pub index: u64,
    pub hash: Hash,
}

impl Leaf {
    /// timestamp[8] ‖ type[2] ‖ issuer key hash[32] ‖ u24<TBS> ‖ u16<extensions> ‖ …
    pub fn cut(tile_leaf: &[u8]) -> Self {
        let number =
            |octets: &[u8]| octets.iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
        let tbs = number(&tile_leaf[42..45]) as usize;
        let extensions = number(&tile_leaf[45 + tbs..47 + tbs]) as usize;
        let end = 47 + tbs + extensions;
        let hash = Sha256::new().chain_update([0, 0, 0]).chain_update(&tile_leaf[..end]);
        Self {
            millis: number(&tile_leaf[..8]),
            number: number(&tile_leaf[45..53]),
            // type[1] = 0 ‖ u16<index[5]>
            index: number(&tile_leaf[end - 5..end]),
            hash: hash.finalize().into(),
        }
    }
}

/// What was said to those outside.
#[derive(Default)]
pub struct Promises {
    /// Number of the entry → its index and time.
    pub scts: BTreeMap<u64, (u64, u64)>,
    /// Every head, in the order in which they were seen.
    pub heads: Vec<Sighting>,
}

impl Promises {
    /// Holds the entries that there are, old ones of which `tree` is made and those asked for since, to what was said.
    pub fn check(&self, (old, new): (&[Leaf], &[Leaf]), mut tree: Tree) -> Tree {
        new.iter().for_each(|leaf| tree.push(leaf.hash));
        let leaves: Vec<&Leaf> = old.iter().chain(new).collect();
        for (at, leaf) in leaves.iter().enumerate() {
            assert_eq!(leaf.index, at as u64, "an entry stands where it says");
        }
        assert!(leaves.is_sorted_by_key(|leaf| leaf.millis), "entries stand in the order of time");
        let mut numbers: Vec<u64> = new.iter().map(|leaf| leaf.number).collect();
        numbers.sort_unstable();
        assert!(numbers.is_sorted_by(|one, next| one < next), "an entry was logged twice");
        for (number, (index, millis)) in &self.scts {
            let leaf = leaves.get(*index as usize);
            let found = leaf.map(|leaf| (leaf.number, leaf.millis));
            assert_eq!(found, Some((*number, *millis)), "the SCT of entry {index} (P5)");
        }
        for head in &self.heads {
            assert!(head.size <= tree.size(), "entries of a signed head are gone (P5)");
            assert_eq!(tree.root(head.size), head.root.0, "the head of {} (P3, P7)", head.size);
            let millis = head.timestamp.expect("signed").as_millis();
            let newest = head.size.checked_sub(1).map_or(0, |last| leaves[last as usize].millis);
            assert!(newest <= millis, "an entry later than the head that covers it (P10)");
        }
        for pair in self.heads.windows(2) {
            assert!(pair[0].size <= pair[1].size, "the log shrank (P4)");
            assert!(pair[0].timestamp <= pair[1].timestamp, "the log went back in time (P4)");
            let same = pair[0].timestamp == pair[1].timestamp;
            assert!(!same || pair[0] == pair[1], "two heads of one time (P4)");
        }
        tree
    }
}
