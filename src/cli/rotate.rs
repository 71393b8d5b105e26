//! `mayfly rotate`: the next key, in time and by hand.

use clap::Subcommand;

use super::CommandError;
use super::instance::Source;
use crate::installation::shards::Kind;

mod authority;
mod chains;
mod logs;
mod repository;
mod timestamp;

/// `mayfly rotate …`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the next intermediate of the authority, with a new key, or show the calendar
    #[command(
        after_help = "It is below the same root, is published at once, and issues a day later; nothing is restarted.\n\n\
        Examples:\n  mayfly rotate authority --dry-run --config mayfly.yaml\n  \
        mayfly rotate authority --root-key /media/root.key --config mayfly.yaml"
    )]
    Authority(authority::Command),
    /// Make the next key and chain of the timestamp authority, or show the calendar
    #[command(
        after_help = "It is published at once, and signs a day later; nothing is restarted.\n\n\
        Examples:\n  mayfly rotate timestamp --dry-run --config mayfly.yaml\n  \
        mayfly rotate timestamp --config mayfly.yaml"
    )]
    Timestamp(chains::Options),
    /// Make the next shard of the certificate log, with a new key, or show the calendar of both logs
    #[command(
        after_help = "`serve` does this by itself, 30 days before nothing takes certificates any more. A running\n\
        server takes the new shard up within a minute, or at SIGHUP.\n\n\
        Examples:\n  mayfly rotate log --dry-run --config mayfly.yaml\n  mayfly rotate log --config mayfly.yaml"
    )]
    Log(Args),
    /// Make the next shard of the signature log, with a new key, or show the calendar of both logs
    #[command(
        after_help = "`serve` does this by itself, 30 days before nothing takes signatures any more. A running\n\
        server takes the new shard up within a minute, or at SIGHUP.\n\n\
        Examples:\n  mayfly rotate signatures --dry-run --config mayfly.yaml\n  \
        mayfly rotate signatures --config mayfly.yaml"
    )]
    Signatures(Args),
    /// Make the next keys of the TUF repository, which clients follow, or show which are in force
    #[command(
        after_help = "Once in ten years; or after a key was lost or stolen. It needs the key of the newest root, tuf/1.key at\n\
        first, which may be kept off the machine until then. A running server signs with the new keys within a\n\
        minute, or at SIGHUP.\n\n\
        Examples:\n  mayfly rotate tuf --dry-run --config mayfly.yaml\n  mayfly rotate tuf --config mayfly.yaml"
    )]
    Tuf(Args),
}

/// What every rotation is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which instance.
    #[command(flatten)]
    source: Source,
    /// Show the calendar, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly rotate …`.
///
/// # Errors
///
/// [`CommandError`] when what there is cannot be read or the next one not be made.
pub fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Authority(command) => authority::run(&command),
        Command::Timestamp(options) => timestamp::run(&options),
        Command::Log(args) => logs::run(&args, Kind::Certificates),
        Command::Signatures(args) => logs::run(&args, Kind::Signatures),
        Command::Tuf(args) => repository::run(&args),
    }
}
