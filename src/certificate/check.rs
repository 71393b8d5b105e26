//! The last look before a signature: what we wrote, read by another library, against what we meant.
//!
//! [`tbs`](super::tbs) writes octets; this module reads them with `der` and `x509-cert` and compares
//! every field with profile and grant. Nothing else makes a [`CheckedTbs`], and nothing else is signed,
//! so that a fault in the encoder, or in memory, ends as an error and not as a certificate.
//!
//! The fields are read where they lie: an owned `TbsCertificate` costs more than all the rest. Tags
//! and lengths are read by the library and the octets between them are compared with what is meant,
//! which needs no reading where DER has one way to write it.

use std::sync::LazyLock;
use std::time::Duration;

use der::asn1::{AnyRef, UintRef, Utf8StringRef};
use der::oid::ObjectIdentifier;
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::time::{Time, Validity};

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

impl From<der::Error> for CheckError {
    fn from(error: der::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
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
    let fields = Fields::read(&der)?;
    check_fields(tbs, &fields)?;
    let mut extensions = fields.extensions;
    check_shared_extensions(tbs, &mut extensions)?;
    check_fulcio_extensions(tbs, &mut extensions)?;
    check_ct_extension(ct, &mut extensions)?;
    match extensions.take()? {
        Some(more) => Err(CheckError::Unexpected(more.oid()?)),
        None => Ok(CheckedTbs { der }),
    }
}

/// The fields of a `TBSCertificate`, each whole where nothing is said.
struct Fields<'a> {
    version: &'a [u8],
    serial: UintRef<'a>,
    algorithm: &'a [u8],
    issuer: &'a [u8],
    validity: Validity,
    subject: &'a [u8],
    spki: &'a [u8],
    extensions: Extensions<'a>,
}

impl<'a> Fields<'a> {
    fn read(der: &'a [u8]) -> Result<Self, CheckError> {
        let mut reader = SliceReader::new(der)?;
        let fields = reader.sequence(|tbs| {
            Ok::<_, der::Error>(Self {
                version: tbs.tlv_bytes()?,
                serial: tbs.decode()?,
                algorithm: tbs.tlv_bytes()?,
                issuer: tbs.tlv_bytes()?,
                validity: tbs.decode()?,
                subject: tbs.tlv_bytes()?,
                spki: tbs.tlv_bytes()?,
                extensions: Extensions::read(tbs)?,
            })
        })?;
        reader.finish()?;
        Ok(fields)
    }
}

fn check_fields(tbs: &Tbs<'_>, read: &Fields<'_>) -> Result<(), CheckError> {
    let at = |time: Time, meant: Timestamp| {
        time.to_unix_duration() == Duration::from_millis(meant.as_millis())
    };
    let zeros = tbs.serial.as_bytes().iter().take_while(|octet| **octet == 0).count();
    let fields = [
        ("version", read.version == b"\xa0\x03\x02\x01\x02"),
        ("serial number", tbs.serial.as_bytes().get(zeros..) == Some(read.serial.as_bytes())),
        ("signature algorithm", read.algorithm == tbs.profile.algorithm.identifier()),
        ("issuer", read.issuer == tbs.profile.issuer),
        ("start", at(read.validity.not_before, tbs.validity.not_before)),
        ("end", at(read.validity.not_after, tbs.validity.not_after)),
        ("subject", read.subject == b"\x30\x00"),
        ("public key", read.spki == tbs.subject.key.spki()),
    ];
    match fields.into_iter().find(|field| !field.1) {
        Some((name, _)) => Err(CheckError::Field(name)),
        None => Ok(()),
    }
}

/// The extensions that are still to be compared.
struct Extensions<'a>(SliceReader<'a>);

impl<'a> Extensions<'a> {
    /// Reads the field, which is the last one: no unique identifiers before it.
    fn read(tbs: &mut SliceReader<'a>) -> der::Result<Self> {
        let field = content(AnyRef::decode(tbs)?, context_constructed(3))?;
        let list = content(AnyRef::from_der(field)?, Tag::Sequence)?;
        SliceReader::new(list).map(Self)
    }

    /// Takes the next extension.
    fn take(&mut self) -> der::Result<Option<Extension<'a>>> {
        if self.0.is_finished() {
            return Ok(None);
        }
        let extension = content(AnyRef::decode(&mut self.0)?, Tag::Sequence)?;
        let mut parts = SliceReader::new(extension)?;
        let oid = content(AnyRef::decode(&mut parts)?, Tag::ObjectIdentifier)?;
        let mut value = AnyRef::decode(&mut parts)?;
        let critical = value.tag() == Tag::Boolean;
        if critical {
            // DER leaves a default out.
            if value.value() != [0xff] {
                return Err(Tag::Boolean.value_error().into());
            }
            value = AnyRef::decode(&mut parts)?;
        }
        parts.finish()?;
        Ok(Some(Extension { oid, critical, value: content(value, Tag::OctetString)? }))
    }

    /// Takes the next extension, which must be of `kind` and of which `is_meant` must hold.
    fn next(
        &mut self,
        kind: Kind,
        is_meant: impl FnOnce(&'a [u8]) -> der::Result<bool>,
    ) -> Result<(), CheckError> {
        match self.take()? {
            Some(found) if found.is(kind) && is_meant(found.value) == Ok(true) => Ok(()),
            _ => Err(CheckError::Extension(kind.0)),
        }
    }
}

/// An extension, read as far as all extensions are alike.
struct Extension<'a> {
    /// The content of the object identifier.
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl Extension<'_> {
    fn oid(&self) -> der::Result<ObjectIdentifier> {
        ObjectIdentifier::from_bytes(self.oid).map_err(der::Error::from)
    }

    fn is(&self, (oid, critical): Kind) -> bool {
        self.oid == oid.as_bytes() && self.critical == critical
    }
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

const fn context_constructed(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// What is between tag and end of `any`, whose tag must be `tag`.
fn content(any: AnyRef<'_>, tag: Tag) -> der::Result<&[u8]> {
    any.tag().assert_eq(tag)?;
    Ok(any.value())
}

/// Whether `der` is one value, tagged `tag`, with the content that is meant.
fn is(der: &[u8], tag: Tag, meant: &[u8]) -> der::Result<bool> {
    Ok(content(AnyRef::from_der(der)?, tag)? == meant)
}

/// Key usage and extended key usage as the other library writes them: reading the former forgives
/// bits that are said to be unused.
static USAGES: LazyLock<[der::Result<Vec<u8>>; 2]> = LazyLock::new(|| {
    let usage = KeyUsage(KeyUsages::DigitalSignature.into());
    [usage.to_der(), ExtendedKeyUsage(vec![CODE_SIGNING]).to_der()]
});

fn check_shared_extensions(
    tbs: &Tbs<'_>,
    extensions: &mut Extensions<'_>,
) -> Result<(), CheckError> {
    let is_written = |value: &[u8], usage: &der::Result<Vec<u8>>| {
        usage.as_ref().map(|usage| value == usage).map_err(Clone::clone)
    };
    let [usage, extended_usage] = &*USAGES;
    extensions.next(KEY_USAGE, |value| is_written(value, usage))?;
    extensions.next(EXTENDED_KEY_USAGE, |value| is_written(value, extended_usage))?;
    extensions.next(SUBJECT_KEY_IDENTIFIER, |value| {
        is(value, Tag::OctetString, &tbs.subject.key.key_id())
    })?;
    if let Some(key_id) = &tbs.profile.authority_key_id {
        extensions.next(AUTHORITY_KEY_IDENTIFIER, |value| {
            is(content(AnyRef::from_der(value)?, Tag::Sequence)?, context(0), key_id)
        })?;
    }
    extensions.next(SUBJECT_ALT_NAME, |value| {
        is_san(content(AnyRef::from_der(value)?, Tag::Sequence)?, tbs.subject.san)
    })
}

/// Whether `names` is one name, the one that is meant.
fn is_san(names: &[u8], meant: &San) -> der::Result<bool> {
    match meant {
        San::Email(meant) => Ok(meant.is_ascii() && is(names, context(1), meant.as_bytes())?),
        San::Uri(meant) => Ok(meant.is_ascii() && is(names, context(6), meant.as_bytes())?),
        San::Username(meant) => {
            let GeneralName::OtherName(name) = GeneralName::from_der(names)? else {
                return Ok(false);
            };
            Ok(name.type_id == USERNAME
                && name.value.decode_as::<Utf8StringRef<'_>>()?.as_str() == meant)
        }
    }
}

fn check_fulcio_extensions(
    tbs: &Tbs<'_>,
    extensions: &mut Extensions<'_>,
) -> Result<(), CheckError> {
    for (extension, meant) in tbs.subject.extensions.iter() {
        let row = extension.row();
        let is_meant = |value: &[u8]| match row.encoding {
            Encoding::Raw => Ok(value == meant.as_bytes()),
            Encoding::Utf8 => is(value, Tag::Utf8String, meant.as_bytes()),
        };
        // An arc below 128 is one octet.
        let found = extensions.take()?.filter(|found| {
            found.oid.strip_prefix(FULCIO.as_bytes()) == Some(&[row.arc])
                && !found.critical
                && is_meant(found.value) == Ok(true)
        });
        if found.is_none() {
            let oid = FULCIO.push_arc(row.arc.into()).map_err(der::Error::from)?;
            return Err(CheckError::Extension(oid));
        }
    }
    Ok(())
}

fn check_ct_extension(
    ct: CtExtension<'_>,
    extensions: &mut Extensions<'_>,
) -> Result<(), CheckError> {
    match ct {
        CtExtension::Absent => Ok(()),
        CtExtension::Poison => extensions.next(POISON, |value| is(value, Tag::Null, &[])),
        CtExtension::Scts([]) => Err(CheckError::NoScts),
        CtExtension::Scts(meant) => extensions.next(SCT_LIST, |value| {
            let list = content(AnyRef::from_der(value)?, Tag::OctetString)?;
            Ok(sct::decode_list(list).is_ok_and(|scts| scts == meant))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Serial;
    use crate::certificate::fixture::{FIXTURE, NOW, key, profile, sct};
    use crate::certificate::tbs::Subject;
    use crate::ct::sct::Sct;
    use crate::extensions::{Extension, Extensions};

    #[test]
    fn passes_what_was_meant() {
        let tbs = FIXTURE.tbs();
        for ct in [CtExtension::Absent, CtExtension::Poison, CtExtension::Scts(&[sct()])] {
            assert_eq!(tbs.check(ct).unwrap().der(), tbs.encode(ct));
        }
    }

    #[test]
    fn notices_every_octet() {
        let tbs = FIXTURE.tbs();
        for ct in [CtExtension::Absent, CtExtension::Poison, CtExtension::Scts(&[sct()])] {
            let der = tbs.encode(ct);
            for at in 0..der.len() {
                for bit in [1, 0x20, 0x80] {
                    let mut bent = der.clone();
                    bent[at] ^= bit;
                    assert!(check(&tbs, bent, ct).is_err(), "{ct:?}: octet {at}, bit {bit}");
                }
            }
            assert!(check(&tbs, [&der[..], &[0]].concat(), ct).is_err());
            assert!(check(&tbs, der[..der.len() - 1].to_vec(), ct).is_err());
        }
    }

    #[test]
    fn notices_every_octet_of_every_kind_of_name() {
        let text = || "me@issuer.example".to_owned();
        for san in [San::Email(text()), San::Uri(text()), San::Username(text())] {
            let subject = Subject { san: &san, ..FIXTURE.subject() };
            let tbs = FIXTURE.profile.tbs(subject, Serial::from_bytes([1; 20]), NOW).unwrap();
            let der = tbs.encode(CtExtension::Absent);
            for (at, bit) in (0..der.len()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
                let mut bent = der.clone();
                bent[at] ^= bit;
                assert!(check(&tbs, bent, CtExtension::Absent).is_err(), "{san:?}: {at}, {bit}");
            }
            check(&tbs, der, CtExtension::Absent).unwrap();
        }
    }

    #[test]
    fn refuses_a_name_that_is_not_ascii() {
        for san in [San::Email("ü@issuer.example".into()), San::Uri("urn:ü".into())] {
            let subject = Subject { san: &san, ..FIXTURE.subject() };
            let tbs = FIXTURE.profile.tbs(subject, Serial::from_bytes([1; 20]), NOW).unwrap();
            let refused = tbs.check(CtExtension::Poison).unwrap_err();
            assert_eq!(refused, CheckError::Extension(SUBJECT_ALT_NAME.0));
        }
    }

    #[test]
    fn notices_another_ct_extension() {
        let (tbs, scts) = (FIXTURE.tbs(), [sct()]);
        let [absent, poison, list] =
            [CtExtension::Absent, CtExtension::Poison, CtExtension::Scts(&scts)];
        let swap = |written, meant| check(&tbs, tbs.encode(written), meant).unwrap_err();
        assert_eq!(swap(absent, poison), CheckError::Extension(POISON.0));
        assert_eq!(swap(absent, list), CheckError::Extension(SCT_LIST.0));
        assert_eq!(swap(list, poison), CheckError::Extension(POISON.0));
        assert_eq!(swap(poison, list), CheckError::Extension(SCT_LIST.0));
        assert_eq!(swap(poison, absent), CheckError::Unexpected(POISON.0));
        assert_eq!(swap(list, absent), CheckError::Unexpected(SCT_LIST.0));
        let later = Sct { leaf_index: 70_001, ..sct() };
        assert_eq!(swap(list, CtExtension::Scts(&[later])), CheckError::Extension(SCT_LIST.0));
    }

    #[test]
    fn refuses_an_empty_sct_list() {
        let tbs = FIXTURE.tbs();
        assert_eq!(tbs.check(CtExtension::Scts(&[])).unwrap_err(), CheckError::NoScts);
    }

    /// Holds one certificate's octets against another's meaning.
    #[track_caller]
    fn bite(meant: &Tbs<'_>, expected: CheckError) {
        let written = FIXTURE.tbs().encode(CtExtension::Poison);
        assert_eq!(check(meant, written, CtExtension::Poison).unwrap_err(), expected);
    }

    #[test]
    fn notices_another_meaning() {
        let other = Serial::from_bytes([1; 20]);
        bite(&Tbs { serial: other, ..FIXTURE.tbs() }, CheckError::Field("serial number"));

        let mut tbs = FIXTURE.tbs();
        tbs.validity.not_before = NOW.minus(Duration::from_secs(1));
        bite(&tbs, CheckError::Field("start"));
        let mut tbs = FIXTURE.tbs();
        tbs.validity.not_after = NOW.plus(Duration::from_secs(601));
        bite(&tbs, CheckError::Field("end"));

        let mut other = profile(&FIXTURE.chain);
        other.algorithm = crate::algorithm::SignatureAlgorithm::EcdsaP384Sha384;
        bite(&Tbs { profile: &other, ..FIXTURE.tbs() }, CheckError::Field("signature algorithm"));
        let mut other = profile(&FIXTURE.chain);
        other.issuer.pop();
        bite(&Tbs { profile: &other, ..FIXTURE.tbs() }, CheckError::Field("issuer"));
        let mut other = profile(&FIXTURE.chain);
        other.authority_key_id = Some(vec![1; 20]);
        bite(
            &Tbs { profile: &other, ..FIXTURE.tbs() },
            CheckError::Extension(AUTHORITY_KEY_IDENTIFIER.0),
        );
        other.authority_key_id = None;
        bite(&Tbs { profile: &other, ..FIXTURE.tbs() }, CheckError::Extension(SUBJECT_ALT_NAME.0));
    }

    #[test]
    fn notices_another_subject() {
        let subject = FIXTURE.subject();
        let key = key();
        let meant = Tbs { subject: Subject { key: &key, ..subject }, ..FIXTURE.tbs() };
        bite(&meant, CheckError::Field("public key"));

        let San::Uri(uri) = &FIXTURE.san else { panic!() };
        for san in
            [San::Uri(format!("{uri}x")), San::Email(uri.clone()), San::Username(uri.clone())]
        {
            let meant = Tbs { subject: Subject { san: &san, ..subject }, ..FIXTURE.tbs() };
            bite(&meant, CheckError::Extension(SUBJECT_ALT_NAME.0));
        }

        let with = |extension: Extension, value: &str| {
            let mut extensions: Extensions = FIXTURE.extensions.clone();
            extensions.set(extension, value.to_owned());
            let oid = FULCIO.push_arc(extension.row().arc.into()).unwrap();
            (extensions, oid)
        };
        let issuer = Extension::named("issuer").unwrap();
        let trigger = Extension::named("build-trigger").unwrap();
        for (extensions, oid) in [with(issuer, "https://other"), with(trigger, "push")] {
            let subject = Subject { extensions: &extensions, ..subject };
            bite(&Tbs { subject, ..FIXTURE.tbs() }, CheckError::Extension(oid));
        }
        let (extensions, oid) = with(Extension::named("subject").unwrap(), "");
        let subject = Subject { extensions: &extensions, ..subject };
        assert_eq!(
            check(
                &Tbs { subject, ..FIXTURE.tbs() },
                FIXTURE.tbs().encode(CtExtension::Absent),
                CtExtension::Absent
            )
            .unwrap_err(),
            CheckError::Unexpected(oid)
        );
    }

    /// Each extension DER, in order.
    fn split(extensions: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = SliceReader::new(extensions).unwrap();
        let mut found = Vec::new();
        while !reader.is_finished() {
            found.push(reader.tlv_bytes().unwrap().to_vec());
        }
        found
    }

    #[test]
    fn notices_missing_doubled_and_swapped_extensions() {
        let tbs = FIXTURE.tbs();
        let extensions = split(&tbs.extensions);
        let refused = |extensions: Vec<Vec<u8>>| {
            let bent = Tbs { extensions: extensions.concat(), ..tbs.clone() };
            check(&tbs, bent.encode(CtExtension::Poison), CtExtension::Poison).is_err()
        };
        for at in 0..extensions.len() {
            let mut missing = extensions.clone();
            missing.remove(at);
            assert!(refused(missing), "without {at}");
            let mut doubled = extensions.clone();
            doubled.insert(at, extensions[at].clone());
            assert!(refused(doubled), "{at} twice");
            if at > 0 {
                let mut swapped = extensions.clone();
                swapped.swap(at - 1, at);
                assert!(refused(swapped), "{at} too early");
            }
        }
    }

    #[test]
    fn notices_a_subject_name_and_a_unique_identifier() {
        let tbs = FIXTURE.tbs();
        let at = tbs.fields.len() - tbs.subject.key.spki().len() - 2;
        assert_eq!(tbs.fields[at..at + 2], [0x30, 0]);
        let mut bent = tbs.clone();
        bent.fields.splice(
            at..at + 2,
            b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x".iter().copied(),
        );
        let error = check(&tbs, bent.encode(CtExtension::Absent), CtExtension::Absent);
        assert_eq!(error.unwrap_err(), CheckError::Field("subject"));
        let mut bent = tbs.clone();
        bent.fields.extend(b"\x81\x02\x00\x01");
        let error = check(&tbs, bent.encode(CtExtension::Absent), CtExtension::Absent);
        assert!(matches!(error, Err(CheckError::Unreadable(_))));
    }
}
