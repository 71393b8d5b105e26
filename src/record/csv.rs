//! Records as comma-separated values, a line each: RFC 4180, safe to open as a spreadsheet.

use std::fmt::Write as _;

use super::Record;

/// The columns, in order; new ones come at the end.
const COLUMNS: [&str; 22] = [
    "index",
    "time",
    "san",
    "ref",
    "rule",
    "serial",
    "result",
    "reason",
    "message",
    "issuer",
    "subject",
    "key",
    "token",
    "request",
    "client",
    "claimed",
    "shard",
    "duration_ms",
    "claim",
    "wanted",
    "got",
    "damaged",
];

/// The header line, and one line a record; of every value what `shown` makes of it.
pub fn table<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    shown: impl Fn(&str) -> String,
) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for record in records {
        let _ = write!(text, "{}\r\n", row(record).map(|value| cell(&shown(&value))).join(","));
    }
    text
}

fn row(record: &Record) -> [String; 22] {
    let extension = |name: &str| record.extensions.get(name).cloned().unwrap_or_default();
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let claimed = record.claimed.as_ref().and_then(|all| serde_json::to_string(all).ok());
    [
        record.index.map(|index| index.to_string()).unwrap_or_default(),
        record.time.to_string(),
        record.san.clone(),
        extension("source-repository-ref"),
        given(&record.rule),
        record.serial.clone(),
        record.result.name().to_owned(),
        given(&record.reason),
        given(&record.message),
        record.issuer.clone(),
        given(&record.subject),
        record.key.clone(),
        given(&record.token_id),
        record.request_id.clone(),
        record.client.map(|client| client.to_string()).unwrap_or_default(),
        claimed.unwrap_or_default(),
        record.shard.clone(),
        record.duration_ms.to_string(),
        given(&record.claim),
        given(&record.wanted),
        given(&record.got),
        given(&record.damaged),
    ]
}

/// A cell in which no spreadsheet finds a formula, and no reader the end of a cell, whatever it takes for
/// one: in some countries that is a semicolon.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let ends = |c: char| matches!(c, ',' | ';' | '"') || c.is_control();
    if guard.is_empty() && !text.contains(ends) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_finds_no_formula() {
        assert_eq!(cell("refs/heads/main"), "refs/heads/main");
        assert_eq!(cell("=cmd()"), "\"'=cmd()\"");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        for c in ",;\t\r\n\0\u{b}\u{1b}\u{7f}\u{85}\u{9b}".chars() {
            assert_eq!(cell(&format!("a{c}b")), format!("\"a{c}b\""));
        }
    }

    #[test]
    fn every_line_has_every_column() {
        let shard = "2026".to_owned();
        let record = Record { san: "a,b".into(), shard, index: Some(7), ..Record::default() };
        let text = table([&record], str::to_owned);
        let lines: Vec<&str> = text.lines().collect();
        assert!(table([&record], |value| value.replace(',', ".")).contains(",a.b,"), "{text}");
        assert!(lines[0].starts_with("index,time,san,ref,rule,serial,"), "{text}");
        assert_eq!(lines[1], "7,1970-01-01T00:00:00Z,\"a,b\",,,,issued,,,,,,,,,,2026,0,,,,");
    }
}
