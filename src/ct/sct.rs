//! Signed certificate timestamps, and the extensions that say where the entry stands.
//!
//! ```text
//! 00                         version 1
//! 8a3f…                      log id, 32 octets: SHA-256 of the log key's SPKI
//! 0000019b7a1c3d00           milliseconds since the epoch
//! 0008 00 0005 0000011170    extensions: leaf_index = 70000
//! 04 03 0047 3045…           ECDSA with SHA-256, u16 length, signature
//! ```
//!
//! Spec: RFC 6962 §3.2, §3.3; C2SP static-ct-api for the extension.

use crate::algorithm::SignatureAlgorithm;
use crate::time::Timestamp;
use crate::tlog::tls::{self, DigitallySigned, Reader, TlsError};

/// The extension type of `leaf_index`.
const LEAF_INDEX: u8 = 0;

/// The highest index that `leaf_index` can say: five octets.
pub const MAX_INDEX: u64 = (1 << 40) - 1;

/// A log's promise, already kept, that a certificate is in it.
///
/// What it signs is [`crate::ct::entry::Entry::merkle_tree_leaf`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sct {
    /// SHA-256 of the log key's SPKI.
    pub log_id: [u8; 32],
    /// When the entry was logged.
    pub timestamp: Timestamp,
    /// Where the entry stands in the log; at most [`MAX_INDEX`].
    pub leaf_index: u64,
    /// The algorithm of the signature.
    pub algorithm: SignatureAlgorithm,
    /// The signature as the algorithm encodes it; ECDSA: DER `SEQUENCE { r, s }`.
    pub signature: Vec<u8>,
}

impl Sct {
    /// The TLS encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut tls = Vec::with_capacity(55 + self.signature.len());
        tls.push(0);
        tls.extend_from_slice(&self.log_id);
        tls.extend_from_slice(&self.timestamp.as_millis().to_be_bytes());
        tls::put_opaque16(&mut tls, &leaf_index_extension(self.leaf_index));
        tls.extend_from_slice(&self.signed().encode());
        tls
    }

    /// The signature with its algorithm.
    pub fn signed(&self) -> DigitallySigned {
        DigitallySigned { algorithm: self.algorithm, signature: self.signature.clone() }
    }

    /// Reads an SCT of a static-ct-api log.
    ///
    /// Strict: `leaf_index` must be its one extension, since an unknown one would be signed but not
    /// kept.
    ///
    /// # Errors
    ///
    /// [`SctError`], one variant for each rule.
    pub fn decode(tls: &[u8]) -> Result<Self, SctError> {
        let mut reader = Reader::new(tls);
        let (log_id, timestamp, extensions) = promise(&mut reader)?;
        let leaf_index = leaf_index(extensions)?;
        if extensions != leaf_index_extension(leaf_index) {
            return Err(SctError::Extension(ExtensionError::Unknown));
        }
        let DigitallySigned { algorithm, signature } = DigitallySigned::read(&mut reader)?;
        reader.end()?;
        Ok(Self { log_id, timestamp, leaf_index, algorithm, signature })
    }
}

/// The promise of any log, which need not say where the entry will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnySct {
    /// SHA-256 of the log key's SPKI.
    pub log_id: [u8; 32],
    /// When the promise was made.
    pub timestamp: Timestamp,
    /// TLS `CtExtensions`, whatever they hold.
    pub extensions: Vec<u8>,
    /// The signature with its algorithm.
    pub signed: DigitallySigned,
}

impl AnySct {
    /// Reads an SCT of version 1.
    ///
    /// # Errors
    ///
    /// [`SctError::Version`], [`SctError::Tls`].
    pub fn decode(tls: &[u8]) -> Result<Self, SctError> {
        let mut reader = Reader::new(tls);
        let (log_id, timestamp, extensions) = promise(&mut reader)?;
        let signed = DigitallySigned::read(&mut reader)?;
        reader.end()?;
        Ok(Self { log_id, timestamp, extensions: extensions.to_vec(), signed })
    }

    /// Reads a TLS `SignedCertificateTimestampList`.
    ///
    /// # Errors
    ///
    /// As [`decode_list`].
    pub fn decode_list(tls: &[u8]) -> Result<Vec<Self>, SctError> {
        list_of(tls, Self::decode)
    }
}

/// Log id, time and extensions of an SCT of version 1.
fn promise<'a>(reader: &mut Reader<'a>) -> Result<([u8; 32], Timestamp, &'a [u8]), SctError> {
    if reader.u8()? != 0 {
        return Err(SctError::Version);
    }
    let log_id = reader.array()?;
    let timestamp = Timestamp::from_millis(reader.u64()?);
    Ok((log_id, timestamp, reader.opaque16()?))
}

/// The eight octets of `CtExtensions` with a `leaf_index` alone: `00 00 05 i4 i3 i2 i1 i0`.
///
/// `index` is at most [`MAX_INDEX`]: a log ends there, higher bits have no place.
pub const fn leaf_index_extension(index: u64) -> [u8; 8] {
    let [_, _, _, i4, i3, i2, i1, i0] = index.to_be_bytes();
    [LEAF_INDEX, 0, 5, i4, i3, i2, i1, i0]
}

/// The `leaf_index` in TLS `CtExtensions`, whatever else they hold.
///
/// # Errors
///
/// [`ExtensionError`] when it is missing or a type occurs twice.
pub fn leaf_index(extensions: &[u8]) -> Result<u64, ExtensionError> {
    let mut reader = Reader::new(extensions);
    let mut seen = [false; 256];
    let mut index = None;
    while !reader.is_empty() {
        let malformed = |_| ExtensionError::Malformed;
        let kind = reader.u8().map_err(malformed)?;
        let data = reader.opaque16().map_err(malformed)?;
        let seen = seen.get_mut(usize::from(kind)).ok_or(ExtensionError::Malformed)?;
        if std::mem::replace(seen, true) {
            return Err(ExtensionError::Duplicate);
        }
        if kind == LEAF_INDEX {
            let octets: [u8; 5] = data.try_into().map_err(|_| ExtensionError::Malformed)?;
            index = Some(octets.iter().fold(0, |index, octet| index << 8 | u64::from(*octet)));
        }
    }
    index.ok_or(ExtensionError::Missing)
}

/// The TLS `SignedCertificateTimestampList` of the certificate extension: u16 ‖ (u16 ‖ SCT)….
pub fn encode_list(scts: &[Sct]) -> Vec<u8> {
    let mut list = Vec::new();
    for sct in scts {
        tls::put_opaque16(&mut list, &sct.encode());
    }
    let mut tls = Vec::with_capacity(2 + list.len());
    tls::put_opaque16(&mut tls, &list);
    tls
}

/// Reads a TLS `SignedCertificateTimestampList`.
///
/// # Errors
///
/// [`SctError`] of the first SCT that is none; [`SctError::EmptyList`].
pub fn decode_list(tls: &[u8]) -> Result<Vec<Sct>, SctError> {
    list_of(tls, Sct::decode)
}

fn list_of<T>(
    tls: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, SctError>,
) -> Result<Vec<T>, SctError> {
    let mut outer = Reader::new(tls);
    let mut list = Reader::new(outer.opaque16()?);
    outer.end()?;
    let mut scts = Vec::new();
    while !list.is_empty() {
        scts.push(decode(list.opaque16()?)?);
    }
    if scts.is_empty() { Err(SctError::EmptyList) } else { Ok(scts) }
}

/// Why bytes are no SCT, or no list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SctError {
    /// The structure does not fit its bytes.
    #[error("the SCT is malformed: {0}")]
    Tls(#[from] TlsError),
    /// Not version 1.
    #[error("the SCT has a version other than 1")]
    Version,
    /// The extensions do not say where the entry is.
    #[error("the SCT has no usable extensions: {0}")]
    Extension(#[from] ExtensionError),
    /// There is none.
    #[error("the list of SCTs is empty")]
    EmptyList,
}

/// Why extensions do not say where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// The extensions do not fit their bytes.
    #[error("they are malformed")]
    Malformed,
    /// The same type twice.
    #[error("one of them occurs twice")]
    Duplicate,
    /// An extension that cannot be kept.
    #[error("one of them is of an unknown type")]
    Unknown,
    /// No `leaf_index`.
    #[error("leaf_index is missing; the log is not a static-ct-api log")]
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sct() -> Sct {
        Sct {
            log_id: [0x8a; 32],
            timestamp: Timestamp::from_millis(1_767_225_618_999),
            leaf_index: 70_000,
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            signature: vec![0x30; 71],
        }
    }

    #[test]
    fn an_sct_has_the_bytes_of_the_specification() {
        let tls = sct().encode();
        // The size that a P-256 SCT with the extension has in the wild.
        assert_eq!(tls.len(), 1 + 32 + 8 + 2 + 8 + 4 + 71);
        assert_eq!(tls[..2], [0, 0x8a]);
        assert_eq!(tls[33..41], 1_767_225_618_999_u64.to_be_bytes());
        assert_eq!(tls[41..51], [0, 8, 0, 0, 5, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(tls[51..56], [4, 3, 0, 71, 0x30]);
        assert_eq!(Sct::decode(&tls), Ok(sct()));
    }

    #[test]
    fn an_sct_bites() {
        let good = sct().encode();
        let bite = |position: usize, octet: u8| {
            let mut tls = good.clone();
            tls[position] = octet;
            Sct::decode(&tls).unwrap_err()
        };
        assert_eq!(bite(0, 1), SctError::Version);
        assert_eq!(bite(42, 9), SctError::Extension(ExtensionError::Malformed));
        assert_eq!(bite(43, 1), SctError::Extension(ExtensionError::Missing));
        assert_eq!(bite(45, 4), SctError::Extension(ExtensionError::Malformed));
        assert_eq!(bite(51, 2), SctError::Tls(TlsError::Algorithm([2, 3])));
        assert_eq!(bite(54, 70), SctError::Tls(TlsError::TrailingBytes));
        assert_eq!(bite(54, 72), SctError::Tls(TlsError::Truncated));
        for length in 0..good.len() {
            assert!(Sct::decode(&good[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_extension_that_cannot_be_kept_is_refused() {
        let mut tls = sct().encode();
        tls[42] = 11;
        tls.splice(51..51, [7, 0, 0]);
        assert_eq!(AnySct::decode(&tls).map(|sct| sct.extensions.len()), Ok(11));
        assert_eq!(Sct::decode(&tls), Err(SctError::Extension(ExtensionError::Unknown)));
    }

    #[test]
    fn the_leaf_index_is_found_among_others() {
        #[track_caller]
        fn check(extensions: &[u8], expected: Result<u64, ExtensionError>) {
            assert_eq!(leaf_index(extensions), expected);
        }
        check(&[0, 0, 5, 1, 2, 3, 4, 5], Ok(0x01_0203_0405));
        check(&[0, 0, 5, 255, 255, 255, 255, 255], Ok(MAX_INDEX));
        check(&[9, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 6, 255, 0, 0], Ok(6));
        check(&[], Err(ExtensionError::Missing));
        check(&[9, 0, 0], Err(ExtensionError::Missing));
        check(&[9, 0, 0, 9, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0], Err(ExtensionError::Duplicate));
        check(&[0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0], Err(ExtensionError::Duplicate));
        check(&[0, 0, 4, 0, 0, 0, 0], Err(ExtensionError::Malformed));
        check(&[0, 0, 6, 0, 0, 0, 0, 0, 0], Err(ExtensionError::Malformed));
        check(&[0, 0], Err(ExtensionError::Malformed));
    }

    #[test]
    fn a_list_is_framed_twice() {
        let list = encode_list(&[sct()]);
        assert_eq!(list[..4], [0, 128, 0, 126]);
        assert_eq!(decode_list(&list), Ok(vec![sct()]));
        assert_eq!(decode_list(&encode_list(&[sct(), sct()])).map(|scts| scts.len()), Ok(2));
        assert_eq!(decode_list(&[0, 0]), Err(SctError::EmptyList));
        assert_eq!(decode_list(&[0, 0, 0]), Err(SctError::Tls(TlsError::TrailingBytes)));
        assert_eq!(decode_list(&list[..100]), Err(SctError::Tls(TlsError::Truncated)));
    }

    proptest! {
        #[test]
        fn every_sct_survives_the_round_trip(
            log_id in any::<[u8; 32]>(),
            (time, leaf_index) in (any::<u64>(), 0..=MAX_INDEX),
            row in 0..SignatureAlgorithm::ALL.len(),
            signature in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            let timestamp = Timestamp::from_millis(time);
            let algorithm = SignatureAlgorithm::ALL[row];
            let sct = Sct { log_id, timestamp, leaf_index, algorithm, signature };
            prop_assert_eq!(Sct::decode(&sct.encode()), Ok(sct));
        }

        #[test]
        fn one_sct_has_one_encoding(position in 0..126_usize, octet in any::<u8>()) {
            let mut tls = sct().encode();
            tls[position] = octet;
            if let Ok(sct) = Sct::decode(&tls) {
                prop_assert_eq!(sct.encode(), tls);
            }
        }

        #[test]
        fn no_bytes_are_too_much(tls in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sct::decode(&tls);
            let _ = decode_list(&tls);
            let _ = AnySct::decode_list(&tls);
            let _ = leaf_index(&tls);
        }
    }
}
