//! `mayfly check`: everything that is wrong with a configuration, or who it trusts.

use std::io::{self, Write};
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
    let checked = check(args);
    // Who reads the result may have gone; what it says stands in the exit code, too.
    let _ = match (&checked, args.json) {
        (Ok(config), true) => writeln!(io::stdout(), "{}", config_json(config)),
        (Ok(config), false) => write!(io::stdout(), "{}", config_text(config)),
        (Err(errors), true) => writeln!(io::stdout(), "{}", errors_json(errors)),
        (Err(errors), false) => writeln!(io::stderr(), "{errors}"),
    };
    if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(2) }
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
    let (url, listen, data) = (&config.url, config.listen, config.data.display());
    let mut text = format!("{url}, listening on {listen}, data in {data}\n\n");
    for line in table.to_string().lines() {
        text += line.trim_end();
        text.push('\n');
    }
    for (i, warning) in config.warnings.iter().enumerate() {
        let space = if i == 0 { "\n" } else { "" };
        text += &format!("{space}warning: {warning}\n");
    }
    text
}

/// The summary for scripts.
pub fn config_json(config: &Config) -> Value {
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
pub fn errors_json(errors: &ConfigErrors) -> Value {
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
    use std::path::Path;

    use super::*;

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

 ISSUER                     TYPE    AUDIENCES         WHO MAY
 https://idp.example.com    email   sigstore, mayfly  1 rule (staff), 1 denial
 https://spire.example.com  spiffe  sigstore          anybody

warning: DIR/mayfly.yaml:2: url: http:// sends tokens over the network in the clear
";

    fn args(folder: &Path, text: &str) -> Args {
        let config = folder.join("mayfly.yaml");
        std::fs::write(&config, text).unwrap();
        Args { config, fulcio_config: None, allow_anybody: false, json: false }
    }

    #[test]
    fn the_summary_says_who_may() {
        let folder = tempfile::TempDir::new().unwrap();
        let args = args(folder.path(), TEXT);
        let config = check(&args).unwrap();
        let shown = config_text(&config).replace(folder.path().to_str().unwrap(), "DIR");
        assert_eq!(shown, SUMMARY);
        let json = config_json(&config);
        assert_eq!(json["ok"], true);
        assert_eq!(json["issuers"][0]["who"], "1 rule (staff), 1 denial");
        assert_eq!(run(&args), ExitCode::SUCCESS);
    }

    #[test]
    fn complaints_end_in_2() {
        let folder = tempfile::TempDir::new().unwrap();
        let args = args(folder.path(), "issuers: []\nlifetime: 1s\n");
        let json = errors_json(&check(&args).unwrap_err());
        assert_eq!(json["ok"], false);
        assert_eq!(json["errors"][0]["line"], 2);
        assert_eq!(json["errors"][0]["key"], "lifetime");
        assert_eq!(run(&args), ExitCode::from(2));
    }
}
