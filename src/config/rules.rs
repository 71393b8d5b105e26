//! `allow` and `deny` of an issuer → [`Rules`].
//!
//! ```yaml
//! allow:
//!   - name: release                    # a rule may name itself, and say why it is there
//!     why: the release team's workflow
//!     repository_owner_id: "9919"      # inside a rule all conditions must hold
//!     ref: [ refs/heads/main, "refs/tags/v*" ]
//! ```
//!
//! A claim that is itself called `name` or `why` is written as a JSON Pointer: `/name`.

use crate::config::node::Value;
use crate::config::reader::{Cursor, Section};
use crate::policy::{Allow, ClaimSelector, Pattern, Rule, Rules};

/// What to write where rules are missing.
const REMEDY: &str = "write `allow: [ { repository_owner_id: \"…\" } ]` with a claim that only your tokens have, or `allow: anybody`";

/// Reads the rules of an issuer; `tenants` says why it must have some.
pub(super) fn read(section: &Section<'_>, tenants: Option<&str>) -> Option<Rules> {
    let allow = match (section.get("allow"), tenants) {
        (Some(allow), _) => read_allow(allow),
        (None, None) => Some(Allow::Anybody),
        (None, Some(tenants)) => {
            section.cursor.refuse(format!("{tenants}, and nothing says who may: {REMEDY}"));
            None
        }
    };
    let deny = section.get("deny").map_or(Some(Vec::new()), read_list);
    Some(Rules { allow: allow?, deny: deny? })
}

fn read_allow(cursor: &Cursor<'_>) -> Option<Allow> {
    match &cursor.node.value {
        Value::Text(text) if text == "anybody" => Some(Allow::Anybody),
        Value::List(items) if items.is_empty() => {
            cursor.refuse(format!("an empty list allows nobody: {REMEDY}"));
            None
        }
        Value::List(_) => read_list(cursor).map(Allow::Rules),
        _ => cursor.expected("`anybody` or a list of rules"),
    }
}

fn read_list(cursor: &Cursor<'_>) -> Option<Vec<Rule>> {
    if !matches!(cursor.node.value, Value::List(_)) {
        return cursor.expected("a list of rules");
    }
    // Collected first: one bad rule must not keep the others from being read.
    let rules: Vec<Option<Rule>> = cursor.items()?.iter().map(read_rule).collect();
    rules.into_iter().collect()
}

fn read_rule(cursor: &Cursor<'_>) -> Option<Rule> {
    if !matches!(cursor.node.value, Value::Map(_)) {
        return cursor.expected("a rule such as `{ repository: acme/app }`");
    }
    let mut rule = Rule { name: None, why: None, conditions: Vec::new() };
    let mut sound = true;
    for (name, member) in cursor.members()? {
        match name.as_str() {
            "name" => rule.name = member.text().map(str::to_owned),
            "why" => rule.why = member.text().map(str::to_owned),
            _ => match selector(&name, &member).zip(pattern(&member)) {
                Some(condition) => rule.conditions.push(condition),
                None => sound = false,
            },
        }
    }
    if sound && rule.conditions.is_empty() {
        cursor.refuse("a rule without conditions matches everybody: name at least one claim");
        return None;
    }
    sound.then_some(rule)
}

/// A claim's name, or a JSON Pointer (RFC 6901), in which `~` is written `~0` and `/` is `~1`.
fn selector(name: &str, member: &Cursor<'_>) -> Option<ClaimSelector> {
    if name.is_empty() {
        member.refuse("expected the name of a claim, got empty text");
        return None;
    }
    let escapes = name.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if name.starts_with('/') && !escapes {
        member.refuse("not a JSON Pointer: write ~0 for ~, and ~1 for / within a name");
        return None;
    }
    Some(ClaimSelector(name.to_owned()))
}

fn pattern(cursor: &Cursor<'_>) -> Option<Pattern> {
    match &cursor.node.value {
        Value::List(items) if items.is_empty() => {
            cursor.refuse("an empty list matches nothing: leave the rule out, or name a value");
            None
        }
        Value::List(_) => {
            let items: Vec<_> = cursor.items()?.iter().map(single).collect();
            items.into_iter().collect::<Option<Vec<_>>>().map(Pattern::Any)
        }
        _ => single(cursor),
    }
}

fn single(cursor: &Cursor<'_>) -> Option<Pattern> {
    match &cursor.node.value {
        Value::Bool(_) | Value::Whole(_) | Value::Text(_) => {
            cursor.node.scalar().map(Pattern::Text)
        }
        Value::Fraction(_) => {
            cursor.refuse("expected text, got a number with a fraction: put it in quotes");
            None
        }
        Value::Map(entries) => {
            let later = ["not", "regex"].into_iter().find(|later| {
                entries.iter().any(|entry| entry.key.value == Value::Text((*later).to_owned()))
            });
            match later {
                Some(later) => {
                    cursor.refuse(format!("`{later}` is not supported yet"));
                    None
                }
                None => cursor.expected("text or a list of texts"),
            }
        }
        Value::Null | Value::List(_) | Value::Tagged => cursor.expected("text or a list of texts"),
    }
}
