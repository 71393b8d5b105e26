//! `mayfly log backup`: a copy of the log, taken while it runs, and checked.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::{self, Out};
use crate::installation::shards::Kind;
use crate::store::sqlite;

/// Copy the log into a file, while it runs: as evidence, not as a way back
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  mayfly log backup /mnt/backup/2026.sqlite --config mayfly.yaml"
)]
pub struct Args {
    /// The file to be made; its folder is there
    file: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Of this shard of the log, named after a year; of the signature log's, `tlog/YEAR` [default: the one
    /// of today of the certificate log]
    #[arg(long, value_name = "YEAR")]
    shard: Option<String>,
}

/// Runs `mayfly log backup`.
///
/// # Errors
///
/// [`CommandError`] when there is something at FILE, or when there is no whole copy.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let instance = Instance::read(&args.source)?.of_either_log(args.shard.as_deref())?;
    let file = &args.file;
    if file.symlink_metadata().is_ok() {
        let file = file.display();
        return Err(CommandError::Usage(format!(
            "{file} exists already: a copy is never written over another file"
        )));
    }
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(CommandError::Failed(format!(
            "the folder {folder} does not exist: make it first"
        )));
    }
    // Crash: under its own name there is a whole copy or none. Its mode is 0600 from the beginning.
    let copy = tempfile::Builder::new().prefix(".mayfly-backup-").tempfile_in(folder);
    let copy = copy.map_err(|error| CommandError::at(folder, error))?;
    let store = sqlite::open_read_only(&instance.shard.database).map_err(CommandError::failed)?;
    store.copy_to(copy.path()).map_err(CommandError::failed)?;
    copy.as_file().sync_all().map_err(|error| CommandError::at(copy.path(), error))?;

    let copied = sqlite::open_read_only(copy.path()).map_err(CommandError::failed)?;
    let head = instance.check(&copied, false);
    let head = head.map_err(|error| {
        CommandError::Failed(format!("the copy does not hold, and was not kept: {error}"))
    })?;
    drop(copied);
    copy.persist_noclobber(file).map_err(|error| CommandError::at(file, error.error))?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| CommandError::at(folder, error))?;

    let (entry, uses) = match instance.shard.kind {
        Kind::Certificates => ("certificate", "searched, shown and served"),
        Kind::Signatures => ("entry", "served"),
    };
    Out::stdout().line(format_args!(
        "{}: {}, root {}, checked\n\
         It is evidence for the day of a disaster, and can be {uses} (serve --read-only).\n\
         It is no way back: a log that goes on from an old copy signs a second history, so `serve` refuses it.\n\
         A log whose newest entries are lost is at its end: close it, and begin a new one with a new key.",
        file.display(),
        out::count(head.size, entry),
        head.root,
    ))
}
