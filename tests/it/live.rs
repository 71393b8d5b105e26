//! `mayfly check --live` against issuers as they are on bad days.

use std::fs;
use std::process::{Command, Output};

use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::issuer::{Endpoint, FakeIssuer, Fault};
use crate::support::process::Run as _;

/// A configuration whose issuers are at hand, and trusted with `lines` beside their URL.
struct Bench {
    issuer: FakeIssuer,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let issuer = FakeIssuer::start().await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.ca_pem()).unwrap();
        fs::write(folder.path().join("jwks.json"), issuer.jwks().to_string()).unwrap();
        Self { issuer, folder }
    }

    /// What it prints about this configuration, and what it exits with.
    fn check(&self, yaml: &str, more: &[&str]) -> (Option<i32>, String) {
        let output = self.run(Command::new(env!("CARGO_BIN_EXE_mayfly")), yaml, more);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    fn run(&self, mut command: Command, yaml: &str, more: &[&str]) -> Output {
        let file = self.folder.path().join("mayfly.yaml");
        fs::write(&file, yaml).unwrap();
        command.args(["check", "--live", "--config"]).arg(&file).args(more).run().unwrap()
    }

    /// The issuer itself, with `lines` more.
    fn yaml(&self, lines: &str) -> String {
        let url = self.issuer.url();
        format!("issuers:\n  - url: {url}\n    type: email\n    ca: ca.pem\n{lines}")
    }

    /// The steps of the first issuer as JSON, and the exit code.
    fn steps(&self, lines: &str) -> (Option<i32>, Vec<Value>) {
        let (code, out) = self.check(&self.yaml(lines), &["--json"]);
        let result: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}"));
        assert_eq!(result["ok"], code == Some(0), "{out}");
        (code, result["live"][0]["steps"].as_array().unwrap().clone())
    }

    /// All steps before `step` hold, and it fails with a reason that has `words`, and a remedy that names
    /// what to change.
    #[track_caller]
    fn fails(&self, lines: &str, step: &str, [words, change]: [&str; 2]) {
        let (code, steps) = self.steps(lines);
        assert_eq!(code, Some(1), "{steps:?}");
        let (last, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|step| step["ok"] == true), "{steps:?}");
        assert_eq!((&last["step"], &last["ok"]), (&json!(step), &json!(false)), "{steps:?}");
        let reason = last["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason:?} has no {words:?}");
        let remedy = last["remedy"].as_str().unwrap();
        assert!(remedy.contains(change), "{remedy:?} has no {change:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_well_holds_at_every_step() {
    let bench = Bench::new().await;
    let url = bench.issuer.url();
    let pattern = "  - url: https://*.example.com/x\n    type: email\n    allow: anybody\n";
    let inline =
        "  - url: https://here.example.com\n    type: email\n    keys: { file: jwks.json }\n";
    let (code, out) = bench.check(&(bench.yaml("") + pattern + inline), &[]);
    assert_eq!(code, Some(0), "{out}");
    let all = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA";
    let expected = format!(
        "
{url}
  name           ok
  address        ok      127.0.0.1
  connection     ok
  tls            ok
  discovery      ok
  issuer         ok
  key set        ok      {url}/keys
  keys           ok      5 keys for {all}

https://*.example.com/x
  keys           -       a pattern: there is nobody to ask before a token names an issuer

https://here.example.com
  keys           ok      5 keys for {all}, in the configuration
"
    );
    assert!(out.replace("::1, ", "").replace(", ::1", "").contains(&expected), "{out}");
    let (_, steps) = bench.steps("    algorithms: ES256\n");
    assert_eq!(steps.last().unwrap()["found"], "5 keys for ES256");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_is_named() {
    let bench = Bench::new().await;
    let nowhere = "    keys: { url: https://nowhere.invalid/keys }\n";
    bench.fails(nowhere, "name", ["does not resolve", "`keys.url`"]);
    let metadata = "    keys: { url: https://169.254.169.254/keys }\n";
    bench.fails(metadata, "address", ["169.254.169.254", "`keys: { file"]);
    let idle = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = idle.local_addr().unwrap().port();
    bench.fails(
        &format!("    keys: {{ url: https://127.0.0.1:{port}/keys }}\n"),
        "connection",
        ["no complete answer in time", "`proxy`"],
    );
    drop(idle);
    bench.fails(
        &format!("    keys: {{ url: https://127.0.0.1:{port}/keys }}\n"),
        "connection",
        ["connection refused", "`proxy`"],
    );
    let other_name = bench.issuer.url_at("127.0.0.1");
    bench.fails(
        &format!("    keys: {{ url: {other_name}/keys }}\n"),
        "tls",
        ["invalid peer certificate", "`ca`"],
    );
    let unreadable = ["gone cannot be used: No such file", "`bearer_token_file`"];
    bench.fails("    bearer_token_file: gone\n", "bearer token", unreadable);

    bench.issuer.fail(Endpoint::Discovery, Fault::Status(404));
    bench.fails("", "discovery", ["answered with status 404", "`keys: { url"]);
    let body = json!({ "issuer": "https://other.example", "jwks_uri": "https://x.example" });
    bench.issuer.fail(Endpoint::Discovery, Fault::Body(body.to_string()));
    bench.fails("", "issuer", ["is for issuer \"https://other.example\"", "`url`"]);
    bench.issuer.heal();
    bench.issuer.fail(Endpoint::Keys, Fault::Body("[]".to_owned()));
    let no_set = format!("the answer of \"{}/keys\" is not a JSON object", bench.issuer.url());
    bench.fails("", "key set", [&no_set, "`keys.url`"]);
    let body = json!({ "keys": [{ "kty": "oct", "k": "AA" }] });
    bench.issuer.fail(Endpoint::Keys, Fault::Body(body.to_string()));
    bench.fails("", "keys", ["none of its keys can be used", "`algorithms`"]);
}

/// A pipe that nobody writes to stands for a disk that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_read_to_its_end_keeps_nobody_from_theirs() {
    let bench = Bench::new().await;
    let pipe = bench.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(pipe).run().unwrap().status.success());
    let (code, out) = bench.check(&bench.yaml("    bearer_token_file: pipe\n"), &[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("no complete answer in time"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environments_proxy_counts_when_the_file_says_so() {
    let bench = Bench::new().await;
    let under = |proxy: &str, yaml: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command.env("HTTPS_PROXY", proxy).env("NO_PROXY", "x.example");
        let output = bench.run(command, yaml, &[]);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let run = |yaml: &str| under("http://user:secret@127.0.0.1:1", yaml);
    let far = "    keys: { url: https://idp.test/keys }\n";
    let out = run(&bench.yaml(far));
    assert!(out.contains("its name does not resolve"), "{out}");
    let out = run(&("proxy: environment\n".to_owned() + &bench.yaml(far)));
    assert!(out.contains("FAILED  proxy 127.0.0.1:1: "), "{out}");
    assert!(!out.contains("secret"), "{out}");
    let near = "proxy: environment\n".to_owned() + &bench.yaml("");
    assert!(run(&near).contains("keys           ok"), "loopback goes straight");
    for secret in ["secret^", "secret/x", "sec@ret", "secret#", "secret\u{e9}"] {
        let out = under(&format!("http://user:{secret}@127.0.0.1:1"), &near);
        assert!(out.contains("the user or password in HTTPS_PROXY holds"), "{out}");
        assert!(!out.contains("secret") && !out.contains("ret@"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_and_the_log_of_the_instance_are_tried() {
    let bench = Bench::new().await;
    let (code, out) = bench.check(&bench.yaml(""), &[]);
    assert_eq!(code, Some(0));
    assert!(out.contains("data folder    -       "), "{out}");
    let data = bench.folder.path().join("data");
    let home = bench.folder.path().join("made");
    let init = ["init", home.to_str().unwrap(), "--url", "http://127.0.0.1:5555"];
    assert!(Command::new(env!("CARGO_BIN_EXE_mayfly")).args(init).run().unwrap().status.success());
    fs::rename(home.join("data"), &data).unwrap();
    let (code, out) = bench.check(&bench.yaml(""), &[]);
    assert_eq!(code, Some(0), "{out}");
    let year = SystemClock.now().year();
    let log = [
        format!("key ct/{year}    ok "),
        format!("log ct/{year}    ok      0 entries, root"),
        format!("key tlog/{year}  ok "),
        format!("log tlog/{year}  ok      1 entries, root"),
    ];
    let authority = ["chain          ok ", "authority key  ok "];
    let rest = ["timestamps     ok ", "tuf            ok      root 1, until "];
    let authority = authority.into_iter().chain(rest).map(str::to_owned);
    for line in authority.into_iter().chain(log) {
        assert!(out.contains(&line), "no {line:?} in:\n{out}");
    }
    let (code, out) = bench.check(&bench.yaml(""), &["--url", "http://127.0.0.1:7777"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("FAILED  the store belongs to the log"), "{out}");
    let log_key = format!("ct/{year}.key");
    for (file, line) in
        [(&log_key[..], "data folder    FAILED"), ("authority.key", "authority      FAILED")]
    {
        fs::rename(data.join(file), data.join("away")).unwrap();
        let (code, out) = bench.check(&bench.yaml(""), &[]);
        assert_eq!(code, Some(1));
        assert!(out.contains(line) && out.contains(&format!("{file}: cannot be read")), "{out}");
        fs::rename(data.join("away"), data.join(file)).unwrap();
    }
    let key = format!("timestamp/{year}.key");
    for (file, line) in [
        (&key[..], "timestamps     FAILED"),
        ("tuf/1.online.key", "tuf            FAILED"),
        ("tuf/1.root.json", "tuf            FAILED"),
    ] {
        fs::rename(data.join(file), data.join("away")).unwrap();
        let (code, out) = bench.check(&bench.yaml(""), &[]);
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains(line) && out.contains(file), "{out}");
        fs::rename(data.join("away"), data.join(file)).unwrap();
    }
    fs::write(data.join(format!("ct/{year}.sqlite")), "no database").unwrap();
    let (code, out) = bench.check(&bench.yaml(""), &[]);
    assert_eq!(code, Some(1));
    assert!(out.contains("data folder    FAILED  ") && !out.contains("mayfly: "), "{out}");
    assert!(out.contains("is not a log that this version of mayfly can open"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_configured_is_tried_before_the_first_start() {
    let bench = Bench::new().await;
    for home in ["one", "two"] {
        let home = bench.folder.path().join(home);
        let init = ["init", home.to_str().unwrap()];
        let made = Command::new(env!("CARGO_BIN_EXE_mayfly")).args(init).run().unwrap();
        assert!(made.status.success());
    }
    let under = |key: &str| {
        let files = format!("{{ key: {key}/data/authority.key, chain: one/data/authority.pem }}");
        bench.check(&bench.yaml(&format!("authority: {files}\n")), &[])
    };
    let (code, out) = under("one");
    assert_eq!(code, Some(0), "{out}");
    for line in ["chain          ok ", "authority key  ok ", "data folder    - "] {
        assert!(out.contains(line), "no {line:?} in:\n{out}");
    }
    for (key, words) in [("two", "is not the key of the first"), ("gone", "cannot be read")] {
        let (code, out) = under(key);
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains("authority      FAILED") && out.contains(words), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_does_not_hold_asks_nobody() {
    let bench = Bench::new().await;
    let (code, _) = bench.check(&bench.yaml("lifetime: 1s\n"), &[]);
    assert_eq!((code, bench.issuer.connections()), (Some(2), 0));
}
