//! Goldens: every folder `tests/golden/<provider>/<case>/` holds claims, and the certificate they give.
//!
//! `certificate.pem` is compared octet for octet; `certificate.txt` says the same for people, decoded by
//! another library than the one that encodes. `UPDATE=1 cargo test golden` writes both, for review.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mayfly::authority::Request;
use mayfly::record::Caller;
use x509_parser::prelude::*;

use crate::support::authority::{Parts, golden};
use crate::support::caller;

#[tokio::test]
async fn claims_in_certificate_out() {
    let cases = cases();
    assert!(cases.len() >= 39, "only {} goldens found", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let pem = issue(&case).await;
        for (file, fresh) in [("certificate.pem", pem.clone()), ("certificate.txt", text(&pem))] {
            let path = case.join(file);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &fresh).expect("a golden");
            } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&fresh) {
                let _ = writeln!(wrong, "{} is not what it was; now:\n{fresh}", path.display());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}`UPDATE=1 cargo test golden` rewrites them, for review");
}

fn cases() -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.is_dir()).collect()
    };
    let mut cases: Vec<PathBuf> =
        folders(&golden("")).iter().flat_map(|provider| folders(provider)).collect();
    cases.sort();
    cases
}

/// The certificate, PEM, that the claims of `case` give as the first one of a fresh authority.
async fn issue(case: &Path) -> String {
    let authority = Parts::golden().open();
    let claims = caller::claims(case);
    let request = Request {
        token: caller::token(&caller::header(), claims.to_string().as_bytes()),
        proof: caller::proof(&claims),
        caller: Caller::default(),
    };
    match authority.issue(request).await {
        Ok(issued) => issued.certificate.pem(),
        Err(error) => panic!("{}: {error}", case.display()),
    }
}

/// What a certificate says, one line a field, as `x509-parser` reads it.
fn text(pem: &str) -> String {
    let der = caller::der(pem);
    let (rest, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    assert!(rest.is_empty(), "bytes behind the certificate");
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<28} {value}");
    };
    line("version", certificate.version().to_string());
    line("serial", certificate.raw_serial_as_string());
    line("signature algorithm", certificate.signature_algorithm.algorithm.to_id_string());
    line("issuer", certificate.issuer().to_string());
    line("not before", certificate.validity().not_before.to_string());
    line("not after", certificate.validity().not_after.to_string());
    line("subject", format!("{:?}", certificate.subject().to_string()));
    line("public key", format!("{} octets", certificate.public_key().raw.len()));
    for extension in certificate.extensions() {
        let critical = if extension.critical { " !" } else { "" };
        line(&format!("{}{critical}", extension.oid.to_id_string()), value(extension));
    }
    text
}

/// An extension's value as a person would say it.
fn value(extension: &X509Extension<'_>) -> String {
    match extension.parsed_extension() {
        ParsedExtension::KeyUsage(usage) => format!("key usage: {usage}"),
        ParsedExtension::ExtendedKeyUsage(usage) if usage.code_signing => {
            "extended key usage: code signing".to_owned()
        }
        ParsedExtension::SubjectKeyIdentifier(id) => format!("subject key id: {id:x}"),
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            let id = id.key_identifier.as_ref().map(|id| format!("{id:x}")).unwrap_or_default();
            format!("authority key id: {id}")
        }
        ParsedExtension::SubjectAlternativeName(san) => {
            let names: Vec<String> = san.general_names.iter().map(name).collect();
            format!("san: {}", names.join(", "))
        }
        ParsedExtension::SCT(scts) => {
            let each = scts.iter().map(|sct| {
                let index = sct.extensions.0.iter().map(|octet| format!("{octet:02x}"));
                format!("sct: {} ms, extensions {}", sct.timestamp, index.collect::<String>())
            });
            each.collect::<Vec<_>>().join("; ")
        }
        _ => match extension.value {
            [0x0c, length, text @ ..] if usize::from(*length) == text.len() => {
                format!("utf8 {:?}", String::from_utf8_lossy(text))
            }
            [0x0c, 0x81, length, text @ ..] if usize::from(*length) == text.len() => {
                format!("utf8 {:?}", String::from_utf8_lossy(text))
            }
            raw => format!("raw {:?}", String::from_utf8_lossy(raw)),
        },
    }
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        // Behind two tags and two lengths stands the text.
        GeneralName::OtherName(oid, value) => {
            let text = value.get(4..).map(String::from_utf8_lossy).unwrap_or_default();
            format!("OtherName({oid}, {text:?})")
        }
        other => other.to_string(),
    }
}
