//! Keys that are not certified, and proofs that prove nothing.

use std::panic::Location;
use std::sync::Arc;

use mayfly::asn1;
use mayfly::pem;
use mayfly::possession::strength::KeyError;
use mayfly::possession::{PossessionError, Proof};
use num_bigint::BigUint;

use crate::support::authority::Parts;
use crate::support::caller::{self, P256, point, spki};

use super::{Ask, Bite, Outcome};

/// The algorithms of keys: DER `AlgorithmIdentifier`.
const SECP256K1: &[u8] =
    b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a";
const EXPLICIT: &[u8] = b"\x30\x0b\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x30\x00";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// A point of order 4, whose y is 0; and one whose y is p, which is 0 in another encoding.
const SMALL: [u8; 32] = [0; 32];
const UNREDUCED: [u8; 32] = {
    let mut point = [0xff; 32];
    point[0] = 0xed;
    point[31] = 0x7f;
    point
};

#[tokio::test]
async fn proofs() {
    super::check(bites()).await;
}

/// What the rows bend is sound before it is bent: keys of which only the proof is missing, and a
/// request.
#[tokio::test]
async fn unbent_keys_and_requests_hold() {
    super::check(vec![
        proof(|ask| key(ask, RSA, &rsa(&modulus(2048), 65_537)), not_signed()),
        proof(|ask| key(ask, ED25519, &[9; 32]), not_signed()),
    ])
    .await;
    let mut ask = Ask::golden("github/push");
    ask.proof = Some(csr(|_| ()));
    let authority = Arc::new(Parts::golden().open());
    super::issued(&authority, &ask.request(), Location::caller()).await;
}

#[track_caller]
fn bite(change: fn(&mut Ask), error: PossessionError, reason: &'static str) -> Bite {
    Bite::ask("github/push", change, Outcome::new(error, 400, reason))
}

#[track_caller]
fn proof(change: fn(&mut Ask), error: PossessionError) -> Bite {
    bite(change, error, "PROOF_INVALID")
}

#[track_caller]
fn unacceptable(change: fn(&mut Ask), error: KeyError) -> Bite {
    bite(change, PossessionError::KeyUnacceptable(error), "KEY_UNACCEPTABLE")
}

fn not_signed() -> PossessionError {
    PossessionError::ProofInvalid { challenge: "repo:acme/app:ref:refs/heads/main".to_owned() }
}

pub fn bites() -> Vec<Bite> {
    [forms(), proofs_and_requests(), points(), rsa_keys()].into_iter().flatten().collect()
}

fn forms() -> Vec<Bite> {
    use PossessionError::{KeyIsCertificate, KeyIsPrivate, KeyMissing, KeyUnreadable};
    vec![
        bite(|ask| text(ask, ""), KeyMissing, "KEY_MISSING"),
        bite(|ask| text(ask, "ssh-ed25519 AAAA"), KeyUnreadable, "KEY_UNREADABLE"),
        bite(|ask| labelled(ask, "CERTIFICATE"), KeyIsCertificate, "KEY_UNREADABLE"),
        bite(|ask| labelled(ask, "EC PRIVATE KEY"), KeyIsPrivate, "KEY_IS_PRIVATE"),
    ]
}

fn proofs_and_requests() -> Vec<Bite> {
    use PossessionError::{CsrAlgorithm, CsrSignature, CsrUnreadable, KeyMissing};
    vec![
        proof(
            |ask| {
                let mut claims = ask.claims.clone();
                claims["sub"] = "repo:acme/app:ref:refs/heads/dev".into();
                ask.proof = Some(caller::proof(&claims));
            },
            not_signed(),
        ),
        bite(|ask| ask.proof = Some(Proof::Csr(Vec::new())), KeyMissing, "KEY_MISSING"),
        bite(
            |ask| ask.proof = Some(csr(|der| der.truncate(der.len() - 1))),
            CsrUnreadable,
            "CSR_UNREADABLE",
        ),
        bite(
            // The last arc of ecdsa-with-SHA256, made that of ecdsa-with-SHA384.
            |ask| {
                ask.proof = Some(csr(|der| {
                    let sha256 = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
                    let at = der.windows(8).position(|octets| octets == sha256);
                    der[at.expect("an algorithm") + 7] = 3;
                }));
            },
            CsrAlgorithm { scheme: "ECDSA with SHA-256" },
            "CSR_UNACCEPTABLE",
        ),
        bite(
            |ask| ask.proof = Some(csr(|der| *der.last_mut().expect("an octet") ^= 1)),
            CsrSignature,
            "PROOF_INVALID",
        ),
    ]
}

fn points() -> Vec<Bite> {
    vec![
        unacceptable(
            |ask| key(ask, SECP256K1, &point()),
            KeyError::Algorithm("ECDSA secp256k1".to_owned()),
        ),
        unacceptable(|ask| key(ask, EXPLICIT, &point()), KeyError::ExplicitParameters),
        unacceptable(
            |ask| key(ask, P256, &[&[2], &point()[1..33]].concat()),
            KeyError::CompressedPoint,
        ),
        unacceptable(
            |ask| {
                let mut point = point();
                point[64] ^= 1;
                key(ask, P256, &point);
            },
            KeyError::Invalid("ECDSA P-256"),
        ),
        unacceptable(|ask| key(ask, ED25519, &SMALL), KeyError::Ed25519SmallOrder),
        unacceptable(|ask| key(ask, ED25519, &UNREDUCED), KeyError::Ed25519NonCanonical),
    ]
}

fn rsa_keys() -> Vec<Bite> {
    vec![
        unacceptable(
            |ask| key(ask, RSA, &rsa(&modulus(1024), 65_537)),
            KeyError::RsaSize { bits: 1024 },
        ),
        unacceptable(|ask| key(ask, RSA, &rsa(&modulus(2048), 3)), KeyError::RsaExponent),
        unacceptable(
            |ask| {
                let multiple = rough(power_of_two(2046) * 3u32 / 743u32) * 743u32;
                key(ask, RSA, &rsa(&multiple, 65_537));
            },
            KeyError::RsaSmallFactor { prime: 743 },
        ),
        unacceptable(|ask| key(ask, RSA, &rsa(&infineons(), 65_537)), KeyError::RsaRoca),
        unacceptable(
            |ask| {
                let [prime, _] = factors(2048);
                key(ask, RSA, &rsa(&(&prime * rough(&prime + 1_000_000u32)), 65_537));
            },
            KeyError::RsaCloseFactors,
        ),
    ]
}

/// Sends `text` in the key's place.
fn text(ask: &mut Ask, text: &str) {
    if let Proof::SignedChallenge { signature, .. } = caller::proof(&ask.claims) {
        ask.proof = Some(Proof::SignedChallenge { key: text.into(), signature });
    }
}

/// Sends the caller's key under another label.
fn labelled(ask: &mut Ask, label: &str) {
    text(ask, &pem::encode(label, &spki(P256, &point())));
}

/// Sends another key, with the proof by the caller's.
fn key(ask: &mut Ask, identifier: &[u8], bits: &[u8]) {
    text(ask, &pem::encode("PUBLIC KEY", &spki(identifier, bits)));
}

/// A request, signed by a key of its own, then changed.
fn csr(change: fn(&mut Vec<u8>)) -> Proof {
    let key = rcgen::KeyPair::generate().expect("a key");
    let request = rcgen::CertificateParams::default().serialize_request(&key).expect("a request");
    let mut der = request.der().to_vec();
    change(&mut der);
    Proof::Csr(pem::encode("CERTIFICATE REQUEST", &der).into_bytes())
}

/// DER `RSAPublicKey`.
fn rsa(modulus: &BigUint, exponent: u32) -> Vec<u8> {
    let mut der = Vec::new();
    asn1::nested(&mut der, asn1::SEQUENCE, |der| {
        asn1::unsigned(der, &modulus.to_bytes_be());
        asn1::unsigned(der, &exponent.to_be_bytes());
    });
    der
}

/// A modulus that breaks no rule but, perhaps, that of its size. (No rule asks for primes.)
fn modulus(bits: u32) -> BigUint {
    let [p, q] = factors(bits);
    p * q
}

/// Two factors, far apart, whose product has `bits` bits.
fn factors(bits: u32) -> [BigUint; 2] {
    [(3u32, 2), (7, 3)].map(|(lead, width)| rough(power_of_two(bits / 2 - width) * lead))
}

/// The first number from `start` on that has no small factor.
fn rough(mut start: BigUint) -> BigUint {
    while has_small_factor(&start) {
        start += 1u32;
    }
    start
}

fn has_small_factor(number: &BigUint) -> bool {
    (2..=751u32).any(|divisor| (number % divisor) == BigUint::ZERO)
}

fn power_of_two(exponent: u32) -> BigUint {
    BigUint::from(1u32) << exponent
}

/// What Infineon's library makes: factors k·M + 65537^a, where M is the product of the first primes.
fn infineons() -> BigUint {
    let primes = (2..=167u32).filter(|n| (2..*n).all(|divisor| n % divisor != 0));
    let product: BigUint = primes.map(BigUint::from).product();
    let factor = |power: u32, near: BigUint| {
        let residue = BigUint::from(65_537u32).modpow(&power.into(), &product);
        let mut candidate = near / &product * &product + residue;
        while has_small_factor(&candidate) {
            candidate += &product;
        }
        candidate
    };
    let [p, q] = factors(2048);
    factor(5, p) * factor(77, q)
}
