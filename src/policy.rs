//! The one decision: may this identity have a certificate?
//!
//! ```text
//! deny, in order      one that matches: no, and which
//! allow, in order     the first that matches: yes, and which; "anybody": yes
//! else                no, and the rule that came nearest
//! ```
//!
//! In a rule all conditions must hold; rules are alternatives. A condition on a claim that the token
//! does not have never holds, not even turned round.

use std::fmt;

use crate::identity::Identity;
use crate::issuer::IssuerId;
use crate::possession::ProvenKey;
use crate::quote::quote;
use crate::token::Claims;

mod pattern;

pub use pattern::{ClaimSelector, Pattern, SelectorError};

/// The rules of every issuer.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rules>,
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
        Self { rules }
    }

    /// The rules of one issuer; an issuer without rules allows nobody.
    pub fn rules(&self, issuer: IssuerId) -> Option<&Rules> {
        self.rules.get(issuer.0)
    }

    /// Decides, and keeps with the yes what a record needs.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Denied`] names the rule that denies, [`PolicyError::NotAllowed`] the allow rule
    /// that came nearest.
    pub fn grant(
        &self,
        claims: &Claims,
        identity: Identity,
        key: ProvenKey,
    ) -> Result<Grant, PolicyError> {
        let rule = self.decide(claims)?.map(|label| label.to_string());
        let issuer = claims.issuer();
        let token_id = claims.get("jti").and_then(serde_json::Value::as_str).map(str::to_owned);
        let (kind, issuer) = (issuer.kind.name(), claims.iss().to_owned());
        Ok(Grant { identity, key, issuer, kind, rule, token_id })
    }

    /// The rule that allows; none where anybody may. What `grant` asks, without spending anything.
    ///
    /// # Errors
    ///
    /// As [`Policy::grant`].
    pub fn decide(&self, claims: &Claims) -> Result<Option<Label<'_>>, PolicyError> {
        let Some(rules) = self.rules(claims.issuer().id) else {
            return Err(PolicyError::NotAllowed { issuer: claims.iss().to_owned(), nearest: None });
        };
        if let Some((position, rule)) = first_match(&rules.deny, claims) {
            return Err(PolicyError::denied(claims, rule.label(position), rule));
        }
        match &rules.allow {
            Allow::Anybody => Ok(None),
            Allow::Rules(allow) => match first_match(allow, claims) {
                Some((position, rule)) => Ok(Some(rule.label(position))),
                None => Err(PolicyError::not_allowed(claims, allow)),
            },
        }
    }
}

fn first_match<'r>(rules: &'r [Rule], claims: &Claims) -> Option<(usize, &'r Rule)> {
    rules.iter().enumerate().find(|(_, rule)| rule.matches(claims))
}

impl Rule {
    /// Whether every condition holds.
    pub fn matches(&self, claims: &Claims) -> bool {
        !self.conditions.is_empty() && self.failures(claims).next().is_none()
    }

    /// The conditions that do not hold.
    pub fn failures(&self, claims: &Claims) -> impl Iterator<Item = &(ClaimSelector, Pattern)> {
        self.conditions.iter().filter(|(selector, pattern)| {
            !selector.select(claims.members()).is_some_and(|value| pattern.matches(value))
        })
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
    fn quoted(self) -> String {
        match self {
            Self::Name(name) => quote(name).to_string(),
            position @ Self::Position(_) => position.to_string(),
        }
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

/// Why there is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A deny rule matches.
    #[error("a rule of issuer {issuer} denies this: {rule} ({because})")]
    Denied {
        /// The token's `iss`.
        issuer: String,
        /// The rule, as a sentence has it.
        rule: String,
        /// What the rule says of itself, or the claim that it looks at.
        because: String,
    },
    /// No allow rule matches.
    #[error("no rule of issuer {issuer} allows this{}", hint(nearest.as_ref()))]
    NotAllowed {
        /// The token's `iss`.
        issuer: String,
        /// The rule with the fewest conditions that fail; none where there are no rules.
        nearest: Option<Near>,
    },
}

impl PolicyError {
    fn denied(claims: &Claims, label: Label<'_>, rule: &Rule) -> Self {
        let first = rule.conditions.first().and_then(|(selector, _)| {
            let value = selector.select(claims.members())?;
            Some(format!("{} is {}", selector.as_str(), pattern::shown(value)))
        });
        Self::Denied {
            issuer: claims.iss().to_owned(),
            rule: label.quoted(),
            because: rule.why.clone().or(first).unwrap_or_default(),
        }
    }

    fn not_allowed(claims: &Claims, rules: &[Rule]) -> Self {
        let usable = rules.iter().enumerate().filter(|(_, rule)| !rule.conditions.is_empty());
        let fewest = usable.min_by_key(|(_, rule)| rule.failures(claims).count());
        let nearest = fewest.and_then(|(position, rule)| {
            let (selector, wanted) = rule.failures(claims).next()?;
            Some(Near {
                rule: rule.label(position).quoted(),
                claim: selector.as_str().to_owned(),
                wanted: wanted.to_string(),
                got: selector.select(claims.members()).map(pattern::shown),
            })
        });
        Self::NotAllowed { issuer: claims.iss().to_owned(), nearest }
    }
}

fn hint(nearest: Option<&Near>) -> String {
    nearest.map(Near::to_string).unwrap_or_default()
}

/// The allow rule that came nearest, and the first of its conditions that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The rule, as a sentence has it.
    pub rule: String,
    /// The claim.
    pub claim: String,
    /// What it should look like.
    pub wanted: String,
    /// What the token has there, fit for a sentence; none where it has nothing.
    pub got: Option<String>,
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, claim, wanted, got } = self;
        match got {
            Some(got) => write!(f, ": {rule} wants {claim} {wanted}, got {got}"),
            None => write!(f, ": {rule} wants {claim} {wanted}, which the token does not have"),
        }
    }
}

#[cfg(test)]
mod tests;
