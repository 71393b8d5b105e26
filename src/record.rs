//! One attempt at a certificate as a flat record: what is kept of it, searched, and shown to people.
//!
//! ```json
//! {"time":"2026-01-01T00:00:18.25Z","duration_ms":3,"result":"issued","request_id":"5f0c…","client":"192.0.2.7",
//!  "issuer":"https://token.actions.githubusercontent.com","kind":"ci-provider",
//!  "san":"https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1",
//!  "extensions":{"build-trigger":"push","source-repository-ref":"refs/tags/v1"},
//!  "rule":"release","serial":"3c9f…","key":"9b2e…","key_algorithm":"ECDSA P-256","index":70000}
//! ```
//!
//! What the certificate says itself is kept with the log entry and nowhere else. Beside it stands the
//! [`Attempt`]: when, from where, by which rule. A [`Record`] is both, put together when it is read; no
//! signature is over an attempt, so it has to fit its certificate, or there is what the entry says alone. A
//! refused attempt has no entry; all of its record is kept. What its token said and nobody verified stands
//! apart, in [`Claimed`].
//!
//! Nothing in it can be used to get a certificate: never the token, never a key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ct::entry::{EntryError, TileLeaf};
use crate::extensions::Extension;
use crate::policy::Grant;
use crate::possession::key;
use crate::quote::{escape, quote};
use crate::reading::{Reading, ReadingError};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

pub mod csv;
mod field;
pub mod refused;
pub mod search;
pub mod serial;
pub mod times;
pub mod words;

/// How much later than its certificate begins a request has come: as much as is backdated at most, and the
/// fraction of a second that a certificate does not have.
const LATEST: Duration = Duration::from_secs(61);
/// How many octets of token id are kept; a longer one is left out, since nobody looks for half of it.
const TOKEN_ID: usize = 256;

/// Who sent a request, as far as the shell knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The request's id, which the answer carries too.
    pub request_id: String,
    /// The address that the request came from.
    pub client: Option<IpAddr>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With a certificate, or at least with a log entry for one.
    #[default]
    Issued,
    /// With a no: the request was at fault.
    Refused,
}

impl Outcome {
    /// `issued`, `refused`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refused => "refused",
        }
    }
}

/// One attempt, as far as its certificate does not tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt<'a> {
    /// When the request came; to the millisecond, RFC 3339 in JSON.
    #[serde(with = "rfc_3339")]
    pub time: Timestamp,
    /// How it ended.
    pub result: Outcome,
    /// The request's id.
    pub request_id: Cow<'a, str>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The token's `iss`, where the certificate names another issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Cow<'a, str>>,
    /// The kind of issuer, in Fulcio's words: `email`, `ci-provider`, ….
    pub kind: Cow<'a, str>,
    /// The rule that allowed it; absent where anybody is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'a, str>>,
    /// The token's id (`jti`), if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Cow<'a, str>>,
}

impl<'a> Attempt<'a> {
    /// The attempt that ends in a certificate by `grant`.
    pub fn issued(caller: &'a Caller, grant: &'a Grant, now: Timestamp) -> Self {
        let (issuer, certified) = (grant.issuer(), grant.identity().extensions());
        let elsewhere = certified.get(Extension::ISSUER) != Some(issuer);
        Self {
            time: now,
            result: Outcome::Issued,
            request_id: caller.request_id.as_str().into(),
            client: caller.client,
            issuer: elsewhere.then(|| issuer.into()),
            kind: grant.kind().into(),
            rule: grant.rule().map(Cow::Borrowed),
            token_id: grant.token_id().filter(|id| id.len() <= TOKEN_ID).map(Cow::Borrowed),
        }
    }

    /// The attempt, JSON, that ended in this certificate, which names `issuer` as the token's.
    fn read(json: &str, certificate: &Reading, issuer: &str) -> Result<Self, AttemptError> {
        let attempt: Self = serde_json::from_str(json)
            .map_err(|error| AttemptError::Json(escape(&error.to_string()).to_string()))?;
        if attempt.result != Outcome::Issued {
            return Err(AttemptError::Result);
        }
        let (time, (begin, _)) = (attempt.time, certificate.validity());
        if time < begin || time >= begin.plus(LATEST) {
            return Err(AttemptError::Time { time, begin });
        }
        let other = attempt.issuer.as_deref();
        match other.filter(|other| *other == issuer || !certificate.is_email()) {
            Some(other) => Err(AttemptError::Issuer(quote(other).to_string())),
            None => Ok(attempt),
        }
    }

    /// The attempt as a line of JSON.
    ///
    /// # Errors
    ///
    /// None that is known of: its parts are text and numbers.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// One attempt, and its certificate if it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When the request came; to the millisecond, RFC 3339 in JSON.
    #[serde(with = "rfc_3339")]
    pub time: Timestamp,
    /// How many milliseconds later the log had its entry, or it was refused.
    pub duration_ms: u64,
    /// How it ended.
    pub result: Outcome,
    /// Why it was refused, in the stable word for machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it was refused, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The request's id.
    pub request_id: String,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The token's `iss`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// The kind of issuer, in Fulcio's words: `email`, `ci-provider`, ….
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The token's `sub`, where there is no certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The subject alternative name that the certificate has, or would have had.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub san: String,
    /// The certificate's extensions by their names (`source-repository-ref`), likewise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<Cow<'static, str>, String>,
    /// The rule that allowed or denied it, or came nearest to allowing it; absent where anybody is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The claim for which that rule refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// What the rule wanted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What the token had there, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<String>,
    /// The token's id (`jti`), if it has one; of a refused one without, `sha256:` and its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The certificate's serial number, lowercase hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// SHA-256 of the SPKI of the key that the caller holds, lowercase hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The kind of that key.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key_algorithm: Cow<'static, str>,
    /// The shard of the log that has the entry, `2026`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub shard: String,
    /// The position of the entry in that shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What the request said and nobody verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Box<Claimed>>,
    /// Why what was kept of the attempt is not shown: then there is what the log entry proves, and no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// What a refused request said of itself. Anybody may write anything there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claimed {
    /// `iss` of a token that was not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `sub` of a token that was not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// SHA-256 of the SPKI of a key that the caller may not hold, lowercase hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Record {
    /// The record of entry `index`: its `TileLeaf`, TLS, and the [`Attempt`], JSON, stored beside it. An
    /// attempt that cannot be this entry's counts for nothing, and [`Record::damaged`] says so.
    ///
    /// # Errors
    ///
    /// [`RecordError`], when the entry or its certificate cannot be read.
    pub fn read(index: u64, tile_leaf: &[u8], attempt: &str) -> Result<Self, RecordError> {
        let (leaf, _) = TileLeaf::read(tile_leaf)?;
        let certificate = Reading::of(leaf.der())?;
        let certified = Self::certified((index, leaf.timestamp), &certificate)?;
        let attempt = match Attempt::read(attempt, &certificate, &certified.issuer) {
            Ok(attempt) => attempt,
            Err(error) => return Ok(Self { damaged: Some(error.to_string()), ..certified }),
        };
        Ok(Self {
            time: attempt.time,
            duration_ms: milliseconds(leaf.timestamp.since(attempt.time)),
            request_id: attempt.request_id.into_owned(),
            client: attempt.client,
            issuer: attempt.issuer.map_or(certified.issuer, Cow::into_owned),
            kind: attempt.kind.into_owned(),
            rule: attempt.rule.map(Cow::into_owned),
            token_id: attempt.token_id.map(Cow::into_owned),
            ..certified
        })
    }

    /// What the entry alone says: its place and time, and its certificate.
    fn certified(
        (index, logged): (u64, Timestamp),
        certificate: &Reading,
    ) -> Result<Self, RecordError> {
        let spki = certificate.spki()?;
        let extensions = certificate.extensions().into_iter();
        let extensions: BTreeMap<_, _> =
            extensions.map(|(name, text)| (Cow::Borrowed(name), text)).collect();
        Ok(Self {
            time: logged,
            issuer: extensions.get(Extension::ISSUER.name()).cloned().unwrap_or_default(),
            san: certificate.sans().into_iter().next().unwrap_or_default(),
            serial: certificate.serial(),
            key: Hash::of(&[&spki]).to_string(),
            key_algorithm: key::kind(&spki).unwrap_or_default().into(),
            index: Some(index),
            extensions,
            ..Self::default()
        })
    }

    /// The record as a line of JSON.
    ///
    /// # Errors
    ///
    /// None that is known of: its parts are text, numbers and lists of them.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The record that [`Record::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// What is wrong with the JSON.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// All of a duration; of one beyond 64 bits as much as they hold.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why what is kept beside an entry is not what was kept of the attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AttemptError {
    /// It is none.
    #[error("what was kept of the attempt is unreadable: {0}")]
    Json(String),
    /// Another end.
    #[error("what was kept of the attempt says that it was refused, and there is a certificate")]
    Result,
    /// Another time.
    #[error(
        "what was kept of the attempt says that it was at {time}, and the certificate begins at {begin}"
    )]
    Time {
        /// Of the attempt.
        time: Timestamp,
        /// Of the certificate's validity.
        begin: Timestamp,
    },
    /// Another issuer of the token: only a certificate for an e-mail address may name somebody else.
    #[error(
        "what was kept of the attempt says that {0} issued the token, and the certificate does not"
    )]
    Issuer(String),
}

/// Why there is no record to be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Its certificate.
    #[error(transparent)]
    Certificate(#[from] ReadingError),
}

/// Timestamps as RFC 3339 text in UTC, with as much of the second as they have.
mod rfc_3339 {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use crate::time::Timestamp;

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(milliseconds).map_err(ser::Error::custom)?;
        to.collect_str(&time)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        let time: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        u64::try_from(time.as_millisecond())
            .map(Timestamp::from_millis)
            .map_err(|_| de::Error::custom("a time before 1970"))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::*;
    use crate::ct::entry::Entry;

    const ATTEMPT: &str = r#"{"time":"2026-01-01T00:00:18.25Z","result":"issued","request_id":"5f0c","client":"192.0.2.7","kind":"uri","rule":"release","token_id":"jti"}"#;

    fn attempt() -> Attempt<'static> {
        Attempt {
            time: Timestamp::from_millis(1_767_225_618_250),
            result: Outcome::Issued,
            request_id: "5f0c".into(),
            client: Some([192, 0, 2, 7].into()),
            issuer: None,
            kind: "uri".into(),
            rule: Some("release".into()),
            token_id: Some("jti".into()),
        }
    }

    /// A tile leaf of a certificate by rcgen, and the fingerprint of the key in it.
    fn tile_leaf() -> (Vec<u8>, String) {
        tile_leaf_for(SanType::URI("https://a.example/b".try_into().unwrap()))
    }

    fn tile_leaf_for(san: SanType) -> (Vec<u8>, String) {
        let key = KeyPair::generate().unwrap();
        let fulcio = |arc, value: &[u8]| {
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, arc], value.to_vec())
        };
        let mut params = CertificateParams::default();
        params.serial_number = Some(vec![0x3c, 0x9f, 0x01].into());
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.subject_alt_names = vec![san];
        params.custom_extensions = vec![fulcio(1, b"https://i.example"), fulcio(8, b"\x0c\x03i.e")];
        let precertificate = params.self_signed(&key).unwrap().der().to_vec();
        let (tbs, chain) = (Vec::new(), [[1; 32]].into());
        let entry = Entry { issuer_key_hash: [7; 32], tbs, precertificate, chain };
        let fingerprint = Hash::of(&[&rcgen::PublicKeyData::subject_public_key_info(&key)]);
        (entry.tile_leaf(Timestamp::from_millis(1_767_225_618_262), 7), fingerprint.to_string())
    }

    #[test]
    fn an_attempt_is_a_line_of_json() {
        let bare = r#"{"time":"1970-01-01T00:00:00Z","result":"issued","request_id":"","kind":""}"#;
        for (attempt, json) in [(attempt(), ATTEMPT), (Attempt::default(), bare)] {
            assert_eq!(attempt.to_json().unwrap(), json);
            assert_eq!(serde_json::from_str::<Attempt<'_>>(json).unwrap(), attempt);
        }
    }

    #[test]
    fn a_record_is_the_attempt_and_what_the_certificate_says() {
        let (tile_leaf, key) = tile_leaf();
        let record = Record::read(7, &tile_leaf, ATTEMPT).unwrap();
        let json = format!(
            r#"{{"time":"2026-01-01T00:00:18.25Z","duration_ms":12,"result":"issued","request_id":"5f0c","client":"192.0.2.7","issuer":"i.e","kind":"uri","san":"https://a.example/b","extensions":{{"issuer":"i.e","issuer-v1":"https://i.example"}},"rule":"release","token_id":"jti","serial":"3c9f01","key":"{key}","key_algorithm":"ECDSA P-256","index":7}}"#
        );
        assert_eq!(record.to_json().unwrap(), json);
    }

    #[test]
    fn the_issuer_of_the_token_is_kept_where_the_certificate_names_another() {
        let (leaf, _) = tile_leaf_for(SanType::Rfc822Name("a@b.example".try_into().unwrap()));
        let attempt = Attempt { issuer: Some("https://token.example".into()), ..attempt() };
        let record = Record::read(7, &leaf, &attempt.to_json().unwrap()).unwrap();
        assert_eq!(record.issuer, "https://token.example");
        assert_eq!((&*record.extensions["issuer"], record.damaged), ("i.e", None));
    }

    #[test]
    fn an_attempt_that_is_not_the_certificates_counts_for_nothing() {
        let (leaf, key) = tile_leaf();
        let certified = Record {
            time: Timestamp::from_millis(1_767_225_618_262),
            issuer: "i.e".into(),
            san: "https://a.example/b".into(),
            extensions: Record::read(7, &leaf, ATTEMPT).unwrap().extensions,
            serial: "3c9f01".into(),
            key,
            key_algorithm: "ECDSA P-256".into(),
            index: Some(7),
            ..Record::default()
        };
        #[track_caller]
        fn check(certified: &Record, leaf: &[u8], attempt: &str, why: &str) {
            let read = Record::read(7, leaf, attempt).unwrap();
            let damaged = read.damaged.clone().unwrap_or_default();
            assert!(damaged.contains(why), "{attempt}: {damaged}");
            assert_eq!(Record { damaged: None, ..read }, *certified, "{attempt}");
        }
        for json in ["", "{}", "[]", r#"{"time":"1969-12-31T23:59:59Z"}"#, r#"{"time":1}"#] {
            check(&certified, &leaf, json, "is unreadable");
        }
        for (from, to, why) in [
            ("00:00:18.25Z", "00:01:01Z", "was at 2026-01-01T00:01:01Z, and"),
            ("2026-01-01T00:00:18.25Z", "2025-12-31T23:59:59.999Z", "begins at 2026-01-01T00"),
            ("issued", "refused", "says that it was refused"),
            ("issued", "\\u001b", "unreadable: unknown variant `\\u{1b}`"),
            (r#""kind":"#, r#""issuer":"https://x","kind":"#, "\"https://x\" issued the token"),
        ] {
            check(&certified, &leaf, &ATTEMPT.replace(from, to), why);
        }
        for time in ["2026-01-01T00:00:00Z", "2026-01-01T00:01:00.999Z"] {
            let attempt = ATTEMPT.replace("2026-01-01T00:00:18.25Z", time);
            assert_eq!(Record::read(7, &leaf, &attempt).unwrap().damaged, None, "{time}");
        }
        // Written beside the certificate's only where it is another.
        let (leaf, key) = tile_leaf_for(SanType::Rfc822Name("a@b.example".try_into().unwrap()));
        let certified = Record { san: "a@b.example".into(), key, ..certified };
        let attempt = ATTEMPT.replace(r#""kind":"#, r#""issuer":"i.e","kind":"#);
        check(&certified, &leaf, &attempt, "\"i.e\" issued the token");
    }

    #[test]
    fn what_is_unreadable_is_no_record() {
        let (leaf, _) = tile_leaf();
        let cut = Record::read(7, &leaf[..9], ATTEMPT);
        assert!(matches!(cut, Err(RecordError::Entry(_))));
        let (tbs, chain, precertificate) = (Vec::new(), [].into(), b"no certificate".to_vec());
        let entry = Entry { issuer_key_hash: [7; 32], tbs, precertificate, chain };
        let read = Record::read(7, &entry.tile_leaf(Timestamp::default(), 7), ATTEMPT);
        assert_eq!(read, Err(RecordError::Certificate(ReadingError::Unreadable)));
    }
}
