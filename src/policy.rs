//! The one decision: may this identity have a certificate?
//!
//! ```text
//! deny, in order      one that matches: no, and which
//! allow, in order     the first that matches: yes, and which; "anybody": yes
//! else                no, and the rule that came nearest
//! ```
//!
//! In a rule all conditions must hold; rules are alternatives. A condition on a claim that the token
//! does not have never holds, not even turned round; one on a claim that cannot be compared (an object,
//! an array inside an array, a number too large to be exact) never holds in `allow` and always in `deny`.

use std::fmt;

use crate::identity::Identity;
use crate::issuer::IssuerId;
use crate::possession::ProvenKey;
use crate::quote::quote;
use crate::token::Claims;

mod error;
mod lookup;
mod pattern;
mod review;

use lookup::{Found, Ready};

pub use error::{Near, PolicyError};
pub use pattern::{Anchored, ClaimSelector, Pattern, RegexError, SelectorError};
pub use review::{List, Review, Seen};

/// The rules of every issuer.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    issuers: Vec<Ready>,
}

/// An issuer's rules.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may.
    pub allow: Allow,
    /// Who may not, whatever `allow` says.
    pub deny: Vec<Rule>,
}

/// Who may have a certificate.
#[derive(Clone, Debug)]
pub enum Allow {
    /// Whoever the issuer vouches for.
    Anybody,
    /// Whoever one of these rules matches.
    Rules(Vec<Rule>),
}

/// Conditions that must all hold. A rule without conditions matches nobody.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is called in refusals, records and pages.
    pub name: Option<String>,
    /// Why it is there.
    pub why: Option<String>,
    /// Which claim must look like what.
    pub conditions: Vec<(ClaimSelector, Pattern)>,
}

impl Policy {
    /// Takes the rules of every issuer, in the order of their [`IssuerId`]s.
    pub fn new(rules: Vec<Rules>) -> Self {
        Self { issuers: rules.into_iter().map(Ready::new).collect() }
    }

    /// The rules of one issuer; an issuer without rules allows nobody.
    pub fn rules(&self, issuer: IssuerId) -> Option<&Rules> {
        self.issuers.get(issuer.0).map(|ready| &ready.rules)
    }

    /// What the rules say of what a verified token says; the key is still to come.
    pub fn judge(&self, claims: Claims, identity: Identity) -> Judgement {
        let decision = self.decide(&claims).map(|label| label.map(|label| label.to_string()));
        Judgement { claims, identity, decision }
    }

    /// The rule that allows; none where anybody may.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Denied`] names the rule that denies, [`PolicyError::NotAllowed`] the allow rule
    /// that came nearest.
    pub fn decide(&self, claims: &Claims) -> Result<Option<Label<'_>>, PolicyError> {
        let Some(ready) = self.issuers.get(claims.issuer().id.0) else {
            return Err(PolicyError::NotAllowed { issuer: claims.iss().to_owned(), nearest: None });
        };
        let found = ready.look_up(claims.members());
        if let Some((position, rule)) = ready.first_match(List::Deny, &found) {
            return Err(PolicyError::denied(claims.iss(), rule, (position, &found)));
        }
        if matches!(ready.rules.allow, Allow::Anybody) {
            return Ok(None);
        }
        match ready.first_match(List::Allow, &found) {
            Some((position, rule)) => Ok(Some(rule.label(position))),
            None => Err(PolicyError::not_allowed(claims.iss(), ready.list(List::Allow), &found)),
        }
    }
}

impl Rule {
    /// The conditions of a rule of `allow` that do not hold, in the order of the file.
    fn failures(&self, found: &Found<'_>) -> impl Iterator<Item = &(ClaimSelector, Pattern)> {
        self.conditions.iter().filter(|condition| !found.holds(List::Allow, condition))
    }

    /// What to call the rule that stands at `position`, counted from 0.
    pub fn label(&self, position: usize) -> Label<'_> {
        self.name.as_deref().map_or(Label::Position(position + 1), Label::Name)
    }
}

/// What a rule is called: its name, or where it stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    /// Its own name.
    Name(&'a str),
    /// `rule 2`.
    Position(usize),
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Position(position) => write!(f, "rule {position}"),
        }
    }
}

impl Label<'_> {
    /// The label as a sentence has it: names in quotes.
    pub fn quoted(self) -> String {
        match self {
            Self::Name(name) => quote(name).to_string(),
            position @ Self::Position(_) => position.to_string(),
        }
    }
}

/// What the rules say of a verified token, before its bearer has proven to hold a key.
#[derive(Debug)]
pub struct Judgement {
    claims: Claims,
    identity: Identity,
    decision: Result<Option<String>, PolicyError>,
}

impl Judgement {
    /// Who may have the certificate, or may not.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The rule that allows, none where anybody may; or why there will be no grant.
    ///
    /// # Errors
    ///
    /// As [`Policy::decide`].
    pub fn decision(&self) -> Result<Option<&str>, &PolicyError> {
        self.decision.as_ref().map(Option::as_deref)
    }

    /// The yes, for the key that its bearer holds; keeps what a record needs.
    ///
    /// # Errors
    ///
    /// As [`Policy::decide`].
    pub fn grant(self, key: ProvenKey) -> Result<Grant, PolicyError> {
        let Self { claims, identity, decision } = self;
        let rule = decision?;
        let issuer = claims.issuer();
        let token_id = claims.get("jti").and_then(serde_json::Value::as_str).map(str::to_owned);
        let (kind, issuer) = (issuer.kind.name(), claims.iss().to_owned());
        Ok(Grant { identity, key, issuer, kind, rule, token_id })
    }
}

/// Policy's yes.
#[derive(Clone, Debug)]
pub struct Grant {
    identity: Identity,
    key: ProvenKey,
    issuer: String,
    kind: &'static str,
    rule: Option<String>,
    token_id: Option<String>,
}

impl Grant {
    /// Who may have the certificate.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key that it is for.
    pub fn key(&self) -> &ProvenKey {
        &self.key
    }

    /// The token's `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The kind of issuer, in Fulcio's words.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The rule that allowed it, by name or position; none where anybody may.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// The token's `jti`, if it has one.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }
}

#[cfg(test)]
mod tests;
