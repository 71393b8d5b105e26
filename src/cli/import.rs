//! `mayfly import`: the configuration of another authority → a `mayfly.yaml`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::CommandError;
use super::out::{self, Out};
use crate::config::{self, Imported};

/// Whose configuration.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Write a Fulcio issuer file as a mayfly.yaml, and list what needs a decision
    Fulcio(Args),
}

/// Write a Fulcio issuer file as a mayfly.yaml, and list what needs a decision
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly import fulcio config.yaml --out mayfly.yaml
  mayfly check --config mayfly.yaml

Issuers that vouch for strangers get a comment that asks who may have a certificate; `mayfly check` refuses
the file until that is decided. docs/moving.md has the rest of the way: key and chain, trust files, callers.")]
pub struct Args {
    /// The issuer file, YAML or JSON
    file: PathBuf,
    /// Write here instead of to stdout; a file that exists is left alone
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Trust shared issuers as Fulcio does: whoever they vouch for
    #[arg(long)]
    allow_anybody: bool,
}

/// Runs `mayfly import`.
///
/// # Errors
///
/// [`CommandError::Configuration`] with everything that is wrong with the file;
/// [`CommandError::Failed`] when the result cannot be written.
pub fn run(command: Command) -> Result<(), CommandError> {
    let Command::Fulcio(args) = command;
    let imported = config::import_fulcio(&args.file, args.allow_anybody);
    let imported = imported.map_err(|errors| CommandError::Configuration(format!("{errors}\n")))?;
    let written = match &args.out {
        Some(out) => write(out, &imported.text),
        None => Out::stdout().print(&imported.text),
    };
    if written.is_ok() {
        out::aside(list(&imported) + &next(args.out.as_deref()));
    }
    written
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    let path = path.display();
    written.map_err(|error| {
        CommandError::Failed(if error.kind() == ErrorKind::AlreadyExists {
            format!("{path} exists and is left alone: name another file with --out")
        } else {
            format!("{path} cannot be written: {error}")
        })
    })
}

/// What is left to do, and what is worth knowing; for stderr.
fn list(imported: &Imported) -> String {
    let mut text = String::new();
    match imported.decisions.len() {
        0 => {}
        1 => text += "1 issuer needs a decision before the file holds:\n",
        count => text += &format!("{count} issuers need a decision before the file holds:\n"),
    }
    imported.decisions.iter().for_each(|decision| text += &format!("  {decision}\n"));
    imported.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}

/// Where to go from here; for stderr.
fn next(out: Option<&Path>) -> String {
    let file = out.unwrap_or(Path::new("mayfly.yaml")).display();
    format!(
        "next: {} check --config {file}; docs/moving.md has the rest: Fulcio's key and chain, the \
         clients' trust files, and the way back\n",
        out::program()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_do_comes_first() {
        let mut imported = Imported {
            text: String::new(),
            decisions: vec!["https://gitlab.com vouches for the whole world".to_owned()],
            notes: vec!["config.yaml:3: is never used".to_owned()],
        };
        assert_eq!(
            list(&imported),
            "1 issuer needs a decision before the file holds:\n  \
             https://gitlab.com vouches for the whole world\nnote: config.yaml:3: is never used\n"
        );
        imported.decisions.push("https://gitlab.org".to_owned());
        assert!(list(&imported).starts_with("2 issuers need a decision"));
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("mayfly.yaml");
        write(&path, "one").unwrap();
        let error = write(&path, "two").unwrap_err();
        assert!(error.to_string().contains("exists and is left alone"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }
}
