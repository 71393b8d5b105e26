//! What the rotations of chains share: each chain takes over from the one before when it begins to hold.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::Args;
use crate::cli::CommandError;
use crate::cli::instance::Instance;
use crate::cli::out::Out;
use crate::installation::succession::AHEAD;
use crate::quote::quote;
use crate::record::times;
use crate::time::{Clock, SystemClock, Timestamp};

/// What the rotation of a chain is told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How long the new chain is published before it is used
    #[arg(long, value_name = "90s, 5m, 24h or 7d", default_value = "24h", value_parser = ahead)]
    ahead: Duration,
    #[command(flatten)]
    args: Args,
}

fn ahead(text: &str) -> Result<Duration, String> {
    let age = if text == "0" { Some(Duration::ZERO) } else { times::age(text) };
    let ahead = age.filter(|ahead| *ahead <= AHEAD.saturating_mul(365));
    ahead.ok_or_else(|| format!("{} is no time of at most a year, like 24h", quote(text)))
}

/// One chain, at rest.
pub(super) struct Chain {
    pub(super) file: PathBuf,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Chains of one kind.
pub(super) struct Kind {
    /// What the one in force is doing.
    pub(super) using: &'static str,
    /// What the next one does once it takes over.
    pub(super) uses: &'static str,
    /// Those of an instance, the one that begins first before the others.
    pub(super) chains: fn(&Instance) -> Vec<Chain>,
}

/// Makes the next chain by `extend`, unless all are only to be shown, and shows all.
pub(super) fn run(
    options: &Options,
    kind: &Kind,
    extend: impl FnOnce(&Instance, Timestamp) -> Result<Option<PathBuf>, CommandError>,
) -> Result<(), CommandError> {
    let Options { ahead, args: Args { source, dry_run, json } } = options;
    let now = SystemClock.now();
    let begins = now.floor().plus(*ahead);
    let instance = Instance::read(source)?;
    let (made, instance) = match dry_run {
        true => (None, instance),
        false => (Some(make(&instance, kind, begins, extend)?), Instance::read(source)?),
    };
    let calendar = Calendar { kind, chains: (kind.chains)(&instance), made, begins, now };
    let out = Out::stdout();
    match json {
        true => out.line(calendar.json()),
        false => out.print(calendar.text(&out)),
    }
}

/// Makes the chain after the last one, which must have taken over.
fn make(
    instance: &Instance,
    kind: &Kind,
    begins: Timestamp,
    extend: impl FnOnce(&Instance, Timestamp) -> Result<Option<PathBuf>, CommandError>,
) -> Result<PathBuf, CommandError> {
    let chains = (kind.chains)(instance);
    if let Some(Chain { file, start, .. }) = chains.last().filter(|it| it.start > instance.now()) {
        return Err(CommandError::failed(format_args!(
            "{} is there already, and takes over on {start}; wait until it has",
            file.display(),
        )));
    }
    extend(instance, begins)?.ok_or_else(|| {
        CommandError::failed(
            "another process is adding to the data folder at this moment; look again",
        )
    })
}

/// The chains of one kind, and what became of the next one.
struct Calendar<'a> {
    kind: &'a Kind,
    chains: Vec<Chain>,
    made: Option<PathBuf>,
    begins: Timestamp,
    now: Timestamp,
}

impl Calendar<'_> {
    /// What each is there for at present.
    fn states(&self) -> impl Iterator<Item = (&Chain, &'static str)> {
        let begun = self.chains.iter().filter(|chain| chain.start <= self.now).count();
        self.chains.iter().enumerate().map(move |(at, chain)| {
            let state = match (at + 1).cmp(&begun.max(1)) {
                std::cmp::Ordering::Less => "taken over",
                std::cmp::Ordering::Equal => self.kind.using,
                std::cmp::Ordering::Greater => "next",
            };
            (chain, state)
        })
    }

    fn text(&self, out: &Out) -> String {
        let mut rows = vec![["chain", "from", "to", "state"].map(str::to_owned).to_vec()];
        rows.extend(self.states().map(|(Chain { file, start, end }, state)| {
            let (from, to) = (start.to_string(), end.to_string());
            vec![file.display().to_string(), from, to, state.to_owned()]
        }));
        let sentence = match &self.made {
            Some(file) => format!(
                "made {}: a running server names it in the trust files within a minute, or at SIGHUP, and {} by it \
                 from {} on",
                file.display(),
                self.kind.uses,
                self.begins
            ),
            None => format!("one that is made now takes over on {}", self.begins),
        };
        format!("{}\n{}\n", out.table(rows, 1), out.wrap(&sentence, 0))
    }

    fn json(&self) -> Value {
        let chain = |(Chain { file, start, end }, state): (&Chain, &str)| {
            json!({
                "file": file,
                "start": start.to_string(),
                "end": end.to_string(),
                "state": state,
            })
        };
        json!({
            "made": self.made,
            "chains": self.states().map(chain).collect::<Vec<_>>(),
            "next": { "start": self.begins.to_string() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_may_be_used_at_once() {
        assert_eq!(["0", "0s"].map(ahead), [Ok(Duration::ZERO), Ok(Duration::ZERO)]);
        assert!(ahead("1").is_err_and(|error| error.contains("like 24h")));
    }
}
