//! One instance, put together: configuration + data folder → authority.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::CommandError;
use crate::authority::{Authority, Serials};
use crate::certificate::profile::Profile;
use crate::certificate::{Chain, Serial};
use crate::config::{self, Config, Overrides};
use crate::installation::{self, Installation};
use crate::keyset::Keyset;
use crate::log::Log;
use crate::signer::Signer;
use crate::store::Store;
use crate::store::sqlite::{self, Sqlite};
use crate::time::Clock;
use crate::time::SystemClock;
use crate::trust::LogTrust;

/// Which instance a command is about.
#[derive(Clone, Debug, Default, Args)]
pub struct Source {
    /// The configuration [default: ./mayfly.yaml]
    #[arg(long, value_name = "FILE", conflicts_with = "fulcio_config")]
    pub config: Option<PathBuf>,
    /// An issuer file of Fulcio's, unchanged, in its place
    #[arg(long, value_name = "FILE")]
    pub fulcio_config: Option<PathBuf>,
    /// Listen here instead
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The one name that clients use
    #[arg(long)]
    pub url: Option<String>,
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Trust shared issuers of a Fulcio file without rules: whoever they vouch for
    #[arg(long, requires = "fulcio_config")]
    pub allow_anybody: bool,
}

impl Source {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`] with every error in it.
    pub fn config(&self) -> Result<Config, CommandError> {
        let overrides = Overrides {
            listen: self.listen,
            url: self.url.clone(),
            data: self.data.clone(),
            allow_anybody: self.allow_anybody,
        };
        let default = Path::new("mayfly.yaml");
        let config = match &self.fulcio_config {
            Some(file) => config::load_fulcio(file, &overrides),
            None => config::load(self.config.as_deref().unwrap_or(default), &overrides),
        };
        config.map_err(CommandError::usage)
    }
}
