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
use der::Decode;
use der::asn1::ObjectIdentifier;
use serde_json::{Value, json};

use crate::algorithm::SignatureAlgorithm;
use crate::certificate::Chain;
use crate::pem;
use crate::time::Timestamp;

/// RFC 4519 §2.19.
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// RFC 4519 §2.3.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A certificate log, as verifiers need to know it.
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
    /// Until when, if it takes nothing any more.
    pub until: Option<Timestamp>,
}

/// `trusted_root.json` of one authority and its certificate logs, those that are closed too.
///
/// `url` is the authority's own; the chain's validity begins when all its certificates hold.
pub fn trusted_root(url: &str, chain: &Chain, logs: &[LogTrust]) -> Value {
    let certificates: Vec<Value> =
        chain.ders().iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [],
        "certificateAuthorities": [{
            "subject": subject(chain),
            "uri": url,
            "certChain": { "certificates": certificates },
            "validFor": { "start": chain.not_before().to_string() },
        }],
        "ctlogs": logs.iter().map(ct_log).collect::<Vec<_>>(),
        "timestampAuthorities": [],
    })
}

fn ct_log(log: &LogTrust) -> Value {
    let mut valid_for = json!({ "start": log.since.to_string() });
    if let (Some(until), Some(members)) = (log.until, valid_for.as_object_mut()) {
        members.insert("end".to_owned(), until.to_string().into());
    }
    json!({
        "baseUrl": log.url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": STANDARD.encode(&log.public_key),
            "keyDetails": key_details(log.algorithm),
            "validFor": valid_for,
        },
        "logId": { "keyId": STANDARD.encode(log.id) },
    })
}

/// Organization and common name of the issuing certificate.
fn subject(chain: &Chain) -> Value {
    let name = x509_cert::name::Name::from_der(chain.subject()).unwrap_or_default();
    let attribute = |oid: ObjectIdentifier| {
        let mut attributes = name.iter().filter(|attribute| attribute.oid == oid);
        let value = attributes.next().map(|attribute| &attribute.value);
        value.map(|value| String::from_utf8_lossy(value.value()).into_owned()).unwrap_or_default()
    };
    json!({ "organization": attribute(ORGANIZATION), "commonName": attribute(COMMON_NAME) })
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
    pem::encode("PUBLIC KEY", spki)
}
