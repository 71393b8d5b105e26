//! The last look before a signature: what we wrote, read by another library, against what we meant.
//!
//! [`tbs`](super::tbs) writes octets; this module reads them with `x509-cert` and compares every field
//! with profile and grant. Nothing else makes a [`CheckedTbs`], and nothing else is signed, so that a
//! fault in the encoder, or in memory, ends as an error and not as a certificate.

use der::asn1::{Null, OctetStringRef, Utf8StringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode};
use x509_cert::TbsCertificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::time::Time;

use super::tbs::{CtExtension, Tbs};
use crate::ct::sct;
use crate::extensions::Encoding;
use crate::identity::San;
use crate::time::Timestamp;

/// A DER `TBSCertificate` that was read back and compared. Not `Clone`: a signature spends it.
#[derive(Debug)]
pub struct CheckedTbs {
    der: Vec<u8>,
}

impl CheckedTbs {
    /// The octets to sign.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// What we were about to sign is not what we meant: a fault of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The other library cannot read it.
    #[error("the certificate to be signed cannot be read back: {0}")]
    Unreadable(String),
    /// A field is not what profile and grant say.
    #[error("the certificate to be signed has another {0} than was meant")]
    Field(&'static str),
    /// An extension is missing, out of order, or not what profile and grant say.
    #[error(
        "the certificate to be signed has not the extension {0} that was meant, where it was meant"
    )]
    Extension(ObjectIdentifier),
    /// One extension more than was meant.
    #[error("the certificate to be signed has an extension {0} that was not meant")]
    Unexpected(ObjectIdentifier),
    /// A certificate without an SCT would not be known to be logged.
    #[error("the certificate to be signed has an SCT list without an SCT")]
    NoScts,
}

/// An extension's object identifier, and whether it is critical.
type Kind = (ObjectIdentifier, bool);

const KEY_USAGE: Kind = (ObjectIdentifier::new_unwrap("2.5.29.15"), true);
const EXTENDED_KEY_USAGE: Kind = (ObjectIdentifier::new_unwrap("2.5.29.37"), false);
const SUBJECT_KEY_IDENTIFIER: Kind = (ObjectIdentifier::new_unwrap("2.5.29.14"), false);
const AUTHORITY_KEY_IDENTIFIER: Kind = (ObjectIdentifier::new_unwrap("2.5.29.35"), false);
const SUBJECT_ALT_NAME: Kind = (ObjectIdentifier::new_unwrap("2.5.29.17"), true);
const POISON: Kind = (ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3"), true);
const SCT_LIST: Kind = (ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2"), false);

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
const USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// Compares `der` with what `tbs` means.
pub(super) fn check(
    tbs: &Tbs<'_>,
    der: Vec<u8>,
    ct: CtExtension<'_>,
) -> Result<CheckedTbs, CheckError> {
    let parsed = TbsCertificate::from_der(&der)
        .map_err(|error| CheckError::Unreadable(error.to_string()))?;
    check_fields(tbs, &parsed)?;
    let mut extensions = Extensions(parsed.extensions().map(Vec::as_slice).unwrap_or_default());
    check_shared_extensions(tbs, &mut extensions)?;
    check_fulcio_extensions(tbs, &mut extensions)?;
    check_ct_extension(ct, &mut extensions)?;
    match extensions.0.first() {
        Some(extension) => Err(CheckError::Unexpected(extension.extn_id)),
        None => Ok(CheckedTbs { der }),
    }
}

fn check_fields(tbs: &Tbs<'_>, parsed: &TbsCertificate) -> Result<(), CheckError> {
    let is = |encoded: der::Result<Vec<u8>>, meant: &[u8]| encoded.is_ok_and(|der| der == meant);
    let at = |time: Time, meant: Timestamp| {
        time.to_unix_duration() == std::time::Duration::from_millis(meant.as_millis())
    };
    let serial = parsed.serial_number().as_bytes();
    let key = parsed.subject_public_key_info();
    let no_ids = parsed.issuer_unique_id().is_none() && parsed.subject_unique_id().is_none();
    let fields = [
        ("version", parsed.version() == Version::V3),
        ("serial number", strip_zeros(serial) == strip_zeros(tbs.serial.as_bytes())),
        (
            "signature algorithm",
            is(parsed.signature().to_der(), tbs.profile.algorithm.identifier()),
        ),
        ("issuer", is(parsed.issuer().to_der(), &tbs.profile.issuer)),
        ("start", at(parsed.validity().not_before, tbs.validity.not_before)),
        ("end", at(parsed.validity().not_after, tbs.validity.not_after)),
        ("subject", parsed.subject().is_empty()),
        ("public key", is(key.to_der(), tbs.subject.key.spki())),
        ("unique identifier", no_ids),
    ];
    match fields.into_iter().find(|field| !field.1) {
        Some((name, _)) => Err(CheckError::Field(name)),
        None => Ok(()),
    }
}

fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The extensions that are still to be compared.
struct Extensions<'a>(&'a [x509_cert::ext::Extension]);

impl<'a> Extensions<'a> {
    /// Takes the next extension, which must be of `kind` and of which `is_meant` must hold.
    fn next(
        &mut self,
        kind: Kind,
        is_meant: impl FnOnce(&'a [u8]) -> der::Result<bool>,
    ) -> Result<(), CheckError> {
        match self.0.split_first() {
            Some((extension, rest))
                if (extension.extn_id, extension.critical) == kind
                    && is_meant(extension.extn_value.as_bytes()) == Ok(true) =>
            {
                self.0 = rest;
                Ok(())
            }
            _ => Err(CheckError::Extension(kind.0)),
        }
    }
}

fn check_shared_extensions(
    tbs: &Tbs<'_>,
    extensions: &mut Extensions<'_>,
) -> Result<(), CheckError> {
    extensions.next(KEY_USAGE, |value| {
        Ok(KeyUsage::from_der(value)? == KeyUsage(KeyUsages::DigitalSignature.into()))
    })?;
    extensions.next(EXTENDED_KEY_USAGE, |value| {
        Ok(ExtendedKeyUsage::from_der(value)?.0 == [CODE_SIGNING])
    })?;
    extensions.next(SUBJECT_KEY_IDENTIFIER, |value| {
        Ok(SubjectKeyIdentifier::from_der(value)?.0.as_bytes() == tbs.subject.key.key_id())
    })?;
    if let Some(key_id) = &tbs.profile.authority_key_id {
        extensions.next(AUTHORITY_KEY_IDENTIFIER, |value| {
            let parsed = AuthorityKeyIdentifier::from_der(value)?;
            Ok(parsed.key_identifier.is_some_and(|id| id.as_bytes() == key_id)
                && parsed.authority_cert_issuer.is_none()
                && parsed.authority_cert_serial_number.is_none())
        })?;
    }
    extensions.next(SUBJECT_ALT_NAME, |value| match SubjectAltName::from_der(value)?.0.as_slice() {
        [name] => is_san(name, tbs.subject.san),
        _ => Ok(false),
    })
}

fn is_san(name: &GeneralName, meant: &San) -> der::Result<bool> {
    Ok(match (meant, name) {
        (San::Email(meant), GeneralName::Rfc822Name(name)) => name.as_str() == meant,
        (San::Uri(meant), GeneralName::UniformResourceIdentifier(name)) => name.as_str() == meant,
        (San::Username(meant), GeneralName::OtherName(name)) => {
            name.type_id == USERNAME
                && name.value.decode_as::<Utf8StringRef<'_>>()?.as_str() == meant
        }
        _ => false,
    })
}

fn check_fulcio_extensions(
    tbs: &Tbs<'_>,
    extensions: &mut Extensions<'_>,
) -> Result<(), CheckError> {
    for (extension, meant) in tbs.subject.extensions.iter() {
        let row = extension.row();
        let oid = FULCIO
            .push_arc(row.arc.into())
            .map_err(|error| CheckError::Unreadable(error.to_string()))?;
        extensions.next((oid, false), |value| match row.encoding {
            Encoding::Raw => Ok(value == meant.as_bytes()),
            Encoding::Utf8 => Ok(Utf8StringRef::from_der(value)?.as_str() == meant),
        })?;
    }
    Ok(())
}

fn check_ct_extension(
    ct: CtExtension<'_>,
    extensions: &mut Extensions<'_>,
) -> Result<(), CheckError> {
    match ct {
        CtExtension::Absent => Ok(()),
        CtExtension::Poison => extensions.next(POISON, |value| Null::from_der(value).map(|_| true)),
        CtExtension::Scts([]) => Err(CheckError::NoScts),
        CtExtension::Scts(meant) => extensions.next(SCT_LIST, |value| {
            let list = <&OctetStringRef>::from_der(value)?;
            Ok(sct::decode_list(list.as_bytes()).is_ok_and(|scts| scts == meant))
        }),
    }
}
