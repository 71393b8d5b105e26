//! The log's calendar, with the real binary: by hand, beside a running server, and at the turn of a year.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
use crate::support::process::{Server, free_port, fulcio_config};

const PATIENCE: Duration = Duration::from_secs(60);

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

    /// Runs a command about this instance; yields stdout.
    #[track_caller]
    fn run(&self, command: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_mayfly"))
            .args(command)
            .args(self.source())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, command: &[&str]) -> Value {
        serde_json::from_str(&self.run(command)).unwrap()
    }

    /// The logs that `trusted_root.json` names.
    async fn logs(&self) -> Vec<Value> {
        let root = Client::new(&self.url()).get("/trusted_root.json").await.expect("an answer");
        let root: Value = serde_json::from_slice(&root).unwrap();
        root["ctlogs"].as_array().unwrap().clone()
    }

    /// Has the server look at its shards until `logs` are as wanted.
    async fn comes_to(&self, server: &Server, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let comes = async {
            loop {
                server.hang_up();
                let logs = self.logs().await;
                if wanted(&logs) {
                    return logs;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, comes).await {
            Ok(logs) => logs,
            Err(_) => panic!("it names {:?} and says:\n{}", self.logs().await, server.said()),
        }
    }

    /// A certificate for a token that is issued at `now`, and the key of its issuer.
    async fn certificate(&self, now: Timestamp) -> (Reading, PublicKey) {
        let claims = json!({ "email": "alice@example.com", "email_verified": true });
        let token = self.issuer.token_at(now.as_secs(), claims);
        let body = Requester::new().and_then(|requester| requester.request(&token)).unwrap();
        let answer = Client::new(&self.url()).post("/api/v2/signingCert", body).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
        let read = |at: usize| {
            let pem = chain[at].as_str().unwrap_or_else(|| panic!("{answer}"));
            Reading::of(&caller::der(pem)).unwrap()
        };
        (read(0), read(1).public_key().unwrap())
    }

    /// Judges every log that the instance names, from outside; yields the size of each.
    fn verify(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_mayfly"))
            .args(["log", "verify", &self.url()])
            .env("XDG_STATE_HOME", self.folder.path())
            .output()
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
    let home = bench.path("home");
    let init = ["init", home.to_str().unwrap(), "--url", &bench.url()];
    let made = Command::new(env!("CARGO_BIN_EXE_mayfly")).args(init).output().unwrap();
    assert!(made.status.success());
    std::fs::rename(home.join("data"), bench.path("data")).unwrap();
    let year = SystemClock.now().year();
    let (this, next) = (year.to_string(), (year + 1).to_string());

    let dry = bench.json(&["rotate", "log", "--dry-run", "--json"]);
    assert_eq!(dry["made"], Value::Null);
    assert_eq!(dry["shards"].as_array().unwrap().len(), 1);
    let shard = &dry["shards"][0];
    assert_eq!((&shard["name"], &shard["state"]), (&json!(this), &json!("open")));
    assert_eq!(shard["start"], json!(format!("{this}-01-01T00:00:00Z")));
    assert_eq!(dry["next"]["start"], json!(format!("{next}-01-01T00:00:00Z")));
    let text = bench.run(&["rotate", "log", "--dry-run"]);
    assert!(text.contains(&this) && text.contains("is made by `mayfly serve` on"), "{text}");
    let ct = bench.path("data/ct");
    assert_eq!(names(&ct), ["key", "note.key", "sqlite"].map(|file| format!("{this}.{file}")));

    // Of many at once one makes it; the others find it, or say that somebody is at it.
    let spawn = |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command.args(["rotate", "log", "--json"]).args(bench.source());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let racers: Vec<_> = (0..6).map(spawn).collect();
    let mut winners = Vec::new();
    for racer in racers {
        let output = racer.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => winners.push(serde_json::from_slice::<Value>(&output.stdout).unwrap()),
            code => assert!(code == Some(1) && said.contains("another process"), "{said}"),
        }
    }
    winners.retain(|told| !told["made"].is_null());
    assert_eq!(winners.len(), 1, "{winners:?}");
    let made = &winners[0];
    assert_eq!(made["made"], json!(next));
    assert_eq!(
        (&made["shards"][1]["state"], &made["shards"][1]["entries"]),
        (&json!("next"), &json!(0))
    );
    let again = bench.json(&["rotate", "log", "--json"]);
    assert_eq!((&again["made"], &again["shards"]), (&Value::Null, &made["shards"]));
    assert_eq!(names(&ct).len(), 6);
    let mode = std::fs::metadata(ct.join(format!("{next}.key"))).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The commands about the log are about any shard of it.
    let checked = bench.json(&["log", "fsck", "--json", "--shard", &next]);
    assert_eq!(checked["origin"], json!(format!("{}/ct/{next}", bench.listen)), "{checked}");
    assert_eq!(bench.run(&["log", "search", "--shard", &next]), "nothing found\n");
    let refused = Command::new(env!("CARGO_BIN_EXE_mayfly"))
        .args(["log", "show", "0", "--shard", "1999"])
        .args(bench.source())
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    let there_are = format!("no shard \"1999\"; there are {this}, {next}");
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&there_are), "{said}");

    let root = bench.json(&["trust", "show", "--json"]);
    let logs = root["ctlogs"].as_array().unwrap();
    let urls: Vec<_> = logs.iter().map(|log| log["baseUrl"].as_str().unwrap()).collect();
    assert_eq!(urls, [&this, &next].map(|name| format!("{}/ct/{name}", bench.url())));
    assert_ne!(logs[0]["publicKey"]["rawBytes"], logs[1]["publicKey"]["rawBytes"]);
    let shown = bench.run(&["trust", "show"]);
    assert!(urls.iter().all(|url| shown.contains(url)), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_takes_up_what_is_made_beside_it() {
    let bench = Bench::new().await;
    let server = Server::start(&bench.source());
    // In December it has made the next one by itself.
    let before = bench.logs().await.len();
    let made = bench.json(&["rotate", "log", "--json"]);
    assert_eq!(made["made"].is_string(), before == 1, "{made}");
    let logs = bench.comes_to(&server, |logs| logs.len() == 2).await;
    assert!(logs.iter().all(|log| log["publicKey"]["validFor"]["end"].is_null()), "{logs:?}");
    let base = logs[1]["baseUrl"].as_str().unwrap();
    let path = base.strip_prefix(&bench.url()).unwrap();
    let checkpoint = Client::new(&bench.url()).get(&format!("{path}/checkpoint")).await.unwrap();
    let origin = base.strip_prefix("http://").unwrap();
    assert!(checkpoint.starts_with(format!("{origin}\n0\n").as_bytes()), "{checkpoint:?}");
    let certificate = bench.certificate(SystemClock.now()).await;
    logged_by(&certificate, &logs);
    let verified = bench.verify();
    assert_eq!(verified.matches(" holds\n").count(), 2, "{verified}");
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
    assert!(server.said().contains("the log has a new shard, 2027"), "{}", server.said());
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
    assert!(
        server.said().contains("/ct/2026 is closed: its window has ended"),
        "{}",
        server.said()
    );
    assert_eq!(logged_by(&bench.certificate(midnight).await, &logs), 1);
    let verified = bench.verify();
    assert_eq!(verified.matches(" holds\n").count(), 2, "{verified}");
    server.kill();

    let _server = Server::start_at("2027-01-01 00:01:00", &bench.source()).unwrap();
    assert_eq!(bench.logs().await, logs);
    assert_eq!(logged_by(&bench.certificate(midnight).await, &logs), 1);
    let verified = bench.verify();
    assert_eq!(verified.matches(" holds\n").count(), 2, "{verified}");
}
