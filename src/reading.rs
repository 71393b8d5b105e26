//! An issued certificate read back from its bytes: for people, and for whoever trusts no server.
//!
//! Nothing here shares code with the encoder in [`crate::certificate`]: names come from `x509-cert`,
//! and what the log hashed is found by taking the SCT list out of the certificate again, so that a
//! mistake of the encoder shows.

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::oid::AssociatedOid;
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

use crate::algorithm::SignatureAlgorithm;
use crate::ct::entry::Entry;
use crate::ct::sct::{AnySct, Sct, decode_list};
use crate::extensions::{Encoding, Extension};
use crate::time::Timestamp;
use crate::tlog::key::PublicKey;
use crate::tlog::merkle::{Hash, leaf_hash};
use crate::tlog::tls::DigitallySigned;

/// RFC 6962 §3.3.
const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// RFC 6962 §3.1.
const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
/// What may be critical: names, key usage, purposes, and that it is no authority's.
const KNOWN: [ObjectIdentifier; 4] =
    [SAN, KeyUsage::OID, ExtendedKeyUsage::OID, BasicConstraints::OID];
/// id-kp-codeSigning.
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
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

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The serial number, lower-case hex.
    pub fn serial(&self) -> String {
        let serial = self.certificate.tbs_certificate().serial_number();
        serial.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// The certified key, DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Unreadable`], although it was read.
    pub fn spki(&self) -> Result<Vec<u8>, ReadingError> {
        let spki = self.certificate.tbs_certificate().subject_public_key_info().to_der();
        spki.map_err(|_| ReadingError::Unreadable)
    }

    /// First and last second of validity.
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        let validity = self.certificate.tbs_certificate().validity();
        let point =
            |time: x509_cert::time::Time| Timestamp::from_secs(time.to_unix_duration().as_secs());
        (point(validity.not_before), point(validity.not_after))
    }

    /// The subject alternative names, each as text: URI, e-mail address or `name!domain`.
    pub fn sans(&self) -> Vec<String> {
        let Some(value) = self.extension(SAN) else { return Vec::new() };
        let Ok(names) = SubjectAltName::from_der(value) else { return Vec::new() };
        names.0.iter().map(name_text).collect()
    }

    /// Whether it is for an e-mail address.
    pub fn is_email(&self) -> bool {
        let names = self.extension(SAN).and_then(|value| SubjectAltName::from_der(value).ok());
        let names = names.map(|names| names.0).unwrap_or_default();
        names.iter().any(|name| matches!(name, GeneralName::Rfc822Name(_)))
    }

    /// Whether it may sign, and sign code.
    ///
    /// Spec: RFC 5280 §4.2.1.3, §4.2.1.12.
    pub fn signs_code(&self) -> bool {
        let tbs = self.certificate.tbs_certificate();
        let usage = tbs.get_extension::<KeyUsage>().ok().flatten();
        let purposes = tbs.get_extension::<ExtendedKeyUsage>().ok().flatten();
        usage.is_some_and(|(_, usage)| usage.digital_signature())
            && purposes.is_some_and(|(_, purposes)| purposes.0.contains(&CODE_SIGNING))
    }

    /// An extension that is critical and not one that a verifier of signatures knows.
    ///
    /// Spec: RFC 5280 §4.2.
    pub fn unknown_critical(&self) -> Option<ObjectIdentifier> {
        let extensions = self.certificate.tbs_certificate().extensions().into_iter().flatten();
        let mut critical = extensions.filter(|it| it.critical).map(|it| it.extn_id);
        critical.find(|oid| !KNOWN.contains(oid))
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
        let signature = self.certificate.signature().raw_bytes().to_vec();
        issuer
            .public_key()?
            .verify(self.tbs()?, &DigitallySigned { algorithm, signature })
            .map_err(|_| ReadingError::Signature)
    }

    /// The subject's public key.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Unreadable`] when it is of a kind that signs no certificates here.
    pub fn public_key(&self) -> Result<PublicKey, ReadingError> {
        PublicKey::from_certificate(&self.der).map_err(|_| ReadingError::Unreadable)
    }

    /// The one embedded SCT.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`] when there is none, more than one, or one that cannot be read.
    pub fn sct(&self) -> Result<Sct, ReadingError> {
        let mut scts = decode_list(self.sct_list()?).map_err(|_| ReadingError::Sct)?;
        match (scts.pop(), scts.is_empty()) {
            (Some(sct), true) => Ok(sct),
            _ => Err(ReadingError::Sct),
        }
    }

    /// What the log hashed for this certificate: the `MerkleTreeLeaf`, rebuilt from the certificate
    /// alone. `issuer` is the issuing certificate's key.
    ///
    /// Spec: RFC 6962 §3.2, §3.4; the SCT list taken out again, nothing else touched.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`], [`ReadingError::Unreadable`].
    pub fn merkle_tree_leaf(&self, issuer: &PublicKey) -> Result<Vec<u8>, ReadingError> {
        let sct = self.sct()?;
        Ok(self.entry(issuer)?.merkle_tree_leaf(sct.timestamp, sct.leaf_index))
    }

    /// Verifies the embedded SCT with the log's key; yields it and the hash of its leaf.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`] when it is not of this log, or its signature does not hold.
    pub fn verify_sct(
        &self,
        log: &PublicKey,
        issuer: &PublicKey,
    ) -> Result<(Sct, Hash), ReadingError> {
        let sct = self.sct()?;
        let leaf = self.merkle_tree_leaf(issuer)?;
        if sct.log_id != log.id() {
            return Err(ReadingError::Sct);
        }
        log.verify(&leaf, &sct.signed()).map_err(|_| ReadingError::Sct)?;
        Ok((sct, leaf_hash(&leaf)))
    }

    /// The embedded SCTs, of whatever logs.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`] when there is none, or one that cannot be read.
    pub fn scts(&self) -> Result<Vec<AnySct>, ReadingError> {
        AnySct::decode_list(self.sct_list()?).map_err(|_| ReadingError::Sct)
    }

    /// Verifies an embedded SCT with the key of its log; `issuer` is the issuing certificate's key.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Sct`], [`ReadingError::Unreadable`].
    pub fn verify_promise(
        &self,
        sct: &AnySct,
        (log, issuer): (&PublicKey, &PublicKey),
    ) -> Result<(), ReadingError> {
        let leaf = self.entry(issuer)?.promised_leaf(sct.timestamp, &sct.extensions);
        log.verify(&leaf, &sct.signed).map_err(|_| ReadingError::Sct)
    }

    fn sct_list(&self) -> Result<&[u8], ReadingError> {
        let value = self.extension(SCT_LIST).ok_or(ReadingError::Sct)?;
        <&OctetStringRef>::from_der(value)
            .map(OctetStringRef::as_bytes)
            .map_err(|_| ReadingError::Sct)
    }

    /// What a log took for this certificate, as far as the certificate says it.
    fn entry(&self, issuer: &PublicKey) -> Result<Entry, ReadingError> {
        Ok(Entry {
            issuer_key_hash: issuer.id(),
            tbs: self.logged_tbs()?,
            precertificate: Vec::new(),
            chain: [].into(),
        })
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
    AnyRef::new(tag, content).and_then(|any| any.to_der()).map_err(|_| ReadingError::Unreadable)
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
        other @ (GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::IpAddress(_)
        | GeneralName::RegisteredId(_)) => format!("{other:?}"),
    }
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
