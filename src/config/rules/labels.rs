//! What the rules of one issuer are called: refusals, records and pages name a rule by nothing else.

use std::collections::HashMap;

use crate::config::reader::Section;
use crate::policy::{Allow, Rules};
use crate::quote::quote;

/// Warns of a rule that is called what another one is called, by its name or by its position.
pub(super) fn warn(rules: &Rules, section: &Section<'_>) {
    let allow = match &rules.allow {
        Allow::Anybody => &[],
        Allow::Rules(allow) => allow.as_slice(),
    };
    let mut named: HashMap<String, bool> = HashMap::new();
    for (key, rules) in [("allow", allow), ("deny", &rules.deny)] {
        let list = section.get(key).filter(|_| !rules.is_empty());
        let places = list.and_then(|list| list.items()).unwrap_or_default();
        for ((position, rule), place) in rules.iter().enumerate().zip(places) {
            let label = rule.label(position).to_string();
            let is_named = rule.name.is_some();
            if named.get(&label).is_some_and(|other| *other || is_named) {
                place.warn(format!(
                    "another rule of this issuer is called {} too: nobody can tell which of them a \
                     refusal or a record means",
                    quote(&label)
                ));
            }
            *named.entry(label).or_default() |= is_named;
        }
    }
}
