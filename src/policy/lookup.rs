//! The claims that an issuer's rules look at, each looked up once for all of its rules.
//!
//! A thousand rules look at a handful of claims. When the rules are read, each selector gets the number
//! of its claim; when a token comes, the claims are looked up in that order, and a rule's condition
//! finds its claim by number.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::pattern::ClaimSelector;
use super::{Allow, Rule, Rules};

/// Claims that are numbered, for one issuer. Those beyond are looked up by each rule anew.
const MOST: usize = 64;

/// An issuer's rules with their claims numbered.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub rules: Rules,
    /// Each claim once, by its number; [`MOST`] at most.
    selectors: Vec<ClaimSelector>,
}

impl Numbered {
    /// Numbers the claims of `rules`.
    pub fn new(mut rules: Rules) -> Self {
        let mut numbers = HashMap::new();
        let mut selectors = Vec::new();
        let allow: &mut [Rule] = match &mut rules.allow {
            Allow::Anybody => &mut [],
            Allow::Rules(allow) => allow,
        };
        let conditions = rules.deny.iter_mut().chain(allow).flat_map(|rule| &mut rule.conditions);
        for (selector, _) in conditions {
            let next = selectors.len();
            let number = *numbers.entry(selector.as_str().to_owned()).or_insert(next);
            if number == next && next < MOST {
                selectors.push(selector.clone());
            }
            selector.number = u8::try_from(number).ok().filter(|_| number < MOST);
        }
        Self { rules, selectors }
    }

    /// Looks up the claims that the rules look at.
    pub fn look_up<'c>(&self, claims: &'c Map<String, Value>) -> Found<'c> {
        let mut values = [None; MOST];
        for (value, selector) in values.iter_mut().zip(&self.selectors) {
            *value = selector.select(claims);
        }
        Found { claims, values }
    }
}

/// One token's claims, as far as one issuer's rules look at them.
pub(super) struct Found<'c> {
    claims: &'c Map<String, Value>,
    values: [Option<&'c Value>; MOST],
}

impl<'c> Found<'c> {
    /// The claim that a selector of these rules means, if the token has it.
    pub fn get(&self, selector: &ClaimSelector) -> Option<&'c Value> {
        match selector.number.and_then(|number| self.values.get(usize::from(number))) {
            Some(value) => *value,
            None => selector.select(self.claims),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::Pattern;

    #[test]
    fn every_claim_is_found_numbered_or_not() {
        let name = |n: usize| format!("claim{n}");
        let rule = |n: usize| Rule {
            name: None,
            why: None,
            conditions: [n, n + 1]
                .map(|n| (ClaimSelector::parse(&name(n)).unwrap(), Pattern::Text(n.to_string())))
                .into(),
        };
        let rules = Rules {
            deny: (0..2).map(rule).collect(),
            allow: Allow::Rules((1..2 * MOST).map(rule).collect()),
        };
        let numbered = Numbered::new(rules);
        assert_eq!(numbered.selectors.len(), MOST);
        let claims = (0..=2 * MOST).filter(|n| n % 3 > 0).map(|n| (name(n), json!(n))).collect();
        let found = numbered.look_up(&claims);
        let Allow::Rules(allow) = &numbered.rules.allow else { unreachable!() };
        for (selector, _) in numbered.rules.deny.iter().chain(allow).flat_map(|r| &r.conditions) {
            assert_eq!(found.get(selector), claims.get(selector.as_str()), "{selector:?}");
        }
    }
}
