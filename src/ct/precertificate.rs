//! A signed certificate in its parts, and a TBS without its poison.
//!
//! Cut, not decoded: what a log hashes is the submitted TBS with one extension taken out and every
//! other octet kept, so nothing here re-encodes more than the lengths around the cut.
//!
//! Spec: RFC 6962 §3.1, §3.2; RFC 5280 §4.1.

use der::asn1::{Any, AnyRef, BitStringRef};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

use crate::algorithm::SignatureAlgorithm;
use crate::tlog::tls::DigitallySigned;

/// The poison, the whole DER `Extension`: 1.3.6.1.4.1.11129.2.4.3, critical, NULL.
pub const POISON: &[u8] =
    b"\x30\x13\x06\x0a\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03\x01\x01\xff\x04\x02\x05\x00";

/// The tag of a TBS' extensions: `[3] EXPLICIT`.
const EXTENSIONS: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(3) };

/// A certificate or precertificate, cut into what is signed, how, and the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// DER `TBSCertificate`.
    pub tbs: &'a [u8],
    /// DER `AlgorithmIdentifier`.
    pub algorithm: &'a [u8],
    /// The octets of the signature.
    pub signature: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Cuts a DER `Certificate`.
    ///
    /// # Errors
    ///
    /// [`PartsError::Malformed`], also when the algorithms outside and inside the TBS differ.
    pub fn of(certificate: &'a [u8]) -> Result<Self, PartsError> {
        let parts = cut(certificate)?;
        // RFC 5280 §4.1.1.2. The one inside is signed.
        let inside = elements(parts.tbs)?.contains(&parts.algorithm);
        if inside { Ok(parts) } else { Err(PartsError::Malformed) }
    }

    /// The signature with its algorithm; none when the algorithm is not one that is known here.
    pub fn signed(&self) -> Option<DigitallySigned> {
        let mut known = SignatureAlgorithm::ALL.into_iter();
        let algorithm = known.find(|known| known.identifier() == self.algorithm)?;
        Some(DigitallySigned { algorithm, signature: self.signature.to_vec() })
    }

    /// The TBS without its poison: what the log hashes.
    ///
    /// # Errors
    ///
    /// [`PartsError::Poison`] when there is not exactly one, critical and NULL.
    pub fn tbs_without_poison(&self) -> Result<Vec<u8>, PartsError> {
        let mut tbs = Vec::with_capacity(self.tbs.len());
        let mut poisoned = false;
        for element in elements(self.tbs)? {
            let any = AnyRef::from_der(element).map_err(malformed)?;
            if any.tag() == EXTENSIONS {
                poisoned = true;
                tbs.extend_from_slice(&extensions_without_poison(any.value())?);
            } else {
                tbs.extend_from_slice(element);
            }
        }
        if poisoned { wrap(Tag::Sequence, tbs) } else { Err(PartsError::Poison) }
    }
}

fn cut(certificate: &[u8]) -> Result<Parts<'_>, PartsError> {
    let outer = AnyRef::from_der(certificate).map_err(malformed)?;
    let mut reader = SliceReader::new(outer.value()).map_err(malformed)?;
    let tbs = reader.tlv_bytes().map_err(malformed)?;
    let algorithm = reader.tlv_bytes().map_err(malformed)?;
    let signature = BitStringRef::decode(&mut reader).map_err(malformed)?;
    reader.finish().map_err(malformed)?;
    match signature.as_bytes() {
        Some(signature) if outer.tag() == Tag::Sequence => Ok(Parts { tbs, algorithm, signature }),
        _ => Err(PartsError::Malformed),
    }
}

/// The DER elements of a SEQUENCE, each with its header.
fn elements(sequence: &[u8]) -> Result<Vec<&[u8]>, PartsError> {
    let sequence = AnyRef::from_der(sequence).map_err(malformed)?;
    if sequence.tag() != Tag::Sequence {
        return Err(PartsError::Malformed);
    }
    let mut reader = SliceReader::new(sequence.value()).map_err(malformed)?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.tlv_bytes().map_err(malformed)?);
    }
    Ok(elements)
}

/// DER `[3] { SEQUENCE OF Extension }` again, or nothing when the poison was alone.
fn extensions_without_poison(list: &[u8]) -> Result<Vec<u8>, PartsError> {
    let mut kept = Vec::with_capacity(list.len());
    let mut poisons = 0;
    for extension in elements(list)? {
        match extension {
            POISON => poisons += 1,
            extension => kept.extend_from_slice(extension),
        }
    }
    match poisons {
        1 if kept.is_empty() => Ok(kept),
        1 => wrap(EXTENSIONS, wrap(Tag::Sequence, kept)?),
        _ => Err(PartsError::Poison),
    }
}

fn wrap(tag: Tag, content: Vec<u8>) -> Result<Vec<u8>, PartsError> {
    Any::new(tag, content).and_then(|any| any.to_der()).map_err(malformed)
}

fn malformed(_: der::Error) -> PartsError {
    PartsError::Malformed
}

/// Why a certificate cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// Not the DER of a certificate.
    #[error("it is not the DER of a certificate")]
    Malformed,
    /// Not a precertificate.
    #[error("it does not have the poison extension of a precertificate exactly once")]
    Poison,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    fn poison() -> CustomExtension {
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
        let mut poison = CustomExtension::from_oid_content(&oid, vec![5, 0]);
        poison.set_criticality(true);
        poison
    }

    /// The same certificate with other extensions: everything but them is equal.
    fn certificate(custom: Vec<CustomExtension>) -> Vec<u8> {
        static KEY: std::sync::LazyLock<KeyPair> =
            std::sync::LazyLock::new(|| KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.serial_number = Some(7.into());
        params.custom_extensions = custom;
        params.self_signed(&*KEY).unwrap().der().to_vec()
    }

    fn other(content: u8) -> CustomExtension {
        CustomExtension::from_oid_content(&[1, 2, 3], vec![4, 1, content])
    }

    #[test]
    fn taking_the_poison_out_yields_the_tbs_that_never_had_it() {
        for (poisoned, clean) in [
            (vec![poison()], vec![]),
            (vec![poison(), other(1)], vec![other(1)]),
            (vec![other(1), poison()], vec![other(1)]),
        ] {
            let (poisoned, clean) = (certificate(poisoned), certificate(clean));
            let stripped = Parts::of(&poisoned).unwrap().tbs_without_poison().unwrap();
            assert_eq!(stripped, Parts::of(&clean).unwrap().tbs);
        }
    }

    #[test]
    fn a_poison_must_be_there_once_critical_and_null() {
        #[track_caller]
        fn check(custom: Vec<CustomExtension>) {
            let der = certificate(custom);
            let parts = Parts::of(&der).unwrap();
            assert_eq!(parts.tbs_without_poison(), Err(PartsError::Poison));
        }
        check(vec![]);
        check(vec![poison(), poison()]);
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
        check(vec![CustomExtension::from_oid_content(&oid, vec![5, 0])]);
    }

    #[test]
    fn the_parts_are_those_that_another_parser_sees() {
        let der = certificate(vec![]);
        let parts = Parts::of(&der).unwrap();
        let (_, theirs) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parts.tbs, theirs.tbs_certificate.as_ref());
        assert_eq!(parts.signature, &*theirs.signature_value.data);
        let algorithm = parts.signed().map(|signed| signed.algorithm);
        assert_eq!(algorithm, Some(SignatureAlgorithm::EcdsaP256Sha256));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let der = certificate(vec![]);
        assert_eq!(Parts::of(&der[..der.len() - 1]), Err(PartsError::Malformed));
        assert_eq!(Parts::of(&[&der[..], &[0]].concat()), Err(PartsError::Malformed));
        assert_eq!(Parts::of(&[]), Err(PartsError::Malformed));
        assert_eq!(Parts::of(&[0x30, 0]), Err(PartsError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(
            der in prop::collection::vec(any::<u8>(), 0..100),
            (position, octet) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let mut changed = certificate(vec![poison()]);
            let position = position.index(changed.len());
            changed[position] = octet;
            for der in [der, changed] {
                if let Ok(parts) = Parts::of(&der) {
                    let _ = parts.tbs_without_poison();
                }
            }
        }
    }
}
