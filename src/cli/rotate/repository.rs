//! `mayfly rotate tuf`: the next keys of the TUF repository.

use std::path::Path;

use serde_json::json;

use super::Args;
use crate::cli::CommandError;
use crate::cli::instance::{Instance, with_passphrase};
use crate::cli::out::{self, Out};
use crate::installation::Files;
use crate::installation::repository;
use crate::time::{Clock, SystemClock, Timestamp};

/// Makes the next root with new keys, or says which one is in force.
pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let instance = Instance::read(&args.source)?;
    let folder = Files::of(&instance.config).repository;
    let made = if args.dry_run { None } else { Some(rotate(&instance, &folder)?) };
    let root = repository::newest_root(&folder).map_err(CommandError::failed)?;
    let (version, expires) = (root.version(), root.expires());
    let out = Out::stdout();
    match args.json {
        true => out.line(json!({
            "made": made,
            "root": { "version": version, "expires": expires.to_string() },
        })),
        false => out.print(text(made, (version, expires), &out)),
    }
}

fn rotate(instance: &Instance, folder: &Path) -> Result<u64, CommandError> {
    let (files, now) = (&instance.config.authority, SystemClock.now());
    with_passphrase(files, |passphrase| repository::rotate(folder, passphrase, now))
}

fn text(made: Option<u64>, (version, expires): (u64, Timestamp), out: &Out) -> String {
    let root = [("root", version.to_string()), ("valid", format!("until {expires}"))];
    let sentence = match made {
        Some(made) => format!(
            "made root {made}, signed by the old key and by its own: a running server signs with the new keys \
             within a minute, or at SIGHUP, and clients follow from whichever root they have; tuf/{old}.key \
             and tuf/{old}.online.key sign nothing any more, so destroy them",
            old = made - 1
        ),
        None => format!(
            "the next one is made by {} rotate tuf, which needs tuf/{version}.key",
            out::program()
        ),
    };
    format!("{}\n{}\n", out.fields(&root), out.wrap(&sentence, 0))
}
