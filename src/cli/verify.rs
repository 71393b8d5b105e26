//! `mayfly log verify`: the judge, from outside.
//!
//! Reads a static-ct-api log, or one of other tiles, as anybody can, over HTTP or from a folder, and holds all of it to
//! itself and to what was seen at the last visit; [`crate::ct::judge`] does the judging.

use std::io;
use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;

use super::out;
use crate::ct::judge::{self, Fault, Judge, Resource, Sighting, Verdict};
use crate::log::{Log, LogError};
use crate::quote::quote;
use crate::tlog::key::{CheckpointError, KeyError, PublicKey};
use crate::tlog::merkle::Hash;

mod cores;
mod keys;
mod source;
mod visit;

use keys::{KeyFrom, Keys};
pub use source::ReadError;
use source::Source;
use visit::Visit;

/// Recompute everything of a log from its public files.
///
/// Entries, tiles, root, checkpoint signature, and consistency with the last visit.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  mayfly log verify https://ca.example.com --key log.pub")]
pub struct VerifyArgs {
    /// The address of an instance or of one log of it (`https://ca.example.com/ct/2026`,
    /// `https://ca.example.com/tlog/2026`), or a folder with a log's files
    #[arg(value_name = "URL|DIR", default_value = "http://127.0.0.1:5555")]
    pub log: String,
    /// The log's public key, PEM or DER; without it the trusted_root.json served with the log is
    /// asked, which cannot reveal a log that was replaced as a whole
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Where the head seen at the last visit is kept [default: one file a log under
    /// $XDG_STATE_HOME/mayfly]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// The token that a log wants whose readers must show one: the first line of this file
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Look at the tree alone, at the speed of the disk: every entry is hashed, none is held to the signature
    /// of its authority
    #[arg(long)]
    pub tree_only: bool,
    /// Print one JSON object a log
    #[arg(long)]
    pub json: bool,
}

/// Verifies what `args` say and writes to `out` what holds.
///
/// # Errors
///
/// [`VerifyError`]; its [`VerifyError::exit_code`] says whether the log or the command is wrong.
pub async fn run(args: &VerifyArgs, out: &mut dyn io::Write) -> Result<(), VerifyError> {
    let place = Source::open(&args.log, args.token_file.as_deref())?;
    let is_one = args.key.is_some() || args.state.is_some();
    let logs = keys::logs(&place, is_one).await?;
    if logs.len() > 1 && is_one {
        return Err(VerifyError::ManyLogs(keys::logs(&place, false).await?.join(", ")));
    }
    for prefix in logs {
        let keys = Keys::open(args.key.as_deref(), &place, &prefix).await?;
        let report = verify_one(place.below(&prefix), keys, args).await?;
        report.write(args.json, out).map_err(|error| VerifyError::Output(error.to_string()))?;
    }
    Ok(())
}

async fn verify_one(
    mut source: Source,
    keys: Keys,
    args: &VerifyArgs,
) -> Result<Report, VerifyError> {
    let checkpoint = source.read("checkpoint").await?;
    let checkpoint = String::from_utf8_lossy(&checkpoint);
    let key = keys.of(&checkpoint);
    let (origin, head) = Sighting::of(&checkpoint, key.as_ref())?;

    let state = match &args.state {
        Some(state) => state.clone(),
        None => visit::default_path(&name(&origin, key.as_ref()))?,
    };
    let last = Visit::load(&state)?;
    let log_id = key.as_ref().map(PublicKey::id);
    let earlier = last.map(|last| last.of_same_log(&state, &origin, log_id)).transpose()?;

    let note = checkpoint.parse().map_err(CheckpointError::Note).map_err(Fault::Checkpoint)?;
    let judge = Judge::of(judge::entries(&note, key.as_ref()), head, earlier)?;
    let judge = judge.spread(if args.tree_only { cores::none } else { cores::spread });
    source.read_ahead(judge.tiles());
    let progress = out::progress(&origin, head.size, "");
    let verdict =
        drive(judge, &progress, async |resource| source.read(&resource.to_string()).await).await;
    progress.finish_and_clear();
    let verdict = verdict?;

    Visit::new(&origin, log_id, head).save(&state)?;
    Ok(Report { origin, verdict, key: keys.from(key.is_some()), earlier })
}

/// Under which name a visit is kept: a signature log's shards have one origin, and a key each.
fn name(origin: &str, key: Option<&PublicKey>) -> String {
    let id = key.filter(|_| !origin.contains('/')).map(|key| Hash(key.id()).to_string());
    id.map_or_else(|| origin.to_owned(), |id| format!("{origin}/{id}"))
}

/// Hands the judge every file that it wants.
async fn drive<E: Into<VerifyError>>(
    mut judge: Judge,
    progress: &ProgressBar,
    mut read: impl AsyncFnMut(Resource) -> Result<Vec<u8>, E>,
) -> Result<Verdict, VerifyError> {
    while let Some(resource) = judge.wants() {
        let bytes = read(resource).await.map_err(Into::into)?;
        judge.take(&bytes)?;
        progress.set_position(judge.entries());
    }
    Ok(judge.verdict()?)
}

/// What was verified, for people and for programs.
struct Report {
    origin: String,
    verdict: Verdict,
    key: KeyFrom,
    earlier: Option<Sighting>,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    origin: &'a str,
    size: u64,
    root: String,
    timestamp: Option<u64>,
    tiles: u64,
    issuers: usize,
    unchecked: u64,
    key: KeyFrom,
    last_size: Option<u64>,
}

impl Report {
    fn write(&self, json: bool, out: &mut dyn io::Write) -> io::Result<()> {
        if json { self.write_json(out) } else { self.write_text(out) }
    }

    fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let Verdict { head, tiles, issuers, unchecked } = self.verdict;
        let report = JsonReport {
            origin: &self.origin,
            size: head.size,
            root: head.root.to_string(),
            timestamp: head.timestamp.map(|at| at.as_millis()),
            tiles,
            issuers,
            unchecked,
            key: self.key,
            last_size: self.earlier.map(|earlier| earlier.size),
        };
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)
    }

    fn write_text(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let Verdict { head, tiles, issuers, unchecked } = self.verdict;
        writeln!(out, "{} holds", self.origin)?;
        writeln!(
            out,
            "  entries  {} (in {tiles} tiles, {issuers} issuer certificates)",
            head.size
        )?;
        writeln!(out, "  root     {}", head.root)?;
        if let Some(timestamp) = head.timestamp {
            writeln!(out, "  signed   {timestamp}")?;
        }
        writeln!(out, "  key      {}", self.key.sentence())?;
        match self.earlier {
            Some(earlier) => writeln!(
                out,
                "  since    the last visit: {} unchanged, {} added",
                earlier.size,
                head.size - earlier.size
            )?,
            None => {
                writeln!(out, "  since    this is the first visit; the next one is held to it")?
            }
        }
        if unchecked > 0 {
            writeln!(
                out,
                "  note     {unchecked} entries were not held to the signature of their authority"
            )?;
        }
        Ok(())
    }
}

/// Judges a running log by what it would serve.
///
/// # Errors
///
/// [`VerifyError`].
pub async fn check_served(log: &Log, earlier: Option<Sighting>) -> Result<Verdict, VerifyError> {
    let key = PublicKey::from_spki(log.public_key())
        .map_err(|error| VerifyError::Key { place: log.origin().to_owned(), error })?;
    let checkpoint = log.checkpoint().await?;
    let (_, head) = Sighting::of(&checkpoint, Some(&key))?;
    let judge = Judge::new(head, earlier)?;
    drive(judge, &ProgressBar::hidden(), async |resource| read_served(log, resource).await).await
}

async fn read_served(log: &Log, resource: Resource) -> Result<Vec<u8>, VerifyError> {
    let file = match resource {
        Resource::Tile(path) => log.tile(path).await?.map(Vec::from),
        Resource::Issuer(fingerprint) => log.issuer(fingerprint.0).await?,
    };
    file.ok_or_else(|| ReadError::Absent(resource.to_string()).into())
}

/// Why nothing was verified, or what does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The log is at fault.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A file of the log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The running log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has another key than at the last visit.
    #[error("{} is signed by another key than at the last visit; a log keeps its key for life, so this is another log under its name. If you know that it was made anew, remove {} and verify again", quote(.origin), quote(.file))]
    OtherKey {
        /// The log.
        origin: String,
        /// Where the last visit is kept.
        file: String,
    },
    /// The log's key was known at the last visit, and is not now.
    #[error("the key of {} was known at the last visit, and none of those known now signed its checkpoint; give the key with --key FILE", quote(.0))]
    KeyMissing(String),
    /// The kept head is that of another log.
    #[error("the state file {} is about the log {}; give each log a file of its own", quote(.file), quote(.origin))]
    OtherLog {
        /// The file.
        file: String,
        /// Whose head it holds.
        origin: String,
    },
    /// The kept head cannot be read or written.
    #[error("the state file {} cannot be used: {error}", quote(.file))]
    State {
        /// The file.
        file: String,
        /// Why.
        error: String,
    },
    /// No directory for the state file.
    #[error("there is no home directory to keep the last visit in; name a file with --state")]
    NoHome,
    /// This machine cannot make TLS connections.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    /// Neither an acceptable URL nor a folder.
    #[error("{} is neither a folder nor an https:// address (http:// is for loopback only)", quote(.0))]
    Place(String),
    /// No log there.
    #[error("{} serves no log: neither a checkpoint nor a trusted_root.json that names logs; give the address of the log itself, such as https://ca.example.com/ct/2026", quote(.0))]
    NoLog(String),
    /// One key or state file for several logs.
    #[error(
        "--key and --state are for one log, and there are several here ({0}); give the address of one"
    )]
    ManyLogs(String),
    /// The key cannot be read.
    #[error("the key in {} cannot be used: {error}", quote(.place))]
    Key {
        /// Where it stands.
        place: String,
        /// Why.
        error: KeyError,
    },
    /// The key file cannot be read.
    #[error("the key file {} cannot be read: {error}", quote(.file))]
    KeyFile {
        /// The file.
        file: String,
        /// Why.
        error: String,
    },
    /// The file with the token for readers cannot be used.
    #[error("the token file {} cannot be used: {error}", quote(.file))]
    TokenFile {
        /// The file.
        file: String,
        /// Why.
        error: String,
    },
    /// The report cannot be written.
    #[error("the result cannot be written: {0}")]
    Output(String),
}

impl VerifyError {
    /// 1 when the log does not hold or cannot be read, 2 when the command is at fault.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Fault(_)
            | Self::Read(_)
            | Self::Log(_)
            | Self::OtherKey { .. }
            | Self::KeyMissing(_)
            | Self::State { .. }
            | Self::Output(_) => 1,
            Self::OtherLog { .. }
            | Self::NoHome
            | Self::Tls(_)
            | Self::Place(_)
            | Self::NoLog(_)
            | Self::ManyLogs(_)
            | Self::Key { .. }
            | Self::KeyFile { .. }
            | Self::TokenFile { .. } => 2,
        }
    }
}
