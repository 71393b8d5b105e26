//! Decisions and the sentences that explain them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::issuer::Issuer;

fn claims(extra: Value) -> Claims {
    let mut members = json!({ "iss": "https://ci.example", "sub": "job" });
    let members = members.as_object_mut().unwrap();
    members.extend(extra.as_object().unwrap().clone());
    Claims::assumed(Arc::new(Issuer::assumed("https://ci.example")), members.clone())
}

fn rule(name: Option<&str>, conditions: &[(&str, &str)]) -> Rule {
    let condition = |(claim, text): &(&str, &str)| {
        (ClaimSelector::parse(claim).unwrap(), Pattern::Text((*text).to_owned()))
    };
    Rule {
        name: name.map(str::to_owned),
        why: None,
        conditions: conditions.iter().map(condition).collect(),
    }
}

fn policy(allow: Allow, deny: Vec<Rule>) -> Policy {
    Policy::new(vec![Rules { allow, deny }])
}

#[track_caller]
fn allowed(policy: &Policy, extra: Value, by: Option<Label<'_>>) {
    assert_eq!(policy.decide(&claims(extra)), Ok(by));
}

#[track_caller]
fn refused(policy: &Policy, extra: Value, sentence: &str) {
    let error = policy.decide(&claims(extra)).unwrap_err();
    assert_eq!(error.to_string(), sentence);
}

#[test]
fn anybody_is_anybody() {
    allowed(&policy(Allow::Anybody, Vec::new()), json!({}), None);
}

#[test]
fn the_first_rule_that_matches_allows() {
    let policy = policy(
        Allow::Rules(vec![
            rule(Some("main"), &[("ref", "refs/heads/main"), ("event", "push")]),
            rule(None, &[("ref", "refs/heads/*")]),
            rule(Some("late"), &[("ref", "*")]),
        ]),
        Vec::new(),
    );
    let main = json!({ "ref": "refs/heads/main", "event": "push" });
    allowed(&policy, main, Some(Label::Name("main")));
    allowed(&policy, json!({ "ref": "refs/heads/main" }), Some(Label::Position(2)));
    allowed(&policy, json!({ "ref": "refs/tags/v1" }), Some(Label::Name("late")));
}

#[test]
fn deny_comes_first() {
    let mut denied = rule(Some("no-forks"), &[("event", "pull_request_target")]);
    let event = || json!({ "event": "pull_request_target" });
    let all = || Allow::Rules(vec![rule(None, &[("sub", "*")])]);
    refused(
        &policy(all(), vec![denied.clone()]),
        event(),
        "a rule of issuer https://ci.example denies this: \"no-forks\" (event is pull_request_target)",
    );
    denied.why = Some("it runs the code of strangers".to_owned());
    refused(
        &policy(Allow::Anybody, vec![rule(None, &[("event", "x")]), denied.clone()]),
        event(),
        "a rule of issuer https://ci.example denies this: \"no-forks\" (it runs the code of strangers)",
    );
    denied.name = None;
    refused(
        &policy(Allow::Anybody, vec![rule(None, &[("event", "x")]), denied]),
        event(),
        "a rule of issuer https://ci.example denies this: rule 2 (it runs the code of strangers)",
    );
}

#[test]
fn the_nearest_rule_is_named_with_what_it_wants() {
    let policy = policy(
        Allow::Rules(vec![
            rule(None, &[("owner", "acme"), ("ref", "refs/heads/main"), ("runner", "hosted")]),
            rule(Some("release"), &[("owner", "acme"), ("ref", "refs/tags/v*")]),
        ]),
        Vec::new(),
    );
    refused(
        &policy,
        json!({ "owner": "acme", "ref": "refs/heads/dev" }),
        "no rule of issuer https://ci.example allows this: \"release\" wants ref refs/tags/v*, \
         got refs/heads/dev",
    );
    refused(
        &policy,
        json!({ "owner": "acme", "ref": "refs/heads/main", "runner": "our\nown" }),
        "no rule of issuer https://ci.example allows this: rule 1 wants runner hosted, got \"our\\nown\"",
    );
    refused(
        &policy,
        json!({ "owner": "acme" }),
        "no rule of issuer https://ci.example allows this: \"release\" wants ref refs/tags/v*, \
         which the token does not have",
    );
}

#[test]
fn a_rule_says_why_it_is_there() {
    let mut release = rule(Some("release"), &[("ref", "refs/tags/v*")]);
    release.why = Some("tags only".to_owned());
    refused(
        &policy(Allow::Rules(vec![release]), Vec::new()),
        json!({ "ref": "refs/heads/dev" }),
        "no rule of issuer https://ci.example allows this: \"release\" (tags only) wants ref \
         refs/tags/v*, got refs/heads/dev",
    );
}

#[test]
fn a_review_holds_every_rule_against_the_claims() {
    let policy = policy(
        Allow::Rules(vec![
            rule(Some("tags"), &[("owner", "acme"), ("ref", "refs/tags/*")]),
            rule(None, &[("ref", "*")]),
            rule(None, &[]),
        ]),
        vec![rule(Some("forks"), &[("event", "pull_request_target")])],
    );
    let review = policy.review(&claims(json!({ "owner": "acme", "ref": "refs/heads/a" })));
    let told: Vec<_> = review.iter().map(|r| (r.list.name(), r.rule.as_str(), r.matches)).collect();
    assert_eq!(
        told,
        [
            ("deny", "forks", false),
            ("allow", "tags", false),
            ("allow", "rule 2", true),
            ("allow", "rule 3", false),
        ]
    );
    let holds: Vec<_> = review[1].conditions.iter().map(|seen| seen.holds).collect();
    assert_eq!(holds, [true, false]);
    assert_eq!(review[1].conditions[1].got.as_deref(), Some("refs/heads/a"));
    assert_eq!(review[0].conditions[0].got, None);
}

#[test]
fn a_claim_that_is_missing_never_matches() {
    let not = |claim: &str| Rule {
        conditions: vec![(
            ClaimSelector::parse(claim).unwrap(),
            Pattern::Not(Box::new(Pattern::Text("x".to_owned()))),
        )],
        ..rule(None, &[])
    };
    let policy = policy(Allow::Rules(vec![not("environment")]), Vec::new());
    let sentence = "no rule of issuer https://ci.example allows this: rule 1 wants environment \
                    other than x, which the token does not have";
    refused(&policy, json!({}), sentence);
    refused(&policy, json!({ "environment": null }), sentence);
    allowed(&policy, json!({ "environment": "y" }), Some(Label::Position(1)));
}

#[test]
fn a_claim_that_cannot_be_compared_is_not_allowed_and_is_denied() {
    let text = |text: &str| Pattern::Text(text.to_owned());
    let not = |pattern: Pattern| Pattern::Not(Box::new(pattern));
    let on = |pattern: Pattern| Rule {
        conditions: vec![(ClaimSelector::parse("group").unwrap(), pattern)],
        ..rule(None, &[])
    };
    for pattern in [text("ops"), text("*"), not(text("ops")), not(not(text("ops")))] {
        for group in [json!({ "a": "ops" }), json!([["ops"]]), json!(1e300)] {
            let claims = claims(json!({ "group": group }));
            let allow = policy(Allow::Rules(vec![on(pattern.clone())]), Vec::new());
            assert!(allow.decide(&claims).is_err(), "allow {pattern}");
            assert!(!allow.review(&claims)[0].matches, "allow {pattern}");
            let deny = policy(Allow::Anybody, vec![on(pattern.clone())]);
            assert!(deny.decide(&claims).is_err(), "deny {pattern}");
            assert!(deny.review(&claims)[0].matches, "deny {pattern}");
        }
    }
    refused(
        &policy(Allow::Rules(vec![on(not(text("ops")))]), Vec::new()),
        json!({ "group": { "a": "ops" } }),
        "no rule of issuer https://ci.example allows this: rule 1 wants group other than ops, got an object",
    );
}

#[test]
fn without_rules_or_conditions_nobody_may() {
    let sentence = "no rule of issuer https://ci.example allows this";
    refused(&policy(Allow::Rules(Vec::new()), Vec::new()), json!({}), sentence);
    refused(&policy(Allow::Rules(vec![rule(None, &[])]), Vec::new()), json!({}), sentence);
    refused(&Policy::default(), json!({}), sentence);
    allowed(&policy(Allow::Anybody, vec![rule(None, &[])]), json!({}), None);
}
