//! `mayfly demo`: everything on loopback in a temporary folder, told step by step.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::Value;
use tokio::net::TcpListener;

use self::issuer::Issuer;
use super::CommandError;
use super::client::{Answer, Client};
use super::instance::{Instance, Source};
use super::proof::LogClient;
use super::requester::{Requester, challenge};
use super::runtime;
use super::serve;
use super::style::Style;
use crate::reading::Reading;
use crate::time::SystemClock;

mod issuer;

/// With places for `{url}`, `{listen}` and `{issuer}`.
const CONFIGURATION: &str = include_str!("demo/mayfly.yaml");

/// Watch a token become a logged certificate, on loopback, in a temporary folder
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  mayfly demo --once")]
pub struct Args {
    /// End after the story instead of serving on.
    #[arg(long)]
    once: bool,
}

/// Runs `mayfly demo`.
///
/// # Errors
///
/// [`CommandError::Failed`] when a step of the story does not hold.
pub fn run(args: Args) -> Result<(), CommandError> {
    let folder = tempfile::tempdir().map_err(CommandError::failed)?;
    runtime()?.block_on(async {
        let issuer = Issuer::start(Arc::new(SystemClock)).await?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.map_err(CommandError::failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(CommandError::failed)?);
        let instance =
            Instance::create_and_open(source(folder.path(), &url, &issuer.url)?.config()?)?;
        let shard = instance.trust.url.clone();

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve::serve(instance, listener, async {
            // Dropped or sent: either ends the server.
            let _ = stopped.await;
        }));
        let story = Story { client: Client::new(&url), issuer, style: Style::of_stdout(), shard };
        let told = story.tell().await;
        if told.is_ok() && !args.once {
            story.suggest(folder.path());
            serve::stop_signal()?.await;
        }
        drop(stop);
        server.await.map_err(CommandError::failed)??;
        told
    })
}

/// The demo's configuration, a file like any other.
fn source(folder: &Path, url: &str, issuer: &str) -> Result<Source, CommandError> {
    let listen = url.trim_start_matches("http://");
    let yaml =
        CONFIGURATION.replace("{url}", url).replace("{listen}", listen).replace("{issuer}", issuer);
    let file = folder.join("mayfly.yaml");
    std::fs::write(&file, yaml).map_err(CommandError::failed)?;
    Ok(Source { config: Some(file), ..Source::default() })
}

/// One token's way, told from the caller's side of the counter.
struct Story {
    client: Client,
    issuer: Arc<Issuer>,
    style: Style,
    shard: String,
}

impl Story {
    async fn tell(&self) -> Result<(), CommandError> {
        let claims = self.issuer.claims();
        let token = self.issuer.token(&claims)?;
        self.step("claims", &format!("a token of {}", self.issuer.url));
        for name in ["repository", "ref", "event_name", "job_workflow_ref"] {
            self.detail(name, claims.get(name).and_then(Value::as_str).unwrap_or_default());
        }
        let requester = Requester::new()?;
        self.step("proof", "a fresh P-256 key signs the token's subject");
        self.detail("challenge", &challenge(&token).unwrap_or_default());

        let answer = self.exchange(&requester, &token).await?;
        let (leaf, issuing) = certificates(&answer)?;
        self.step(
            "rule",
            "\"release\" wants repository_owner_id 9919 and ref refs/heads/main or refs/tags/v*",
        );
        self.certificate(&leaf, &issuing)?;
        self.log_entry(&leaf, &issuing).await?;
        self.refusal(&requester, claims).await
    }

    async fn exchange(&self, with: &Requester, token: &str) -> Result<Value, CommandError> {
        let answer = self.client.post("/api/v2/signingCert", with.request(token)?).await?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(CommandError::failed),
            _ => Err(CommandError::Failed(message(&answer))),
        }
    }

    fn certificate(&self, leaf: &Reading, issuing: &Reading) -> Result<(), CommandError> {
        leaf.verify_issued_by(issuing).map_err(CommandError::failed)?;
        let (from, until) = leaf.validity();
        let minutes = until.since(from).as_secs() / 60;
        self.step("certificate", &format!("{minutes} minutes, until {until}"));
        self.detail("serial", &leaf.serial());
        leaf.sans().iter().for_each(|san| self.detail("san", san));
        for (name, text) in leaf.extensions() {
            self.detail(name, &text);
        }
        self.holds("signed by the authority");
        Ok(())
    }

    async fn log_entry(&self, leaf: &Reading, issuing: &Reading) -> Result<(), CommandError> {
        let log = LogClient::of(&self.client, &self.shard).await?;
        let issuer = issuing.public_key().map_err(CommandError::failed)?;
        let (sct, hash) = leaf.verify_sct(log.key(), &issuer).map_err(CommandError::failed)?;
        self.step("log entry", &format!("index {} of {}", sct.leaf_index, log.origin()));
        self.detail("timestamp", &sct.timestamp.to_string());
        self.holds("the log's timestamp in the certificate is signed by the log");
        let tree = log.prove(sct.leaf_index, hash).await?;
        self.step("inclusion", &format!("a tree of {}", tree.size));
        self.detail("root", &tree.root.to_string());
        self.holds("checkpoint signed by the log; the entry is in the tree under that root");
        Ok(())
    }

    /// The other half: what the rule is for.
    async fn refusal(&self, with: &Requester, mut claims: Value) -> Result<(), CommandError> {
        if let Some(claims) = claims.as_object_mut() {
            claims.insert("ref".to_owned(), "refs/heads/experiment".into());
        }
        let token = self.issuer.token(&claims)?;
        let answer = self.client.post("/api/v2/signingCert", with.request(&token)?).await?;
        if answer.status != 403 {
            return Err(CommandError::Failed(format!(
                "a token that the rule does not allow was answered with {}",
                answer.status
            )));
        }
        self.step("refusal", "the same job on another branch is told why not");
        println!("      {}", self.style.bad(&message(&answer)));
        println!();
        Ok(())
    }

    fn step(&self, name: &str, text: &str) {
        println!("{} {text}", self.style.strong(&format!("{name:<12}")));
    }

    fn detail(&self, name: &str, text: &str) {
        println!("      {} {text}", self.style.quiet(&format!("{name:<40}")));
    }

    fn holds(&self, what: &str) {
        println!("      {} {what}", self.style.good("✓"));
    }

    fn suggest(&self, folder: &Path) {
        let (url, issuer, shard) = (self.client.url(), &self.issuer.url, &self.shard);
        let config = folder.join("mayfly.yaml");
        let config = config.display();
        println!("{} {url}, until Ctrl-C. In another terminal:", self.style.strong("serving"));
        println!();
        println!("  curl -s {issuer}/token > token       # a token, as a CI job gets it");
        println!("  mayfly bench {url} --token token");
        println!("  mayfly log search --config {config}");
        println!("  mayfly log show 0 --config {config}");
        println!("  mayfly log verify {shard}");
        println!("  curl {shard}/checkpoint");
        println!();
        println!("  mayfly trust export trust --config {config}");
        println!(
            "  SIGSTORE_ROOT_FILE=trust/ca.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=trust/ct.pem \\"
        );
        println!("    cosign sign-blob -y --fulcio-url {url} --identity-token token \\");
        println!(
            "    --tlog-upload=false --output-certificate signed.pem README.md      # cosign 2"
        );
    }
}

/// Leaf and issuing certificate of a v2 answer.
fn certificates(answer: &Value) -> Result<(Reading, Reading), CommandError> {
    let chain = answer.pointer("/signedCertificateEmbeddedSct/chain/certificates");
    let read = |at: usize| {
        let pem = chain.and_then(|chain| chain.get(at)).and_then(Value::as_str);
        Reading::of_pem(pem.unwrap_or_default()).map_err(CommandError::failed)
    };
    Ok((read(0)?, read(1)?))
}

/// The sentence of an error answer.
fn message(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body.get("message").and_then(Value::as_str).unwrap_or("no message").to_owned()
}
