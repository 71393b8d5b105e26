//! The real binary, traced or not, those who call it, and a judge of what it serves afterwards.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::cli::verify::{VerifyArgs, run as verify};
use mayfly::ct::entry::read_tile_leaf;
use mayfly::reading::Reading;
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::merkle::{Frontier, Hash, leaf_hash};
use mayfly::tlog::note::{Checkpoint, SignedNote};
use mayfly::tlog::tile::{TileKind, TilePath};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::journal::Journal;
use crate::support::issuer::FakeIssuer;
use crate::support::process::{Run, Server, free_port, fulcio_config};
use crate::support::shard;

/// An instance that may die, those who call it, and what they hold.
pub struct Instance {
    issuer: Arc<FakeIssuer>,
    folder: TempDir,
    /// Its data folder.
    pub data: PathBuf,
    pub listen: String,
    body: String,
    pub journal: Arc<Journal>,
}

impl Instance {
    pub async fn new() -> Self {
        Self::trusting(&Arc::new(FakeIssuer::start_plain().await), tempfile::tempdir())
    }

    /// Another one that trusts the same issuer.
    pub fn another(&self, folder: io::Result<TempDir>) -> Self {
        Self::trusting(&self.issuer, folder)
    }

    fn trusting(issuer: &Arc<FakeIssuer>, folder: io::Result<TempDir>) -> Self {
        let folder = folder.expect("a folder");
        fulcio_config(folder.path(), &issuer.url());
        let claims = json!({ "email": "alice@example.com", "email_verified": true });
        let token = issuer.token_at(SystemClock.now().as_secs(), claims);
        let body = Requester::new().and_then(|r| r.request(&token)).expect("a request");
        let listen = format!("127.0.0.1:{}", free_port());
        let journal = Arc::new(Journal::new(folder.path()));
        let data = folder.path().join("data");
        Self { issuer: Arc::clone(issuer), folder, data, listen, body, journal }
    }

    /// Where it may keep things of a test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `serve` is told.
    pub fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        [
            "serve",
            "--fulcio-config",
            &path(&self.folder.path().join("fulcio.yaml")),
            "--allow-anybody",
            "--listen",
            &self.listen,
            "--data",
            &path(&self.data),
        ]
        .map(str::to_owned)
        .into()
    }

    /// Starts it.
    pub fn start(&self) -> Server {
        self.try_start().unwrap_or_else(|output| {
            panic!("it does not start: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Starts it; yields what it said if it does not come to serve.
    pub fn try_start(&self) -> Result<Server, Output> {
        self.start_by(&mut Command::new(env!("CARGO_BIN_EXE_mayfly")))
    }

    /// Starts it under strace; yields what it said if it does not come to serve.
    pub fn traced(&self, strace: &[&str]) -> Result<Server, Output> {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(strace).arg(env!("CARGO_BIN_EXE_mayfly"));
        self.start_by(&mut command)
    }

    fn start_by(&self, command: &mut Command) -> Result<Server, Output> {
        Server::try_run(command.args(self.arguments()).env("RUST_LOG", "error"))
    }

    /// Asks for a certificate; whoever gets one keeps it. Yields the status, or none if the server is gone.
    pub async fn ask(&self, client: &Client) -> Option<u16> {
        ask(client, &self.body, &self.journal).await
    }

    /// Callers that each ask `each` times, or until the server is gone.
    pub fn load(&self, server: &Server, callers: usize, each: usize) -> JoinSet<Vec<u16>> {
        let mut all = JoinSet::new();
        for _ in 0..callers {
            let (url, body) = (server.url.clone(), self.body.clone());
            let journal = Arc::clone(&self.journal);
            all.spawn(async move {
                let client = Client::new(&url);
                let mut statuses = Vec::new();
                while statuses.len() < each {
                    let Some(status) = ask(&client, &body, &journal).await else { break };
                    statuses.push(status);
                }
                statuses
            });
        }
        all
    }

    /// Keeps the checkpoint that is served now.
    pub async fn see(&self, client: &Client) -> Checkpoint {
        let path = format!("{}/checkpoint", self.prefix());
        let note = client.get(&path).await.expect("a checkpoint");
        let note = String::from_utf8_lossy(&note).into_owned();
        self.journal.keep("head", &serde_json::to_string(&note).expect("JSON"));
        checkpoint(&note)
    }

    /// Starts the instance as it lies there, and holds it to everything; yields how many certificates are
    /// held.
    pub async fn judge(&self) -> usize {
        let server = self.start();
        let held = self.judge_running(&server).await;
        assert_eq!(self.ask(&Client::new(&server.url)).await, Some(200), "it goes on");
        held
    }

    /// Holds a running instance to all that anybody was told.
    pub async fn judge_running(&self, server: &Server) -> usize {
        let client = Client::new(&server.url);
        // Whoever gets a certificate from now on may not find it in the head that is seen next.
        let held = self.journal.all("certificates");
        self.see(&client).await;
        let args = VerifyArgs {
            log: server.url.clone() + &self.prefix(),
            key: None,
            state: Some(self.folder.path().join("visit.json")),
            token_file: None,
            tree_only: false,
            json: true,
        };
        verify(&args, &mut Vec::new()).await.unwrap_or_else(|error| panic!("the judge: {error}"));
        let heads = self.journal.all("head");
        let heads: Vec<Checkpoint> = heads
            .iter()
            .map(|line| checkpoint(&serde_json::from_str::<String>(line).expect("JSON")))
            .collect();
        let leaves = self.leaves(&client, heads.last().expect("one").size).await;
        check_heads(heads.iter().map(|head| (head.size, head.root)), &leaves);
        let issuing = client.get("/api/v2/trustBundle").await.expect("the trust bundle");
        let issuing: Value = serde_json::from_slice(&issuing).expect("JSON");
        let issuing = ders(&issuing["chains"][0]["certificates"]);
        for line in &held {
            check_held(line, &leaves);
            assert!(line.ends_with(&issuing), "issued by another authority");
        }
        held.len()
    }

    /// The leaf hashes of the first `size` entries, from the entries themselves.
    async fn leaves(&self, client: &Client, size: u64) -> Vec<Hash> {
        let (prefix, mut leaves) = (self.prefix(), Vec::new());
        while let Some(path) = TilePath::at(size, TileKind::Data, leaves.len() as u64 / 256) {
            let bytes = client.get(&format!("{prefix}/tile/{path}")).await.expect("a data tile");
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (logged, after) = read_tile_leaf(rest).expect("a tile of entries");
                leaves.push(logged.leaf_hash);
                rest = after;
            }
            if !path.is_full() {
                break;
            }
        }
        leaves
    }

    /// Where the shard is served that takes certificates now.
    fn prefix(&self) -> String {
        format!("/ct/{}", shard::name(&self.data))
    }
}

async fn ask(client: &Client, body: &str, journal: &Journal) -> Option<u16> {
    let answer = client.post("/api/v2/signingCert", body.to_owned()).await.ok()?;
    if answer.status == 200 {
        journal.keep("certificates", &chain(&answer.body));
    }
    Some(answer.status)
}

/// The chain of an answer, base64 of DER, the certificate first.
pub fn chain(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).expect("JSON");
    ders(&answer["signedCertificateEmbeddedSct"]["chain"]["certificates"])
}

fn ders(certificates: &Value) -> String {
    let ders = certificates.as_array().expect("certificates").iter().map(|pem| {
        let pem = pem.as_str().expect("PEM");
        pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()
    });
    ders.collect::<Vec<_>>().join(" ")
}

/// A certificate that somebody holds is in the tree at its index.
#[track_caller]
pub fn check_held(line: &str, leaves: &[Hash]) {
    let chain: Vec<Reading> = line
        .split(' ')
        .map(|text| Reading::of(&STANDARD.decode(text).expect("base64")).expect("a certificate"))
        .collect();
    let [certificate, issuing, ..] = &chain[..] else { panic!("a chain of one") };
    certificate.verify_issued_by(issuing).expect("signed by the authority");
    let issuer = issuing.public_key().expect("a key");
    let leaf = leaf_hash(&certificate.merkle_tree_leaf(&issuer).expect("one SCT"));
    let index = certificate.sct().expect("one SCT").leaf_index;
    assert_eq!(leaves.get(index as usize), Some(&leaf), "entry {index} is not in the tree");
}

/// Every head that anybody has seen, earliest first, is one of this tree.
#[track_caller]
pub fn check_heads(heads: impl IntoIterator<Item = (u64, Hash)>, leaves: &[Hash]) {
    let mut tree = Frontier::default();
    let mut roots = vec![tree.root()];
    for leaf in leaves {
        tree.push(*leaf);
        roots.push(tree.root());
    }
    let mut seen = 0;
    for (size, root) in heads {
        assert!(seen <= size, "the log shrank");
        seen = size;
        assert_eq!(roots.get(size as usize), Some(&root), "a head of size {size}");
    }
}

/// What a checkpoint says.
pub fn checkpoint(note: &str) -> Checkpoint {
    let note: SignedNote = note.parse().expect("a note");
    note.text.parse().expect("a checkpoint")
}

/// The process that a strace traces, while there is one.
pub fn child(strace: &Server) -> Option<u32> {
    let id = strace.id().to_string();
    let children = Command::new("ps").args(["-o", "pid=", "--ppid", &id]).run();
    let children = String::from_utf8(children.expect("there is a ps").stdout).expect("text");
    children.trim().parse().ok()
}

/// Whether strace is there and may trace; says so when not, and fails where all must be.
pub fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).run();
    if tried.is_ok_and(|output| output.status.success()) {
        return true;
    }
    crate::support::skip("strace cannot trace here (tests/run installs it)");
    false
}
