//! The signature algorithms that an authority or a log signs with, as each format names them.
//!
//! One row an algorithm: X.509's `AlgorithmIdentifier` (RFC 5758, RFC 8410, RFC 4055) and TLS's
//! `SignatureAndHashAlgorithm` (RFC 5246 §7.4.1.4.1, as RFC 6962 §2.1.4 uses it).

pub mod jose;

/// A signature algorithm with its one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA over P-256 with SHA-256; signatures are DER `SEQUENCE { r, s }`.
    EcdsaP256Sha256,
    /// ECDSA over P-384 with SHA-384.
    EcdsaP384Sha384,
    /// ECDSA over P-521 with SHA-512.
    EcdsaP521Sha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// Ed25519, over the message itself.
    Ed25519,
}

impl SignatureAlgorithm {
    /// The DER `AlgorithmIdentifier` of X.509.
    pub const fn identifier(self) -> &'static [u8] {
        match self {
            // 1.2.840.10045.4.3.{2,3,4}, parameters absent: RFC 5758 §3.2.
            Self::EcdsaP256Sha256 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
            Self::EcdsaP384Sha384 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
            Self::EcdsaP521Sha512 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
            // 1.2.840.113549.1.1.11, parameters NULL: RFC 4055 §5.
            Self::RsaPkcs1Sha256 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
            // 1.3.101.112, parameters absent: RFC 8410 §3.
            Self::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
        }
    }

    /// The two octets of TLS: hash, then signature algorithm.
    pub const fn tls(self) -> [u8; 2] {
        match self {
            Self::EcdsaP256Sha256 => [4, 3],
            Self::EcdsaP384Sha384 => [5, 3],
            Self::EcdsaP521Sha512 => [6, 3],
            Self::RsaPkcs1Sha256 => [4, 1],
            // RFC 8422 §5.1.3: "intrinsic" hash, ed25519.
            Self::Ed25519 => [8, 7],
        }
    }

    /// The algorithm of TLS's two octets, if it is one of ours.
    pub fn from_tls(octets: [u8; 2]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.tls() == octets)
    }

    /// Every algorithm.
    pub const ALL: [Self; 5] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::RsaPkcs1Sha256,
        Self::Ed25519,
    ];
}
