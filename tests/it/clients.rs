//! Unmodified clients, and requests as others sent them, against the real binary.
//!
//! `tests/run` installs the clients into `tests/clients/.cache`. A test whose client is not there says
//! so on stderr and passes; with `CI=true` it fails.

mod circle;
mod demo;
mod gitsign;
mod grpc;
mod images;
mod instance;
mod judge;
mod judges;
mod recorded;
mod rotation;
mod stock;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use instance::{Caller, Instance, assert_succeeds, said};
use judge::judge;
use recorded::Recorded;

use crate::support::process::Run;
use crate::support::skip;

/// What a caller reads whose issuer is not configured.
const UNKNOWN_ISSUER: &str = "is not configured";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sigstore_python_gets_certificates_and_verifies_them() {
    let Some(python) = installed("sigstore-python", ".cache/python/bin/python") else { return };
    Script { program: python, file: "python/issue.py" }.is_served_and_refused_rightly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sigstore_js_gets_certificates_and_verifies_them() {
    let Some(js) = Script::js() else { return };
    js.is_served_and_refused_rightly().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sigstore_js_may_be_given_a_url_that_ends_in_a_slash() {
    let Some(js) = Script::js() else { return };
    let instance = Instance::start().await;
    // It then asks for `//api/v2/signingCert`.
    let url = format!("{}/", instance.url);
    let trusted_root = instance.trust().join("trusted_root.json");
    assert_succeeds(&js.run(&url, &instance.alice(), &trusted_root));
}

/// A program of ours around a client's library.
struct Script {
    program: PathBuf,
    file: &'static str,
}

impl Script {
    fn js() -> Option<Self> {
        installed("sigstore-js", "js/node_modules/sigstore/package.json")?;
        Some(Self { program: "node".into(), file: "js/issue.mjs" })
    }

    async fn is_served_and_refused_rightly(&self) {
        let instance = Instance::start().await;
        let trusted_root = instance.trust().join("trusted_root.json");
        for caller in [instance.alice(), instance.workflow()] {
            assert_succeeds(&self.run(&instance.url, &caller, &trusted_root));
        }
        let refused = self.run(&instance.url, &instance.stranger(), &trusted_root);
        assert_refuses(&refused, UNKNOWN_ISSUER);

        let other = instance.file("another_root.json");
        fs::write(&other, with_another_log(&trusted_root)).unwrap();
        assert_refuses(&self.run(&instance.url, &instance.alice(), &other), "SCT");
    }

    fn run(&self, url: &str, caller: &Caller, trusted_root: &Path) -> Output {
        let mut command = Command::new(&self.program);
        command.arg(clients().join(self.file)).args([url, &caller.token]).arg(trusted_root);
        run(command.args([&caller.identity, &caller.issuer]))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_sigstore_crate_gets_certificates_over_both_apis() {
    let Some(program) = installed("sigstore-rs", ".cache/bin/sigstore-rs") else { return };
    let instance = Instance::start().await;
    let (artifact, chain) = (instance.file("artifact"), instance.file("chain.pem"));
    fs::write(&artifact, "an artifact").unwrap();
    let ask = |api: &str, caller: &Caller| {
        let mut command = Command::new(&program);
        command.args([api, &instance.url, &caller.token, &caller.challenge]);
        run(command.arg(&artifact).arg(&chain))
    };
    // What it sends over v2 has room for an e-mail address and nothing else.
    for (api, caller) in
        [("v1", instance.alice()), ("v1", instance.workflow()), ("v2", instance.alice())]
    {
        assert_succeeds(&ask(api, &caller));
        let chain = judge::blocks(&fs::read_to_string(&chain).unwrap());
        judge(&instance, &chain, &caller, &judge::spki(&chain[0]));
    }
    assert_refuses(&ask("v1", &instance.stranger()), UNKNOWN_ISSUER);
}

/// The trusted root, but with another key for the certificate log.
fn with_another_log(trusted_root: &Path) -> String {
    let mut root: Value = serde_json::from_slice(&fs::read(trusted_root).unwrap()).unwrap();
    let key = recorded::spki(&recorded::key());
    for log in root["ctlogs"].as_array_mut().unwrap() {
        log["publicKey"]["rawBytes"] = STANDARD.encode(&key).into();
    }
    root.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cosign_2_signs_and_verifies_the_old_way_over_the_v1_api() {
    let Some(cosign) = installed("cosign-2", ".cache/bin/cosign-2") else { return };
    let instance = Instance::start().await;
    let trust = instance.trust();
    let cosign = Cosign { program: cosign, instance: &instance, ct_key: trust.join("ct.pem") };
    for caller in [instance.alice(), instance.workflow()] {
        assert_succeeds(&cosign.sign(&caller));
        assert_succeeds(&cosign.verify(&caller));
        let somebody = Caller { identity: "mallory@example.com".to_owned(), ..caller };
        assert_refuses(&cosign.verify(&somebody), "none of the expected identities matched");
    }
    assert_refuses(&cosign.sign(&instance.stranger()), UNKNOWN_ISSUER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cosign_2_refuses_an_sct_of_another_log() {
    let Some(cosign) = installed("cosign-2", ".cache/bin/cosign-2") else { return };
    let instance = Instance::start().await;
    instance.trust();
    let ct_key = instance.file("another.pem");
    let key = recorded::spki(&recorded::key());
    let pem = "-----BEGIN PUBLIC KEY-----\n".to_owned() + &STANDARD.encode(key);
    fs::write(&ct_key, pem + "\n-----END PUBLIC KEY-----\n").unwrap();
    let cosign = Cosign { program: cosign, instance: &instance, ct_key };
    assert_refuses(&cosign.sign(&instance.alice()), "SCT");
}

/// cosign 2, given its trust by files that the environment names.
struct Cosign<'a> {
    program: PathBuf,
    instance: &'a Instance,
    ct_key: PathBuf,
}

impl Cosign<'_> {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .env("HOME", self.instance.file("home"))
            .env("SIGSTORE_ROOT_FILE", self.instance.file("trust/ca.pem"))
            .env("SIGSTORE_TSA_CERTIFICATE_FILE", self.instance.file("trust/tsa.pem"))
            .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", &self.ct_key);
        command
    }

    fn sign(&self, caller: &Caller) -> Output {
        let artifact = self.instance.file("artifact");
        fs::write(&artifact, "an artifact").unwrap();
        let mut command = self.command("sign-blob");
        command.args(["--yes", "--tlog-upload=false", "--fulcio-url", &self.instance.url]);
        command.args(["--identity-token", &caller.token, "--timestamp-server-url"]);
        command.arg(format!("{}/api/v1/timestamp", self.instance.url));
        command.arg("--rfc3161-timestamp").arg(self.instance.file("timestamp"));
        command.arg("--output-certificate").arg(self.instance.file("certificate"));
        command.arg("--output-signature").arg(self.instance.file("signature")).arg(artifact);
        run(&mut command)
    }

    fn verify(&self, caller: &Caller) -> Output {
        let mut command = self.command("verify-blob");
        // The old format holds entries of the first signature-log API alone: there is none to look for.
        command.args(["--insecure-ignore-tlog", "--use-signed-timestamps"]);
        command.arg("--rfc3161-timestamp").arg(self.instance.file("timestamp"));
        command.args(["--certificate-identity", &caller.identity]);
        command.args(["--certificate-oidc-issuer", &caller.issuer]);
        command.arg("--certificate").arg(self.instance.file("certificate"));
        command.arg("--signature").arg(self.instance.file("signature"));
        run(command.arg(self.instance.file("artifact")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn recorded_requests_get_what_their_senders_take() {
    let instance = Instance::start().await;
    let host = instance.url.strip_prefix("http://").unwrap();
    for name in [
        "cosign-2",
        "gitsign",
        "sigstore-go",
        "sigstore-js-email",
        "sigstore-js-workflow",
        "sigstore-python-3",
        "sigstore-python-4-email",
        "sigstore-python-4-workflow",
        "sigstore-rs-v1",
        "sigstore-rs-v2",
        "sigstore-rust",
    ] {
        let recorded = Recorded::load(name);
        let caller = instance.caller(recorded.claims());
        let request = recorded.fresh(host, &caller);
        let answer = request.send("POST", host);
        assert_eq!(answer.status, recorded.status(), "{name}: {}", answer.body);
        let chain = if recorded.v1() { v1_chain(&answer) } else { v2_chain(&answer) };
        judge(&instance, &chain, &caller, &request.spki);
    }
}

/// v1: PEM, the certificate first; the header `SCT` is for detached ones alone.
fn v1_chain(answer: &recorded::Answer) -> Vec<String> {
    assert_eq!(answer.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(answer.header("sct"), None);
    judge::blocks(&answer.body)
}

/// v2: JSON with one member, whatever the sender says that it accepts.
fn v2_chain(answer: &recorded::Answer) -> Vec<String> {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let members: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["signedCertificateEmbeddedSct"]);
    strings(&body["signedCertificateEmbeddedSct"]["chain"]["certificates"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_trust_bundle_is_the_chain_of_the_trust_files() {
    let instance = Instance::start().await;
    let host = instance.url.strip_prefix("http://").unwrap();
    let recorded = Recorded::load("sigstore-python-4-bundle");
    let answer = recorded.fresh(host, &instance.alice()).send("GET", host);
    assert_eq!(answer.status, recorded.status(), "{}", answer.body);
    let bundle: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(bundle["chains"].as_array().unwrap().len(), 1);
    let chain = strings(&bundle["chains"][0]["certificates"]).concat();
    assert_eq!(chain, fs::read_to_string(instance.trust().join("ca.pem")).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_sigstore_java_sends_gets_a_certificate_over_grpc_and_tls() {
    let instance = Instance::start_with_tls().await;
    let ask = async |caller: &Caller| {
        let key = recorded::key();
        let spki = recorded::spki(&key);
        let old = "-----BEGIN PUBLIC KEY-----\n".to_owned() + &"A".repeat(124);
        let pem = recorded::refit(&(old + "\n-----END PUBLIC KEY-----"), &spki);
        let proof = recorded::sign(&key, &caller.challenge);
        let message = grpc::request(&caller.token, &pem, &proof);
        (grpc::call(&instance.url, &instance.tls_ca(), &message).await, spki)
    };

    let alice = instance.alice();
    let (answer, spki) = ask(&alice).await;
    assert_eq!((answer.status.as_str(), answer.message.as_str()), ("0", ""));
    judge(&instance, &answer.certificates, &alice, &spki);

    let (refusal, _) = ask(&instance.stranger()).await;
    assert_eq!(refusal.status, "3");
    assert!(refusal.message.contains(UNKNOWN_ISSUER), "{refusal:?}");
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Yields a file of a client; says it when the client is not installed, and fails where all must be.
pub fn installed(client: &str, file: &str) -> Option<PathBuf> {
    let path = clients().join(file);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{client} is not installed (tests/run does it)"));
    None
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    command.run().unwrap()
}

#[track_caller]
fn assert_refuses(output: &Output, sentence: &str) {
    assert!(!output.status.success(), "{}", said(output));
    assert!(said(output).contains(sentence), "{sentence:?} is missing:\n{}", said(output));
}
