//! Claims that make no identity.

use std::sync::Arc;

use mayfly::identity::{IdentityError, UrlError};
use mayfly::issuer::{Kind, Older, Provider};
use serde_json::json;

use crate::support::authority::Parts;

use super::{Ask, Bite, Outcome};

const WORKFLOW: &str = "acme/app/.github/workflows/build.yml@refs/heads/main";

#[tokio::test]
async fn identities() {
    super::check(bites()).await;
}

#[track_caller]
fn bite(
    case: &'static str,
    change: fn(&mut Ask),
    error: IdentityError,
    reason: &'static str,
) -> Bite {
    Bite::ask(case, change, Outcome::new(error, 400, reason))
}

pub fn bites() -> Vec<Bite> {
    [claims(), values(), emails(), subjects(), names(), lengths(), urls()]
        .into_iter()
        .flatten()
        .collect()
}

fn claims() -> Vec<Bite> {
    let missing = || IdentityError::ClaimMissing { name: "sha".to_owned() };
    vec![
        bite("github/push", |ask| ask.claims["sha"] = json!(""), missing(), "CLAIM_MISSING"),
        bite("github/push", |ask| ask.claims["sha"] = json!(null), missing(), "CLAIM_MISSING"),
        bite(
            "github/push",
            |ask| ask.claims["sha"] = json!(["a"]),
            IdentityError::ClaimType {
                name: "sha".to_owned(),
                wanted: "text, a whole number or a boolean",
                found: "an array",
            },
            "CLAIM_INVALID",
        ),
        bite(
            "kubernetes/service-account",
            |ask| ask.claims["kubernetes.io"]["serviceaccount"]["name"] = json!("a/b"),
            IdentityError::ClaimValue {
                name: "kubernetes.io.serviceaccount.name".to_owned(),
                wanted: "a Kubernetes name (lower-case letters, digits, `-`)".to_owned(),
                value: "a/b".to_owned(),
            },
            "CLAIM_INVALID",
        ),
    ]
}

/// What GitLab's preset asks of claims that choose a host, or heads and tags.
fn values() -> Vec<Bite> {
    #[track_caller]
    fn value(change: fn(&mut Ask), name: &str, wanted: &str, value: &str) -> Bite {
        let (name, wanted, value) = (name.to_owned(), wanted.to_owned(), value.to_owned());
        let error = IdentityError::ClaimValue { name, wanted, value };
        bite("gitlab/self-managed", change, error, "CLAIM_INVALID")
    }
    let kind = |change, kind| value(change, "ref_type", "branch or tag", kind);
    let own = "text that begins with gitlab.golden.example/";
    let file = |change, file| value(change, "ci_config_ref_uri", own, file);
    vec![
        kind(|ask| ask.claims["ref_type"] = json!("merge_request"), "merge_request"),
        kind(|ask| ask.claims["ref_type"] = json!("Branch"), "Branch"),
        kind(|ask| ask.claims["ref_type"] = json!(true), "true"),
        file(
            |ask| {
                ask.claims["ci_config_ref_uri"] = json!("gitlab.com/acme/app//a.yml@refs/heads/m")
            },
            "gitlab.com/acme/app//a.yml@refs/heads/m",
        ),
        file(
            |ask| ask.claims["ci_config_ref_uri"] = json!("GITLAB.golden.example/x"),
            "GITLAB.golden.example/x",
        ),
        file(
            |ask| ask.claims["ci_config_ref_uri"] = json!("gitlab.golden.example:443/x"),
            "gitlab.golden.example:443/x",
        ),
        file(|ask| ask.claims["ci_config_ref_uri"] = json!("x"), "x"),
    ]
}

fn emails() -> Vec<Bite> {
    let unverified =
        || IdentityError::EmailUnverified { email: "Alice.B+ci@golden.example".to_owned() };
    vec![
        bite(
            "email/person",
            |ask| ask.claims["email_verified"] = json!(false),
            unverified(),
            "EMAIL_UNVERIFIED",
        ),
        bite(
            "email/person",
            |ask| ask.claims["email_verified"] = json!("yes"),
            IdentityError::ClaimValue {
                name: "email_verified".to_owned(),
                wanted: "true or false".to_owned(),
                value: "yes".to_owned(),
            },
            "CLAIM_INVALID",
        ),
        bite(
            "email/person",
            |ask| ask.claims["email"] = json!("alice"),
            IdentityError::EmailInvalid { email: "alice".to_owned() },
            "CLAIM_INVALID",
        ),
    ]
}

fn subjects() -> Vec<Bite> {
    let foreign = |subject: &str, domain: &str| IdentityError::SubjectForeign {
        subject: subject.to_owned(),
        domain: domain.to_owned(),
    };
    vec![
        bite(
            "username/person",
            |ask| ask.claims["sub"] = json!("alice@golden.example"),
            IdentityError::SubjectIsEmail { subject: "alice@golden.example".to_owned() },
            "SUBJECT_INVALID",
        ),
        bite(
            "username/person",
            |ask| ask.claims["sub"] = json!("alice!golden.example"),
            IdentityError::SubjectInvalid {
                subject: "alice!golden.example".to_owned(),
                wanted: "a user name: without `!`, invisible characters, or a space at the beginning or end",
            },
            "SUBJECT_INVALID",
        ),
        bite(
            "spiffe/workload",
            |ask| ask.claims["sub"] = json!("spiffe://other.example/ns/ci/sa/builder"),
            foreign("spiffe://other.example/ns/ci/sa/builder", "trust domain golden.example"),
            "SUBJECT_INVALID",
        ),
        bite(
            "uri/job",
            |ask| ask.claims["sub"] = json!("https://uri.golden.example@evil.example/"),
            foreign("https://uri.golden.example@evil.example/", "https://uri.golden.example"),
            "SUBJECT_INVALID",
        ),
    ]
}

#[track_caller]
fn world(change: fn(&mut Parts), error: IdentityError) -> Bite {
    Bite::world("github/push", change, Outcome::new(error, 400, "IDENTITY_INVALID"))
}

/// What no claim alone can do: the templates must be odd.
fn names() -> Vec<Bite> {
    vec![
        world(
            |parts| provider(parts, |provider| provider.san = None),
            IdentityError::SanEmpty { provider: "github".to_owned() },
        ),
        world(
            |parts| host(parts, "HTTPS://github.com"),
            url(&format!("HTTPS://github.com/{WORKFLOW}"), UrlError::Scheme),
        ),
        world(
            |parts| host(parts, "https://me@github.com"),
            url(&format!("https://me@github.com/{WORKFLOW}"), UrlError::Host),
        ),
        world(
            |parts| {
                provider(parts, |provider| provider.older = Some(&JOINED));
                host(parts, "https://github.com/");
            },
            url(&format!("https://github.com//{WORKFLOW}"), UrlError::Unclean),
        ),
    ]
}

#[track_caller]
fn workflow(change: fn(&mut Ask), text: &str, error: UrlError) -> Bite {
    let error = url(&format!("https://github.com/{text}"), error);
    bite("github/push", change, error, "IDENTITY_INVALID")
}

/// A token of 48 KiB must not become a certificate of 300.
fn lengths() -> Vec<Bite> {
    let too_long = |part, limit| IdentityError::TooLong { part, limit };
    vec![
        bite(
            "github/push",
            |ask| ask.claims["workflow"] = json!("x".repeat(46 * 1024)),
            too_long("github-workflow-name", 8192),
            "IDENTITY_INVALID",
        ),
        bite(
            "github/push",
            |ask| ask.claims["job_workflow_ref"] = json!("x".repeat(2048)),
            too_long("subject alternative name", 2048),
            "IDENTITY_INVALID",
        ),
        bite(
            "github/push",
            |ask| ask.claims["sha"] = json!("x".repeat(7000)),
            IdentityError::TooLarge { limit: 12_288 },
            "IDENTITY_INVALID",
        ),
        bite(
            "kubernetes/service-account",
            |ask| ask.claims["sub"] = json!("x".repeat(8193)),
            too_long("subject", 8192),
            "IDENTITY_INVALID",
        ),
    ]
}

fn urls() -> Vec<Bite> {
    vec![
        workflow(
            |ask| ask.claims["job_workflow_ref"] = json!("acme/a\nb"),
            "acme/a\nb",
            UrlError::Control,
        ),
        workflow(
            |ask| ask.claims["job_workflow_ref"] = json!("acme/100%"),
            "acme/100%",
            UrlError::Escape,
        ),
        workflow(
            |ask| ask.claims["job_workflow_ref"] = json!("acme/a?ä"),
            "acme/a?ä",
            UrlError::NotAscii,
        ),
        workflow(
            |ask| ask.claims["job_workflow_ref"] = json!(format!("{WORKFLOW}#")),
            &format!("{WORKFLOW}#"),
            UrlError::Shared,
        ),
    ]
}

fn url(url: &str, error: UrlError) -> IdentityError {
    IdentityError::Url { url: url.to_owned(), error }
}

/// One of Fulcio's older types, which join URLs from segments, and nothing more.
static JOINED: Older = Older {
    name: "older",
    required: &[],
    optional: &[],
    numbers: &[],
    choices: &[],
    joined: &[],
    san_joined: true,
};

/// Changes what GitHub's templates are.
fn provider(parts: &mut Parts, change: impl FnOnce(&mut Provider)) {
    parts.issuer(|issuer| {
        let Kind::Ci(provider) = &mut issuer.kind else { panic!("not a CI provider") };
        change(Arc::make_mut(provider));
    });
}

/// Changes the repositories' host.
fn host(parts: &mut Parts, url: &str) {
    provider(parts, |provider| provider.constants = vec![("url".to_owned(), url.to_owned())]);
}
