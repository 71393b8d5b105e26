//! One attempt at a certificate as a flat record: what is kept of it, searched, and shown to people.
//!
//! ```json
//! {"time":"2026-01-01T00:00:18.25Z","result":"issued","request_id":"5f0c…","client":"192.0.2.7",
//!  "issuer":"https://token.actions.githubusercontent.com","kind":"ci-provider",
//!  "san":"https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1",
//!  "extensions":{"build-trigger":"push","source-repository-ref":"refs/tags/v1"},
//!  "rule":"release","serial":"3c9f…","key":"9b2e…","key_algorithm":"ECDSA P-256","index":70000}
//! ```
//!
//! Nothing in it can be used to get a certificate: never the token, never a key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::certificate::Serial;
use crate::extensions::Extension;
use crate::identity::San;
use crate::policy::Grant;
use crate::time::Timestamp;

pub mod search;

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
}

/// One attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the request came; to the millisecond, RFC 3339 in JSON.
    #[serde(with = "rfc_3339")]
    pub time: Timestamp,
    /// How it ended.
    pub result: Outcome,
    /// The request's id.
    pub request_id: String,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The token's `iss`.
    pub issuer: String,
    /// The kind of issuer, in Fulcio's words: `email`, `ci-provider`, ….
    pub kind: Cow<'static, str>,
    /// The subject alternative name.
    pub san: String,
    /// The certificate's extensions by their names (`source-repository-ref`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<Cow<'static, str>, String>,
    /// The rule that allowed it; absent where anybody is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The token's id (`jti`), if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The certificate's serial number, lowercase hex.
    pub serial: String,
    /// SHA-256 of the certified key's SPKI, lowercase hex.
    pub key: String,
    /// The kind of that key.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub key_algorithm: Cow<'static, str>,
    /// The position of the entry in the log; set when the record is read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

impl Record {
    /// The record of a certificate that is about to be logged.
    pub fn issued(caller: &Caller, grant: &Grant, serial: Serial, now: Timestamp) -> Self {
        let identity = grant.identity();
        let (San::Email(san) | San::Uri(san) | San::Username(san)) = identity.san();
        let extensions = identity.extensions().iter();
        let named = |(extension, value): (Extension, &str)| (extension.name().into(), value.into());
        Self {
            time: now,
            result: Outcome::Issued,
            request_id: caller.request_id.clone(),
            client: caller.client,
            issuer: grant.issuer().to_owned(),
            kind: grant.kind().into(),
            san: san.clone(),
            extensions: extensions.map(named).collect(),
            rule: grant.rule().map(str::to_owned),
            token_id: grant.token_id().filter(|id| id.len() <= TOKEN_ID).map(str::to_owned),
            serial: hex(serial.as_bytes()),
            key: hex(&grant.key().fingerprint()),
            key_algorithm: grant.key().algorithm().into(),
            index: None,
        }
    }

    /// The record as a line of JSON.
    ///
    /// # Errors
    ///
    /// None that is known of: its parts are text, numbers and lists of them.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads the record that was stored with entry `index`.
    ///
    /// # Errors
    ///
    /// When the text is not a record.
    pub fn from_json(index: u64, json: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { index: Some(index), ..serde_json::from_str(json)? })
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
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
    use super::*;

    fn record() -> Record {
        Record {
            time: Timestamp::from_millis(1_767_225_618_250),
            request_id: "5f0c".into(),
            issuer: "https://issuer.example".into(),
            kind: "email".into(),
            san: "alice@example.com".into(),
            serial: hex(&[0x3c, 0x9f, 0x01]),
            key: "9b2e".into(),
            ..Record::default()
        }
    }

    #[test]
    fn is_a_line_of_json() {
        let full = Record {
            client: Some([192, 0, 2, 7].into()),
            extensions: [("subject".into(), "a\nb".into())].into(),
            rule: Some("release".into()),
            token_id: Some("jti".into()),
            ..record()
        };
        for (record, expected) in [
            (
                record(),
                r#"{"time":"2026-01-01T00:00:18.25Z","result":"issued","request_id":"5f0c","issuer":"https://issuer.example","kind":"email","san":"alice@example.com","serial":"3c9f01","key":"9b2e"}"#,
            ),
            (
                full,
                r#"{"time":"2026-01-01T00:00:18.25Z","result":"issued","request_id":"5f0c","client":"192.0.2.7","issuer":"https://issuer.example","kind":"email","san":"alice@example.com","extensions":{"subject":"a\nb"},"rule":"release","token_id":"jti","serial":"3c9f01","key":"9b2e"}"#,
            ),
        ] {
            let json = record.to_json().unwrap();
            assert_eq!(json, expected);
            let read = Record::from_json(7, &json).unwrap();
            assert_eq!(read, Record { index: Some(7), ..record });
        }
    }

    #[test]
    fn other_text_is_no_record() {
        for json in ["", "{}", "[]", r#"{"time":"1969-12-31T23:59:59Z"}"#, r#"{"time":1}"#] {
            assert!(Record::from_json(0, json).is_err(), "{json}");
        }
    }
}
