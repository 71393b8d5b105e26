//! Rules that say no.

use mayfly::policy::{Allow, ClaimSelector, Near, Pattern, Policy, PolicyError, Rule, Rules};
use serde_json::json;

use super::{Bite, Outcome};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[tokio::test]
async fn policies() {
    super::check(bites()).await;
}

pub fn bites() -> Vec<Bite> {
    let denied = |why: Option<&str>| PolicyError::Denied {
        issuer: GITHUB.to_owned(),
        rule: "\"no pushes\"".to_owned(),
        why: why.map(str::to_owned),
        claim: "event_name".to_owned(),
        got: "push".to_owned(),
    };
    let near = |rule: &str, claim: &str, wanted: &str, got: &str| {
        Box::new(Near {
            rule: rule.to_owned(),
            why: None,
            claim: claim.to_owned(),
            wanted: wanted.to_owned(),
            got: Some(got.to_owned()),
        })
    };
    let not_allowed = |issuer: &str, nearest| {
        let error = PolicyError::NotAllowed { issuer: issuer.to_owned(), nearest };
        Outcome::new(error, 403, "DENIED_BY_RULE")
    };
    vec![
        Bite::world(
            "github/push",
            |parts| parts.config.policy = denying(None),
            Outcome::new(denied(None), 403, "DENIED_BY_RULE"),
        ),
        Bite::world(
            "github/push",
            |parts| parts.config.policy = denying(Some("releases only")),
            Outcome::new(denied(Some("releases only")), 403, "DENIED_BY_RULE"),
        ),
        Bite::world(
            "github/push",
            |parts| parts.config.policy = Policy::default(),
            not_allowed(GITHUB, None),
        ),
        Bite::ask(
            "google/person",
            |ask| ask.claims["email"] = json!("eve@evil.example"),
            not_allowed(
                "https://accounts.google.com",
                Some(near("rule 1", "email", "*@golden.example", "eve@evil.example")),
            ),
        ),
        Bite::ask(
            "kubernetes/service-account",
            |ask| ask.claims["kubernetes.io"]["namespace"] = json!("prod"),
            not_allowed(
                "https://kubernetes.default.svc",
                Some(near("\"builders\"", "/kubernetes.io/namespace", "ci", "prod")),
            ),
        ),
    ]
}

/// Anybody, but no pushes.
fn denying(why: Option<&str>) -> Policy {
    let selector = ClaimSelector::parse("event_name").expect("a claim");
    let rule = Rule {
        name: Some("no pushes".to_owned()),
        why: why.map(str::to_owned),
        conditions: vec![(selector, Pattern::Text("push".to_owned()))],
    };
    Policy::new(vec![Rules { allow: Allow::Anybody, deny: vec![rule] }])
}
