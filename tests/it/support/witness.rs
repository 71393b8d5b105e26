//! A witness that is a real server on loopback: it holds every request to the specification, and lies on
//! demand.
//!
//! ```ignore
//! let witness = FakeWitness::start("A").await;
//! witness.line();                          // of a policy: witness A <vkey> http://127.0.0.1:41234
//! witness.knows(vkey);                     // the log, by the key of its checkpoints
//! witness.lie(Lie::Silent);                // until `Lie::Truth`
//! witness.complaints();                    // what was asked and must never be
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use mayfly::tlog::cosignature::{Cosigner, TYPE_COSIGNATURE};
use mayfly::tlog::merkle::{Hash, verify_consistency};
use mayfly::tlog::note::{Checkpoint, NoteSignature, SignedNote, VerifierKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::issuer::MIDNIGHT;

/// What a witness answers in place of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    Truth,
    /// Nothing, for ever.
    Silent,
    /// A page.
    Page,
    /// More than anybody wants to read.
    Huge,
    /// A cosignature of another key under its name.
    OtherKey,
    /// A cosignature of another checkpoint.
    OtherText,
    /// The checkpoint with a line more, and a cosignature of that.
    Extended,
    /// Another status.
    Status(u16),
    /// 409 with this size.
    Size(u64),
    /// 409 with something that is no size.
    NoSize,
}

/// A witness; it ends when dropped.
pub struct FakeWitness {
    name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    key: Ed25519KeyPair,
    /// The name of its key.
    name: String,
    state: Mutex<State>,
    /// How often it was asked for a cosignature.
    asked: watch::Sender<usize>,
}

struct State {
    lie: Lie,
    /// The keys of logs.
    logs: Vec<VerifierKey>,
    /// What it has seen, by origin.
    seen: BTreeMap<String, Seen>,
    complaints: Vec<String>,
    last: Option<Instant>,
    shortest: Duration,
}

/// The newest checkpoint of one log that was cosigned.
#[derive(Clone)]
pub struct Seen {
    pub size: u64,
    root: Hash,
    note: String,
}

impl FakeWitness {
    /// A witness that policies call by this name; its key follows from that.
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            lie: Lie::Truth,
            logs: Vec::new(),
            seen: BTreeMap::new(),
            complaints: Vec::new(),
            last: None,
            shortest: Duration::MAX,
        };
        let shared = Arc::new(Shared {
            key: Ed25519KeyPair::from_seed_unchecked(&Hash::of(&[name.as_bytes()]).0).unwrap(),
            name: format!("{name}.witness.example"),
            state: Mutex::new(state),
            asked: watch::Sender::new(0),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { name: name.to_owned(), address, shared, server }
    }

    /// Its line in a policy.
    pub fn line(&self) -> String {
        format!("witness {} {} http://{}\n", self.name, self.shared.vkey(), self.address)
    }

    /// Its key.
    pub fn cosigner(&self) -> Cosigner {
        self.shared.vkey().try_into().unwrap()
    }

    /// The name of its key.
    pub fn key_name(&self) -> &str {
        &self.shared.name
    }

    /// Takes heads of the log whose checkpoints this key signs.
    pub fn knows(&self, log: VerifierKey) {
        self.shared.state.lock().unwrap().logs.push(log);
    }

    pub fn lie(&self, lie: Lie) {
        self.shared.state.lock().unwrap().lie = lie;
    }

    /// What it has seen of the one log that it has seen.
    pub fn seen(&self) -> Option<Seen> {
        self.shared.state.lock().unwrap().seen.values().next().cloned()
    }

    /// Puts back what it had seen, as an old copy of its own would.
    pub fn put_back(&self, seen: Seen) {
        *self.shared.state.lock().unwrap().seen.values_mut().next().unwrap() = seen;
    }

    /// What was asked and must never be.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().complaints.clone()
    }

    /// The shortest time between two questions.
    pub fn shortest(&self) -> Duration {
        self.shared.state.lock().unwrap().shortest
    }

    /// Waits until it was asked so many times more.
    pub async fn asked(&self, more: usize) {
        let mut asked = self.shared.asked.subscribe();
        let all = *asked.borrow() + more;
        let asked = tokio::time::timeout(Duration::from_secs(60), asked.wait_for(|it| *it >= all));
        asked.await.expect("it is asked").unwrap();
    }
}

impl Drop for FakeWitness {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn vkey(&self) -> VerifierKey {
        let key = self.key.public_key().as_ref().to_vec();
        VerifierKey { name: self.name.clone(), kind: TYPE_COSIGNATURE, key }
    }

    /// A cosignature line, by the specification and not by our own code.
    fn cosign(&self, key: &Ed25519KeyPair, text: &str) -> String {
        let message = format!("cosignature/v1\ntime {MIDNIGHT}\n{text}");
        let signature = key.sign(message.as_bytes());
        let signature = [&MIDNIGHT.to_be_bytes()[..], signature.as_ref()].concat();
        NoteSignature { name: self.name.clone(), key_id: self.vkey().key_id(), signature }
            .to_string()
    }

    fn lie(&self) -> Lie {
        self.state.lock().unwrap().lie
    }
}

impl State {
    fn complain(&mut self, status: u16, complaint: String) -> (u16, String) {
        self.complaints.push(complaint.clone());
        (status, complaint)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is no fault of the test's.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, said) = if head.method == Method::GET {
        show(&shared, head.uri.path())
    } else {
        let answer = add_checkpoint(&shared, head.uri.path(), &String::from_utf8_lossy(&body));
        shared.asked.send_modify(|asked| *asked += 1);
        answer
    };
    if shared.lie() == Lie::Silent {
        std::future::pending::<()>().await;
    }
    let response = Response::builder().status(status).header("location", "/elsewhere");
    Ok(response.body(Full::new(said.into())).unwrap())
}

fn show(shared: &Shared, path: &str) -> (u16, String) {
    let state = shared.state.lock().unwrap();
    let hex = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
    let seen = state
        .seen
        .iter()
        .find(|(origin, _)| Some(Hash::of(&[origin.as_bytes()]).to_string().as_str()) == hex);
    seen.map_or((404, String::new()), |(_, seen)| (200, seen.note.clone()))
}

fn add_checkpoint(shared: &Shared, path: &str, body: &str) -> (u16, String) {
    let mut state = shared.state.lock().unwrap();
    let now = Instant::now();
    if let Some(last) = state.last.replace(now) {
        state.shortest = state.shortest.min(now - last);
    }
    let truth = match read(path, body) {
        Ok(request) => judge(shared, &mut state, request, body),
        Err(complaint) => state.complain(400, format!("{complaint} in {body:?}")),
    };
    let text = body.split_once("\n\n").unwrap().1.rsplit_once("\n\n").unwrap().0.to_owned() + "\n";
    let other = Ed25519KeyPair::from_seed_unchecked(&[77; 32]).unwrap();
    match state.lie {
        Lie::Truth | Lie::Silent => truth,
        Lie::Page => (200, "<html><body>it works</body></html>\n".to_owned()),
        Lie::Huge => (200, shared.cosign(&shared.key, &text).repeat(20_000)),
        Lie::OtherKey => (200, shared.cosign(&other, &text)),
        Lie::OtherText => (200, shared.cosign(&shared.key, &format!("{text}more\n"))),
        Lie::Extended => {
            let text = format!("{text}\nmore\n");
            (200, format!("more\n\n{}", shared.cosign(&shared.key, &text)))
        }
        Lie::Status(status) => (status, String::new()),
        Lie::Size(size) => (409, format!("{size}\n")),
        Lie::NoSize => (409, "many\n".to_owned()),
    }
}

struct Asked {
    old: u64,
    proof: Vec<Hash>,
    note: SignedNote,
    checkpoint: Checkpoint,
}

/// Reads a request as the specification has it.
fn read(path: &str, body: &str) -> Result<Asked, &'static str> {
    if path != "/add-checkpoint" {
        return Err("another path");
    }
    let (lines, note) = body.split_once("\n\n").ok_or("no empty line")?;
    let mut lines = lines.split('\n');
    let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or("no old size")?;
    let number: u64 = old.parse().map_err(|_| "no number")?;
    if number.to_string() != old {
        return Err("a number that is written otherwise");
    }
    let hash = |line| Some(Hash(BASE64_STANDARD.decode(line).ok()?.try_into().ok()?));
    let proof: Vec<Hash> = lines.map(hash).collect::<Option<_>>().ok_or("no hash")?;
    if proof.len() > 63 {
        return Err("too long a proof");
    }
    let note: SignedNote = note.parse().map_err(|_| "no note")?;
    let checkpoint = note.text.parse().map_err(|_| "no checkpoint")?;
    Ok(Asked { old: number, proof, note, checkpoint })
}

/// What the specification answers; what no honest log would ask is complained of.
fn judge(shared: &Shared, state: &mut State, asked: Asked, body: &str) -> (u16, String) {
    let Asked { old, proof, note, checkpoint: Checkpoint { origin, size, root } } = asked;
    let Some(log) = state.logs.iter().find(|log| log.name == origin) else {
        return (404, String::new());
    };
    let key = UnparsedPublicKey::new(&ED25519, &log.key);
    let holds = |line: &NoteSignature| key.verify(note.text.as_bytes(), &line.signature).is_ok();
    let mut own = note.signatures.iter().filter(|it| it.is_of(&origin, log.key_id())).peekable();
    if own.peek().is_none() || !own.all(holds) {
        return state.complain(403, format!("no signature of the log in {body:?}"));
    }
    if old > size || size == 0 {
        return state.complain(400, format!("from {old} to {size}"));
    }
    let seen = state.seen.get(&origin);
    let (known, known_root) = seen.map_or((0, Hash::EMPTY), |seen| (seen.size, seen.root));
    if old != known {
        return (409, format!("{known}\n"));
    }
    if verify_consistency((old, known_root), (size, root), &proof).is_err() {
        return state.complain(422, format!("{size} does not go on from {old}"));
    }
    let line = shared.cosign(&shared.key, &note.text);
    let note = format!("{note}{line}");
    // What it lies about it does not remember.
    if state.lie == Lie::Truth {
        state.seen.insert(origin, Seen { size, root, note });
    }
    (200, line)
}
