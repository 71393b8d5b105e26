//! A requester's public key: read from PEM or DER, held to the rules, ready to verify.
//!
//! ```text
//! SubjectPublicKeyInfo ::= SEQUENCE {
//!     algorithm         SEQUENCE { OBJECT IDENTIFIER, parameters }     compared octet for octet
//!     subjectPublicKey  BIT STRING }                                   no unused bits, nothing behind it
//! ```
//!
//! A key has one encoding here: what is certified is what was sent.
//!
//! Spec: RFC 5480, RFC 8017 A.1, RFC 8410.

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, BitStringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag, Tagged};

use super::PossessionError;
use super::strength::{self, KeyError};
use crate::algorithm::SignatureAlgorithm;
use crate::asn1;
use crate::pem;

/// A kind of key that we certify: one row each.
#[derive(Debug)]
struct Algorithm {
    name: &'static str,
    /// `algorithm` of the key: DER `AlgorithmIdentifier`.
    identifier: &'static [u8],
    /// `signatureAlgorithm` of a request signed with such a key.
    signature: SignatureAlgorithm,
    /// The same in words.
    scheme: &'static str,
    /// The encoding that X.509 has for signatures.
    standard: &'static dyn VerificationAlgorithm,
    /// Another encoding that clients may send: IEEE P1363, which is `r ‖ s`.
    alternative: Option<&'static dyn VerificationAlgorithm>,
    /// Holds the octets of `subjectPublicKey` to the rules.
    check: fn(&[u8]) -> Result<(), KeyError>,
}

static ALGORITHMS: [Algorithm; 5] = [
    Algorithm {
        name: "ECDSA P-256",
        identifier: b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                      \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        signature: SignatureAlgorithm::EcdsaP256Sha256,
        scheme: "ECDSA with SHA-256",
        standard: &signature::ECDSA_P256_SHA256_ASN1,
        alternative: Some(&signature::ECDSA_P256_SHA256_FIXED),
        check: |bits| strength::point(bits, 32, "ECDSA P-256"),
    },
    Algorithm {
        name: "ECDSA P-384",
        identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
        signature: SignatureAlgorithm::EcdsaP384Sha384,
        scheme: "ECDSA with SHA-384",
        standard: &signature::ECDSA_P384_SHA384_ASN1,
        alternative: Some(&signature::ECDSA_P384_SHA384_FIXED),
        check: |bits| strength::point(bits, 48, "ECDSA P-384"),
    },
    Algorithm {
        name: "ECDSA P-521",
        identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
        signature: SignatureAlgorithm::EcdsaP521Sha512,
        scheme: "ECDSA with SHA-512",
        standard: &signature::ECDSA_P521_SHA512_ASN1,
        alternative: Some(&signature::ECDSA_P521_SHA512_FIXED),
        check: |bits| strength::point(bits, 66, "ECDSA P-521"),
    },
    Algorithm {
        name: "RSA",
        identifier: RSA,
        signature: SignatureAlgorithm::RsaPkcs1Sha256,
        scheme: "RSA PKCS#1 v1.5 with SHA-256",
        standard: &signature::RSA_PKCS1_2048_8192_SHA256,
        alternative: None,
        check: strength::rsa,
    },
    Algorithm {
        name: "Ed25519",
        identifier: b"\x30\x05\x06\x03\x2b\x65\x70",
        signature: SignatureAlgorithm::Ed25519,
        scheme: "Ed25519",
        standard: &signature::ED25519,
        alternative: None,
        check: strength::edwards_point,
    },
];

/// rsaEncryption with its NULL.
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// The kind of key that a DER `SubjectPublicKeyInfo` says to be, of those that we certify.
pub fn kind(spki: &[u8]) -> Option<&'static str> {
    let (identifier, _) = decode(spki).ok()?;
    let row = ALGORITHMS.iter().find(|row| row.identifier == identifier)?;
    Some(row.name)
}

/// The DER `SubjectPublicKeyInfo` that `text` holds, of whatever kind and strength; none where there is no
/// public key.
pub(super) fn sent(text: &[u8]) -> Option<Vec<u8>> {
    let spki = match pem::blocks(text).next() {
        None => text.to_vec(),
        Some(Ok(block)) if block.label == "PUBLIC KEY" => block.der.to_vec(),
        Some(Ok(block)) if block.label == "RSA PUBLIC KEY" => wrap_pkcs1(&block.der),
        Some(_) => return None,
    };
    decode(&spki).is_ok().then_some(spki)
}

/// id-ecPublicKey, whose parameters say which curve.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Kinds of key that people send and we refuse by name.
const REFUSED: [(ObjectIdentifier, &str); 8] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1"), "ECDSA P-192"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.33"), "ECDSA P-224"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "ECDSA secp256k1"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"), "RSASSA-PSS"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
    (ObjectIdentifier::new_unwrap("1.3.101.110"), "X25519"),
    (ObjectIdentifier::new_unwrap("1.3.101.111"), "X448"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
];

/// A public key that is well-formed and sound. Whether anybody holds its private half is not said.
#[derive(Clone, Debug)]
pub struct PublicKey {
    spki: Vec<u8>,
    /// Where in `spki` the octets of `subjectPublicKey` begin; they end it.
    bits: usize,
    algorithm: &'static Algorithm,
    verifier: ParsedPublicKey,
}

impl PublicKey {
    /// Reads the first PEM block of `text` (`PUBLIC KEY`, `RSA PUBLIC KEY`), or all of it as a DER
    /// `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`PossessionError`], except those of proofs.
    pub fn parse(text: &[u8]) -> Result<Self, PossessionError> {
        if text.trim_ascii().is_empty() {
            return Err(PossessionError::KeyMissing);
        }
        match pem::blocks(text).next() {
            None => Self::from_spki(text),
            Some(Err(_)) => Err(PossessionError::KeyUnreadable),
            Some(Ok(block)) => match block.label {
                "PUBLIC KEY" => Self::from_spki(&block.der),
                "RSA PUBLIC KEY" => Self::from_spki(&wrap_pkcs1(&block.der)),
                "CERTIFICATE" => Err(PossessionError::KeyIsCertificate),
                label if label.ends_with("PRIVATE KEY") => Err(PossessionError::KeyIsPrivate),
                _ => Err(PossessionError::KeyUnreadable),
            },
        }
    }

    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`PossessionError::KeyUnreadable`], [`PossessionError::KeyUnacceptable`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, PossessionError> {
        let (identifier, bits) = decode(spki).map_err(|_| PossessionError::KeyUnreadable)?;
        let Some(algorithm) = ALGORITHMS.iter().find(|row| row.identifier == identifier) else {
            return Err(refuse(identifier));
        };
        (algorithm.check)(bits)?;
        let verifier = ParsedPublicKey::new(algorithm.standard, bits)
            .map_err(|_| KeyError::Invalid(algorithm.name))?;
        Ok(Self { spki: spki.to_vec(), bits: spki.len() - bits.len(), algorithm, verifier })
    }

    /// The key as it was sent: DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The same, owned.
    pub fn into_spki(self) -> Vec<u8> {
        self.spki
    }

    /// The octets of `subjectPublicKey`.
    pub fn bits(&self) -> &[u8] {
        self.spki.get(self.bits..).unwrap_or_default()
    }

    /// The kind of key: `ECDSA P-256`, `RSA`, `Ed25519`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name
    }

    /// How this key signs, in words: `ECDSA with SHA-256`.
    pub fn scheme(&self) -> &'static str {
        self.algorithm.scheme
    }

    /// The algorithm, with its one hash, of signatures by this key.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm.signature
    }

    /// Whether `signature` is this key's signature of `message`; ECDSA's may be DER or `r ‖ s`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifies_standard(message, signature)
            || self.algorithm.alternative.is_some_and(|alternative| {
                UnparsedPublicKey::new(alternative, self.bits()).verify(message, signature).is_ok()
            })
    }

    /// Whether `signature`, encoded as X.509 has it, is this key's signature of `message`.
    pub fn verifies_standard(&self, message: &[u8], signature: &[u8]) -> bool {
        // Strict verification (RFC 8032 leaves room): R is a sound point too.
        let strict = self.algorithm.signature != SignatureAlgorithm::Ed25519
            || signature.first_chunk::<32>().is_some_and(|r| strength::edwards_point(r).is_ok());
        strict && self.verifier.verify_sig(message, signature).is_ok()
    }
}

impl PublicKey {
    /// Whether `signature`, encoded as X.509 has it, is this key's signature of what has this digest, by the
    /// hash that goes with the key. Never for Ed25519, which signs whole messages.
    pub fn verifies_digest(&self, digest: &Digest, signature: &[u8]) -> bool {
        self.verifier.verify_digest_sig(digest, signature).is_ok()
    }
}

/// The DER `AlgorithmIdentifier` and the octets of `subjectPublicKey`.
fn decode(spki: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(spki)?;
    let (identifier, bits) = reader.sequence(|fields| {
        Ok::<_, der::Error>((fields.tlv_bytes()?, BitStringRef::decode(fields)?))
    })?;
    reader.finish()?;
    let bits = bits.as_bytes().ok_or_else(|| Tag::BitString.value_error())?;
    Ok((identifier, bits))
}

/// Says which algorithm it is that we do not certify.
fn refuse(identifier: &[u8]) -> PossessionError {
    let parse = || -> der::Result<(ObjectIdentifier, Option<AnyRef<'_>>)> {
        let mut reader = SliceReader::new(identifier)?;
        reader.sequence(|fields| Ok((fields.decode()?, fields.decode()?)))
    };
    let Ok((algorithm, parameters)) = parse() else {
        return PossessionError::KeyUnreadable;
    };
    let mut oid = algorithm;
    if algorithm == EC {
        match parameters.map(|any| (any.tag(), any.decode_as())) {
            Some((Tag::Sequence, _)) => return KeyError::ExplicitParameters.into(),
            Some((Tag::ObjectIdentifier, Ok(curve))) => oid = curve,
            _ => return PossessionError::KeyUnreadable,
        }
    }
    let name = REFUSED.iter().find(|row| row.0 == oid);
    KeyError::Algorithm(name.map_or_else(|| oid.to_string(), |row| row.1.to_owned())).into()
}

/// A DER `RSAPublicKey` as `SubjectPublicKeyInfo`.
fn wrap_pkcs1(key: &[u8]) -> Vec<u8> {
    let mut spki = Vec::with_capacity(key.len() + RSA.len() + 16);
    asn1::nested(&mut spki, asn1::SEQUENCE, |spki| {
        spki.extend(RSA);
        asn1::nested(spki, asn1::BIT_STRING, |bits| {
            bits.push(0);
            bits.extend(key);
        });
    });
    spki
}
