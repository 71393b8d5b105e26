//! A token issuer's key: one member of a key set (RFC 7517), checked and parsed once.
//!
//! ```text
//! {"kty":"EC","crv":"P-256","kid":"2026-1","use":"sig","alg":"ES256","x":"…","y":"…"}
//! ```

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self as lc, ParsedPublicKey};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use crate::token::algorithm::{Algorithm, RSA};

/// Bits an RSA modulus may have.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// 65537, the one RSA exponent: small ones make lax padding checks exploitable, odd ones hide mischief.
const RSA_EXPONENT: &[u8] = &[1, 0, 1];

/// What an elliptic curve's key verifies: curve, octets of a coordinate, and the one algorithm.
const EC: [(EllipticCurve, usize, Algorithm, &lc::EcdsaVerificationAlgorithm); 3] = [
    (EllipticCurve::P256, 32, Algorithm::Es256, &lc::ECDSA_P256_SHA256_FIXED),
    (EllipticCurve::P384, 48, Algorithm::Es384, &lc::ECDSA_P384_SHA384_FIXED),
    (EllipticCurve::P521, 66, Algorithm::Es512, &lc::ECDSA_P521_SHA512_FIXED),
];

/// Base64url as key sets have it; some issuers pad, which harms nobody.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A token issuer's key, parsed once.
#[derive(Debug)]
pub struct VerifyingKey {
    key_id: Option<String>,
    /// One for each algorithm that this key may verify; never empty.
    verifiers: Vec<(Algorithm, Verifier)>,
}

/// A key bound to one algorithm.
struct Verifier(ParsedPublicKey);

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl VerifyingKey {
    /// Reads one member of a key set's `keys`, or yields `None` when it is not a key that we trust:
    /// RSA with 2048 to 8192 bits and exponent 65537, P-256, P-384, P-521, Ed25519.
    ///
    /// A key that names an algorithm (`alg`) verifies that one alone; a key for another use (`use`)
    /// verifies nothing, nor does one that is published with its private half.
    ///
    /// Spec: RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
    pub fn from_jwk(jwk: &Value) -> Option<Self> {
        let key = Jwk::deserialize(jwk).ok()?;
        if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        if jwk.get("d").is_some() {
            return None;
        }
        let mut verifiers = verifiers(&key.algorithm)?;
        // Read here, because jsonwebtoken's type has no ES512.
        if let Some(bound) = jwk.get("alg").filter(|alg| !alg.is_null()) {
            let bound = Algorithm::parse(bound.as_str()?)?;
            verifiers.retain(|(algorithm, _)| *algorithm == bound);
        }
        (!verifiers.is_empty()).then_some(Self { key_id: key.common.key_id, verifiers })
    }

    /// The key's `kid`.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether this key may verify signatures of `algorithm`.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(fitting, _)| *fitting == algorithm)
    }

    /// Whether `signature` is this key's, by `algorithm`, over `message`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verifier = self.verifiers.iter().find(|(fitting, _)| *fitting == algorithm);
        verifier.is_some_and(|(_, verifier)| verifier.0.verify_sig(message, signature).is_ok())
    }
}

fn verifiers(parameters: &AlgorithmParameters) -> Option<Vec<(Algorithm, Verifier)>> {
    if let AlgorithmParameters::RSA(rsa) = parameters {
        rsa_verifiers(&decode(&rsa.n)?, &decode(&rsa.e)?)
    } else if let AlgorithmParameters::EllipticCurve(ec) = parameters {
        ec_verifier(&ec.curve, &decode(&ec.x)?, &decode(&ec.y)?).map(|verifier| vec![verifier])
    } else if let AlgorithmParameters::OctetKeyPair(okp) = parameters {
        ed25519_verifier(&okp.curve, &decode(&okp.x)?).map(|verifier| vec![verifier])
    } else {
        None
    }
}

fn rsa_verifiers(n: &[u8], e: &[u8]) -> Option<Vec<(Algorithm, Verifier)>> {
    let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
    let unused = usize::try_from(n.first()?.leading_zeros()).ok()?;
    if e != RSA_EXPONENT || !RSA_BITS.contains(&(n.len() * 8 - unused)) {
        return None;
    }
    let components = PublicKeyComponents { n, e };
    let parse = |(algorithm, parameters)| {
        let key = components.to_parsed_public_key(parameters).ok()?;
        Some((algorithm, Verifier(key)))
    };
    RSA.into_iter().map(parse).collect()
}

/// Coordinates have the field's length, leading zeros included: RFC 7518 §6.2.1.2.
fn ec_verifier(curve: &EllipticCurve, x: &[u8], y: &[u8]) -> Option<(Algorithm, Verifier)> {
    let (_, octets, algorithm, verification) = EC.iter().find(|(known, ..)| known == curve)?;
    if x.len() != *octets || y.len() != *octets {
        return None;
    }
    let uncompressed = [&[4], x, y].concat();
    let key = ParsedPublicKey::new(*verification, uncompressed).ok()?;
    Some((*algorithm, Verifier(key)))
}

fn ed25519_verifier(curve: &EllipticCurve, x: &[u8]) -> Option<(Algorithm, Verifier)> {
    let point: [u8; 32] = x.try_into().ok()?;
    if *curve != EllipticCurve::Ed25519 || !is_sound_ed25519(point) {
        return None;
    }
    let key = ParsedPublicKey::new(&lc::ED25519, point).ok()?;
    Some((Algorithm::EdDsa, Verifier(key)))
}

fn decode(base64url: &str) -> Option<Vec<u8>> {
    BASE64URL.decode(base64url).ok()
}

fn without_leading_zeros(mut octets: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = octets {
        octets = rest;
    }
    octets
}

/// 2^255 - 19, little-endian.
const ED25519_PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// The y coordinates of the points whose order divides eight, little-endian.
const ED25519_SMALL_ORDER: [[u8; 32]; 5] = {
    let zero = [0; 32];
    let mut one = zero;
    one[0] = 1;
    let mut minus_one = ED25519_PRIME;
    minus_one[0] = 0xec;
    let eight = *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
        \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05";
    let minus_eight = *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
        \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a";
    [zero, one, minus_one, eight, minus_eight]
};

/// Whether an encoded Ed25519 public key is canonical and not of small order.
///
/// Attack: a small-order key "verifies" one signature over many messages; aws-lc accepts both.
/// (That the y coordinate belongs to a point at all, aws-lc sees.)
///
/// Spec: RFC 8032 §5.1.3.
pub fn is_sound_ed25519(point: [u8; 32]) -> bool {
    let mut y = point;
    y[31] &= 0x7f;
    let is_canonical = y.iter().rev().lt(ED25519_PRIME.iter().rev());
    is_canonical && !ED25519_SMALL_ORDER.contains(&y)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Keys that verified real tokens: `tests/vectors/fulcio`.
    fn published() -> Vec<Value> {
        let about: Value =
            serde_json::from_str(include_str!("../../tests/vectors/fulcio/about.json")).unwrap();
        about["jwks"]["keys"].as_array().unwrap().clone()
    }

    fn published_key(kid: &str) -> Value {
        published().into_iter().find(|jwk| jwk["kid"] == kid).unwrap()
    }

    fn fits(jwk: &Value) -> Vec<String> {
        let key = VerifyingKey::from_jwk(jwk);
        key.map_or(Vec::new(), |key| {
            key.verifiers.iter().map(|(algorithm, _)| algorithm.to_string()).collect()
        })
    }

    #[track_caller]
    fn check(kid: &str, bend: impl FnOnce(&mut Value), expected: &[&str]) {
        let mut jwk = published_key(kid);
        bend(&mut jwk);
        assert_eq!(fits(&jwk), expected, "{jwk}");
    }

    const ALL_RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

    #[test]
    fn a_key_fits_its_type() {
        check("kid-rs256", |_| (), &ALL_RSA);
        check("kid-es256", |_| (), &["ES256"]);
        check("kid-es384", |_| (), &["ES384"]);
        check("kid-es512", |_| (), &["ES512"]);
        check("kid-eddsa", |_| (), &["EdDSA"]);
    }

    #[test]
    fn a_key_is_for_what_it_names_alone() {
        check("kid-rs256", |jwk| jwk["alg"] = json!("PS384"), &["PS384"]);
        check("kid-rs256", |jwk| jwk["alg"] = json!(null), &ALL_RSA);
        for alg in [json!("ES256"), json!("RSA-OAEP"), json!("HS256"), json!("none"), json!(1)] {
            check("kid-rs256", |jwk| jwk["alg"] = alg, &[]);
        }
        check("kid-es512", |jwk| jwk["alg"] = json!("ES512"), &["ES512"]);
        check("kid-es256", |jwk| jwk["alg"] = json!("ES384"), &[]);
        check("kid-es256", |jwk| jwk["use"] = json!("enc"), &[]);
        check("kid-es256", |jwk| jwk["use"] = json!("other"), &[]);
        check("kid-es256", |jwk| drop(jwk.as_object_mut().unwrap().remove("use")), &["ES256"]);
    }

    #[test]
    fn odd_keys_are_none() {
        check("kid-es256", |jwk| jwk["kid"] = json!(1), &[]);
        check("kid-es256", |jwk| jwk["x5c"] = json!("MIIB"), &[]);
        check("kid-es256", |jwk| jwk["crv"] = json!("secp256k1"), &[]);
        check("kid-es256", |jwk| jwk["crv"] = json!("P-384"), &[]);
        check("kid-es256", |jwk| jwk["kty"] = json!("RSA"), &[]);
        check("kid-es256", |jwk| jwk["d"] = json!("AQ"), &[]);
        for odd in
            [json!(null), json!([]), json!("x"), json!({}), json!({ "kty": "oct", "k": "AA" })]
        {
            assert!(VerifyingKey::from_jwk(&odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn points_lie_on_their_curve() {
        for kid in ["kid-es256", "kid-es384", "kid-es512"] {
            let flip = |jwk: &mut Value| {
                let mut y = decode(jwk["y"].as_str().unwrap()).unwrap();
                *y.last_mut().unwrap() ^= 1;
                jwk["y"] = json!(BASE64URL.encode(y));
            };
            check(kid, flip, &[]);
            check(kid, |jwk| jwk["x"] = json!(""), &[]);
            let lengthen = |jwk: &mut Value| {
                let x = decode(jwk["x"].as_str().unwrap()).unwrap();
                jwk["x"] = json!(BASE64URL.encode([&[0], x.as_slice()].concat()));
            };
            check(kid, lengthen, &[]);
        }
        let zero = BASE64URL.encode([0; 32]);
        check("kid-es256", |jwk| (jwk["x"], jwk["y"]) = (json!(zero), json!(zero)), &[]);
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits_and_one_exponent() {
        let modulus = |bits: usize| {
            let mut n = vec![0xff; bits.div_ceil(8)];
            n[0] = 0xff >> ((8 - bits % 8) % 8);
            json!(BASE64URL.encode(n))
        };
        for bits in [2048, 2049, 3072, 4096, 8192] {
            check("kid-rs256", |jwk| jwk["n"] = modulus(bits), &ALL_RSA);
        }
        for bits in [8, 512, 1024, 2047, 8193, 16384] {
            check("kid-rs256", |jwk| jwk["n"] = modulus(bits), &[]);
        }
        for e in ["", "AA", "AQ", "Aw", "AQAA", "AQAD", "AQAAAQ"] {
            check("kid-rs256", |jwk| jwk["e"] = json!(e), &[]);
        }
        check("kid-rs256", |jwk| jwk["e"] = json!("AAEAAQ"), &ALL_RSA);
        check("kid-rs256", |jwk| jwk["n"] = json!(""), &[]);
    }

    #[test]
    fn ed25519_keys_are_sound() {
        let small = ED25519_SMALL_ORDER.into_iter().flat_map(|y| {
            let mut negative = y;
            negative[31] |= 0x80;
            [y, negative]
        });
        let mut beyond = ED25519_PRIME;
        let above = (0xed..=0xff).map(|low| {
            beyond[0] = low;
            beyond
        });
        for point in small.chain(above) {
            check("kid-eddsa", |jwk| jwk["x"] = json!(BASE64URL.encode(point)), &[]);
            assert!(!is_sound_ed25519(point));
        }
        check("kid-eddsa", |jwk| jwk["x"] = json!(BASE64URL.encode([2; 31])), &[]);
        check("kid-eddsa", |jwk| jwk["crv"] = json!("X25519"), &[]);
    }

    /// Wycheproof: what others got wrong about the signatures themselves.
    #[track_caller]
    fn agrees_with_wycheproof(text: &str, algorithm: Algorithm) {
        let file: Value = serde_json::from_str(text).unwrap();
        let mut valid = 0;
        for group in file["groups"].as_array().unwrap() {
            // Some RSA groups have other exponents than 65537.
            let Some(key) = VerifyingKey::from_jwk(&jwk(group["pem"].as_str().unwrap())) else {
                continue;
            };
            for test in group["tests"].as_array().unwrap() {
                let (message, signature) = (unhex(&test["msg"]), unhex(&test["sig"]));
                let verifies = key.verifies(algorithm, &message, &signature);
                match test["result"].as_str().unwrap() {
                    "valid" => assert!(verifies, "{test}"),
                    "invalid" => assert!(!verifies, "{test}"),
                    _ => {}
                }
                valid += usize::from(verifies);
            }
        }
        assert!(valid > 3);
    }

    /// A PEM public key as a member of a key set.
    fn jwk(pem: &str) -> Value {
        use x509_parser::prelude::FromDer;
        use x509_parser::public_key::PublicKey;
        use x509_parser::x509::SubjectPublicKeyInfo;
        let (_, der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
        let (_, spki) = SubjectPublicKeyInfo::from_der(&der).unwrap();
        if let PublicKey::RSA(rsa) = spki.parsed().unwrap() {
            let [n, e] = [rsa.modulus, rsa.exponent].map(|number| BASE64URL.encode(number));
            return json!({ "kty": "RSA", "n": n, "e": e });
        }
        let x = BASE64URL.encode(&spki.subject_public_key.data);
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
    }

    fn unhex(hex: &Value) -> Vec<u8> {
        let hex = hex.as_str().unwrap();
        (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn agrees_with_wycheproof_about_ed25519() {
        let text = include_str!("../../tests/vectors/wycheproof/ed25519_test.json");
        agrees_with_wycheproof(text, Algorithm::EdDsa);
    }

    #[test]
    fn agrees_with_wycheproof_about_rsa() {
        let text =
            include_str!("../../tests/vectors/wycheproof/rsa_signature_2048_sha256_test.json");
        agrees_with_wycheproof(text, Algorithm::Rs256);
    }

    proptest! {
        #[test]
        fn never_panics(kty in "(RSA|EC|OKP|oct|x)", crv in "(P-256|P-521|Ed25519|x)", a in "[A-Za-z0-9_=-]{0,90}") {
            let jwk = json!({ "kty": kty, "crv": crv, "x": a, "y": a, "n": a, "e": "AQAB" });
            let _ = VerifyingKey::from_jwk(&jwk);
        }
    }
}
