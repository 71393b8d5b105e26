//! The instance under attack, those whom it trusts, and one whom it must never call.

use std::fs;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mayfly::pem;
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::note::{Checkpoint, SignedNote};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::caller::{self, P256};
use crate::support::issuer::{Alg, FakeIssuer};
use crate::support::process::Server;
use crate::support::shard;

/// Whom everybody wants to be.
pub const ALICE: &str = "alice@hostile.test";

/// The callers' key.
static KEY: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"));

pub struct Bench {
    server: Server,
    /// Most of the issuers, by path.
    pub issuer: FakeIssuer,
    /// Another one, whose keys have the same ids.
    pub twin: FakeIssuer,
    /// One that fails.
    pub faulty: FakeIssuer,
    canary: Canary,
    checkpoint: String,
    _folder: TempDir,
}

/// What was answered; no status when the connection was closed without a word.
#[derive(Debug)]
pub struct Answer {
    pub status: Option<u16>,
    pub body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Self { status, body: body.to_owned() }
    }

    /// Whether its message has these words. A connection that was closed says nothing.
    pub fn says(&self, words: &str) -> bool {
        let body: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = body.as_ref().and_then(|body| body["message"].as_str());
        self.status.is_none() || message.is_some_and(|message| message.contains(words))
    }

    /// The certificate in it, DER.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        let (_, rest) = self.body.split_once("-----BEGIN CERTIFICATE-----")?;
        let (text, _) = rest.split_once("-----END CERTIFICATE-----")?;
        STANDARD.decode(text.replace("\\n", "")).ok()
    }
}

impl Bench {
    pub async fn start() -> Self {
        let issuer = FakeIssuer::start().await;
        let (twin, faulty) = (FakeIssuer::start().await, FakeIssuer::start().await);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("fulcio.yaml");
        fs::write(&file, issuer_file(&issuer, &twin, &faulty)).expect("written");
        let text = |name| folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (file, data) = (text("fulcio.yaml"), text("data"));
        let server = Server::start(&[
            "--fulcio-config",
            &file,
            "--allow-anybody",
            "--listen",
            "127.0.0.1:0",
            "--data",
            &data,
        ]);
        let canary = Canary::start().await;
        let checkpoint = format!("/ct/{}/checkpoint", shard::name(data.as_ref()));
        let bench = Self { server, issuer, twin, faulty, canary, checkpoint, _folder: folder };
        // The keys of both twins are known from here on.
        let twins = ask(&bench.twin.token_at(now(), mail(&bench.twin, "/mail")), ALICE);
        for good in [bench.good(), twins] {
            let answer = bench.post(&good).await;
            assert_eq!(answer.status, Some(200), "{answer:?}\n{}", bench.server.said());
        }
        bench
    }

    /// A request that is granted.
    pub fn good(&self) -> Value {
        ask(&self.token(mail(&self.issuer, "/mail")), ALICE)
    }

    /// A token by the key of [`Self::issuer`].
    pub fn token(&self, claims: Value) -> String {
        self.issuer.token_at(now(), claims)
    }

    /// The same with exactly these octets as claims.
    pub fn token_of(&self, claims: &[u8]) -> String {
        self.issuer.sign_raw(Alg::Es256, json!({}), claims)
    }

    /// An address whose owner nobody trusts, and who must not be called.
    pub fn canary_url(&self) -> String {
        format!("https://127.0.0.2:{}", self.canary.port)
    }

    /// How often they were called.
    pub fn canary(&self) -> usize {
        self.canary.calls.load(Ordering::SeqCst)
    }

    pub async fn post(&self, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.stream(body.len(), std::iter::once(body)).await
    }

    /// Posts what `chunks` yields, and reads meanwhile. Stops when the other end has closed, whether or not
    /// all of it is sent.
    pub async fn stream(&self, length: usize, chunks: impl Iterator<Item = Vec<u8>>) -> Answer {
        let head = format!(
            "POST /api/v2/signingCert HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            self.authority()
        );
        self.exchange(std::iter::once(head.into_bytes()).chain(chunks)).await
    }

    async fn get(&self, path: &str) -> Answer {
        let authority = self.authority();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
        self.exchange(std::iter::once(head.into_bytes())).await
    }

    async fn exchange(&self, chunks: impl Iterator<Item = Vec<u8>>) -> Answer {
        let (mut read, mut write) = self.connect().await.into_split();
        let sending = async {
            for chunk in chunks {
                if write.write_all(&chunk).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = sending => {}
            // A reset after the answer takes nothing away from it.
            _ = read.read_to_end(&mut answer) => {}
        }
        Answer::read(&answer)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.authority()).await.expect("it listens")
    }

    /// Host and port of the instance.
    pub fn authority(&self) -> &str {
        self.server.url.strip_prefix("http://").expect("served in clear")
    }

    /// The log's head.
    pub async fn head(&self) -> Checkpoint {
        let note: SignedNote = self.get(&self.checkpoint).await.body.parse().expect("a note");
        note.text.parse().expect("a checkpoint")
    }

    /// Lets the kernel forget how large the process has been; yields how large it is, in KiB.
    pub fn forget_peak(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.server.id()), "5").expect("ours");
        self.memory("VmRSS:")
    }

    /// How large the process has been since then, in KiB.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id()));
        let status = status.expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("measured");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// Somebody at 127.0.0.2.
struct Canary {
    port: u16,
    calls: Arc<AtomicUsize>,
    listener: JoinHandle<()>,
}

impl Canary {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let calls = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&calls);
        let listener = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, calls, listener }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

pub fn now() -> u64 {
    SystemClock.now().as_secs()
}

/// Alice's claims, by the issuer at `path` of `issuer`.
pub fn mail(issuer: &FakeIssuer, path: &str) -> Value {
    let issuer = issuer.url() + path;
    json!({ "iss": issuer, "sub": "alice-1", "email": ALICE, "email_verified": true })
}

/// `claims` with an audience, and times that hold: what a token needs that is signed as it is.
pub fn whole(mut claims: Value) -> Value {
    let now = now();
    let rest = json!({ "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 600 });
    for (name, value) in rest.as_object().expect("an object") {
        claims[name.as_str()] = value.clone();
    }
    claims
}

/// `claims` without claim `name`.
pub fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

/// `claims` with `value` as claim `name`.
pub fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

/// The three parts of a token.
pub fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

/// Base64url, unpadded.
pub fn coded(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// The text that a part of a token says.
pub fn decoded(part: &str) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("UTF-8")
}

/// The request with `token`, and the callers' signature of `challenge`.
pub fn ask(token: &str, challenge: &str) -> Value {
    let proof = KEY.sign(&SystemRandom::new(), challenge.as_bytes()).expect("a signature");
    ask_for(token, &caller::spki(P256, KEY.public_key().as_ref()), proof.as_ref())
}

/// The request for another key.
pub fn ask_for(token: &str, spki: &[u8], proof: &[u8]) -> Value {
    json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "content": pem::encode("PUBLIC KEY", spki) },
            "proofOfPossession": STANDARD.encode(proof),
        },
    })
}

/// The request with a PKCS #10 request, DER.
pub fn ask_by_request(token: &str, der: &[u8]) -> Value {
    let text = pem::encode("CERTIFICATE REQUEST", der);
    json!({
        "credentials": { "oidcIdentityToken": token },
        "certificateSigningRequest": STANDARD.encode(text),
    })
}

/// A file of Fulcio's with an issuer of each kind, patterns, and the templates of the one in `config/`.
fn issuer_file(issuer: &FakeIssuer, twin: &FakeIssuer, faulty: &FakeIssuer) -> String {
    let entry = |of: &FakeIssuer, path: &str, lines: &str| {
        let url = of.url() + path;
        let ca = of.ca_pem().lines().map(|line| format!("\n      {line}")).collect::<String>();
        let name =
            if path.contains('*') { String::new() } else { format!("issuer-url: {url}\n    ") };
        format!("  {url}:\n    {name}client-id: sigstore\n    {lines}\n    ca-cert: |{ca}\n")
    };
    let fixed = [
        entry(issuer, "/mail", "type: email"),
        entry(issuer, "/twin", "type: email"),
        entry(issuer, "/uri", "type: uri\n    subject-domain: https://localhost"),
        entry(issuer, "/k8s", "type: kubernetes"),
        entry(issuer, "/ci", "type: ci-provider\n    ci-provider: github-workflow"),
        entry(twin, "/mail", "type: email"),
    ];
    let patterns = [entry(issuer, "/m/*", "type: email"), entry(faulty, "/m/*", "type: email")];
    let sample = include_str!("../../../config/fulcio.yaml");
    let (_, rest) = sample.split_once("define:\n").expect("names of providers");
    let (names, rest) = rest.split_once("\n\n").expect("an end");
    let (_, templates) = rest.split_once("ci-issuer-metadata:\n").expect("templates");
    format!(
        "define:\n{names}\noidc-issuers:\n{}meta-issuers:\n{}ci-issuer-metadata:\n{templates}",
        fixed.concat(),
        patterns.concat()
    )
}
