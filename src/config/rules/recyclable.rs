//! Names that can change hands, in rules that say who may: a warning, with the number that cannot.
//!
//! Who gives up the name of a repository, group or account leaves it to whoever takes it next, and with
//! it whatever a rule allows it. The forges put a number beside each name that is never used again.

use crate::config::reader::Cursor;
use crate::policy::{Pattern, Rule};

/// Claims that hold a name, how the name begins, and the claims any of which pins it down; the best first.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("repository", "", &["repository_id", "repository_owner_id"]),
    ("repository_owner", "", &["repository_owner_id", "repository_id"]),
    ("actor", "", &["actor_id"]),
    ("project_path", "", &["project_id", "namespace_id"]),
    ("namespace_path", "", &["namespace_id", "project_id"]),
    ("user_login", "", &["user_id"]),
    ("organization_slug", "", &["organization_id"]),
    ("sub", "repo:", &["repository_id", "repository_owner_id"]),
    ("sub", "project_path:", &["project_id", "namespace_id"]),
    ("sub", "organization:", &["organization_id"]),
];

/// Warns of each name in `rule` that nothing beside it pins down.
pub(super) fn warn(rule: &Rule, place: &Cursor<'_>) {
    let has = |claim: &&str| rule.conditions.iter().any(|(known, _)| known.as_str() == *claim);
    for (selector, pattern) in &rule.conditions {
        let names = NAMES.iter().filter(|(claim, begins, _)| {
            selector.as_str() == *claim && holds_name(pattern, begins)
        });
        for (claim, _, numbers) in names.filter(|(.., numbers)| !numbers.iter().any(has)) {
            let numbers = numbers.join(" or ");
            place.warn(format!(
                "{claim} is a name, which somebody else may take once it is given up: \
                 add {numbers}, whose number stays"
            ));
        }
    }
}

/// Whether a pattern asks for a name that begins so. `*` alone and `not` name nobody.
fn holds_name(pattern: &Pattern, begins: &str) -> bool {
    match pattern {
        Pattern::Text(text) => text != "*" && text.starts_with(begins),
        Pattern::Regex(regex) => regex.as_str().starts_with(begins),
        Pattern::Any(patterns) => patterns.iter().any(|pattern| holds_name(pattern, begins)),
        Pattern::Not(_) => false,
    }
}
