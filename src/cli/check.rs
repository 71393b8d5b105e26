//! `mayfly check`: everything that is wrong with a configuration, or who it trusts.

use serde_json::{Value, json};

use super::CommandError;
use super::instance::Source;
use crate::config::{Config, ConfigError, ConfigErrors, IssuerSummary};

/// Say everything that is wrong with a configuration, or who it trusts
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  mayfly check --config mayfly.yaml")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly check`.
///
/// # Errors
///
/// [`CommandError::Usage`] with everything that is wrong.
pub fn run(args: Args) -> Result<(), CommandError> {
    match (args.source.load(), args.json) {
        (Ok(config), true) => println!("{}", config_json(&config)),
        (Ok(config), false) => print!("{}", config_text(&config)),
        (Err(errors), true) => {
            println!("{}", errors_json(&errors));
            return Err(CommandError::Usage(format!("{} errors", errors.0.len())));
        }
        (Err(errors), false) => return Err(CommandError::usage(errors)),
    }
    Ok(())
}

/// The summary for people: one line on the instance, a table of issuers, the warnings.
pub fn config_text(config: &Config) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["ISSUER", "TYPE", "AUDIENCES", "WHO MAY"]);
    for IssuerSummary { url, kind, audiences, who } in &config.summaries {
        table.add_row([url, kind, &audiences.join(", "), who]);
    }
    let lines = table.to_string();
    let issuers: Vec<&str> = lines.lines().map(str::trim_end).collect();
    let warnings: String =
        config.warnings.iter().map(|warning| format!("\nwarning: {warning}")).collect();
    let (url, listen, data) = (&config.url, config.listen, config.data.display());
    format!("{url}, listening on {listen}, data in {data}\n\n{}\n{warnings}\n", issuers.join("\n"))
        .trim_end()
        .to_owned()
        + "\n"
}

/// The summary for scripts.
pub fn config_json(config: &Config) -> Value {
    let issuer = |IssuerSummary { url, kind, audiences, who }: &IssuerSummary| json!({ "url": url, "type": kind, "audiences": audiences, "who": who });
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
pub fn errors_json(errors: &ConfigErrors) -> Value {
    let error = |ConfigError { file, line, key, message }: &ConfigError| json!({ "file": file, "line": line, "key": key, "message": message });
    json!({ "ok": false, "errors": errors.0.iter().map(error).collect::<Vec<_>>() })
}
