//! The dry run: what would become of a token, and why.
//!
//! The outcome is that of [`judge`], which [`Authority::issue`](super::Authority::issue) asks too, so
//! that they cannot disagree. What stands around it is for the person who asks: each check by itself,
//! the claims that were used, the identity and every rule, as far as they can be told of a token that
//! does not hold. Nothing is issued, logged or recorded, and no key of ours is touched.

use std::sync::Arc;

use serde_json::Value;

use super::{Failure, IssueError, Refusal, judge};
use crate::identity::usage::usages;
use crate::identity::{Identity, IdentityError};
use crate::issuer::{Issuer, Kind};
use crate::keyset::{Keyset, KeysetError};
use crate::policy::{ClaimSelector, Policy, Review};
use crate::quote::quote;
use crate::record::refused::Known;
use crate::time::Timestamp;
use crate::token::{Claims, TokenError, UnverifiedToken};

/// What becomes of the token's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It is checked, with keys that its issuer is asked for if need be.
    Checked,
    /// It is passed over, and nobody is asked anything.
    Skipped,
}

/// What would become of a token.
#[derive(Debug)]
pub struct Explanation {
    /// The time that it was asked for.
    pub now: Timestamp,
    /// The checks in their order.
    pub checks: Vec<Check>,
    /// The claims that identity and rules look at.
    pub claims: Vec<UsedClaim>,
    /// What the certificate would say; none where the claims make no identity.
    pub identity: Option<Identity>,
    /// Every rule of the issuer, held against the token.
    pub rules: Vec<Review>,
    /// The rule that allows, none where anybody may; or why there would be no certificate.
    pub outcome: Result<Option<String>, IssueError>,
}

/// One check of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is checked: `token`, `issuer`, `signature`, `times`, `audience`, `identity`, `rules`.
    pub name: &'static str,
    /// What came of it.
    pub finding: Finding,
    /// What was found, in words; a caller's text in it is quoted.
    pub detail: String,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It was not looked at, or could not be.
    Open,
}

/// A claim that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedClaim {
    /// Its name, or a JSON Pointer that leads to it.
    pub claim: String,
    /// What the token has there.
    pub value: Option<Value>,
    /// What stands for it where the token has nothing there.
    pub default: Option<String>,
    /// What it is used for: the certificate's `SAN`, its extensions, `challenge`, a rule.
    pub uses: Vec<String>,
}

/// Tells what would become of `token` at `now`.
pub async fn explain(
    (keyset, policy): (&Keyset, &Policy),
    token: &str,
    signature: Signature,
    now: Timestamp,
) -> Explanation {
    let parsed = match UnverifiedToken::parse(token) {
        Ok(parsed) => parsed,
        Err(error) => return Explanation::unreadable(error, now),
    };
    let outcome = match signature {
        Signature::Checked => {
            let judged = judge((keyset, policy), token, now, &mut Known::default()).await;
            judged.and_then(|judgement| {
                Ok(judgement.decision().map_err(Clone::clone)?.map(str::to_owned))
            })
        }
        Signature::Skipped => judge_unsigned((keyset, policy), &parsed, now),
    };
    let mut explanation = Explanation {
        now,
        checks: vec![
            check_token(&parsed),
            check_issuer(keyset, &parsed),
            check_signature(signature, &outcome),
            check_times(keyset, &parsed, now),
            check_audience(keyset, &parsed),
        ],
        claims: Vec::new(),
        identity: None,
        rules: Vec::new(),
        outcome,
    };
    if let Ok(issuer) = find(keyset, &parsed) {
        match parsed.suppose(issuer) {
            Ok(supposition) => explanation.tell(supposition.claims(), policy),
            Err(error) => explanation.checks.push(Check::fails("identity", &error)),
        }
    }
    explanation
}

/// What [`judge`] does, with a token whose signature nobody has looked at.
fn judge_unsigned(
    (keyset, policy): (&Keyset, &Policy),
    token: &UnverifiedToken,
    now: Timestamp,
) -> Result<Option<String>, IssueError> {
    let issuer = find(keyset, token)?;
    token.check_algorithm(issuer)?;
    token.check_times(now)?;
    token.check_age(issuer, now)?;
    token.check_audience(issuer)?;
    let supposition = token.suppose(issuer)?;
    Identity::from_claims(supposition.claims())?;
    Ok(policy.decide(supposition.claims())?.map(|label| label.to_string()))
}

fn find<'k>(keyset: &'k Keyset, token: &UnverifiedToken) -> Result<&'k Arc<Issuer>, KeysetError> {
    keyset.issuer(token.unverified_issuer())
}

impl Explanation {
    /// Of what is no token nothing else can be told.
    fn unreadable(error: TokenError, now: Timestamp) -> Self {
        Self {
            now,
            checks: vec![Check::fails("token", &error)],
            claims: Vec::new(),
            identity: None,
            rules: Vec::new(),
            outcome: Err(error.into()),
        }
    }

    /// Tells what claims, be they verified or not, would come to.
    fn tell(&mut self, claims: &Claims, policy: &Policy) {
        let identity = Identity::from_claims(claims);
        self.checks.push(check_identity(&identity));
        self.checks.push(check_rules(policy, claims));
        self.identity = identity.ok();
        self.rules = policy.review(claims);
        self.claims = used(claims, &self.rules);
    }
}

impl Check {
    fn holds(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, finding: Finding::Holds, detail: detail.into() }
    }

    fn fails(name: &'static str, error: &impl ToString) -> Self {
        Self { name, finding: Finding::Fails, detail: error.to_string() }
    }

    fn open(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, finding: Finding::Open, detail: detail.into() }
    }
}

fn check_token(token: &UnverifiedToken) -> Check {
    let key = token.key_id().map(|id| format!(" by key {}", quote(id))).unwrap_or_default();
    Check::holds("token", format!("a JWT, signed with {}{key}", token.algorithm()))
}

fn check_issuer(keyset: &Keyset, token: &UnverifiedToken) -> Check {
    match find(keyset, token) {
        Ok(issuer) if issuer.is_pattern() => {
            let (iss, kind) = (token.unverified_issuer(), kind(issuer));
            Check::holds("issuer", format!("{iss} matches {} ({kind})", issuer.url))
        }
        Ok(issuer) => Check::holds("issuer", format!("{} ({})", issuer.url, kind(issuer))),
        Err(unknown) => Check::fails("issuer", &unknown),
    }
}

fn kind(issuer: &Issuer) -> String {
    let name = issuer.kind.name();
    if let Kind::Ci(provider) = &issuer.kind {
        return format!("{name} {}", provider.name);
    }
    name.to_owned()
}

/// Reads off the outcome what became of the signature: it is checked before times and audience.
fn check_signature(signature: Signature, outcome: &Result<Option<String>, IssueError>) -> Check {
    const NAME: &str = "signature";
    match outcome {
        Err(IssueError::Refused(Refusal::Token(
            error @ TokenError::AlgorithmNotAllowed { .. },
        ))) => Check::fails(NAME, error),
        _ if signature == Signature::Skipped => Check::open(NAME, "not checked"),
        Err(IssueError::Refused(Refusal::IssuerUnknown { .. })) => {
            Check::open(NAME, "not checked: nobody here has keys of this issuer")
        }
        Err(IssueError::Refused(Refusal::Token(
            error @ (TokenError::NoSuchKey { .. }
            | TokenError::SignatureInvalid { .. }
            | TokenError::TooManyKeys { .. }),
        ))) => Check::fails(NAME, error),
        Err(IssueError::Failed(Failure::IssuerUnreachable { .. })) => {
            Check::open(NAME, "not checked: the issuer's keys cannot be had")
        }
        Ok(_) | Err(_) => Check::holds(NAME, "by a key of the issuer"),
    }
}

fn check_times(keyset: &Keyset, token: &UnverifiedToken, now: Timestamp) -> Check {
    let age = || find(keyset, token).map_or(Ok(()), |issuer| token.check_age(issuer, now));
    if let Err(error) = token.check_times(now).and_then(|()| age()) {
        return Check::fails("times", &error);
    }
    let time = |claim: &str| {
        let seconds = token.unverified_claim(claim).and_then(Value::as_f64)?;
        Some(Timestamp::from_millis((seconds * 1000.0) as u64))
    };
    let issued = time("iat").map(|at| format!("issued at {at}, ")).unwrap_or_default();
    let until = time("exp").unwrap_or_default();
    let left = until.since(now).as_secs();
    Check::holds("times", format!("{issued}expires at {until}, in {left} s"))
}

fn check_audience(keyset: &Keyset, token: &UnverifiedToken) -> Check {
    const NAME: &str = "audience";
    let Ok(issuer) = find(keyset, token) else {
        return Check::open(NAME, "not checked: which one is right depends on the issuer");
    };
    match token.check_audience(issuer) {
        Ok(()) => {
            let wanted: Vec<_> =
                issuer.audiences.iter().map(|text| quote(text).to_string()).collect();
            Check::holds(NAME, format!("is for {}", wanted.join(" or ")))
        }
        Err(error) => Check::fails(NAME, &error),
    }
}

fn check_identity(identity: &Result<Identity, IdentityError>) -> Check {
    match identity {
        Ok(identity) => Check::holds("identity", identity.san().as_str()),
        Err(error) => Check::fails("identity", error),
    }
}

fn check_rules(policy: &Policy, claims: &Claims) -> Check {
    match policy.decide(claims) {
        Ok(Some(label)) => Check::holds("rules", format!("{} allows this", label.quoted())),
        Ok(None) => Check::holds("rules", "anybody whom this issuer vouches for is allowed"),
        Err(error) => Check::fails("rules", &error),
    }
}

/// The claims of the identity, then those that rules alone look at.
fn used(claims: &Claims, rules: &[Review]) -> Vec<UsedClaim> {
    let value = |claim: &str| {
        let selector = ClaimSelector::parse(claim).ok()?;
        selector.select(claims.members()).cloned()
    };
    let mut all: Vec<UsedClaim> = Vec::new();
    for usage in usages(&claims.issuer().kind) {
        let uses = usage.becomes.into_iter().map(str::to_owned).collect();
        let value = value(&usage.claim);
        all.push(UsedClaim { claim: usage.claim, value, default: usage.default, uses });
    }
    for rule in rules {
        for condition in &rule.conditions {
            let place = format!("{} {}", rule.list.name(), rule.rule);
            match all.iter_mut().find(|used| used.claim == condition.claim) {
                Some(used) if used.uses.last() == Some(&place) => {}
                Some(used) => used.uses.push(place),
                None => all.push(UsedClaim {
                    value: value(&condition.claim),
                    claim: condition.claim.clone(),
                    default: None,
                    uses: vec![place],
                }),
            }
        }
    }
    all
}
