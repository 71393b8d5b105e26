//! An issued certificate read back from its bytes: for people, and for whoever trusts no server.
//!
//! Nothing here shares code with the encoder in [`crate::certificate`]: names come from `x509-cert`,
//! and what the log hashed is found by taking the SCT list out of the certificate again, so that a
//! mistake of the encoder shows.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::algorithm::SignatureAlgorithm;
use crate::ct::entry::Entry;
use crate::ct::sct::{Sct, decode_list};
use crate::extensions::{Encoding, Extension};
use crate::time::Timestamp;
use crate::tlog::merkle::{Hash, leaf_hash};

/// RFC 6962 §3.3.
const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// RFC 6962 §3.1.
const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
/// RFC 5280 §4.2.1.6.
const SAN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// A certificate or precertificate as its bytes say it.
#[derive(Clone, Debug)]
pub struct Reading {
    der: Vec<u8>,
    certificate: Certificate,
}

impl Reading {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Unreadable`] when `der` is no DER certificate, or has bytes behind it.
    pub fn of(der: &[u8]) -> Result<Self, ReadingError> {
        let certificate = Certificate::from_der(der).map_err(|_| ReadingError::Unreadable)?;
        Ok(Self { der: der.to_vec(), certificate })
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Unreadable`] when there is none.
    pub fn of_pem(pem: &str) -> Result<Self, ReadingError> {
        let chain = Certificate::load_pem_chain(pem.as_bytes());
        let first = chain.ok().and_then(|chain| chain.into_iter().next());
        let certificate = first.ok_or(ReadingError::Unreadable)?;
        let der = certificate.to_der().map_err(|_| ReadingError::Unreadable)?;
        Ok(Self { der, certificate })
    }

    /// The serial number, lower-case hex.
    pub fn serial(&self) -> String {
        let serial = self.certificate.tbs_certificate().serial_number();
        serial.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// First and last second of validity.
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        let validity = self.certificate.tbs_certificate().validity();
        let point = |time: x509_cert::time::Time| {
            Timestamp::from_secs(time.to_unix_duration().as_secs())
        };
        (point(validity.not_before), point(validity.not_after))
    }

    /// The subject alternative names, each as text: URI, e-mail address or `name!domain`.
    pub fn sans(&self) -> Vec<String> {
        let Some(value) = self.extension(SAN) else { return Vec::new() };
        let Ok(names) = SubjectAltName::from_der(value) else { return Vec::new() };
        names.0.iter().map(name_text).collect()
    }

    /// Fulcio's extensions in certificate order: kebab-case name and text.
    pub fn extensions(&self) -> Vec<(&'static str, String)> {
        let mut read = Vec::new();
        for extension in Extension::all() {
            let Ok(oid) = ObjectIdentifier::from_der(&extension.oid()) else { continue };
            let Some(value) = self.extension(oid) else { continue };
            let text = match extension.row().encoding {
                Encoding::Raw => String::from_utf8_lossy(value).into_owned(),
                Encoding::Utf8 => match Utf8StringRef::from_der(value) {
                    Ok(text) => text.as_str().to_owned(),
                    Err(_) => continue,
                },
            };
            read.push((extension.row().name, text));
        }
        read
    }

    /// Whether `issuer`'s key signed this certificate, and `issuer`'s subject is its issuer name.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Issuer`] or [`ReadingError::Signature`].
    pub fn verify_issued_by(&self, issuer: &Reading) -> Result<(), ReadingError> {
        let ours = self.certificate.tbs_certificate().issuer();
        if ours != issuer.certificate.tbs_certificate().subject() {
            return Err(ReadingError::Issuer);
        }
        let identifier = self.certificate.signature_algorithm().to_der();
        let algorithm = SignatureAlgorithm::ALL
            .into_iter()
            .find(|a| identifier.as_ref().is_ok_and(|der| der == a.identifier()))
            .ok_or(ReadingError::Signature)?;
        let spki = issuer.spki()?;
        let signature = self.certificate.signature().raw_bytes();
        verify(&spki, algorithm, (self.tbs()?, signature)).ok_or(ReadingError::Signature)
    }

    /// The subject's public key: DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Unreadable`].
    pub fn spki(&self) -> Result<Vec<u8>, ReadingError> {
        let spki = self.certificate.tbs_certificate().subject_public_key_info();
        spki.to_der().map_err(|_| ReadingError::Unreadable)
    }

    /// The one embedded SCT.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`] when there is none, more than one, or one that cannot be read.
    pub fn sct(&self) -> Result<Sct, ReadingError> {
        let value = self.extension(SCT_LIST).ok_or(ReadingError::Sct)?;
        let list = <&OctetStringRef>::from_der(value).map_err(|_| ReadingError::Sct)?;
        let mut scts = decode_list(list.as_bytes()).map_err(|_| ReadingError::Sct)?;
        match (scts.pop(), scts.is_empty()) {
            (Some(sct), true) => Ok(sct),
            _ => Err(ReadingError::Sct),
        }
    }

    /// What the log hashed for this certificate: the `MerkleTreeLeaf`, rebuilt from the certificate
    /// alone. `issuer_spki` is the issuing certificate's key, DER.
    ///
    /// Spec: RFC 6962 §3.2, §3.4; the SCT list taken out again, nothing else touched.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`], [`ReadingError::Unreadable`].
    pub fn merkle_tree_leaf(&self, issuer_spki: &[u8]) -> Result<Vec<u8>, ReadingError> {
        let sct = self.sct()?;
        let entry = Entry {
            issuer_key_hash: sha256(issuer_spki),
            tbs: self.logged_tbs()?,
            precertificate: Vec::new(),
            chain: [].into(),
        };
        Ok(entry.merkle_tree_leaf(sct.timestamp, sct.leaf_index))
    }

    /// Verifies the embedded SCT with the log's key; yields it and the hash of its leaf.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`] when it is not of this log, or its signature does not hold.
    pub fn verify_sct(
        &self,
        log_spki: &[u8],
        issuer_spki: &[u8],
    ) -> Result<(Sct, Hash), ReadingError> {
        let sct = self.sct()?;
        let leaf = self.merkle_tree_leaf(issuer_spki)?;
        if sct.log_id != sha256(log_spki) {
            return Err(ReadingError::Sct);
        }
        verify(log_spki, sct.algorithm, (&leaf, &sct.signature)).ok_or(ReadingError::Sct)?;
        Ok((sct, leaf_hash(&leaf)))
    }

    fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let extensions = self.certificate.tbs_certificate().extensions()?;
        let extension = extensions.iter().find(|extension| extension.extn_id == oid)?;
        Some(extension.extn_value.as_bytes())
    }

    /// The signed bytes, as they stand in the certificate.
    fn tbs(&self) -> Result<&[u8], ReadingError> {
        let unreadable = |_| ReadingError::Unreadable;
        let certificate = AnyRef::from_der(&self.der).map_err(unreadable)?;
        let mut reader = SliceReader::new(certificate.value()).map_err(unreadable)?;
        reader.tlv_bytes().map_err(unreadable)
    }

    /// The TBS without SCT list or poison, every other byte kept.
    fn logged_tbs(&self) -> Result<Vec<u8>, ReadingError> {
        let unreadable = |_| ReadingError::Unreadable;
        let tbs = AnyRef::from_der(self.tbs()?).map_err(unreadable)?;
        let mut reader = SliceReader::new(tbs.value()).map_err(unreadable)?;
        let mut content = Vec::new();
        while !reader.is_finished() {
            let field = reader.tlv_bytes().map_err(unreadable)?;
            let any = AnyRef::from_der(field).map_err(unreadable)?;
            // `[3] EXPLICIT Extensions`, RFC 5280 §4.1.
            if field.first() == Some(&0xa3) {
                let kept = without_ct_extensions(any.value())?;
                content.extend(tlv(any.tag(), &tlv(Tag::Sequence, &kept)?)?);
            } else {
                content.extend_from_slice(field);
            }
        }
        tlv(Tag::Sequence, &content)
    }
}

/// The elements of `extensions` (a DER `SEQUENCE OF Extension`) but those of certificate transparency.
fn without_ct_extensions(extensions: &[u8]) -> Result<Vec<u8>, ReadingError> {
    let unreadable = |_| ReadingError::Unreadable;
    let sequence = AnyRef::from_der(extensions).map_err(unreadable)?;
    let mut reader = SliceReader::new(sequence.value()).map_err(unreadable)?;
    let mut kept = Vec::new();
    while !reader.is_finished() {
        let bytes = reader.tlv_bytes().map_err(unreadable)?;
        let extension = x509_cert::ext::Extension::from_der(bytes).map_err(unreadable)?;
        if extension.extn_id != SCT_LIST && extension.extn_id != POISON {
            kept.extend_from_slice(bytes);
        }
    }
    Ok(kept)
}

fn tlv(tag: Tag, content: &[u8]) -> Result<Vec<u8>, ReadingError> {
    AnyRef::new(tag, content)
        .and_then(|any| any.to_der())
        .map_err(|_| ReadingError::Unreadable)
}

fn name_text(name: &GeneralName) -> String {
    match name {
        GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text)
        | GeneralName::DnsName(text) => text.to_string(),
        GeneralName::OtherName(other) => match other.value.decode_as::<Utf8StringRef<'_>>() {
            Ok(text) => text.as_str().to_owned(),
            Err(_) => "an otherName that is no text".to_owned(),
        },
        other => format!("{other:?}"),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Whether `signed`'s second part is a signature of its first by the key `spki` (DER); `None` if not.
///
/// The key must be of the algorithm's kind; curves and hashes go together as everywhere here.
pub fn verify(spki: &[u8], algorithm: SignatureAlgorithm, signed: (&[u8], &[u8])) -> Option<()> {
    let parsed = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(spki).ok()?;
    let verifier: &'static dyn VerificationAlgorithm = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SignatureAlgorithm::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SignatureAlgorithm::EcdsaP521Sha512 => &signature::ECDSA_P521_SHA512_ASN1,
        SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignatureAlgorithm::Ed25519 => &signature::ED25519,
    };
    let key = UnparsedPublicKey::new(verifier, parsed.subject_public_key.raw_bytes());
    key.verify(signed.0, signed.1).ok()
}

/// Why a certificate does not say what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// Not a DER certificate.
    #[error("these bytes are no DER certificate")]
    Unreadable,
    /// Another authority's name.
    #[error("the certificate names another issuer than the authority's issuing certificate")]
    Issuer,
    /// The authority's signature.
    #[error("the authority's signature does not hold")]
    Signature,
    /// The log's timestamp.
    #[error("the certificate has no SCT of this log that holds")]
    Sct,
}
