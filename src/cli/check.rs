//! `mayfly check`: everything that is wrong with a configuration, or who it trusts.

use console::measure_text_width;
use serde_json::{Value, json};

use self::live::Finding;
use super::instance::{self, Source};
use super::out::Out;
use super::{CommandError, block_on};
use crate::config::{Config, ConfigError, ConfigErrors, IssuerSummary};
use crate::quote::visible;

mod live;

/// Say everything that is wrong with a configuration, or who it trusts
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  mayfly check --config mayfly.yaml\n  \
    mayfly check --live --config mayfly.yaml\n  mayfly check --sample")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Ask every issuer for its keys, and try signing keys, logs, timestamps and TUF repository
    #[arg(long)]
    live: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Print a configuration with every key and what it means, and check nothing
    #[arg(long, conflicts_with_all = ["json", "live"])]
    sample: bool,
}

/// Every key, commented.
const SAMPLE: &str = include_str!("../../config/mayfly.yaml");

/// Runs `mayfly check`.
///
/// # Errors
///
/// [`CommandError::Configuration`] with everything that is wrong; with `--live`, [`CommandError::Failed`]
/// when something does not answer as it should.
pub fn run(args: Args) -> Result<(), CommandError> {
    let out = Out::stdout();
    if args.sample {
        return out.print(SAMPLE);
    }
    let checked = match check(&args.source) {
        Ok(config) if args.live => return live(config, args.json, &out),
        checked => checked,
    };
    let text = result_text(&checked, args.json, &out);
    if checked.is_err() && !args.json {
        return Err(CommandError::Configuration(text));
    }
    let printed = out.print(text);
    // What is wrong is said already; what is left is the exit code.
    checked.map_err(|_| CommandError::Configuration(String::new()))?;
    printed
}

/// Reads the configuration, and the listener's TLS with it.
fn check(source: &Source) -> Result<Config, ConfigErrors> {
    let config = source.load()?;
    let tls = instance::tls(&config, &source.file().display().to_string());
    tls.map(|_| config).map_err(|error| ConfigErrors(vec![error]))
}

fn live(config: Config, json: bool, out: &Out) -> Result<(), CommandError> {
    let mut summary = if json { config_json(&config) } else { Value::Null };
    // People see it before the slowest issuer has answered.
    let shown = if json { Ok(()) } else { out.print(config_text(&config, out)) };
    let findings = block_on(live::findings(config))??;
    let failures = findings.iter().filter(|finding| finding.failed()).count();
    let printed = if json {
        if let Some(members) = summary.as_object_mut() {
            members.insert("ok".to_owned(), (failures == 0).into());
            members.insert("live".to_owned(), findings.iter().map(Finding::to_json).collect());
        }
        out.line(summary)
    } else {
        shown.and_then(|()| findings.iter().try_for_each(|it| out.print(format_args!("\n{it}"))))
    };
    match failures {
        0 => printed,
        1 => Err(CommandError::Failed("1 of these does not do what it should".to_owned())),
        more => Err(CommandError::Failed(format!("{more} of these do not do what they should"))),
    }
}

/// The result as it is printed.
fn result_text(checked: &Result<Config, ConfigErrors>, json: bool, out: &Out) -> String {
    match (checked, json) {
        (Ok(config), true) => format!("{}\n", config_json(config)),
        (Ok(config), false) => config_text(config, out),
        (Err(errors), true) => format!("{}\n", errors_json(errors)),
        (Err(errors), false) => format!("{errors}\n"),
    }
}

/// The summary for people: one line on the instance, a table of issuers, the warnings.
fn config_text(config: &Config, out: &Out) -> String {
    let (url, listen, data) = (&config.url, config.listen, config.data.display());
    let mut text = format!("{url}, listening on {listen}, data in {data}\n");
    if !config.summaries.is_empty() {
        text += &format!("\n{}", issuers(config, out));
    }
    for (i, warning) in config.warnings.iter().enumerate() {
        let space = if i == 0 { "\n" } else { "" };
        text += &format!("{space}{} {}\n", out.style.odd("warning:"), out.wrap(warning, 9));
    }
    text
}

/// A table, or a paragraph each where the terminal is too narrow for it: nothing of it may be cut.
fn issuers(config: &Config, out: &Out) -> String {
    let mut rows = vec![["issuer", "type", "audiences", "who may"].map(str::to_owned).to_vec()];
    rows.extend(config.summaries.iter().map(|IssuerSummary { url, kind, audiences, who }| {
        [url, kind, &audiences.join(", "), who].map(|cell| visible(cell).to_string()).to_vec()
    }));
    let table = Out::plain().table(rows.clone(), 0);
    if table.lines().all(|line| out.fits(measure_text_width(line))) {
        return out.table(rows, 0);
    }
    let mut text = String::new();
    for IssuerSummary { url, kind, audiences, who } in &config.summaries {
        let rest = [("type", kind), ("audiences", &audiences.join(", ")), ("who may", who)];
        text += &format!("{}\n{}", out.style.strong(&visible(url).to_string()), out.fields(&rest));
    }
    text
}

/// The summary for scripts.
fn config_json(config: &Config) -> Value {
    let issuer = |issuer: &IssuerSummary| {
        json!({
            "url": issuer.url,
            "type": issuer.kind,
            "audiences": issuer.audiences,
            "who": issuer.who,
        })
    };
    json!({
        "ok": true,
        "url": config.url,
        "listen": config.listen.to_string(),
        "data": config.data.display().to_string(),
        "issuers": config.summaries.iter().map(issuer).collect::<Vec<_>>(),
        "warnings": config.warnings,
    })
}

/// The complaints for scripts.
fn errors_json(errors: &ConfigErrors) -> Value {
    let error = |error: &ConfigError| {
        json!({
            "file": error.file,
            "line": error.line,
            "key": error.key,
            "message": error.message,
        })
    };
    json!({ "ok": false, "errors": errors.0.iter().map(error).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote::is_visible;

    const TEXT: &str = r#"
url: http://ca.example.com
issuers:
  - url: https://idp.example.com
    type: email
    audiences: [ sigstore, mayfly ]
    allow: [ { name: staff, email: "*@example.com" } ]
    deny: [ { email: root@example.com } ]
  - url: https://spire.example.com
    type: spiffe
    trust_domain: example.com
"#;

    const SUMMARY: &str = "\
http://ca.example.com, listening on 127.0.0.1:5555, data in DIR/data

issuer                     type    audiences         who may
https://idp.example.com    email   sigstore, mayfly  1 rule (staff), 1 denial
https://spire.example.com  spiffe  sigstore          anybody

warning: DIR/mayfly.yaml:2: url: http:// sends tokens over the network in the clear
";

    /// What `mayfly check` prints about `text`.
    fn printed(text: &str, json: bool) -> String {
        let folder = tempfile::TempDir::new().unwrap();
        let config = folder.path().join("mayfly.yaml");
        std::fs::write(&config, text).unwrap();
        let source = Source { config: Some(config), ..Source::default() };
        result_text(&check(&source), json, &Out::plain())
            .replace(folder.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn the_summary_says_who_may() {
        assert_eq!(printed(TEXT, false), SUMMARY);
        let json: Value = serde_json::from_str(&printed(TEXT, true)).unwrap();
        assert_eq!(json["ok"], true);
        assert_eq!(json["issuers"][0]["who"], "1 rule (staff), 1 denial");
        assert_eq!(json["warnings"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn complaints_are_a_line_or_an_object_each() {
        let text = "issuers: []\nlifetime: 1s\nlisten: x\n";
        assert_eq!(
            printed(text, false),
            "DIR/mayfly.yaml:2: lifetime: expected a duration from 60s to 600s, got 1s\n\
             DIR/mayfly.yaml:3: listen: expected an address and a port such as 0.0.0.0:5555, got \"x\"\n"
        );
        let json: Value = serde_json::from_str(&printed(text, true)).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["errors"][0]["line"], 2);
        assert_eq!(json["errors"][1]["key"], "listen");
    }

    #[test]
    fn what_the_file_says_does_not_steer_the_terminal() {
        let text = TEXT
            .replace("[ sigstore, mayfly ]", r#"[ "a\e[2J" ]"#)
            .replace("{ name: staff, ", r#"{ name: "st\u202eff", "#)
            .replace("deny: [ { ", r#"deny: [ { "c\e[2J": { not: x }, "#);
        for text in [text.clone(), text.replace("type: email", r#""t\e[2J": 1"#)] {
            let printed = printed(&text, false);
            assert!(printed.contains(r"\u{1b}[2J"), "{printed}");
            assert!(printed.chars().all(|c| c == '\n' || is_visible(c)), "{printed}");
        }
    }
}
