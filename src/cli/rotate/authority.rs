//! `mayfly rotate authority`: the next intermediate, below the same root.

use std::path::{Path, PathBuf};

use clap::Args;

use super::chains::{self, Chain, Kind, Options};
use crate::cli::CommandError;
use crate::cli::instance::{Instance, with_passphrase};
use crate::config::Config;
use crate::installation::Files;
use crate::installation::succession::{self, Issuer, Next};
use crate::time::Timestamp;

/// `mayfly rotate authority …`.
#[derive(Debug, Args)]
pub struct Command {
    /// The root's key [default: root.key in the data folder]
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

const AUTHORITY: Kind = Kind {
    using: "issuing",
    uses: "issues",
    chains: |instance| {
        let chain = |Issuer { file, chain, .. }: &Issuer| Chain {
            file: file.clone(),
            start: chain.not_before(),
            end: chain.not_after(),
        };
        instance.installation.issuers.iter().map(chain).collect()
    },
};

/// Runs `mayfly rotate authority …`.
///
/// # Errors
///
/// [`CommandError`] when the chains cannot be read or the next one not be made.
pub fn run(Command { root_key, options }: &Command) -> Result<(), CommandError> {
    chains::run(options, &AUTHORITY, |instance, begins| {
        extend(instance, root_key.as_deref(), begins)
    })
}

/// Makes the chain after the last one.
fn extend(
    instance: &Instance,
    root_key: Option<&Path>,
    begins: Timestamp,
) -> Result<Option<PathBuf>, CommandError> {
    let Config { data, authority, .. } = &instance.config;
    if instance.config.given_authority().is_some() {
        return Err(CommandError::Usage(format!(
            "the authority is yours ({}): have your root sign the next issuing certificate, to begin when it \
             shall take over, and put its chain and key beside as {} and so on; a running server takes them up",
            authority.chain.display(),
            succession::numbered(&authority.chain, 2).display(),
        )));
    }
    let root = root_key.map_or_else(|| data.join("root.key"), Path::to_owned);
    if !root.exists() {
        return Err(CommandError::Usage(format!(
            "{}: the root's key is not here; bring it, and name it with --root-key",
            root.display()
        )));
    }
    let (files, issuers) = (Files::of(&instance.config), &instance.installation.issuers);
    with_passphrase(authority, |passphrase| {
        succession::extend(&files, issuers, Next { root: &root, passphrase, begins })
    })
}
