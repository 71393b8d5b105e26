//! Requests as real clients sent them, made fresh: `tests/vectors/client-requests/README.md`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::instance::Caller;

/// What goes before the point in the `SubjectPublicKeyInfo` of a P-256 key.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A request of the past.
pub struct Recorded {
    request: Value,
    body: Value,
}

/// A request of now, in the same shape.
pub struct Fresh {
    target: String,
    head: String,
    body: String,
    /// DER `SubjectPublicKeyInfo` of the key that asks.
    pub spki: Vec<u8>,
}

/// A raw HTTP/1.1 answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Recorded {
    pub fn load(name: &str) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let path = format!("{root}/tests/vectors/client-requests/{name}.json");
        let request: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let body = match request["body"].as_str() {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => request["message"].clone(),
        };
        Self { request, body }
    }

    /// The status that the client insists on.
    pub fn status(&self) -> u16 {
        self.request["status"].as_u64().unwrap().try_into().unwrap()
    }

    pub fn v1(&self) -> bool {
        self.target().starts_with("/api/v1/")
    }

    /// What the token of the past said.
    pub fn claims(&self) -> Value {
        let payload = self.token().split('.').nth(1).unwrap().to_owned();
        let mut claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let members = claims.as_object_mut().unwrap();
        members.retain(|name, _| !["iss", "iat", "nbf", "exp"].contains(&name.as_str()));
        claims
    }

    /// Puts the caller's token, a new key and a new proof where the old ones were.
    pub fn fresh(&self, host: &str, caller: &Caller) -> Fresh {
        let key = key();
        let mut body = self.request["body"].as_str().unwrap_or_default().to_owned();
        let mut spki = spki(&key);
        replace(&mut body, &self.body["credentials"]["oidcIdentityToken"], &caller.token);
        if let Some((public_key, proof)) = self.keys() {
            replace(&mut body, public_key, &refit(public_key.as_str().unwrap(), &spki));
            replace(&mut body, proof, &STANDARD.encode(sign(&key, &caller.challenge)));
        }
        if let Some(csr) = self.body["certificateSigningRequest"].as_str() {
            spki = spki_of_csr(&STANDARD.decode(csr).unwrap());
        }
        let target = self.target().to_owned();
        let head = self.head(host, caller, body.len());
        Fresh { target, head, body, spki }
    }

    /// The headers in their order, with what depends on this very request put right.
    fn head(&self, host: &str, caller: &Caller, length: usize) -> String {
        let mut head = String::new();
        for header in self.request["headers"].as_array().unwrap() {
            let name = header[0].as_str().unwrap();
            let value = match name.to_ascii_lowercase().as_str() {
                "host" => host.to_owned(),
                "authorization" => format!("Bearer {}", caller.token),
                "content-length" => length.to_string(),
                "connection" => continue,
                _ => header[1].as_str().unwrap().to_owned(),
            };
            head += &format!("{name}: {value}\r\n");
        }
        head + "Connection: close\r\n"
    }

    /// The public key and the proof of possession, by either version of the API.
    fn keys(&self) -> Option<(&Value, &Value)> {
        let request = &self.body["publicKeyRequest"];
        let both = if request.is_object() {
            (&request["publicKey"]["content"], &request["proofOfPossession"])
        } else {
            (&self.body["publicKey"]["content"], &self.body["signedEmailAddress"])
        };
        both.0.is_string().then_some(both)
    }

    fn target(&self) -> &str {
        self.request["target"].as_str().unwrap()
    }

    fn token(&self) -> &str {
        let inside = self.body["credentials"]["oidcIdentityToken"].as_str();
        let header = |name| self.header(name)?.strip_prefix("Bearer ");
        inside.or_else(|| header("authorization")).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.request["headers"].as_array()?;
        let is_it = |header: &&Value| header[0].as_str().unwrap().eq_ignore_ascii_case(name);
        headers.iter().find(is_it)?[1].as_str()
    }
}

impl Fresh {
    /// Sends it as it stands, and reads until the server closes.
    pub fn send(&self, method: &str, host: &str) -> Answer {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let Self { target, head, body, .. } = self;
        write!(stream, "{method} {target} HTTP/1.1\r\n{head}\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::parse(&answer)
    }
}

impl Answer {
    fn parse(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let answer = Self { status, headers, body: body.to_owned() };
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |header: &&(String, String)| header.0 == name;
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }
}

/// A fresh P-256 key.
pub fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

/// Its DER `SubjectPublicKeyInfo`.
pub fn spki(key: &EcdsaKeyPair) -> Vec<u8> {
    [&P256_SPKI, key.public_key().as_ref()].concat()
}

/// The proof of possession: a DER signature of the challenge.
pub fn sign(key: &EcdsaKeyPair, challenge: &str) -> Vec<u8> {
    key.sign(&SystemRandom::new(), challenge.as_bytes()).unwrap().as_ref().to_vec()
}

/// Writes a key in the form of an old one: PEM with its line ends, or base64 of such PEM, or of DER.
pub fn refit(old: &str, spki: &[u8]) -> String {
    if old.starts_with("-----BEGIN") {
        return refit_pem(old, spki);
    }
    let inner = STANDARD.decode(old).unwrap();
    match String::from_utf8(inner) {
        Ok(pem) => STANDARD.encode(refit_pem(&pem, spki)),
        Err(_) => STANDARD.encode(spki),
    }
}

/// All P-256 keys are of one length, so a new one fits into the lines of an old one.
fn refit_pem(old: &str, spki: &[u8]) -> String {
    let base64 = STANDARD.encode(spki);
    let mut fresh = base64.chars();
    let mut refit_line = |line: &str| -> String {
        if line.starts_with("-----") {
            return line.to_owned();
        }
        let fit = |old| if ['\r', '\n'].contains(&old) { old } else { fresh.next().unwrap() };
        line.chars().map(fit).collect()
    };
    let refit = old.split_inclusive('\n').map(&mut refit_line).collect();
    assert_eq!(fresh.next(), None, "the old key was shorter");
    refit
}

/// Replaces a string of the recorded JSON, where it has one, and nothing else of the text.
fn replace(body: &mut String, old: &Value, new: &str) {
    if old.is_string() {
        let new = Value::from(new).to_string();
        assert!(body.contains(&old.to_string()), "{old} is written otherwise");
        *body = body.replace(&old.to_string(), &new);
    }
}

fn spki_of_csr(pem: &[u8]) -> Vec<u8> {
    use x509_parser::prelude::FromDer;
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).unwrap();
    let request =
        x509_parser::certification_request::X509CertificationRequest::from_der(&pem.contents);
    request.unwrap().1.certification_request_info.subject_pki.raw.to_vec()
}

#[test]
fn a_fresh_key_has_the_form_of_the_old_one() {
    let spki = spki(&key());
    let base64 = STANDARD.encode(&spki);
    let pem = |line_end: &str, width: usize, last: &str| {
        let chunks = base64.as_bytes().chunks(width).map(|chunk| str::from_utf8(chunk).unwrap());
        let body: String = chunks.map(|chunk| format!("{chunk}{line_end}")).collect();
        format!("-----BEGIN PUBLIC KEY-----{line_end}{body}-----END PUBLIC KEY-----{last}")
    };
    for (name, form) in [
        ("sigstore-go", pem("\n", 64, "\n")),
        ("sigstore-java", pem("\n", 124, "")),
        ("sigstore-rust", pem("\r\n", 64, "\r\n")),
        ("cosign-2", STANDARD.encode(pem("\n", 64, "\n"))),
        ("gitsign", base64.clone()),
    ] {
        let recorded = Recorded::load(name);
        let (old, _) = recorded.keys().unwrap();
        assert_eq!(refit(old.as_str().unwrap(), &spki), form, "{name}");
    }
}
