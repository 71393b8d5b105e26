//! What `mayfly explain` is asked about: a token, or claims without one, and the time to suppose.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::cli::CommandError;
use crate::issuer::Issuers;
use crate::time::{Clock, SystemClock, Timestamp};
use crate::token::UnverifiedToken;

/// Octets that are read: more than a token may have, so that one that is too long says so.
const MOST: u64 = 1 << 20;

/// A token; of claims alone, one that nobody signed.
pub struct Input {
    /// As a caller would send it.
    pub token: String,
    /// Whether there were claims alone.
    pub is_claims: bool,
}

impl Input {
    /// Reads a file, or standard input where it is `-`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`] when it cannot be read, or is no text.
    pub fn read(file: &Path, issuers: &Issuers) -> Result<Self, CommandError> {
        let unreadable =
            |error: &dyn Display| CommandError::Usage(format!("{}: {error}", file.display()));
        let from: Box<dyn Read> = match file.to_str() {
            Some("-") => Box::new(std::io::stdin()),
            _ => Box::new(std::fs::File::open(file).map_err(|error| unreadable(&error))?),
        };
        let mut octets = Vec::new();
        from.take(MOST).read_to_end(&mut octets).map_err(|error| unreadable(&error))?;
        let text = String::from_utf8(octets);
        let text = text.map_err(|_| unreadable(&"this is no token: it is not even text"))?;
        Ok(Self::of(text, issuers))
    }

    fn of(text: String, issuers: &Issuers) -> Self {
        let is_claims = text.trim_start().starts_with('{');
        let token = if is_claims { unsigned(&text, issuers) } else { text };
        Self { token, is_claims }
    }
}

/// A token of these claims, to the octet; signed as the issuer's tokens may be, by nobody.
fn unsigned(claims: &str, issuers: &Issuers) -> String {
    let signed_with = |algorithm: &str| {
        let header = json!({ "alg": algorithm }).to_string();
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.AAAA")
    };
    let usual = signed_with("RS256");
    let Ok(token) = UnverifiedToken::parse(&usual) else { return usual };
    let issuer = issuers.find(token.unverified_issuer());
    match issuer.and_then(|issuer| issuer.algorithms.first()) {
        Some(algorithm) => signed_with(&algorithm.to_string()),
        None => usual,
    }
}

/// The time to suppose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// This one.
    Time(Timestamp),
    /// When the token was issued.
    Issued,
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "issued" {
            return Ok(Self::Issued);
        }
        let time: Option<jiff::Timestamp> = text.parse().ok();
        let time = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        let time = time.map(Timestamp::from_millis).map(Self::Time);
        time.ok_or_else(|| "expected a time such as 2026-01-01T00:00:18Z, or `issued`".to_owned())
    }
}

impl At {
    /// The time itself.
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`] when the token does not say when it was issued.
    pub fn of(at: Option<Self>, token: &str) -> Result<Timestamp, CommandError> {
        match (at, UnverifiedToken::parse(token)) {
            (Some(Self::Time(time)), _) => Ok(time),
            (Some(Self::Issued), Ok(token)) => {
                let seconds = token.unverified_claim("iat").and_then(Value::as_f64);
                let time = seconds.map(|seconds| Timestamp::from_millis((seconds * 1000.0) as u64));
                time.ok_or_else(|| {
                    CommandError::usage(
                        "--at issued: the claim \"iat\" is no time: name one with --at",
                    )
                })
            }
            // What is no token is refused at any time.
            (None, _) | (_, Err(_)) => Ok(SystemClock.now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Overrides};

    #[track_caller]
    fn check(text: &str, expected: Option<At>) {
        assert_eq!(text.parse::<At>().ok(), expected, "{text}");
    }

    #[test]
    fn a_time_is_a_point_or_the_tokens_own() {
        check("issued", Some(At::Issued));
        check("2026-01-01T00:00:18Z", Some(At::Time(Timestamp::from_secs(1_767_225_618))));
        check(
            "2026-01-01T01:00:18.5+01:00",
            Some(At::Time(Timestamp::from_millis(1_767_225_618_500))),
        );
        for bad in ["", "now", "2026-01-01", "1767225618", "1969-01-01T00:00:00Z"] {
            check(bad, None);
        }
    }

    #[test]
    fn claims_are_signed_as_their_issuers_tokens_may_be() {
        let yaml =
            "issuers: [ { url: \"https://a.example\", type: email, algorithms: [ ES384 ] } ]";
        let config = config::load_text(Path::new("mayfly.yaml"), yaml, &Overrides::default());
        let issuers = config.unwrap().issuers;
        let algorithm = |claims: &str| {
            let token = Input::of(claims.to_owned(), &issuers).token;
            UnverifiedToken::parse(&token).unwrap().algorithm().to_string()
        };
        assert_eq!(algorithm("\n{ \"iss\": \"https://a.example\" }"), "ES384");
        assert_eq!(algorithm("{ \"iss\": \"https://b.example\" }"), "RS256");
        let token = Input::of("a.b.c".to_owned(), &issuers);
        assert_eq!((token.token.as_str(), token.is_claims), ("a.b.c", false));
    }

    #[test]
    fn when_it_was_issued_is_the_tokens_to_say() {
        let of = |claims: &str| At::of(Some(At::Issued), &unsigned(claims, &Issuers::default()));
        let time = of(r#"{ "iss": "https://a.example", "iat": 1767225618.5 }"#);
        assert_eq!(time.unwrap(), Timestamp::from_millis(1_767_225_618_500));
        let error = of(r#"{ "iss": "https://a.example", "iat": "yesterday" }"#).unwrap_err();
        assert!(error.to_string().contains("\"iat\""), "{error}");
        // A number that no clock shows is refused with the token's other times.
        of(r#"{ "iss": "https://a.example", "iat": -1e300 }"#).unwrap();
    }
}
