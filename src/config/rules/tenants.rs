//! Rules that say nothing of *whose* tokens they are for, on issuers that give tokens to strangers as well.
//!
//! Attack: `ref: refs/heads/main` fits a repository of the attacker's own, and a namespace called `ci` a
//! cluster of his own.

use crate::config::presets::ISSUER;
use crate::config::reader::Cursor;
use crate::policy::{Pattern, Rule};

/// The tenants of an issuer or a pattern that has several.
pub(in crate::config) struct Tenants<'a> {
    /// the issuer or pattern
    pub url: &'a str,
    /// the claims that tell them apart; the best first
    pub claims: Vec<&'a str>,
}

impl Tenants<'_> {
    /// Warns of a rule that every tenant fits.
    pub fn warn(&self, rule: &Rule, place: &Cursor<'_>) {
        let mut conditions = rule.conditions.iter();
        let is_bound = conditions.any(|(claim, pattern)| self.binds(claim.as_str(), pattern));
        if let Some(claim) = self.claims.first().filter(|_| !is_bound) {
            place.warn(format!(
                "nothing in this rule says whose tokens are meant, and every tenant of {} fits it: add {claim}",
                self.url
            ));
        }
    }

    fn binds(&self, claim: &str, pattern: &Pattern) -> bool {
        if name(claim) == ISSUER {
            // What fits the pattern of issuers itself leaves none of them out.
            return is_someone(pattern) && !pattern.matches(&self.url.into(), true);
        }
        self.claims.iter().any(|known| name(known) == name(claim)) && is_someone(pattern)
    }
}

/// A claim without the slash by which a pointer may name it.
fn name(claim: &str) -> &str {
    claim.strip_prefix('/').unwrap_or(claim)
}

/// Whether a pattern asks for some values of a name, beginning with their beginning.
fn is_someone(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Text(text) => {
            let fixed = text.strip_prefix("*@").unwrap_or(text);
            !text.is_empty() && !is_bare(fixed.split('*').next().unwrap_or_default())
        }
        Pattern::Regex(regex) => {
            let source = regex.as_str();
            let fixed = source.strip_prefix(".*@").unwrap_or(source);
            !is_bare(fixed.split(".*").next().unwrap_or_default())
        }
        Pattern::Any(patterns) => patterns.iter().all(is_someone),
        Pattern::Not(_) => false,
    }
}

/// Whether the beginning of a value is nobody's: nothing, or the word that says what follows (`repo:`).
fn is_bare(beginning: &str) -> bool {
    beginning.is_empty() || beginning.split_once(':').is_some_and(|(_, rest)| rest.is_empty())
}
