//! A running instance takes up a changed configuration: at SIGHUP, or when a file has changed.
//!
//! ```text
//! look, once a second   says the same as last time, and not what is in force  → read
//! SIGHUP                                                                      → read
//! read                  holds: whom we trust is replaced, as a whole
//!                       does not: everything wrong is logged, all stays as it is, and it is read
//!                       again at each look until it holds
//! ```
//!
//! A file that is being written says something else from one look to the next, so that only a write that
//! stalls is read halfway; an issuer that lost its rules that way is pointed out, and so is a file that
//! never rests. A look sees writes in place, renames and Kubernetes' symbolic links alike, and does not
//! mind a file that is only touched (see [`Files`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::CommandError;
use super::instance::Source;
use crate::authority::{Authority, Trust};
use crate::config::{Changes, Config, Files};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// So many looks in a row that each find something else are worth a line.
const RESTLESS: u32 = 5;

/// Where an instance's configuration comes from, and what is in force of it.
pub struct Reloader {
    source: Source,
    hangups: Signal,
    config: Config,
    /// The files at the last look.
    seen: Files,
    /// How many looks in a row found something else than the one before.
    restless: u32,
    /// What is wrong with the files as they are; nothing when they hold.
    broken: Vec<String>,
    /// Whether anything is, for those who ask after our health.
    unfit: Arc<AtomicBool>,
    /// How often others were trusted from then on.
    reloads: u64,
    /// How often what was in force had to stay.
    kept: u64,
}

impl Reloader {
    /// For an instance that was started with `config`, read from `source`. From here on SIGHUP does not
    /// end the process.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when the system does not let us listen for SIGHUP.
    pub fn new(
        source: Source,
        config: Config,
        unfit: Arc<AtomicBool>,
    ) -> Result<Self, CommandError> {
        let hangups = signal(SignalKind::hangup()).map_err(CommandError::failed)?;
        let seen = config.files.clone();
        let (restless, broken) = (0, Vec::new());
        Ok(Self { source, hangups, config, seen, restless, broken, unfit, reloads: 0, kept: 0 })
    }

    /// Keeps whom `authority` trusts as the files say, for ever.
    pub async fn follow(mut self, authority: &Authority) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                Some(()) = self.hangups.recv() => true,
                _ = looks.tick() => false,
            };
            if self.look().await || asked {
                self.reload(authority, asked).await;
            }
        }
    }

    /// Looks at the files; yields whether to read them: they have come to rest, and say something else
    /// than what is in force.
    async fn look(&mut self) -> bool {
        let files = self.seen.clone();
        // Disks can be slow, and the runtime's threads have certificates to issue.
        let Ok(now) = tokio::task::spawn_blocking(move || files.look()).await else {
            return false;
        };
        let at_rest = now == self.seen;
        self.seen = now;
        self.restless = if at_rest { 0 } else { self.restless.saturating_add(1) };
        if self.restless == RESTLESS {
            tracing::warn!(
                "the configuration was something else at each of {RESTLESS} looks, and is taken up when \
                 it rests; write it elsewhere and rename it into place, or send SIGHUP to have it read \
                 as it stands"
            );
        }
        at_rest && (!self.broken.is_empty() || self.seen != self.config.files)
    }

    async fn reload(&mut self, authority: &Authority, asked: bool) {
        let (source, trust) = (self.source.clone(), authority.trust.load_full());
        match tokio::task::spawn_blocking(move || read(&source, &trust)).await {
            Ok(Ok((config, trust))) => {
                authority.trust.store(Arc::new(trust));
                self.take_up(config);
            }
            Ok(Err(errors)) => self.keep(errors, asked),
            Err(error) => tracing::error!(%error, "the configuration could not be read again"),
        }
    }

    /// Says what is new.
    fn take_up(&mut self, new: Config) {
        let changes = Changes::between(&self.config, &new);
        self.broken.clear();
        self.unfit.store(false, Ordering::Relaxed);
        self.reloads += 1;
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(warning) = changes.warning() {
            tracing::warn!("{warning}");
        }
        for key in &changes.restart {
            tracing::warn!("`{key}` has changed; that counts from the next start on");
        }
        tracing::info!(
            reloads = self.reloads,
            kept = self.kept,
            "configuration reloaded: {changes}"
        );
        let Config { issuers, policy, proxy, files, warnings, summaries, .. } = new;
        self.seen = files.clone();
        // What needs a restart is in force as it was.
        let old = self.config.clone();
        self.config = Config { issuers, policy, proxy, files, warnings, summaries, ..old };
    }

    /// Says what is wrong, once.
    fn keep(&mut self, errors: Vec<String>, asked: bool) {
        if errors == self.broken && !asked {
            return;
        }
        self.kept += 1;
        self.unfit.store(true, Ordering::Relaxed);
        for error in &errors {
            tracing::error!("{error}");
        }
        tracing::error!(
            reloads = self.reloads,
            kept = self.kept,
            "the new configuration does not hold; the one in force stays"
        );
        self.broken = errors;
    }
}

/// The configuration as the files say now, and the trust that follows `trust`.
fn read(source: &Source, trust: &Trust) -> Result<(Config, Trust), Vec<String>> {
    let config = source.load().map_err(|errors| {
        let lines = errors.0.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>()
    })?;
    let keyset = trust.keyset.successor(&config.proxy, config.issuers.clone());
    let keyset = keyset.map_err(|error| vec![error.to_string()])?;
    let policy = config.policy.clone();
    Ok((config, Trust { keyset, policy }))
}
