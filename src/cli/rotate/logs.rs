//! `mayfly rotate log` and `mayfly rotate signatures`: the next shard of one log, and the calendar of both.

use std::time::Duration;

use serde_json::{Value, json};

use super::Args;
use crate::cli::CommandError;
use crate::cli::instance::{Instance, with_passphrase};
use crate::cli::out::{self, Out};
use crate::ct::window::Window;
use crate::installation::Files;
use crate::installation::shards::{self, AHEAD, Folder, Kind, New, Outcome, Shard};
use crate::store::{Store, sqlite};
use crate::time::{Clock, SystemClock, Timestamp};

/// Both logs.
const KINDS: [Kind; 2] = [Kind::Certificates, Kind::Signatures];

/// Makes the next shard of the log of this kind, unless all are only to be shown, and shows all.
pub(super) fn run(Args { source, dry_run, json }: &Args, kind: Kind) -> Result<(), CommandError> {
    let instance = Instance::read(source)?;
    let now = SystemClock.now();
    let (made, instance) = match dry_run {
        true => (None, instance),
        false => (Some(extend(&instance, kind, now)?), Instance::read(source)?),
    };
    let rows = KINDS.map(|kind| Row::of(&instance, kind, now));
    let [certificates, signatures] = rows;
    let calendar = Calendar { made, rows: [certificates?, signatures?] };
    let out = Out::stdout();
    match json {
        true => out.line(calendar.json()),
        false => out.print(calendar.text(&out)),
    }
}

/// What of an instance is one log's.
struct Log<'a> {
    folder: Folder,
    shards: &'a [Shard],
    /// How long after it is asked for an entry falls into a window: a certificate counts by its end.
    later: Duration,
}

impl<'a> Log<'a> {
    fn of(instance: &'a Instance, kind: Kind) -> Self {
        let (files, installed) = (Files::of(&instance.config), &instance.installation);
        let (folder, shards, later) = match kind {
            Kind::Certificates => (files.shards, &installed.shards, instance.config.lifetime),
            Kind::Signatures => (files.signatures, &installed.signatures, Duration::ZERO),
        };
        Self { folder, shards, later }
    }
}

/// Makes the shard after the one that takes entries now, if there is none.
fn extend(instance: &Instance, kind: Kind, now: Timestamp) -> Result<Outcome, CommandError> {
    let (config, log) = (&instance.config, Log::of(instance, kind));
    let windows = log.shards.iter().map(|shard| shard.owner.window);
    let open = windows.rev().find(|window| window.holds(now.plus(log.later)));
    let until = open.map_or(now, |window| window.end);
    let made = with_passphrase(&config.authority, |passphrase| {
        shards::extend(&log.folder, New { url: &config.url, passphrase, now }, until)
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
    /// It takes the entries that come later.
    Next,
    /// It takes those that come now.
    Open,
    /// It takes none any more.
    Closed,
}

impl State {
    /// Of a shard when entries fall into windows by `time`.
    fn at(window: Window, time: Timestamp) -> Self {
        match (window.start > time, window.holds(time)) {
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

/// One shard.
struct Entry {
    name: String,
    path: String,
    url: String,
    window: Window,
    state: State,
    entries: u64,
    octets: u64,
}

impl Entry {
    fn of(shard: &Shard, url: &str, time: Timestamp) -> Result<Self, CommandError> {
        let store = sqlite::open_read_only(&shard.database).map_err(CommandError::failed)?;
        let head = store.head().map_err(CommandError::failed)?;
        let file = std::fs::metadata(&shard.database);
        let file = file.map_err(|error| CommandError::at(&shard.database, error))?;
        Ok(Self {
            name: shard.name().to_owned(),
            path: shard.path(),
            url: shard.url(url),
            window: shard.owner.window,
            state: State::at(shard.owner.window, time),
            entries: head.size,
            octets: file.len(),
        })
    }

    fn cells(&self) -> Vec<String> {
        let Self { path, window: Window { start, end }, state, entries, octets, .. } = self;
        let (from, to, state) = (start.to_string(), end.to_string(), state.word().to_owned());
        vec![path.clone(), from, to, state, entries.to_string(), octets.to_string()]
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

/// The shards of one log, and when the next one is made.
struct Row {
    kind: Kind,
    entries: Vec<Entry>,
    next: Window,
    /// When `serve` makes it.
    due: Timestamp,
}

impl Row {
    fn of(instance: &Instance, kind: Kind, now: Timestamp) -> Result<Self, CommandError> {
        let Log { shards, later, .. } = Log::of(instance, kind);
        let windows: Vec<Window> = shards.iter().map(|shard| shard.owner.window).collect();
        let covered = Window::covered(&windows, now);
        let entry = |shard: &Shard| Entry::of(shard, &instance.config.url, now.plus(later));
        Ok(Self {
            kind,
            entries: shards.iter().map(entry).collect::<Result<_, _>>()?,
            next: Window::next(&windows, covered),
            due: covered.minus(AHEAD).max(now),
        })
    }

    fn sentence(&self) -> String {
        let Self { kind, next, due, .. } = self;
        let command = match kind {
            Kind::Certificates => "log",
            Kind::Signatures => "signatures",
        };
        format!(
            "the next one of {}/, for {} {next}, is made by `mayfly serve` on {due}, or by {} rotate {command}",
            kind.folder(),
            kind.entries(),
            out::program()
        )
    }

    fn json(&self) -> Value {
        json!({
            "shards": self.entries.iter().map(Entry::json).collect::<Vec<_>>(),
            "next": {
                "start": self.next.start.to_string(),
                "end": self.next.end.to_string(),
                "due": self.due.to_string(),
            },
        })
    }
}

/// The shards of both logs, and what was made.
struct Calendar {
    made: Option<Outcome>,
    rows: [Row; 2],
}

impl Calendar {
    fn text(&self, out: &Out) -> String {
        let head = ["shard", "from", "to", "state", "entries", "octets"].map(str::to_owned);
        let entries = self.rows.iter().flat_map(|row| &row.entries);
        let cells = std::iter::once(head.to_vec()).chain(entries.map(Entry::cells));
        let table = out.table(cells.collect(), 1);
        let sentences = self.sentences().into_iter().map(|it| out.wrap(&it, 0) + "\n");
        format!("{table}\n{}", sentences.collect::<String>())
    }

    fn sentences(&self) -> Vec<String> {
        match &self.made {
            Some(Outcome::Made(name)) => vec![format!(
                "made {name}: a running server takes it up within a minute, or at SIGHUP, and names it in \
                 trusted_root.json"
            )],
            Some(Outcome::Covered | Outcome::Busy) => {
                vec!["there is a next shard already, and nothing was made".to_owned()]
            }
            None => self.rows.iter().map(Row::sentence).collect(),
        }
    }

    fn json(&self) -> Value {
        let made = match &self.made {
            Some(Outcome::Made(name)) => Some(name),
            _ => None,
        };
        let [certificates, signatures] = self.rows.each_ref().map(Row::json);
        json!({ "made": made, "certificates": certificates, "signatures": signatures })
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
