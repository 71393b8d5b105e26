//! What every client demands of a certificate, asked of it once more by parsers that are not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use super::instance::{Caller, Instance, assert_succeeds, said};
use super::run;

/// Judges a chain (PEM: certificate, intermediate, root) issued to `caller` for the key in `spki`.
#[track_caller]
pub fn judge(instance: &Instance, chain: &[String], caller: &Caller, spki: &[u8]) {
    let trust = instance.trust();
    let ders: Vec<_> = chain.iter().map(|pem| der(pem)).collect();
    let [leaf, above @ ..] = &ders[..] else { panic!("no certificate") };
    let exported = blocks(&fs::read_to_string(trust.join("ca.pem")).unwrap());
    let exported: Vec<_> = exported.iter().map(|pem| der(pem)).collect();
    assert_eq!(above, exported, "the chain is that of the trust files");
    assert_eq!(above.len(), 2, "intermediate and root");

    let log_id = Sha256::digest(der(&fs::read_to_string(trust.join("ct.pem")).unwrap()));
    let (rest, certificate) = x509_parser::parse_x509_certificate(leaf).unwrap();
    assert!(rest.is_empty());
    assert_eq!(certificate.public_key().raw, spki, "the key that asked");
    judge_profile(&certificate, caller, &log_id);
    judge_with_openssl(instance, chain, &log_id);
}

/// RFC 5280 and Fulcio's profile, as far as a client has been seen to refuse anything else.
#[track_caller]
fn judge_profile(certificate: &X509Certificate, caller: &Caller, log_id: &[u8]) {
    assert_eq!(certificate.subject().iter().count(), 0, "no subject");
    let validity = certificate.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 600);

    let san = certificate.subject_alternative_name().unwrap().unwrap();
    let names: Vec<_> = san.value.general_names.iter().map(text_of).collect();
    assert_eq!((san.critical, &names[..]), (true, &[caller.identity.as_str()][..]));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert_eq!((usage.critical, usage.value.flags), (true, 1), "digitalSignature alone");
    let purpose = certificate.extended_key_usage().unwrap().unwrap();
    assert!(!purpose.critical && purpose.value.code_signing, "codeSigning, not critical");

    let extension = |oid: &str| {
        let found = certificate.extensions().iter().find(|one| one.oid.to_id_string() == oid);
        found.unwrap_or_else(|| panic!("no extension {oid}"))
    };
    let _key_identifiers = (extension("2.5.29.14"), extension("2.5.29.35"));
    let issuer = caller.issuer.as_bytes();
    let utf8 = [&[0x0c, u8::try_from(issuer.len()).unwrap()], issuer].concat();
    assert_eq!(extension("1.3.6.1.4.1.57264.1.1").value, issuer);
    assert_eq!(extension("1.3.6.1.4.1.57264.1.8").value, utf8);

    let timestamps = extension("1.3.6.1.4.1.11129.2.4.2");
    assert!(!timestamps.critical);
    let ParsedExtension::SCT(scts) = timestamps.parsed_extension() else { panic!("an SCT list") };
    let ids: Vec<_> = scts.iter().map(|sct| &sct.id.key_id[..]).collect();
    assert_eq!(ids, [log_id], "one SCT, of the log in the trust files");
}

fn text_of<'a>(name: &GeneralName<'a>) -> &'a str {
    match name {
        GeneralName::RFC822Name(text) | GeneralName::URI(text) => text,
        other => panic!("{other:?}"),
    }
}

/// `openssl` verifies the chain and reads the SCT.
#[track_caller]
fn judge_with_openssl(instance: &Instance, chain: &[String], log_id: &[u8]) {
    let file = |name: &str, pem: &str| -> PathBuf {
        let path = instance.file(name);
        fs::write(&path, pem).unwrap();
        path
    };
    let leaf = file("leaf.pem", &chain[0]);
    let root = file("root.pem", &chain[2]);
    let mut verify = Command::new("openssl");
    verify.args(["verify", "-x509_strict", "-CAfile"]).arg(root);
    verify.arg("-untrusted").arg(file("intermediate.pem", &chain[1])).arg(&leaf);
    assert_succeeds(&run(&mut verify));

    let text = openssl_text(&leaf).replace([' ', '\n', ':'], "");
    let id: String = log_id.iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(text.contains(&format!("SignedCertificateTimestampVersionv1(0x0)LogID{id}")), "{text}");
}

fn openssl_text(certificate: &Path) -> String {
    let mut show = Command::new("openssl");
    let output = run(show.args(["x509", "-noout", "-text", "-in"]).arg(certificate));
    assert_succeeds(&output);
    said(&output)
}

/// Splits a PEM file into its blocks.
pub fn blocks(pem: &str) -> Vec<String> {
    let end = "-----END CERTIFICATE-----\n";
    pem.split_inclusive(end).map(str::to_owned).collect()
}

/// DER `SubjectPublicKeyInfo` of a certificate in PEM.
pub fn spki(pem: &str) -> Vec<u8> {
    let der = der(pem);
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    certificate.public_key().raw.to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap().contents
}
