//! Every rule of an issuer held against one token's claims: what a decision does not need, and a
//! person who asks why does.

use super::lookup::Found;
use super::pattern::shown;
use super::{ClaimSelector, Pattern, Policy, Rule};
use crate::token::Claims;

/// Which of an issuer's lists a rule stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Looked at first; one that matches says no.
    Deny,
    /// The first that matches says yes.
    Allow,
}

impl List {
    /// Its name in `mayfly.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// One rule, held against one token's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Where it stands.
    pub list: List,
    /// What it is called: its name, or `rule 2`.
    pub rule: String,
    /// What it says of itself.
    pub why: Option<String>,
    /// Whether all of its conditions hold.
    pub matches: bool,
    /// Its conditions, in the order of the file.
    pub conditions: Vec<Seen>,
}

/// One condition, held against one token's claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The claim, by name or pointer.
    pub claim: String,
    /// What it should look like.
    pub wanted: String,
    /// What the token has there, fit for a sentence; none where it has nothing.
    pub got: Option<String>,
    /// Whether it does look like that.
    pub holds: bool,
}

impl Policy {
    /// Every rule of the issuer that these claims are of: `deny`, then `allow`, each in file order.
    pub fn review(&self, claims: &Claims) -> Vec<Review> {
        let Some(ready) = self.issuers.get(claims.issuer().id.0) else { return Vec::new() };
        let found = ready.look_up(claims.members());
        let each = |list: List| -> Vec<Review> {
            let numbered = ready.list(list).iter().enumerate();
            numbered.map(|(position, rule)| review((list, position), rule, &found)).collect()
        };
        [each(List::Deny), each(List::Allow)].concat()
    }
}

fn review((list, position): (List, usize), rule: &Rule, found: &Found<'_>) -> Review {
    let seen = |condition: &(ClaimSelector, Pattern)| Seen {
        claim: condition.0.as_str().to_owned(),
        wanted: condition.1.to_string(),
        got: found.get(&condition.0).map(shown),
        holds: found.holds(list, condition),
    };
    Review {
        list,
        rule: rule.label(position).to_string(),
        why: rule.why.clone(),
        matches: found.fulfil(list, &rule.conditions),
        conditions: rule.conditions.iter().map(seen).collect(),
    }
}
