//! `allow` and `deny` of an issuer → [`Rules`].
//!
//! ```yaml
//! allow:
//!   - name: release                    # a rule may name itself, and say why it is there
//!     why: the release team's workflow
//!     repository_owner_id: "9919"      # inside a rule all conditions must hold
//!     ref: [ refs/heads/main, "refs/tags/v*" ]
//!     event_name: { not: [ workflow_dispatch, { regex: "pull_request(_[a-z]+)?" } ] }
//! ```
//!
//! A claim that is itself called `name` or `why` is written as a JSON Pointer: `/name`.

use std::sync::Arc;

use crate::config::choice;
use crate::config::node::Value;
use crate::config::presets::Preset;
use crate::config::reader::{Cursor, Section};
use crate::policy::{Allow, Anchored, ClaimSelector, Pattern, Rule, Rules};

mod labels;
mod recyclable;
mod slips;
mod tenants;

pub(super) use tenants::Tenants;

/// What is known of an issuer's claims.
pub(super) struct Claims<'a> {
    /// the claims that a good rule has
    pub advised: Vec<&'a str>,
    /// where strangers get tokens of it, too: what tells them apart
    pub tenants: Option<Tenants<'a>>,
    /// where it has one: what its tokens have
    pub preset: Option<&'a Preset>,
}

impl Claims<'_> {
    /// What to write where rules are missing.
    fn remedy(&self) -> String {
        let conditions: Vec<String> =
            self.advised.iter().map(|claim| format!("{claim}: \"…\"")).collect();
        format!(
            "write `allow: [ {{ {} }} ]` with what only your tokens have, or `allow: anybody`",
            conditions.join(", ")
        )
    }

    /// What is wrong with a claim that no token has.
    fn unknown(&self, name: &str) -> Option<String> {
        self.preset.and_then(|preset| preset.known.complaint(&preset.name, name))
    }

    /// What is odd about a pattern for a claim whose values all begin in another way.
    fn strange(&self, name: &str, pattern: &Pattern) -> Option<String> {
        let mut begins = self.preset?.begins.iter();
        let (_, beginning) = begins.find(|(claim, _)| claim == name)?;
        slips::elsewhere(pattern, beginning)
    }
}

/// Characters that a rule may say of itself: refusals repeat them.
const MAX_WORDS: usize = 200;

/// Words that people write for `anybody`.
const EVERYBODY: &[&str] = &["all", "any", "anyone", "everybody", "everyone"];

/// The way to deny by a claim that is younger than its preset.
const NEWER: &str =
    "(by a claim newer than the preset, deny with `{ not: … }` in every rule of `allow`)";

/// What stands for a claim in a rule.
const PATTERN: &str = "text, a list of texts, `{ not: … }` or `{ regex: … }`";

/// Reads the rules of an issuer; `why` says why it must have some.
pub(super) fn read(section: &Section<'_>, why: Option<&str>, claims: &Claims<'_>) -> Option<Rules> {
    let allow = match (section.get("allow"), why) {
        (Some(allow), _) => read_allow(allow, claims),
        (None, None) => Some(Allow::Anybody),
        (None, Some(why)) => {
            let remedy = claims.remedy();
            section.cursor.fail(format!("{why}, and nothing says who may: {remedy}"))
        }
    };
    let deny = section.get("deny").map_or(Some(Vec::new()), |deny| read_deny(deny, claims));
    let rules = Rules { allow: allow?, deny: deny? };
    labels::warn(&rules, section);
    Some(rules)
}

fn read_allow(cursor: &Cursor<'_>, claims: &Claims<'_>) -> Option<Allow> {
    match (cursor.node.text(), cursor.node.list()) {
        (Some("anybody"), _) => Some(Allow::Anybody),
        (_, Some([])) => cursor.fail(format!("an empty list allows nobody: {}", claims.remedy())),
        (_, Some(_)) => {
            let rules = read_list(cursor, claims, |claim, odd| claim.warn(odd))?;
            for (rule, place) in rules.iter().zip(cursor.items()?) {
                recyclable::warn(rule, &place);
                if let Some(tenants) = &claims.tenants {
                    tenants.warn(rule, &place);
                }
            }
            Some(Allow::Rules(rules))
        }
        (text, _) => {
            let text = text.unwrap_or_default();
            let meant = match EVERYBODY.contains(&text) {
                true => "; did you mean anybody?".to_owned(),
                false => choice::meant(&["anybody"], text),
            };
            let got = cursor.node.kind();
            cursor.fail(format!("expected `anybody` or a list of rules, got {got}{meant}"))
        }
    }
}

fn read_deny(cursor: &Cursor<'_>, claims: &Claims<'_>) -> Option<Vec<Rule>> {
    // Attack: a claim that no token has would deny nobody.
    let rules = read_list(cursor, claims, |claim, wrong| claim.refuse(format!("{wrong} {NEWER}")))?;
    for (rule, place) in rules.iter().zip(cursor.items()?) {
        for (selector, pattern) in &rule.conditions {
            if turns_round(pattern) {
                place.warn(format!(
                    "`not` denies no token that has no {claim} at all: to deny those, too, leave this \
                     out and write `{claim}: …` with what may pass into every rule of `allow`",
                    claim = selector.as_str()
                ));
            }
        }
    }
    Some(rules)
}

fn turns_round(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Not(_) => true,
        Pattern::Any(patterns) => patterns.iter().any(turns_round),
        Pattern::Text(_) | Pattern::Regex(_) => false,
    }
}

/// What is done about a claim that no token has.
type Unknown = fn(&Cursor<'_>, String);

fn read_list(cursor: &Cursor<'_>, claims: &Claims<'_>, unknown: Unknown) -> Option<Vec<Rule>> {
    if cursor.node.list().is_none() {
        return cursor.expected("a list of rules");
    }
    // Collected first: one bad rule must not keep the others from being read.
    let rules: Vec<Option<Rule>> =
        cursor.items()?.iter().map(|item| read_rule(item, claims, unknown)).collect();
    rules.into_iter().collect()
}

fn read_rule(cursor: &Cursor<'_>, claims: &Claims<'_>, unknown: Unknown) -> Option<Rule> {
    if cursor.node.map().is_none() {
        return cursor.expected("a rule such as `{ repository: acme/app }`");
    }
    let mut rule = Rule { name: None, why: None, conditions: Vec::new() };
    let mut sound = true;
    for (name, member) in cursor.members()? {
        match name.as_str() {
            "name" => rule.name = words(&member),
            "why" => rule.why = words(&member),
            _ => match selector(&name, &member).zip(pattern(&member)) {
                Some(condition) => {
                    claims.unknown(&name).into_iter().for_each(|text| unknown(&member, text));
                    let strange = claims.strange(&name, &condition.1);
                    strange.into_iter().for_each(|warning| member.warn(warning));
                    rule.conditions.push(condition);
                }
                None => sound = false,
            },
        }
    }
    if sound && rule.conditions.is_empty() {
        return cursor.fail("a rule without conditions matches everybody: name at least one claim");
    }
    sound.then_some(rule)
}

/// A line of text that sentences repeat.
fn words(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    if text.chars().any(char::is_control) || text.chars().count() > MAX_WORDS {
        return cursor.fail(format!("expected one line of at most {MAX_WORDS} characters"));
    }
    Some(text.to_owned())
}

fn selector(name: &str, member: &Cursor<'_>) -> Option<ClaimSelector> {
    ClaimSelector::parse(name).map_err(|error| member.refuse(error.to_string())).ok()
}

fn pattern(cursor: &Cursor<'_>) -> Option<Pattern> {
    let Some(items) = cursor.node.list() else {
        return single(cursor);
    };
    if items.is_empty() {
        return cursor.fail("an empty list matches nothing: leave the rule out, or name a value");
    }
    let items: Vec<_> = cursor.items()?.iter().map(single).collect();
    let patterns = items.into_iter().collect::<Option<Vec<_>>>()?;
    if let Some(warning) = slips::always_true(&patterns) {
        cursor.warn(warning);
    }
    Some(Pattern::Any(patterns))
}

fn single(cursor: &Cursor<'_>) -> Option<Pattern> {
    match &cursor.node.value {
        Value::Bool(_) | Value::Whole(_) | Value::Text(_) => {
            let text = cursor.node.scalar()?;
            if let Some(placeholder) = slips::placeholder(&text) {
                return cursor.fail(placeholder);
            }
            let odd = slips::stand_in(&text).or_else(|| slips::expression(&text));
            odd.into_iter().for_each(|warning| cursor.warn(warning));
            Some(Pattern::Text(text))
        }
        Value::Fraction(_) => {
            cursor.fail("expected text, got a number with a fraction: put it in quotes")
        }
        Value::Map(_) => composed(cursor),
        Value::Null | Value::List(_) | Value::Tagged => cursor.expected(PATTERN),
    }
}

/// `{ not: … }` or `{ regex: … }`.
fn composed(cursor: &Cursor<'_>) -> Option<Pattern> {
    match cursor.members()?.as_slice() {
        [(name, inner)] if name == "not" => pattern(inner).map(Box::new).map(Pattern::Not),
        [(name, inner)] if name == "regex" => regex(inner),
        _ => cursor.expected(PATTERN),
    }
}

fn regex(cursor: &Cursor<'_>) -> Option<Pattern> {
    let source = cursor.text()?;
    if let Some(placeholder) = slips::placeholder(source) {
        return cursor.fail(placeholder);
    }
    if let Some(warning) = slips::glob(source) {
        cursor.warn(warning);
    }
    match Anchored::parse(source) {
        Ok(regex) => Some(Pattern::Regex(Arc::new(regex))),
        Err(error) => {
            let hint = if source.starts_with('*') { slips::RUN } else { "" };
            cursor.fail(format!("{error}{hint}"))
        }
    }
}
