//! What a thousand rules on one issuer cost, beside a whole issuance.
//!
//! `cargo bench --bench rules` prints, in CPU time: an issuance through the real router with the durable
//! log, with a thousand rules of which the last allows; and of that what the decision takes, for rules of
//! several forms. It fails when a decision takes more than [`MOST`] of an issuance.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use mayfly::cli::instance::Running;
use mayfly::time::{Clock, SystemClock};
use mayfly::token::{Claims, UnverifiedToken};

mod support;

use support::{Issuer, in_folder, instance, issue, measure, median, micros};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RULES: usize = 1000;
const ROUNDS: usize = 9;
const IN_FLIGHT: usize = 8;
const EACH: usize = 128;
const DECISIONS: usize = 10_000;

/// The share of an issuance that a thousand rules may take.
const MOST: f64 = 0.05;

/// Name and conditions of rule number {n}, which all but match.
const FORMS: [(&str, &str); 7] = [
    ("a number", "repository_owner_id: \"1{n}\""),
    ("a name", "repository: acme/app{n}"),
    (
        "a name with stars, and a list",
        "ref: [ refs/heads/main, \"refs/tags/v*\" ]\n        repository: \"acme/*{n}\"",
    ),
    ("a pointer, and not", "sub: { not: \"repo:other/*\" }\n        /repository_id: \"{n}\""),
    ("what all ask, and a name", "repository_owner_id: \"9919\"\n        repository: acme/app{n}"),
    ("a list", "repository: [ acme/app{n}, \"acme/*-{n}\" ]"),
    ("a regex", "repository: { regex: \"acme/app-{n}[a-z]*\" }"),
];

fn main() {
    in_folder(run);
}

async fn run(folder: &Path) {
    let issuer = Issuer::new();
    let mut worst: f64 = 0.0;
    for (at, (name, form)) in FORMS.into_iter().enumerate() {
        let folder = folder.join(at.to_string());
        std::fs::create_dir(&folder).expect("a folder");
        let instance = instance(&folder, &issuer, &rules(form));
        let (decision, whole) = settled(&instance, &issuer).await;
        let share = share(decision, whole);
        println!(
            "{RULES} rules on {name:<30} {:>6.1} µs of {:>6.1} µs an issuance: {:>4.1} %",
            micros(decision),
            micros(whole),
            100.0 * share
        );
        worst = worst.max(share);
        instance.authority.logs.close().await;
    }
    let most = 100.0 * MOST;
    assert!(worst < MOST, "over the {most:.0} % of an issuance that rules may take");
    println!("all are within the {most:.0} % that rules may take");
}

/// A thousand rules of a form, and one that allows.
fn rules(form: &str) -> String {
    let mut yaml = String::new();
    for n in 1..RULES {
        writeln!(yaml, "      - {}", form.replace("{n}", &n.to_string())).expect("memory");
    }
    yaml + "      - repository_owner_id: \"9919\"\n"
}

fn share(decision: Duration, whole: Duration) -> f64 {
    decision.as_secs_f64() / whole.as_secs_f64()
}

/// The [`times`]; what is over the bound is measured again: a neighbour in the caches goes away, a slow
/// decision stays slow.
async fn settled(instance: &Running, issuer: &Issuer) -> (Duration, Duration) {
    let mut found = times(instance, issuer).await;
    for _ in 0..2 {
        if share(found.0, found.1) < MOST {
            break;
        }
        found = times(instance, issuer).await;
    }
    found
}

/// CPU time of a decision, and of a whole issuance: by turns, so that a slow moment slows both.
async fn times(instance: &Running, issuer: &Issuer) -> (Duration, Duration) {
    let (router, claims) = (instance.router(), claims(instance, issuer).await);
    let bodies: Vec<String> = (0..IN_FLIGHT).map(|at| issuer.body(at)).collect();
    // Pages, caches and connections first.
    issue(&router, &bodies, EACH).await;
    let (mut decisions, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        decisions.push(measure(DECISIONS, async || decide(instance, &claims)).await);
        let all = IN_FLIGHT * EACH;
        wholes.push(measure(all, async || issue(&router, &bodies, EACH).await).await);
    }
    (median(&mut decisions), median(&mut wholes))
}

/// The claims of a job.
async fn claims(instance: &Running, issuer: &Issuer) -> Claims {
    let token = UnverifiedToken::parse(&issuer.token(0)).expect("a token");
    let verified = instance.authority.trust.load().keyset.verify(token, SystemClock.now()).await;
    verified.expect("a token that holds")
}

fn decide(instance: &Running, claims: &Claims) {
    for _ in 0..DECISIONS {
        assert!(
            black_box(instance.authority.trust.load().policy.decide(black_box(claims))).is_ok()
        );
    }
}
