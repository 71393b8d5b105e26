//! `mayfly serve`: runs an instance until it is told to stop.

use std::io::IsTerminal;
use std::net::TcpListener as StdListener;
use std::sync::Arc;

use clap::Args as ClapArgs;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::CommandError;
use super::block_on;
use super::instance::{self, Instance, Running, Source};
use super::out::{self, Out};
use super::reload::Reloader;
use crate::config::Config;
use crate::http::server;
use crate::installation;

/// Run the authority and its log
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mayfly serve --config mayfly.yaml\n  \
    mayfly serve --fulcio-config fulcio.yaml --allow-anybody --listen 127.0.0.1:5555 --data data")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Make the data folder if it is absent or empty (on loopback, with a URL on loopback, this needs no
    /// asking)
    #[arg(long)]
    create: bool,
    /// Serve the log and the trust files, and issue nothing: for a log that must not go on, or beside one
    /// that does
    #[arg(long, conflicts_with = "create")]
    read_only: bool,
}

/// Runs `mayfly serve`.
///
/// # Errors
///
/// [`CommandError`] when the instance does not start, or its log failed while it ran.
pub fn run(args: Args) -> Result<(), CommandError> {
    log_to_stderr();
    let mut config = args.source.config()?;
    let written = config.clone();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    // Before anything is made: what does not hold in the configuration must not leave a folder behind.
    instance::tls(&config, &args.source.file().display().to_string())
        .map_err(|error| CommandError::Configuration(format!("{error}\n")))?;
    let listener = listen(&mut config)?;
    if !args.read_only {
        make_data_folder(&config, args.create)?;
    }
    block_on(async {
        let listener = TcpListener::from_std(listener).map_err(CommandError::failed)?;
        let open = if args.read_only { Instance::open_read_only } else { Instance::open };
        let mut running = open(config)?;
        running.calendar.heed(signal(SignalKind::hangup()).map_err(CommandError::failed)?);
        warn_of_closed_doors(&running);
        let reloader = Reloader::new(args.source, written, Arc::clone(&running.unfit))?;
        let stop = stop_signal()?;
        // Nobody needs to read it.
        let _ = Out::stdout().line(greeting(&running));
        let authority = Arc::clone(&running.authority);
        tokio::select! {
            served = serve(running, listener, stop) => served,
            () = reloader.follow(&authority) => Ok(()),
        }
    })?
}

/// A log that nobody may read is worth little to those who verify, and its operator should know.
fn warn_of_closed_doors(running: &Running) {
    let (log, records) = running.access();
    for (access, what) in [
        (log, "the certificate log (/ct/) and the signature log (/tlog/)"),
        (records, "the records (/api/records)"),
    ] {
        if access.is_closed() {
            tracing::warn!(
                "nobody may read {what}: `{}` says who may; see \"Who may read\" in docs/operating.md",
                access.key()
            );
        }
    }
}

/// Serves until `stop`, or until a shard of the log can no longer be trusted; answers what is under way,
/// and closes the log. Meanwhile its shards come and end.
///
/// # Errors
///
/// [`CommandError::Failed`] when a log failed: nothing was signed for what was not committed.
pub async fn serve(
    running: Running,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), CommandError> {
    let router = running.router();
    let Running { tls, calendar, authority, timestamping, .. } = running;
    let (logs, signatures) = (calendar.logs().clone(), calendar.signatures().clone());
    let mut failure = None;
    let end = async {
        tokio::select! {
            () = stop => {}
            error = logs.failed() => failure = Some(error),
            error = signatures.failed() => failure = Some(error),
            () = calendar.keep(&authority.trust, &timestamping) => {}
            () = timestamping.keep() => {}
        }
    };
    server::serve(listener, router, tls, end).await;
    logs.close().await;
    signatures.close().await;
    match failure {
        Some(error) => Err(CommandError::Failed(format!(
            "the log failed and the authority stopped, nothing acknowledged is lost: {error}"
        ))),
        None => {
            tracing::info!(certificates = logs.size(), "stopped: the log is closed");
            Ok(())
        }
    }
}

/// Resolves at SIGINT or SIGTERM.
///
/// # Errors
///
/// [`CommandError::Failed`] when the system does not let us listen for them.
pub fn stop_signal() -> Result<impl Future<Output = ()>, CommandError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The one line on stdout.
fn greeting(running: &Running) -> String {
    let issuers = out::count(running.config.issuers.iter().count() as u64, "issuer");
    let entries = out::count(running.authority.logs.size(), "certificate");
    let url = &running.config.url;
    let only = if running.calendar.is_read_only() { "read only, " } else { "" };
    format!(
        "mayfly serves {url} ({only}{issuers}, {entries} logged), trust: {url}/trusted_root.json"
    )
}

/// Binds the port. Port 0 takes a free one, and a URL that names port 0 follows it.
fn listen(config: &mut Config) -> Result<StdListener, CommandError> {
    let wanted = config.listen;
    let bind = || -> std::io::Result<StdListener> {
        let listener = StdListener::bind(wanted)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let listener = bind()
        .map_err(|error| CommandError::Failed(format!("cannot listen on {wanted}: {error}")))?;
    config.listen = listener.local_addr().map_err(CommandError::failed)?;
    if let Some(host) = config.url.strip_suffix(":0") {
        config.url = format!("{host}:{}", config.listen.port());
    }
    Ok(listener)
}

/// Makes the data folder where it is absent or empty, and says so; without asking only where the
/// instance is for this machine alone.
///
/// A folder that was mistyped, or is not mounted, looks like one that is yet to be made: another
/// authority with another log would serve under the name of the first.
fn make_data_folder(config: &Config, create: bool) -> Result<(), CommandError> {
    if !installation::is_vacant(&config.data).map_err(CommandError::failed)? {
        return Ok(());
    }
    let data = config.data.display();
    if !create && !config.is_local() {
        let is = if config.data.exists() { "is empty" } else { "does not exist" };
        return Err(CommandError::Usage(format!(
            "{data} {is}; if {url} has keys and a log already, mend `data` (or --data) or mount it, \
             and if it is new, `mayfly init` makes an installation and --create makes this folder one",
            url = config.url,
        )));
    }
    let has = instance::make(config)?;
    out::aside(format_args!(
        "mayfly: made a new installation in {data}: {has}, a new log; trust files of another one do not fit\n"
    ));
    Ok(())
}

/// Log lines go to stderr: text for a person, JSON otherwise; `RUST_LOG` chooses how much.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Already set when a test runs two servers in one process.
    let _ = match std::io::stderr().is_terminal() {
        true => lines.try_init(),
        false => lines.json().with_ansi(false).try_init(),
    };
}
