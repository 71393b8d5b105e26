//! Keys too weak to be certified, and proofs that prove nothing.

use aws_lc_rs::digest::{SHA256, digest};
use mayfly::asn1;
use num_bigint::BigUint;
use serde_json::Value;
use x509_parser::asn1_rs::FromDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::support::caller::spki;

use super::bench::{ALICE, Answer, Bench, ask, ask_by_request, ask_for, mail};
use super::{Expect, Row};

/// The algorithms of keys: DER `AlgorithmIdentifier`.
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// `DigestInfo` of SHA-256 up to the digest (RFC 8017 §9.2).
const DIGEST_INFO: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// Two primes, whose product has 1024 bits.
const PRIMES: [&str; 2] = [
    "fa5f67ac42aef4f6ca53f0e376451c345f4e5b5127e0f05c48bc8e51a8e79e41\
     f37a2d3f5d9596ee22774148340e5904b6975779474f8aa68eeed724c6536d87",
    "f3eaae60a3fefc6426c470c48d1cc412fa0846afe2097aa5cecf78febae7331a\
     8f0902d23312b481402476c2a049cf8e1b5f2d2b38ff8f37014c131302c4dd5d",
];

#[tokio::test(flavor = "multi_thread")]
async fn who_proves_nothing_is_withstood() {
    super::withstand(rows()).await;
}

pub fn rows() -> Vec<Row> {
    use Expect::{Issued, KeyRefused};
    vec![
        Row::ask("PK-010-1024", KeyRefused, "this one has 1024", |bench| {
            let (key, proof) = small_rsa(ALICE);
            ask_for(&token(bench), &key, &proof)
        }),
        Row::ask("PK-035a", KeyRefused, "small order", |bench| {
            // The neutral element, for which R = 1 and S = 0 sign everything.
            let mut one = [0; 32];
            one[0] = 1;
            ask_for(&token(bench), &spki(ED25519, &one), &[one, [0; 32]].concat())
        }),
        Row::ask("PP-004", KeyRefused, "not a signature of", |bench| {
            ask(&token(bench), "bob@hostile.test")
        }),
        Row::ask("CS-004", KeyRefused, "not signed by the key", |bench| {
            by_request(bench, |der| *der.last_mut().expect("an octet") ^= 1)
        }),
        Row::course("CS-020", Issued, "", |bench| Box::pin(names_of_others(bench))),
    ]
}

fn token(bench: &Bench) -> String {
    bench.token(mail(&bench.issuer, "/mail"))
}

/// A request by way of PKCS #10 that asks for the names of others; `change` comes after its signature.
fn by_request(bench: &Bench, change: fn(&mut Vec<u8>)) -> Value {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = ["victim.test".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).expect("names");
    for name in [
        rcgen::SanType::Rfc822Name("victim@hostile.test".try_into().expect("ASCII")),
        rcgen::SanType::URI("https://victim.test/x".try_into().expect("ASCII")),
    ] {
        params.subject_alt_names.push(name);
    }
    let mut der = params.serialize_request(&key).expect("a request").der().to_vec();
    change(&mut der);
    ask_by_request(&token(bench), &der)
}

/// The names that a request asks for are in no certificate.
async fn names_of_others(bench: &Bench) -> Answer {
    let answer = bench.post(&by_request(bench, |_| ())).await;
    let der = answer.certificate().unwrap_or_else(|| panic!("CS-020: {answer:?}"));
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    let names = certificate.subject_alternative_name().expect("readable").expect("a name");
    assert_eq!(names.value.general_names, [GeneralName::RFC822Name(ALICE)], "CS-020");
    answer
}

/// A key of 1024 bits, and its signature of `message` (RFC 8017 §8.2.1).
fn small_rsa(message: &str) -> (Vec<u8>, Vec<u8>) {
    let [p, q] = PRIMES.map(|prime| BigUint::parse_bytes(prime.as_bytes(), 16).expect("hex"));
    let (modulus, exponent, one) = (&p * &q, BigUint::from(65_537u32), BigUint::from(1u32));
    let secret = exponent.modinv(&((&p - &one) * (&q - &one))).expect("prime to it");
    let hash = digest(&SHA256, message.as_bytes());
    let info = [DIGEST_INFO, hash.as_ref()].concat();
    let padding = vec![0xff; 128 - 3 - info.len()];
    let padded = [&[0, 1], padding.as_slice(), &[0], &info].concat();
    let proof = BigUint::from_bytes_be(&padded).modpow(&secret, &modulus).to_bytes_be();
    let key = rsa_spki(&modulus.to_bytes_be(), &exponent.to_bytes_be());
    (key, [vec![0; 128 - proof.len()], proof].concat())
}

/// An RSA key as `SubjectPublicKeyInfo`, DER.
pub fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    asn1::nested(&mut key, asn1::SEQUENCE, |key| {
        asn1::unsigned(key, modulus);
        asn1::unsigned(key, exponent);
    });
    spki(RSA, &key)
}
