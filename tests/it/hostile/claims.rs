//! Tokens that are signed well, and say too little, too much or the wrong thing.

use serde_json::{Value, json};
use x509_parser::asn1_rs::{FromDer, Utf8String};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::support::issuer::{Alg, FakeIssuer};

use super::bench::{ALICE, Answer, Bench, ask, mail, now, whole, with, without};
use super::{Expect, Row};

#[tokio::test(flavor = "multi_thread")]
async fn who_says_the_wrong_thing_is_withstood() {
    super::withstand(rows()).await;
}

pub fn rows() -> Vec<Row> {
    use Expect::{Issued, TokenRefused};
    vec![
        Row::ask("TM-001", TokenRefused, "expired", |bench| {
            alice(bench, "exp", json!(now() - 3600))
        }),
        Row::ask("TM-004a", TokenRefused, "\"exp\" is not a number", |bench| {
            alice(bench, "exp", json!("9999999999"))
        }),
        Row::ask("TM-006", TokenRefused, "not valid yet", |bench| {
            alice(bench, "nbf", json!(now() + 3600))
        }),
        Row::ask("AU-001", TokenRefused, "for audience \"wrong\"", |bench| {
            alice(bench, "aud", json!("wrong"))
        }),
        Row::ask("AU-010", TokenRefused, "for audience \"sigstore.evil\"", |bench| {
            alice(bench, "aud", json!("sigstore.evil"))
        }),
        Row::ask("SE-001", TokenRefused, "not verified", |bench| {
            alice(bench, "email_verified", json!(false))
        }),
        Row::ask("SE-008a", TokenRefused, "not an e-mail address", |bench| {
            let both = "alice@hostile.test\nbob@hostile.test";
            ask(&bench.token(with(mail(&bench.issuer, "/mail"), "email", both)), both)
        }),
        Row::ask("SR-002f", TokenRefused, "not of https://localhost", |bench| {
            let sub = "https://localhost@evil.test/x";
            let claims = json!({ "iss": bench.issuer.url() + "/uri", "sub": sub });
            ask(&bench.token(claims), sub)
        }),
        Row::ask("SK-002", TokenRefused, "no claim \"kubernetes.io\"", |bench| {
            let sub = "system:serviceaccount:builds:signer";
            let claims = json!({ "iss": bench.issuer.url() + "/k8s", "sub": sub });
            ask(&bench.token(claims), sub)
        }),
        Row::course("SC-001", Issued, "", |bench| Box::pin(job(bench))),
        Row::ask(
            "SC-010-job_workflow_ref",
            TokenRefused,
            "no claim \"job_workflow_ref\"",
            |bench| {
                let claims = without(workflow(&bench.issuer), "job_workflow_ref");
                ask(&bench.token(claims), SUBJECT)
            },
        ),
    ]
}

/// A request of Alice's with this one claim wrong.
fn alice(bench: &Bench, name: &str, value: Value) -> Value {
    let claims = with(whole(mail(&bench.issuer, "/mail")), name, value);
    ask(&bench.issuer.sign(Alg::Es256, json!({}), claims), ALICE)
}

const SUBJECT: &str = "repo:acme/app:ref:refs/heads/main";

/// A job of GitHub's in a workflow that it shares with others.
fn workflow(issuer: &FakeIssuer) -> Value {
    json!({
        "iss": issuer.url() + "/ci", "sub": SUBJECT,
        "event_name": "push", "sha": "5b".repeat(20), "workflow": "release",
        "repository": "acme/app", "ref": "refs/heads/main",
        "job_workflow_ref": "shared/flows/.github/workflows/build.yml@refs/tags/v2",
        "job_workflow_sha": "a7".repeat(20), "runner_environment": "github-hosted",
        "repository_id": "1296269", "repository_owner": "acme", "repository_owner_id": "9919",
        "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
        "workflow_sha": "c3".repeat(20), "run_id": "4242", "run_attempt": "3",
        "repository_visibility": "private",
    })
}

/// What stands in the certificate's extensions 1.3.6.1.4.1.57264.1.*, by the last number.
fn extensions(issuer: &str) -> Vec<(u64, String)> {
    let signer = "https://github.com/shared/flows/.github/workflows/build.yml@refs/tags/v2";
    let config = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main";
    let run = "https://github.com/acme/app/actions/runs/4242/attempts/3";
    let (sha, signers, configs) = ("5b".repeat(20), "a7".repeat(20), "c3".repeat(20));
    [
        (1, issuer),
        (2, "push"),
        (3, &sha),
        (4, "release"),
        (5, "acme/app"),
        (6, "refs/heads/main"),
        (8, issuer),
        (9, signer),
        (10, &signers),
        (11, "github-hosted"),
        (12, "https://github.com/acme/app"),
        (13, &sha),
        (14, "refs/heads/main"),
        (15, "1296269"),
        (16, "https://github.com/acme"),
        (17, "9919"),
        (18, config),
        (19, &configs),
        (20, "push"),
        (21, run),
        (22, "private"),
        (24, SUBJECT),
    ]
    .map(|(number, text)| (number, text.to_owned()))
    .into()
}

/// The good one: name and every extension are exact.
async fn job(bench: &Bench) -> Answer {
    let answer = bench.post(&ask(&bench.token(workflow(&bench.issuer)), SUBJECT)).await;
    let der = answer.certificate().unwrap_or_else(|| panic!("SC-001: {answer:?}"));
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    let names = certificate.subject_alternative_name().expect("readable").expect("a name");
    let signer = "https://github.com/shared/flows/.github/workflows/build.yml@refs/tags/v2";
    assert_eq!(names.value.general_names, [GeneralName::URI(signer)], "SC-001");
    let mut found = Vec::new();
    for extension in certificate.extensions() {
        let id = extension.oid.to_id_string();
        let number = id.strip_prefix("1.3.6.1.4.1.57264.1.").and_then(|last| last.parse().ok());
        if let Some(number) = number {
            found.push((number, text(number, extension.value)));
        }
    }
    found.sort();
    assert_eq!(found, extensions(&format!("{}/ci", bench.issuer.url())), "SC-001");
    answer
}

/// The first six are bare text, the others UTF8String.
fn text(number: u64, value: &[u8]) -> String {
    if number < 8 {
        return String::from_utf8(value.to_vec()).expect("UTF-8");
    }
    let (rest, text) = Utf8String::from_der(value).expect("a UTF8String");
    assert!(rest.is_empty(), "SC-001: more behind it");
    text.string()
}
