//! Every key is rotated while it serves, and clients sign before, meanwhile and after: who has the trust files of
//! the time between publication and use verifies all of it, and who has older ones what was signed with the
//! keys in them.
//!
//! A year would be long to wait for: the shards of this instance end in a minute, all of them at once, and so do
//! the other keys. Until then somebody holds the folders of the logs, so that the server makes no next shard by
//! itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mayfly::time::{Clock, SystemClock, Timestamp};
use serde_json::Value;

use super::circle::product;
use super::grpc;
use super::instance::{Caller, Instance, assert_succeeds, said};
use super::stock::{Client, Desk, Kind, Signed, present};
use crate::support::shard;

/// How long until all that is in use is taken over: clients sign twice meanwhile.
const SPAN: Duration = Duration::from_secs(60);

/// How long certificates hold, by whose end their log goes.
const LIFETIME: Duration = Duration::from_secs(600);

/// The lists of `trusted_root.json`.
const LISTS: [&str; 4] = ["certificateAuthorities", "ctlogs", "tlogs", "timestampAuthorities"];

/// What a client says of new signatures where its trust files are old: all of them, or one of these lists alone.
type Refusals = (&'static str, [&'static str; 1 + LISTS.len()]);

/// Those that are built on sigstore-go.
const GO: [&str; 1 + LISTS.len()] = [
    "not enough verified log entries from transparency log: 0 < 1",
    "leaf certificate verification failed",
    "only able to verify 0 SCT entries",
    "not enough verified log entries from transparency log: 0 < 1",
    "threshold not met for verified signed timestamps: 0 < 1",
];

const CLIENTS: [Refusals; 7] = [
    ("cosign 3", GO),
    ("cosign 2", GO),
    ("sigstore-go", GO),
    (
        "sigstore-python",
        [
            "not enough sources of verified time",
            "failed to build timestamp certificate chain",
            "failed to verify SCT on signing certificate",
            "invalid log entry: checkpoint: invalid signature",
            "not enough sources of verified time",
        ],
    ),
    (
        "sigstore-js",
        [
            "timestamp could not be verified",
            "no valid certificate path found",
            "SCT verification failed",
            "invalid checkpoint signature",
            "timestamp could not be verified",
        ],
    ),
    (
        "sigstore-java",
        [
            "Certificate was not verifiable against CAs",
            "Certificate was not verifiable against CAs",
            "No valid SCTs were found",
            "Log entry (logid) does not match any provided transparency logs",
            "Certificates in token were not verifiable against TSAs",
        ],
    ),
    (
        "sigstore-rust",
        [
            "CMS signer does not match any trusted TSA certificate",
            "certificate chain validation failed",
            "SCT signature verification failed",
            "No matching Rekor key found for checkpoint signature",
            "CMS signer does not match any trusted TSA certificate",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_key_is_rotated_and_no_signature_is_lost() {
    let clients = present();
    if clients.is_empty() {
        return;
    }
    let turn = SystemClock.now().floor().plus(SPAN);
    let instance = Instance::start_with_tls().await;
    let mut held = Vec::new();
    let instance = instance.restarted(|data| {
        end_shards(data, turn);
        held.extend(["ct", "tlog"].map(|log| File::open(data.join(log)).unwrap()));
        held.iter().for_each(|folder| folder.try_lock().unwrap());
    });
    let stage = Stage::of(&instance, clients);

    let old = Desk::with_files_of_now(&instance, "old").await;
    stage.sign(&old, "before");
    drop(held);
    rotate(&instance, turn);
    let published =
        stage.comes_to("published", |root| LISTS.iter().all(|list| count(root, list) == 2)).await;
    stage.sign(&published, "meanwhile");
    assert!(SystemClock.now() < turn, "clients took too long");

    // Nobody has to know the moment: who signs just then has the one keys or the others.
    let all_turned = turn.plus(Duration::from_secs(3));
    while SystemClock.now() < all_turned {
        stage.sign(&published, "after");
    }
    stage.sign(&published, "after");
    // The certificates of the old log have not ended yet, and neither has its window.
    let over = ["certificateAuthorities", "tlogs", "timestampAuthorities"];
    let is_newest = |root: &Value| over.iter().all(|list| is_over(&root[list][0]));
    let newest = stage.comes_to("newest", is_newest).await;

    for desk in [&newest, &published] {
        stage.verify(desk, &["before", "meanwhile", "after"]);
    }
    stage.verify(&old, &["before", "meanwhile"]);
    stage.refuse(&old, &newest);
}

fn count(root: &Value, list: &str) -> usize {
    root[list].as_array().unwrap().len()
}

/// Whether an authority or a log of the trusted root signs nothing any more.
fn is_over(one: &Value) -> bool {
    let valid = one.get("validFor").unwrap_or(&one["publicKey"]["validFor"]);
    valid["end"].is_string()
}

/// Has the shards that take entries now end at `turn`, and leaves no other ones.
fn end_shards(data: &Path, turn: Timestamp) {
    for (log, end) in [("ct", turn.plus(LIFETIME)), ("tlog", turn)] {
        let folder = data.join(log);
        let name = shard::name(data);
        for file in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
            if !file.file_name().unwrap().to_str().unwrap().starts_with(&name) {
                fs::remove_file(file).unwrap();
            }
        }
        let database = rusqlite::Connection::open(folder.join(format!("{name}.sqlite"))).unwrap();
        let end = i64::try_from(end.as_millis()).unwrap();
        let changed =
            database.execute("UPDATE meta SET value = ?1 WHERE name = 'window end'", [end]);
        assert_eq!(changed, Ok(1));
    }
}

/// Rotates all by hand: what comes takes over at `turn`.
fn rotate(instance: &Instance, turn: Timestamp) {
    for key in ["authority", "timestamp"] {
        let ahead = turn.since(SystemClock.now()).as_secs() + 1;
        instance.mayfly(&["rotate", key, "--ahead", &format!("{ahead}s")]);
    }
    for log in ["log", "signatures"] {
        let said = instance.mayfly(&["rotate", log]);
        assert!(said.contains("made "), "{said}");
    }
}

/// Who signs what, and where it is.
struct Stage<'a> {
    instance: &'a Instance,
    clients: Vec<&'static Client>,
    caller: Caller,
    artifact: PathBuf,
}

impl<'a> Stage<'a> {
    fn of(instance: &'a Instance, clients: Vec<&'static Client>) -> Self {
        let artifact = instance.file("artifact");
        fs::write(&artifact, "an artifact").unwrap();
        Self { instance, clients, caller: instance.alice(), artifact }
    }

    /// What a client signed at some time.
    fn with<T>(&self, client: &Client, when: &str, ask: impl FnOnce(&Signed<'_>) -> T) -> T {
        let bundle = self.instance.file(&format!("{}.{when}.json", client.name));
        ask(&Signed { kind: Kind::Blob, by: &self.caller, file: &self.artifact, bundle: &bundle })
    }

    fn sign(&self, desk: &Desk, when: &str) {
        for client in &self.clients {
            self.with(client, when, |signed| assert_succeeds(&desk.sign(client, signed)));
        }
    }

    fn verify(&self, desk: &Desk, times: &[&str]) {
        for (client, when) in product(&self.clients, times) {
            self.with(client, when, |signed| assert_succeeds(&desk.verify(client, signed)));
        }
    }

    /// Has what was signed last refused by who has old trust files, also where one list alone is old.
    fn refuse(&self, old: &Desk, newest: &Desk) {
        let mut faults = self.refused(old, 0);
        for (list, says) in LISTS.into_iter().zip(1..) {
            let mut config = newest.config();
            config["trustedRoot"][list] = old.config()["trustedRoot"][list].clone();
            let desk = Desk::with_config(self.instance, &format!("old-{list}"), &config);
            faults.extend(self.refused(&desk, says));
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// What was not refused at this desk by what the client says there.
    fn refused(&self, desk: &Desk, says: usize) -> Vec<String> {
        let fault = |client: &&Client| {
            let (_, sentences) = CLIENTS.iter().find(|(name, _)| *name == client.name).unwrap();
            let refused = self.with(client, "after", |signed| desk.verify(client, signed));
            let (says, said) = (sentences[says], said(&refused));
            let is_right = !refused.status.success() && said.contains(says);
            (!is_right).then(|| format!("{}: {says:?} expected:\n{said}", client.name))
        };
        self.clients.iter().copied().filter_map(|client| fault(&client)).collect()
    }

    /// The trust files once the instance serves such ones.
    async fn comes_to(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Desk {
        let (url, ca) = (&self.instance.url, self.instance.tls_ca());
        let comes = async {
            loop {
                self.instance.hang_up();
                let root = grpc::get(url, &ca, "/trusted_root.json").await;
                if wanted(&serde_json::from_slice(&root).unwrap()) {
                    return Desk::with_files_of_now(self.instance, name).await;
                }
            }
        };
        tokio::time::timeout(SPAN, comes).await.expect("it publishes them")
    }
}
