//! Tokens that do not hold, and issuers that nobody trusts or can ask.

use std::time::Duration;

use mayfly::authority::{Failure, IssueError};
use mayfly::issuer::Keys;
use mayfly::keyset::KeysetError;
use mayfly::time::Timestamp;
use mayfly::token::algorithm::Algorithm;
use mayfly::token::json::JsonError;
use mayfly::token::{Part, TokenError};
use serde_json::json;

use crate::support::authority::Parts;
use crate::support::caller;
use crate::support::issuer::MIDNIGHT;

use super::{Ask, Bite, Outcome};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[tokio::test]
async fn tokens() {
    super::check(bites()).await;
}

#[track_caller]
fn bite(change: fn(&mut Ask), error: TokenError, reason: &'static str) -> Bite {
    Bite::ask("github/push", change, Outcome::new(error, 400, reason))
}

#[track_caller]
fn unread(change: fn(&mut Ask), part: Part, fault: JsonError) -> Bite {
    bite(change, TokenError::NotJson { part, fault }, "TOKEN_INVALID")
}

pub fn bites() -> Vec<Bite> {
    [form(), json_text(), header(), claims(), signature(), times(), terms(), issuers()]
        .into_iter()
        .flatten()
        .collect()
}

fn form() -> Vec<Bite> {
    let too_long = TokenError::TooLong { octets: 65_537 };
    vec![
        bite(|ask| ask.token = |_| String::new(), TokenError::Empty, "TOKEN_MISSING"),
        bite(|ask| ask.token = |_| "x".repeat(65_537), too_long, "TOKEN_INVALID"),
        bite(|ask| ask.token = |t| t + ".", TokenError::NotCompact { dots: 3 }, "TOKEN_INVALID"),
        bite(
            |ask| ask.token = |t| format!("={t}"),
            TokenError::NotBase64(Part::Header),
            "TOKEN_INVALID",
        ),
        bite(
            |ask| ask.token = |t| t.replacen('.', ".=", 1),
            TokenError::NotBase64(Part::Claims),
            "TOKEN_INVALID",
        ),
        bite(
            |ask| ask.token = |t| t + "=",
            TokenError::NotBase64(Part::Signature),
            "TOKEN_INVALID",
        ),
    ]
}

fn json_text() -> Vec<Bite> {
    vec![
        unread(|ask| ask.header = json!([]), Part::Header, JsonError::NotAnObject),
        unread(|ask| ask.text = |_| b"\"\xff\"".to_vec(), Part::Claims, JsonError::NotUtf8),
        unread(
            |ask| ask.text = |_| b"{".to_vec(),
            Part::Claims,
            JsonError::Syntax { line: 1, column: 1 },
        ),
        unread(
            |ask| ask.text = |text| text.replacen('{', r#"{"sub":"x","#, 1).into_bytes(),
            Part::Claims,
            JsonError::DuplicateMember("sub".to_owned()),
        ),
        unread(
            |ask| ask.claims["deep"] = (0..32).fold(json!(0), |deep, _| json!([deep])),
            Part::Claims,
            JsonError::TooDeep,
        ),
    ]
}

fn header() -> Vec<Bite> {
    let unsupported = |name: &str| TokenError::UnsupportedAlgorithm(name.to_owned());
    let forbidden = TokenError::ForbiddenHeader;
    vec![
        bite(|ask| ask.header["alg"] = json!(0), TokenError::AlgorithmMissing, "TOKEN_INVALID"),
        bite(|ask| ask.header["alg"] = json!("none"), unsupported("none"), "TOKEN_INVALID"),
        bite(|ask| ask.header["alg"] = json!("HS256"), unsupported("HS256"), "TOKEN_INVALID"),
        bite(|ask| ask.header["jku"] = json!(GITHUB), forbidden("jku"), "TOKEN_INVALID"),
        bite(|ask| ask.header["crit"] = json!(["b64"]), forbidden("crit"), "TOKEN_INVALID"),
        bite(|ask| ask.header["kid"] = json!(1), TokenError::KeyIdNotText, "TOKEN_INVALID"),
    ]
}

fn claims() -> Vec<Bite> {
    let seconds = "a number of seconds, from 0 to 2^53";
    let wrong = |claim, wanted| TokenError::ClaimType { claim, wanted };
    vec![
        without("iss", |ask| remove(ask, "iss")),
        without("sub", |ask| remove(ask, "sub")),
        without("aud", |ask| remove(ask, "aud")),
        without("exp", |ask| remove(ask, "exp")),
        bite(|ask| ask.claims["sub"] = json!(""), TokenError::ClaimEmpty("sub"), "CLAIM_MISSING"),
        bite(|ask| ask.claims["iss"] = json!(""), TokenError::ClaimEmpty("iss"), "CLAIM_MISSING"),
        bite(|ask| ask.claims["sub"] = json!(7), wrong("sub", "a string"), "CLAIM_INVALID"),
        bite(|ask| ask.claims["exp"] = json!("7"), wrong("exp", seconds), "CLAIM_INVALID"),
        bite(|ask| ask.claims["nbf"] = json!(true), wrong("nbf", seconds), "CLAIM_INVALID"),
        bite(
            |ask| ask.claims["aud"] = json!([1]),
            wrong("aud", "a string or an array of strings"),
            "CLAIM_INVALID",
        ),
        bite(
            |ask| ask.claims["aud"] = json!("vault"),
            TokenError::AudienceMismatch {
                issuer: GITHUB.to_owned(),
                audiences: vec!["vault".to_owned()],
                wanted: vec!["sigstore".to_owned()],
            },
            "AUDIENCE_MISMATCH",
        ),
    ]
}

#[track_caller]
fn without(claim: &'static str, change: fn(&mut Ask)) -> Bite {
    bite(change, TokenError::ClaimMissing(claim), "CLAIM_MISSING")
}

fn remove(ask: &mut Ask, claim: &str) {
    ask.claims.as_object_mut().expect("an object").remove(claim);
}

fn signature() -> Vec<Bite> {
    let forged = || TokenError::SignatureInvalid { issuer: GITHUB.to_owned() };
    let no_such_key = |key_id: Option<&str>, algorithm| TokenError::NoSuchKey {
        issuer: GITHUB.to_owned(),
        key_id: key_id.map(str::to_owned),
        algorithm,
    };
    vec![
        bite(
            |ask| ask.header["kid"] = json!("other"),
            no_such_key(Some("other"), Algorithm::EdDsa),
            "SIGNATURE_INVALID",
        ),
        bite(
            |ask| ask.header["alg"] = json!("ES256"),
            no_such_key(Some("golden"), Algorithm::Es256),
            "SIGNATURE_INVALID",
        ),
        bite(
            |ask| ask.token = |t| t[..=t.rfind('.').expect("a dot")].to_owned(),
            forged(),
            "SIGNATURE_INVALID",
        ),
        bite(|ask| ask.token = borrow, forged(), "SIGNATURE_INVALID"),
        // Nine keys of the right name and kind, none of them the one.
        world(
            |parts| parts.issuer(|issuer| issuer.keys = Keys::Inline(strangers().into())),
            Outcome::new(
                TokenError::TooManyKeys { issuer: GITHUB.to_owned(), tried: 8 },
                400,
                "SIGNATURE_INVALID",
            ),
        ),
    ]
}

/// Nine times the key of RFC 8037 appendix A.2, under the name of another.
fn strangers() -> Vec<u8> {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "golden", "x": x });
    json!({ "keys": vec![key; 9] }).to_string().into_bytes()
}

/// The token with a signature that is good, of other claims.
fn borrow(token: String) -> String {
    let other = caller::token(&caller::header(), b"{}");
    let parts = token.rsplit_once('.').zip(other.rsplit_once('.'));
    let ((signed, _), (_, signature)) = parts.expect("two tokens");
    format!("{signed}.{signature}")
}

fn times() -> Vec<Bite> {
    let expired = |at, ago| TokenError::Expired {
        at: Timestamp::from_secs(at),
        ago: Duration::from_secs(ago),
    };
    let early = |claim, ahead| TokenError::NotYetValid {
        claim,
        at: Timestamp::from_secs(MIDNIGHT + ahead),
        ahead: Duration::from_secs(ahead),
    };
    vec![
        bite(
            |ask| ask.claims["exp"] = json!(MIDNIGHT - 42),
            expired(MIDNIGHT - 42, 42),
            "TOKEN_EXPIRED",
        ),
        bite(|ask| ask.claims["exp"] = json!(MIDNIGHT), expired(MIDNIGHT, 0), "TOKEN_EXPIRED"),
        world(
            |parts| parts.clock.set(MIDNIGHT + 300),
            Outcome::new(expired(MIDNIGHT + 300, 0), 400, "TOKEN_EXPIRED"),
        ),
        bite(
            |ask| ask.claims["nbf"] = json!(MIDNIGHT + 301),
            early("nbf", 301),
            "TOKEN_NOT_YET_VALID",
        ),
        bite(
            |ask| ask.claims["iat"] = json!(MIDNIGHT + 301),
            early("iat", 301),
            "TOKEN_NOT_YET_VALID",
        ),
    ]
}

/// What the configuration asks of one issuer's tokens beside.
fn terms() -> Vec<Bite> {
    let ghe = || "https://token.actions.acme.ghe.com".to_owned();
    let too_old = TokenError::TooOld {
        issuer: ghe(),
        age: Duration::from_secs(601),
        most: Duration::from_secs(600),
    };
    let rs256 = TokenError::AlgorithmNotAllowed {
        issuer: GITHUB.to_owned(),
        algorithm: Algorithm::EdDsa,
        allowed: vec![Algorithm::Rs256],
    };
    vec![
        Bite::ask(
            "github/ghe-com",
            |ask| ask.claims["iat"] = json!(MIDNIGHT - 601),
            Outcome::new(too_old, 400, "TOKEN_TOO_OLD"),
        ),
        Bite::ask(
            "github/ghe-com",
            |ask| drop(ask.claims.as_object_mut().expect("claims").remove("iat")),
            Outcome::new(TokenError::AgeUnknown { issuer: ghe() }, 400, "CLAIM_MISSING"),
        ),
        world(
            |parts| parts.issuer(|issuer| issuer.algorithms = vec![Algorithm::Rs256]),
            Outcome::new(rs256, 400, "ALGORITHM_NOT_ALLOWED"),
        ),
    ]
}

fn issuers() -> Vec<Bite> {
    let unknown = |issuer: &str, nearest: Option<&str>| KeysetError::UnknownIssuer {
        issuer: issuer.to_owned(),
        nearest: nearest.map(str::to_owned),
    };
    let slash = "https://token.actions.githubusercontent.com/";
    let refused = "issuer https://token.actions.githubusercontent.com does not answer (connection \
                   refused); this is not the token's fault, try again";
    vec![
        Bite::ask(
            "github/push",
            |ask| ask.claims["iss"] = json!("https://token.actions.githubusercontent.com/"),
            Outcome::new(unknown(slash, Some(GITHUB)), 400, "ISSUER_UNKNOWN"),
        ),
        Bite::ask(
            "github/push",
            |ask| ask.claims["iss"] = json!("urn:nobody"),
            Outcome::new(unknown("urn:nobody", None), 400, "ISSUER_UNKNOWN"),
        ),
        // Nobody listens at port 1 of this machine.
        world(
            |parts| parts.issuer(|issuer| issuer.keys = Keys::Url("https://127.0.0.1:1/".into())),
            Outcome::new(
                IssueError::Failed(Failure::IssuerUnreachable {
                    issuer: GITHUB.to_owned(),
                    trouble: "connection refused",
                    sentence: refused.to_owned(),
                }),
                503,
                "ISSUER_UNREACHABLE",
            ),
        ),
    ]
}

#[track_caller]
fn world(change: fn(&mut Parts), outcome: Outcome) -> Bite {
    Bite::world("github/push", change, outcome)
}
