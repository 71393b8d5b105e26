//! Proofs of possession against answers of others: Wycheproof's signatures, and what the real Fulcio
//! said to the same requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mayfly::identity::Challenge;
use mayfly::possession::key::PublicKey;
use mayfly::possession::strength::KeyError;
use mayfly::possession::{PossessionError, Proof};
use serde_json::Value;

/// Whether key and signature of one Wycheproof case are accepted, as a proof and by the key alone.
fn accepts(pem: &str, message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = PublicKey::parse(pem.as_bytes()) else { return false };
    let verified = key.verifies(message, signature);
    if let Ok(challenge) = str::from_utf8(message) {
        let proof = Proof::SignedChallenge { key: pem.into(), signature: signature.to_vec() };
        assert_eq!(proof.verify(&Challenge::new(challenge)).is_ok(), verified);
    }
    verified
}

/// `refused` is how many of the file's groups have a key that we do not certify, and why not.
#[track_caller]
fn check_wycheproof(file: &str, refused: Option<(usize, KeyError)>) {
    let path = format!("{}/tests/vectors/wycheproof/{file}_test.json", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let groups = vectors["groups"].as_array().unwrap();
    let parse = |group: &Value| PublicKey::parse(group["pem"].as_str().unwrap().as_bytes());
    let errors: Vec<_> = groups.iter().filter_map(|group| parse(group).err()).collect();
    let expected = refused.map(|(count, error)| vec![PossessionError::from(error); count]);
    assert_eq!(errors, expected.unwrap_or_default(), "{file}");
    let mut wrong = Vec::new();
    for group in groups {
        let expected_key = group["must"].as_bool().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let message = hex(test["msg"].as_str().unwrap());
            let signature = hex(test["sig"].as_str().unwrap());
            let accepted = accepts(group["pem"].as_str().unwrap(), &message, &signature);
            let expected = expected_key && test["result"] == "valid";
            if accepted != expected {
                wrong.push(format!("{} {} {}", test["tcId"], test["comment"], test["result"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{file}: {wrong:#?}");
}

fn hex(text: &str) -> Vec<u8> {
    let octet = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(octet).collect()
}

#[test]
fn wycheproof_ecdsa() {
    check_wycheproof("ecdsa_secp256r1_sha256", None);
    check_wycheproof("ecdsa_secp384r1_sha384", None);
    check_wycheproof("ecdsa_secp521r1_sha512", None);
}

/// Curves that nobody here certifies: every signature fails, the valid ones too.
#[test]
fn wycheproof_other_curves() {
    let named = |name: &str| KeyError::Algorithm(name.to_owned());
    check_wycheproof("ecdsa_secp224r1_sha256", Some((95, named("ECDSA P-224"))));
    check_wycheproof("ecdsa_secp256k1_sha256", Some((99, named("ECDSA secp256k1"))));
}

#[test]
fn wycheproof_ed25519() {
    check_wycheproof("ed25519", None);
}

/// Two keys of 2048 bits and one of 3072 have the exponent 3, and are refused for it. "Acceptable" is a
/// signature whose DigestInfo lacks the NULL (RFC 8017 lets verifiers choose): refused.
#[test]
fn wycheproof_rsa() {
    check_wycheproof("rsa_signature_2048_sha256", Some((2, KeyError::RsaExponent)));
    check_wycheproof("rsa_signature_3072_sha256", Some((1, KeyError::RsaExponent)));
    check_wycheproof("rsa_signature_4096_sha256", None);
}

/// The proof in a recorded request: `None` where the wire format alone refuses it.
fn proof(body: &Value) -> Option<Proof> {
    let base64 = |text: &Value| STANDARD.decode(text.as_str().unwrap_or_default()).ok();
    if let Some(csr) = body.get("certificateSigningRequest") {
        return Some(Proof::Csr(base64(csr)?));
    }
    let request = body.get("publicKeyRequest")?;
    let key = request["publicKey"]["content"].as_str()?.into();
    Some(Proof::SignedChallenge { key, signature: base64(&request["proofOfPossession"])? })
}

/// The groups of recorded requests that are about proofs: the verdict is Fulcio's, or stricter where
/// the vector says that ours may be.
#[test]
fn answers_as_fulcio_did() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/fulcio/cases.jsonl");
    let mut checked = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        if !["key", "keyform", "proof", "csr"].contains(&id.split('/').next().unwrap()) {
            continue;
        }
        let claims = &case["claims"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let challenge =
            text(&case["challenge"]).or(text(&claims["email"])).or(text(&claims["sub"])).unwrap();
        let body = serde_json::from_str(case["request"]["body"].as_str().unwrap()).unwrap();
        let verdict = proof(&body).map(|proof| proof.verify(&Challenge::new(challenge)));
        let issued = matches!(verdict, Some(Ok(_)));
        match case["mayfly"].as_str().unwrap() {
            "same" => assert_eq!(issued, case["fulcio"]["status"] == 200, "{id}: {verdict:?}"),
            "refuse" => assert!(!issued, "{id}: {verdict:?}"),
            "either" => {}
            other => panic!("{id}: {other}"),
        }
        checked += 1;
    }
    assert!(checked > 50, "only {checked} cases");
}
