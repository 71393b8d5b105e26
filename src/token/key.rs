//! A token issuer's key: one member of a key set (RFC 7517), checked and parsed once.
//!
//! ```text
//! {"kty":"EC","crv":"P-256","kid":"2026-1","use":"sig","alg":"ES256","x":"…","y":"…"}
//! ```

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self as lc, ParsedPublicKey, VerificationAlgorithm};
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
    match parameters {
        AlgorithmParameters::RSA(rsa) => rsa_verifiers(&decode(&rsa.n)?, &decode(&rsa.e)?),
        AlgorithmParameters::EllipticCurve(ec) => {
            let (algorithm, fixed, octets): (_, &'static dyn VerificationAlgorithm, _) =
                match ec.curve {
                    EllipticCurve::P256 => (Algorithm::Es256, &lc::ECDSA_P256_SHA256_FIXED, 32),
                    EllipticCurve::P384 => (Algorithm::Es384, &lc::ECDSA_P384_SHA384_FIXED, 48),
                    EllipticCurve::P521 => (Algorithm::Es512, &lc::ECDSA_P521_SHA512_FIXED, 66),
                    _ => return None,
                };
            let (x, y) = (decode(&ec.x)?, decode(&ec.y)?);
            if x.len() != octets || y.len() != octets {
                return None;
            }
            verifier(algorithm, fixed, &[&[4], x.as_slice(), y.as_slice()].concat())
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            let point: [u8; 32] = decode(&okp.x)?.try_into().ok()?;
            if !is_sound_ed25519(point) {
                return None;
            }
            verifier(Algorithm::EdDsa, &lc::ED25519, &point)
        }
        _ => None,
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

fn verifier(
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> Option<Vec<(Algorithm, Verifier)>> {
    Some(vec![(algorithm, Verifier(ParsedPublicKey::new(verification, key).ok()?))])
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
