//! What the benches stand on: an instance with its log on this disk, jobs that ask it, CPU time.

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
use mayfly::cli::bench::cpu;
use mayfly::cli::instance::{Instance, Running, Source};
use mayfly::cli::requester::Requester;
use mayfly::time::{Clock, SystemClock};
use serde_json::json;
use tokio::task::JoinSet;
use tower::ServiceExt;

const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Runs a bench with a folder of its own, on the disk that holds the build.
pub fn in_folder(run: impl AsyncFnOnce(&Path)) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(folder.path()));
}

/// CPU time of one of `count` that `work` does.
pub async fn measure(count: usize, work: impl AsyncFnOnce()) -> Duration {
    let before = cpu::of_self().expect("Linux");
    work().await;
    let spent = cpu::of_self().expect("Linux") - before;
    spent / u32::try_from(count).expect("few")
}

/// `each` certificates for every body, all bodies at once.
pub async fn issue(router: &Router, bodies: &[String], each: usize) {
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

pub async fn one(router: &Router, body: &str) {
    let request = Request::post("/api/v2/signingCert")
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let answer = router.clone().oneshot(request).await.expect("infallible");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
}

pub fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A CI system with an RSA key, as GitHub is.
pub struct Issuer {
    key: RsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    pub fn new() -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        Self { key, random: SystemRandom::new() }
    }

    pub fn jwks(&self) -> String {
        let n = self.key.public_key().modulus().big_endian_without_leading_zero().to_vec();
        json!({ "keys": [{
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "bench", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(n),
        }] })
        .to_string()
    }

    /// The request of job number `at`, with a key of its own.
    pub fn body(&self, at: usize) -> String {
        let token = self.token(at);
        Requester::new().and_then(|requester| requester.request(&token)).expect("a request")
    }

    /// The token of job number `at`.
    pub fn token(&self, at: usize) -> String {
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
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A real instance with an `allow` list for GitHub, its log on this disk.
pub fn instance(folder: &Path, issuer: &Issuer, allow: &str) -> Running {
    std::fs::write(folder.join("jwks.json"), issuer.jwks()).expect("a key set");
    let yaml = format!(
        "url: http://127.0.0.1:5555\nlisten: 127.0.0.1:5555\ndata: data\nissuers:\n  \
        - preset: github\n    keys: {{ file: jwks.json }}\n    allow:\n{allow}"
    );
    let file = folder.join("mayfly.yaml");
    std::fs::write(&file, yaml).expect("a configuration");
    let source = Source { config: Some(file), ..Source::default() };
    let config = source.config().unwrap_or_else(|error| panic!("{error}"));
    Instance::create_and_open(config).unwrap_or_else(|error| panic!("{error}"))
}
