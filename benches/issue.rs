//! What an issuance costs beside its five signatures.
//!
//! `cargo bench` prints, from one run and in CPU time: the floor (RS256 verify, P-256 verify, three P-256
//! signatures), the whole issuance through the real router with the durable log, and the share that the
//! floor has of it. Rounds of both alternate, so that a machine that slows down slows both.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mayfly::cli::bench::cpu;
use mayfly::token::UnverifiedToken;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use mayfly::cli::bench::floor::Floor;
use tokio::task::JoinSet;
use tokio::time::Instant;

mod support;

use support::{Issuer, in_folder, instance, issue, measure, median, micros, one};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const IN_FLIGHT: usize = 16;
const EACH: usize = 128;
const FLOORS: usize = 2000;
const RULE: &str =
    "      - repository_owner_id: \"9919\"\n        ref: [ refs/heads/main, \"refs/tags/v*\" ]\n";

fn main() {
    in_folder(run);
}

async fn run(folder: &Path) {
    let issuer = Issuer::new();
    let instance = instance(folder, &issuer, RULE);
    let router = instance.router();
    let bodies: Vec<String> = (0..IN_FLIGHT).map(|at| issuer.body(at)).collect();
    let floor = Floor::new().expect("keys");

    // Pages, caches and connections first.
    issue(&router, &bodies, EACH).await;
    let (mut floors, mut wholes, mut walls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(measure(FLOORS, async || (0..FLOORS).for_each(|_| assert!(floor.run()))).await);
        let begun = Instant::now();
        let all = IN_FLIGHT * EACH;
        wholes.push(measure(all, async || issue(&router, &bodies, EACH).await).await);
        walls.push(begun.elapsed() / u32::try_from(all).expect("few"));
    }
    let (floor, whole) = (median(&mut floors), median(&mut wholes));
    println!("floor (five signatures)          {:>7.1} µs of CPU", micros(floor));
    println!("issuance, with the durable log   {:>7.1} µs of CPU", micros(whole));
    println!("  on the wall, {IN_FLIGHT} in flight      {:>7.1} µs", micros(median(&mut walls)));
    println!(
        "the floor is                     {:>7.1} % of it",
        100.0 * floor.as_secs_f64() / whole.as_secs_f64()
    );
    latency("alone", &router, &bodies[..1]).await;
    refusals();
    latency("16 at once", &router, &bodies).await;
    instance.authority.logs.close().await;
}

/// What it costs to refuse the largest token there may be, in shapes that are dear to read.
fn refusals() {
    const LARGEST: usize = 64 * 1024;
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = part(r#"{"alg":"RS256","kid":"bench"}"#);
    let claims = LARGEST * 3 / 4 - 200;
    let tokens = [
        ("dots", ".".repeat(LARGEST)),
        (
            "one claim",
            format!("{header}.{}.AA", part(&format!("{{\"a\":\"{}\"}}", "x".repeat(claims)))),
        ),
        ("nesting", format!("{header}.{}.AA", part(&format!("{{\"a\":{}", "[".repeat(claims))))),
        (
            "many claims",
            format!("{header}.{}.AA", part(&format!("{{{}\"iss\":1}}", claims_of(claims / 12)))),
        ),
    ];
    for (name, token) in tokens {
        let before = cpu::of_self().expect("Linux");
        for _ in 0..100 {
            assert!(UnverifiedToken::parse(std::hint::black_box(&token)).is_err());
        }
        let each = (cpu::of_self().expect("Linux") - before) / 100;
        println!("refusing 64 KiB of {name:<14} {:>7.1} µs of CPU", micros(each));
    }
}

fn claims_of(count: usize) -> String {
    (0..count).map(|at| format!("\"c{at:05}\":0,")).collect()
}

/// Latencies on the wall: for the reader, not for a threshold.
async fn latency(name: &str, router: &Router, bodies: &[String]) {
    let mut callers = JoinSet::new();
    for body in bodies {
        let (router, body) = (router.clone(), body.clone());
        callers.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..500 {
                let begun = Instant::now();
                one(&router, &body).await;
                seen.push(begun.elapsed());
            }
            seen
        });
    }
    let mut seen: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    seen.sort();
    let at = |share: usize| micros(seen[(seen.len() * share / 100).min(seen.len() - 1)]) / 1000.0;
    println!("latency {name:<12} p50 {:>6.2} ms, p99 {:>6.2} ms", at(50), at(99));
}
