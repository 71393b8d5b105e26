//! kill -9, again and again, under load: no certificate that a client holds is ever lost.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::ct::entry::read_tile_leaf;
use mayfly::reading::Reading;
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::merkle::{Frontier, Hash, leaf_hash};
use mayfly::tlog::note::{Checkpoint, SignedNote};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::issuer::FakeIssuer;
use crate::support::process::{Server, free_port, fulcio_config};

const KILLS: u32 = 50;
const CALLERS: usize = 8;

/// Certificates that clients hold, DER.
type Held = Arc<Mutex<Vec<Vec<u8>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_holds_survives_fifty_kills() {
    let bench = Bench::new().await;
    let mut heads: Vec<Checkpoint> = Vec::new();
    let mut chance = Chance(0x6d61_7966_6c79);
    for _ in 0..KILLS {
        let mut server = Server::start(&bench.arguments());
        heads.push(checkpoint(&Client::new(&server.url)).await);
        let answered = Arc::new(Semaphore::new(0));
        let callers = bench.load(&server, &answered);
        // It dies when one caller has its answer, and the others are somewhere in the middle.
        let lived = answered.acquire_many(1 + chance.below(40)).await.expect("open");
        server.kill();
        drop(lived);
        callers.join_all().await;
    }
    let held = bench.judge(heads).await;
    assert!(held > 200, "only {held} certificates: the load was no load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_the_process_and_loses_nothing() {
    let bench = Bench::new().await;
    // Made with room, then served without.
    Server::start(&bench.arguments()).kill();
    let mut server = Server::start_on_full_disk(1024, &bench.arguments());
    let heads = vec![checkpoint(&Client::new(&server.url)).await];
    let callers = bench.load(&server, &Arc::new(Semaphore::new(0)));
    let code = tokio::task::spawn_blocking(move || server.ended()).await.expect("it ends");
    assert_eq!(code, Some(1), "an error of the store ends the process");
    callers.join_all().await;
    let held = bench.judge(heads).await;
    assert!(held > 0, "nothing was issued before the disk was full");
}

/// An instance that may die, and those who call it.
struct Bench {
    _issuer: FakeIssuer,
    folder: TempDir,
    listen: String,
    body: String,
    held: Held,
}

impl Bench {
    async fn new() -> Self {
        let issuer = FakeIssuer::start_plain().await;
        let folder = tempfile::tempdir().expect("a folder");
        fulcio_config(folder.path(), &issuer.url());
        let claims = json!({ "email": "alice@example.com", "email_verified": true });
        let token = issuer.token_at(SystemClock.now().as_secs(), claims);
        let body = Requester::new().and_then(|r| r.request(&token)).expect("a request");
        let listen = format!("127.0.0.1:{}", free_port());
        Self { _issuer: issuer, folder, listen, body, held: Held::default() }
    }

    fn arguments(&self) -> [String; 7] {
        let path = |name| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        [
            "--fulcio-config".to_owned(),
            path("fulcio.yaml"),
            "--allow-anybody".to_owned(),
            "--listen".to_owned(),
            self.listen.clone(),
            "--data".to_owned(),
            path("data"),
        ]
    }

    /// Callers that ask until `server` is gone; one permit in `answered` for each certificate.
    fn load(&self, server: &Server, answered: &Arc<Semaphore>) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let kept = (Arc::clone(&self.held), Arc::clone(answered));
            callers.spawn(hold(server.url.clone(), self.body.clone(), kept));
        }
        callers
    }

    /// Starts the instance once more and judges everything; yields how many certificates are held.
    async fn judge(self, mut heads: Vec<Checkpoint>) -> usize {
        let server = Server::start(&self.arguments());
        let client = Client::new(&server.url);
        heads.push(checkpoint(&client).await);
        let held = std::mem::take(&mut *self.held.lock().expect("nobody panicked"));
        judge(&client, &held, &heads).await;
        held.len()
    }
}

/// Asks for certificates until the server is gone, and keeps each one.
async fn hold(url: String, body: String, (held, answered): (Held, Arc<Semaphore>)) {
    let client = Client::new(&url);
    while let Ok(answer) = client.post("/api/v2/signingCert", body.clone()).await {
        if answer.status == 200 {
            let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let pem = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0].as_str();
            held.lock().expect("nobody panicked").push(der(pem.expect("a certificate")));
            answered.add_permits(1);
        }
    }
}

/// Every held certificate is in the tree at its index, and every head ever seen is a root of it.
async fn judge(client: &Client, held: &[Vec<u8>], heads: &[Checkpoint]) {
    let newest = heads.last().expect("at least one");
    let leaves = leaves(client, newest.size).await;
    let mut roots = vec![Frontier::default().root()];
    let mut tree = Frontier::default();
    for leaf in &leaves {
        tree.push(*leaf);
        roots.push(tree.root());
    }
    for pair in heads.windows(2) {
        assert!(pair[0].size <= pair[1].size, "the log shrank");
    }
    for head in heads {
        assert_eq!(roots[head.size as usize], head.root, "a head of size {}", head.size);
    }
    let issuing = issuing_certificate(client).await;
    let issuer = issuing.public_key().expect("a key");
    for certificate in held {
        let reading = Reading::of(certificate).expect("a certificate");
        reading.verify_issued_by(&issuing).expect("signed by the authority");
        let leaf = leaf_hash(&reading.merkle_tree_leaf(&issuer).expect("one SCT"));
        let index = reading.sct().expect("one SCT").leaf_index;
        assert_eq!(leaves.get(index as usize), Some(&leaf), "entry {index} is not in the tree");
    }
}

/// The leaf hashes of the first `size` entries, from the entries themselves.
async fn leaves(client: &Client, size: u64) -> Vec<Hash> {
    let mut leaves = Vec::new();
    while (leaves.len() as u64) < size {
        let tile = leaves.len() as u64 / 256;
        let width = (size - tile * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let path = format!("{}/tile/data/{tile:03}{partial}", prefix(client).await);
        let bytes = client.get(&path).await.expect("a data tile");
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (logged, after) = read_tile_leaf(rest).expect("a tile of entries");
            leaves.push(logged.leaf_hash);
            rest = after;
        }
    }
    leaves
}

async fn prefix(client: &Client) -> String {
    let root = client.get("/trusted_root.json").await.expect("the trusted root");
    let root: Value = serde_json::from_slice(&root).expect("JSON");
    let base = root["ctlogs"][0]["baseUrl"].as_str().expect("a log").to_owned();
    base.strip_prefix(client.url()).expect("served here").to_owned()
}

async fn checkpoint(client: &Client) -> Checkpoint {
    let path = format!("{}/checkpoint", prefix(client).await);
    let note = client.get(&path).await.expect("a checkpoint");
    let note: SignedNote = String::from_utf8_lossy(&note).parse().expect("a note");
    note.text.parse().expect("a checkpoint")
}

async fn issuing_certificate(client: &Client) -> Reading {
    let bundle = client.get("/api/v2/trustBundle").await.expect("the trust bundle");
    let bundle: Value = serde_json::from_slice(&bundle).expect("JSON");
    let pem = bundle["chains"][0]["certificates"][0].as_str().expect("a certificate");
    Reading::of(&der(pem)).expect("a certificate")
}

fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(text).expect("base64")
}

/// A small generator with a fixed seed: a failure repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u32) -> u32 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % u64::from(bound)) as u32
    }
}
