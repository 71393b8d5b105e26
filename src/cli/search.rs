//! `mayfly log search`: finds certificates by anything that is known of them.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::Out;
use crate::quote::escape;
use crate::record::Record;
use crate::record::search::Terms;
use crate::store::{Placed, Store};
use crate::time::{Clock, SystemClock, Timestamp};

/// How many records are read from the store at once.
const PAGE: usize = 256;

/// Find certificates by any claim
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Terms: FIELD=PATTERN (a star stands for anything), or a word to find in any field; all must hold.\n\
    Fields: san (the subject alternative name), issuer, serial, key, rule, request, … and every extension, by the end\n\
    of its name.\n\n\
    Examples:\n  mayfly log search repository=acme/app ref=refs/tags/* since=24h\n  mayfly log search alice --json"
)]
pub struct Args {
    /// What to find; nothing finds everything. since=24h (s, m, h, d) is how long ago at most.
    terms: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// Of this shard of the log, named after a year [default: the one of today]
    #[arg(long, value_name = "YEAR")]
    shard: Option<String>,
    /// How many at most, newest first.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a header line.
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
    let (since, terms) = split(&args.terms, SystemClock.now())?;
    let terms = Terms::parse(terms).map_err(CommandError::usage)?;
    let instance = Instance::read(&args.source)?.of_shard(args.shard.as_deref())?;
    let store = instance.store()?;
    let found =
        find(store.as_ref(), args.limit, |record| record.time >= since && record.matches(&terms))?;
    let out = Out::stdout();
    match (args.json, args.csv) {
        (true, _) => found
            .iter()
            .try_for_each(|record| out.line(record.to_json().map_err(CommandError::failed)?)),
        (_, true) => out.print(csv(&found)),
        _ => out.print(table(&out, &found)),
    }
}

/// Takes `since=…` out of the terms.
fn split(terms: &[String], now: Timestamp) -> Result<(Timestamp, Vec<&str>), CommandError> {
    let mut since = Timestamp::default();
    let mut rest = Vec::new();
    for term in terms {
        match term.strip_prefix("since=") {
            Some(ago) => {
                let ago = now.minus(duration(ago).ok_or_else(|| {
                    CommandError::Usage(format!(
                        "{term}: expected a time like since=24h or since=7d"
                    ))
                })?);
                since = since.max(ago);
            }
            None => rest.push(term.as_str()),
        }
    }
    Ok((since, rest))
}

/// `90s`, `5m`, `24h`, `7d`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// The newest records that `wanted` wants, at most `limit`, newest first.
pub(super) fn find(
    store: &dyn Store,
    limit: usize,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<Record>, CommandError> {
    let mut found = Vec::new();
    let mut before = None;
    while found.len() < limit {
        let page = store.records(before, PAGE).map_err(CommandError::failed)?;
        let Some(oldest) = page.last() else { break };
        before = Some(oldest.index);
        for Placed { index, tile_leaf, record, .. } in &page {
            let record = Record::read(*index, tile_leaf, record).map_err(CommandError::failed)?;
            if found.len() < limit && wanted(&record) {
                found.push(record);
            }
        }
    }
    Ok(found)
}

/// The columns of table and CSV.
fn row(record: &Record) -> [String; 6] {
    let extension = |name: &str| record.extensions.get(name).cloned().unwrap_or_default();
    [
        record.index.map(|index| index.to_string()).unwrap_or_default(),
        record.time.to_string(),
        record.san.clone(),
        extension("source-repository-ref"),
        record.rule.clone().unwrap_or_default(),
        record.serial.clone(),
    ]
}

const COLUMNS: [&str; 6] = ["index", "time", "san", "ref", "rule", "serial"];

/// How many of the last columns a narrow terminal goes without: `log show` has them all.
const SPARE: usize = 1;

fn table(out: &Out, found: &[Record]) -> String {
    if found.is_empty() {
        return "nothing found\n".to_owned();
    }
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    // A claim is the caller's text: nothing in it may move the cursor.
    rows.extend(
        found.iter().map(|record| row(record).map(|cell| escape(&cell).to_string()).to_vec()),
    );
    out.table(rows, SPARE)
}

fn csv(found: &[Record]) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for record in found {
        let _ = writeln!(text, "{}", row(record).map(|cell| csv_cell(&cell)).join(","));
    }
    text
}

/// A cell of RFC 4180, in which no spreadsheet finds a formula.
fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_long_ago() {
        assert_eq!(duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        for wrong in ["", "h", "24", "24y", "-1h", "99999999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_two_times_both_must_hold() {
        let now = Timestamp::from_secs(1_000_000);
        for terms in [["since=1h", "since=7d"], ["since=7d", "since=1h"]] {
            let terms = terms.map(str::to_owned);
            let (since, rest) = split(&terms, now).unwrap();
            assert_eq!(since, Timestamp::from_secs(1_000_000 - 3600));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_spreadsheet_finds_no_formula() {
        assert_eq!(csv_cell("refs/heads/main"), "refs/heads/main");
        assert_eq!(csv_cell("=cmd()"), "\"'=cmd()\"");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
