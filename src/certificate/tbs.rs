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
    pub(super) fields: Vec<u8>,
    /// The extensions but the last, DER.
    pub(super) extensions: Vec<u8>,
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

    /// When the certificate ends, that second included.
    pub const fn not_after(&self) -> Timestamp {
        self.validity.not_after
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
            asn1::time(der, self.validity.not_before);
            asn1::time(der, self.validity.not_after);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::fixture::{FIXTURE, NOW, sct};
    use der::{Decode, Encode};
    use std::time::Duration;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::{FromDer, X509Certificate};

    fn oids(certificate: &X509Certificate<'_>) -> Vec<String> {
        let critical = |critical| if critical { "!" } else { "" };
        let extensions = certificate.extensions().iter();
        extensions.map(|e| format!("{}{}", e.oid.to_id_string(), critical(e.critical))).collect()
    }

    #[test]
    fn another_parser_reads_every_field() {
        let (tbs, scts) = (FIXTURE.tbs(), [sct()]);
        let certificate = FIXTURE.certificate(&tbs, CtExtension::Scts(&scts));
        let (rest, parsed) = X509Certificate::from_der(certificate.der()).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.version().0, 2);
        assert_eq!(parsed.raw_serial(), [0x5a; 20]);
        assert_eq!(parsed.issuer().as_raw(), FIXTURE.chain.subject());
        assert_eq!(parsed.subject().as_raw(), [0x30, 0]);
        assert_eq!(parsed.validity().not_before.timestamp(), 1_767_225_600);
        assert_eq!(parsed.validity().not_after.timestamp(), 1_767_226_200);
        assert_eq!(parsed.public_key().raw, FIXTURE.key.spki());
        assert_eq!(
            oids(&parsed),
            [
                "2.5.29.15!",
                "2.5.29.37",
                "2.5.29.14",
                "2.5.29.35",
                "2.5.29.17!",
                "1.3.6.1.4.1.57264.1.1",
                "1.3.6.1.4.1.57264.1.4",
                "1.3.6.1.4.1.57264.1.8",
                "1.3.6.1.4.1.57264.1.18",
                "1.3.6.1.4.1.57264.1.21",
                "1.3.6.1.4.1.57264.1.24",
                "1.3.6.1.4.1.11129.2.4.2",
            ]
        );
        let usage = parsed.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.flags == 1);
        let purposes = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.code_signing && !purposes.any && purposes.other.is_empty());
        let values: Vec<_> = parsed.extensions().iter().map(|e| e.parsed_extension()).collect();
        let ParsedExtension::SubjectKeyIdentifier(id) = values[2] else { panic!() };
        assert_eq!(id.0, FIXTURE.key.key_id());
        let ParsedExtension::AuthorityKeyIdentifier(id) = values[3] else { panic!() };
        assert_eq!(id.key_identifier.as_ref().unwrap().0, FIXTURE.chain.key_id().unwrap());
        let ParsedExtension::SubjectAlternativeName(san) = values[4] else { panic!() };
        let San::Uri(uri) = &FIXTURE.san else { panic!() };
        assert_eq!(san.general_names, [GeneralName::URI(uri)]);
        let ParsedExtension::SCT(list) = values[11] else { panic!() };
        assert_eq!((list.len(), list[0].timestamp), (1, NOW.as_millis()));
        assert_eq!(parsed.extensions()[6].value, "Bauen und prüfen".as_bytes());
        let text = "https://token.actions.githubusercontent.com";
        assert_eq!(parsed.extensions()[7].value, [b"\x0c\x2b", text.as_bytes()].concat());
    }

    #[track_caller]
    fn check_san(san: San, expected: &[u8]) {
        let subject = Subject { san: &san, ..FIXTURE.subject() };
        let tbs = FIXTURE.profile.tbs(subject, Serial::from_bytes([1; 20]), NOW).unwrap();
        let der = tbs.check(CtExtension::Absent).unwrap();
        let parsed = x509_cert::TbsCertificate::from_der(der.der()).unwrap();
        assert_eq!(parsed.extensions().unwrap()[4].extn_value.as_bytes(), expected);
    }

    #[test]
    fn writes_each_kind_of_name() {
        check_san(San::Email("a@b.c".into()), b"\x30\x07\x81\x05a@b.c");
        check_san(San::Uri("x:y".into()), b"\x30\x05\x86\x03x:y");
        check_san(
            San::Username("ä!b".into()),
            b"\x30\x16\xa0\x14\x06\x0a\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x07\xa0\x06\x0c\x04\xc3\xa4!b",
        );
    }

    struct Point<'a>(&'a [u8]);

    impl rcgen::PublicKeyData for Point<'_> {
        fn der_bytes(&self) -> &[u8] {
            self.0
        }

        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_ECDSA_P256_SHA256
        }
    }

    /// rcgen, told to write the same extensions, writes the same octets.
    #[test]
    fn another_encoder_agrees() {
        let tbs = FIXTURE.tbs();
        let written = tbs.encode(CtExtension::Poison);
        let parsed = x509_cert::TbsCertificate::from_der(&written).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x5a; 20]));
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = params.not_before + Duration::from_secs(600);
        for extension in parsed.extensions().unwrap() {
            let arcs: Vec<u64> = extension.extn_id.arcs().map(u64::from).collect();
            let value = extension.extn_value.as_bytes().to_vec();
            let mut custom = rcgen::CustomExtension::from_oid_content(&arcs, value);
            custom.set_criticality(extension.critical);
            params.custom_extensions.push(custom);
        }
        let key = Point(&FIXTURE.key.spki()[FIXTURE.key.spki().len() - 65..]);
        let issuer = rcgen::Issuer::from_params(&FIXTURE.issuing.params, &FIXTURE.issuing.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let certificate = x509_cert::Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(certificate.tbs_certificate().to_der().unwrap(), written);
    }

    #[test]
    fn the_three_encodings_differ_in_the_last_extension_only() {
        let (tbs, scts) = (FIXTURE.tbs(), [sct()]);
        let lists =
            [CtExtension::Absent, CtExtension::Poison, CtExtension::Scts(&scts)].map(|ct| {
                let parsed = x509_cert::TbsCertificate::from_der(&tbs.encode(ct)).unwrap();
                parsed.extensions().unwrap().clone()
            });
        let [absent, poison, list] = lists;
        assert_eq!(absent[..], poison[..poison.len() - 1]);
        assert_eq!(absent[..], list[..list.len() - 1]);
    }

    #[test]
    fn the_entry_is_the_certificate_without_poison() {
        let tbs = FIXTURE.tbs();
        let precertificate = FIXTURE.certificate(&tbs, CtExtension::Poison);
        let entry = tbs.entry(&precertificate);
        assert_eq!(entry.tbs, tbs.encode(CtExtension::Absent));
        assert_eq!(entry.precertificate, precertificate.der());
        assert_eq!(entry.issuer_key_hash, FIXTURE.chain.issuer_key_hash());
        assert_eq!(entry.chain.len(), 2);
    }

    #[track_caller]
    fn check_time(seconds: u64, expected: &str) {
        let mut der = Vec::new();
        asn1::time(&mut der, Timestamp::from_secs(seconds));
        assert_eq!(String::from_utf8_lossy(&der[2..]), expected);
        let time = x509_cert::time::Time::from_der(&der).unwrap();
        assert_eq!(time.to_unix_duration(), Duration::from_secs(seconds));
    }

    #[test]
    fn writes_times_as_rfc_5280_has_them() {
        check_time(0, "700101000000Z");
        check_time(951_827_696, "000229123456Z");
        check_time(1_767_225_618, "260101000018Z");
        check_time(2_524_607_999, "491231235959Z");
        check_time(2_524_608_000, "20500101000000Z");
    }
}
