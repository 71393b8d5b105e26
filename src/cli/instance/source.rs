//! Which instance a command is about, as the command line says it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::CommandError;
use crate::config::{self, Config, ConfigErrors, Overrides};
use crate::quote::quote;

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
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// The one name that clients use
    #[arg(long)]
    pub url: Option<String>,
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Trust shared issuers of a Fulcio file without rules: whoever they vouch for
    // Clap lets `requires` pass when what is required conflicts with what is there.
    #[arg(long, requires = "fulcio_config", conflicts_with = "config")]
    pub allow_anybody: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wanted = "is no address and port in numbers, like 127.0.0.1:5555 or [::1]:5555";
    text.parse().map_err(|_| format!("{} {wanted}", quote(text)))
}

impl Source {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    ///
    /// [`CommandError::Configuration`] with every error in it.
    pub fn config(&self) -> Result<Config, CommandError> {
        self.load().map_err(|errors| CommandError::Configuration(format!("{errors}\n")))
    }

    /// The same, with the errors one by one.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] with everything that is wrong.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        let overrides = Overrides {
            listen: self.listen,
            url: self.url.clone(),
            data: self.data.clone(),
            allow_anybody: self.allow_anybody,
        };
        match (&self.fulcio_config, &self.config) {
            (Some(file), _) => config::load_fulcio(file, &overrides),
            (None, Some(file)) => config::load(file, &overrides),
            (None, None) => config::load(self.file(), &overrides).map_err(|it| self.unnamed(it)),
        }
    }

    /// The complaints about a file that nobody named; where it is not there, with what to do about it.
    fn unnamed(&self, mut errors: ConfigErrors) -> ConfigErrors {
        for error in errors.0.iter_mut().filter(|_| !self.file().exists()) {
            error.message += "; name the file with --config, or make one with `mayfly init`";
        }
        errors
    }

    /// The file that it reads.
    pub fn file(&self) -> &Path {
        let given = self.fulcio_config.as_deref().or(self.config.as_deref());
        given.unwrap_or(Path::new("mayfly.yaml"))
    }
}
