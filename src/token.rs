//! Tokens: compact JWS → [`UnverifiedToken`] → [`Claims`].
//!
//! ```text
//! eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ . eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSIsInN1YiI6… . uE-AiLY7HzmV3if…
//! {"alg":"RS256","kid":"1"}            {"iss":"https://a.example","sub":"…","aud":…}   signature over
//! header                               claims                                         "header.claims"
//! ```
//!
//! Nothing that a token says is believed before its signature holds, except `iss`, `kid` and `alg`,
//! which only choose what to check it with. Claims are read by exact JSON type: no text for numbers,
//! no numbers for text.
//!
//! Spec: RFC 7515 §7.1, RFC 7519 §4.1, RFC 8725.

pub mod algorithm;
pub mod error;
pub mod json;
pub mod key;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::issuer::Issuer;
use crate::time::Timestamp;
use crate::token::algorithm::Algorithm;
pub use crate::token::error::{Part, TokenError};
pub use crate::token::key::VerifyingKey;

/// Octets that a token may have.
pub const LIMIT: usize = 64 * 1024;
/// How far ahead of our clock `nbf` and `iat` may be.
pub const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// The largest time in seconds that we read: 2^53, up to which JSON's numbers are exact everywhere.
const LATEST: u64 = 1 << 53;

/// Header members that bring a key, name where to fetch one, or change what the signature covers.
///
/// Attack: the token would choose what it is checked with. `x5t` only names a certificate.
const FORBIDDEN_HEADERS: [&str; 8] = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

/// A token that parses, and nothing more.
pub struct UnverifiedToken {
    /// `header.claims` as it was sent: the octets that are signed are the octets that were read.
    signed: String,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<String>,
    issuer: String,
    members: Arc<Map<String, Value>>,
}

/// Leaves out signature and claims: whoever has the token has the identity.
impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl UnverifiedToken {
    /// Reads a compact JWS of at most 64 KiB whose header names an algorithm of ours and whose claims
    /// are an object with a string `iss`. White space around it (a file's last newline) is left out,
    /// white space inside refuses it.
    ///
    /// # Errors
    /// Every [`TokenError`] that says how the token is written; none of those about signature, issuer,
    /// audience or times.
    pub fn parse(compact: &str) -> Result<Self, TokenError> {
        let compact = compact.trim_matches(|c: char| c.is_ascii_whitespace());
        let (signed, [header, claims, signature]) = split(compact)?;
        let header = read(Part::Header, header)?;
        let (algorithm, key_id) = (algorithm(&header)?, key_id(&header)?);
        let members = Arc::new(read(Part::Claims, claims)?);
        let issuer = text(&members, "iss")?.to_owned();
        let signature = decode(Part::Signature, signature)?;
        Ok(Self { signed: signed.to_owned(), signature, algorithm, key_id, issuer, members })
    }

    /// `iss` as the token claims it: for finding the issuer, nothing else.
    pub fn unverified_issuer(&self) -> &str {
        &self.issuer
    }

    /// The header's `kid`: the name that its issuer gave the key, if it gave one.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Whether `key` is one that this token could be signed by: it has the token's `kid`, if the
    /// token names one, and fits the token's algorithm.
    pub fn may_be_signed_by(&self, key: &VerifyingKey) -> bool {
        (self.key_id.is_none() || self.key_id() == key.key_id()) && key.fits(self.algorithm)
    }

    /// Whether the signature is by `key`.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.may_be_signed_by(key)
            && key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// The token's claims, given that one of `keys` signed it, and that it is for us, now.
    ///
    /// `issuer` is the one that [`Issuers::find`](crate::issuer::Issuers::find) yields for this token,
    /// and `keys` are those of the token's `iss`.
    ///
    /// # Errors
    /// [`TokenError::IssuerMismatch`], [`TokenError::NoSuchKey`], [`TokenError::SignatureInvalid`],
    /// then whatever the claims break.
    pub fn verify(
        &self,
        issuer: &Arc<Issuer>,
        keys: &[Arc<VerifyingKey>],
        now: Timestamp,
    ) -> Result<Claims, TokenError> {
        self.check_issuer(issuer)?;
        self.check_signature(keys)?;
        check_times(&self.members, now)?;
        check_audience(&self.issuer, &self.members, &issuer.audiences)?;
        Ok(Claims {
            issuer: Arc::clone(issuer),
            iss: self.issuer.clone(),
            sub: text(&self.members, "sub")?.to_owned(),
            members: Arc::clone(&self.members),
        })
    }

    fn check_issuer(&self, issuer: &Issuer) -> Result<(), TokenError> {
        if issuer.is_pattern() || self.issuer == issuer.url {
            return Ok(());
        }
        let configured = issuer.url.clone();
        Err(TokenError::IssuerMismatch { issuer: self.issuer.clone(), configured })
    }

    fn check_signature(&self, keys: &[Arc<VerifyingKey>]) -> Result<(), TokenError> {
        if keys.iter().any(|key| self.is_signed_by(key)) {
            return Ok(());
        }
        let (issuer, algorithm) = (self.issuer.clone(), self.algorithm);
        match keys.iter().any(|key| self.may_be_signed_by(key)) {
            true => Err(TokenError::SignatureInvalid { issuer }),
            false => Err(TokenError::NoSuchKey { issuer, key_id: self.key_id.clone(), algorithm }),
        }
    }
}

/// Yields the signed text and the three parts.
fn split(compact: &str) -> Result<(&str, [&str; 3]), TokenError> {
    if compact.is_empty() {
        return Err(TokenError::Empty);
    }
    if compact.len() > LIMIT {
        return Err(TokenError::TooLong { octets: compact.len() });
    }
    // Attack: millions of dots. They are counted before anything is split or kept.
    let dots = compact.bytes().filter(|octet| *octet == b'.').count();
    let parts = compact.rsplit_once('.').and_then(|(signed, signature)| {
        let (header, claims) = signed.split_once('.')?;
        Some((signed, [header, claims, signature]))
    });
    parts.filter(|_| dots == 2).ok_or(TokenError::NotCompact { dots })
}

fn read(part: Part, base64url: &str) -> Result<Map<String, Value>, TokenError> {
    json::parse_object(&decode(part, base64url)?)
        .map_err(|fault| TokenError::NotJson { part, fault })
}

fn decode(part: Part, base64url: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(base64url).map_err(|_| TokenError::NotBase64(part))
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, TokenError> {
    if let Some(name) = FORBIDDEN_HEADERS.into_iter().find(|name| header.contains_key(*name)) {
        return Err(TokenError::ForbiddenHeader(name));
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(TokenError::AlgorithmMissing)?;
    Algorithm::parse(name).ok_or_else(|| TokenError::UnsupportedAlgorithm(name.to_owned()))
}

fn key_id(header: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) => Ok(Some(id.clone())),
        Some(_) => Err(TokenError::KeyIdNotText),
    }
}

/// A claim that must be a string and not empty.
fn text<'a>(members: &'a Map<String, Value>, claim: &'static str) -> Result<&'a str, TokenError> {
    match members.get(claim) {
        None => Err(TokenError::ClaimMissing(claim)),
        Some(Value::String(text)) if text.is_empty() => Err(TokenError::ClaimEmpty(claim)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(TokenError::ClaimType { claim, wanted: "a string" }),
    }
}

/// A claim that is a point in time: a number of seconds since 1970, possibly with a fraction.
fn time(
    members: &Map<String, Value>,
    claim: &'static str,
) -> Result<Option<Timestamp>, TokenError> {
    let wrong = TokenError::ClaimType { claim, wanted: "a number of seconds, from 0 to 2^53" };
    let number = match members.get(claim) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(wrong),
    };
    let millis = match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) if seconds <= LATEST => seconds * 1000,
        // Exact: every f64 up to 2^53 thousand is far from u64's end, and `as` truncates.
        (None, Some(seconds)) if (0.0..=LATEST as f64).contains(&seconds) => {
            (seconds * 1000.0) as u64
        }
        _ => return Err(wrong),
    };
    Ok(Some(Timestamp::from_millis(millis)))
}

/// No leeway on `exp`; five minutes on the other two, because clocks differ.
fn check_times(members: &Map<String, Value>, now: Timestamp) -> Result<(), TokenError> {
    let expiry = time(members, "exp")?.ok_or(TokenError::ClaimMissing("exp"))?;
    let starts = [("nbf", time(members, "nbf")?), ("iat", time(members, "iat")?)];
    if now >= expiry {
        return Err(TokenError::Expired { at: expiry, ago: now.since(expiry) });
    }
    for (claim, start) in starts {
        match start {
            Some(at) if at > now.plus(LEEWAY) => {
                return Err(TokenError::NotYetValid { claim, at, ahead: at.since(now) });
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// One of the token's audiences is one of the issuer's, octet for octet.
fn check_audience(
    issuer: &str,
    members: &Map<String, Value>,
    wanted: &[String],
) -> Result<(), TokenError> {
    let wrong = TokenError::ClaimType { claim: "aud", wanted: "a string or an array of strings" };
    let audiences: Vec<&str> = match members.get("aud") {
        None => return Err(TokenError::ClaimMissing("aud")),
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(audiences)) => {
            audiences.iter().map(Value::as_str).collect::<Option<_>>().ok_or(wrong)?
        }
        Some(_) => return Err(wrong),
    };
    if audiences.iter().any(|audience| wanted.iter().any(|wanted| wanted == audience)) {
        return Ok(());
    }
    Err(TokenError::AudienceMismatch {
        issuer: issuer.to_owned(),
        audiences: audiences.into_iter().map(str::to_owned).collect(),
        wanted: wanted.to_vec(),
    })
}

/// What a verified token says.
#[derive(Clone, Debug)]
pub struct Claims {
    issuer: Arc<Issuer>,
    iss: String,
    sub: String,
    members: Arc<Map<String, Value>>,
}

impl Claims {
    /// The configured issuer whose key verified the token.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// `iss`: the issuer's URL. Where the issuer is configured as a pattern, the URL that matched it.
    pub fn iss(&self) -> &str {
        &self.iss
    }

    /// `sub`: not empty.
    pub fn sub(&self) -> &str {
        &self.sub
    }

    /// The claim of this exact name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Every claim, in the token's order; no name occurs twice.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Claims that no token vouches for, to test what comes after.
    #[cfg(test)]
    pub(crate) fn assumed(issuer: Arc<Issuer>, members: Map<String, Value>) -> Self {
        let text = |claim| text(&members, claim).unwrap().to_owned();
        Self { issuer, iss: text("iss"), sub: text("sub"), members: Arc::new(members) }
    }
}
