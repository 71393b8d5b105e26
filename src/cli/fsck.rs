//! `mayfly log fsck`: everything of the log, computed again from inside.
//!
//! `log verify` judges what is served, as anybody can; this looks at the database itself: its structures,
//! every entry and record, every tile, the root, the issuers, and the mark beside it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::{self, Out};
use crate::log::audit::Audit;
use crate::log::mark::{self, MarkError};
use crate::log::{LogError, search};
use crate::quote::visible;
use crate::store::index::Index;
use crate::store::{Head, Store, StoreError, Tile};

/// Compute everything of the log again from inside, and say what does not hold
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mayfly log fsck --config mayfly.yaml\n  \
    mayfly log fsck --repair --config mayfly.yaml      # with the server stopped")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Of this shard of the log, named after a year; of the signature log's, `tlog/YEAR` [default: the one
    /// of today of the certificate log]
    #[arg(long, value_name = "YEAR")]
    shard: Option<String>,
    /// Make tiles anew that are not what their entries make them; entries are never touched. Not beside a
    /// server
    #[arg(long)]
    repair: bool,
    /// Make the file that remembers the newest head anew, where it is lost for good and this database is
    /// known to be the newest. Not beside a server
    #[arg(long)]
    accept_head: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly log fsck`.
///
/// # Errors
///
/// [`CommandError::Refused`] when something does not hold; [`CommandError`] when there is no log to be
/// looked at.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let instance = Instance::read(&args.source)?.of_either_log(args.shard.as_deref())?;
    let store = match args.repair || args.accept_head {
        true => instance.exclusive_store()?,
        false => instance.store()?,
    };
    let store = store.as_ref();
    let accepted = if args.accept_head { accept(&instance, store)? } else { None };
    let mut report = Report::of(&instance, store)?;
    let mut repaired = 0;
    if args.repair && !report.tiles.is_empty() {
        store.mend(report.head, &report.tiles).map_err(CommandError::failed)?;
        repaired = report.tiles.len() as u64;
        report = Report::of(&instance, store)?;
    }
    let out = Out::stdout();
    match args.json {
        true => out.json(report.to_json(repaired))?,
        false => out.print(report.to_text(&out, (args.repair, repaired), accepted))?,
    }
    if report.found.is_empty() { Ok(()) } else { Err(CommandError::Refused) }
}

/// Makes the mark anew, if there is none; yields the head that it remembers from now on.
fn accept(instance: &Instance, store: &dyn Store) -> Result<Option<Head>, CommandError> {
    match instance.check(store, true) {
        Ok(_) => Ok(None),
        Err(LogError::Mark(MarkError::Lost { path, .. })) => {
            let head = store.head().map_err(CommandError::failed)?;
            ask_index(instance, store, head)?;
            let origin = instance.owner().origin;
            mark::make(path.as_ref(), &origin, head).map_err(CommandError::failed)?;
            Ok(Some(head))
        }
        Err(error) => Err(CommandError::Failed(format!("this head is not accepted: {error}"))),
    }
}

/// The search index finds what it says it has. Where there is none, or one that does not fit, the next start
/// makes it anew.
fn check_index(instance: &Instance, store: &dyn Store, head: Head) -> Result<(), LogError> {
    let Ok(index) = Index::open_read_only(&instance.shard.index(), &instance.owner()) else {
        return Ok(());
    };
    let upto = index.upto().map_err(LogError::Index)?;
    match search::check(upto, store, head.size) {
        Ok(()) => search::sample(&index, store, upto.size),
        Err(_) => Ok(()),
    }
}

/// Refuses a head that the search index knows better: whoever lays an old copy of the database over the
/// newer one mostly forgets the index beside it.
fn ask_index(instance: &Instance, store: &dyn Store, head: Head) -> Result<(), CommandError> {
    let path = instance.shard.index();
    let upto = match Index::open_read_only(&path, &instance.owner()).and_then(|it| it.upto()) {
        Ok(upto) => upto,
        Err(error @ (StoreError::Backend(_) | StoreError::Unwritable { .. })) => {
            return Err(CommandError::failed(error));
        }
        // There is none, or it says nothing about this log.
        Err(_) => return Ok(()),
    };
    match search::check(upto, store, head.size) {
        Err(LogError::Index(error)) => Err(CommandError::Failed(format!(
            "this head is not accepted: the search index {} knows another database ({error}), so this one \
             seems to be an old copy, or of another history; find the newer one. Only where the index is \
             known to be wrong, delete it",
            path.display(),
        ))),
        checked => checked.map_err(CommandError::failed),
    }
}

/// What was found.
struct Report {
    origin: String,
    head: Head,
    found: Vec<LogError>,
    /// What can be made anew.
    tiles: Vec<Tile>,
    octets: u64,
    took: Duration,
}

impl Report {
    fn of(instance: &Instance, store: &dyn Store) -> Result<Self, CommandError> {
        let owner = instance.owner();
        let begun = Instant::now();
        let head = store.head().map_err(CommandError::failed)?;
        let progress = out::progress(&owner.origin, head.size, ", {msg}");
        let mut found = Vec::new();
        progress.set_message("SQLite checks itself");
        found.extend(store.examine().map_err(LogError::Store).err());
        found.extend(instance.check(store, true).err());
        found.extend(check_index(instance, store, head).err());

        let mut audit = Audit::of(instance.shard.kind.form(), head);
        let read = Instant::now();
        loop {
            match audit.step(store) {
                Ok(None) => break,
                Ok(Some(more)) => found.extend(more),
                Err(LogError::Store(error @ StoreError::Backend(_))) => {
                    return Err(CommandError::failed(error));
                }
                Err(error) => {
                    found.push(error);
                    break;
                }
            }
            progress.set_position(audit.entries());
            progress.set_message(speed(audit.octets(), read.elapsed()));
        }
        progress.finish_and_clear();
        // What stops a start is mostly what the audit finds as well.
        let mut once = Vec::new();
        found.into_iter().for_each(|error| {
            if !once.contains(&error) {
                once.push(error)
            }
        });
        let (tiles, octets) = (audit.tiles(), audit.octets());
        Ok(Self { origin: owner.origin, head, found: once, tiles, octets, took: begun.elapsed() })
    }

    fn to_json(&self, repaired: u64) -> serde_json::Value {
        let found: Vec<String> = self.found.iter().map(ToString::to_string).collect();
        json!({
            "origin": self.origin,
            "size": self.head.size,
            "root": self.head.root.to_string(),
            "ok": self.found.is_empty(),
            "found": found,
            "repairable": self.tiles.len(),
            "repaired": repaired,
            "octets": self.octets,
            "seconds": self.took.as_secs_f64(),
        })
    }

    fn to_text(
        &self,
        out: &Out,
        (repair, repaired): (bool, u64),
        accepted: Option<Head>,
    ) -> String {
        let mut text = format!("{}\n", self.origin);
        text += &out.fields(&[
            ("entries", self.head.size.to_string()),
            ("root", self.head.root.to_string()),
            ("read", speed(self.octets, self.took)),
        ]);
        if let Some(Head { size, timestamp, .. }) = accepted {
            let newest = size.saturating_sub(1);
            let _ = writeln!(
                text,
                "accepted as the newest: entry {newest}, of {timestamp}; the file that remembers it was made anew"
            );
        }
        if repaired > 0 {
            let _ = writeln!(text, "{} made anew", out::count(repaired, "tile"));
        }
        if self.found.is_empty() {
            return text + "everything holds: entries, records, issuers, tiles, root, mark\n";
        }
        for error in &self.found {
            let _ =
                writeln!(text, "WRONG  {}", out.wrap(&visible(&error.to_string()).to_string(), 7));
        }
        if repair {
            text += "This was not repaired: entries, issuers, head and mark are never made up.\n";
        } else if !self.tiles.is_empty() {
            let tiles = out::count(self.tiles.len() as u64, "tile");
            let _ = writeln!(text, "{tiles} can be made anew: stop the server, and give --repair.");
        }
        text
    }
}

/// `12.3 MB in 4.5 s, 2.7 MB/s`.
fn speed(octets: u64, took: Duration) -> String {
    let (megabytes, seconds) = (octets as f64 / 1e6, took.as_secs_f64());
    format!("{megabytes:.1} MB in {seconds:.1} s, {:.1} MB/s", megabytes / seconds.max(0.001))
}
