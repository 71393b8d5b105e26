//! The Merkle tree of a log: hashes, compact ranges, proofs.
//!
//! ```text
//! leaf  = SHA-256(0x00 ‖ entry)
//! node  = SHA-256(0x01 ‖ left ‖ right)
//! empty = SHA-256()
//! ```
//!
//! A tree of n > 1 leaves splits at the largest power of two below n. Node (level, index) is the
//! root of the perfect subtree over leaves `index·2^level .. (index+1)·2^level`; it never changes
//! once its leaves are there, so those nodes are what tiles store and proofs are made of.
//!
//! Spec: RFC 6962 §2.1; verification as in RFC 9162 §2.1.3.2 and §2.1.4.2.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// SHA-256 of something in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of the tree without leaves: SHA-256 of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// SHA-256 of the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let digest = match parts {
            // Without a context, which costs more than the hash of a node.
            [whole] => digest::digest(&digest::SHA256, whole),
            parts => {
                let mut context = digest::Context::new(&digest::SHA256);
                parts.iter().for_each(|part| context.update(part));
                context.finish()
            }
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

/// Lowercase hex.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Exactly 64 lowercase hex digits, so that one hash has one text.
impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let (pairs, rest) = text.as_bytes().as_chunks();
        if !rest.is_empty() || pairs.len() != 32 {
            return Err(HashError);
        }
        let mut hash = [0; 32];
        for (octet, [high, low]) in hash.iter_mut().zip(pairs) {
            *octet = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(hash))
    }
}

const fn nibble(digit: u8) -> Result<u8, HashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(HashError),
    }
}

/// The text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 hash is 64 lowercase hex digits")]
pub struct HashError;

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Hashes a log entry into a leaf: SHA-256(0x00 ‖ entry).
///
/// `entry` is a TLS `MerkleTreeLeaf` in a certificate log.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash::of(&[&[0], entry])
}

/// Hashes two nodes into the one above them: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [1; 65];
    if let Some((_, hashes)) = node.split_first_mut() {
        let (first, second) = hashes.split_at_mut(32);
        first.copy_from_slice(&left.0);
        second.copy_from_slice(&right.0);
    }
    Hash::of(&[&node])
}

/// The right edge of a growing tree: the roots of its perfect subtrees, left to right.
///
/// Invariant: one node for each bit set in the size, the largest subtree first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// A frontier from its stored nodes, left to right; none when their number is not that of the
    /// bits set in `size`.
    pub fn from_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        let count = usize::try_from(size.count_ones()).ok()?;
        (nodes.len() == count).then_some(Self { size, nodes })
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, left to right.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each bit that carries in size + 1 merges two subtrees of the same size.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        fold(&self.nodes)
    }
}

/// The root over perfect subtrees, left to right, each smaller than the one before it.
fn fold(nodes: &[Hash]) -> Hash {
    let root = nodes.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    root.unwrap_or(Hash::EMPTY)
}

/// The root of the tree of `size` leaves. `node` yields the hash of a complete node by level
/// (0 = leaves) and index.
///
/// # Errors
///
/// Those of `node`.
pub fn root<E>(size: u64, mut node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    Span { start: 0, length: size }.root(&mut node)
}

/// Proves that leaf `index` is in the tree of `size` leaves: siblings, from the leaf upward.
///
/// `node` yields the hash of a complete node by level (0 = leaves) and index. `index` < `size`;
/// otherwise the proof is empty and no verifier accepts it.
///
/// Spec: RFC 6962 §2.1.1.
///
/// # Errors
///
/// Those of `node`.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if index >= size {
        return Ok(proof);
    }
    let mut span = Span { start: 0, length: size };
    while let Some((left, right)) = span.split() {
        let (down, sibling) = if index < right.start { (left, right) } else { (right, left) };
        proof.push(sibling.root(&mut node)?);
        span = down;
    }
    proof.reverse();
    Ok(proof)
}

/// Proves that the tree of `second` leaves begins with that of `first` leaves.
///
/// `node` yields the hash of a complete node by level (0 = leaves) and index. `first` ≤ `second`;
/// otherwise, as for equal sizes and for an empty first tree, the proof is empty.
///
/// Spec: RFC 6962 §2.1.2.
///
/// # Errors
///
/// Those of `node`.
pub fn consistency_proof<E>(
    first: u64,
    second: u64,
    mut node: impl FnMut(u8, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if first == 0 || first >= second {
        return Ok(proof);
    }
    let mut span = Span { start: 0, length: second };
    while let Some((left, right)) = span.split().filter(|_| span.end() != first) {
        let (down, sibling) = if first <= right.start { (left, right) } else { (right, left) };
        proof.push(sibling.root(&mut node)?);
        span = down;
    }
    // The verifier knows the subtree we end at only when it is the whole first tree.
    if span.start != 0 {
        proof.push(span.root(&mut node)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The leaves of a subtree: `start` is a multiple of the smallest power of two ≥ `length`.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    length: u64,
}

impl Span {
    const fn end(self) -> u64 {
        self.start + self.length
    }

    /// The two subtrees below; none for a leaf.
    const fn split(self) -> Option<(Self, Self)> {
        if self.length < 2 {
            return None;
        }
        let k = 1 << (self.length - 1).ilog2();
        let left = Self { start: self.start, length: k };
        Some((left, Self { start: self.start + k, length: self.length - k }))
    }

    fn root<E>(self, node: &mut impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> {
        let mut nodes = Vec::new();
        let mut start = self.start;
        for level in (0..64_u8).rev().filter(|level| self.length >> level & 1 == 1) {
            nodes.push(node(level, start >> level)?);
            start += 1 << level;
        }
        Ok(fold(&nodes))
    }
}

/// Verifies that the leaf `(index, hash)` is in the tree `(size, root)`.
///
/// # Errors
///
/// [`ProofError`], one variant for each way a proof fails.
pub fn verify_inclusion(
    (index, leaf): (u64, Hash),
    (size, root): (u64, Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::BeyondTree);
    }
    let mut path = Path { node: index, last: size - 1 };
    let mut hash = leaf;
    for sibling in proof {
        hash = match path.up()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    path.end()?;
    if hash == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Verifies that the tree `second` begins with the tree `first`; each is `(size, root)`.
///
/// # Errors
///
/// [`ProofError`], one variant for each way a proof fails.
pub fn verify_consistency(
    (first, first_root): (u64, Hash),
    (second, second_root): (u64, Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if first > second {
        return Err(ProofError::BeyondTree);
    }
    if first == 0 || first == second {
        let expected = if first == 0 { Hash::EMPTY } else { second_root };
        return match proof {
            [] if first_root == expected => Ok(()),
            [] => Err(ProofError::FirstRoot),
            _ => Err(ProofError::Length),
        };
    }
    let shared = (first - 1).trailing_ones();
    let mut path = Path { node: (first - 1) >> shared, last: (second - 1) >> shared };
    let (start, siblings) = match proof {
        // The first tree is one perfect subtree: the proof starts from its root unsaid.
        siblings if first.is_power_of_two() => (first_root, siblings),
        [start, siblings @ ..] => (*start, siblings),
        [] => return Err(ProofError::Length),
    };
    let (mut old, mut new) = (start, start);
    for sibling in siblings {
        match path.up()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    path.end()?;
    if old != first_root {
        return Err(ProofError::FirstRoot);
    }
    if new == second_root { Ok(()) } else { Err(ProofError::Root) }
}

/// The way from a node to the root: its index, and that of the last node, at the same level.
struct Path {
    node: u64,
    last: u64,
}

/// Where the sibling stands.
enum Side {
    Left,
    Right,
}

impl Path {
    /// Climbs past one sibling, skipping levels where the node has none.
    const fn up(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::Length);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // A last node without a sibling stands, unchanged, for its parent.
            let skipped = self.node.trailing_zeros();
            self.node >>= skipped;
            self.last >>= skipped;
            Side::Left
        } else {
            Side::Right
        };
        self.node >>= 1;
        self.last >>= 1;
        Ok(side)
    }

    const fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::Length) }
    }
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf, or the first tree, does not fit into the tree.
    #[error("the tree is too small to hold what the proof is about")]
    BeyondTree,
    /// Hashes are missing or left over.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes do not lead to the root of the first tree.
    #[error("the proof does not lead to the root of the earlier tree")]
    FirstRoot,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root of the tree")]
    Root,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// The eight entries, and the roots of their first 0 to 8, of the tests of Google's Certificate
    /// Transparency log.
    const ENTRIES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// Whole trees by definition, to read nodes from.
    fn subtree(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::EMPTY,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&subtree(left), &subtree(right))
            }
        }
    }

    fn nodes(leaves: &[Hash]) -> impl FnMut(u8, u64) -> Result<Hash, Infallible> {
        |level, index| {
            let start = usize::try_from(index << level).unwrap();
            Ok(subtree(&leaves[start..start + (1 << level)]))
        }
    }

    fn leaves(size: u64) -> Vec<Hash> {
        (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn frontier(leaves: &[Hash]) -> Frontier {
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        frontier
    }

    fn inclusion(leaves: &[Hash], index: u64) -> Vec<Hash> {
        let Ok(proof) = inclusion_proof(index, leaves.len() as u64, nodes(leaves));
        proof
    }

    fn consistency(leaves: &[Hash], first: u64) -> Vec<Hash> {
        let Ok(proof) = consistency_proof(first, leaves.len() as u64, nodes(leaves));
        proof
    }

    #[test]
    fn a_hash_has_one_text() {
        assert_eq!(ROOTS[0].parse(), Ok(Hash::EMPTY));
        for text in
            [&ROOTS[0][1..], &ROOTS[0][2..], &ROOTS[0].to_uppercase(), &"é".repeat(32), "+1"]
        {
            assert_eq!(text.parse::<Hash>(), Err(HashError), "{text}");
        }
    }

    #[test]
    fn roots_are_those_everybody_knows() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root().to_string(), ROOTS[0]);
        for (entry, root) in ENTRIES.iter().zip(&ROOTS[1..]) {
            frontier.push(leaf_hash(entry));
            assert_eq!(frontier.root().to_string(), *root);
        }
    }

    #[test]
    fn the_frontier_the_nodes_and_the_definition_agree() {
        for size in 0..200 {
            let leaves = leaves(size);
            let frontier = frontier(&leaves);
            assert_eq!(frontier.root(), subtree(&leaves), "{size}");
            assert_eq!(root(size, nodes(&leaves)), Ok(subtree(&leaves)), "{size}");
            let again = Frontier::from_nodes(size, frontier.nodes().to_vec());
            assert_eq!(again, Some(frontier), "{size}");
        }
    }

    #[test]
    fn a_frontier_has_one_node_for_each_bit_of_its_size() {
        assert_eq!(Frontier::from_nodes(3, vec![Hash::EMPTY]), None);
        assert_eq!(Frontier::from_nodes(0, vec![Hash::EMPTY]), None);
        assert_eq!(Frontier::from_nodes(u64::MAX, vec![]), None);
    }

    #[test]
    fn every_proof_of_a_small_tree_verifies() {
        for size in 0..70 {
            let leaves = leaves(size);
            let tree = (size, subtree(&leaves));
            for index in 0..size {
                let leaf = (index, leaves[index as usize]);
                assert_eq!(verify_inclusion(leaf, tree, &inclusion(&leaves, index)), Ok(()));
            }
            for first in 0..=size {
                let old = (first, subtree(&leaves[..first as usize]));
                assert_eq!(verify_consistency(old, tree, &consistency(&leaves, first)), Ok(()));
            }
        }
    }

    #[test]
    fn an_inclusion_proof_bites() {
        let leaves = leaves(7);
        let tree = (7, subtree(&leaves));
        let proof = inclusion(&leaves, 2);
        let check = |leaf, tree, proof: &[Hash]| verify_inclusion(leaf, tree, proof);
        assert_eq!(check((7, leaves[2]), tree, &proof), Err(ProofError::BeyondTree));
        assert_eq!(check((2, leaves[3]), tree, &proof), Err(ProofError::Root));
        assert_eq!(check((3, leaves[2]), tree, &proof), Err(ProofError::Root));
        assert_eq!(check((2, leaves[2]), (7, leaves[0]), &proof), Err(ProofError::Root));
        assert_eq!(check((2, leaves[2]), tree, &proof[1..]), Err(ProofError::Length));
        assert_eq!(
            check((2, leaves[2]), tree, &[&proof[..], &proof[..1]].concat()),
            Err(ProofError::Length)
        );
        assert_eq!(check((0, leaves[0]), (1, leaves[0]), &[]), Ok(()));
        assert_eq!(check((0, leaves[0]), (0, Hash::EMPTY), &[]), Err(ProofError::BeyondTree));
        assert_eq!(inclusion(&leaves, 7), []);
    }

    #[test]
    fn a_consistency_proof_bites() {
        let leaves = leaves(7);
        let (old, new) = ((3, subtree(&leaves[..3])), (7, subtree(&leaves)));
        let proof = consistency(&leaves, 3);
        let check = verify_consistency;
        assert_eq!(check(new, old, &proof), Err(ProofError::BeyondTree));
        assert_eq!(check((3, leaves[0]), new, &proof), Err(ProofError::FirstRoot));
        assert_eq!(check(old, (7, leaves[0]), &proof), Err(ProofError::Root));
        assert_eq!(check(old, new, &[]), Err(ProofError::Length));
        assert_eq!(check(old, new, &proof[..3]), Err(ProofError::Length));
        assert_eq!(check(old, new, &[&proof[..], &proof[..1]].concat()), Err(ProofError::Length));
        assert_eq!(check(new, (7, leaves[0]), &[]), Err(ProofError::FirstRoot));
        assert_eq!(check(new, new, &proof), Err(ProofError::Length));
        assert_eq!(check((0, leaves[0]), new, &[]), Err(ProofError::FirstRoot));
        assert_eq!(check((0, Hash::EMPTY), new, &proof), Err(ProofError::Length));
        assert_eq!(check((0, Hash::EMPTY), new, &[]), Ok(()));
        assert_eq!(consistency(&leaves, 8), []);
    }

    /// The same proofs from a second implementation.
    mod oracle {
        use super::*;

        fn theirs(size: u64) -> MemoryBackedTree<sha2::Sha256, [u8; 8]> {
            let mut tree = MemoryBackedTree::new();
            (0..size).for_each(|i| tree.push(i.to_be_bytes()));
            tree
        }

        fn concat(proof: &[Hash]) -> Vec<u8> {
            proof.iter().flat_map(|hash| hash.0).collect()
        }

        fn their_root(size: u64, root: Hash) -> RootHash<sha2::Sha256> {
            RootHash::new(root.0.into(), size)
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(100))]

            #[test]
            fn agrees_on_inclusion((size, index) in (1..700_u64).prop_flat_map(|n| (Just(n), 0..n))) {
                let ours = leaves(size);
                let theirs = theirs(size);
                let proof = inclusion(&ours, index);
                prop_assert_eq!(theirs.root(), their_root(size, subtree(&ours)));
                let expected = theirs.prove_inclusion(index as usize);
                prop_assert_eq!(expected.as_bytes(), concat(&proof));
                let read = InclusionProof::<sha2::Sha256>::try_from_bytes(concat(&proof)).unwrap();
                let root = their_root(size, subtree(&ours));
                root.verify_inclusion(&index.to_be_bytes(), index, &read).unwrap();
            }

            #[test]
            fn agrees_on_consistency((second, first) in (1..700_u64).prop_flat_map(|n| (Just(n), 1..=n))) {
                let ours = leaves(second);
                let proof = consistency(&ours, first);
                let expected = theirs(second).prove_consistency((second - first) as usize);
                prop_assert_eq!(expected.as_bytes(), concat(&proof));
                let read = ConsistencyProof::<sha2::Sha256>::try_from_bytes(concat(&proof)).unwrap();
                let old = their_root(first, subtree(&ours[..first as usize]));
                their_root(second, subtree(&ours)).verify_consistency(&old, &read).unwrap();
            }

            #[test]
            fn no_wrong_proof_verifies(
                (size, index) in (1..300_u64).prop_flat_map(|n| (Just(n), 0..n)),
                (position, bit) in (any::<prop::sample::Index>(), 0..256_usize),
            ) {
                let ours = leaves(size);
                let mut proof = inclusion(&ours, index);
                if !proof.is_empty() {
                    let hash = position.get(&proof).0;
                    let slot = proof.iter().position(|h| h.0 == hash).unwrap();
                    proof[slot].0[bit / 8] ^= 1 << (bit % 8);
                    let verdict = verify_inclusion((index, ours[index as usize]), (size, subtree(&ours)), &proof);
                    prop_assert_eq!(verdict, Err(ProofError::Root));
                }
            }
        }
    }
}
