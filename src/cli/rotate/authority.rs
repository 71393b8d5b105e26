//! `mayfly rotate authority`: the next intermediate, below the same root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::CommandError;
use crate::cli::init;
use crate::cli::instance::{Instance, Source};
use crate::cli::out::Out;
use crate::config::Config;
use crate::installation::Files;
use crate::installation::succession::{self, AHEAD, Issuer, Next};
use crate::quote::quote;
use crate::record::times;
use crate::time::{Clock, SystemClock, Timestamp};

/// `mayfly rotate authority …`.
#[derive(Debug, Args)]
pub struct Command {
    /// Which instance.
    #[command(flatten)]
    source: Source,
    /// The root's key [default: root.key in the data folder]
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// How long the new chain is published before it issues
    #[arg(long, value_name = "90s, 5m, 24h or 7d", default_value = "24h", value_parser = ahead)]
    ahead: Duration,
    /// Show the chains, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn ahead(text: &str) -> Result<Duration, String> {
    let ahead = times::age(text).filter(|ahead| *ahead <= AHEAD.saturating_mul(365));
    ahead.ok_or_else(|| format!("{} is no time of at most a year, like 24h", quote(text)))
}

/// Runs `mayfly rotate authority …`.
///
/// # Errors
///
/// [`CommandError`] when the chains cannot be read or the next one not be made.
pub fn run(command: &Command) -> Result<(), CommandError> {
    let Command { source, root_key, ahead, dry_run, json } = command;
    let now = SystemClock.now();
    let begins = now.floor().plus(*ahead);
    let instance = Instance::read(source)?;
    let made = match dry_run {
        true => None,
        false => Some(extend(&instance, root_key.as_deref(), begins)?),
    };
    let instance = if *dry_run { instance } else { Instance::read(source)? };
    let calendar = Calendar { issuers: &instance.installation.issuers, made, begins, now };
    let out = Out::stdout();
    match json {
        true => out.line(calendar.json()),
        false => out.print(calendar.text(&out)),
    }
}

/// Makes the chain after the last one.
fn extend(
    instance: &Instance,
    root_key: Option<&Path>,
    begins: Timestamp,
) -> Result<PathBuf, CommandError> {
    let Config { data, authority, .. } = &instance.config;
    if instance.config.given_authority().is_some() {
        return Err(CommandError::Usage(format!(
            "the authority is yours ({}): have your root sign the next issuing certificate, to begin when it \
             shall take over, and put its chain and key beside as {} and so on; a running server takes them up",
            authority.chain.display(),
            succession::numbered(&authority.chain, 2).display(),
        )));
    }
    let issuers = &instance.installation.issuers;
    let last = issuers.last().ok_or_else(|| CommandError::failed("there is no authority yet"))?;
    if last.chain.not_before() > instance.now() {
        return Err(CommandError::failed(format_args!(
            "{} is there already, and takes over on {}; wait until it has",
            last.file.display(),
            last.chain.not_before()
        )));
    }
    let root = root_key.map_or_else(|| data.join("root.key"), Path::to_owned);
    if !root.exists() {
        return Err(CommandError::Usage(format!(
            "{}: the root's key is not here; bring it, and name it with --root-key",
            root.display()
        )));
    }
    let passphrase = init::passphrase(authority.passphrase_file.as_deref())?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let files = Files {
        chain: authority.chain.clone(),
        authority_key: authority.key.clone(),
        ..Files::in_dir(data)
    };
    let made = succession::extend(&files, last, Next { root: &root, passphrase, begins });
    made.map_err(CommandError::failed)?.ok_or_else(|| {
        CommandError::failed(
            "another process is adding to the data folder at this moment; look again",
        )
    })
}

/// The chains of the authority.
struct Calendar<'a> {
    issuers: &'a [Issuer],
    made: Option<PathBuf>,
    begins: Timestamp,
    now: Timestamp,
}

impl Calendar<'_> {
    /// What each is there for at present.
    fn states(&self) -> impl Iterator<Item = (&Issuer, &'static str)> {
        let begun = self.issuers.iter().filter(|it| it.chain.not_before() <= self.now).count();
        self.issuers.iter().enumerate().map(move |(at, issuer)| {
            let state = match (at + 1).cmp(&begun.max(1)) {
                std::cmp::Ordering::Less => "taken over",
                std::cmp::Ordering::Equal => "issuing",
                std::cmp::Ordering::Greater => "next",
            };
            (issuer, state)
        })
    }

    fn text(&self, out: &Out) -> String {
        let mut rows = vec![["chain", "from", "to", "state"].map(str::to_owned).to_vec()];
        rows.extend(self.states().map(|(Issuer { file, chain, .. }, state)| {
            let (from, to) = (chain.not_before().to_string(), chain.not_after().to_string());
            vec![file.display().to_string(), from, to, state.to_owned()]
        }));
        let sentence = match &self.made {
            Some(file) => format!(
                "made {}: a running server names it in the trust files within a minute, or at SIGHUP, and issues by \
                 it from {} on",
                file.display(),
                self.begins
            ),
            None => format!("one that is made now takes over on {}", self.begins),
        };
        format!("{}\n{}\n", out.table(rows, 1), out.wrap(&sentence, 0))
    }

    fn json(&self) -> Value {
        let chain = |(Issuer { file, chain, .. }, state): (&Issuer, &str)| {
            json!({
                "file": file,
                "start": chain.not_before().to_string(),
                "end": chain.not_after().to_string(),
                "state": state,
            })
        };
        json!({
            "made": self.made,
            "chains": self.states().map(chain).collect::<Vec<_>>(),
            "next": { "start": self.begins.to_string() },
        })
    }
}
