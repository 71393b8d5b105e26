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
use crate::pem;
use crate::time::Timestamp;

/// RFC 4519 §2.19.
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// RFC 4519 §2.3.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Everything that verifiers and signers need to know of an instance; what is retired too, for what it
/// signed is still to be verified.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// The one name that clients use.
    pub url: String,
    /// The certificate authorities.
    pub certificate_authorities: Vec<AuthorityTrust>,
    /// The shards of the certificate log.
    pub certificate_logs: Vec<LogTrust>,
    /// The shards of the signature log.
    pub signature_logs: Vec<LogTrust>,
    /// The timestamp authorities.
    pub timestamp_authorities: Vec<AuthorityTrust>,
}

/// An authority with a chain, as verifiers need to know it.
#[derive(Clone, Debug)]
pub struct AuthorityTrust {
    /// Where it answers: the instance's own address, or the path of the timestamps.
    pub url: String,
    /// Its chain, DER: the certificate that signs first, the root last.
    pub certificates: Vec<Vec<u8>>,
    /// From when on what it signs counts.
    pub since: Timestamp,
    /// Until when, if it signs nothing any more.
    pub until: Option<Timestamp>,
}

/// A log, as verifiers need to know it.
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

impl Material {
    /// `trusted_root.json`.
    pub fn trusted_root(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": self.signature_logs.iter().map(LogTrust::json).collect::<Vec<_>>(),
            "certificateAuthorities":
                self.certificate_authorities.iter().map(AuthorityTrust::json).collect::<Vec<_>>(),
            "ctlogs": self.certificate_logs.iter().map(LogTrust::json).collect::<Vec<_>>(),
            "timestampAuthorities":
                self.timestamp_authorities.iter().map(AuthorityTrust::json).collect::<Vec<_>>(),
        })
    }
}

impl AuthorityTrust {
    fn json(&self) -> Value {
        let certificates = self.certificates.iter();
        let certificates: Vec<Value> =
            certificates.map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        json!({
            "subject": self.certificates.first().map(|der| subject(der)),
            "uri": self.url,
            "certChain": { "certificates": certificates },
            "validFor": valid_for(self.since, self.until),
        })
    }
}

impl LogTrust {
    fn json(&self) -> Value {
        json!({
            "baseUrl": self.url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(&self.public_key),
                "keyDetails": key_details(self.algorithm),
                "validFor": valid_for(self.since, self.until),
            },
            "logId": { "keyId": STANDARD.encode(self.id) },
        })
    }
}

/// `TimeRange` of protobuf-specs' `sigstore_common.proto`.
fn valid_for(since: Timestamp, until: Option<Timestamp>) -> Value {
    let start = since.to_string();
    match until {
        Some(until) => json!({ "start": start, "end": until.to_string() }),
        None => json!({ "start": start }),
    }
}

/// Organization and common name of a certificate.
fn subject(der: &[u8]) -> Value {
    let certificate = x509_cert::Certificate::from_der(der);
    let name = certificate.map(|it| it.tbs_certificate().subject().clone()).unwrap_or_default();
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
