//! `mayfly rotate timestamp`: the next key and chain of the timestamp authority.

use super::chains::{self, Chain, Kind, Options};
use crate::cli::CommandError;
use crate::cli::instance::with_passphrase;
use crate::installation::{Files, timestamps};
use crate::timestamping::Key;

const TIMESTAMPS: Kind = Kind {
    using: "signing",
    uses: "signs",
    chains: |instance| {
        let chain = |Key { file, chain, .. }: &Key| Chain {
            file: file.clone(),
            start: chain.not_before(),
            end: chain.not_after(),
        };
        instance.installation.timestamps.iter().map(chain).collect()
    },
};

/// Runs `mayfly rotate timestamp …`.
///
/// # Errors
///
/// [`CommandError`] when the chains cannot be read or the next one not be made.
pub fn run(options: &Options) -> Result<(), CommandError> {
    chains::run(options, &TIMESTAMPS, |instance, begins| {
        let folder = Files::of(&instance.config).timestamps;
        with_passphrase(&instance.config.authority, |passphrase| {
            timestamps::extend(&folder, &instance.installation.timestamps, (begins, passphrase))
        })
    })
}
