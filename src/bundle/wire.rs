//! The JSON of bundles: what protobuf makes of `sigstore_bundle.proto`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Bundle, LogEntry};
use crate::quote::quote;
use crate::rekor::{RekorError, Verifier};
use crate::tlog::merkle::Hash;

/// The media type of version 0.3.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What it was called first.
const OLDER: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";
/// That of version 0.2, which has the certificate as the first of a chain; sigstore-js writes it.
const CHAINED: &str = "application/vnd.dev.sigstore.bundle+json;version=0.2";

/// The most octets of a bundle that is read.
const LONGEST: usize = 1 << 20;
/// The most timestamps.
const MOST: usize = 8;

/// Octets as base64.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Base64(pub(super) Vec<u8>);

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Self)
    }
}

impl From<Base64> for String {
    fn from(Base64(octets): Base64) -> Self {
        STANDARD.encode(octets)
    }
}

/// A number as protobuf's JSON has those of 64 bits: in quotes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "Number64", into = "String")]
struct Number(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Number64 {
    Text(String),
    Number(u64),
}

impl TryFrom<Number64> for Number {
    type Error = std::num::ParseIntError;

    fn try_from(number: Number64) -> Result<Self, std::num::ParseIntError> {
        match number {
            Number64::Text(text) => text.parse().map(Self),
            Number64::Number(number) => Ok(Self(number)),
        }
    }
}

impl From<Number> for String {
    fn from(Number(number): Number) -> Self {
        number.to_string()
    }
}

/// `X509Certificate`, `RFC3161SignedTimestamp` and their like, by the name of their one member.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    pub(super) raw_bytes: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    media_type: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: String,
    verification_material: Material,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_signature: Option<MessageSignature>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<Chain>,
    #[serde(default)]
    tlog_entries: Vec<Entry>,
    #[serde(default)]
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Deserialize, Serialize)]
struct Chain {
    certificates: Vec<Raw>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timestamps {
    #[serde(default)]
    rfc3161_timestamps: Vec<Timestamp>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timestamp {
    signed_timestamp: Base64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: Digest,
    signature: Base64,
}

#[derive(Deserialize, Serialize)]
struct Digest {
    algorithm: String,
    digest: Base64,
}

/// `TransparencyLogEntry`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default = "zero")]
    log_index: Number,
    log_id: LogId,
    kind_version: KindVersion,
    #[serde(default = "zero")]
    integrated_time: Number,
    inclusion_proof: Proof,
    canonicalized_body: Base64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: Base64,
}

#[derive(Deserialize, Serialize)]
struct KindVersion {
    kind: String,
    version: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    #[serde(default = "zero")]
    log_index: Number,
    root_hash: Base64,
    tree_size: Number,
    #[serde(default)]
    hashes: Vec<Base64>,
    checkpoint: Checkpoint,
}

#[derive(Deserialize, Serialize)]
struct Checkpoint {
    envelope: String,
}

/// protobuf's JSON leaves zeros out.
fn zero() -> Number {
    Number(0)
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// [`BundleError`], one variant for each way to be none that is verified here.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        if json.len() > LONGEST {
            return Err(BundleError::TooLong);
        }
        let form = |error: serde_json::Error| BundleError::Form(error.to_string());
        let Kind { media_type } = serde_json::from_slice(json).map_err(form)?;
        if ![MEDIA_TYPE, OLDER, CHAINED].contains(&media_type.as_str()) {
            return Err(BundleError::MediaType(media_type));
        }
        let wire: Wire = serde_json::from_slice(json).map_err(form)?;
        let Material {
            certificate,
            x509_certificate_chain: chain,
            mut tlog_entries,
            timestamp_verification_data: stamps,
        } = wire.verification_material;
        let chain = chain.filter(|_| media_type == CHAINED);
        let certificate = certificate.or(chain.and_then(|it| it.certificates.into_iter().next()));
        let message = wire.message_signature.ok_or(BundleError::NoMessage)?;
        let (Some(entry), true) = (tlog_entries.pop(), tlog_entries.is_empty()) else {
            return Err(BundleError::Entries);
        };
        let stamps = stamps.map(|stamps| stamps.rfc3161_timestamps).unwrap_or_default();
        if stamps.len() > MOST {
            return Err(BundleError::Timestamps(stamps.len()));
        }
        Ok(Self {
            certificate: certificate.ok_or(BundleError::NoCertificate)?.raw_bytes.0,
            digest: message.message_digest.digest.0,
            signature: message.signature.0,
            entry: entry.into_log_entry()?,
            timestamps: stamps.into_iter().map(|it| it.signed_timestamp.0).collect(),
        })
    }

    /// The bundle as a file.
    ///
    /// # Errors
    ///
    /// [`RekorError`] when the certificate has no key whose signatures are logged.
    pub fn json(&self) -> Result<String, RekorError> {
        let algorithm = Verifier::of_certificate(&self.certificate)?.hash()?;
        let stamps = self.timestamps.iter();
        let stamps = stamps.map(|der| Timestamp { signed_timestamp: Base64(der.clone()) });
        let wire = Wire {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material {
                certificate: Some(Raw { raw_bytes: Base64(self.certificate.clone()) }),
                x509_certificate_chain: None,
                tlog_entries: vec![Entry::of(&self.entry)],
                timestamp_verification_data: Some(Timestamps {
                    rfc3161_timestamps: stamps.collect(),
                }),
            },
            message_signature: Some(MessageSignature {
                message_digest: Digest {
                    algorithm: algorithm.to_owned(),
                    digest: Base64(self.digest.clone()),
                },
                signature: Base64(self.signature.clone()),
            }),
        };
        Ok(serde_json::to_string(&wire).unwrap_or_default())
    }
}

impl LogEntry {
    /// Reads the log's answer: a `TransparencyLogEntry`.
    ///
    /// # Errors
    ///
    /// [`BundleError::Form`], [`BundleError::Index`].
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        let entry: Entry =
            serde_json::from_slice(json).map_err(|error| BundleError::Form(error.to_string()))?;
        entry.into_log_entry()
    }
}

impl Entry {
    fn of(entry: &LogEntry) -> Self {
        let (kind, version) = entry.kind.clone();
        let hashes = entry.proof.iter().map(|Hash(hash)| Base64(hash.to_vec()));
        Self {
            log_index: Number(entry.index),
            log_id: LogId { key_id: Base64(entry.log_id.clone()) },
            kind_version: KindVersion { kind, version },
            integrated_time: zero(),
            inclusion_proof: Proof {
                log_index: Number(entry.index),
                root_hash: Base64(entry.root.0.to_vec()),
                tree_size: Number(entry.size),
                hashes: hashes.collect(),
                checkpoint: Checkpoint { envelope: entry.checkpoint.clone() },
            },
            canonicalized_body: Base64(entry.body.clone()),
        }
    }

    fn into_log_entry(self) -> Result<LogEntry, BundleError> {
        let Proof { log_index: Number(index), root_hash, tree_size, hashes, checkpoint } =
            self.inclusion_proof;
        if self.log_index.0 != index {
            return Err(BundleError::Index);
        }
        let hashes = hashes.into_iter().map(hash);
        Ok(LogEntry {
            log_id: self.log_id.key_id.0,
            kind: (self.kind_version.kind, self.kind_version.version),
            index,
            root: hash(root_hash)?,
            size: tree_size.0,
            proof: hashes.collect::<Result<_, _>>()?,
            checkpoint: checkpoint.envelope,
            body: self.canonicalized_body.0,
        })
    }
}

fn hash(Base64(octets): Base64) -> Result<Hash, BundleError> {
    octets.try_into().map(Hash).map_err(|_| BundleError::Hash)
}

/// Why a text is no bundle that is verified here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Longer than any.
    #[error("it is longer than {LONGEST} octets, which no bundle is")]
    TooLong,
    /// Not JSON of that form.
    #[error("it is no bundle: {0}")]
    Form(String),
    /// Another version, or no bundle.
    #[error("its media type is {}; only bundles of versions 0.2 and 0.3 are verified", quote(.0))]
    MediaType(String),
    /// A key alone; or a chain, in a version that has none.
    #[error("it has no verificationMaterial.certificate; a bundle of a key alone is not verified")]
    NoCertificate,
    /// An attestation.
    #[error("it has no messageSignature; attestations (dsseEnvelope) are not verified")]
    NoMessage,
    /// None, or more than one.
    #[error("it must have exactly one entry in tlogEntries")]
    Entries,
    /// More timestamps than are tried.
    #[error("it has {0} timestamps; {MOST} are the most that are tried")]
    Timestamps(usize),
    /// The entry and its proof say different places.
    #[error("the entry and its proof have different logIndex")]
    Index,
    /// A hash of another length.
    #[error("a hash of the proof has not 32 octets")]
    Hash,
}
