//! An issuer's rules made ready for decisions: each claim looked up once for all rules, and the
//! conditions of each rule laid side by side, the one that tells most first.
//!
//! A thousand rules look at a handful of claims. When the rules are read, each selector gets the number
//! of its claim; when a token comes, the claims are looked up in that order, and a rule's condition
//! finds its claim by number. Of nearly all rules a decision then reads one condition: it allocates
//! nothing, and costs a few nanoseconds a rule.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::pattern::ClaimSelector;
use super::{Allow, List, Pattern, Rule, Rules};

/// Claims that are numbered, for one issuer. Those beyond are looked up by each rule anew.
const MOST: usize = 64;

/// A claim, and what it must look like.
type Condition = (ClaimSelector, Pattern);

/// Those of one rule, in the order in which a decision asks them.
///
/// Which claim the first of them asks for, and what a text that fits it ends with, stand here once more, side
/// by side for all rules: most are passed over by that alone.
#[derive(Clone, Debug)]
struct Conditions {
    number: Option<u8>,
    ends: Ends,
    all: Box<[Condition]>,
}

/// Octets that a text may end with, by their last six bits: what is not among them does not fit.
#[derive(Clone, Copy, Debug)]
struct Ends(u64);

impl Ends {
    const ANY: Self = Self(u64::MAX);

    const fn only(octet: u8) -> Self {
        Self(1 << (octet % 64))
    }

    /// Those of the texts that fit a pattern.
    fn of(pattern: &Pattern) -> Self {
        match pattern {
            Pattern::Text(text) => match text.as_bytes().last() {
                None | Some(b'*') => Self::ANY,
                Some(octet) => Self::only(*octet),
            },
            Pattern::Any(patterns) => {
                Self(patterns.iter().fold(0, |all, pattern| all | Self::of(pattern).0))
            }
            Pattern::Regex(_) | Pattern::Not(_) => Self::ANY,
        }
    }

    fn may_end(self, text: &str) -> bool {
        text.as_bytes().last().is_none_or(|octet| self.0 & Self::only(*octet).0 > 0)
    }
}

/// An issuer's rules, ready for decisions.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    /// As people wrote them.
    pub rules: Rules,
    /// `deny`, rule by rule.
    deny: Vec<Conditions>,
    /// `allow`, rule by rule; empty where anybody may.
    allow: Vec<Conditions>,
    /// Each claim once, by its number; [`MOST`] at most.
    selectors: Vec<ClaimSelector>,
}

impl Ready {
    /// Numbers the claims of `rules`, and orders their conditions.
    pub fn new(mut rules: Rules) -> Self {
        let mut numbers = HashMap::new();
        let mut selectors = Vec::new();
        let allow: &mut [Rule] = match &mut rules.allow {
            Allow::Anybody => &mut [],
            Allow::Rules(allow) => allow,
        };
        let conditions = rules.deny.iter_mut().chain(&mut *allow);
        for (selector, _) in conditions.flat_map(|rule| &mut rule.conditions) {
            let next = selectors.len();
            let number = *numbers.entry(selector.as_str().to_owned()).or_insert(next);
            if number == next && next < MOST {
                selectors.push(selector.clone());
            }
            selector.number = u8::try_from(number).ok().filter(|_| number < MOST);
        }
        Self { deny: ordered(&rules.deny), allow: ordered(allow), rules, selectors }
    }

    /// One list, as people wrote it; empty where anybody may.
    pub fn list(&self, list: List) -> &[Rule] {
        match (list, &self.rules.allow) {
            (List::Deny, _) => &self.rules.deny,
            (List::Allow, Allow::Rules(rules)) => rules,
            (List::Allow, Allow::Anybody) => &[],
        }
    }

    /// The first rule of a list that matches, and its position.
    pub fn first_match(&self, list: List, found: &Found<'_>) -> Option<(usize, &Rule)> {
        let ready = match list {
            List::Deny => &self.deny,
            List::Allow => &self.allow,
        };
        let position =
            ready.iter().position(|rule| found.may(rule) && found.fulfil(list, &rule.all))?;
        Some((position, self.list(list).get(position)?))
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

/// The conditions of each rule: those first that the fewest rules share, of these the cheapest.
///
/// What all rules ask (the owner, say) the right token and most wrong ones fulfil; what one rule asks
/// alone most tokens fail.
fn ordered(rules: &[Rule]) -> Vec<Conditions> {
    let text = |(selector, pattern): &Condition| format!("{} {pattern:?}", selector.as_str());
    let mut shared: HashMap<String, usize> = HashMap::new();
    for condition in rules.iter().flat_map(|rule| &rule.conditions) {
        *shared.entry(text(condition)).or_default() += 1;
    }
    let conditions = |rule: &Rule| {
        let mut conditions = rule.conditions.clone();
        conditions.sort_by_cached_key(|condition| {
            (shared.get(&text(condition)).copied(), cost(&condition.1))
        });
        let first = conditions.first();
        Conditions {
            number: first.and_then(|(selector, _)| selector.number),
            ends: first.map_or(Ends::ANY, |(_, pattern)| Ends::of(pattern)),
            all: conditions.into_boxed_slice(),
        }
    };
    rules.iter().map(conditions).collect()
}

/// Which patterns are seen to fail sooner than others.
fn cost(pattern: &Pattern) -> u8 {
    match pattern {
        Pattern::Text(text) => u8::from(text.contains('*')),
        Pattern::Regex(_) => 2,
        Pattern::Any(_) => 3,
        Pattern::Not(_) => 4,
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

    /// Whether a rule can hold, by the last octet of the claim that it asks for first.
    fn may(&self, rule: &Conditions) -> bool {
        let value = rule.number.and_then(|number| self.values.get(usize::from(number)));
        match value {
            Some(Some(Value::String(text))) => rule.ends.may_end(text),
            _ => true,
        }
    }

    /// Whether all conditions of a rule hold; a rule without conditions matches nobody.
    pub fn fulfil(&self, list: List, conditions: &[Condition]) -> bool {
        !conditions.is_empty() && conditions.iter().all(|condition| self.holds(list, condition))
    }

    /// Whether one does.
    ///
    /// Attack: who can make an object of a claim would pass each `not` of `allow` and no `deny`.
    pub fn holds(&self, list: List, (selector, pattern): &Condition) -> bool {
        self.get(selector).is_some_and(|value| pattern.matches(value, list == List::Deny))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

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
        let ready = Ready::new(rules);
        assert_eq!(ready.selectors.len(), MOST);
        let claims = (0..=2 * MOST).filter(|n| n % 3 > 0).map(|n| (name(n), json!(n))).collect();
        let found = ready.look_up(&claims);
        let Allow::Rules(allow) = &ready.rules.allow else { unreachable!() };
        for (selector, _) in ready.rules.deny.iter().chain(allow).flat_map(|r| &r.conditions) {
            assert_eq!(found.get(selector), claims.get(selector.as_str()), "{selector:?}");
        }
    }

    #[test]
    fn what_few_rules_ask_and_what_is_cheap_comes_first() {
        let not = Pattern::Not(Box::new(Pattern::Text("x".to_owned())));
        let text = |text: &str| Pattern::Text(text.to_owned());
        let rule = |repository: &str| Rule {
            name: None,
            why: None,
            conditions: [
                ("owner", text("acme")),
                ("actor", not.clone()),
                ("ref", Pattern::Any(vec![text(repository)])),
                ("sub", text(&format!("{repository}*"))),
                ("repository", text(repository)),
            ]
            .map(|(claim, pattern)| (ClaimSelector::parse(claim).unwrap(), pattern))
            .into(),
        };
        let ordered = ordered(&[rule("acme/a"), rule("acme/b")]);
        for conditions in ordered {
            let claims = conditions.all.iter().map(|(selector, _)| selector.as_str());
            assert!(claims.eq(["repository", "sub", "ref", "owner", "actor"]), "{conditions:?}");
        }
    }

    proptest! {
        #[test]
        fn no_rule_that_holds_is_passed_over(
            patterns in prop::collection::vec("[ab*ä]{0,3}", 0..3),
            text in "[abä]{0,3}",
        ) {
            let pattern = Pattern::Any(patterns.into_iter().map(Pattern::Text).collect());
            let fits = pattern.matches(&Value::String(text.clone()), false);
            prop_assert!(!fits || Ends::of(&pattern).may_end(&text));
        }
    }
}
