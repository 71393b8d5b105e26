//! `mayfly serve`: runs an instance until it is told to stop.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;
use tokio::signal::unix::{SignalKind, signal};

use super::CommandError;
use super::instance::{Instance, Source};
use crate::config::Config;
use crate::http;
use crate::installation;
use crate::time::Clock;
use crate::time::SystemClock;

/// Run the authority and its log
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mayfly serve --config mayfly.yaml\n  \
    mayfly serve --fulcio-config fulcio.yaml --allow-anybody --listen 127.0.0.1:5555 --data data")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Make the data folder if it is absent or empty (on loopback this needs no asking)
    #[arg(long)]
    create: bool,
}

/// Runs `mayfly serve`.
///
/// # Errors
///
/// [`CommandError`] when the instance does not start, or its log failed while it ran.
pub fn run(args: Args) -> Result<(), CommandError> {
    log_to_stderr();
    let mut config = args.source.config()?;
    let listener = listen(&mut config)?;
    make_data_folder(&config, args.create)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::failed)?;
    runtime.block_on(async {
        let instance = Instance::open(config, Arc::new(SystemClock))?;
        serve(instance, listener, stop_signal()).await
    })
}
