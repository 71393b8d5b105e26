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

pub use crate::algorithm::jose as algorithm;
pub mod error;
pub mod json;
pub mod key;
pub mod number;
mod supposition;

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
pub use crate::token::supposition::Supposition;

/// Octets that a token may have.
pub const LIMIT: usize = 64 * 1024;
/// How far ahead of our clock `nbf` and `iat` may be.
pub const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Keys that a signature is tried with: those that the token's `kid` and algorithm fit.
///
/// Attack: a hundred keys of 521 bits and tokens that name none cost us more than their senders.
const KEYS_TRIED: usize = 8;

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
    fn may_be_signed_by(&self, key: &VerifyingKey) -> bool {
        (self.key_id.is_none() || self.key_id() == key.key_id()) && key.fits(self.algorithm)
    }

    /// The token's claims, given that one of `keys` signed it, and that it is for us, now.
    ///
    /// `issuer` is the one that [`Issuers::find`](crate::issuer::Issuers::find) yields for this token,
    /// and `keys` are those of the token's `iss`.
    ///
    /// # Errors
    /// [`TokenError::IssuerMismatch`], [`TokenError::AlgorithmNotAllowed`], [`TokenError::NoSuchKey`],
    /// [`TokenError::SignatureInvalid`], then whatever the claims break.
    pub fn verify(
        &self,
        issuer: &Arc<Issuer>,
        keys: &[Arc<VerifyingKey>],
        now: Timestamp,
    ) -> Result<Claims, TokenError> {
        self.check_issuer(issuer)?;
        self.check_algorithm(issuer)?;
        self.check_signature(keys)?;
        check_times(&self.members, now)?;
        self.check_age(issuer, now)?;
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

    /// Whether the issuer may sign so, by its configuration.
    ///
    /// # Errors
    /// [`TokenError::AlgorithmNotAllowed`].
    pub fn check_algorithm(&self, issuer: &Issuer) -> Result<(), TokenError> {
        let allowed = &issuer.algorithms;
        if allowed.is_empty() || allowed.contains(&self.algorithm) {
            return Ok(());
        }
        Err(TokenError::AlgorithmNotAllowed {
            issuer: self.issuer.clone(),
            algorithm: self.algorithm,
            allowed: allowed.clone(),
        })
    }

    /// Whether it is young enough for its issuer, by the configuration.
    ///
    /// `iat` is by the issuer's clock, so that the age is true but for what the clocks differ. A token from
    /// the future has the age zero, and no more than the limit may it be ahead: what is accepted is never
    /// older than twice the limit, nor than the limit and five minutes.
    ///
    /// # Errors
    /// [`TokenError::TooOld`], [`TokenError::NotYetValid`], [`TokenError::AgeUnknown`], or
    /// [`TokenError::ClaimType`] for `iat`.
    pub fn check_age(&self, issuer: &Issuer, now: Timestamp) -> Result<(), TokenError> {
        let Some(most) = issuer.max_age else { return Ok(()) };
        let issuer = || self.issuer.clone();
        let at = time(&self.members, "iat")?;
        let at = at.ok_or_else(|| TokenError::AgeUnknown { issuer: issuer() })?;
        let (age, ahead) = (now.since(at), at.since(now));
        if ahead > most {
            return Err(TokenError::NotYetValid { claim: "iat", at, ahead });
        }
        match age <= most {
            true => Ok(()),
            false => Err(TokenError::TooOld { issuer: issuer(), age, most }),
        }
    }

    fn check_signature(&self, keys: &[Arc<VerifyingKey>]) -> Result<(), TokenError> {
        let fitting = || keys.iter().filter(|key| self.may_be_signed_by(key));
        let signed = self.signed.as_bytes();
        let signs = |key: &Arc<VerifyingKey>| key.verifies(self.algorithm, signed, &self.signature);
        if fitting().take(KEYS_TRIED).any(signs) {
            return Ok(());
        }
        let (issuer, algorithm) = (self.issuer.clone(), self.algorithm);
        Err(match fitting().count() {
            0 => TokenError::NoSuchKey { issuer, key_id: self.key_id.clone(), algorithm },
            1..=KEYS_TRIED => TokenError::SignatureInvalid { issuer },
            _ => TokenError::TooManyKeys { issuer, tried: KEYS_TRIED },
        })
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

/// What a verified token says. Not to be cloned: whoever is lent some has none to get a grant with.
#[derive(Debug)]
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, KeyPair};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::time::{Clock, SystemClock};

    const URL: &str = "https://issuer.example";
    const NOW: u64 = 1_767_225_600;

    /// A P-256 key, by its id.
    struct Signer {
        id: &'static str,
        pair: EcdsaKeyPair,
    }

    impl Signer {
        fn new(id: &'static str) -> Self {
            let pair = EcdsaKeyPair::generate(&lc::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            Self { id, pair }
        }

        fn jwk(&self) -> Value {
            let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
            let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
            json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y })
        }

        fn key(&self) -> Arc<VerifyingKey> {
            Arc::new(VerifyingKey::from_jwk(&self.jwk()).unwrap())
        }

        fn header(&self) -> Value {
            json!({ "alg": "ES256", "kid": self.id })
        }

        fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
            let [header, claims] =
                [header.as_ref(), claims.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
            let signed = format!("{header}.{claims}");
            let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn issuer(url: &str) -> Arc<Issuer> {
        let audiences = vec!["sigstore".to_owned(), "mayfly".to_owned()];
        Arc::new(Issuer { audiences, ..Issuer::assumed(url) })
    }

    fn good() -> Value {
        json!({
            "iss": URL, "sub": "alice", "aud": "sigstore",
            "exp": NOW + 60, "nbf": NOW, "iat": NOW, "extra": { "n": 18_446_744_073_709_551_615_u64 },
        })
    }

    fn verify(token: &str, key: &Signer) -> Result<Claims, TokenError> {
        let keys = [key.key()];
        UnverifiedToken::parse(token)?.verify(&issuer(URL), &keys, Timestamp::from_secs(NOW))
    }

    /// The good token with its claims bent must break exactly this rule.
    #[track_caller]
    fn bite(bend: impl FnOnce(&mut Map<String, Value>), error: TokenError) {
        let signer = Signer::new("1");
        let mut claims = good();
        bend(claims.as_object_mut().unwrap());
        let token = signer.sign(signer.header().to_string(), claims.to_string());
        assert_eq!(verify(&token, &signer).unwrap_err(), error);
    }

    /// The good token with one claim replaced holds.
    #[track_caller]
    fn holds(claim: &str, value: Value) {
        let signer = Signer::new("1");
        let mut claims = good();
        claims[claim] = value;
        let token = signer.sign(signer.header().to_string(), claims.to_string());
        verify(&token, &signer).unwrap();
    }

    /// The good token with its header bent must break exactly this rule.
    #[track_caller]
    fn bite_header(name: &str, value: Value, error: TokenError) {
        let signer = Signer::new("1");
        let mut header = signer.header();
        header[name] = value;
        let token = signer.sign(header.to_string(), good().to_string());
        assert_eq!(verify(&token, &signer).unwrap_err(), error);
    }

    fn number(claim: &'static str) -> TokenError {
        TokenError::ClaimType { claim, wanted: "a number of seconds, from 0 to 2^53" }
    }

    #[test]
    fn a_good_token_yields_its_claims() {
        let signer = Signer::new("1");
        let token = signer.sign(signer.header().to_string(), good().to_string());
        let claims = verify(&format!("\n {token}\r\n"), &signer).unwrap();
        assert_eq!((claims.iss(), claims.sub()), (URL, "alice"));
        assert_eq!(claims.issuer().url, URL);
        assert_eq!(Value::Object(claims.members().clone()), good());
        assert_eq!(claims.get("extra").unwrap()["n"].to_string(), "18446744073709551615");
        assert_eq!(claims.get("Sub"), None);
    }

    #[test]
    fn a_token_has_three_parts_and_no_more_than_64_kib() {
        #[track_caller]
        fn refuses(text: &str, error: TokenError) {
            assert_eq!(UnverifiedToken::parse(text).unwrap_err(), error);
        }
        refuses("", TokenError::Empty);
        refuses(" \n", TokenError::Empty);
        refuses("a", TokenError::NotCompact { dots: 0 });
        refuses("a.b", TokenError::NotCompact { dots: 1 });
        refuses("a.b.c.d.e", TokenError::NotCompact { dots: 4 });
        refuses(&".".repeat(LIMIT), TokenError::NotCompact { dots: LIMIT });
        refuses(&".".repeat(50_000_000), TokenError::TooLong { octets: 50_000_000 });
        refuses("e30=.e30.", TokenError::NotBase64(Part::Header));
        refuses("e3 0.e30.", TokenError::NotBase64(Part::Header));
        refuses("e31.e30.", TokenError::NotBase64(Part::Header));
        refuses(
            "..",
            TokenError::NotJson {
                part: Part::Header,
                fault: json::JsonError::Syntax { line: 1, column: 0 },
            },
        );
        refuses("e30.e30.", TokenError::AlgorithmMissing);
    }

    #[test]
    fn white_space_inside_is_refused() {
        let signer = Signer::new("1");
        let token = signer.sign(signer.header().to_string(), good().to_string());
        for place in 1..token.len() {
            let mut text = token.clone();
            text.insert(place, '\n');
            assert!(
                matches!(UnverifiedToken::parse(&text), Err(TokenError::NotBase64(_))),
                "{place}"
            );
        }
    }

    #[test]
    fn a_token_does_not_choose_how_it_is_checked() {
        for name in FORBIDDEN_HEADERS {
            bite_header(name, json!(null), TokenError::ForbiddenHeader(name));
        }
        for name in ["none", "HS256", "es256", "ES256K", ""] {
            bite_header("alg", json!(name), TokenError::UnsupportedAlgorithm(name.to_owned()));
        }
        bite_header("alg", json!(["ES256"]), TokenError::AlgorithmMissing);
        bite_header("kid", json!(1), TokenError::KeyIdNotText);
        bite_header("kid", json!(null), TokenError::KeyIdNotText);
        for algorithm in [Algorithm::Es384, Algorithm::Rs256, Algorithm::EdDsa, Algorithm::Ps512] {
            let (issuer, key_id) = (URL.to_owned(), Some("1".to_owned()));
            let error = TokenError::NoSuchKey { issuer, key_id, algorithm };
            bite_header("alg", json!(algorithm.to_string()), error);
        }
    }

    #[test]
    fn unknown_headers_are_passed_over() {
        let signer = Signer::new("1");
        let header = json!({ "alg": "ES256", "x5t": "abc", "typ": 1, "cty": "JWT", "foo": {} });
        verify(&signer.sign(header.to_string(), good().to_string()), &signer).unwrap();
    }

    #[test]
    fn keys_are_chosen_by_id_and_type() {
        let (one, two) = (Signer::new("1"), Signer::new("2"));
        let (issuer, now) = (issuer(URL), Timestamp::from_secs(NOW));
        let verify = |token: String, keys: &[Arc<VerifyingKey>]| {
            UnverifiedToken::parse(&token).unwrap().verify(&issuer, keys, now)
        };
        let both = [one.key(), two.key()];
        verify(two.sign(r#"{"alg":"ES256"}"#, good().to_string()), &both).unwrap();
        verify(two.sign(r#"{"alg":"ES256","kid":"2"}"#, good().to_string()), &both).unwrap();
        let wrong_id = verify(two.sign(r#"{"alg":"ES256","kid":"1"}"#, good().to_string()), &both);
        assert_eq!(wrong_id.unwrap_err(), TokenError::SignatureInvalid { issuer: URL.to_owned() });
        let nobody = verify(two.sign(r#"{"alg":"ES256"}"#, good().to_string()), &[]);
        let error = TokenError::NoSuchKey {
            issuer: URL.to_owned(),
            key_id: None,
            algorithm: Algorithm::Es256,
        };
        assert_eq!(nobody.unwrap_err(), error);
    }

    #[test]
    fn few_keys_are_tried() {
        let signer = Signer::new("1");
        let (issuer, now) = (issuer(URL), Timestamp::from_secs(NOW));
        let judge = |before: usize, header: &str| {
            let strangers = (0..before).map(|_| Signer::new("2").key());
            let keys: Vec<_> = strangers.chain([signer.key()]).collect();
            let token = signer.sign(header, good().to_string());
            UnverifiedToken::parse(&token).unwrap().verify(&issuer, &keys, now).map(|_| ())
        };
        let nameless = r#"{"alg":"ES256"}"#;
        assert_eq!(judge(7, nameless), Ok(()));
        assert_eq!(judge(99, r#"{"alg":"ES256","kid":"1"}"#), Ok(()));
        let error = TokenError::TooManyKeys { issuer: URL.to_owned(), tried: 8 };
        assert_eq!(judge(8, nameless), Err(error));
    }

    #[test]
    fn a_signature_is_over_every_octet_and_of_one_form() {
        let signer = Signer::new("1");
        let token = signer.sign(signer.header().to_string(), good().to_string());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let refuses = |text: String| {
            let error = verify(&text, &signer).unwrap_err();
            assert_eq!(error, TokenError::SignatureInvalid { issuer: URL.to_owned() });
        };
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for place in 0..raw.len() {
            let mut bent = raw.clone();
            bent[place] ^= 1;
            refuses(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bent)));
        }
        let longer = [raw.as_slice(), &[0]].concat();
        let mut der = b"\x30\x44\x02\x20".to_vec();
        der.extend_from_slice(&raw[..32]);
        der.extend_from_slice(b"\x02\x20");
        der.extend_from_slice(&raw[32..]);
        for bent in [&[][..], &raw[..63], &longer, &[0; 64], &der] {
            refuses(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bent)));
        }
        let other = json!({ "iss": URL, "sub": "mallory", "aud": "sigstore", "exp": NOW + 60 });
        let claims = URL_SAFE_NO_PAD.encode(other.to_string());
        let (header, _) = signed.split_once('.').unwrap();
        refuses(format!("{header}.{claims}.{signature}"));
    }

    #[test]
    fn the_issuer_is_compared_octet_for_octet() {
        let signer = Signer::new("1");
        for iss in
            ["https://issuer.example/", "https://Issuer.example", "https://issuer.example:443"]
        {
            let mut claims = good();
            claims["iss"] = json!(iss);
            let token = signer.sign(signer.header().to_string(), claims.to_string());
            let (issuer, configured) = (iss.to_owned(), URL.to_owned());
            let error = TokenError::IssuerMismatch { issuer, configured };
            assert_eq!(verify(&token, &signer).unwrap_err(), error);
        }
        bite(
            |claims| claims["iss"] = json!([URL]),
            TokenError::ClaimType { claim: "iss", wanted: "a string" },
        );
        bite(|claims| drop(claims.remove("iss")), TokenError::ClaimMissing("iss"));
        bite(|claims| claims["iss"] = json!(""), TokenError::ClaimEmpty("iss"));
    }

    #[test]
    fn exp_is_required_and_has_no_leeway() {
        let expired = |millis, ago| TokenError::Expired {
            at: Timestamp::from_millis(millis),
            ago: Duration::from_millis(ago),
        };
        bite(|claims| drop(claims.remove("exp")), TokenError::ClaimMissing("exp"));
        bite(|claims| claims["exp"] = json!(NOW), expired(NOW * 1000, 0));
        bite(|claims| claims["exp"] = json!(NOW - 1), expired(NOW * 1000 - 1000, 1000));
        bite(|claims| claims["exp"] = json!(NOW as f64 - 0.5), expired(NOW * 1000 - 500, 500));
        bite(|claims| claims["exp"] = json!(0), expired(0, NOW * 1000));
        holds("exp", json!(NOW + 1));
        holds("exp", json!(NOW as f64 + 0.5));
        holds("exp", json!(1_u64 << 53));
    }

    #[test]
    fn times_are_numbers_in_range() {
        let odd = [
            json!("1"),
            json!(null),
            json!(true),
            json!([1]),
            json!(-1),
            json!(-0.5),
            json!(1e300),
        ];
        for claim in ["exp", "nbf", "iat"] {
            for value in odd.iter().cloned().chain([json!((1_u64 << 53) + 1), json!(u64::MAX)]) {
                bite(|claims| claims[claim] = value, number(claim));
            }
        }
    }

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        for claim in ["nbf", "iat"] {
            holds(claim, json!(NOW + 300));
            holds(claim, json!(0));
            let (at, ahead) = (Timestamp::from_secs(NOW + 301), Duration::from_secs(301));
            let error = TokenError::NotYetValid { claim, at, ahead };
            bite(|claims| claims[claim] = json!(NOW + 301), error);
        }
        let signer = Signer::new("1");
        let claims = json!({ "iss": URL, "sub": "alice", "aud": "sigstore", "exp": NOW + 1 });
        verify(&signer.sign(signer.header().to_string(), claims.to_string()), &signer).unwrap();
    }

    #[test]
    fn a_token_may_be_too_old_for_its_issuer() {
        let (signer, most) = (Signer::new("1"), Duration::from_secs(60));
        let strict = Arc::new(Issuer { max_age: Some(most), ..Issuer::clone(&issuer(URL)) });
        let judge = |iat: Option<u64>| {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove("iat");
            iat.into_iter().for_each(|iat| claims["iat"] = json!(iat));
            let token = signer.sign(signer.header().to_string(), claims.to_string());
            let token = UnverifiedToken::parse(&token).unwrap();
            token.verify(&strict, &[signer.key()], Timestamp::from_secs(NOW)).map(|_| ())
        };
        let issuer = URL.to_owned();
        for iat in [NOW - 60, NOW, NOW + 60] {
            assert_eq!(judge(Some(iat)), Ok(()));
        }
        assert_eq!(judge(None), Err(TokenError::AgeUnknown { issuer: issuer.clone() }));
        let (age, at) = (Duration::from_secs(61), Timestamp::from_secs(NOW + 61));
        assert_eq!(judge(Some(NOW - 61)), Err(TokenError::TooOld { issuer, age, most }));
        let ahead = TokenError::NotYetValid { claim: "iat", at, ahead: age };
        assert_eq!(judge(Some(NOW + 61)), Err(ahead));
    }

    #[test]
    fn an_issuer_may_be_held_to_some_algorithms() {
        let signer = Signer::new("1");
        let token = signer.sign(signer.header().to_string(), good().to_string());
        let token = UnverifiedToken::parse(&token).unwrap();
        let judge = |allowed: &[Algorithm]| {
            let strict = Issuer { algorithms: allowed.to_vec(), ..Issuer::clone(&issuer(URL)) };
            let now = Timestamp::from_secs(NOW);
            token.verify(&Arc::new(strict), &[signer.key()], now).map(|_| ())
        };
        assert_eq!(judge(&[Algorithm::Rs256, Algorithm::Es256]), Ok(()));
        let (issuer, allowed) = (URL.to_owned(), vec![Algorithm::Rs256, Algorithm::EdDsa]);
        let error = judge(&allowed).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the token is signed with ES256; tokens of issuer https://issuer.example are accepted \
             with RS256 or EdDSA only"
        );
        let algorithm = Algorithm::Es256;
        assert_eq!(error, TokenError::AlgorithmNotAllowed { issuer, algorithm, allowed });
    }

    #[test]
    fn the_audience_is_one_of_ours_exactly() {
        holds("aud", json!("mayfly"));
        holds("aud", json!(["vault", "sigstore"]));
        let mismatch = |audiences: &[&str]| TokenError::AudienceMismatch {
            issuer: URL.to_owned(),
            audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
            wanted: issuer(URL).audiences.clone(),
        };
        bite(|claims| claims["aud"] = json!([]), mismatch(&[]));
        for audience in ["vault", "Sigstore", "sigstore.evil", "sigstore ", "sig", ""] {
            bite(|claims| claims["aud"] = json!(audience), mismatch(&[audience]));
        }
        let wrong =
            TokenError::ClaimType { claim: "aud", wanted: "a string or an array of strings" };
        for value in [json!(1), json!(null), json!({ "a": "sigstore" }), json!([["sigstore"]])] {
            bite(|claims| claims["aud"] = value, wrong.clone());
        }
        bite(|claims| claims["aud"] = json!(["sigstore", 1]), wrong);
        bite(|claims| drop(claims.remove("aud")), TokenError::ClaimMissing("aud"));
    }

    #[test]
    fn the_subject_is_text() {
        bite(|claims| drop(claims.remove("sub")), TokenError::ClaimMissing("sub"));
        bite(|claims| claims["sub"] = json!(""), TokenError::ClaimEmpty("sub"));
        for value in [json!(7), json!(null), json!(["alice"])] {
            let error = TokenError::ClaimType { claim: "sub", wanted: "a string" };
            bite(|claims| claims["sub"] = value, error);
        }
    }

    #[test]
    fn a_token_is_never_written_out() {
        let signer = Signer::new("1");
        let text = signer.sign(signer.header().to_string(), good().to_string());
        let shown = format!("{:?}", UnverifiedToken::parse(&text).unwrap());
        assert_eq!(shown, format!("UnverifiedToken {{ issuer: {URL:?}, .. }}"));
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    /// The keys of Fulcio's recorded answers, and the base of their issuers' URLs.
    fn recorded_issuers() -> (String, Vec<Arc<VerifyingKey>>) {
        let about = json(include_str!("../tests/vectors/fulcio/about.json"));
        let keys = about["jwks"]["keys"].as_array().unwrap();
        let keys = keys.iter().map(|jwk| Arc::new(VerifyingKey::from_jwk(jwk).unwrap())).collect();
        (about["base"].as_str().unwrap().to_owned(), keys)
    }

    /// The token of a recorded request, if it has one where clients put it.
    fn recorded_token(case: &Value) -> Option<String> {
        let request = &case["request"];
        let body: Option<Value> = serde_json::from_str(request["body"].as_str()?).ok();
        let in_body = body
            .and_then(|body| body["credentials"]["oidcIdentityToken"].as_str().map(str::to_owned));
        in_body.or_else(|| {
            let header = request["headers"]["Authorization"].as_str()?;
            header.strip_prefix("Bearer ").map(str::to_owned)
        })
    }

    /// What the real Fulcio said to tokens: where ours should say the same, it does, and where ours
    /// should refuse, it does. In groups that are about something else, what was issued must hold here.
    #[test]
    fn recorded_answers_of_fulcio_agree() {
        let (base, keys) = recorded_issuers();
        let (mut compared, mut issued) = (HashMap::<String, usize>::new(), 0);
        for case in include_str!("../tests/vectors/fulcio/cases.jsonl").lines().map(json) {
            let id = case["id"].as_str().unwrap();
            let group = id.split('/').next().unwrap();
            let ours = ["token", "header", "alg", "time", "audience"].contains(&group);
            let answered = case["fulcio"]["status"].as_u64().is_some_and(|status| status < 300);
            let expected = match case["mayfly"].as_str().unwrap() {
                "same" => answered,
                "refuse" => false,
                _ => continue,
            };
            let Some(token) = recorded_token(&case).filter(|_| ours || expected) else { continue };
            let now = Timestamp::from_secs(case["time"].as_u64().unwrap());
            let outcome = UnverifiedToken::parse(&token).and_then(|token| {
                let iss = token.unverified_issuer().to_owned();
                assert!(iss.starts_with(&base) || !expected, "{id}: {iss}");
                token.verify(&issuer(&iss), &keys, now)
            });
            assert_eq!(outcome.is_ok(), expected, "{id}: {outcome:?}");
            if ours {
                *compared.entry(group.to_owned()).or_default() += 1;
            }
            issued += usize::from(expected);
        }
        let expected = [("token", 20), ("header", 12), ("alg", 19), ("time", 18), ("audience", 9)];
        let expected = expected.map(|(group, cases)| (group.to_owned(), cases));
        assert_eq!((compared, issued), (HashMap::from(expected), 199));
    }

    /// What jsonwebtoken, set as strictly as it can be, says to the same token.
    fn oracle(token: &str, signer: &Signer) -> Option<Value> {
        use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(signer.jwk()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_audience(&["sigstore", "mayfly"]);
        validation.set_issuer(&[URL]);
        validation.validate_nbf = true;
        validation.leeway = 300;
        decode(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation)
            .ok()
            .map(|data| data.claims)
    }

    fn bent_claims() -> impl Strategy<Value = Value> {
        let now = SystemClock.now().as_secs();
        let time = prop_oneof![
            (now - 400..now + 400).prop_map(|time| json!(time)),
            (-1e3..1e3).prop_map(move |off| json!(now as f64 + off)),
            Just(json!(now.to_string())),
            Just(json!(null)),
            Just(json!(-1)),
            Just(json!(1e30)),
        ];
        let text = prop_oneof![
            Just(json!(URL)),
            Just(json!("sigstore")),
            Just(json!(["sigstore", "x"])),
            Just(json!([])),
            Just(json!("")),
            Just(json!(1)),
            Just(json!([URL])),
        ];
        let members = (
            proptest::option::of(("(iss|aud|sub)", text)),
            proptest::option::of(("(iss|aud|sub)", Just(json!("sigstore")))),
        );
        let times = proptest::option::of(("(exp|nbf|iat)", time));
        (members, times, proptest::option::weighted(0.1, "(iss|aud|sub|exp|nbf)")).prop_map(
            move |(members, time, gone)| {
                let mut claims = good();
                claims["exp"] = json!(now + 60);
                claims["nbf"] = json!(now - 60);
                claims["iat"] = json!(now - 60);
                for (name, value) in members.0.into_iter().chain(members.1).chain(time) {
                    claims[name] = value;
                }
                if let (Some(gone), Some(members)) = (gone, claims.as_object_mut()) {
                    members.remove(&gone);
                }
                claims
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_holds_here_holds_for_jsonwebtoken(claims in bent_claims()) {
            let signer = Signer::new("1");
            let token = signer.sign(signer.header().to_string(), claims.to_string());
            let parsed = UnverifiedToken::parse(&token);
            let ours = parsed
                .and_then(|token| token.verify(&issuer(URL), &[signer.key()], SystemClock.now()));
            if let Ok(ours) = ours {
                let theirs = oracle(&token, &signer);
                prop_assert_eq!(Some(Value::Object(ours.members().clone())), theirs);
            }
        }

        #[test]
        fn no_change_to_the_text_holds(place in 0..10_000_usize, with in "[A-Za-z0-9_.=+/ -]{0,2}") {
            let signer = Signer::new("1");
            let token = signer.sign(signer.header().to_string(), good().to_string());
            let place = place % token.len();
            let bent = format!("{}{with}{}", &token[..place], &token[place + 1..]);
            if bent != token && bent.trim() != token {
                prop_assert!(verify(&bent, &signer).is_err());
            }
        }

        #[test]
        fn parsing_never_panics(text in ".{0,200}") {
            let _ = UnverifiedToken::parse(&text);
        }

        #[test]
        fn parsing_parts_never_panics(header in ".{0,60}", claims in ".{0,60}", octets: [u8; 9]) {
            let parts = [header.as_bytes(), claims.as_bytes(), &octets];
            let text = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
            let _ = UnverifiedToken::parse(&text);
        }
    }

    #[test]
    fn the_oracle_accepts_the_good_token() {
        let signer = Signer::new("1");
        let mut claims = good();
        claims["exp"] = json!(SystemClock.now().as_secs() + 60);
        let token = signer.sign(signer.header().to_string(), claims.to_string());
        assert_eq!(oracle(&token, &signer), Some(claims));
    }
}
