//! SEAM

/// SHA-256 of something in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);
// + Debug (hex), Display (lowercase hex), as_ref

/// Hashes a log entry into a leaf. RFC 6962 §2.1: SHA-256(0x00 ‖ entry)
pub fn leaf_hash(_entry: &[u8]) -> Hash { todo!() }
/// Hashes two nodes: SHA-256(0x01 ‖ left ‖ right)
pub fn node_hash(_left: &Hash, _right: &Hash) -> Hash { todo!() }

/// Compact range [0, size): the roots of the perfect subtrees, left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier { /* size: u64, nodes: Vec<Hash> */ }
impl Frontier {
    pub fn size(&self) -> u64 { todo!() }
    pub fn push(&mut self, _leaf: Hash) { todo!() }
    pub fn root(&self) -> Hash { todo!() }
    /// From stored nodes; number must be size.count_ones()
    pub fn from_nodes(_size: u64, _nodes: Vec<Hash>) -> Option<Self> { todo!() }
    pub fn nodes(&self) -> &[Hash] { todo!() }
}

/// What proofs need of a tree: the hash of a perfect subtree: level (0 = leaves), index at that level.
/// `nodes` yields the hash of node (level, index); only asked for complete nodes of the tree.
pub fn inclusion_proof<E>(_index: u64, _size: u64, _node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> { todo!() }
pub fn consistency_proof<E>(_first: u64, _second: u64, _node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> { todo!() }
/// The root of the first `size` leaves from complete nodes
pub fn root<E>(_size: u64, _node: impl FnMut(u8, u64) -> Result<Hash, E>) -> Result<Hash, E> { todo!() }

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError { }
/// (index, leaf, size, root) as a struct or args <= 4
pub fn verify_inclusion(_leaf: (u64, Hash), _tree: (u64, Hash), _proof: &[Hash]) -> Result<(), ProofError> { todo!() }
pub fn verify_consistency(_first: (u64, Hash), _second: (u64, Hash), _proof: &[Hash]) -> Result<(), ProofError> { todo!() }
