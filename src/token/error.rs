//! Why a token does not hold, as sentences for whoever reads the CI log.
//!
//! None of them repeats the token, its signature or a claim other than those the rule is about. An
//! issuer that is named without quotes is a configured one: it equals its entry or matches its pattern.

use std::fmt;
use std::time::Duration;

use crate::quote::quote;
use crate::time::Timestamp;
use crate::token::LIMIT;
use crate::token::algorithm::Algorithm;
use crate::token::json::JsonError;

/// How many of a token's audiences a sentence repeats.
const AUDIENCES: usize = 5;

/// Why a token does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token at all.
    #[error("there is no token in the request; send the CI system's OIDC token")]
    Empty,
    /// Longer than [`LIMIT`].
    #[error("the token has {octets} octets; at most {LIMIT} are read")]
    TooLong {
        /// How long it is.
        octets: usize,
    },
    /// Not `header.claims.signature`.
    #[error(
        "the token is not a JWT: that has two dots, this has {dots}; send the CI system's OIDC token"
    )]
    NotCompact {
        /// How many dots it has.
        dots: usize,
    },
    /// A part that is not base64url, or is padded.
    #[error("the token's {0} is not base64url without padding")]
    NotBase64(Part),
    /// A part that is not the JSON we read.
    #[error("the token's {part} {fault}")]
    NotJson {
        /// Which part.
        part: Part,
        /// The rule it breaks.
        fault: JsonError,
    },
    /// `alg` is absent or not a string.
    #[error("the token's header has no text \"alg\", so nobody can tell how it is signed")]
    AlgorithmMissing,
    /// `alg` is none of ours.
    #[error(
        "the token's algorithm {} is not supported; the issuer must sign with RS256, RS384, RS512, \
         PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA",
        quote(.0)
    )]
    UnsupportedAlgorithm(String),
    /// A header member that would let the token choose how it is checked.
    #[error(
        "the token's header has \"{0}\", which is not accepted: a token names neither its key nor other \
         ways to read it"
    )]
    ForbiddenHeader(&'static str),
    /// `kid` is not a string.
    #[error("the token's key id (\"kid\") is not a string")]
    KeyIdNotText,
    /// A claim that every token needs.
    #[error("the token has no claim \"{0}\", which every token needs")]
    ClaimMissing(&'static str),
    /// The same, there but empty.
    #[error("the token's claim \"{0}\" is empty")]
    ClaimEmpty(&'static str),
    /// A claim of another JSON type or range.
    #[error("the token's claim \"{claim}\" is not {wanted}")]
    ClaimType {
        /// Its name.
        claim: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The issuer publishes no key that could have signed it.
    #[error("{}", no_such_key(.issuer, .key_id.as_deref(), *.algorithm))]
    NoSuchKey {
        /// The token's issuer.
        issuer: String,
        /// The key that the token names.
        key_id: Option<String>,
        /// The algorithm that the token names.
        algorithm: Algorithm,
    },
    /// No key of the issuer verifies it.
    #[error(
        "the token's signature does not verify with the keys of issuer {issuer}; it was changed, or \
         somebody else made it"
    )]
    SignatureInvalid {
        /// The token's issuer.
        issuer: String,
    },
    /// Its issuer has many keys that could have signed it, and those that were tried did not.
    #[error(
        "the token's signature does not verify with the first {tried} keys of issuer {issuer} that could \
         have made it, and no more are tried: have the issuer name its key in each token (\"kid\")"
    )]
    TooManyKeys {
        /// The token's issuer.
        issuer: String,
        /// How many keys were tried.
        tried: usize,
    },
    /// Checked with another issuer's keys.
    #[error("the token is from issuer {}, not from {configured}", quote(.issuer))]
    IssuerMismatch {
        /// The token's issuer.
        issuer: String,
        /// The issuer whose keys verified it.
        configured: String,
    },
    /// For somebody else.
    #[error("{}", audience_mismatch(.issuer, .audiences, .wanted))]
    AudienceMismatch {
        /// The token's issuer.
        issuer: String,
        /// Whom it is for.
        audiences: Vec<String>,
        /// Whom it should be for: one of these.
        wanted: Vec<String>,
    },
    /// Too old.
    #[error(
        "the token expired {} ago (at {at}); ask the CI system for a fresh one",
        Spoken(*.ago)
    )]
    Expired {
        /// Its `exp`.
        at: Timestamp,
        /// How long ago that was.
        ago: Duration,
    },
    /// Signed as its issuer's may not be, by the configuration.
    #[error(
        "the token is signed with {algorithm}; tokens of issuer {issuer} are accepted with {} only",
        listed(.allowed)
    )]
    AlgorithmNotAllowed {
        /// The token's issuer.
        issuer: String,
        /// How it is signed.
        algorithm: Algorithm,
        /// How it should be signed: one of these.
        allowed: Vec<Algorithm>,
    },
    /// Issued too long ago, by the configuration, whatever its `exp`.
    #[error(
        "the token was issued {} ago; tokens of issuer {issuer} are accepted for {} only: ask the CI \
         system for a fresh one",
        Spoken(*.age), Spoken(*.most)
    )]
    TooOld {
        /// The token's issuer.
        issuer: String,
        /// How old it is.
        age: Duration,
        /// How old it may be.
        most: Duration,
    },
    /// Nobody can tell whether it is too old.
    #[error(
        "the token has no claim \"iat\", which tokens of issuer {issuer} need: they are accepted for a \
         limited time"
    )]
    AgeUnknown {
        /// The token's issuer.
        issuer: String,
    },
    /// From the future, by more than clocks may differ.
    #[error(
        "the token is not valid yet: its \"{claim}\" is {} ahead (at {at}); the clocks of issuer and \
         authority differ, or the token was made for later",
        Spoken(*.ahead)
    )]
    NotYetValid {
        /// `nbf` or `iat`.
        claim: &'static str,
        /// What it says.
        at: Timestamp,
        /// How far that is from now.
        ahead: Duration,
    },
}

/// One of a token's three parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is before the first dot.
    Header,
    /// What is between the dots.
    Claims,
    /// What is after the second dot.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims part",
            Self::Signature => "signature",
        })
    }
}

fn no_such_key(issuer: &str, key_id: Option<&str>, algorithm: Algorithm) -> String {
    match key_id {
        Some(id) => format!(
            "issuer {issuer} publishes no {algorithm} key with the id {}, by which the token says it \
             is signed",
            quote(id)
        ),
        None => format!("issuer {issuer} publishes no key for {algorithm}"),
    }
}

fn audience_mismatch(issuer: &str, audiences: &[String], wanted: &[String]) -> String {
    let named = quoted(audiences.iter().take(AUDIENCES), ", ");
    let whom = match audiences.len() {
        0 => "for no audience".to_owned(),
        1 => format!("for audience {named}"),
        2..=AUDIENCES => format!("for audiences {named}"),
        more => format!("for audiences {named} and {} more", more - AUDIENCES),
    };
    let wanted = quoted(wanted.iter(), " or ");
    format!("the token is {whom}; issuer {issuer} must ask for {wanted} here")
}

fn listed(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

fn quoted<'a>(texts: impl Iterator<Item = &'a String>, between: &str) -> String {
    texts.map(|text| quote(text).to_string()).collect::<Vec<_>>().join(between)
}

/// A duration as people say it: in the largest unit that leaves a whole number over one.
struct Spoken(Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => f.write_str("less than 1 s"),
            seconds @ 1..120 => write!(f, "{seconds} s"),
            seconds @ 120..7200 => write!(f, "{} min", seconds / 60),
            seconds @ 7200..172_800 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(error: TokenError, sentence: &str) {
        assert_eq!(error.to_string(), sentence);
    }

    #[test]
    fn says_when_it_expired() {
        let at = Timestamp::from_secs(1_767_225_618);
        says(
            TokenError::Expired { at, ago: Duration::from_secs(42) },
            "the token expired 42 s ago (at 2026-01-01T00:00:18Z); ask the CI system for a fresh one",
        );
        for (seconds, spoken) in [
            (0, "less than 1 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(Spoken(Duration::from_secs(seconds)).to_string(), spoken);
        }
    }

    #[test]
    fn says_whom_it_is_for() {
        let mismatch = |audiences: &[&str], wanted: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let issuer = "https://a.example".to_owned();
            TokenError::AudienceMismatch {
                issuer,
                audiences: owned(audiences),
                wanted: owned(wanted),
            }
        };
        says(
            mismatch(&["vault"], &["sigstore"]),
            "the token is for audience \"vault\"; issuer https://a.example must ask for \
             \"sigstore\" here",
        );
        says(
            mismatch(&[], &["a", "b"]),
            "the token is for no audience; issuer https://a.example must ask for \"a\" or \"b\" here",
        );
        says(
            mismatch(&["1", "2", "3", "4", "5", "6", "7"], &["a"]),
            "the token is for audiences \"1\", \"2\", \"3\", \"4\", \"5\" and 2 more; issuer \
             https://a.example must ask for \"a\" here",
        );
    }

    #[test]
    fn quotes_what_the_caller_wrote() {
        let issuer = "https://a.example".to_owned();
        let key_id = Some("a\n\u{1b}[31m".to_owned());
        says(
            TokenError::NoSuchKey { issuer, key_id, algorithm: Algorithm::Es256 },
            "issuer https://a.example publishes no ES256 key with the id \"a\\n\\u{1b}[31m\", by \
             which the token says it is signed",
        );
        let sentence = TokenError::UnsupportedAlgorithm("x".repeat(9000)).to_string();
        assert!(sentence.len() < 500);
    }
}
