//! Requests and their entries.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A key: its SPKI, and what it signs.
struct Signing {
    spki: Vec<u8>,
    sign: Sign,
    details: &'static str,
}

impl Signing {
    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, details: &'static str) -> Self {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        };
        Self { spki, sign: Box::new(sign), details }
    }

    fn rsa(size: KeySize, details: &'static str) -> Self {
        let key = RsaKeyPair::generate(size).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Self { spki, sign: Box::new(sign), details }
    }

    fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| key.sign(message).as_ref().to_vec();
        Self { spki, sign: Box::new(sign), details: "PKIX_ED25519" }
    }

    fn verifier(&self) -> Verifier {
        let key_details = self.details.to_owned();
        Verifier { material: Material::PublicKey(self.spki.clone()), key_details }
    }
}

static P256: LazyLock<Signing> =
    LazyLock::new(|| Signing::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, "PKIX_ECDSA_P256_SHA_256"));

const MESSAGE: &[u8] = b"an artifact";

fn sha256(message: &[u8]) -> Vec<u8> {
    digest(&SHA256, message).as_ref().to_vec()
}

/// The parts of a request that holds.
struct Parts {
    digest: Vec<u8>,
    content: Vec<u8>,
    verifier: Verifier,
}

impl Parts {
    fn of(signing: &Signing, digest: Vec<u8>) -> Self {
        Self { digest, content: (signing.sign)(MESSAGE), verifier: signing.verifier() }
    }

    fn check(self) -> Result<Entry, RekorError> {
        let signature = Signature { content: self.content, verifier: self.verifier };
        Request::HashedRekord { digest: self.digest, signature }.check()
    }
}

/// What a request becomes that holds but for one `change`.
#[track_caller]
fn bite(change: impl FnOnce(&mut Parts), expected: RekorError) {
    let mut parts = Parts::of(&P256, sha256(MESSAGE));
    change(&mut parts);
    assert_eq!(parts.check().unwrap_err(), expected);
}

#[test]
fn every_scheme_has_its_entry() {
    for (signing, hash, digest) in [
        (&*P256, "SHA2_256", digest(&SHA256, MESSAGE)),
        (
            &Signing::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, "PKIX_ECDSA_P384_SHA_384"),
            "SHA2_384",
            digest(&SHA384, MESSAGE),
        ),
        (
            &Signing::ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING, "PKIX_ECDSA_P521_SHA_512"),
            "SHA2_512",
            digest(&SHA512, MESSAGE),
        ),
        (
            &Signing::rsa(KeySize::Rsa2048, "PKIX_RSA_PKCS1V15_2048_SHA256"),
            "SHA2_256",
            digest(&SHA256, MESSAGE),
        ),
        (
            &Signing::rsa(KeySize::Rsa3072, "PKIX_RSA_PKCS1V15_3072_SHA256"),
            "SHA2_256",
            digest(&SHA256, MESSAGE),
        ),
        (
            &Signing::rsa(KeySize::Rsa4096, "PKIX_RSA_PKCS1V15_4096_SHA256"),
            "SHA2_256",
            digest(&SHA256, MESSAGE),
        ),
    ] {
        let parts = Parts::of(signing, digest.as_ref().to_vec());
        let content = BASE64_STANDARD.encode(&parts.content);
        let entry = parts.check().unwrap();
        assert_eq!((entry.kind(), entry.version()), ("hashedrekord", "0.0.2"));
        let key = BASE64_STANDARD.encode(&signing.spki);
        // serde_json keeps the order that stands here: RFC 8785's.
        let expected = json!({
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": { "hashedRekordV002": {
                "data": { "algorithm": hash, "digest": BASE64_STANDARD.encode(digest) },
                "signature": {
                    "content": content,
                    "verifier": { "keyDetails": signing.details, "publicKey": { "rawBytes": key } },
                },
            } },
        });
        assert_eq!(String::from_utf8_lossy(entry.body()), expected.to_string());
        assert_eq!(entry.leaf_hash(), leaf_hash(expected.to_string().as_bytes()));
    }
}

#[test]
fn an_algorithm_may_come_by_its_number() {
    let mut parts = Parts::of(&P256, sha256(MESSAGE));
    let by_name = Parts { content: parts.content.clone(), ..Parts::of(&P256, sha256(MESSAGE)) };
    parts.verifier.key_details = "5".into();
    assert_eq!(parts.check().unwrap().body(), by_name.check().unwrap().body());
}

#[test]
fn whatever_does_not_hold_is_refused() {
    let details = |got: &str| RekorError::KeyDetails { got: got.to_owned() };
    bite(|it| it.digest.clear(), RekorError::Missing("digest"));
    bite(|it| it.content.clear(), RekorError::Missing("signature.content"));
    bite(|it| it.verifier.key_details.clear(), RekorError::Missing("verifier.keyDetails"));
    bite(|it| it.verifier.key_details = "0".into(), RekorError::Missing("verifier.keyDetails"));
    for unknown in ["PKIX_ECDSA_P384_SHA_256", "PKIX_ED25519_PH", "19", "-1", "pkix", "99999999999"]
    {
        bite(|it| it.verifier.key_details = unknown.into(), details(unknown));
    }
    bite(
        |it| it.verifier.key_details = "PKIX_ECDSA_P384_SHA_384".into(),
        RekorError::OtherKey {
            got: "PKIX_ECDSA_P384_SHA_384",
            key: "ECDSA P-256",
            wanted: "PKIX_ECDSA_P256_SHA_256",
        },
    );
    for octets in [1, 31, 33, 48, 64] {
        bite(
            |it| it.digest = vec![7; octets],
            RekorError::Digest {
                got: octets,
                scheme: "PKIX_ECDSA_P256_SHA_256",
                hash: "SHA2_256",
                wanted: 32,
            },
        );
    }
    bite(|it| it.digest[0] ^= 1, RekorError::Signature);
    bite(|it| it.content.push(0), RekorError::Signature);
    bite(|it| *it.content.last_mut().unwrap() ^= 1, RekorError::Signature);
    bite(|it| it.content = vec![0; 70_000], RekorError::Signature);
    let other = Signing::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, "PKIX_ECDSA_P256_SHA_256");
    bite(|it| it.verifier = other.verifier(), RekorError::Signature);
    // Readers of bundles verify DER alone.
    let fixed = Signing::ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "PKIX_ECDSA_P256_SHA_256");
    bite(|it| *it = Parts::of(&fixed, sha256(MESSAGE)), RekorError::Signature);
}

#[test]
fn a_key_that_is_none_is_refused() {
    let empty = Material::PublicKey(Vec::new());
    bite(|it| it.verifier.material = empty, RekorError::Missing("verifier.publicKey.rawBytes"));
    let unreadable = || RekorError::Key(PossessionError::KeyUnreadable);
    bite(|it| it.verifier.material = Material::PublicKey(vec![0x30, 0]), unreadable());
    let with_tail = [&P256.spki[..], &[0]].concat();
    bite(|it| it.verifier.material = Material::PublicKey(with_tail), unreadable());
    for der in [Vec::new(), vec![0x30, 0], P256.spki.clone(), b"-----BEGIN".to_vec()] {
        bite(|it| it.verifier.material = Material::Certificate(der), RekorError::Certificate);
    }
}

#[test]
fn ed25519_has_no_digest() {
    let signing = Signing::ed25519();
    bite(|it| *it = Parts::of(&signing, vec![7; 64]), RekorError::Ed25519);
}

const KIND: &str = "application/vnd.in-toto+json";

fn pae(payload: &[u8]) -> Vec<u8> {
    let mut signed = format!("DSSEv1 28 {KIND} {} ", payload.len()).into_bytes();
    signed.extend(payload);
    signed
}

fn envelope(payload: &[u8], signatures: Vec<Vec<u8>>) -> Envelope {
    Envelope { payload_type: KIND.to_owned(), payload: payload.to_vec(), signatures }
}

fn dsse(envelope: Envelope, verifiers: Vec<Verifier>) -> Result<Value, RekorError> {
    let entry = Request::Dsse { envelope, verifiers }.check()?;
    assert_eq!(entry.kind(), "dsse");
    let value: Value = serde_json::from_slice(entry.body()).unwrap();
    assert_eq!(value.to_string().as_bytes(), entry.body(), "no blanks");
    Ok(value)
}

#[test]
fn an_envelope_has_its_signatures_in_order() {
    let payload = br#"{"_type":"https://in-toto.io/Statement/v1"}"#;
    let ed25519 = Signing::ed25519();
    let mut contents = vec![(P256.sign)(&pae(payload)), (ed25519.sign)(&pae(payload))];
    let verifiers = vec![ed25519.verifier(), P256.verifier()];
    let entry = dsse(envelope(payload, contents.clone()), verifiers.clone()).unwrap();
    contents.reverse();
    contents.push(contents[0].clone());
    let again = dsse(envelope(payload, contents.clone()), verifiers).unwrap();
    assert_eq!(entry, again);
    contents.truncate(2);
    contents.sort();
    let spec = &entry["spec"]["dsseV002"];
    assert_eq!(
        spec["payloadHash"],
        json!({ "algorithm": "SHA2_256", "digest": BASE64_STANDARD.encode(sha256(payload)) })
    );
    for (place, content) in contents.iter().enumerate() {
        assert_eq!(spec["signatures"][place]["content"], BASE64_STANDARD.encode(content));
    }
}

#[test]
fn every_signature_of_an_envelope_needs_its_key() {
    let payload = b"payload";
    let good = (P256.sign)(&pae(payload));
    let verifiers = || vec![P256.verifier()];
    let refused = |envelope, verifiers, expected| {
        assert_eq!(dsse(envelope, verifiers).unwrap_err(), expected);
    };
    assert!(dsse(envelope(payload, vec![good.clone()]), verifiers()).is_ok());
    refused(envelope(payload, vec![]), verifiers(), RekorError::Missing("envelope.signatures"));
    refused(envelope(payload, vec![good.clone()]), vec![], RekorError::Missing("verifiers"));
    refused(envelope(b"other", vec![good.clone()]), verifiers(), RekorError::Envelope);
    let stranger = Signing::ed25519().sign;
    let two = vec![good.clone(), stranger(&pae(payload))];
    refused(envelope(payload, two), verifiers(), RekorError::Envelope);
    let another =
        Envelope { payload_type: "text/plain".into(), ..envelope(payload, vec![good.clone()]) };
    refused(another, verifiers(), RekorError::Envelope);
    let many = RekorError::TooMany { name: "envelope.signatures", count: 5 };
    refused(envelope(payload, vec![good.clone(); 5]), verifiers(), many);
    let many = RekorError::TooMany { name: "verifiers", count: 5 };
    refused(envelope(payload, vec![good]), vec![P256.verifier(); 5], many);
}

#[test]
fn no_entry_is_longer_than_a_tile_takes() {
    let certificate = || Material::Certificate(vec![0; 8000]);
    let signature = Signature {
        content: vec![0; 64],
        verifier: Verifier { material: certificate(), key_details: "5".into() },
    };
    for (count, fits) in [(6, true), (7, false)] {
        let body = body::dsse(b"", &vec![signature.clone(); count]);
        let octets = body.len();
        let made = entry("dsse", body, Vec::new()).map(drop);
        assert_eq!(made, if fits { Ok(()) } else { Err(RekorError::TooLong { octets }) });
    }
}

#[test]
fn refusals_say_what_to_change() {
    let got = "PKIX\u{1b}_ED25519_PH".to_owned();
    let sentence = RekorError::KeyDetails { got }.to_string();
    assert!(sentence.contains("PKIX_ECDSA_P256_SHA_256, PKIX_ECDSA_P384_SHA_384"), "{sentence}");
    assert!(!sentence.contains('\u{1b}'), "{sentence}");
}

proptest! {
    #[test]
    fn never_panics(digest: Vec<u8>, content: Vec<u8>, der: Vec<u8>, details: String, key: bool) {
        let material = if key { Material::PublicKey(der) } else { Material::Certificate(der) };
        let verifier = Verifier { material, key_details: details };
        let signature = Signature { content, verifier };
        let _ = Request::HashedRekord { digest, signature }.check();
    }
}
