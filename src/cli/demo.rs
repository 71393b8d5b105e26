//! `mayfly demo`: everything on loopback in a temporary folder, told step by step.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::Value;
use tokio::net::TcpListener;

use self::issuer::Issuer;
use super::CommandError;
use super::block_on;
use super::client::Client;
use super::instance::{Instance, Source};
use super::out::{self, Out};
use super::proof::LogClient;
use super::requester::{Requester, challenge};
use super::serve;
use crate::reading::Reading;
use crate::time::SystemClock;

mod issuer;
mod signing;

/// With places for `{url}`, `{listen}` and `{issuer}`.
const CONFIGURATION: &str = include_str!("demo/mayfly.yaml");

/// What to try, with places for `{mayfly}`, `{config}`, `{url}`, `{issuer}`, `{shard}`, `{file}` and `{bundle}`.
const SUGGESTIONS: &str = include_str!("demo/suggestions.txt");

/// Watch a token become a certificate, and a signature that outlives it, on loopback, in a temporary folder
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
    block_on(async {
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
        let story = Story { client: Client::new(&url), issuer, out: Out::stdout(), shard };
        let told = story.run(folder.path(), args.once).await;
        // However it ended: the log is closed before anybody leaves.
        drop(stop);
        server.await.map_err(CommandError::failed)??;
        told
    })?
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
    out: Out,
    shard: String,
}

impl Story {
    /// Tells it, and then, unless `once` is enough, stays until somebody says stop.
    async fn run(&self, folder: &Path, once: bool) -> Result<(), CommandError> {
        let bundle = self.tell().await?;
        if !once {
            self.suggest(folder, &bundle)?;
            serve::stop_signal()?.await;
        }
        Ok(())
    }

    /// Yields the bundle of what is signed.
    async fn tell(&self) -> Result<String, CommandError> {
        let claims = self.issuer.claims();
        let token = self.issuer.token(&claims)?;
        self.step("claims", &format!("a token of {}", self.issuer.url))?;
        let claim = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let shown = ["repository", "ref", "event_name", "job_workflow_ref"];
        self.details(&shown.map(|name| (name, claim(name).to_owned())))?;
        let requester = Requester::new()?;
        self.step("proof", "a fresh P-256 key signs the token's subject")?;
        self.details(&[("challenge", challenge(&token).unwrap_or_default())])?;

        let answer = self.exchange(&requester, &token).await?;
        let (leaf, issuing) = certificates(&answer)?;
        self.step(
            "rule",
            "\"release\" wants repository_owner_id 9919 and ref refs/heads/main or refs/tags/v*",
        )?;
        self.certificate(&leaf, &issuing)?;
        self.log_entry(&leaf, &issuing).await?;
        let bundle = self.sign(&requester, &leaf).await?.json().map_err(CommandError::failed)?;
        self.verify(&bundle, &leaf).await?;
        self.refusal(&requester, claims).await?;
        Ok(bundle)
    }

    async fn exchange(&self, with: &Requester, token: &str) -> Result<Value, CommandError> {
        let answer = self.client.post("/api/v2/signingCert", with.request(token)?).await?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(CommandError::failed),
            _ => Err(CommandError::Failed(answer.message())),
        }
    }

    fn certificate(&self, leaf: &Reading, issuing: &Reading) -> Result<(), CommandError> {
        leaf.verify_issued_by(issuing).map_err(CommandError::failed)?;
        let (from, until) = leaf.validity();
        let minutes = until.since(from).as_secs() / 60;
        self.step("certificate", &format!("{minutes} minutes, until {until}"))?;
        let mut details = vec![("serial", leaf.serial())];
        details.extend(leaf.sans().into_iter().map(|san| ("subject alternative name", san)));
        details.extend(leaf.extensions());
        self.details(&details)?;
        self.holds("signed by the authority")
    }

    async fn log_entry(&self, leaf: &Reading, issuing: &Reading) -> Result<(), CommandError> {
        let log = LogClient::of(&self.client, &self.shard).await?;
        let issuer = issuing.public_key().map_err(CommandError::failed)?;
        let (sct, hash) = leaf.verify_sct(log.key(), &issuer).map_err(CommandError::failed)?;
        self.step("log entry", &format!("index {} of {}", sct.leaf_index, log.origin()))?;
        self.details(&[("timestamp", sct.timestamp.to_string())])?;
        self.holds("the log's timestamp in the certificate is signed by the log")?;
        let tree = log.prove(sct.leaf_index, hash).await?;
        self.step("inclusion", &format!("a tree of {}", tree.size))?;
        self.details(&[("root", tree.root.to_string())])?;
        self.holds("checkpoint signed by the log; the entry is in the tree under that root")
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
        self.step("refusal", "the same job on another branch is told why not")?;
        let refusal = self.out.wrap(&answer.message(), 2);
        self.out.line(format_args!("  {}\n", self.out.style.bad(&refusal)))
    }

    fn step(&self, name: &str, text: &str) -> Result<(), CommandError> {
        const NAME: usize = 12;
        let name = self.out.style.strong(&format!("{name:<NAME$}"));
        self.out.line(format_args!("{name} {}", self.out.wrap(text, NAME + 1)))
    }

    fn details(&self, pairs: &[(&str, String)]) -> Result<(), CommandError> {
        self.out.print(self.out.fields(pairs))
    }

    fn holds(&self, what: &str) -> Result<(), CommandError> {
        self.out.line(format_args!("  {} {what}", self.out.style.good("✓")))
    }

    /// Writes down what was signed, and says what to try.
    fn suggest(&self, folder: &Path, bundle: &str) -> Result<(), CommandError> {
        let file = folder.join("file");
        std::fs::write(&file, signing::FILE).map_err(CommandError::failed)?;
        let beside = folder.join("file.sigstore.json");
        std::fs::write(&beside, bundle).map_err(CommandError::failed)?;
        let serving = self.out.style.strong("serving");
        let url = self.client.url();
        let text = SUGGESTIONS
            .replace("{mayfly}", &out::program())
            .replace("{config}", &out::word(&folder.join("mayfly.yaml")))
            .replace("{url}", url)
            .replace("{issuer}", &self.issuer.url)
            .replace("{shard}", &self.shard)
            .replace("{file}", &out::word(&file))
            .replace("{bundle}", &out::word(&beside));
        self.out.print(format_args!("{serving} {url} until Ctrl-C. In another terminal:\n\n{text}"))
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
