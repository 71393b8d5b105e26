//! One certificate of a chain, and what must hold between it and its neighbours.
//!
//! Spec: RFC 5280 §6.1.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::oid::{AssociatedOid, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::chain::{ChainError, LIMIT};
use crate::pem;
use crate::possession::key::PublicKey;
use crate::time::Timestamp;

/// The parts of a certificate that are needed octet for octet: DER, tags included.
pub(crate) struct Fields {
    tbs: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
}

/// One certificate of a chain.
pub(crate) struct Link {
    /// From 1.
    position: usize,
    pub(crate) der: Vec<u8>,
    pub(crate) fields: Fields,
    pub(crate) parsed: x509_cert::Certificate,
}

/// The certificates of a chain in PEM, unchecked.
pub(crate) fn read(pem: &[u8]) -> Result<Vec<Link>, ChainError> {
    let mut links = Vec::new();
    for (position, block) in (1..).zip(pem::blocks(pem)) {
        if position > LIMIT {
            return Err(ChainError::TooLong);
        }
        let block = block.map_err(|error| ChainError::Pem { position, error })?;
        if block.label != "CERTIFICATE" {
            return Err(ChainError::NotACertificate { position });
        }
        links.push(Link::read(position, &block.der)?);
    }
    Ok(links)
}

/// Whether each certificate names the next one as its issuer.
pub(crate) fn check_names(links: &[Link]) -> Result<(), ChainError> {
    let mut pairs = links.iter().zip(links.iter().skip(1));
    pairs.try_for_each(|(link, issuer)| link.check_named_by(issuer))
}

/// Whether each certificate is signed by the next one.
pub(crate) fn check_signatures(links: &[Link]) -> Result<(), ChainError> {
    let mut pairs = links.iter().zip(links.iter().skip(1));
    pairs.try_for_each(|(link, issuer)| link.check_signed_by(issuer))
}

impl Link {
    fn read(position: usize, der: &[u8]) -> Result<Self, ChainError> {
        let unreadable =
            |error: der::Error| ChainError::Unreadable { position, why: error.to_string() };
        let parsed = x509_cert::Certificate::from_der(der).map_err(unreadable)?;
        let fields = fields(der).map_err(unreadable)?;
        Ok(Self { position, der: der.to_vec(), fields, parsed })
    }

    pub(crate) fn not_before(&self) -> Timestamp {
        let time = self.parsed.tbs_certificate().validity().not_before;
        Timestamp::from_secs(time.to_unix_duration().as_secs())
    }

    pub(crate) fn not_after(&self) -> Timestamp {
        let time = self.parsed.tbs_certificate().validity().not_after;
        Timestamp::from_secs(time.to_unix_duration().as_secs())
    }

    /// An extension of this certificate.
    pub(crate) fn extension<'a, T>(&'a self) -> Result<Option<T>, ChainError>
    where
        T: Decode<'a, Error = der::Error> + AssociatedOid,
    {
        let extension = self.parsed.tbs_certificate().get_extension::<T>();
        extension.map(|found| found.map(|(_, value)| value)).map_err(|error| {
            ChainError::Unreadable { position: self.position, why: error.to_string() }
        })
    }

    /// Whether it may sign certificates, with `below` authorities between it and the last one.
    pub(crate) fn check_authority(&self, below: usize) -> Result<(), ChainError> {
        let position = self.position;
        self.check_critical()?;
        let Some(BasicConstraints { ca: true, path_len_constraint }) = self.extension()? else {
            return Err(ChainError::NotAnAuthority { position });
        };
        if let Some(allowed) = path_len_constraint
            && usize::from(allowed) < below
        {
            return Err(ChainError::TooDeep { position, allowed });
        }
        if self.extension()?.is_some_and(|usage: KeyUsage| !usage.key_cert_sign()) {
            return Err(ChainError::MayNotSign { position });
        }
        Ok(())
    }

    /// Whether it allows code signing below it.
    pub(super) fn check_purpose(&self) -> Result<(), ChainError> {
        let position = self.position;
        let purposes: Option<ExtendedKeyUsage> = self.extension()?;
        if purposes.is_some_and(|p| !p.0.contains(&CODE_SIGNING) && !p.0.contains(&ANY_PURPOSE)) {
            return Err(ChainError::NotForCodeSigning { position });
        }
        Ok(())
    }

    /// Whether it holds at `now`.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), ChainError> {
        let position = self.position;
        if now < self.not_before() {
            return Err(ChainError::NotYetValid { position, not_before: self.not_before() });
        }
        if self.not_after() < now.floor() {
            return Err(ChainError::Expired { position, not_after: self.not_after() });
        }
        Ok(())
    }

    /// Whether we know every extension that is critical.
    pub(crate) fn check_critical(&self) -> Result<(), ChainError> {
        let extensions = self.parsed.tbs_certificate().extensions().into_iter().flatten();
        match extensions.filter(|e| e.critical).find(|e| !KNOWN.contains(&e.extn_id)) {
            Some(unknown) => {
                Err(ChainError::UnknownCritical { position: self.position, oid: unknown.extn_id })
            }
            None => Ok(()),
        }
    }

    fn check_named_by(&self, issuer: &Self) -> Result<(), ChainError> {
        if self.fields.issuer == issuer.fields.subject {
            Ok(())
        } else {
            Err(ChainError::WrongIssuer { position: self.position })
        }
    }

    /// Whether the key of `issuer` signed it.
    pub(crate) fn check_signed_by(&self, issuer: &Self) -> Result<(), ChainError> {
        let position = self.position;
        let oid = self.parsed.signature_algorithm().oid;
        let signature = self.parsed.signature().as_bytes().unwrap_or_default();
        match verifies(oid, &issuer.fields.spki, (&self.fields.tbs, signature)) {
            None => Err(ChainError::UnknownSignature { position, oid }),
            Some(false) => Err(ChainError::BadSignature { position }),
            Some(true) => Ok(()),
        }
    }

    /// What must hold of the certificate that issues ours, in a chain of `length`.
    pub(super) fn check_issuing(&self, length: usize) -> Result<(), ChainError> {
        if self.parsed.tbs_certificate().subject().is_empty() {
            return Err(ChainError::Nameless);
        }
        PublicKey::from_spki(&self.fields.spki).map_err(ChainError::Key)?;
        let purposes: Option<ExtendedKeyUsage> = self.extension()?;
        if length > 1 && !purposes.is_some_and(|purposes| purposes.0.contains(&CODE_SIGNING)) {
            return Err(ChainError::NotForCodeSigning { position: self.position });
        }
        Ok(())
    }
}

/// Whether the key of `spki` signed `message` by the algorithm `oid`; nothing where nobody here knows that.
pub(crate) fn verifies(
    oid: ObjectIdentifier,
    spki: &[u8],
    (message, signature): (&[u8], &[u8]),
) -> Option<bool> {
    let (_, algorithms) = SIGNATURES.iter().find(|row| row.0 == oid)?;
    let verifies = |algorithm: &&'static dyn VerificationAlgorithm| {
        UnparsedPublicKey::new(*algorithm, spki).verify(message, signature).is_ok()
    };
    Some(algorithms.iter().any(verifies))
}

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// The extensions that may be critical: basicConstraints, keyUsage, extKeyUsage, nameConstraints,
/// which verifiers enforce, and the policy ones, which have no say here.
const KNOWN: [ObjectIdentifier; 7] = [
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
    ObjectIdentifier::new_unwrap("2.5.29.30"),
    ObjectIdentifier::new_unwrap("2.5.29.32"),
    ObjectIdentifier::new_unwrap("2.5.29.36"),
    ObjectIdentifier::new_unwrap("2.5.29.54"),
];

/// Signature algorithms of certificates, each with the keys it may go with.
static SIGNATURES: [(ObjectIdentifier, &[&'static dyn VerificationAlgorithm]); 7] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        &[
            &signature::ECDSA_P256_SHA256_ASN1,
            &signature::ECDSA_P384_SHA256_ASN1,
            &signature::ECDSA_P521_SHA256_ASN1,
        ],
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
        &[
            &signature::ECDSA_P256_SHA384_ASN1,
            &signature::ECDSA_P384_SHA384_ASN1,
            &signature::ECDSA_P521_SHA384_ASN1,
        ],
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
        &[
            &signature::ECDSA_P256_SHA512_ASN1,
            &signature::ECDSA_P384_SHA512_ASN1,
            &signature::ECDSA_P521_SHA512_ASN1,
        ],
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        &[&signature::RSA_PKCS1_2048_8192_SHA256],
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
        &[&signature::RSA_PKCS1_2048_8192_SHA384],
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
        &[&signature::RSA_PKCS1_2048_8192_SHA512],
    ),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), &[&signature::ED25519]),
];

/// Cuts the named fields out of a DER `Certificate`.
fn fields(certificate: &[u8]) -> der::Result<Fields> {
    let tbs = SliceReader::new(certificate)?.sequence(|certificate| {
        let tbs = certificate.tlv_bytes()?;
        certificate.tlv_bytes()?;
        certificate.tlv_bytes()?;
        Ok::<_, der::Error>(tbs)
    })?;
    SliceReader::new(tbs)?.sequence(|fields| {
        let version = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
        if Tag::peek(fields)? == version {
            fields.tlv_bytes()?;
        }
        let (serial, _algorithm) = (fields.tlv_bytes()?.to_vec(), fields.tlv_bytes()?);
        let (issuer, _validity) = (fields.tlv_bytes()?.to_vec(), fields.tlv_bytes()?);
        let (subject, spki) = (fields.tlv_bytes()?.to_vec(), fields.tlv_bytes()?.to_vec());
        while !fields.is_finished() {
            fields.tlv_bytes()?;
        }
        Ok(Fields { tbs: tbs.to_vec(), serial, issuer, subject, spki })
    })
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
