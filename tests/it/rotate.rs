//! The log's calendar, with the real binary: by hand, beside a running server, and at the turn of a year.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::reading::Reading;
use mayfly::time::{Clock, SystemClock, Timestamp};
use mayfly::tlog::key::PublicKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::caller;
use crate::support::issuer::FakeIssuer;
use crate::support::patience::PATIENCE;
use crate::support::process::{Run as _, Server, free_port, fulcio_config};
use crate::support::shard;

mod signatures;
mod timestamp;

/// An instance that comes and goes, and who may have certificates of it.
struct Bench {
    issuer: FakeIssuer,
    folder: TempDir,
    listen: String,
}

impl Bench {
    async fn new() -> Self {
        let issuer = FakeIssuer::start_plain().await;
        let folder = tempfile::tempdir().unwrap();
        fulcio_config(folder.path(), &issuer.url());
        Self { issuer, folder, listen: format!("127.0.0.1:{}", free_port()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// What tells commands which instance.
    fn source(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (config, data) = (text(self.path("fulcio.yaml")), text(self.path("data")));
        let words = ["--fulcio-config", &config, "--allow-anybody", "--data", &data];
        words.into_iter().chain(["--listen", &self.listen]).map(str::to_owned).collect()
    }

    /// Makes the data folder.
    fn init(&self) {
        let home = self.path("home");
        let init = ["init", home.to_str().unwrap(), "--url", &self.url()];
        let made = Command::new(env!("CARGO_BIN_EXE_mayfly")).args(init).run().unwrap();
        assert!(made.status.success());
        std::fs::rename(home.join("data"), self.path("data")).unwrap();
    }

    /// Runs a command about this instance.
    fn output(&self, command: &[&str]) -> Output {
        let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        mayfly.args(command).args(self.source()).run().unwrap()
    }

    /// The same of one that succeeds; yields stdout.
    #[track_caller]
    fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, command: &[&str]) -> Value {
        serde_json::from_str(&self.run(command)).unwrap()
    }

    /// Runs a command that makes something six times at once: one makes it, and its answer is yielded.
    #[track_caller]
    fn race(&self, command: &[&str]) -> Value {
        let spawn = |_| {
            let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
            mayfly.args(command).args(self.source());
            std::thread::spawn(move || mayfly.run().unwrap())
        };
        let racers: Vec<_> = (0..6).map(spawn).collect();
        let mut winners = Vec::new();
        for racer in racers {
            let output = racer.join().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let late = ["another process", "wait until it has"].iter().any(|it| said.contains(it));
            match output.status.code() {
                Some(0) => winners.push(serde_json::from_slice::<Value>(&output.stdout).unwrap()),
                code => assert!(code == Some(1) && late, "{said}"),
            }
        }
        winners.retain(|told| !told["made"].is_null());
        assert_eq!(winners.len(), 1, "{winners:?}");
        winners.remove(0)
    }

    /// `trusted_root.json`.
    async fn root(&self) -> Value {
        let root = Client::new(&self.url()).get("/trusted_root.json").await.expect("an answer");
        serde_json::from_slice(&root).unwrap()
    }

    /// The logs that it names.
    async fn logs(&self) -> Vec<Value> {
        self.root().await["ctlogs"].as_array().unwrap().clone()
    }

    /// Has the server look until it is as wanted.
    async fn root_comes_to(&self, server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
        let comes = async {
            loop {
                server.hang_up();
                let root = self.root().await;
                if wanted(&root) {
                    return root;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, comes).await {
            Ok(root) => root,
            Err(_) => panic!("it says {} and:\n{}", self.root().await, server.said()),
        }
    }

    /// The same until its logs are.
    async fn comes_to(&self, server: &Server, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let logs = |root: &Value| root["ctlogs"].as_array().unwrap().clone();
        logs(&self.root_comes_to(server, |root| wanted(&logs(root))).await)
    }

    /// A certificate for a token that is issued at `now`, and the chain that issued it: PEM.
    async fn chain(&self, now: Timestamp) -> Vec<String> {
        let claims = json!({ "email": "alice@example.com", "email_verified": true });
        let token = self.issuer.token_at(now.as_secs(), claims);
        let body = Requester::new().and_then(|requester| requester.request(&token)).unwrap();
        let answer = Client::new(&self.url()).post("/api/v2/signingCert", body).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        serde_json::from_value(chain.clone()).unwrap_or_else(|_| panic!("{answer}"))
    }

    /// The same read, and the key of its issuer.
    async fn certificate(&self, now: Timestamp) -> (Reading, PublicKey) {
        let chain = self.chain(now).await;
        (certified(&chain[0]), certified(&chain[1]).public_key().unwrap())
    }

    /// Judges every log that the instance names, from outside: all hold.
    async fn verify_all(&self) {
        let root = self.root().await;
        let (all, verified) = (of(&root, "ctlogs") + of(&root, "tlogs"), self.verify());
        assert_eq!(verified.matches(" holds\n").count(), all, "{verified}");
        if of(&root, "ctlogs") > 1 {
            let mut one = Command::new(env!("CARGO_BIN_EXE_mayfly"));
            let one = one.args(["log", "verify", &self.url(), "--state", "one"]).run().unwrap();
            let said = String::from_utf8(one.stderr).unwrap();
            assert!(said.contains("ct/") && said.contains("tlog/"), "{said}");
        }
    }

    /// What `log verify` says of them.
    fn verify(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_mayfly"))
            .args(["log", "verify", &self.url()])
            .env("XDG_STATE_HOME", self.folder.path())
            .run()
            .unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{out}{err}");
        out
    }
}

fn key(log: &Value) -> PublicKey {
    use base64::Engine;
    let spki = log["publicKey"]["rawBytes"].as_str().unwrap();
    let spki = base64::engine::general_purpose::STANDARD.decode(spki).unwrap();
    PublicKey::from_spki(&spki).unwrap()
}

/// Which of the logs has signed the certificate's SCT; exactly one has.
fn logged_by((certificate, issuer): &(Reading, PublicKey), logs: &[Value]) -> usize {
    let signed = |log: &Value| certificate.verify_sct(&key(log), issuer).is_ok();
    let by: Vec<usize> = (0..logs.len()).filter(|at| signed(&logs[*at])).collect();
    assert_eq!(by.len(), 1, "{by:?}");
    by[0]
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| name.ends_with(".key") || name.ends_with(".sqlite")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_next_shard_is_made_by_hand() {
    let bench = Bench::new().await;
    bench.init();
    let ct = bench.path("data/ct");
    let this = shard::name(&bench.path("data"));
    let next = (this.parse::<u64>().unwrap() + 1).to_string();
    // In December there is the next one from the beginning; in the year's last minutes there is the one before.
    for name in names(&ct).into_iter().filter(|name| name.starts_with(&next)) {
        std::fs::remove_file(ct.join(name)).unwrap();
    }
    let before = names(&ct).len() / 3 - 1;

    let dry = bench.json(&["rotate", "log", "--dry-run", "--json"]);
    assert_eq!(dry["made"], Value::Null);
    assert_eq!(dry["certificates"]["shards"].as_array().unwrap().len(), before + 1);
    let shard = &dry["certificates"]["shards"][before];
    assert_eq!((&shard["name"], &shard["state"]), (&json!(this), &json!("open")));
    assert_eq!(shard["start"], json!(format!("{this}-01-01T00:00:00Z")));
    assert_eq!(dry["certificates"]["next"]["start"], json!(format!("{next}-01-01T00:00:00Z")));
    let text = bench.run(&["rotate", "log", "--dry-run"]);
    assert!(text.contains(&this) && text.contains("is made by `mayfly serve` on"), "{text}");
    assert!(text.contains("rotate log\n") && text.contains("rotate signatures\n"), "{text}");
    let files = ["key", "note.key", "sqlite"].map(|file| format!("{this}.{file}"));
    assert_eq!(names(&ct)[before * 3..], files);

    // Of many at once one makes it; the others find it, or say that somebody is at it.
    let made = bench.race(&["rotate", "log", "--json"]);
    assert_eq!(made["made"], json!(next));
    let shard = &made["certificates"]["shards"][before + 1];
    assert_eq!((&shard["state"], &shard["entries"]), (&json!("next"), &json!(0)));
    let again = bench.json(&["rotate", "log", "--json"]);
    assert_eq!((&again["made"], &again["certificates"]), (&Value::Null, &made["certificates"]));
    assert_eq!(names(&ct).len(), before * 3 + 6);
    let mode = std::fs::metadata(ct.join(format!("{next}.key"))).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The commands about the log are about any shard of it.
    let checked = bench.json(&["log", "fsck", "--json", "--shard", &next]);
    assert_eq!(checked["origin"], json!(format!("{}/ct/{next}", bench.listen)), "{checked}");
    assert_eq!(bench.run(&["log", "search", "--shard", &next]), "nothing found\n");
    let refused = Command::new(env!("CARGO_BIN_EXE_mayfly"))
        .args(["log", "show", "0", "--shard", "1999"])
        .args(bench.source())
        .run()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    let there_are = format!("{this}, {next}");
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("no shard \"1999\"; there are ") && said.contains(&there_are), "{said}");

    let root = bench.json(&["trust", "show", "--json"]);
    let logs = root["ctlogs"].as_array().unwrap();
    let urls: Vec<_> = logs.iter().map(|log| log["baseUrl"].as_str().unwrap()).collect();
    let expected = [&this, &next].map(|name| format!("{}/ct/{name}", bench.url()));
    assert_eq!(urls[before..], expected);
    let [one, other] = [before, before + 1].map(|at| &logs[at]["publicKey"]["rawBytes"]);
    assert_ne!(one, other);
    let shown = bench.run(&["trust", "show"]);
    assert!(urls.iter().all(|url| shown.contains(url)), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_takes_up_what_is_made_beside_it_and_misses_what_was_taken_away() {
    let bench = Bench::new().await;
    let mut server = Server::start(&bench.source());
    let this = shard::name(&bench.path("data"));
    let name =
        |log: &Value| log["baseUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    // In December it has made the next one by itself.
    let before = bench.logs().await;
    let is_last = name(&before[before.len() - 1]) == this;
    let made = bench.json(&["rotate", "log", "--json"]);
    assert_eq!(made["made"].is_string(), is_last, "{made}");
    let count = before.len() + usize::from(is_last);
    let logs = bench.comes_to(&server, |logs| logs.len() == count).await;
    let ledger = std::fs::read_to_string(bench.path("data/ct/shards")).unwrap();
    assert!(logs.iter().all(|log| ledger.contains(&format!("\n{}\n", name(log)))), "{ledger}");
    assert!(logs.iter().all(|log| log["publicKey"]["validFor"]["end"].is_null()), "{logs:?}");
    let base = logs[count - 1]["baseUrl"].as_str().unwrap();
    let path = base.strip_prefix(&bench.url()).unwrap();
    let checkpoint = Client::new(&bench.url()).get(&format!("{path}/checkpoint")).await.unwrap();
    let origin = base.strip_prefix("http://").unwrap();
    assert!(checkpoint.starts_with(format!("{origin}\n0\n").as_bytes()), "{checkpoint:?}");
    let certificate = bench.certificate(SystemClock.now()).await;
    logged_by(&certificate, &logs);
    bench.verify_all().await;
    server.kill();

    // The one in use is gone, with its mark.
    for file in std::fs::read_dir(bench.path("data/ct")).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with(&this) {
            std::fs::remove_file(file).unwrap();
        }
    }
    for command in [&["serve"][..], &["rotate", "log"], &["log", "search"], &["trust", "show"]] {
        let mut refused = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let refused = refused.args(command).args(bench.source()).run().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("the shard {this} of the log is missing")), "{said}");
        assert!(said.contains("data/ct/shards remembers it"), "{said}");
    }
}

/// The authority's next intermediate is published, takes over when it begins, and what came before stays.
#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_taken_over_while_it_serves() {
    let bench = Bench::new().await;
    let mut server = Server::start(&bench.source());
    let now = || SystemClock.now();
    let old = bench.chain(now()).await;
    let names = |state: &str| json!([["authority.pem", "issuing"], ["authority-2.pem", state]]);
    let states = |calendar: &Value| -> Value {
        let chains = calendar["chains"].as_array().unwrap().iter();
        let name = |chain: &Value| {
            Path::new(chain["file"].as_str().unwrap()).file_name().map(|name| name.to_owned())
        };
        chains.map(|chain| json!([name(chain).unwrap().to_str(), chain["state"]])).collect()
    };
    let dry = bench.json(&["rotate", "authority", "--dry-run", "--json"]);
    assert_eq!((&dry["made"], states(&dry)), (&Value::Null, json!([["authority.pem", "issuing"]])));

    let made = bench.json(&["rotate", "authority", "--ahead", "10s", "--json"]);
    assert_eq!(states(&made), names("next"));
    // While one waits for its time there is no other.
    let again = bench.output(&["rotate", "authority"]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(1) && said.contains("wait until it has"), "{said}");

    // Published, and not used: it does not hold yet.
    let published =
        bench.root_comes_to(&server, |root| of(root, "certificateAuthorities") == 2).await;
    let begins = published["certificateAuthorities"][1]["validFor"]["start"].as_str().unwrap();
    assert_eq!(begins, made["next"]["start"]);
    let bundle = Client::new(&bench.url()).get("/api/v2/trustBundle").await.unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    assert_eq!(of(&bundle, "chains"), 2);
    let second = bundle["chains"][1]["certificates"][0].as_str().unwrap().trim();
    let turn = async {
        loop {
            let (before, chain) = (now(), bench.chain(now()).await);
            if chain[1] == second {
                return chain;
            }
            assert!(chain[1] == old[1] && before.to_string().as_str() <= begins, "{before}");
        }
    };
    let new = tokio::time::timeout(PATIENCE, turn).await.expect("it takes over");
    bench.verify_all().await;

    // Verifiers are told when the old one ended, and both certificates are shown to be the authority's.
    let ended = |root: &Value| root["certificateAuthorities"][0]["validFor"]["end"].is_string();
    let root = bench.root_comes_to(&server, ended).await;
    assert_eq!(root["certificateAuthorities"][1], published["certificateAuthorities"][1]);
    for (name, chain) in [("old.pem", &old), ("new.pem", &new)] {
        let file = bench.path(name);
        std::fs::write(&file, &chain[0]).unwrap();
        let shown = bench.run(&["log", "show", file.to_str().unwrap()]);
        assert!(shown.contains("signed by the authority"), "{shown}");
    }
    server.kill();

    // The key that signs nothing any more is not needed; the one that signs is.
    let data = bench.path("data");
    std::fs::remove_file(data.join("authority.key")).unwrap();
    let live = String::from_utf8(bench.output(&["check", "--live"]).stdout).unwrap();
    assert!(live.contains("authority key") && !live.contains("authority.key"), "{live}");
    let mut server = Server::start(&bench.source());
    assert_eq!(bench.chain(now()).await[1], second);
    assert_eq!(bench.root().await["certificateAuthorities"], root["certificateAuthorities"]);
    let dry = bench.json(&["rotate", "authority", "--dry-run", "--json"]);
    assert_eq!(
        states(&dry),
        json!([["authority.pem", "taken over"], ["authority-2.pem", "issuing"]])
    );
    server.kill();
    std::fs::remove_file(data.join("authority-2.key")).unwrap();
    let said = String::from_utf8(bench.output(&["trust", "show"]).stderr).unwrap();
    assert!(said.contains("authority-2.key"), "{said}");
}

/// A root that is not this authority's makes nothing, and neither does one that is not there.
#[tokio::test]
async fn only_the_root_makes_the_next_chain() {
    let bench = Bench::new().await;
    let mut server = Server::start(&bench.source());
    server.kill();
    let data = bench.path("data");
    let before = names(&data);
    let other = data.join("authority.key");
    for (key, wanted) in [
        (other, "this is not the key of the root"),
        (bench.path("absent.key"), "the root's key is not here"),
    ] {
        let refused = bench.output(&["rotate", "authority", "--root-key", key.to_str().unwrap()]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(wanted), "{said}");
        assert_eq!(names(&data), before);
    }
    let refused = bench.output(&["rotate", "authority", "--ahead", "soon"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// Of many at once one makes the next chain; the others find it, or say that somebody is at it.
#[tokio::test]
async fn of_many_at_once_one_makes_the_next_chain() {
    let bench = Bench::new().await;
    bench.init();
    for key in ["authority", "timestamp"] {
        bench.race(&["rotate", key, "--json"]);
        let calendar = bench.json(&["rotate", key, "--dry-run", "--json"]);
        assert_eq!(of(&calendar, "chains"), 2, "{key}");
    }
}

/// How many members a list has.
fn of(value: &Value, list: &str) -> usize {
    value[list].as_array().map_or(0, Vec::len)
}

fn certified(pem: &str) -> Reading {
    Reading::of(&caller::der(pem)).unwrap()
}

/// New Year's Eve: certificates hold ten minutes, so that the new shard begins ten minutes early.
#[tokio::test(flavor = "multi_thread")]
async fn the_year_turns_while_it_serves() {
    let bench = Bench::new().await;
    // Both the next shard and the trust files come thirty days ahead.
    let Some(mut server) = Server::start_at("2026-11-26 12:00:00", &bench.source()) else { return };
    assert_eq!(bench.logs().await.len(), 1);
    server.kill();
    let mut server = Server::start_at("2026-12-02 00:00:01", &bench.source()).unwrap();
    let logs = bench.logs().await;
    assert_eq!(logs.len(), 2);
    for shard in ["ct/2027", "tlog/2027"] {
        server.comes_to_say(&format!("the log has a new shard, {shard}"));
    }
    server.kill();

    let eve = Timestamp::from_year(2027).minus(Duration::from_secs(602));
    let mut server = Server::start_at("2026-12-31 23:49:58", &bench.source()).unwrap();
    assert_eq!(logged_by(&bench.certificate(eve).await, &logs), 0);
    let turn = async { while logged_by(&bench.certificate(eve).await, &logs) == 0 {} };
    tokio::time::timeout(PATIENCE, turn).await.expect("the new shard takes certificates");
    server.kill();

    let midnight = Timestamp::from_year(2027);
    let mut server = Server::start_at("2026-12-31 23:59:58", &bench.source()).unwrap();
    assert_eq!(logged_by(&bench.certificate(midnight).await, &logs), 1);
    let ended = |logs: &[Value]| logs[0]["publicKey"]["validFor"]["end"] == "2027-01-02T00:00:00Z";
    let logs = bench.comes_to(&server, ended).await;
    for shard in ["ct/2026", "tlog/2026"] {
        server.comes_to_say(&format!("the shard {shard} is closed: its window has ended"));
    }
    assert_eq!(logged_by(&bench.certificate(midnight).await, &logs), 1);
    bench.verify_all().await;
    server.kill();

    let _server = Server::start_at("2027-01-01 00:01:00", &bench.source()).unwrap();
    assert_eq!(bench.logs().await, logs);
    assert_eq!(logged_by(&bench.certificate(midnight).await, &logs), 1);
    bench.verify_all().await;
}
