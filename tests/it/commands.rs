//! The commands as their users type them: the real binary, its exit codes, its words.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::config::{self, Overrides};
use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::support::issuer::FakeIssuer;
use crate::support::process::{Server, fulcio_config};

fn mayfly(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    command.args(arguments).env_remove("NO_COLOR").output().expect("the binary runs")
}

/// Runs `mayfly arguments`, expects it to exit with `code`, and yields stdout and stderr.
#[track_caller]
fn check(arguments: &[&str], code: i32) -> (String, String) {
    let output = mayfly(arguments);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "mayfly {arguments:?}:\n{out}{err}");
    (out, err)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn the_demo_tells_its_story() {
    let (out, err) = check(&["demo", "--once"], 0);
    for word in ["claims", "certificate", "log entry", "inclusion", "refusal", "✓", "acme/app"] {
        assert!(out.contains(word), "no {word:?} in:\n{out}{err}");
    }
    assert!(out.contains("wants ref"), "the refusal does not say which claim:\n{out}");
    assert!(!out.contains('\u{1b}'), "colour off a terminal:\n{out}");
}

#[test]
fn init_makes_what_check_accepts_and_touches_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("mayfly");
    let (out, _) = check(
        &["init", text(&home), "--url", "https://ca.example.com", "--issuer", "github=acme"],
        0,
    );
    assert!(out.contains("root.key"), "{out}");
    for name in ["root.key", "authority.key", "log.key"] {
        let mode = std::fs::metadata(home.join("data").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let file = home.join("mayfly.yaml");
    let (out, _) = check(&["check", "--config", text(&file)], 0);
    assert!(out.contains("token.actions.githubusercontent.com"), "{out}");
    let (_, err) = check(&["init", text(&home)], 2);
    assert!(err.contains("not empty"), "{err}");
}

#[test]
fn a_broken_file_is_told_every_error_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayfly.yaml");
    let yaml = "url: 7\nlissten: x\nissuers:\n  - preset: github\n  - preset: nothing\n";
    std::fs::write(&file, yaml).unwrap();
    for command in ["check", "serve"] {
        let (_, err) = check(&[command, "--config", text(&file)], 2);
        for (line, key) in [(1, "url"), (2, "lissten"), (4, "issuers[0]"), (5, "preset")] {
            let place = format!("mayfly.yaml:{line}:");
            assert!(
                err.lines().any(|each| each.contains(&place) && each.contains(key)),
                "{command} says nothing of {key} at {place}\n{err}"
            );
        }
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_to_do() {
    check(&["serve", "--listen", "nowhere"], 2);
    check(&["frobnicate"], 2);
    let (_, err) = check(&["serve", "--config", "/does/not/exist.yaml"], 2);
    assert!(err.contains("/does/not/exist.yaml"), "{err}");
    let (out, _) = check(&["completions", "bash"], 0);
    assert!(out.contains("_mayfly"), "no completions");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_served_searched_shown_and_verified() {
    let issuer = FakeIssuer::start_plain().await;
    let folder = tempfile::tempdir().unwrap();
    let fulcio = fulcio_config(folder.path(), &issuer.url());
    let data = folder.path().join("data");
    let server = Server::start(&[
        "--fulcio-config",
        text(&fulcio),
        "--allow-anybody",
        "--listen",
        "127.0.0.1:0",
        "--data",
        text(&data),
    ]);
    let source = ["--fulcio-config", text(&fulcio), "--data", text(&data), "--url", &server.url];
    let with = |command: &[&str]| -> Vec<String> {
        command.iter().chain(&source).map(|&argument| argument.to_owned()).collect()
    };
    let run = |command: &[&str], code| {
        let arguments = with(command);
        check(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), code)
    };

    let certificate = certificate(&server, &issuer).await;
    let file = folder.path().join("certificate.pem");
    std::fs::write(&file, certificate).unwrap();

    let (out, _) = run(&["log", "search", "alice@example.com", "since=1h", "--json"], 0);
    let found: Value = serde_json::from_str(out.lines().next().expect("a line")).unwrap();
    assert_eq!(found["san"], "alice@example.com");
    assert_eq!(found["issuer"], issuer.url());
    assert_eq!(found["extensions"]["issuer"], issuer.url());
    assert_eq!((&found["kind"], &found["index"]), (&json!("email"), &json!(0)));
    let (out, _) = run(&["log", "search", "san=bob@*"], 0);
    assert_eq!(out.trim(), "nothing found");
    run(&["log", "search", "nonsense=1"], 2);

    for which in ["0", found["serial"].as_str().unwrap(), text(&file)] {
        let (out, _) = run(&["log", "show", which], 0);
        assert!(out.contains("alice@example.com"), "{out}");
        assert!(out.contains("in the tree"), "{out}");
    }
    run(&["log", "show", "7"], 1);

    let export = folder.path().join("trust");
    run(&["trust", "export", text(&export)], 0);
    let root = std::fs::read_to_string(export.join("trusted_root.json")).unwrap();
    let root: Value = serde_json::from_str(&root).unwrap();
    let served = Client::new(&server.url).get("/trusted_root.json").await.unwrap_or_default();
    assert_eq!(root, serde_json::from_slice::<Value>(&served).unwrap(), "served and exported");

    let log = root["ctlogs"][0]["baseUrl"].as_str().unwrap();
    let state = folder.path().join("state.json");
    let (out, _) = check(&["log", "verify", log, "--state", text(&state), "--json"], 0);
    assert!(out.contains("\"size\""), "{out}");
}

/// A certificate for alice, PEM.
async fn certificate(server: &Server, issuer: &FakeIssuer) -> String {
    let now = SystemClock.now().as_secs();
    let claims = json!({ "email": "alice@example.com", "email_verified": true });
    let token = issuer.token_at(now, claims);
    let body = Requester::new().and_then(|requester| requester.request(&token)).expect("a request");
    let answer = Client::new(&server.url).post("/api/v2/signingCert", body).await;
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").body).unwrap();
    let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    chain[0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn foreign_folders_and_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for home in [&one, &two] {
        check(&["init", text(home), "--url", "http://127.0.0.1:1"], 0);
    }
    let file = one.join("mayfly.yaml");
    let refused = |what: &str, word: &str| {
        let (_, err) = check(&["serve", "--config", text(&file), "--listen", "127.0.0.1:0"], 1);
        assert!(err.contains(word), "{what}: {err}");
    };

    // Another authority's key under this chain.
    let key = one.join("data/authority.key");
    let own = std::fs::read(&key).unwrap();
    std::fs::copy(two.join("data/authority.key"), &key).unwrap();
    refused("a foreign authority key", "chain");
    std::fs::write(&key, own).unwrap();

    // A key that everybody may read.
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    refused("a readable key", "chmod");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();

    // Another log's key over this log's entries.
    let mut server = Server::start(&["--config", text(&file), "--listen", "127.0.0.1:0"]);
    server.kill();
    std::fs::copy(two.join("data/log.key"), one.join("data/log.key")).unwrap();
    refused("a foreign log key", "log");

    // A folder that holds something else.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("holiday.jpg"), "…").unwrap();
    let arguments = ["serve", "--config", text(&file), "--data", text(&other)];
    let output = mayfly(&arguments);
    assert_ne!(output.status.code(), Some(0));
    assert!(other.read_dir().unwrap().count() == 1, "something was put into it");
}

#[test]
fn the_readme_tells_the_truth() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let block = |language: &str| -> Vec<String> {
        let open = format!("```{language}\n");
        let blocks = readme.split(&open).skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap_or(rest).to_owned()).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayfly.yaml");
    for yaml in block("yaml") {
        std::fs::write(&file, &yaml).unwrap();
        let loaded = config::load(&file, &Overrides::default());
        loaded.unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
    }
    let shell = block("sh").concat();
    let commands = shell.lines().filter_map(|line| line.strip_prefix("mayfly "));
    let mut tried = 0;
    for command in commands {
        let words: Vec<&str> = command.split('#').next().unwrap().split_whitespace().collect();
        // `--help` at the end: the words must be right, and nothing is done.
        check(&[words.as_slice(), &["--help"]].concat(), 0);
        tried += 1;
    }
    assert!(tried >= 5, "only {tried} commands in the README");
}
