//! What verifiers must trust and signers must use, as Sigstore's trust files say it.
//!
//! ```text
//! trusted_root.json                     what verifiers trust
//!   mediaType                           application/vnd.dev.sigstore.trustedroot+json;version=0.1
//!   tlogs, ctlogs                       [{ baseUrl, hashAlgorithm, publicKey, logId }]
//!   certificateAuthorities,
//!   timestampAuthorities                [{ subject, uri, certChain, validFor }]
//! signing_config.json                   where signers go
//!   mediaType                           application/vnd.dev.sigstore.signingconfig.v0.2+json
//!   caUrls, oidcUrls,
//!   rekorTlogUrls, tsaUrls              [{ url, majorApiVersion, validFor, operator }]
//!   rekorTlogConfig, tsaConfig          { selector }, each beside a list that is not empty
//! trust_config.json                     both
//!   mediaType                           application/vnd.dev.sigstore.clienttrustconfig.v0.1+json
//!   trustedRoot, signingConfig
//! ```
//!
//! Spec: protobuf-specs, `sigstore_trustroot.proto`; the media types are those that every client takes.

use std::collections::BTreeMap;

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
    /// The issuers at which a person can sign in to have a certificate.
    pub sign_in: Vec<String>,
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
    /// The names of the files that are made of it.
    pub const NAMES: [&str; 3] = ["trusted_root.json", "signing_config.json", "trust_config.json"];

    /// These files.
    pub fn files(&self) -> [(&'static str, Value); 3] {
        let [root, config, both] = Self::NAMES;
        [(root, self.trusted_root()), (config, self.signing_config()), (both, self.trust_config())]
    }

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

    /// `signing_config.json`: the services that take work now.
    pub fn signing_config(&self) -> Value {
        let since = self.certificate_authorities.iter().map(|authority| authority.since).min();
        let since = since.unwrap_or_default();
        let logs = self.signature_logs.iter().filter(|log| log.until.is_none());
        // However many shards take entries, now or later: they are written at one address.
        let log = logs.map(|log| log.since).min().map(|since| (self.url.as_str(), since));
        let mut authorities = BTreeMap::new();
        for authority in self.timestamp_authorities.iter().filter(|it| it.until.is_none()) {
            let earliest = authorities.entry(authority.url.as_str()).or_insert(authority.since);
            *earliest = authority.since.min(*earliest);
        }
        let sign_in = self.sign_in.iter().map(|issuer| (issuer.as_str(), since));
        let mut config = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": self.services([(self.url.as_str(), since)], 1),
            "oidcUrls": self.services(sign_in, 1),
            "rekorTlogUrls": self.services(log, 2),
            "tsaUrls": self.services(authorities, 1),
        });
        // A selector beside an empty list has clients ask for one of none.
        for (list, selector) in [("rekorTlogUrls", "rekorTlogConfig"), ("tsaUrls", "tsaConfig")] {
            if config.get(list).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
                && let Some(config) = config.as_object_mut()
            {
                config.insert(selector.to_owned(), json!({ "selector": "ANY" }));
            }
        }
        config
    }

    /// `trust_config.json`: both files in one.
    pub fn trust_config(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": self.signing_config(),
        })
    }

    /// `Service` of protobuf-specs' `sigstore_trustroot.proto`; `version` is not that of the path.
    fn services<'a>(
        &self,
        services: impl IntoIterator<Item = (&'a str, Timestamp)>,
        version: u32,
    ) -> Vec<Value> {
        let operator = host(&self.url);
        let service = |(url, since): (&str, Timestamp)| {
            json!({
                "url": url,
                "majorApiVersion": version,
                "validFor": valid_for(since, None),
                "operator": operator,
            })
        };
        services.into_iter().map(service).collect()
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

/// The host of a URL, without port and path.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => rest.split(':').next().unwrap_or(rest),
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
pub fn subject(der: &[u8]) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;
    const URL: &str = "https://ca.example.com:8443";

    fn authority(url: &str, since: u64, until: Option<u64>) -> AuthorityTrust {
        let (since, until) = (Timestamp::from_secs(since), until.map(Timestamp::from_secs));
        AuthorityTrust { url: url.to_owned(), certificates: vec![vec![1]], since, until }
    }

    fn log(name: &str, since: u64, until: Option<u64>) -> LogTrust {
        LogTrust {
            url: format!("{URL}/tlog/{name}"),
            public_key: vec![2],
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            id: [3; 32],
            since: Timestamp::from_secs(since),
            until: until.map(Timestamp::from_secs),
        }
    }

    /// An instance with all that there may be: retired, in use, and to come.
    fn full() -> Material {
        let stamps = format!("{URL}/api/v1/timestamp");
        Material {
            url: URL.to_owned(),
            certificate_authorities: vec![authority(URL, DAY, None)],
            certificate_logs: vec![log("ct", DAY, None)],
            signature_logs: vec![
                log("2025", DAY, Some(2 * DAY)),
                log("2026", 3 * DAY, None),
                log("2027", 9 * DAY, None),
            ],
            timestamp_authorities: vec![
                authority(&stamps, DAY, Some(2 * DAY)),
                authority(&stamps, 9 * DAY, None),
                authority(&stamps, 3 * DAY, None),
            ],
            sign_in: vec!["https://idp.example.com".to_owned()],
        }
    }

    #[test]
    fn signers_are_told_each_address_once_and_since_when() {
        let service = |url: &str, version: u32, day: u32| {
            json!({
                "url": url,
                "majorApiVersion": version,
                "validFor": { "start": format!("1970-01-0{day}T00:00:00Z") },
                "operator": "ca.example.com",
            })
        };
        let expected = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service(URL, 1, 2)],
            "oidcUrls": [service("https://idp.example.com", 1, 2)],
            "rekorTlogUrls": [service(URL, 2, 4)],
            "tsaUrls": [service(&format!("{URL}/api/v1/timestamp"), 1, 4)],
            "rekorTlogConfig": { "selector": "ANY" },
            "tsaConfig": { "selector": "ANY" },
        });
        assert_eq!(full().signing_config(), expected);
    }

    #[test]
    fn what_there_is_not_has_no_selector() {
        let retired = |log: &LogTrust| log.until.is_some();
        let mut material = Material { timestamp_authorities: Vec::new(), ..full() };
        material.signature_logs.retain(retired);
        let config = material.signing_config();
        let keys: Vec<_> = config.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["mediaType", "caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls"]);
        assert_eq!((&config["rekorTlogUrls"], &config["tsaUrls"]), (&json!([]), &json!([])));
    }

    #[test]
    fn verifiers_are_told_of_what_is_retired_too() {
        let config = full().trust_config();
        assert_eq!(config["trustedRoot"], full().trusted_root());
        assert_eq!(config["signingConfig"], full().signing_config());
        let ends = |list: &str, pointer: &str| -> Vec<bool> {
            let list = config["trustedRoot"][list].as_array().unwrap().iter();
            list.map(|it| it.pointer(pointer).is_some()).collect()
        };
        assert_eq!(ends("tlogs", "/publicKey/validFor/end"), [true, false, false]);
        assert_eq!(ends("timestampAuthorities", "/validFor/end"), [true, false, false]);
    }

    #[test]
    fn a_host_is_without_port_and_path() {
        for (url, name) in [
            ("https://ca.example.com", "ca.example.com"),
            ("https://ca.example.com:8443/x", "ca.example.com"),
            ("http://[::1]:5555", "::1"),
            ("http://[::1]", "::1"),
            ("ca.example.com", "ca.example.com"),
        ] {
            assert_eq!(host(url), name);
        }
    }
}
