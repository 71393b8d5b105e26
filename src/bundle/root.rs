//! `trusted_root.json` is read, and what it says is asked for.
//!
//! Spec: protobuf-specs, `sigstore_trustroot.proto`.

use serde::Deserialize;

use super::Unverified;
use super::wire::{Base64, Raw};
use crate::certificate::Chain;
use crate::pem;
use crate::quote::quote;
use crate::reading::Reading;
use crate::time::Timestamp;
use crate::timestamp::{self, Reply};
use crate::tlog::key::PublicKey;
use crate::trust::{AuthorityTrust, LogTrust, Material};

/// The one media type.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// The most authorities, or logs, of one kind that are read.
const MOST: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<Log>,
    #[serde(default)]
    certificate_authorities: Vec<Authority>,
    #[serde(default)]
    ctlogs: Vec<Log>,
    #[serde(default)]
    timestamp_authorities: Vec<Authority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    #[serde(default)]
    base_url: String,
    public_key: Key,
    log_id: Id,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Id {
    key_id: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    raw_bytes: Base64,
    #[serde(default)]
    valid_for: Range,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authority {
    #[serde(default)]
    uri: String,
    cert_chain: Certificates,
    #[serde(default)]
    valid_for: Range,
}

#[derive(Deserialize)]
struct Certificates {
    certificates: Vec<Raw>,
}

#[derive(Default, Deserialize)]
struct Range {
    start: Option<Time>,
    end: Option<Time>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Time(Timestamp);

impl TryFrom<String> for Time {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        let time: jiff::Timestamp = text.parse()?;
        let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or_default();
        Ok(Self(Timestamp::from_millis(milliseconds)))
    }
}

impl Range {
    /// Begin and end: what has no beginning never counts.
    fn times(self) -> Option<(Timestamp, Option<Timestamp>)> {
        let Time(start) = self.start?;
        Some((start, self.end.map(|Time(end)| end)))
    }
}

/// Reads a `trusted_root.json`. Left out is what never counts: what has no beginning, and logs whose keys are
/// of a kind that is not known here.
///
/// # Errors
///
/// [`RootError`], one variant for each way to be none.
pub fn read(json: &[u8]) -> Result<Material, RootError> {
    let root: Root = serde_json::from_slice(json).map_err(|e| RootError::Form(e.to_string()))?;
    if root.media_type != MEDIA_TYPE {
        return Err(RootError::MediaType(root.media_type));
    }
    let lists = [root.tlogs.len(), root.ctlogs.len()];
    let chains = [root.certificate_authorities.len(), root.timestamp_authorities.len()];
    if lists.into_iter().chain(chains).any(|length| length > MOST) {
        return Err(RootError::TooLong);
    }
    let authorities =
        |list: Vec<Authority>| list.into_iter().filter_map(Authority::into_trust).collect();
    let logs = |list: Vec<Log>| list.into_iter().filter_map(Log::into_trust).collect();
    Ok(Material {
        certificate_authorities: authorities(root.certificate_authorities),
        certificate_logs: logs(root.ctlogs),
        signature_logs: logs(root.tlogs),
        timestamp_authorities: authorities(root.timestamp_authorities),
        ..Material::default()
    })
}

impl Authority {
    fn into_trust(self) -> Option<AuthorityTrust> {
        let (since, until) = self.valid_for.times()?;
        let certificates = self.cert_chain.certificates.into_iter();
        let certificates = certificates.map(|Raw { raw_bytes: Base64(der) }| der).collect();
        Some(AuthorityTrust { url: self.uri, certificates, since, until })
    }
}

impl Log {
    fn into_trust(self) -> Option<LogTrust> {
        let Base64(public_key) = self.public_key.raw_bytes;
        let algorithm = PublicKey::from_spki(&public_key).ok()?.algorithm();
        let id = self.log_id.key_id.0.try_into().ok()?;
        let (since, until) = self.public_key.valid_for.times()?;
        Some(LogTrust { url: self.base_url, public_key, algorithm, id, since, until })
    }
}

fn covers(since: Timestamp, until: Option<Timestamp>, time: Timestamp) -> bool {
    since <= time && until.is_none_or(|until| time <= until)
}

impl AuthorityTrust {
    fn pem(&self) -> String {
        self.certificates.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// When this timestamp authority stamped `message`.
    pub(super) fn stamped(&self, reply: &Reply, message: &[u8]) -> Result<Timestamp, Unverified> {
        let chain = timestamp::Chain::from_pem(self.pem().as_bytes());
        let time = reply.verify(message, &chain.map_err(Unverified::TimestampChain)?)?;
        match covers(self.since, self.until, time) {
            true => Ok(time),
            false => Err(Unverified::Untrusted(time)),
        }
    }
}

/// Certificate authorities, one of which issued a certificate.
pub(super) trait Authorities {
    /// The certificate that issued this one, its chain whole at `time`.
    fn issued(&self, certificate: &Reading, time: Timestamp) -> Result<Reading, Unverified>;
}

impl Authorities for [AuthorityTrust] {
    fn issued(&self, certificate: &Reading, time: Timestamp) -> Result<Reading, Unverified> {
        for authority in self.iter().filter(|it| covers(it.since, it.until, time)) {
            let issuing = authority.certificates.first().and_then(|der| Reading::of(der).ok());
            let Some(issuing) = issuing else { continue };
            if certificate.verify_issued_by(&issuing).is_ok() {
                Chain::from_pem(authority.pem().as_bytes(), time)?;
                return Ok(issuing);
            }
        }
        Err(Unverified::NoAuthority)
    }
}

/// Logs, one of which has an id.
pub(super) trait Logs {
    /// The log of this id, if what it says at `time` counts.
    fn named(&self, id: &[u8], time: Timestamp) -> Option<&LogTrust>;
}

impl Logs for [LogTrust] {
    fn named(&self, id: &[u8], time: Timestamp) -> Option<&LogTrust> {
        self.iter().find(|log| log.id == id && covers(log.since, log.until, time))
    }
}

/// The key of a log.
pub(super) fn key(log: &LogTrust) -> Result<PublicKey, Unverified> {
    PublicKey::from_spki(&log.public_key).map_err(|_| Unverified::LogKey)
}

/// Why a text is no trusted root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Not JSON of that form.
    #[error("it is no trusted_root.json: {0}")]
    Form(String),
    /// Another kind of file.
    #[error("it is no trusted_root.json: its media type is {}", quote(.0))]
    MediaType(String),
    /// Too many of something.
    #[error("it has more than {MOST} logs or authorities of one kind")]
    TooLong,
}
