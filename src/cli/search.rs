//! `mayfly log search`: finds certificates by anything that is known of them.

use std::fmt::Write as _;

use clap::Args as ClapArgs;

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::Out;
use crate::quote::escape;
use crate::record::Record;
use crate::record::search::Search;
use crate::store::{Placed, Store};
use crate::time::{Clock, SystemClock};

/// How many records are read from the store at once.
const PAGE: usize = 256;

/// Find certificates by any claim
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Terms: FIELD=PATTERN (a star stands for anything), or a word to find in any field; all must hold.\n\
    Fields: san, issuer, serial, key, rule, request, … and every extension, by the end of its name.\n\n\
    Examples:\n  mayfly log search repository=acme/app ref=refs/tags/* since=24h\n  mayfly log search alice --json"
)]
pub struct Args {
    /// What to find; nothing finds everything. since=24h (s, m, h, d) is how long ago at most.
    terms: Vec<String>,
    #[command(flatten)]
    source: Source,
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
    let terms = args.terms.iter().map(String::as_str);
    let search = Search::parse(terms, SystemClock.now()).map_err(CommandError::usage)?;
    let store = Instance::read(&args.source)?.store()?;
    let found = find(store.as_ref(), args.limit, |record| search.finds(record))?;
    let out = Out::stdout();
    match (args.json, args.csv) {
        (true, _) => found
            .iter()
            .try_for_each(|record| out.line(record.to_json().map_err(CommandError::failed)?)),
        (_, true) => out.print(csv(&found)),
        _ => out.print(table(&out, &found)),
    }
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
    fn a_spreadsheet_finds_no_formula() {
        assert_eq!(csv_cell("refs/heads/main"), "refs/heads/main");
        assert_eq!(csv_cell("=cmd()"), "\"'=cmd()\"");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
