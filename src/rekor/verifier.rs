//! What verifies a signature: a key, alone or in a certificate, and the algorithm that it names.

use aws_lc_rs::digest::{Digest, digest};
use der::{Decode, Encode};

use super::{RekorError, Scheme};
use crate::possession::key::PublicKey;

/// What verifies a signature, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// The key.
    pub material: Material,
    /// The algorithm as protobuf's JSON names it, `PublicKeyDetails`: a name or a number.
    pub key_details: String,
}

impl Verifier {
    /// A certificate, with the one algorithm of its key.
    ///
    /// # Errors
    ///
    /// [`RekorError::Certificate`], [`RekorError::Key`] when it has no key that this log takes.
    pub fn of_certificate(der: &[u8]) -> Result<Self, RekorError> {
        let key = PublicKey::from_spki(&spki(der)?).map_err(RekorError::Key)?;
        let scheme = Scheme::of(&key).ok_or(RekorError::Certificate)?;
        let material = Material::Certificate(der.to_vec());
        Ok(Self { material, key_details: scheme.name.to_owned() })
    }

    /// The digest of `message` that its signatures are of.
    ///
    /// # Errors
    ///
    /// [`RekorError`] when the key is not of the algorithm, or signs whole messages.
    pub fn digest(&self, message: &[u8]) -> Result<Vec<u8>, RekorError> {
        let algorithm = Key::of(self)?.scheme.digest.ok_or(RekorError::Ed25519)?;
        Ok(digest(algorithm, message).as_ref().to_vec())
    }

    /// `HashAlgorithm` of protobuf-specs' `sigstore_common.proto`: that of these digests.
    ///
    /// # Errors
    ///
    /// As [`Self::digest`].
    pub fn hash(&self) -> Result<&'static str, RekorError> {
        Key::of(self).map(|key| key.scheme.hash)
    }
}

/// Where a verifier has its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// DER `SubjectPublicKeyInfo`.
    PublicKey(Vec<u8>),
    /// A certificate, DER. Whether it is valid, and who issued it, is for those who verify later.
    Certificate(Vec<u8>),
}

/// A verifier's key that was read, sound, and of the algorithm that it names.
pub(super) struct Key {
    key: PublicKey,
    scheme: &'static Scheme,
}

impl Key {
    /// Reads the key of a verifier.
    pub fn of(verifier: &Verifier) -> Result<Self, RekorError> {
        let named = Scheme::named(&verifier.key_details)?;
        let key = match &verifier.material {
            Material::PublicKey(der) if der.is_empty() => {
                return Err(RekorError::Missing("verifier.publicKey.rawBytes"));
            }
            Material::PublicKey(der) => PublicKey::from_spki(der),
            Material::Certificate(der) => PublicKey::from_spki(&spki(der)?),
        };
        let key = key.map_err(RekorError::Key)?;
        match Scheme::of(&key) {
            Some(scheme) if scheme == named => Ok(Self { key, scheme }),
            scheme => {
                let wanted = scheme.map_or("none of them", |scheme| scheme.name);
                Err(RekorError::OtherKey { got: named.name, key: key.algorithm(), wanted })
            }
        }
    }

    /// The algorithm.
    pub const fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// Verifies a signature of what has this digest.
    pub fn verify_digest(&self, octets: &[u8], signature: &[u8]) -> Result<(), RekorError> {
        let Scheme { name, hash, digest, .. } = self.scheme;
        let algorithm = digest.ok_or(RekorError::Ed25519)?;
        let (got, wanted) = (octets.len(), algorithm.output_len());
        let digest = Digest::import_less_safe(octets, algorithm)
            .map_err(|_| RekorError::Digest { got, scheme: name, hash, wanted })?;
        match self.key.verifies_digest(&digest, signature) {
            true => Ok(()),
            false => Err(RekorError::Signature),
        }
    }

    /// Whether this is a signature of a message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verifies_standard(message, signature)
    }
}

/// The DER `SubjectPublicKeyInfo` in a certificate.
fn spki(der: &[u8]) -> Result<Vec<u8>, RekorError> {
    let certificate = x509_cert::Certificate::from_der(der).map_err(|_| RekorError::Certificate)?;
    let spki = certificate.tbs_certificate().subject_public_key_info();
    spki.to_der().map_err(|_| RekorError::Certificate)
}
