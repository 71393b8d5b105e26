//! The TLS presentation language, as far as certificate logs write it.
//!
//! ```text
//! uint8 … uint64     big-endian
//! opaque x[32]       the octets
//! opaque x<0..2^16-1>  u16 length ‖ octets
//! opaque x<0..2^24-1>  u24 length ‖ octets
//! ```
//!
//! Spec: RFC 5246 §4.

use crate::algorithm::SignatureAlgorithm;

/// Reads TLS structures off the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `length` octets.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`] when there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], TlsError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TlsError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` octets.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`] when there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], TlsError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(TlsError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A `uint8`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, TlsError> {
        self.array().map(u8::from_be_bytes)
    }

    /// A `uint16`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, TlsError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A `uint64`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, TlsError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The content of an `opaque<0..2^16-1>`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`].
    pub fn opaque16(&mut self) -> Result<&'a [u8], TlsError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// The content of an `opaque<0..2^24-1>`.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`].
    pub fn opaque24(&mut self) -> Result<&'a [u8], TlsError> {
        let [a, b, c] = self.array()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c]));
        self.take(length.map_err(|_| TlsError::Truncated)?)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`TlsError::TrailingBytes`] when something is left.
    pub const fn end(self) -> Result<(), TlsError> {
        if self.is_empty() { Ok(()) } else { Err(TlsError::TrailingBytes) }
    }
}

/// Appends an `opaque<0..2^16-1>`.
///
/// `content` is shorter than 2^16 octets; a longer one gets a length that no reader accepts.
pub fn put_opaque16(out: &mut Vec<u8>, content: &[u8]) {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content);
}

/// Appends an `opaque<0..2^24-1>`.
///
/// `content` is shorter than 2^24 octets; a longer one gets a length that no reader accepts.
pub fn put_opaque24(out: &mut Vec<u8>, content: &[u8]) {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).min(0x00ff_ffff);
    let [_, length @ ..] = length.to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(content);
}

/// A signature that names its algorithm: what SCTs and tree heads end in.
///
/// TLS: hash u8 ‖ signature algorithm u8 ‖ u16 length ‖ signature.
///
/// Spec: RFC 5246 §4.7, RFC 6962 §2.1.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigitallySigned {
    /// The algorithm of the signature.
    pub algorithm: SignatureAlgorithm,
    /// The signature as the algorithm encodes it; ECDSA: DER `SEQUENCE { r, s }`.
    pub signature: Vec<u8>,
}

impl DigitallySigned {
    /// The TLS encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut tls = Vec::with_capacity(4 + self.signature.len());
        tls.extend_from_slice(&self.algorithm.tls());
        put_opaque16(&mut tls, &self.signature);
        tls
    }

    /// Reads one off the front.
    ///
    /// # Errors
    ///
    /// [`TlsError::Truncated`], [`TlsError::Algorithm`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, TlsError> {
        let octets = reader.array()?;
        let algorithm = SignatureAlgorithm::from_tls(octets).ok_or(TlsError::Algorithm(octets))?;
        Ok(Self { algorithm, signature: reader.opaque16()?.to_vec() })
    }

    /// Reads one that fills `tls`.
    ///
    /// # Errors
    ///
    /// Those of [`Self::read`], and [`TlsError::TrailingBytes`].
    pub fn decode(tls: &[u8]) -> Result<Self, TlsError> {
        let mut reader = Reader::new(tls);
        let signed = Self::read(&mut reader)?;
        reader.end()?;
        Ok(signed)
    }
}

/// Why bytes are not the TLS structure they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The structure is longer than its bytes.
    #[error("it ends too early")]
    Truncated,
    /// Something follows the structure.
    #[error("bytes follow its end")]
    TrailingBytes,
    /// The two octets name no algorithm that is known here.
    #[error("its signature algorithm {}.{} is not supported", .0[0], .0[1])]
    Algorithm([u8; 2]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_have_two_and_three_octets() {
        let mut tls = Vec::new();
        put_opaque16(&mut tls, b"ab");
        put_opaque24(&mut tls, b"c");
        assert_eq!(tls, b"\x00\x02ab\x00\x00\x01c");
    }

    #[test]
    fn a_signature_is_read_whole_or_not_at_all() {
        let tls = b"\x04\x03\x00\x02\xaa\xbb";
        let signed = DigitallySigned {
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            signature: vec![0xaa, 0xbb],
        };
        assert_eq!(DigitallySigned::decode(tls), Ok(signed.clone()));
        assert_eq!(signed.encode(), tls);
        for length in 0..tls.len() {
            assert_eq!(DigitallySigned::decode(&tls[..length]), Err(TlsError::Truncated));
        }
        assert_eq!(DigitallySigned::decode(b"\x04\x03\x00\x00\x00"), Err(TlsError::TrailingBytes));
        // SHA-1 with DSA.
        assert_eq!(DigitallySigned::decode(b"\x02\x02\x00\x00"), Err(TlsError::Algorithm([2, 2])));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(tls in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(signed) = DigitallySigned::decode(&tls) {
                prop_assert_eq!(signed.encode(), tls);
            }
        }

        #[test]
        fn signatures_survive_the_round_trip(
            row in 0..SignatureAlgorithm::ALL.len(),
            signature in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let signed = DigitallySigned { algorithm: SignatureAlgorithm::ALL[row], signature };
            prop_assert_eq!(DigitallySigned::decode(&signed.encode()), Ok(signed));
        }
    }
}
