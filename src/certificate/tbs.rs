//! One certificate to be, and its three encodings.
//!
//! ```text
//! TBSCertificate ::= SEQUENCE {
//!   a0 03 02 01 02                  version 3
//!   02 14 …                         serial number
//!   30 0a …                         signature algorithm
//!   30 … , 30 1e …, 30 00, 30 …     issuer, validity, subject (empty), public key
//!   a3 …                            extensions, in this order:
//!                                     key usage!, extended key usage, subject key identifier,
//!                                     authority key identifier, subject alternative name!,
//!                                     1.3.6.1.4.1.57264.1.*,
//!                                     and one of: poison!, nothing, SCT list }  (! critical)
//! ```
//!
//! RFC 6962 knows one certificate in three forms: with poison (the precertificate), with neither
//! (what the log hashes), with the SCT list (the certificate). Here the three are the same octets,
//! and the last extension.
//!
//! Spec: RFC 5280 §4.1, RFC 6962 §3.1–3.3.

use super::check::{self, CheckError, CheckedTbs};
use super::profile::Profile;
use super::{Certificate, Serial};
use crate::asn1;
use crate::ct::entry::Entry;
use crate::ct::sct::{self, Sct};
use crate::extensions::{Encoding, Extension, Extensions};
use crate::identity::San;
use crate::possession::ProvenKey;
use crate::time::Timestamp;

/// Key usage, critical: digitalSignature.
const KEY_USAGE: &[u8] = b"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80";
/// Extended key usage: codeSigning.
const EXTENDED_KEY_USAGE: &[u8] =
    b"\x30\x13\x06\x03\x55\x1d\x25\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03";
/// 1.3.6.1.4.1.11129.2.4.3, critical: NULL.
const POISON: &[u8] =
    b"\x30\x13\x06\x0a\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03\x01\x01\xff\x04\x02\x05\x00";

// Object identifiers, tag and length included.
const SUBJECT_KEY_IDENTIFIER: &[u8] = b"\x06\x03\x55\x1d\x0e";
const AUTHORITY_KEY_IDENTIFIER: &[u8] = b"\x06\x03\x55\x1d\x23";
const SUBJECT_ALT_NAME: &[u8] = b"\x06\x03\x55\x1d\x11";
/// 1.3.6.1.4.1.11129.2.4.2.
const SCT_LIST: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02";
/// 1.3.6.1.4.1.57264.1.7, the type of the otherName in which a username stands.
const USERNAME: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x07";
/// `critical TRUE`.
const CRITICAL: &[u8] = b"\x01\x01\xff";

/// The extension in which precertificate, log entry and certificate differ.
#[derive(Clone, Copy, Debug)]
pub enum CtExtension<'a> {
    /// What the log hashes.
    Absent,
    /// The precertificate.
    Poison,
    /// The certificate.
    Scts(&'a [Sct]),
}

/// What a certificate says of its holder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) san: &'a San,
    pub(super) extensions: &'a Extensions,
    pub(super) key: &'a ProvenKey,
}

/// From when until when a certificate holds, both ends included; whole seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// One certificate to be, in whichever of the three encodings is asked for.
#[derive(Clone, Debug)]
pub struct Tbs<'a> {
    pub(super) profile: &'a Profile,
    pub(super) subject: Subject<'a>,
    pub(super) serial: Serial,
    pub(super) validity: Validity,
    /// The fields from version to public key, DER.
    fields: Vec<u8>,
    /// The extensions but the last, DER.
    extensions: Vec<u8>,
}

impl<'a> Tbs<'a> {
    pub(super) fn new(
        profile: &'a Profile,
        subject: Subject<'a>,
        serial: Serial,
        validity: Validity,
    ) -> Self {
        let mut tbs = Self {
            profile,
            subject,
            serial,
            validity,
            fields: Vec::with_capacity(128 + profile.issuer.len() + subject.key.spki().len()),
            extensions: Vec::with_capacity(2048),
        };
        tbs.write_fields();
        tbs.write_extensions();
        tbs
    }

    /// DER `TBSCertificate`.
    pub fn encode(&self, ct: CtExtension<'_>) -> Vec<u8> {
        let mut der = Vec::with_capacity(self.fields.len() + self.extensions.len() + 200);
        asn1::nested(&mut der, asn1::SEQUENCE, |der| {
            der.extend_from_slice(&self.fields);
            asn1::nested(der, asn1::context_constructed(3), |der| {
                asn1::nested(der, asn1::SEQUENCE, |der| {
                    der.extend_from_slice(&self.extensions);
                    write_ct(der, ct);
                });
            });
        });
        der
    }

    /// Encodes, reads the encoding with another library, and compares it with profile and grant.
    ///
    /// # Errors
    ///
    /// [`CheckError`] when they differ: a fault of ours, and nothing must be signed.
    pub fn check(&self, ct: CtExtension<'_>) -> Result<CheckedTbs, CheckError> {
        check::check(self, self.encode(ct), ct)
    }

    /// The log's entry for the precertificate that this TBS, with poison, was signed into.
    pub fn entry(&self, precertificate: &Certificate) -> Entry {
        Entry {
            issuer_key_hash: self.profile.issuer_key_hash,
            tbs: self.encode(CtExtension::Absent),
            precertificate: precertificate.der().to_vec(),
            chain: self.profile.fingerprints.clone(),
        }
    }

    fn write_fields(&mut self) {
        let der = &mut self.fields;
        der.extend_from_slice(b"\xa0\x03\x02\x01\x02");
        asn1::unsigned(der, self.serial.as_bytes());
        der.extend_from_slice(self.profile.algorithm.identifier());
        der.extend_from_slice(&self.profile.issuer);
        asn1::nested(der, asn1::SEQUENCE, |der| {
            write_time(der, self.validity.not_before);
            write_time(der, self.validity.not_after);
        });
        asn1::value(der, asn1::SEQUENCE, &[]);
        der.extend_from_slice(self.subject.key.spki());
    }

    fn write_extensions(&mut self) {
        let der = &mut self.extensions;
        der.extend_from_slice(KEY_USAGE);
        der.extend_from_slice(EXTENDED_KEY_USAGE);
        write_extension(der, SUBJECT_KEY_IDENTIFIER, |value| {
            asn1::value(value, asn1::OCTET_STRING, &self.subject.key.key_id());
        });
        if let Some(key_id) = &self.profile.authority_key_id {
            write_extension(der, AUTHORITY_KEY_IDENTIFIER, |value| {
                asn1::nested(value, asn1::SEQUENCE, |value| {
                    asn1::value(value, asn1::context(0), key_id);
                });
            });
        }
        write_critical_extension(der, SUBJECT_ALT_NAME, |value| {
            asn1::nested(value, asn1::SEQUENCE, |value| write_san(value, self.subject.san));
        });
        for (extension, text) in self.subject.extensions.iter() {
            write_fulcio_extension(der, extension, text);
        }
    }
}

fn write_extension(der: &mut Vec<u8>, oid: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    asn1::nested(der, asn1::SEQUENCE, |der| {
        der.extend_from_slice(oid);
        asn1::nested(der, asn1::OCTET_STRING, value);
    });
}

fn write_critical_extension(der: &mut Vec<u8>, oid: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    asn1::nested(der, asn1::SEQUENCE, |der| {
        der.extend_from_slice(oid);
        der.extend_from_slice(CRITICAL);
        asn1::nested(der, asn1::OCTET_STRING, value);
    });
}

fn write_fulcio_extension(der: &mut Vec<u8>, extension: Extension, text: &str) {
    write_extension(der, &extension.oid(), |value| match extension.row().encoding {
        Encoding::Raw => value.extend_from_slice(text.as_bytes()),
        Encoding::Utf8 => asn1::value(value, asn1::UTF8_STRING, text.as_bytes()),
    });
}

fn write_san(der: &mut Vec<u8>, san: &San) {
    match san {
        San::Email(address) => asn1::value(der, asn1::context(1), address.as_bytes()),
        San::Uri(uri) => asn1::value(der, asn1::context(6), uri.as_bytes()),
        San::Username(name) => asn1::nested(der, asn1::context_constructed(0), |der| {
            der.extend_from_slice(USERNAME);
            asn1::nested(der, asn1::context_constructed(0), |der| {
                asn1::value(der, asn1::UTF8_STRING, name.as_bytes());
            });
        }),
    }
}

fn write_ct(der: &mut Vec<u8>, ct: CtExtension<'_>) {
    match ct {
        CtExtension::Absent => {}
        CtExtension::Poison => der.extend_from_slice(POISON),
        CtExtension::Scts(scts) => write_extension(der, SCT_LIST, |value| {
            asn1::value(value, asn1::OCTET_STRING, &sct::encode_list(scts));
        }),
    }
}

/// UTCTime until 2049, GeneralizedTime after.
///
/// Spec: RFC 5280 §4.1.2.5.
fn write_time(der: &mut Vec<u8>, time: Timestamp) {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let date = jiff::tz::Offset::UTC.to_datetime(timestamp);
    let century = |der: &mut Vec<u8>| write_digits(der, date.year() / 100);
    let rest = |der: &mut Vec<u8>| {
        write_digits(der, date.year() % 100);
        for two in [date.month(), date.day(), date.hour(), date.minute(), date.second()] {
            write_digits(der, two.into());
        }
        der.push(b'Z');
    };
    if date.year() < 2050 {
        asn1::nested(der, asn1::UTC_TIME, rest);
    } else {
        asn1::nested(der, asn1::GENERALIZED_TIME, |der| {
            century(der);
            rest(der);
        });
    }
}

/// Two decimal digits.
fn write_digits(der: &mut Vec<u8>, number: i16) {
    der.extend([number / 10, number % 10].map(|digit| b'0' + digit as u8));
}
