//! `mayfly check`: everything that is wrong with a configuration, or who it trusts.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::config::{self, Config, ConfigError, ConfigErrors, IssuerSummary, Overrides};

/// The arguments of `mayfly check`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: mayfly check --config /etc/mayfly/mayfly.yaml")]
pub struct Args {
    /// The configuration to check
    #[arg(long, value_name = "FILE", default_value = "mayfly.yaml")]
    pub config: PathBuf,
    /// A Fulcio issuer file to check instead
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub fulcio_config: Option<PathBuf>,
    /// With --fulcio-config: trust shared issuers as a whole, as `mayfly serve --allow-anybody` does
    #[arg(long, requires = "fulcio_config")]
    pub allow_anybody: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks, prints the result, and yields 0, or 2 where anything is wrong.
pub fn run(args: &Args) -> ExitCode {
    match (check(args), args.json) {
        (Ok(config), true) => println!("{}", config_json(&config)),
        (Ok(config), false) => print!("{}", config_text(&config)),
        (Err(errors), json) => {
            if json {
                println!("{}", errors_json(&errors));
            } else {
                eprintln!("{errors}");
            }
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Reads the file that the arguments name.
///
/// # Errors
///
/// [`ConfigErrors`] with everything that is wrong with it.
pub fn check(args: &Args) -> Result<Config, ConfigErrors> {
    let overrides = Overrides { allow_anybody: args.allow_anybody, ..Overrides::default() };
    match &args.fulcio_config {
        Some(path) => config::load_fulcio(path, &overrides),
        None => config::load(&args.config, &overrides),
    }
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
