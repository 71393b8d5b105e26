//! The commands: one file a command, each with its arguments and a `run`.
//!
//! Every command exits 0 when it did what was asked, 1 when the answer is no or something failed, and 2
//! when it was used or configured wrongly. What scripts read goes to stdout, errors go to stderr in one
//! sentence with what to do next.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use out::Out;

pub mod backup;
pub mod bench;
mod bundle;
pub mod calendar;
pub mod check;
pub mod client;
pub mod demo;
pub mod explain;
pub mod fsck;
pub mod import;
pub mod init;
pub mod instance;
pub mod out;
pub mod proof;
mod publisher;
mod reload;
pub mod requester;
pub mod rotate;
pub mod search;
pub mod serve;
pub mod show;
pub mod style;
pub mod trust;
pub mod verify;

/// How long what still blocks a thread at the end may go on: no promise hangs on it, and what it writes is
/// written whole or not at all.
const MOMENT: Duration = Duration::from_secs(3);

/// A short-lived certificate authority with its own transparency log, compatible with Sigstore's Fulcio.
#[derive(Debug, Parser)]
#[command(name = "mayfly", version, after_help = "Start here:\n  mayfly demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Serve(serve::Args),
    Check(check::Args),
    Explain(explain::Args),
    /// Move here from another authority
    #[command(subcommand)]
    Import(import::Command),
    Bench(bench::Args),
    Verify(bundle::Args),
    /// Find, show and verify what was issued
    #[command(subcommand)]
    Log(LogCommand),
    /// Show or export what verifiers need to trust this instance
    #[command(subcommand)]
    Trust(trust::Command),
    /// Make the next key in time, and keep the old one verifiable
    #[command(subcommand)]
    Rotate(rotate::Command),
    /// Print the completions for a shell
    #[command(after_help = "Example:\n  mayfly completions bash > /etc/bash_completion.d/mayfly")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    Search(search::Args),
    Show(show::Args),
    Verify(verify::VerifyArgs),
    Fsck(fsck::Args),
    Backup(backup::Args),
}

/// Parses `arguments` and runs the command they name.
///
/// # Errors
///
/// [`CommandError`], with its message ready for stderr.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), CommandError> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(CommandError::Clap(error)),
        Err(help) => return out::written(help.print()),
    };
    match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Import(command) => import::run(command),
        Command::Bench(args) => bench::run(args),
        Command::Verify(args) => bundle::run(&args),
        Command::Log(LogCommand::Search(args)) => search::run(args),
        Command::Log(LogCommand::Show(args)) => show::run(args),
        Command::Log(LogCommand::Verify(args)) => verify_log(&args),
        Command::Log(LogCommand::Fsck(args)) => fsck::run(&args),
        Command::Log(LogCommand::Backup(args)) => backup::run(&args),
        Command::Trust(command) => trust::run(command),
        Command::Rotate(command) => rotate::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mayfly", &mut script);
            Out::stdout().print(String::from_utf8_lossy(&script))
        }
    }
}

fn verify_log(args: &verify::VerifyArgs) -> Result<(), CommandError> {
    let (out, mut report) = (Out::stdout(), Vec::new());
    let verified = block_on(verify::run(args, &mut report))?;
    let printed = out.print(String::from_utf8_lossy(&report));
    verified.map_err(|error| match error.exit_code() {
        1 => CommandError::failed(error),
        _ => CommandError::usage(error),
    })?;
    printed
}

/// What `future` yields; and what it has begun on other threads has a moment to end.
///
/// A quirk of the runtime's: left to itself it waits for all that blocks a thread, and a name that is still
/// being resolved, or a file on a disk that does not answer, would keep the process from its end.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = runtime()?;
    let found = runtime.block_on(future);
    runtime.shutdown_timeout(MOMENT);
    Ok(found)
}

/// What asynchronous commands run on.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(CommandError::failed)
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CommandError {
    /// The answer is no, or something failed: exit 1.
    Failed(String),
    /// The answer is no, and stdout has said why: exit 1.
    Refused,
    /// Nobody reads what is printed any more: exit 0.
    Enough,
    /// Wrong usage or configuration: exit 2. May have several lines.
    Usage(String),
    /// A configuration that does not hold: exit 2. One complaint a line, each naming its place.
    Configuration(String),
    /// Wrong usage, as the argument parser words it.
    Clap(clap::Error),
}

impl CommandError {
    /// A failure in the words of `error`.
    pub fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A mistake in usage or configuration in the words of `error`.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// A failure about the file or folder `path`.
    pub fn at(path: &Path, error: impl fmt::Display) -> Self {
        Self::Failed(format!("{}: {error}", path.display()))
    }

    /// What it says, for a line that has its own beginning.
    fn message(&self) -> String {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Configuration(message) => {
                message.trim_end().to_owned()
            }
            Self::Refused | Self::Enough => String::new(),
            Self::Clap(error) => error.to_string(),
        }
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Enough => 0,
            Self::Failed(_) | Self::Refused => 1,
            Self::Usage(_) | Self::Configuration(_) | Self::Clap(_) => 2,
        }
    }
}

/// Ready for stderr, line end included.
impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Usage(message) => {
                writeln!(f, "mayfly: {}", message.trim_end())
            }
            Self::Refused | Self::Enough => Ok(()),
            Self::Configuration(lines) => f.write_str(lines),
            Self::Clap(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                    check(sub, &path);
                }
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("mayfly "), "{path}: --help has no example");
            }
        }
        check(&Cli::command(), "");
    }
}
