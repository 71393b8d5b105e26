//! `mayfly check --live`: every issuer is asked, every key and the log are tried; nothing is written.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::CommandError;
use crate::cli::instance::{self, Instance, with_passphrase};
use crate::config::Config;
use crate::installation::repository::Repository;
use crate::installation::shards::Shard;
use crate::installation::{self, Files, Installation, timestamps};
use crate::keyset::Keyset;
use crate::keyset::fetch::FetchError;
use crate::keyset::probe::{Fault, Probe, Step};
use crate::log::{self, LogError, Wanted};
use crate::signer::Signer;
use crate::store::sqlite;
use crate::time::{Clock, SystemClock};
use crate::timestamping::StampError;
use crate::tlog::key::PublicKey;
use crate::tlog::tls::DigitallySigned;

/// Issuers that are asked at a time.
const AT_ONCE: usize = 16;

/// What the keys sign to show that they can.
const SELF_TEST: &[u8] = b"mayfly check --live: a signature of nothing";

/// Where it stands what to do about an instance that does not start.
const GUIDE: &str = "see \"When it does not start\" in docs/operating.md";

/// What was found out about one thing.
pub struct Finding {
    /// An issuer's URL, or a part of the instance.
    of: String,
    lines: Vec<Line>,
}

struct Line {
    what: String,
    outcome: Outcome,
}

enum Outcome {
    /// It holds; with what was found, if there is anything to show.
    Holds(String),
    /// It does not; and what to do.
    Fails(String, &'static str),
    /// There is nothing to try; and why.
    Untried(String),
}

/// Asks and tries everything, in the order of the file; the instance itself comes last.
///
/// # Errors
///
/// [`CommandError::Failed`] when an issuer cannot be asked as it is configured.
pub async fn findings(config: Config) -> Result<Vec<Finding>, CommandError> {
    let keyset = Keyset::through(&config.proxy, config.issuers.clone());
    let keyset = Arc::new(keyset.map_err(CommandError::failed)?);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut probes = JoinSet::new();
    for issuer in config.issuers.iter().cloned() {
        let (keyset, slots) = (Arc::clone(&keyset), Arc::clone(&slots));
        probes.spawn(async move {
            // Closed by nobody: the permit is there in its time.
            let _slot = slots.acquire().await;
            (issuer.id, Finding::of_probe(&issuer.url, keyset.probe(&issuer).await))
        });
    }
    let mut found = probes.join_all().await;
    found.sort_by_key(|(id, _)| *id);
    let mut findings: Vec<Finding> = found.into_iter().map(|(_, finding)| finding).collect();
    findings.push(Finding { of: "this instance".to_owned(), lines: instance(config).await });
    Ok(findings)
}

/// The instance's keys and log; of one that is yet to be made, the authority that is there already.
async fn instance(config: Config) -> Vec<Line> {
    let vacant = installation::is_vacant(&config.data).unwrap_or(false);
    if vacant && config.given_authority().is_none() {
        return vec![unmade(&config)];
    }
    let (chain, signer) = match instance::authority(&config.authority) {
        Ok(authority) => authority,
        Err(error) => return vec![Line::fails("authority", error.message(), GUIDE)],
    };
    let until = format!("{} certificates, until {}", chain.pems().len(), chain.not_after());
    let mut lines =
        vec![Line::holds("chain", until), signing_key("authority key", signer.as_ref()).await];
    if vacant {
        lines.push(unmade(&config));
        return lines;
    }
    match Instance::at_rest(config) {
        Ok(instance) => {
            let Installation { shards, signatures, .. } = &instance.installation;
            for shard in shards.iter().chain(signatures) {
                let path = shard.path();
                lines.push(signing_key(&format!("key {path}"), shard.signer.as_ref()).await);
                lines.push(store(shard, &instance.config));
            }
            lines.push(timestamps(&instance).await);
            lines.push(repository(&instance.config));
        }
        Err(error) => lines.push(Line::fails("data folder", error.message(), GUIDE)),
    }
    lines
}

fn unmade(config: &Config) -> Line {
    let folder = config.data.display();
    let none =
        format!("{folder} is absent or empty: `mayfly init` or `mayfly serve --create` makes it");
    Line { what: "data folder".to_owned(), outcome: Outcome::Untried(none) }
}

/// A signature of the key holds under its own public half.
async fn signing_key(what: &str, signer: &dyn Signer) -> Line {
    let remedy = "put the right key in its place, from a backup if the file is damaged";
    let algorithm = signer.algorithm();
    let signature = match signer.sign(SELF_TEST).await {
        Ok(signature) => signature,
        Err(error) => return Line::fails(what, error.to_string(), remedy),
    };
    let signed = DigitallySigned { algorithm, signature };
    let key = PublicKey::from_spki(signer.public_key());
    match key.map(|key| key.verify(SELF_TEST, &signed)) {
        Ok(Ok(())) => Line::holds(what, format!("{algorithm:?}")),
        Ok(Err(error)) => Line::fails(what, error.to_string(), remedy),
        Err(error) => Line::fails(what, error.to_string(), remedy),
    }
}

/// A shard can be read, and goes on from the head that it has.
fn store(shard: &Shard, config: &Config) -> Line {
    let what = format!("log {}", shard.path());
    let (owner, path) = (shard.ours(&config.url), shard.mark(&config.log));
    let checked = sqlite::open_read_only(&shard.database)
        .map_err(LogError::Store)
        .and_then(|store| {
            let (form, now, mark) = (shard.kind.form(), SystemClock.now(), Some(path.as_path()));
            log::check(&store, Wanted { owner: &owner, form, now, mark })
        })
        .map_err(|error| shard.look_beside(error));
    match checked {
        Ok(head) => Line::holds(what, format!("{} entries, root {}", head.size, head.root)),
        Err(error) => Line::fails(what, error.to_string(), GUIDE),
    }
}

/// The key that stamps now is there, with those that take over, and it signs.
async fn timestamps(instance: &Instance) -> Line {
    let (what, keys, now) = ("timestamps", &instance.installation.timestamps, instance.now());
    if let Err(error) = timestamps::check(keys, now) {
        return Line::fails(what, error.to_string(), GUIDE);
    }
    let mut begun = keys.iter().rev().filter(|key| key.chain.not_before() <= now);
    match begun.find_map(|key| key.signer.as_ref()) {
        Some(signer) => signing_key(what, signer.as_ref()).await,
        None => Line::fails(what, StampError::Keyless.to_string(), GUIDE),
    }
}

/// The TUF repository's newest root holds, and the key that it names is there.
fn repository(config: &Config) -> Line {
    let folder = Files::of(config).repository;
    let opened =
        with_passphrase(&config.authority, |passphrase| Repository::open(&folder, passphrase));
    match opened {
        Ok(repository) => {
            let root = repository.root();
            Line::holds("tuf", format!("root {}, until {}", root.version(), root.expires()))
        }
        Err(error) => Line::fails("tuf", error.message(), GUIDE),
    }
}

impl Finding {
    fn of_probe(url: &str, probe: Probe) -> Self {
        let untried = |why: &str| Outcome::Untried(why.to_owned());
        let lines = match probe {
            Probe::Inline(keys) => vec![Line::holds("keys", keys + ", in the configuration")],
            Probe::Pattern => {
                let why = "a pattern: there is nobody to ask before a token names an issuer";
                vec![Line { what: "keys".to_owned(), outcome: untried(why) }]
            }
            Probe::Asked { held, failed } => {
                let held = held.into_iter().map(|(step, found)| Line::holds(step, found));
                let failed = failed.map(|(step, fault)| {
                    Line::fails(step, fault.to_string(), remedy(step, &fault))
                });
                held.chain(failed).collect()
            }
        };
        Self { of: url.to_owned(), lines }
    }

    /// Whether something does not hold.
    pub fn failed(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.outcome, Outcome::Fails(..)))
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        let line = |line: &Line| match &line.outcome {
            Outcome::Holds(found) => json!({ "step": line.what, "ok": true, "found": found }),
            Outcome::Fails(reason, remedy) => {
                json!({ "step": line.what, "ok": false, "reason": reason, "remedy": remedy })
            }
            Outcome::Untried(why) => json!({ "step": line.what, "ok": null, "reason": why }),
        };
        let steps: Vec<Value> = self.lines.iter().map(line).collect();
        json!({ "of": self.of, "ok": !self.failed(), "steps": steps })
    }
}

impl Line {
    fn holds(what: impl fmt::Display, found: String) -> Self {
        Self { what: what.to_string(), outcome: Outcome::Holds(found) }
    }

    fn fails(what: impl fmt::Display, reason: String, remedy: &'static str) -> Self {
        Self { what: what.to_string(), outcome: Outcome::Fails(reason, remedy) }
    }
}

/// For people: what it is about, and a line for each step.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.of)?;
        for Line { what, outcome } in &self.lines {
            let (word, text) = match outcome {
                Outcome::Holds(found) => ("ok", found),
                Outcome::Fails(reason, _) => ("FAILED", reason),
                Outcome::Untried(why) => ("-", why),
            };
            writeln!(f, "{}", format!("  {what:<14} {word:<7} {text}").trim_end())?;
            if let Outcome::Fails(_, remedy) = outcome {
                writeln!(f, "{:25}{remedy}", "")?;
            }
        }
        Ok(())
    }
}

/// What to do about a step that does not hold.
fn remedy(step: Step, fault: &Fault) -> &'static str {
    match (step, fault) {
        (Step::Bearer, _) => {
            "have `bearer_token_file` name a file that this user may read, with one token and nothing else"
        }
        (_, Fault::Fetch(FetchError::Proxy(_))) => {
            "correct `proxy`, or have it let this host through"
        }
        (_, Fault::Fetch(FetchError::Status { status: 401 | 403, .. })) => {
            "it wants to know who asks: give `bearer_token_file`, or let everybody read its keys"
        }
        (Step::Name, _) => {
            "correct the host in `url` or `keys.url`, or the name servers of this machine"
        }
        (Step::Address, _) => {
            "its name leads to an address that nobody may have there; `keys: { file: … }` needs none"
        }
        (Step::Connection, _) => {
            "open the way from here to there, or set `proxy` where one is needed"
        }
        (Step::Tls, _) => {
            "give the certificate of its own CA with `ca`, or have its certificate hold for this name"
        }
        (Step::Discovery, _) => {
            "an issuer without discovery needs `keys: { url: … }` or `keys: { file: … }`"
        }
        (Step::Issuer, _) => "write `url` octet for octet as the issuer calls itself",
        (Step::KeySet, _) => {
            "have it publish its keys there, correct `keys.url`, or give them with `keys: { file: … }`"
        }
        (Step::Keys, _) => {
            "it must publish RSA (2048 bits or more), P-256, P-384, P-521 or Ed25519 keys that `algorithms` allow"
        }
    }
}
