//! `mayfly log search`: finds certificates, and what was refused, by anything that is known of them.

use std::io::IsTerminal;
use std::path::Path;

use clap::Args as ClapArgs;
use indicatif::ProgressBar;

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::Out;
use crate::explorer::{self, Cursor, ExplorerError, Page, Question};
use crate::installation::shards::Shard;
use crate::log::search::{Entries, check, sample};
use crate::quote::escape;
use crate::record::search::Search;
use crate::record::{Outcome, Record, csv};
use crate::store::index::Index;
use crate::store::refusals::Refusals;
use crate::store::{Store, StoreError, sqlite};
use crate::time::{Clock, SystemClock};

/// How many records are asked for at once.
const PAGE: usize = 1000;

/// Find certificates, and what was refused, by any claim
#[derive(Debug, ClapArgs)]
#[command(after_help = "Terms, all of which must hold:\n  \
    FIELD=PATTERN   the whole value; a star stands for anything. Fields: san, issuer, serial, key, rule,\n                  \
    request, result, reason, … and every extension, by the end of its name (ref)\n  \
    repository=     also the path of its URL, acme/app of https://gitlab.com/acme/app; so owner=, acme\n  \
    key=            SHA-256 of the public key's SubjectPublicKeyInfo in DER, hex\n  \
    WORD, A/B       whole words of any field, side by side; a star at the end for the rest of a word\n  \
    since=, until=  24h or 7d ago (s, m, h, d), a day (2026-01-31), a moment (2026-01-31T12:00:00Z)\n\n\
    Examples:\n  mayfly log search repository=acme/app ref=refs/tags/* since=24h\n  \
    mayfly log search --refused reason=DENIED_BY_RULE\n  mayfly log search alice --json\n\n\
    Only certificates and refusals are searched. The signature log is read over HTTP (/tlog/YEAR/api/v2).")]
pub struct Args {
    /// What to find; nothing finds everything
    terms: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// Only in this shard of the log, named after a year [default: in all of them]
    #[arg(long, value_name = "YEAR")]
    shard: Option<String>,
    /// Only what was refused
    #[arg(long)]
    refused: bool,
    /// How many at most, newest first
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Go on where an earlier search ended: the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    before: Option<Cursor>,
    /// One JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a header line
    #[arg(long)]
    csv: bool,
}

/// Runs `mayfly log search`.
///
/// # Errors
///
/// [`CommandError::Usage`] for terms that ask for nothing there is, [`CommandError::Failed`] when the log
/// cannot be read.
pub fn run(args: Args) -> Result<(), CommandError> {
    let refused = args.refused.then_some("result=refused");
    let terms = args.terms.iter().map(String::as_str).chain(refused);
    let search = Search::parse(terms, SystemClock.now()).map_err(CommandError::usage)?;
    let shard = args.shard.as_deref();
    let instance = Instance::read(&args.source)?.of_shard(shard)?;
    let attempts = Attempts::open(&instance, shard)?;
    let question = Question { search, cursor: args.before, limit: args.limit };
    let Page { records, next } = attempts.ask(question).map_err(CommandError::failed)?;
    let out = Out::stdout();
    match (args.json, args.csv) {
        (true, _) => records
            .iter()
            .try_for_each(|record| out.json(record.to_json().map_err(CommandError::failed)?))?,
        (_, true) => out.print(csv::table(&records, |value| out.shown(value)))?,
        _ => out.print(table(&out, &records))?,
    }
    // On stderr: what reads JSON or CSV does not see it, and who runs it does.
    if let Some(next) = next {
        super::out::aside(format_args!("there is more: --before {next}\n"));
    }
    Ok(())
}

/// Everything that is kept of an instance's attempts, open to be read beside a running server.
pub(super) struct Attempts {
    /// Earliest window first.
    shards: Vec<Opened>,
    refusals: Option<Refusals>,
}

/// One shard of the log.
struct Opened {
    store: Box<dyn Store>,
    index: Option<Index>,
    size: u64,
}

impl Opened {
    /// Opens a shard, and its index if it has one.
    fn new(shard: &Shard) -> Result<Self, CommandError> {
        let store = sqlite::open_read_only(&shard.database).map_err(CommandError::failed)?;
        let index = Index::open_read_only(&shard.index(), store.owner()).ok();
        let index = index.and_then(|index| Some((index.upto().ok()?, index)));
        // After the index: a running server adds to both.
        let size = store.head().map_err(CommandError::failed)?.size;
        // Without an index, or with one that does not fit, every entry is read.
        let index = index.filter(|(upto, index)| {
            let fits = check(*upto, &store, size);
            fits.and_then(|()| sample(index, &store, upto.size)).is_ok()
        });
        let index = index.map(|(_, index)| index);
        Ok(Self { store: Box::new(store), index, size })
    }

    fn entries(&self) -> Entries<'_> {
        Entries { store: self.store.as_ref(), index: self.index.as_ref(), size: self.size }
    }
}

impl Attempts {
    /// Opens the shards of an instance's log, or the one that is named, and its refusals if there are any.
    pub(super) fn open(instance: &Instance, shard: Option<&str>) -> Result<Self, CommandError> {
        let shards = instance.shards(shard).iter().map(Opened::new).collect::<Result<_, _>>()?;
        Ok(Self { shards, refusals: open_refusals(&instance.refusals())? })
    }

    /// The entries of one shard.
    pub(super) fn of_shard(&self, name: &str) -> Option<Entries<'_>> {
        let shard = self.shards.iter().find(|shard| shard.store.owner().shard() == name);
        shard.map(Opened::entries)
    }

    /// All that is asked for: as many pages as that takes.
    pub(super) fn ask(&self, mut question: Question) -> Result<Page, ExplorerError> {
        let (mut records, limit) = (Vec::new(), question.limit);
        let sizes = || self.shards.iter().map(|shard| shard.size);
        let size = sizes().sum();
        let progress = progress(size);
        loop {
            let older = question.first_shard(self.shards.len());
            let Some(shard) = self.shards.get(older) else {
                return Ok(Page { records, next: None });
            };
            question.limit = PAGE.min(limit - records.len());
            let page = explorer::page(older, shard.entries(), self.refusals.as_ref(), &question)?;
            records.extend(page.records);
            question.cursor = page.next;
            progress.set_position(size - page.next.map_or(0, |next| next.left(sizes())));
            if page.next.is_none() || records.len() >= limit {
                progress.finish_and_clear();
                return Ok(Page { records, next: page.next });
            }
        }
    }
}

fn open_refusals(file: &Path) -> Result<Option<Refusals>, CommandError> {
    match Refusals::open_read_only(file) {
        Ok(refusals) => Ok(Some(refusals)),
        Err(StoreError::Missing(_)) => Ok(None),
        Err(error) => Err(CommandError::at(file, error)),
    }
}

/// How far a search has come, for a terminal; shown only where it takes more than a page.
fn progress(entries: u64) -> ProgressBar {
    match std::io::stderr().is_terminal() && entries > PAGE as u64 {
        true => ProgressBar::new(entries),
        false => ProgressBar::hidden(),
    }
}

/// How many of the last columns a narrow terminal goes without: `log show` has them all.
const SPARE: usize = 1;

fn table(out: &Out, found: &[Record]) -> String {
    if found.is_empty() {
        return "nothing found\n".to_owned();
    }
    let header = ["index", "time", "result", "san", "ref", "rule", "serial/request"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    // A claim is the caller's text: nothing in it may move the cursor.
    let row = |record| row(record).map(|cell| escape(&cell).to_string()).to_vec();
    rows.extend(found.iter().map(row));
    out.table(rows, SPARE)
}

fn row(record: &Record) -> [String; 7] {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        record.index.map_or("-".to_owned(), |index| format!("{}/{index}", record.shard)),
        record.time.to_string(),
        end(record),
        who(record),
        record.extensions.get("source-repository-ref").cloned().unwrap_or_default(),
        given(&record.rule),
        match record.result {
            Outcome::Issued => record.serial.clone(),
            Outcome::Refused => record.request_id.clone(),
        },
    ]
}

/// How an attempt ended; marked where nothing of it but the certificate is known.
fn end(record: &Record) -> String {
    let end = record.reason.as_deref().unwrap_or(record.result.name());
    let mark = if record.damaged.is_some() { " (record damaged)" } else { "" };
    format!("{end}{mark}")
}

/// Whom an attempt was for, as far as that is known; marked where nobody verified it.
fn who(record: &Record) -> String {
    let claimed = record.claimed.as_ref().and_then(|claimed| claimed.subject.as_ref());
    match (record.san.as_str(), &record.subject, claimed) {
        ("", Some(subject), _) => subject.clone(),
        ("", None, Some(claimed)) => format!("unverified: {claimed}"),
        (san, ..) => san.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Claimed;

    #[test]
    fn nothing_in_a_table_moves_the_cursor() {
        let text = "a\u{1b}[31m\r\u{7f}\u{9b}\u{202e}b".to_owned();
        let extensions = [("source-repository-ref".into(), text.clone())].into();
        let (rule, reason) = (Some(text.clone()), Some(text.clone()));
        let (san, serial) = (text.clone(), text);
        let record = Record { san, rule, serial, reason, extensions, ..Record::default() };
        let table = table(&Out::plain(), &[record]);
        assert_eq!(table.matches("a\\u{1b}[31m\\r\\u{7f}\\u{9b}\\u{202e}b").count(), 5, "{table}");
        assert!(table.chars().all(|c| c == '\n' || !c.is_control()), "{table:?}");
    }

    #[test]
    fn what_nobody_verified_is_marked() {
        let claimed = Claimed { subject: Some("mallory".into()), ..Claimed::default() };
        let mut record = Record { claimed: Some(claimed.into()), ..Record::default() };
        assert_eq!(who(&record), "unverified: mallory");
        record.subject = Some("alice".into());
        assert_eq!(who(&record), "alice");
        record.san = "alice@example.com".into();
        assert_eq!(who(&record), "alice@example.com");
    }
}
