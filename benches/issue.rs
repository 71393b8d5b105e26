//! What an issuance costs beside its five signatures.
//!
//! `cargo bench` prints, from one run and in CPU time: the floor (RS256 verify, P-256 verify, three P-256
//! signatures), the whole issuance through the real router with the durable log, and the share that the
//! floor has of it. Rounds of both alternate, so that a machine that slows down slows both.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mayfly::cli::bench::{cpu, floor::Floor};
use mayfly::cli::instance::{Instance, Running, Source};
use mayfly::cli::requester::Requester;
use mayfly::time::{Clock, SystemClock};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const IN_FLIGHT: usize = 16;
const EACH: usize = 128;
const FLOORS: usize = 2000;
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(folder.path()));
}

async fn run(folder: &Path) {
    let issuer = Issuer::new();
    let instance = instance(folder, &issuer);
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
    latency("16 at once", &router, &bodies).await;
    instance.authority.log.close().await;
}

/// CPU time of one of `count` that `work` does.
async fn measure(count: usize, work: impl AsyncFnOnce()) -> Duration {
    let before = cpu::of_self().expect("Linux");
    work().await;
    let spent = cpu::of_self().expect("Linux") - before;
    spent / u32::try_from(count).expect("few")
}

/// `each` certificates for every body, all bodies at once.
async fn issue(router: &Router, bodies: &[String], each: usize) {
    let mut callers = JoinSet::new();
    for body in bodies {
        let (router, body) = (router.clone(), body.clone());
        callers.spawn(async move {
            for _ in 0..each {
                one(&router, &body).await;
            }
        });
    }
    callers.join_all().await;
}

async fn one(router: &Router, body: &str) {
    let request = Request::post("/api/v2/signingCert")
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let answer = router.clone().oneshot(request).await.expect("infallible");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
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

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A CI system with an RSA key, as GitHub is.
struct Issuer {
    key: RsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Self { key, random: SystemRandom::new() }
    }

    fn jwks(&self) -> String {
        let n = self.key.public_key().modulus().big_endian_without_leading_zero().to_vec();
        json!({ "keys": [{
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "bench", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(n),
        }] })
        .to_string()
    }

    /// The request of job number `at`, with a key of its own.
    fn body(&self, at: usize) -> String {
        let now = SystemClock.now().as_secs();
        let commit = "2f7a6bcbd8d5a1f4c0ba9d0c8cb3c9d41b5f0e11";
        let workflow = "acme/app/.github/workflows/build.yml@refs/heads/main";
        let claims = json!({
            "iss": ISSUER, "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 3600,
            "sub": "repo:acme/app:ref:refs/heads/main", "jti": format!("job-{at}"),
            "repository": "acme/app", "repository_id": "1296269", "repository_owner": "acme",
            "repository_owner_id": "9919", "repository_visibility": "public",
            "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "sha": commit,
            "head_ref": "", "base_ref": "", "workflow": "build", "event_name": "push",
            "actor": "octocat", "actor_id": "583231", "workflow_ref": workflow,
            "workflow_sha": commit, "job_workflow_ref": workflow, "job_workflow_sha": commit,
            "runner_environment": "github-hosted", "run_id": at.to_string(), "run_number": "10",
            "run_attempt": "1",
        });
        let header = json!({ "alg": "RS256", "kid": "bench", "typ": "JWT" });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, signed.as_bytes(), &mut signature)
            .expect("a signature");
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        Requester::new().and_then(|requester| requester.request(&token)).expect("a request")
    }
}

/// A real instance with a rule, its log on this disk.
fn instance(folder: &Path, issuer: &Issuer) -> Running {
    std::fs::write(folder.join("jwks.json"), issuer.jwks()).expect("a key set");
    let yaml = "url: http://127.0.0.1:5555\nlisten: 127.0.0.1:5555\ndata: data\nissuers:\n  \
        - preset: github\n    keys: { file: jwks.json }\n    allow:\n      \
        - repository_owner_id: \"9919\"\n        ref: [ refs/heads/main, \"refs/tags/v*\" ]\n";
    let file = folder.join("mayfly.yaml");
    std::fs::write(&file, yaml).expect("a configuration");
    let source = Source { config: Some(file), ..Source::default() };
    let config = source.config().unwrap_or_else(|error| panic!("{error}"));
    Instance::create_and_open(config).unwrap_or_else(|error| panic!("{error}"))
}
