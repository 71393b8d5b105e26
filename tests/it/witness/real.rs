//! The real binary: with other people's witness, `litewitness` of filippo.io/torchwood, and with one that
//! remembers more than an old copy of the data has.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::time::{Clock as _, SystemClock};
use mayfly::tlog::cosignature::{Cosigner, TYPE_COSIGNATURE};
use mayfly::tlog::merkle::Hash;
use mayfly::tlog::note::{Checkpoint, SignedNote, VerifierKey};
use serde_json::json;
use tempfile::TempDir;

use crate::support::issuer::FakeIssuer;
use crate::support::patience::until;
use crate::support::process::{Run as _, Server, free_port};
use crate::support::witness::FakeWitness;

/// Neither side forgets anything that matters when it restarts, and nobody asks for what is inconsistent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn litewitness_cosigns_through_restarts_of_either_side() {
    let Some(witness) = LiteWitness::new().await else { return };
    let place = Place::new(&witness.line()).await;
    // It is away at the start, which is a line and no more.
    let server = place.serve();
    witness.add_log(&place.vkey());
    let running = witness.start().await;
    place.issue(3).await;
    let first = place.cosigned(&witness, 3).await;
    assert!(server.said().contains("is not known: "), "{}", server.said());

    drop(server);
    let server = place.serve();
    place.issue(2).await;
    let second = place.cosigned(&witness, 5).await;
    assert_ne!(first, second);

    drop(running);
    place.issue(2).await;
    let _running = witness.start().await;
    place.cosigned(&witness, 7).await;
    assert!(!server.said().contains("another history"), "{}", server.said());
}

/// Database and mark were put back together: nobody else remembers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_of_all_data_is_served_for_reading_only() {
    let witness = FakeWitness::start("A").await;
    let place = Place::new(&format!("{}quorum A\n", witness.line())).await;
    let server = place.serve();
    witness.knows(place.vkey());
    place.issue(1).await;
    drop(server);
    let old = place.path("old");
    copy(&place.path("data"), &old);
    let server = place.serve();
    place.issue(2).await;
    until("it has seen all", async || witness.seen().is_some_and(|seen| seen.size == 3)).await;
    drop(server);
    fs::remove_dir_all(place.path("data")).unwrap();
    copy(&old, &place.path("data"));

    let refused = Server::try_run(&mut place.command(&[])).err().expect("it must not start");
    let said = String::from_utf8(refused.stderr).unwrap();
    let sentence =
        "the database has 1 entries, but the witness \"A\" has seen 3, signed by this log";
    assert!(said.contains(sentence), "{said}");
    let reading = Server::try_run(&mut place.command(&["--read-only"])).expect("it is read");
    let checkpoint = place.get("checkpoint").await.unwrap();
    assert!(checkpoint.contains("\n1\n"), "{checkpoint}");
    drop(reading);
    assert_eq!(witness.complaints(), [""; 0]);
}

/// An instance that comes and goes.
struct Place {
    issuer: FakeIssuer,
    folder: TempDir,
    url: String,
}

impl Place {
    async fn new(policy: &str) -> Self {
        let issuer = FakeIssuer::start_plain().await;
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let config = format!(
            "listen: {listen}\ndata: data\nissuers:\n  - url: {}\n    type: email\n\
             log: {{ witnesses: witnesses.policy }}\n",
            issuer.url()
        );
        fs::write(folder.path().join("mayfly.yaml"), config).unwrap();
        fs::write(folder.path().join("witnesses.policy"), policy).unwrap();
        Self { issuer, folder, url: format!("http://{listen}") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command.args(["serve", "--config"]).arg(self.path("mayfly.yaml")).args(more);
        command
    }

    fn serve(&self) -> Server {
        Server::start(&["--config".as_ref(), self.path("mayfly.yaml").as_os_str()])
    }

    /// The key that signs its checkpoints for witnesses.
    fn vkey(&self) -> VerifierKey {
        let mut show = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let shown = show.args(["trust", "show", "--config"]).arg(self.path("mayfly.yaml")).run();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        let line = shown.lines().find_map(|line| line.trim().strip_prefix("vkey"));
        line.unwrap_or_else(|| panic!("{shown}")).trim().parse().unwrap()
    }

    async fn issue(&self, count: usize) {
        let claims = json!({ "email": "alice@example.com", "email_verified": true });
        let token = self.issuer.token_at(SystemClock.now().as_secs(), claims);
        let client = Client::new(&self.url);
        for _ in 0..count {
            let body = Requester::new().and_then(|it| it.request(&token)).unwrap();
            let answer = client.post("/api/v2/signingCert", body).await.unwrap();
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        }
    }

    /// A file of its log, if it is there.
    async fn get(&self, file: &str) -> Option<String> {
        let path = self.vkey().name.split_once('/').unwrap().1.to_owned();
        let body = Client::new(&self.url).get(&format!("/{path}/{file}")).await.ok()?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    /// The cosigned checkpoint of `size` entries, once there is one; the main one is the same then.
    async fn cosigned(&self, witness: &LiteWitness, size: u64) -> String {
        let mut found = String::new();
        until("it is cosigned", async || {
            found = self.get("checkpoint.cosigned").await.unwrap_or_default();
            found.contains(&format!("\n{size}\n"))
        })
        .await;
        let note: SignedNote = found.parse().unwrap();
        let checkpoint: Checkpoint = note.text.parse().unwrap();
        assert_eq!(checkpoint.size, size);
        let own = note.signatures.iter().take(2).all(|line| line.name == checkpoint.origin);
        assert!(own, "{found}");
        witness.cosigner().verify(&note.text, &note.signatures).unwrap();
        assert_eq!(self.get("checkpoint").await.as_ref(), Some(&found));
        let root = BASE64_STANDARD.encode(checkpoint.root);
        assert_eq!(witness.seen(), (i64::try_from(size).unwrap(), root));
        found
    }
}

/// Copies a folder that nobody writes to.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-r").args([from, to]));
}

/// The witness, its key in an agent of its own.
struct LiteWitness {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    blob: Vec<u8>,
    _agent: Running,
}

/// A process that ends when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const NAME: &str = "litewitness.example/w1";

impl LiteWitness {
    /// None where it is not installed, and `CI=true` allows no such gap.
    async fn new() -> Option<Self> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/.cache/bin");
        let program = clients.join("litewitness");
        let has_agent = Command::new("ssh-agent").arg("-h").run().is_ok();
        if !program.exists() || !has_agent {
            crate::support::skip("litewitness or ssh-agent is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (key, socket) = (folder.path().join("key"), folder.path().join("agent"));
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
        let agent = Running(agent.spawn().unwrap());
        until("the agent listens", async || UnixStream::connect(&socket).is_ok()).await;
        run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        let blob = BASE64_STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
        Some(Self { program, folder, port: free_port(), blob, _agent: agent })
    }

    fn vkey(&self) -> VerifierKey {
        let key = self.blob[self.blob.len() - 32..].to_vec();
        VerifierKey { name: NAME.to_owned(), kind: TYPE_COSIGNATURE, key }
    }

    fn cosigner(&self) -> Cosigner {
        self.vkey().try_into().unwrap()
    }

    /// A policy of it alone.
    fn line(&self) -> String {
        format!("witness lite {} http://127.0.0.1:{}/\nquorum lite\n", self.vkey(), self.port)
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("witness.db")).unwrap()
    }

    /// Has it take the heads of a log, as its `witnessctl` does.
    fn add_log(&self, key: &VerifierKey) {
        let database = self.database();
        database
            .execute_batch(
                "CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL,
                     tree_hash TEXT NOT NULL);
                 CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL,
                     FOREIGN KEY(origin) REFERENCES log(origin));",
            )
            .unwrap();
        let empty = BASE64_STANDARD.encode(Hash::EMPTY);
        database.execute("INSERT INTO log VALUES (?, 0, ?)", [&key.name, &empty]).unwrap();
        let line = key.to_string();
        database.execute("INSERT INTO key VALUES (?, ?)", [&key.name, &line]).unwrap();
    }

    /// The size and the root that it remembers of the one log.
    fn seen(&self) -> (i64, String) {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.database().query_row("SELECT tree_size, tree_hash FROM log", [], row).unwrap()
    }

    async fn start(&self) -> Running {
        let fingerprint = BASE64_STANDARD_NO_PAD.encode(Hash::of(&[&self.blob]));
        let listen = format!("127.0.0.1:{}", self.port);
        let (fingerprint, path) =
            (format!("SHA256:{fingerprint}"), |name| self.folder.path().join(name));
        let mut witness = Command::new(&self.program);
        witness.args(["-name", NAME, "-listen", &listen, "-key", &fingerprint, "-db"]);
        witness.arg(path("witness.db")).arg("-ssh-agent").arg(path("agent"));
        let log = fs::File::create(path("witness.log")).unwrap();
        let mut running = Running(witness.stderr(log).spawn().unwrap());
        until("the witness listens", async || {
            let ended = running.0.try_wait().unwrap();
            assert_eq!(ended, None, "{}", fs::read_to_string(path("witness.log")).unwrap());
            listens(&listen)
        })
        .await;
        running
    }
}

/// Whether somebody listens there. A quirk: where nobody does, a socket may come to connect to itself.
fn listens(address: &str) -> bool {
    let ends = |stream: TcpStream| Some((stream.local_addr().ok()?, stream.peer_addr().ok()?));
    TcpStream::connect(address).ok().and_then(ends).is_some_and(|(ours, theirs)| ours != theirs)
}

fn run(command: &mut Command) {
    let output = command.run().unwrap();
    let program: &OsStr = command.get_program();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
}
