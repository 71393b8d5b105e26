//! Who asks the authority of `tests/golden/`: a token by the issuers' one key, and a proof by the
//! caller's.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mayfly::asn1;
use mayfly::pem;
use mayfly::possession::Proof;
use serde_json::{Value, json};

use super::authority::golden;
use super::issuer::MIDNIGHT;

/// The algorithm of the caller's key: DER `AlgorithmIdentifier`.
pub const P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

/// The claims of the golden in the folder `case`, issued a moment ago; for "sigstore" if they name no
/// audience.
pub fn claims(case: &Path) -> Value {
    let text = std::fs::read_to_string(case.join("claims.json")).expect("claims");
    let mut claims: Value = serde_json::from_str(&text).expect("JSON");
    let audience = claims.get("aud").cloned().unwrap_or(json!("sigstore"));
    for (name, value) in
        [("aud", audience), ("iat", json!(MIDNIGHT)), ("exp", json!(MIDNIGHT + 300))]
    {
        claims[name] = value;
    }
    claims
}

/// The header of every golden's token.
pub fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "golden" })
}

/// A token, signed by the issuers' one key.
pub fn token(header: &Value, claims: &[u8]) -> String {
    let pem = std::fs::read_to_string(golden("authority/issuer.key")).expect("a key");
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(&pem)).expect("a key");
    let [header, claims] =
        [header.to_string().as_bytes(), claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The caller's key, and its signature of what Sigstore's clients sign.
pub fn proof(claims: &Value) -> Proof {
    let key = key();
    let challenge = claims.get("email").unwrap_or(&claims["sub"]).as_str().unwrap_or_default();
    let signature = key.sign(&SystemRandom::new(), challenge.as_bytes()).expect("a signature");
    let text = pem::encode("PUBLIC KEY", &spki(P256, &point()));
    Proof::SignedChallenge { key: text.into_bytes(), signature: signature.as_ref().to_vec() }
}

/// A `SubjectPublicKeyInfo`, DER.
pub fn spki(identifier: &[u8], bits: &[u8]) -> Vec<u8> {
    let mut spki = Vec::new();
    asn1::nested(&mut spki, asn1::SEQUENCE, |spki| {
        spki.extend(identifier);
        asn1::value(spki, asn1::BIT_STRING, &[&[0], bits].concat());
    });
    spki
}

/// The caller's point, uncompressed.
pub fn point() -> Vec<u8> {
    key().public_key().as_ref().to_vec()
}

fn key() -> EcdsaKeyPair {
    let pem = std::fs::read_to_string(golden("authority/caller.key")).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der(&pem)).expect("a key")
}

/// What stands in a PEM text, whatever it is.
pub fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(text).expect("base64")
}
