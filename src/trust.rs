//! What verifiers must trust, as Sigstore's `trusted_root.json` says it.
//!
//! ```text
//! { "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
//!   "tlogs": [], "timestampAuthorities": [],
//!   "certificateAuthorities": [{ "subject", "uri", "certChain", "validFor" }],
//!   "ctlogs": [{ "baseUrl", "hashAlgorithm", "publicKey", "logId" }] }
//! ```
//!
//! Spec: protobuf-specs, `sigstore_trustroot.proto`; the media type is the one that every client takes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::algorithm::SignatureAlgorithm;
use crate::certificate::Chain;
use crate::time::Timestamp;

/// The certificate log, as verifiers need to know it.
#[derive(Clone, Debug)]
pub struct LogTrust {
    /// Where it is served: `https://ca.example.com/ct/2026`.
    pub url: String,
    /// DER `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
    /// What it signs with.
    pub algorithm: SignatureAlgorithm,
    /// SHA-256 of the public key.
    pub id: [u8; 32],
    /// From when on its timestamps count.
    pub since: Timestamp,
}

/// `trusted_root.json` of one authority and its certificate log.
///
/// `url` is the authority's own; the chain's validity begins with its issuing certificate.
pub fn trusted_root(url: &str, chain: &Chain, log: &LogTrust) -> Value {
    let certificates: Vec<Value> =
        chain.ders().iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
    let (organization, common_name) = chain.subject();
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [],
        "certificateAuthorities": [{
            "subject": { "organization": organization, "commonName": common_name },
            "uri": url,
            "certChain": { "certificates": certificates },
            "validFor": { "start": chain.not_before().to_string() },
        }],
        "ctlogs": [{
            "baseUrl": log.url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(&log.public_key),
                "keyDetails": key_details(log.algorithm),
                "validFor": { "start": log.since.to_string() },
            },
            "logId": { "keyId": STANDARD.encode(log.id) },
        }],
        "timestampAuthorities": [],
    })
}

/// `PublicKeyDetails` of protobuf-specs' `sigstore_common.proto`.
const fn key_details(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => "PKIX_ECDSA_P256_SHA_256",
        SignatureAlgorithm::EcdsaP384Sha384 => "PKIX_ECDSA_P384_SHA_384",
        SignatureAlgorithm::EcdsaP521Sha512 => "PKIX_ECDSA_P521_SHA_512",
        SignatureAlgorithm::RsaPkcs1Sha256 => "PKIX_RSA_PKCS1V15_2048_SHA256",
        SignatureAlgorithm::Ed25519 => "PKIX_ED25519",
    }
}

/// A public key as PEM: what cosign reads from `SIGSTORE_CT_LOG_PUBLIC_KEY_FILE`.
pub fn public_key_pem(spki: &[u8]) -> String {
    let text = STANDARD.encode(spki);
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    pem
}
