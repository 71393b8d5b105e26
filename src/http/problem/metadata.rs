//! What a refusal is about, for machines: `ErrorInfo.metadata`.
//!
//! ```json
//! { "issuer": "https://token.actions.githubusercontent.com", "rule": "release", "claim": "ref",
//!   "wanted": "refs/tags/v*", "got": "refs/heads/dev" }
//! ```
//!
//! Values are what the sentence says, a caller's own text cut and with control characters escaped.
//! Never the token, never a key. No arm stands for "everything else".

use crate::authority::{Failure, IssueError, Refusal};
use crate::identity::IdentityError;
use crate::policy::{Near, PolicyError};
use crate::possession::PossessionError;
use crate::quote::escape;
use crate::token::TokenError;

/// Octets that one value may have. Over gRPC all of this is one header, of which clients take 8 KiB.
const LONGEST: usize = 256;

/// Audiences that a value repeats.
const AUDIENCES: usize = 5;

/// Names and values, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Vec<(&'static str, String)>);

impl Metadata {
    /// What an error is about.
    pub fn of(error: &IssueError) -> Self {
        match error {
            IssueError::Refused(refusal) => refused(refusal),
            IssueError::Failed(Failure::IssuerUnreachable { issuer, .. }) => issued_by(issuer),
            IssueError::Failed(
                Failure::Profile(_) | Failure::Check(_) | Failure::Signer(_) | Failure::Log(_),
            ) => Self::default(),
        }
    }

    /// The same without what the rules say: no more than whose they are.
    pub fn without_rules(mut self) -> Self {
        self.0.retain(|(name, _)| *name == "issuer");
        self
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    fn and(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, cut(escape(value).to_string())));
        self
    }

    fn and_if(self, name: &'static str, value: Option<&String>) -> Self {
        match value {
            Some(value) => self.and(name, value),
            None => self,
        }
    }
}

fn cut(value: String) -> String {
    let end = value.char_indices().find(|(at, c)| at + c.len_utf8() > LONGEST);
    match end.and_then(|(at, _)| value.get(..at)) {
        Some(begin) => format!("{begin}…"),
        None => value,
    }
}

fn issued_by(issuer: &str) -> Metadata {
    Metadata::default().and("issuer", issuer)
}

fn about(claim: &str) -> Metadata {
    Metadata::default().and("claim", claim)
}

fn refused(refusal: &Refusal) -> Metadata {
    match refusal {
        Refusal::Token(error) => token(error),
        Refusal::IssuerUnknown { issuer, .. } => issued_by(issuer),
        Refusal::Identity(error) => identity(error),
        Refusal::Possession(error) => possession(error),
        Refusal::Policy(error) => policy(error),
    }
}

fn token(error: &TokenError) -> Metadata {
    match error {
        TokenError::Empty
        | TokenError::TooLong { .. }
        | TokenError::NotCompact { .. }
        | TokenError::NotBase64(_)
        | TokenError::NotJson { .. }
        | TokenError::AlgorithmMissing
        | TokenError::KeyIdNotText => Metadata::default(),
        TokenError::UnsupportedAlgorithm(name) => Metadata::default().and("algorithm", name),
        TokenError::ForbiddenHeader(name) => Metadata::default().and("header", name),
        TokenError::ClaimMissing(claim) | TokenError::ClaimEmpty(claim) => about(claim),
        TokenError::ClaimType { claim, wanted } => about(claim).and("wanted", wanted),
        TokenError::NoSuchKey { issuer, key_id, algorithm } => issued_by(issuer)
            .and_if("key_id", key_id.as_ref())
            .and("algorithm", &algorithm.to_string()),
        TokenError::SignatureInvalid { issuer } | TokenError::TooManyKeys { issuer, .. } => {
            issued_by(issuer)
        }
        TokenError::IssuerMismatch { issuer, configured } => {
            issued_by(issuer).and("wanted", configured)
        }
        TokenError::AudienceMismatch { issuer, audiences, wanted } => {
            let got: Vec<&str> = audiences.iter().take(AUDIENCES).map(String::as_str).collect();
            let metadata = issued_by(issuer).and("claim", "aud");
            metadata.and("wanted", &wanted.join(", ")).and("got", &got.join(", "))
        }
        TokenError::AlgorithmNotAllowed { issuer, algorithm, allowed } => {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            let metadata = issued_by(issuer).and("wanted", &allowed.join(", "));
            metadata.and("got", &algorithm.to_string())
        }
        TokenError::TooOld { issuer, .. } | TokenError::AgeUnknown { issuer } => {
            issued_by(issuer).and("claim", "iat")
        }
        TokenError::Expired { at, .. } => about("exp").and("got", &at.to_string()),
        TokenError::NotYetValid { claim, at, .. } => about(claim).and("got", &at.to_string()),
    }
}

fn identity(error: &IdentityError) -> Metadata {
    match error {
        IdentityError::ClaimMissing { name } => about(name),
        IdentityError::ClaimType { name, wanted, found } => {
            about(name).and("wanted", wanted).and("got", found)
        }
        IdentityError::ClaimValue { name, wanted, value } => {
            about(name).and("wanted", wanted).and("got", value)
        }
        IdentityError::EmailUnverified { email } | IdentityError::EmailInvalid { email } => {
            about("email").and("got", email)
        }
        IdentityError::SubjectIsEmail { subject } => about("sub").and("got", subject),
        IdentityError::SubjectInvalid { subject, wanted } => {
            about("sub").and("wanted", wanted).and("got", subject)
        }
        IdentityError::SubjectForeign { subject, domain } => {
            about("sub").and("wanted", domain).and("got", subject)
        }
        IdentityError::TooLong { part, limit } => {
            Metadata::default().and("extension", part).and("wanted", &at_most(*limit))
        }
        IdentityError::TooLarge { limit } => Metadata::default().and("wanted", &at_most(*limit)),
        IdentityError::SanEmpty { provider } => Metadata::default().and("provider", provider),
        IdentityError::Url { url, .. } => Metadata::default().and("got", url),
    }
}

fn at_most(octets: usize) -> String {
    format!("at most {octets} octets")
}

fn possession(error: &PossessionError) -> Metadata {
    match error {
        PossessionError::KeyMissing
        | PossessionError::KeyUnreadable
        | PossessionError::KeyIsCertificate
        | PossessionError::KeyIsPrivate
        | PossessionError::KeyUnacceptable(_)
        | PossessionError::CsrUnreadable
        | PossessionError::CsrSignature => Metadata::default(),
        PossessionError::ProofInvalid { challenge } => {
            Metadata::default().and("challenge", challenge)
        }
        PossessionError::CsrAlgorithm { scheme } => Metadata::default().and("wanted", scheme),
    }
}

fn policy(error: &PolicyError) -> Metadata {
    match error {
        PolicyError::Denied { issuer, rule, why, claim, got } => {
            let metadata = issued_by(issuer).and("rule", bare(rule)).and_if("why", why.as_ref());
            metadata.and("claim", claim).and("got", got)
        }
        PolicyError::NotAllowed { issuer, nearest: None } => issued_by(issuer),
        PolicyError::NotAllowed { issuer, nearest: Some(near) } => {
            let Near { rule, why, claim, wanted, got } = near.as_ref();
            let metadata = issued_by(issuer).and("rule", bare(rule)).and_if("why", why.as_ref());
            metadata.and("claim", claim).and("wanted", wanted).and_if("got", got.as_ref())
        }
    }
}

/// A rule's name without the quotes that sentences have around it.
fn bare(rule: &str) -> &str {
    rule.strip_prefix('"').and_then(|rule| rule.strip_suffix('"')).unwrap_or(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(refusal: Refusal, expected: &[(&str, &str)]) {
        let metadata = Metadata::of(&IssueError::Refused(refusal));
        assert_eq!(metadata.iter().collect::<Vec<_>>(), expected);
    }

    fn not_allowed(got: &str) -> Refusal {
        Refusal::Policy(PolicyError::NotAllowed {
            issuer: "https://a.example".to_owned(),
            nearest: Some(Box::new(Near {
                rule: "\"release\"".to_owned(),
                why: Some("tags only".to_owned()),
                claim: "ref".to_owned(),
                wanted: "refs/tags/v*".to_owned(),
                got: Some(got.to_owned()),
            })),
        })
    }

    #[test]
    fn names_what_the_sentence_names() {
        check(
            not_allowed("refs/heads/dev"),
            &[
                ("issuer", "https://a.example"),
                ("rule", "release"),
                ("why", "tags only"),
                ("claim", "ref"),
                ("wanted", "refs/tags/v*"),
                ("got", "refs/heads/dev"),
            ],
        );
        let missing = IdentityError::ClaimMissing { name: "sha".to_owned() };
        check(Refusal::Identity(missing), &[("claim", "sha")]);
        check(Refusal::Token(TokenError::Empty), &[]);
    }

    #[test]
    fn a_callers_text_is_cut_and_escaped() {
        let sub = |subject: String| Refusal::Identity(IdentityError::SubjectIsEmail { subject });
        check(sub("a\n\u{202e}\"".into()), &[("claim", "sub"), ("got", "a\\n\\u{202e}\"")]);
        for hostile in ["\u{1b}", "x", "ä", "\u{10ffff}"] {
            let metadata = Metadata::of(&IssueError::Refused(sub(hostile.repeat(60_000))));
            assert!(metadata.iter().all(|(_, value)| value.len() <= LONGEST + '…'.len_utf8()));
        }
    }

    #[test]
    fn where_rules_are_hidden_the_issuer_is_left() {
        let metadata = Metadata::of(&IssueError::Refused(not_allowed("x"))).without_rules();
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("issuer", "https://a.example")]);
    }
}
