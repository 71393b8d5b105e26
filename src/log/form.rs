//! What a log stores of its entries, and what it hashes: all that tells one kind of log from another.
//!
//! ```text
//!                  stored               leaf                  tiles of entries
//! Certificates     TileLeaf             MerkleTreeLeaf        tile/data/: one after the other
//! Octets           the entry            the entry             tile/entries/: u16<entry> each
//! ```
//!
//! The engine hands octets through. It asks [`Entry`] for them once a place is known, and asks the
//! [`Form`] what stored octets say of themselves, whenever it reads them back.
//!
//! Spec: C2SP static-ct-api, tlog-tiles.

use crate::ct;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::tlog::merkle::{Hash, leaf_hash};
use crate::tlog::tile::TileKind;
use crate::tlog::tls;

/// An entry before it has a place.
pub trait Entry: Send {
    /// About how many octets it takes.
    fn octets(&self) -> usize;

    /// What is hashed into the tree.
    fn leaf(&self, timestamp: Timestamp, index: u64) -> Vec<u8>;

    /// What is stored, and served in a tile of entries.
    fn stored(&self, timestamp: Timestamp, index: u64) -> Vec<u8>;
}

/// An entry of [`Form::Certificates`].
impl Entry for ct::entry::Entry {
    fn octets(&self) -> usize {
        self.tbs.len() + self.precertificate.len()
    }

    fn leaf(&self, timestamp: Timestamp, index: u64) -> Vec<u8> {
        self.merkle_tree_leaf(timestamp, index)
    }

    fn stored(&self, timestamp: Timestamp, index: u64) -> Vec<u8> {
        self.tile_leaf(timestamp, index)
    }
}

/// An entry of [`Form::Octets`].
impl Entry for Vec<u8> {
    fn octets(&self) -> usize {
        self.len()
    }

    fn leaf(&self, _: Timestamp, _: u64) -> Vec<u8> {
        self.clone()
    }

    fn stored(&self, _: Timestamp, _: u64) -> Vec<u8> {
        self.clone()
    }
}

/// What the entries of a log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Those of a certificate log.
    Certificates,
    /// Any, at most 65,535 octets each; they say neither when nor where they were logged.
    Octets,
}

/// What a stored entry says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The hash of its leaf, from the octets that were read.
    pub hash: Hash,
    /// Where and when it was logged, where the form says so.
    pub place: Option<(u64, Timestamp)>,
    /// SHA-256 of the certificates that it refers to.
    pub issuers: &'a [[u8; 32]],
}

impl Leaf<'_> {
    /// Whether it may stand at `index` in a tree whose newest timestamp is `newest`.
    pub fn fits(&self, index: u64, newest: Timestamp) -> bool {
        self.place.is_none_or(|(place, timestamp)| place == index && timestamp <= newest)
    }
}

impl Form {
    /// Reads a stored entry; none when it is not of this form.
    pub fn read(self, stored: &[u8]) -> Option<Leaf<'_>> {
        match self {
            Self::Certificates => {
                let (leaf, []) = ct::entry::TileLeaf::read(stored).ok()? else { return None };
                let place = Some((leaf.index, leaf.timestamp));
                Some(Leaf { hash: leaf.leaf_hash(), place, issuers: leaf.chain })
            }
            Self::Octets => {
                u16::try_from(stored.len()).ok()?;
                Some(Leaf { hash: leaf_hash(stored), place: None, issuers: &[] })
            }
        }
    }

    /// How many entries a log of this form has when it was just made: the signature log begins with one of its own.
    pub const fn first(self) -> u64 {
        match self {
            Self::Certificates => 0,
            Self::Octets => 1,
        }
    }

    /// Where a log of this form serves its entries.
    pub const fn tiles(self) -> TileKind {
        match self {
            Self::Certificates => TileKind::Data,
            Self::Octets => TileKind::Entries,
        }
    }

    /// The tile that holds these stored entries.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for an entry that is longer than the form allows.
    pub fn tile(self, stored: &[Vec<u8>]) -> Result<Vec<u8>, StoreError> {
        if self == Self::Certificates {
            return Ok(stored.concat());
        }
        let mut tile = Vec::with_capacity(stored.iter().map(|entry| entry.len() + 2).sum());
        for entry in stored {
            let too_long = |_| StoreError::Corrupt(format!("an entry of {} octets", entry.len()));
            u16::try_from(entry.len()).map_err(too_long)?;
            tls::put_opaque16(&mut tile, entry);
        }
        Ok(tile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[test]
    fn a_certificate_entry_says_where_and_when_and_by_whom() {
        let entry = ct::entry::Entry {
            issuer_key_hash: [7; 32],
            tbs: b"to be signed".to_vec(),
            precertificate: b"precertificate".to_vec(),
            chain: [[1; 32], [2; 32]].into(),
        };
        let stored = entry.stored(AT, 5);
        let leaf = Form::Certificates.read(&stored).unwrap();
        assert_eq!(leaf.hash, leaf_hash(&entry.leaf(AT, 5)));
        assert_eq!((leaf.place, leaf.issuers), (Some((5, AT)), &[[1; 32], [2; 32]][..]));
        let earlier = Timestamp::from_secs(1_767_225_599);
        assert!(leaf.fits(5, AT) && !leaf.fits(4, AT) && !leaf.fits(5, earlier));
        assert_eq!(Form::Certificates.read(&[&stored[..], b"x"].concat()), None);
        assert_eq!(Form::Certificates.read(b"a signature"), None);
        assert_eq!(
            Form::Certificates.tile(&[stored.clone(), stored.clone()]),
            Ok(stored.repeat(2))
        );
    }

    #[test]
    fn octets_are_their_own_leaf() {
        let stored = b"a signature".to_vec().stored(AT, 5);
        let leaf = Form::Octets.read(&stored).unwrap();
        assert_eq!(leaf.hash, leaf_hash(b"a signature"));
        assert!(leaf.fits(0, AT) && leaf.issuers.is_empty());
        let tile = Form::Octets.tile(&[stored, Vec::new(), b"b".to_vec()]);
        assert_eq!(tile.unwrap(), b"\0\x0ba signature\0\0\0\x01b");
        let long = vec![0; 65_536];
        assert_eq!(Form::Octets.read(&long), None);
        let error = StoreError::Corrupt("an entry of 65536 octets".into());
        assert_eq!(Form::Octets.tile(&[long]), Err(error));
    }
}
