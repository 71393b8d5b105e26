//! `mayfly trust`: what verifiers need, from the keys themselves.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::Out;
use crate::trust;

/// `mayfly trust …`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the trusted root of this instance
    #[command(after_help = "Example:\n  mayfly trust show --config mayfly.yaml")]
    Show {
        /// Which instance.
        #[command(flatten)]
        source: Source,
        /// Print `trusted_root.json` itself.
        #[arg(long)]
        json: bool,
    },
    /// Write the trust files into a folder
    #[command(after_help = "Writes:\n  trusted_root.json  for every Sigstore client\n  \
        ca.pem             the authority's chain (SIGSTORE_ROOT_FILE)\n  \
        ct.pem             the key of the log's shard of today (SIGSTORE_CT_LOG_PUBLIC_KEY_FILE)\n\n\
        Example:\n  mayfly trust export trust --config mayfly.yaml")]
    Export {
        /// The folder; made if absent.
        directory: PathBuf,
        /// Which instance.
        #[command(flatten)]
        source: Source,
    },
}

/// Runs `mayfly trust …`.
///
/// # Errors
///
/// [`CommandError`] when the instance's keys cannot be read or the files not written.
pub fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Show { source, json } => {
            let (root, instance) = files(&source)?;
            let out = Out::stdout();
            match json {
                true => out.line(format_args!("{root:#}")),
                false => out.print(show(&root, &instance, &out)),
            }
        }
        Command::Export { directory, source } => {
            let (root, instance) = files(&source)?;
            let chain = instance.certificates().concat();
            if directory.is_file() {
                return Err(CommandError::Usage(format!(
                    "{} is a file; name a folder, which is made if it is absent",
                    directory.display()
                )));
            }
            std::fs::create_dir_all(&directory)
                .map_err(|error| CommandError::at(&directory, error))?;
            write(&directory, "trusted_root.json", &format!("{root:#}\n"))?;
            write(&directory, "ca.pem", &chain)?;
            write(&directory, "ct.pem", &trust::public_key_pem(&instance.trust().public_key))
        }
    }
}

fn files(source: &Source) -> Result<(Value, Instance), CommandError> {
    let instance = Instance::read(source)?;
    Ok((instance.trusted_root(), instance))
}

fn show(root: &Value, instance: &Instance, out: &Out) -> String {
    let chain = instance.chain();
    let url = root.pointer("/certificateAuthorities/0/uri").and_then(Value::as_str);
    let authority = [
        ("url", url.unwrap_or_default().to_owned()),
        ("valid", format!("{} to {}", chain.not_before(), chain.not_after())),
    ];
    let mut text =
        format!("{}\n{}", out.style.strong("certificate authority"), out.fields(&authority));
    let logs = root.get("ctlogs").and_then(Value::as_array).map(Vec::as_slice);
    for (log, shard) in logs.unwrap_or_default().iter().zip(&instance.installation.shards) {
        let part = |pointer: &str| {
            log.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let valid = match part("/publicKey/validFor/end") {
            end if end.is_empty() => format!("from {}", part("/publicKey/validFor/start")),
            end => format!("{} to {end}", part("/publicKey/validFor/start")),
        };
        let fields = [
            ("url", part("/baseUrl")),
            ("id", part("/logId/keyId")),
            ("key", part("/publicKey/keyDetails")),
            ("valid", valid),
            ("vkey", shard.verifier_key(&instance.config.url).unwrap_or_default()),
        ];
        text += &format!("{}\n{}", out.style.strong("certificate log"), out.fields(&fields));
    }
    text
}

fn write(directory: &Path, name: &str, content: &str) -> Result<(), CommandError> {
    let path = directory.join(name);
    std::fs::write(&path, content).map_err(|error| CommandError::at(&path, error))?;
    match Out::stdout().line(path.display()) {
        // The other files are wanted all the same.
        Err(CommandError::Enough) => Ok(()),
        printed => printed,
    }
}
