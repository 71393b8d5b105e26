//! `mayfly rotate`: the next key, in time and by hand.

use clap::Subcommand;
use serde_json::{Value, json};

use super::CommandError;
use super::instance::{Instance, Source, with_passphrase};
use super::out::{self, Out};
use crate::ct::window::Window;
use crate::installation::Files;
use crate::installation::shards::{self, AHEAD, New, Outcome, Shard};
use crate::store::{Store, sqlite};
use crate::time::{Clock, SystemClock, Timestamp};

mod authority;
mod repository;

/// `mayfly rotate …`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the next intermediate of the authority, with a new key, or show the calendar
    #[command(
        after_help = "It is below the same root, is published at once, and issues a day later; nothing is restarted.\n\n\
        Examples:\n  mayfly rotate authority --dry-run --config mayfly.yaml\n  \
        mayfly rotate authority --root-key /media/root.key --config mayfly.yaml"
    )]
    Authority(authority::Command),
    /// Make the next shard of the certificate log, with a new key, or show the calendar
    #[command(
        after_help = "`serve` does this by itself, 30 days before nothing takes certificates any more. A running\n\
        server takes the new shard up within a minute, or at SIGHUP.\n\n\
        Examples:\n  mayfly rotate log --dry-run --config mayfly.yaml\n  mayfly rotate log --config mayfly.yaml"
    )]
    Log(Args),
    /// Make the next keys of the TUF repository, which clients follow, or show which are in force
    #[command(
        after_help = "Once in ten years; or after a key was lost or stolen. It needs the key of the newest root, tuf/1.key at\n\
        first, which may be kept off the machine until then. A running server signs with the new keys within a\n\
        minute, or at SIGHUP.\n\n\
        Examples:\n  mayfly rotate tuf --dry-run --config mayfly.yaml\n  mayfly rotate tuf --config mayfly.yaml"
    )]
    Tuf(Args),
}

/// What every rotation is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which instance.
    #[command(flatten)]
    source: Source,
    /// Show the calendar, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly rotate …`.
///
/// # Errors
///
/// [`CommandError`] when what there is cannot be read or the next one not be made.
pub fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Authority(command) => authority::run(&command),
        Command::Log(args) => log(&args),
        Command::Tuf(args) => repository::run(&args),
    }
}

fn log(Args { source, dry_run, json }: &Args) -> Result<(), CommandError> {
    let instance = Instance::read(source)?;
    let now = SystemClock.now();
    let (made, instance) = match dry_run {
        true => (None, instance),
        false => (Some(extend(&instance, now)?), Instance::read(source)?),
    };
    let calendar = Calendar::of(&instance, now)?;
    let out = Out::stdout();
    match json {
        true => out.line(calendar.json(made.as_ref())),
        false => out.print(calendar.text(made.as_ref(), &out)),
    }
}

/// Makes the shard after the one that takes certificates now, if there is none.
fn extend(instance: &Instance, now: Timestamp) -> Result<Outcome, CommandError> {
    let config = &instance.config;
    let window = instance.shard.owner.window;
    let until = if window.holds(now.plus(config.lifetime)) { window.end } else { now };
    let folder = Files::in_dir(&config.data).shards;
    let made = with_passphrase(&config.authority, |passphrase| {
        shards::extend(&folder, New { url: &config.url, passphrase, now }, until)
    })?;
    if made == Outcome::Busy {
        return Err(CommandError::Failed(
            "another process is making the next shard at this moment; look again with --dry-run"
                .to_owned(),
        ));
    }
    Ok(made)
}

/// What a shard is there for at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It takes the certificates that are issued later.
    Next,
    /// It takes those that are issued now.
    Open,
    /// It takes none any more.
    Closed,
}

impl State {
    /// Of a shard when certificates end at `not_after`.
    fn at(window: Window, not_after: Timestamp) -> Self {
        match (window.start > not_after, window.holds(not_after)) {
            (true, _) => Self::Next,
            (_, true) => Self::Open,
            _ => Self::Closed,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// One line of the calendar.
struct Entry {
    name: String,
    url: String,
    window: Window,
    state: State,
    entries: u64,
    octets: u64,
}

/// All shards, and when the next one is made.
struct Calendar {
    entries: Vec<Entry>,
    next: Window,
    /// When `serve` makes it.
    due: Timestamp,
}

impl Calendar {
    fn of(instance: &Instance, now: Timestamp) -> Result<Self, CommandError> {
        let not_after = now.plus(instance.config.lifetime);
        let shards = &instance.installation.shards;
        let windows: Vec<Window> = shards.iter().map(|shard| shard.owner.window).collect();
        let covered = Window::covered(&windows, now);
        let entry = |shard: &Shard| Entry::of(shard, &instance.config.url, not_after);
        Ok(Self {
            entries: shards.iter().map(entry).collect::<Result<_, _>>()?,
            next: Window::next(&windows, covered),
            due: covered.minus(AHEAD).max(now),
        })
    }

    fn text(&self, made: Option<&Outcome>, out: &Out) -> String {
        let mut rows =
            vec![["shard", "from", "to", "state", "entries", "octets"].map(str::to_owned)];
        rows.extend(self.entries.iter().map(|entry| {
            let Entry { name, window: Window { start, end }, state, .. } = entry;
            let (entries, octets) = (entry.entries.to_string(), entry.octets.to_string());
            [name.clone(), start.to_string(), end.to_string(), state.word().into(), entries, octets]
        }));
        let table = out.table(rows.into_iter().map(|row| row.to_vec()).collect(), 1);
        format!("{table}\n{}\n", out.wrap(&self.sentence(made), 0))
    }

    fn sentence(&self, made: Option<&Outcome>) -> String {
        let Self { next, due, .. } = self;
        match made {
            Some(Outcome::Made(name)) => format!(
                "made {name}: a running server takes it up within a minute, or at SIGHUP, and names it in \
                 trusted_root.json"
            ),
            Some(Outcome::Covered | Outcome::Busy) => {
                "there is a next shard already, and nothing was made".to_owned()
            }
            None => format!(
                "the next one, for certificates that end {next}, is made by `mayfly serve` on {due}, or by \
                 {} rotate log",
                out::program()
            ),
        }
    }

    fn json(&self, made: Option<&Outcome>) -> Value {
        let made = match made {
            Some(Outcome::Made(name)) => Some(name),
            _ => None,
        };
        json!({
            "made": made,
            "shards": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
            "next": {
                "start": self.next.start.to_string(),
                "end": self.next.end.to_string(),
                "due": self.due.to_string(),
            },
        })
    }
}

impl Entry {
    fn of(shard: &Shard, url: &str, not_after: Timestamp) -> Result<Self, CommandError> {
        let store = sqlite::open_read_only(&shard.database).map_err(CommandError::failed)?;
        let head = store.head().map_err(CommandError::failed)?;
        let file = std::fs::metadata(&shard.database);
        let file = file.map_err(|error| CommandError::at(&shard.database, error))?;
        Ok(Self {
            name: shard.name().to_owned(),
            url: shard.url(url),
            window: shard.owner.window,
            state: State::at(shard.owner.window, not_after),
            entries: head.size,
            octets: file.len(),
        })
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "url": self.url,
            "start": self.window.start.to_string(),
            "end": self.window.end.to_string(),
            "state": self.state.word(),
            "entries": self.entries,
            "octets": self.octets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_next_then_open_then_closed() {
        let window = Window::year(Timestamp::from_year(2026));
        for (at, state) in [
            (window.start.minus(AHEAD), State::Next),
            (window.start, State::Open),
            (window.end.minus(AHEAD), State::Open),
            (window.end, State::Closed),
        ] {
            assert_eq!(State::at(window, at), state);
        }
    }
}
