//! A changed configuration is taken up by the running binary, or refused whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mayfly::cli::client::{Answer, Client};
use mayfly::cli::requester::Requester;
use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::issuer::{Endpoint, FakeIssuer, Fault};
use crate::support::patience::{PATIENCE, until};
use crate::support::process::Server;

/// A `mayfly.yaml` that trusts the issuers at `urls` for e-mail addresses.
fn yaml(urls: &[&str]) -> String {
    let mut text = "listen: 127.0.0.1:0\nissuers:\n".to_owned();
    for url in urls {
        text += &format!("  - url: {url}\n    type: email\n");
    }
    text
}

const A: &str = "https://a.example.com";
const B: &str = "https://b.example.com";
const C: &str = "https://c.example.com";

/// An instance whose configuration changes.
struct Bench {
    folder: TempDir,
    server: Server,
    client: Client,
}

impl Bench {
    /// Serves `text`.
    fn serving(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mayfly.yaml"), text).unwrap();
        Self::start(folder)
    }

    fn start(folder: TempDir) -> Self {
        let file = folder.path().join("mayfly.yaml");
        let server = Server::start(&["--config".as_ref(), file.as_os_str()]);
        let client = Client::new(&server.url);
        Self { folder, server, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration in place.
    fn write(&self, text: &str) {
        fs::write(self.path("mayfly.yaml"), text).unwrap();
    }

    /// The issuers that it says it trusts.
    async fn trusted(&self) -> Vec<String> {
        let body = self.client.get("/api/v2/configuration").await.expect("an answer");
        let body: Value = serde_json::from_slice(&body).unwrap();
        let issuers = body["issuers"].as_array().unwrap().iter();
        issuers.map(|issuer| issuer["issuerUrl"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until it trusts the issuers at `urls`.
    async fn comes_to_trust(&self, urls: &[&str]) {
        let comes = async { while self.trusted().await != urls {} };
        if tokio::time::timeout(PATIENCE, comes).await.is_err() {
            panic!("it trusts {:?} and says:\n{}", self.trusted().await, self.server.said());
        }
    }

    /// Waits until it has said `words` so many times.
    async fn says(&self, words: &str, times: usize) {
        let says = async {
            while self.server.said().matches(words).count() < times {
                self.client.get("/healthz").await.expect("an answer");
            }
        };
        if tokio::time::timeout(PATIENCE, says).await.is_err() {
            panic!("it does not say {words:?} but:\n{}", self.server.said());
        }
    }

    /// Waits until `/readyz` warns, or does not, of a file that does not hold.
    async fn warns(&self, expected: bool) {
        let warns = async {
            loop {
                let body = self.client.get("/readyz").await.expect("an answer");
                let body: Value = serde_json::from_slice(&body).unwrap();
                let warnings = body["warnings"].as_array().unwrap();
                if warnings.iter().any(|it| it["part"] == "configuration") == expected {
                    assert_eq!(body["ready"], true);
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, warns).await.expect("a word on the file");
    }

    /// Asks for a certificate with a token of `issuer` for this address.
    async fn ask(&self, issuer: &FakeIssuer, email: &str) -> Answer {
        let claims = json!({ "email": email, "email_verified": true });
        let token = issuer.token_at(SystemClock.now().as_secs(), claims);
        let body = Requester::new().and_then(|requester| requester.request(&token)).unwrap();
        self.client.post("/api/v2/signingCert", body).await.expect("an answer")
    }
}

#[tokio::test]
async fn a_write_in_place_and_a_rename_over_it_are_noticed() {
    let bench = Bench::serving(&yaml(&[A]));
    bench.comes_to_trust(&[A]).await;
    bench.write(&yaml(&[A, B]));
    bench.comes_to_trust(&[A, B]).await;
    bench.says("1 issuer added (https://b.example.com)", 1).await;
    fs::write(bench.path("new.yaml"), yaml(&[B, C])).unwrap();
    fs::rename(bench.path("new.yaml"), bench.path("mayfly.yaml")).unwrap();
    bench.comes_to_trust(&[B, C]).await;
    let said = "1 issuer added (https://c.example.com), 1 issuer removed (https://a.example.com)";
    bench.says(said, 1).await;
}

#[tokio::test]
async fn a_symbolic_link_that_points_elsewhere_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, text: String| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("mayfly.yaml"), text).unwrap();
    };
    let point = |folder: &Path, to: &str| {
        symlink(to, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    version("..1", yaml(&[A]));
    version("..2", yaml(&[B]));
    point(folder.path(), "..1");
    symlink("..data/mayfly.yaml", folder.path().join("mayfly.yaml")).unwrap();
    let bench = Bench::start(folder);
    bench.comes_to_trust(&[A]).await;
    point(bench.folder.path(), "..2");
    bench.comes_to_trust(&[B]).await;
}

#[tokio::test]
async fn a_hangup_has_the_file_read_and_ends_nothing() {
    let bench = Bench::serving(&yaml(&[A]));
    bench.comes_to_trust(&[A]).await;
    bench.server.hang_up();
    bench.says("configuration reloaded: nothing changed", 1).await;
    bench.write("issuers: 7\n");
    bench.server.hang_up();
    bench.says("issuers: expected a list, got a number", 1).await;
    bench.comes_to_trust(&[A]).await;
}

#[tokio::test]
async fn a_file_that_does_not_hold_changes_nothing_until_it_holds() {
    let bench = Bench::serving(&yaml(&[A]));
    bench.write(&(yaml(&[B]) + "    ca: new.pem\nlifetime: 1s\n"));
    bench.warns(true).await;
    bench.says("the one in force stays", 1).await;
    bench.says("mayfly.yaml:6: lifetime: expected a duration", 1).await;
    bench.says("new.pem: cannot be read", 1).await;
    bench.comes_to_trust(&[A]).await;
    bench.write(&(yaml(&[B]) + "    ca: new.pem\n"));
    bench.says("the one in force stays", 2).await;
    // Now a file comes that nobody could look at before.
    let certificate = rcgen::generate_simple_self_signed(["idp.example.com".to_owned()]).unwrap();
    fs::write(bench.path("new.pem"), certificate.cert.pem()).unwrap();
    bench.comes_to_trust(&[B]).await;
    bench.warns(false).await;
    // And it matters from now on.
    fs::write(bench.path("new.pem"), "nothing").unwrap();
    bench.says("expected PEM certificates, got none", 1).await;
    bench.comes_to_trust(&[B]).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let bench = Bench::serving(&yaml(&[A]));
    bench.write(&(yaml(&[A, B]) + "lifetime: 5m\ndata: elsewhere\n"));
    bench.comes_to_trust(&[A, B]).await;
    bench.says("`lifetime` has changed; that counts from the next start on", 1).await;
    bench.says("`data` has changed; that counts from the next start on", 1).await;
    bench.write(&(yaml(&[A, B]).replace("127.0.0.1:0", "127.0.0.1:1") + "data: elsewhere\n"));
    let said = "configuration reloaded: changed for the next start: `url`, `listen`, `data`, `authority`\"";
    bench.says(said, 1).await;
    assert!(!bench.path("elsewhere").exists());
}

#[tokio::test]
async fn a_file_that_is_touched_without_rest_is_taken_up() {
    let bench = Bench::serving(&yaml(&[A]));
    bench.write(&yaml(&[B]));
    let file = fs::File::options().append(true).open(bench.path("mayfly.yaml")).unwrap();
    let touching = async {
        for second in 1.. {
            file.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = bench.comes_to_trust(&[B]) => {}
        () = touching => {}
    }
}

#[tokio::test]
async fn a_file_that_never_rests_is_pointed_out_and_read_when_asked() {
    let bench = Bench::serving(&yaml(&[A]));
    let writing = async {
        for version in 0.. {
            bench.write(&format!("{}# {version}\n", yaml(&[B])));
            bench.client.get("/healthz").await.expect("an answer");
        }
    };
    tokio::select! {
        () = bench.says("something else at each of 5 looks", 1) => {}
        () = writing => {}
    }
    bench.server.hang_up();
    bench.comes_to_trust(&[B]).await;
}

#[tokio::test]
async fn an_issuer_that_lost_its_rules_is_pointed_out() {
    let allow = "    allow: [ { email: a@example.com } ]\n";
    let deny = "    deny: [ { email: b@example.com } ]\n";
    let bench = Bench::serving(&(yaml(&[A]) + allow + deny));
    let lost = "1 issuer lost `allow` or `deny` (https://a.example.com): more tokens are granted";
    bench.write(&(yaml(&[A]) + allow));
    bench.says(lost, 1).await;
    bench.write(&(yaml(&[A]) + &allow.replace("a@", "c@") + deny));
    bench.says("rules of 1 issuer changed", 2).await;
    bench.write(&yaml(&[A]));
    bench.says("rules of 1 issuer changed", 3).await;
    bench.says(lost, 2).await;
    bench.write(&(yaml(&[A]) + allow));
    bench.says("rules of 1 issuer changed", 4).await;
    assert_eq!(bench.server.said().matches(lost).count(), 2);
}

#[tokio::test]
async fn a_request_under_way_ends_under_the_trust_it_began_with() {
    let issuer = FakeIssuer::start_plain().await;
    let bench = Bench::serving(&yaml(&[&issuer.url()]));
    issuer.fail(Endpoint::Keys, Fault::Silent);
    let change = async {
        until("the keys are asked for", async || issuer.requests(Endpoint::Keys) > 0).await;
        bench.write(&yaml(&[A]));
        bench.comes_to_trust(&[A]).await;
        // Whoever begins now is refused, though the keys are still waited for.
        let later = bench.ask(&issuer, "alice@example.com").await;
        issuer.heal();
        later
    };
    let (answer, later) = tokio::join!(bench.ask(&issuer, "alice@example.com"), change);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    for answer in [later, bench.ask(&issuer, "alice@example.com").await] {
        assert_eq!(answer.status, 400);
        assert!(String::from_utf8_lossy(&answer.body).contains("ISSUER_UNKNOWN"));
    }
}

#[tokio::test]
async fn other_rules_count_at_once_and_keys_stay_though_their_issuer_is_down() {
    let issuer = FakeIssuer::start_plain().await;
    let url = issuer.url();
    let bench = Bench::serving(&yaml(&[&url]));
    assert_eq!(bench.ask(&issuer, "alice@example.com").await.status, 200);
    issuer.fail(Endpoint::Discovery, Fault::HangUp);
    let staff = "    allow: [ { email: \"*@example.org\" } ]\n";
    bench.write(&(yaml(&[A, &url]) + staff));
    bench.comes_to_trust(&[A, &url]).await;
    bench.says(&format!("rules of 1 issuer changed ({url})"), 1).await;
    assert_eq!(bench.ask(&issuer, "alice@example.com").await.status, 403);
    assert_eq!(bench.ask(&issuer, "alice@example.org").await.status, 200);
    assert_eq!(issuer.requests(Endpoint::Discovery), 1);
    // Another CA is another way to the keys: those that were fetched before do not count.
    let certificate = rcgen::generate_simple_self_signed(["idp.example.com".to_owned()]).unwrap();
    fs::write(bench.path("ca.pem"), certificate.cert.pem()).unwrap();
    bench.write(&(yaml(&[&url]) + "    ca: ca.pem\n"));
    bench.comes_to_trust(&[&url]).await;
    assert_eq!(bench.ask(&issuer, "alice@example.com").await.status, 503);
}
