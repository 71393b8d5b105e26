//! Log entries: what is hashed into the tree, and what a data tile holds of it.
//!
//! ```text
//! MerkleTreeLeaf     00 00 ‖ TimestampedEntry
//! TimestampedEntry   timestamp u64 ‖ type u16 ‖ signed entry ‖ u16<extensions>
//!   type 0           u24<certificate DER>
//!   type 1           issuer_key_hash[32] ‖ u24<TBSCertificate DER>
//! TileLeaf           TimestampedEntry ‖ u24<precertificate DER> (type 1 only)
//!                    ‖ u16<SHA-256 fingerprints of the issuers>
//! ```
//!
//! What an SCT signs is version u8 = 0 ‖ signature type u8 = 0 ‖ `TimestampedEntry`: byte for byte a
//! `MerkleTreeLeaf`, whose two zeros mean something else.
//!
//! Spec: RFC 6962 §3.2, §3.4; C2SP static-ct-api.

use std::sync::Arc;

use super::sct::{self, ExtensionError};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
use crate::tlog::tls::{self, Reader, TlsError};

const X509_ENTRY: u16 = 0;
const PRECERT_ENTRY: u16 = 1;

/// A precertificate entry before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// SHA-256 of the SPKI of the certificate that issues.
    pub issuer_key_hash: [u8; 32],
    /// DER `TBSCertificate` with neither poison nor SCT list; shorter than 2^24 octets.
    pub tbs: Vec<u8>,
    /// DER of the signed precertificate; shorter than 2^24 octets.
    pub precertificate: Vec<u8>,
    /// SHA-256 of each issuer certificate, the issuing one first, the root last; fewer than 2048.
    pub chain: Arc<[[u8; 32]]>,
}

impl Entry {
    /// The TLS `MerkleTreeLeaf`; byte for byte also what the SCT signs.
    pub fn merkle_tree_leaf(&self, timestamp: Timestamp, index: u64) -> Vec<u8> {
        self.promised_leaf(timestamp, &sct::leaf_index_extension(index))
    }

    /// The same with the `CtExtensions` of any log: what its SCT signs.
    pub fn promised_leaf(&self, timestamp: Timestamp, extensions: &[u8]) -> Vec<u8> {
        let mut leaf = Vec::with_capacity(self.tbs.len() + 64);
        leaf.extend_from_slice(&[0, 0]);
        self.put_timestamped(&mut leaf, timestamp, extensions);
        leaf
    }

    /// The `TileLeaf` of static-ct-api: what a data tile holds of this entry.
    pub fn tile_leaf(&self, timestamp: Timestamp, index: u64) -> Vec<u8> {
        let chain = self.chain.as_flattened();
        let length = self.tbs.len() + self.precertificate.len() + chain.len() + 64;
        let mut leaf = Vec::with_capacity(length);
        self.put_timestamped(&mut leaf, timestamp, &sct::leaf_index_extension(index));
        tls::put_opaque24(&mut leaf, &self.precertificate);
        tls::put_opaque16(&mut leaf, chain);
        leaf
    }

    fn put_timestamped(&self, out: &mut Vec<u8>, timestamp: Timestamp, extensions: &[u8]) {
        out.extend_from_slice(&timestamp.as_millis().to_be_bytes());
        out.extend_from_slice(&PRECERT_ENTRY.to_be_bytes());
        out.extend_from_slice(&self.issuer_key_hash);
        tls::put_opaque24(out, &self.tbs);
        tls::put_opaque16(out, extensions);
    }
}

/// A `TileLeaf` read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEntry {
    /// When it was logged.
    pub timestamp: Timestamp,
    /// Where it says that it stands.
    pub index: u64,
    /// The leaf of the Merkle tree, hashed from the bytes that were read.
    pub leaf_hash: Hash,
    /// What was logged.
    pub logged: Logged,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// A precertificate; the only kind that our own log takes.
    Precertificate(Entry),
    /// A certificate, as other logs take them too.
    Certificate {
        /// DER.
        certificate: Vec<u8>,
        /// SHA-256 of each issuer certificate, the issuing one first.
        chain: Arc<[[u8; 32]]>,
    },
}

impl Logged {
    /// SHA-256 of each issuer certificate, the issuing one first.
    pub fn chain(&self) -> &[[u8; 32]] {
        match self {
            Self::Precertificate(entry) => &entry.chain,
            Self::Certificate { chain, .. } => chain,
        }
    }
}

/// A `TileLeaf` where it lies, nothing copied or hashed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileLeaf<'a> {
    /// When it was logged.
    pub timestamp: Timestamp,
    /// Where it says that it stands.
    pub index: u64,
    /// What was logged.
    pub signed: Signed<'a>,
    /// SHA-256 of each issuer certificate, the issuing one first.
    pub chain: &'a [[u8; 32]],
    timestamped: &'a [u8],
}

/// What a `TileLeaf` is about, still in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed<'a> {
    /// A certificate.
    Certificate(&'a [u8]),
    /// A precertificate.
    Precertificate {
        /// SHA-256 of the SPKI of the certificate that issues.
        issuer_key_hash: &'a [u8; 32],
        /// DER `TBSCertificate`.
        tbs: &'a [u8],
        /// DER.
        precertificate: &'a [u8],
    },
}

impl<'a> TileLeaf<'a> {
    /// Reads one `TileLeaf` off the front of a data tile; yields it and the rest.
    ///
    /// Extensions of unknown types are hashed with the rest and otherwise ignored.
    ///
    /// # Errors
    ///
    /// [`EntryError`], one variant for each rule.
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), EntryError> {
        let mut reader = Reader::new(bytes);
        let timestamp = Timestamp::from_millis(reader.u64()?);
        let hashed = match reader.u16()? {
            X509_ENTRY => (None, reader.opaque24()?),
            PRECERT_ENTRY => (Some(hash(&mut reader)?), reader.opaque24()?),
            kind => return Err(EntryError::Kind(kind)),
        };
        let index = sct::leaf_index(reader.opaque16()?)?;
        let length = bytes.len() - reader.rest().len();
        let timestamped = bytes.get(..length).ok_or(TlsError::Truncated)?;
        let signed = match hashed {
            (None, certificate) => Signed::Certificate(certificate),
            (Some(issuer_key_hash), tbs) => {
                let precertificate = reader.opaque24()?;
                Signed::Precertificate { issuer_key_hash, tbs, precertificate }
            }
        };
        let (chain, []) = reader.opaque16()?.as_chunks() else { return Err(EntryError::Chain) };
        Ok((Self { timestamp, index, signed, chain, timestamped }, reader.rest()))
    }

    /// The leaf of the Merkle tree, hashed from the bytes that were read.
    pub fn leaf_hash(&self) -> Hash {
        // The 00 of every leaf hash, then the 00 00 of every `MerkleTreeLeaf`.
        Hash::of(&[&[0, 0, 0], self.timestamped])
    }

    /// The TLS `MerkleTreeLeaf`, in the bytes that were read.
    pub fn merkle_tree_leaf(&self) -> Vec<u8> {
        [&[0, 0], self.timestamped].concat()
    }

    /// RFC 6962's `extra_data`: what get-entries gives beside the leaf, TLS.
    ///
    /// `issuers` are the certificates of [`Self::chain`], DER.
    ///
    /// Spec: RFC 6962 §4.6.
    pub fn extra_data(&self, issuers: &[Vec<u8>]) -> Vec<u8> {
        let mut chain = Vec::new();
        issuers.iter().for_each(|der| tls::put_opaque24(&mut chain, der));
        let mut extra = Vec::new();
        if let Signed::Precertificate { precertificate, .. } = self.signed {
            tls::put_opaque24(&mut extra, precertificate);
        }
        tls::put_opaque24(&mut extra, &chain);
        extra
    }

    /// The certificate or precertificate, DER.
    pub fn der(&self) -> &'a [u8] {
        match self.signed {
            Signed::Certificate(der) | Signed::Precertificate { precertificate: der, .. } => der,
        }
    }
}

/// Reads one `TileLeaf` off the front of a data tile; yields it, copied, and the rest.
///
/// # Errors
///
/// As [`TileLeaf::read`].
pub fn read_tile_leaf(bytes: &[u8]) -> Result<(LoggedEntry, &[u8]), EntryError> {
    let (leaf, rest) = TileLeaf::read(bytes)?;
    let chain = leaf.chain.into();
    let logged = match leaf.signed {
        Signed::Certificate(certificate) => {
            Logged::Certificate { certificate: certificate.to_vec(), chain }
        }
        Signed::Precertificate { issuer_key_hash, tbs, precertificate } => {
            Logged::Precertificate(Entry {
                issuer_key_hash: *issuer_key_hash,
                tbs: tbs.to_vec(),
                precertificate: precertificate.to_vec(),
                chain,
            })
        }
    };
    let TileLeaf { timestamp, index, .. } = leaf;
    Ok((LoggedEntry { timestamp, index, leaf_hash: leaf.leaf_hash(), logged }, rest))
}

/// The next 32 octets.
fn hash<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8; 32], EntryError> {
    reader.take(32)?.first_chunk().ok_or(EntryError::Tls(TlsError::Truncated))
}

/// Why bytes are no `TileLeaf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The structure does not fit its bytes.
    #[error("the entry is malformed: {0}")]
    Tls(#[from] TlsError),
    /// Neither certificate nor precertificate.
    #[error("the entry is of type {0}; a certificate log has types 0 and 1 only")]
    Kind(u16),
    /// The extensions do not say where the entry is.
    #[error("the entry has no usable extensions: {0}")]
    Extension(#[from] ExtensionError),
    /// The fingerprints are not whole.
    #[error("the issuers of the entry are not a whole number of SHA-256 fingerprints")]
    Chain,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle;
    use proptest::prelude::*;

    const AT: Timestamp = Timestamp::from_millis(0x0102_0304);

    fn entry() -> Entry {
        Entry {
            issuer_key_hash: [0xaa; 32],
            tbs: b"tbs".to_vec(),
            precertificate: b"precertificate".to_vec(),
            chain: [[0xbb; 32], [0xcc; 32]].into(),
        }
    }

    const TIMESTAMPED: &[u8] = b"\x00\x00\x00\x00\x01\x02\x03\x04\x00\x01\
        \xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\
        \xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\
        \x00\x00\x03tbs\x00\x08\x00\x00\x05\x00\x00\x00\x00\x07";

    #[test]
    fn a_leaf_has_the_bytes_of_the_specification() {
        assert_eq!(entry().merkle_tree_leaf(AT, 7), [b"\0\0", TIMESTAMPED].concat());
    }

    #[test]
    fn a_tile_leaf_appends_what_the_tree_does_not_hash() {
        let rest = [b"\x00\x00\x0eprecertificate\x00\x40", &[0xbb; 32][..], &[0xcc; 32]].concat();
        assert_eq!(entry().tile_leaf(AT, 7), [TIMESTAMPED, &rest].concat());
    }

    #[test]
    fn a_certificate_entry_is_read_too() {
        let tls = [
            &b"\x00\x00\x00\x00\x01\x02\x03\x04\x00\x00\x00\x00\x02hi"[..],
            b"\x00\x0b\x09\x00\x00\x00\x00\x05\x00\x00\x00\x00\x07\x00\x20",
            &[0xdd; 32],
        ]
        .concat();
        let (entry, rest) = read_tile_leaf(&tls).unwrap();
        assert_eq!((entry.index, entry.timestamp, rest.len()), (7, AT, 0));
        assert_eq!(entry.logged.chain(), [[0xdd; 32]]);
        let hashed = [b"\0\0", &tls[..tls.len() - 34]].concat();
        assert_eq!(entry.leaf_hash, merkle::leaf_hash(&hashed));
    }

    #[test]
    fn a_tile_leaf_bites() {
        let good = entry().tile_leaf(AT, 7);
        let bite = |position: usize, octet: u8| {
            let mut tls = good.clone();
            tls[position] = octet;
            read_tile_leaf(&tls).unwrap_err()
        };
        assert_eq!(bite(9, 2), EntryError::Kind(2));
        assert_eq!(bite(49, 1), EntryError::Extension(ExtensionError::Malformed));
        assert_eq!(bite(50, 1), EntryError::Extension(ExtensionError::Missing));
        assert_eq!(bite(good.len() - 65, 63), EntryError::Chain);
        assert_eq!(bite(good.len() - 65, 96), EntryError::Tls(TlsError::Truncated));
        for length in 0..good.len() {
            assert_eq!(read_tile_leaf(&good[..length]), Err(TlsError::Truncated.into()));
        }
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..300);
        let chain = prop::collection::vec(any::<[u8; 32]>(), 0..5);
        (any::<[u8; 32]>(), bytes(), bytes(), chain).prop_map(
            |(issuer_key_hash, tbs, precertificate, chain)| Entry {
                issuer_key_hash,
                tbs,
                precertificate,
                chain: chain.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn a_data_tile_yields_its_entries(
            entries in prop::collection::vec(entries(), 0..5),
            time in any::<u64>(),
        ) {
            let at = Timestamp::from_millis(time);
            let tile: Vec<u8> =
                (0..).zip(&entries).flat_map(|(index, entry)| entry.tile_leaf(at, index)).collect();
            let mut rest = &tile[..];
            for (index, entry) in (0..).zip(entries) {
                let (read, behind) = read_tile_leaf(rest).unwrap();
                let leaf_hash = merkle::leaf_hash(&entry.merkle_tree_leaf(at, index));
                let logged = Logged::Precertificate(entry);
                prop_assert_eq!(read, LoggedEntry { timestamp: at, index, leaf_hash, logged });
                rest = behind;
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_are_too_much(tls in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_tile_leaf(&tls);
        }
    }
}
