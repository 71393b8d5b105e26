//! Why the rules say no, as sentences that name the rule, the claim and the value.

use std::fmt;

use super::lookup::Found;
use super::pattern::shown;
use super::{ClaimSelector, Rule};

/// Why there is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A deny rule matches.
    #[error("a rule of issuer {issuer} denies this: {rule} ({})", because(why.as_ref(), claim, got))]
    Denied {
        /// The token's `iss`.
        issuer: String,
        /// The rule, as a sentence has it.
        rule: String,
        /// What the rule says of itself.
        why: Option<String>,
        /// The first claim that it looks at.
        claim: String,
        /// What the token has there, fit for a sentence.
        got: String,
    },
    /// No allow rule matches.
    #[error("no rule of issuer {issuer} allows this{}", hint(nearest.as_deref()))]
    NotAllowed {
        /// The token's `iss`.
        issuer: String,
        /// The rule with the fewest conditions that fail; none where there are no rules.
        nearest: Option<Box<Near>>,
    },
}

impl PolicyError {
    pub(super) fn denied(
        issuer: &str,
        rule: &Rule,
        (position, found): (usize, &Found<'_>),
    ) -> Self {
        let first = rule.conditions.first().map(|(selector, _)| selector);
        Self::Denied {
            issuer: issuer.to_owned(),
            rule: rule.label(position).quoted(),
            why: rule.why.clone(),
            claim: first.map(ClaimSelector::as_str).unwrap_or_default().to_owned(),
            got: first.and_then(|first| found.get(first)).map(shown).unwrap_or_default(),
        }
    }

    pub(super) fn not_allowed(issuer: &str, rules: &[Rule], found: &Found<'_>) -> Self {
        let usable = rules.iter().enumerate().filter(|(_, rule)| !rule.conditions.is_empty());
        let fewest = usable.min_by_key(|(_, rule)| rule.failures(found).count());
        let nearest = fewest.and_then(|(position, rule)| {
            let (selector, wanted) = rule.failures(found).next()?;
            Some(Box::new(Near {
                rule: rule.label(position).quoted(),
                why: rule.why.clone(),
                claim: selector.as_str().to_owned(),
                wanted: wanted.to_string(),
                got: found.get(selector).map(shown),
            }))
        });
        Self::NotAllowed { issuer: issuer.to_owned(), nearest }
    }
}

fn because(why: Option<&String>, claim: &str, got: &str) -> String {
    why.cloned().unwrap_or_else(|| format!("{claim} is {got}"))
}

fn hint(nearest: Option<&Near>) -> String {
    nearest.map(Near::to_string).unwrap_or_default()
}

/// The allow rule that came nearest, and the first of its conditions that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The rule, as a sentence has it.
    pub rule: String,
    /// What the rule says of itself.
    pub why: Option<String>,
    /// The claim.
    pub claim: String,
    /// What it should look like.
    pub wanted: String,
    /// What the token has there, fit for a sentence; none where it has nothing.
    pub got: Option<String>,
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, why, claim, wanted, got } = self;
        write!(f, ": {rule}")?;
        if let Some(why) = why {
            write!(f, " ({why})")?;
        }
        match got {
            Some(got) => write!(f, " wants {claim} {wanted}, got {got}"),
            None => write!(f, " wants {claim} {wanted}, which the token does not have"),
        }
    }
}
