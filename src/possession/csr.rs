//! Certificate signing requests: only the key and the self-signature count.
//!
//! ```text
//! CertificationRequest ::= SEQUENCE {
//!     certificationRequestInfo  SEQUENCE { version 0, subject, SubjectPublicKeyInfo, [0] attributes }
//!     signatureAlgorithm        AlgorithmIdentifier
//!     signature                 BIT STRING }
//! ```
//!
//! Who the requester is, the token says. Subject and attributes are skipped undecoded, because
//! clients put an e-mail address into IA5String whether or not it is ASCII.
//!
//! Spec: RFC 2986 §4.

use der::asn1::{AnyRef, BitStringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag, TagNumber};

use super::PossessionError;
use super::key::PublicKey;
use crate::algorithm::SignatureAlgorithm;
use crate::pem;

/// A request in its parts; the signature is not verified yet.
struct Csr<'a> {
    /// What is signed: DER `CertificationRequestInfo`.
    signed: &'a [u8],
    /// DER `SubjectPublicKeyInfo`.
    spki: &'a [u8],
    /// DER `AlgorithmIdentifier`.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

/// Reads the first PEM block of `text` and verifies its self-signature; yields its key.
pub(super) fn verify(text: &[u8]) -> Result<PublicKey, PossessionError> {
    if text.trim_ascii().is_empty() {
        return Err(PossessionError::KeyMissing);
    }
    let Some(Ok(block)) = pem::blocks(text).next() else {
        return Err(PossessionError::CsrUnreadable);
    };
    if !matches!(block.label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
        return Err(PossessionError::CsrUnreadable);
    }
    let csr = decode(&block.der).map_err(|_| PossessionError::CsrUnreadable)?;
    let key = PublicKey::from_spki(csr.spki)?;
    if !names(csr.algorithm, key.signature_algorithm()) {
        return Err(PossessionError::CsrAlgorithm { scheme: key.scheme() });
    }
    if !key.verifies_standard(csr.signed, csr.signature) {
        return Err(PossessionError::CsrSignature);
    }
    Ok(key)
}

/// The DER `SubjectPublicKeyInfo` in the request, whether or not anything else of it holds.
pub(super) fn sent(text: &[u8]) -> Option<Vec<u8>> {
    let block = pem::blocks(text).next()?.ok()?;
    Some(decode(&block.der).ok()?.spki.to_vec())
}

fn decode(request: &[u8]) -> der::Result<Csr<'_>> {
    let mut reader = SliceReader::new(request)?;
    let csr = reader.sequence(|fields| {
        let signed = fields.tlv_bytes()?;
        let spki = decode_info(signed)?;
        let algorithm = fields.tlv_bytes()?;
        let signature = BitStringRef::decode(fields)?;
        let signature = signature.as_bytes().ok_or_else(|| Tag::BitString.value_error())?;
        Ok::<_, der::Error>(Csr { signed, spki, algorithm, signature })
    })?;
    reader.finish()?;
    Ok(csr)
}

/// Yields the key of a `CertificationRequestInfo`.
fn decode_info(info: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(info)?;
    let spki = reader.sequence(|fields| {
        if u8::decode(fields)? != 0 {
            return Err(Tag::Integer.value_error().into());
        }
        Tag::peek(fields)?.assert_eq(Tag::Sequence)?;
        fields.tlv_bytes()?;
        let spki = fields.tlv_bytes()?;
        // Quirk: the attributes are not optional, yet some tools leave an empty list out.
        if !fields.is_finished() {
            let attributes = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
            Tag::peek(fields)?.assert_eq(attributes)?;
            fields.tlv_bytes()?;
        }
        Ok::<_, der::Error>(spki)
    })?;
    reader.finish()?;
    Ok(spki)
}

/// Whether `identifier` names `algorithm`; its parameters may be absent or NULL, as tools disagree.
fn names(identifier: &[u8], algorithm: SignatureAlgorithm) -> bool {
    let oid = |identifier: &[u8]| -> der::Result<ObjectIdentifier> {
        let mut reader = SliceReader::new(identifier)?;
        let oid = reader.sequence(|fields| {
            let oid = ObjectIdentifier::decode(fields)?;
            if let Some(parameters) = Option::<AnyRef<'_>>::decode(fields)? {
                parameters.decode_as::<der::asn1::Null>()?;
            }
            Ok::<_, der::Error>(oid)
        })?;
        reader.finish()?;
        Ok(oid)
    };
    matches!((oid(identifier), oid(algorithm.identifier())), (Ok(a), Ok(b)) if a == b)
}
