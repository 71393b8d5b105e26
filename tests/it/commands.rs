//! The commands as their users type them: the real binary, its exit codes, its words.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::config::{self, Overrides, Readers};
use mayfly::time::{Clock, SystemClock};
use mayfly::trust::Material;
use serde_json::{Value, json};

use crate::clients::installed;
use crate::support::issuer::FakeIssuer;
use crate::support::process::{Program, Run, Server, fulcio_config};
use crate::support::skip;

fn mayfly(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    command.args(arguments).env_remove("NO_COLOR").run().expect("the binary runs")
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
    for word in [
        "claims",
        "certificate",
        "log entry",
        "inclusion",
        "signature",
        "bundle",
        "an hour later",
        "the signature is one of this file",
        "the file is not the one that was signed",
        "refusal",
        "✓",
        "acme/app",
    ] {
        assert!(out.contains(word), "no {word:?} in:\n{out}{err}");
    }
    assert!(out.contains("wants ref"), "the refusal does not say which claim:\n{out}");
    assert!(!out.contains('\u{1b}'), "colour off a terminal:\n{out}");
}

/// A bundle of Sigstore's staging instance, of 2025: its certificate has long ended.
#[test]
fn verify_says_yes_to_a_bundle_that_holds_and_which_step_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/bundles");
    let lines = |name: &str| std::fs::read_to_string(vectors.join(name)).unwrap();
    let cases = lines("cases.jsonl");
    let mut cases = cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let case = cases.find(|case| case["id"] == "rekor2-happy-path").unwrap();
    let roots = lines("roots.jsonl");
    let root = usize::try_from(case["root"].as_u64().unwrap()).unwrap();
    let [bundle, trust] = ["bundle.json", "trusted_root.json"].map(|name| folder.path().join(name));
    std::fs::write(&bundle, case["bundle"].to_string()).unwrap();
    std::fs::write(&trust, roots.lines().nth(root).unwrap()).unwrap();
    let artifact = vectors.join("artifact");
    let identity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon\
        /.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
    let issuer = "https://token.actions.githubusercontent.com";
    let verify = |file: &Path, identity: &str, issuer: &str, trust: &Path, code: i32| {
        let mut arguments =
            vec!["verify", text(&bundle), text(file), "--trusted-root", text(trust)];
        arguments.extend(["--certificate-identity", identity]);
        arguments.extend(["--certificate-oidc-issuer", issuer]);
        check(&arguments, code)
    };
    let (out, _) = verify(&artifact, identity, issuer, &trust, 0);
    assert_eq!(out.matches('✓').count(), 7, "{out}");
    assert!(out.contains("2025-06-12T12:02:20Z") && out.contains(identity), "{out}");
    for (file, identity, issuer, trust, code, says) in [
        (&bundle, identity, issuer, &trust, 1, "the file is not the one that was signed"),
        (&artifact, "mallory@example.com", issuer, &trust, 1, "not for \"mallory@example.com\""),
        (&artifact, identity, "https://example.com", &trust, 1, "not of \"https://example.com\""),
        (&artifact, identity, issuer, &bundle, 2, "it is no trusted_root.json"),
        (&artifact, identity, issuer, &folder.path().join("none"), 2, "none: No such file"),
    ] {
        let (out, err) = verify(file, identity, issuer, trust, code);
        assert!(out.is_empty() && err.contains(says), "{says}: {out}{err}");
    }
}

#[test]
fn init_makes_what_check_accepts_and_touches_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("mayfly");
    let (out, _) = check(
        &["init", text(&home), "--url", "https://ca.example.com", "--issuer", "github=acme"],
        0,
    );
    for key in ["data/root.key", "data/tuf/1.key"] {
        assert!(out.contains(text(&home.join(key))), "{key}: {out}");
    }
    let keys = ["key", "note.key"].map(|key| format!("ct/{}.{key}", SystemClock.now().year()));
    for name in ["root.key", "authority.key", &keys[0], &keys[1]] {
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
fn init_makes_a_log_for_nobody_unless_told_who_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://ca.example.com";
    let read = |home: &Path| {
        let file = home.join("mayfly.yaml");
        let config = config::load(&file, &Overrides::default()).expect("a configuration");
        (config.log.readers.clone(), config.log.records.clone(), config.is_local())
    };
    for (name, arguments, log, records) in [
        ("asked", &["--url", url][..], Readers::Nobody, Readers::Nobody),
        ("anyone", &["--url", url, "--log-readers", "anyone"], Readers::Anyone, Readers::Nobody),
        ("nobody", &["--log-readers", "nobody"], Readers::Nobody, Readers::Nobody),
        ("local", &[], Readers::Local, Readers::Local),
    ] {
        let home = folder.path().join(name);
        let (out, _) = check(&[&["init", text(&home)], arguments].concat(), 0);
        let (readers, all, _) = read(&home);
        assert_eq!((&readers, all), (&log, records), "{name}");
        assert_eq!(out.contains("Nobody may read the log"), log == Readers::Nobody, "{out}");
        assert!(!home.join("readers.token").exists());
    }
    let home = folder.path().join("token");
    check(&["init", text(&home), "--url", url, "--log-readers", "token"], 0);
    let token = home.join("readers.token");
    let holders = Readers::Token(token.clone());
    assert_eq!(read(&home), (holders.clone(), holders, false));
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&token).unwrap().trim().len() >= 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_may_read_is_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("mayfly");
    check(&["init", text(&home), "--url", "https://ca.example.com"], 0);
    let file = home.join("mayfly.yaml");
    let server = Server::start(&["--config", text(&file), "--listen", "127.0.0.1:0"]);
    server.comes_to_say("nobody may read the certificate log");
    server.comes_to_say("`log.records`");
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

    let id = refused(&server, &issuer).await;
    // Refusals are kept by a thread of their own.
    let asked = ["log", "search", "--refused", "--json"];
    let line = (0..200).map(|_| run(&asked, 0).0).find(|out| !out.is_empty()).expect("a refusal");
    let refusal: Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!((&refusal["reason"], &refusal["request_id"]), (&json!("TOKEN_EXPIRED"), &json!(id)));
    let (out, _) = run(&["log", "show", &id], 0);
    assert!(out.contains("the token expired") && out.contains("unverified subject"), "{out}");
    let (out, _) = run(&["log", "search"], 0);
    assert!(out.contains("TOKEN_EXPIRED") && out.contains("alice@example.com"), "{out}");
    for form in [&[][..], &["--json"], &["--csv"]] {
        let (out, err) = run(&[&["log", "search", "--limit", "1"], form].concat(), 0);
        assert!(out.contains("TOKEN_EXPIRED") && !out.contains("--before"), "{form:?}: {out}");
        assert!(err.contains("there is more: --before"), "{form:?}: {err}");
    }
    let (_, err) = run(&["log", "search", "--limit", "1"], 0);
    let cursor = err.split_whitespace().last().expect("a cursor");
    let (out, err) = run(&["log", "search", "--before", cursor, "--csv"], 0);
    assert!(out.contains("alice@example.com") && !out.contains("EXPIRED"), "{out}{err}");

    let (out, _) = run(&["log", "search", "san=bob@*"], 0);
    assert_eq!(out.trim(), "nothing found");
    run(&["log", "search", "nonsense=1"], 2);

    let by_serial = format!("serial={}", found["serial"].as_str().unwrap().to_uppercase());
    let key = found["key"].as_str().unwrap();
    for which in ["0", found["serial"].as_str().unwrap(), &by_serial, text(&file)] {
        let (out, _) = run(&["log", "show", which, "--json"], 0);
        let shown: Value = serde_json::from_str(&out).unwrap();
        for field in ["time", "duration_ms", "request_id", "client", "kind", "key", "serial"] {
            assert_eq!((&shown[field], shown[field].is_null()), (&found[field], false), "{field}");
        }
        let (out, _) = run(&["log", "show", which], 0);
        assert!(out.contains("request_id") && out.contains(key), "{out}");
        assert_eq!(out.matches("  issuer  ").count(), 1, "{out}");
        assert!(out.contains("alice@example.com"), "{out}");
        assert!(out.contains("in the tree"), "{out}");
    }
    run(&["log", "show", "7"], 1);
    let (_, err) = run(&["log", "show", "serial=07"], 1);
    assert!(err.contains("nothing found"), "{err}");
    let pem = std::fs::read(&file).unwrap();
    let der = crate::support::caller::der(std::str::from_utf8(&pem).unwrap());
    for (name, octets) in [("cosign.pem", STANDARD.encode(&pem).into_bytes()), ("x.der", der)] {
        let file = folder.path().join(name);
        std::fs::write(&file, octets).unwrap();
        let (out, _) = run(&["log", "show", text(&file)], 0);
        assert!(out.contains("alice@example.com") && out.contains("-----BEGIN"), "{name}: {out}");
    }
    let (_, err) = run(&["log", "show", "nonexistent.pem"], 1);
    assert!(err.contains("nonexistent.pem: No such file"), "{err}");
    let (_, err) = run(&["log", "show", text(&fulcio)], 1);
    assert!(err.contains("holds no certificate"), "{err}");
    let (_, err) = run(&["trust", "export", text(&file)], 2);
    assert!(err.contains("is a file; name a folder"), "{err}");

    let export = folder.path().join("trust");
    run(&["trust", "export", text(&export)], 0);
    let root = std::fs::read_to_string(export.join("trusted_root.json")).unwrap();
    let root: Value = serde_json::from_str(&root).unwrap();
    for name in Material::NAMES {
        let exported = std::fs::read_to_string(export.join(name)).unwrap();
        let served = Client::new(&server.url).get(&format!("/{name}")).await.unwrap_or_default();
        let [exported, served] = [exported.as_bytes(), &served[..]]
            .map(|text| serde_json::from_slice::<Value>(text).unwrap());
        assert_eq!(exported, served, "{name}: served and exported");
    }

    for kind in ["ctlogs", "tlogs"] {
        let log = root[kind][0]["baseUrl"].as_str().unwrap();
        let state = folder.path().join(kind);
        let (out, _) = check(&["log", "verify", log, "--state", text(&state), "--json"], 0);
        assert!(out.contains("\"size\""), "{out}");
    }

    let log = format!("tlog/{}", SystemClock.now().year());
    let copy = folder.path().join("copy.sqlite");
    let (out, _) = run(&["log", "backup", text(&copy), "--shard", &log], 0);
    assert!(out.contains(": 1 entry, root ") && out.contains("can be served ("), "{out}");
    for command in [&["log", "fsck"][..], &["log", "backup", text(&folder.path().join("other"))]] {
        let (_, err) = run(&[command, &["--shard", "foo"]].concat(), 2);
        assert!(err.contains(&log), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bench_says_what_is_wrong_with_token_and_process() {
    let (issuer, stranger) = (FakeIssuer::start_plain().await, FakeIssuer::start_plain().await);
    let folder = tempfile::tempdir().unwrap();
    let fulcio = fulcio_config(folder.path(), &issuer.url());
    let data = folder.path().join("data");
    let of = ["--allow-anybody", "--listen", "127.0.0.1:0", "--data", text(&data)];
    let server = Server::start(&[["--fulcio-config", text(&fulcio)].as_slice(), &of].concat());
    let file = folder.path().join("token");
    std::fs::write(&file, stranger.token(json!({ "email": "a@example.com" }))).unwrap();
    let bench = ["bench", &server.url, "--token", text(&file)];
    let (_, err) = check(&bench, 1);
    let expected = format!("mayfly: issuer \"{}\" is not configured", stranger.url());
    assert!(err.starts_with(&expected), "{err}");
    let (_, err) = check(&[bench.as_slice(), &["--pid", "4294967295"]].concat(), 2);
    assert!(err.contains("--pid 4294967295: there is no such process"), "{err}");
}

/// A certificate for alice, PEM.
pub async fn certificate(server: &Server, issuer: &FakeIssuer) -> String {
    let now = SystemClock.now().as_secs();
    let claims = json!({ "email": "alice@example.com", "email_verified": true });
    let token = issuer.token_at(now, claims);
    let body = Requester::new().and_then(|requester| requester.request(&token)).expect("a request");
    let answer = Client::new(&server.url).post("/api/v2/signingCert", body).await;
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").body).unwrap();
    let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    chain[0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Shows an expired token; yields the id of the request.
async fn refused(server: &Server, issuer: &FakeIssuer) -> String {
    let claims = json!({ "email": "alice@example.com", "email_verified": true });
    let token = issuer.token_at(SystemClock.now().as_secs() - 7200, claims);
    let body = Requester::new().and_then(|requester| requester.request(&token)).expect("a request");
    let answer = Client::new(&server.url).post("/api/v2/signingCert", body).await;
    let answer: Value = serde_json::from_slice(&answer.expect("an answer").body).unwrap();
    let id = answer["details"][1]["requestId"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
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
    let log_key = format!("data/ct/{}.key", SystemClock.now().year());
    std::fs::copy(two.join(&log_key), one.join(&log_key)).unwrap();
    refused("a foreign log key", "the store belongs to the log");

    // A folder that holds something else.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("holiday.jpg"), "…").unwrap();
    let arguments = ["serve", "--config", text(&file), "--data", text(&other)];
    let (_, err) = check(&arguments, 1);
    assert!(err.contains("authority.pem: No such file"), "{err}");
    assert!(other.read_dir().unwrap().count() == 1, "something was put into it");
}

/// Also where the configuration names the mark from the folder that we are in.
#[test]
fn a_shard_that_a_mark_remembers_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("mayfly");
    check(&["init", text(&home)], 0);
    let file = home.join("mayfly.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, yaml + "log: { mark: head }\n").unwrap();
    std::fs::write(home.join("head-1999"), "").unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    serve.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(&home);
    let ended = Server::try_run(&mut serve).err().expect("it must not serve");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("the shard ct/1999 of the log is missing"), "{said}");
    assert!(said.contains("head-1999 remembers it"), "{said}");
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
    assert!(!block("yaml").is_empty());
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

/// Runs the binary with a stdout that nobody reads.
#[test]
fn a_closed_pipe_is_enough() {
    for arguments in [
        ["completions", "zsh"].as_slice(),
        &["demo", "--once"],
        &["check", "--sample"],
        &["--help"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.args(arguments).stdout(writer).run_elsewhere().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!err.contains("panicked") && !err.contains("roken pipe"), "{arguments:?}: {err}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_made_for_loopback_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayfly.yaml");
    let data = folder.path().join("daat");
    let behind_a_proxy =
        "url: https://ca.example.com\nlisten: 127.0.0.1:0\ndata: daat\nissuers: []\n";
    std::fs::write(&file, behind_a_proxy).unwrap();
    let (out, err) = check(&["serve", "--config", text(&file)], 2);
    assert!(err.contains("does not exist") && err.contains("--create"), "{err}");
    assert!(out.is_empty() && !data.exists(), "{out}");

    std::fs::write(&file, "listen: 127.0.0.1:0\ndata: daat\nissuers: []\n").unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    serve.args(["serve", "--config", text(&file)]).env("RUST_LOG", "off");
    let server = Program::start(&mut serve);
    let line = server.lines().next().unwrap_or_else(|| server.said());
    assert!(line.starts_with("mayfly serves http://127.0.0.1:"), "{line}");
    assert!(line.contains("(0 issuers, 0 certificates logged)"), "{line}");
    let made = format!("made a new installation in {}", data.display());
    server.comes_to_tell(&made, |said| said.contains(&made).then_some(()));
}

#[test]
fn init_makes_nothing_that_check_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("deep/mayfly");
    for url in [
        "ca.example.com",
        "",
        "https://",
        "https://x/fulcio",
        "https://user:pw@h",
        "https://a\nb: c",
    ] {
        let (out, err) = check(&["init", text(&home), "--url", url], 2);
        assert!(err.starts_with("mayfly: --url: expected"), "{url}: {err}");
        assert!(out.is_empty() && !folder.path().join("deep").exists(), "{url}: {out}");
    }
    let secret = folder.path().join("passphrase: # file");
    std::fs::write(&secret, "geheim\n").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let issuers = ["github=acme", "github=9919", "gitlab=acme"].map(|issuer| ["--issuer", issuer]);
    let init = ["init", text(&home), "--passphrase-file", text(&secret)];
    check(&[init.as_slice(), issuers.as_flattened()].concat(), 0);
    let file = home.join("mayfly.yaml");
    let (out, _) = check(&["check", "--config", text(&file)], 0);
    assert!(out.contains("2 rules") && out.contains("1 rule"), "{out}");
    check(&["trust", "show", "--config", text(&file)], 0);

    // A file system of its own.
    let mount = folder.path().join("mount");
    std::fs::create_dir_all(mount.join("lost+found")).unwrap();
    check(&["init", text(&mount)], 0);
    // A file is no folder.
    let (_, err) = check(&["init", text(&file)], 2);
    assert!(err.contains("mayfly.yaml: Not a directory"), "{err}");
}

#[test]
fn init_listens_where_its_url_leads() {
    let folder = tempfile::tempdir().unwrap();
    for (name, url, listen) in [
        ("a", "http://localhost:5555", "127.0.0.1:5555"),
        ("b", "http://[::1]:6000", "[::1]:6000"),
        ("c", "https://ca.example.com/", "0.0.0.0:5555"),
    ] {
        let home = folder.path().join(name);
        check(&["init", text(&home), "--url", url], 0);
        let file = home.join("mayfly.yaml");
        let (out, _) = check(&["check", "--config", text(&file)], 0);
        let url = url.trim_end_matches('/');
        assert!(out.starts_with(&format!("{url}, listening on {listen},")), "{out}");
    }
}

#[test]
fn tls_that_does_not_load_is_told_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayfly.yaml");
    let yaml = "url: https://localhost:5555\nlisten: 127.0.0.1:0\nissuers: []\n\
                tls: { certificate: tls/tls.crt, key: tls/tls.key }\n";
    std::fs::write(&file, yaml).unwrap();
    for command in ["check", "serve"] {
        let (out, err) = check(&[command, "--config", text(&file)], 2);
        assert!(out.is_empty(), "{command}: {out}");
        assert!(err.contains("mayfly.yaml: tls: cannot read"), "{command}: {err}");
        assert!(err.contains("tls/tls.crt"), "{command}: {err}");
        assert!(!folder.path().join("data").exists(), "{command} made an installation");
    }
}

#[test]
fn a_passphrase_is_its_owners_and_named_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("passphrase");
    let write = |text: &str, mode| {
        std::fs::write(&secret, text).unwrap();
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).unwrap();
    };
    let home = folder.path().join("mayfly");
    let init = ["init", text(&home), "--passphrase-file", text(&secret)];
    write("geheim\n", 0o644);
    let (_, err) = check(&init, 2);
    assert!(err.contains("chmod 600") && !home.exists(), "{err}");
    write("geheim\n", 0o600);
    check(&init, 0);

    let file = home.join("mayfly.yaml");
    let show = ["trust", "show", "--config", text(&file)];
    check(&show, 0);
    write("offen\n", 0o600);
    let other = folder.path().join("other");
    check(&["init", text(&other), "--passphrase-file", text(&secret)], 0);
    let root = other.join("data/root.key");
    let rotate = ["rotate", "authority", "--root-key", text(&root), "--config", text(&file)];
    write("geheim\n", 0o600);
    let (_, err) = check(&rotate, 1);
    assert!(err.contains(text(&root)) && err.contains(text(&secret)), "{err}");
    write("offen\n", 0o600);
    let (_, err) = check(&show, 1);
    assert!(err.contains("authority.key") && err.contains(text(&secret)), "{err}");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let line = |line: &&str| !line.contains("passphrase_file");
    let without: Vec<&str> = yaml.lines().filter(line).collect();
    std::fs::write(&file, without.join("\n")).unwrap();
    let (_, err) = check(&show, 1);
    assert!(err.contains("authority.passphrase_file"), "{err}");
}

#[test]
fn whom_an_issuer_vouches_for_is_not_a_readers_business() {
    let folder = tempfile::tempdir().unwrap();
    let fulcio = fulcio_config(folder.path(), "https://accounts.google.com");
    let home = folder.path().join("mayfly");
    check(&["init", text(&home)], 0);
    let (file, data) = (home.join("mayfly.yaml"), home.join("data"));
    let source = ["--fulcio-config", text(&fulcio), "--data", text(&data)];
    check(&[["check"].as_slice(), &source].concat(), 2);
    for command in [["trust", "show"], ["log", "search"]] {
        check(&[command.as_slice(), &source].concat(), 0);
    }
    let (out, _) = check(&["trust", "show", "--config", text(&file)], 0);
    assert!(out.lines().any(|line| line.contains("valid  20") && line.contains(" to 20")), "{out}");
    let year = SystemClock.now().year();
    let root = std::fs::read(data.join("tuf/1.root.json")).unwrap();
    for said in [
        "signature log\n".to_owned(),
        format!("/tlog/{year}\n"),
        "origin  127.0.0.1\n".to_owned(),
        format!("/ct/{year}\n"),
        "vkey    127.0.0.1+".to_owned(),
        "timestamps\n".to_owned(),
        format!("SHA-256 {}\n", mayfly::tlog::merkle::Hash::of(&[&root])),
    ] {
        assert!(out.contains(&said), "{said} in {out}");
    }
    // Rules of a mayfly.yaml are its own business.
    let (_, err) = check(&["check", "--config", text(&file), "--allow-anybody"], 2);
    assert!(err.contains("--allow-anybody"), "{err}");
}

#[test]
fn what_is_not_there_is_named() {
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    let output = command.arg("check").current_dir(nowhere.path()).run().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("or make one with `mayfly init`"), "{said}");
    let (_, err) = check(&["serve", "--listen", "localhost:5998"], 2);
    assert!(err.contains("in numbers, like 127.0.0.1:5555"), "{err}");
    let (_, err) = check(&["bench", "http://127.0.0.1:1", "--token", "nope"], 2);
    assert!(err.contains("nope: No such file"), "{err}");
    let (_, err) = check(&["log", "verify", "http://127.0.0.1:1/ct/2026"], 1);
    assert!(err.contains("http://127.0.0.1:1/ct/2026/checkpoint"), "{err}");
    assert!(err.contains("refused"), "{err}");
}

#[test]
fn the_sample_is_a_configuration() {
    let (out, _) = check(&["check", "--sample"], 0);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/mayfly.yaml");
    assert_eq!(out, std::fs::read_to_string(sample).unwrap());
}

/// The demo, and what it prints.
fn demo() -> (Program, impl Iterator<Item = String>) {
    let demo = Program::start(Command::new(env!("CARGO_BIN_EXE_mayfly")).arg("demo"));
    let lines = demo.lines();
    (demo, lines)
}

/// Ends the demo, and removes its folder: whoever is killed cannot.
fn end(demo: Program, config: &str) {
    drop(demo);
    std::fs::remove_dir_all(Path::new(config.trim()).parent().unwrap()).unwrap();
}

/// The README's issuance by hand, with the addresses that the demo prints.
#[test]
fn the_demo_issues_to_curl_and_openssl() {
    // To curl, a word without a dash is a host to ask.
    let has = |&(tool, word): &(&str, &str)| Command::new(tool).arg(word).run().is_ok();
    if ![("curl", "--version"), ("openssl", "version")].iter().all(has) {
        return skip("curl or openssl is not installed");
    }
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```sh\n").filter_map(|block| block.split("```").next());
    let mut blocks = blocks.filter(|block| block.starts_with("CA="));
    let (_, commands) = blocks.next().and_then(|block| block.split_once('\n')).expect("a block");
    let (demo, mut lines) = demo();
    let mut after = |begin: &str| {
        let line = lines.find_map(|line| Some(line.split_once(begin)?.1.to_owned()));
        line.unwrap_or_else(|| panic!("no {begin:?}"))
    };
    let ca = after("serving ").split(' ').next().unwrap().to_owned();
    let issuer = after("curl -s ").split("/token").next().unwrap().to_owned();
    let config = after(" log search --config ");
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", commands]).envs([("CA", ca), ("ISSUER", issuer)]);
    let output = shell.current_dir(folder.path()).run().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("acme/app"), "{output:?}");
    end(demo, &config);
}

/// What the demo prints for cosign, pasted as it is.
#[test]
fn the_lines_of_the_demo_sign_and_verify() {
    let Some(cosign) = installed("cosign 3", ".cache/bin/cosign-3") else { return };
    let (demo, lines) = demo();
    let mut lines = lines.skip_while(|line| !line.contains(" trust export "));
    let export = lines.next().expect("a suggestion");
    let config = export.split(" --config ").nth(1).unwrap().to_owned();
    let mut commands = vec![export];
    while !commands.iter().any(|line| line.contains("--certificate-oidc-issuer")) {
        commands.push(lines.next().expect("a suggestion"));
    }

    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(cosign, folder.path().join("cosign")).unwrap();
    let mut shell = Command::new("sh");
    let script = format!("PATH=$PWD:$PATH\n{}", commands.join("\n"));
    let shell = shell.args(["-e", "-c", &script]).env("HOME", folder.path());
    let output = shell.current_dir(folder.path()).run().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("Verified OK"), "{commands:#?}\n{err}");
    end(demo, &config);
}

/// What the demo serves is found by the example in the help of `log search`.
#[test]
fn the_example_of_search_finds_the_demo() {
    let (demo, mut lines) = demo();
    let search = lines.find(|line| line.contains(" log search --config ")).expect("a suggestion");
    let config = search.split_whitespace().last().unwrap().to_owned();
    let (help, _) = check(&["log", "search", "--help"], 0);
    let example =
        help.lines().find(|line| line.trim().starts_with("mayfly log search repository="));
    let terms = example.expect("an example").replace("refs/tags/*", "refs/heads/*");
    let mut arguments: Vec<&str> = terms.split_whitespace().skip(1).collect();
    arguments.extend(["--config", &config]);
    let (out, _) = check(&arguments, 0);
    assert!(out.contains("acme/app"), "{arguments:?} finds: {out}");
    assert!(out.lines().all(|line| line == line.trim_end()), "blanks at an end: {out:?}");
    end(demo, &config);
}

/// What `docs/operating.md` quotes can be grepped for: every piece between its `…` is in the code.
#[test]
fn the_messages_for_operators_are_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let table =
        page.split("## When it does not start").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    // What is wrong with a configuration differs from file to file.
    let rows = rows.filter(|row| !row.starts_with("| `mayfly.yaml:"));
    let quoted =
        rows.flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2));
    let pieces = quoted.flat_map(|message| message.split('…'));
    let pieces: Vec<&str> = pieces.map(|piece| piece.trim_matches([' ', ':', ','])).collect();
    let sources = sources(&root.join("src"));
    for piece in pieces.iter().filter(|piece| piece.len() > 3) {
        assert!(sources.contains(piece), "the program never says {piece:?}");
    }
    assert!(pieces.len() > 15, "only {pieces:?}");
}

/// The text of all sources below a folder, their strings in one line.
fn sources(folder: &Path) -> String {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = paths.map(|path| match path.is_dir() {
        true => sources(&path),
        false => std::fs::read_to_string(path).unwrap_or_default(),
    });
    let text = texts.collect::<String>();
    text.split("\\\n")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.trim_start() })
        .collect()
}
