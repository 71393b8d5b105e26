//! `docs/presets.md`: what to write for each preset, and what comes out; made of the presets' own files
//! and of the goldens, so that it cannot rot. `UPDATE=1 cargo test presets` writes it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use mayfly::config::{self, Overrides};
use yaml_serde::Value;

use crate::support::authority::golden;
use crate::support::caller;
use crate::support::process::Run as _;

const HEAD: &str = "\
# Presets

Made by a test of `config/presets/` and `tests/golden/`; do not edit. `mayfly check` says what is wrong with a
configuration, `mayfly.yaml` itself is explained in `config/mayfly.yaml`.

A preset is an issuer that Mayfly knows: its URL, what its tokens say, and how that becomes a certificate. A
**shared** issuer gives tokens to strangers as well, so it needs `allow` before it is trusted; so does every
URL with a `*` in it. Every preset takes `url`, `audiences`, `keys`, `ca`, `bearer_token_file`, `algorithms`, `max_token_age`,
`challenge_claim`, `allow` and `deny`. What is **confirmed** only in part has a note that says \"Not confirmed\": what its maker does not document, and whose word stands for it here.

Each is shown with claims and the certificate that they give, its subject alternative name (SAN) first. To see it come about, copy the configuration into `mayfly.yaml` and
the claims into `claims.json`, change what you like, and ask:

```sh
mayfly explain claims.json --offline --at issued
```

";

#[test]
fn the_page_on_presets_is_what_the_presets_are() {
    let presets = presets();
    let mut page = HEAD.to_owned();
    page.push_str("| preset | tokens of | issuer | shared | confirmed |\n|---|---|---|---|---|\n");
    for preset in &presets {
        let (name, issuer) = (text(preset, "name"), urls(preset).join("<br>"));
        let issuer = if issuer.is_empty() { "yours: `url`".to_owned() } else { issuer };
        let shared = if preset["shared"] == true { "yes" } else { "no" };
        let confirmed = if is_confirmed(preset) { "yes" } else { "in part" };
        let title = text(preset, "title");
        let _ =
            writeln!(page, "| [{name}](#{name}) | {title} | {issuer} | {shared} | {confirmed} |");
    }
    for preset in &presets {
        describe(&mut page, preset);
    }
    crate::support::written("docs/presets.md", &page);
}

/// Whether a preset's claims are all documented by their maker; its notes say so where they are not.
fn is_confirmed(preset: &Value) -> bool {
    let mut notes = preset["notes"].as_sequence().into_iter().flatten().filter_map(Value::as_str);
    !notes.any(|note| note.contains("Not confirmed: "))
}

/// One preset's part of the page.
fn describe(page: &mut String, preset: &Value) {
    let name = text(preset, "name");
    let _ = writeln!(page, "\n## {name}\n\n{}.", text(preset, "title"));
    if let Some(source) = preset["source"].as_str() {
        let _ = writeln!(page, "Claims: <{source}>.");
    }
    let _ = writeln!(page, "\n```yaml\nissuers:\n{}```\n", indented(text(preset, "example")));
    let _ = writeln!(page, "Claims that are good for rules:\n");
    for (claim, why) in preset["rules"].as_mapping().expect("a map of claims") {
        let (claim, why) = (claim.as_str().expect("a claim"), why.as_str().expect("why"));
        let _ = writeln!(page, "- `{claim}`: {why}");
    }
    if let Some(notes) = preset["notes"].as_sequence() {
        let _ = writeln!(page, "\nNotes:\n");
        for note in notes {
            let _ = writeln!(page, "- {}", note.as_str().expect("text"));
        }
    }
    let (case, claims, certificate) = sample(name);
    let _ = writeln!(page, "\nThe claims of a token (`{case}`):\n\n```json\n{claims}\n```\n");
    let _ = writeln!(page, "and its certificate:\n\n```text\n{certificate}\n```");
}

/// What a preset's example says is what `mayfly.yaml` takes, and warns about nothing.
#[test]
fn every_example_holds() {
    for preset in presets() {
        let yaml = format!("issuers:\n{}", indented(text(&preset, "example")));
        let config = config::load_text(Path::new("mayfly.yaml"), &yaml, &Overrides::default());
        let config = config.unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
        assert_eq!(config.warnings, [""; 0], "{yaml}");
    }
}

/// Whoever copies a preset's configuration and claims, and asks as the page says, sees its certificate.
#[test]
fn what_the_page_shows_comes_about() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/presets.md"));
    let page = page.expect("the page");
    let block = |of: &str, language: &str| {
        let (_, rest) = of.split_once(&format!("```{language}\n")).expect("a block");
        rest.split("```").next().expect("its text").to_owned()
    };
    let command = block(&page, "sh");
    let arguments = command.trim().strip_prefix("mayfly ").expect("a command").split(' ');
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), presets().len());
    for section in sections {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, language) in [("mayfly.yaml", "yaml"), ("claims.json", "json")] {
            let text = block(section, language);
            std::fs::write(folder.path().join(file), text).expect("a file");
        }
        let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let ran = mayfly.args(arguments.clone()).current_dir(folder.path()).run();
        let ran = ran.expect("the binary runs");
        let out = String::from_utf8(ran.stdout).expect("text");
        let err = String::from_utf8(ran.stderr).expect("text");
        assert!(ran.status.success(), "{section}\n{out}{err}");
        let (_, says) = out.split_once("the certificate would say\n").expect("a certificate");
        let says: String =
            says.lines().map_while(|line| line.strip_prefix("  ")).collect::<Vec<_>>().join("\n");
        assert_eq!(says, block(section, "text").trim_end(), "{section}");
    }
}

/// Every claim that is in a golden can be named in a rule without a complaint, and one letter less cannot.
#[test]
fn a_typo_in_a_rule_is_seen_and_nothing_else() {
    for preset in presets() {
        let name = text(&preset, "name");
        let claims = golden_claims(name);
        let odd: Vec<String> = claims.iter().flat_map(|claim| complaints(&preset, claim)).collect();
        assert_eq!(odd, [""; 0], "{name}");
        let any = preset["claims"].as_sequence().is_some_and(|claims| claims.contains(&"*".into()));
        let odd = complaints(&preset, "no_such_claim");
        assert_eq!(odd.len(), usize::from(!any), "{name}: {odd:?}");
    }
    let github = presets().into_iter().find(|preset| text(preset, "name") == "github");
    let odd = complaints(&github.expect("a preset"), "event_nam");
    let expected = "deny[0].event_nam: the tokens of preset github have no claim \"event_nam\"; did you mean event_name? (by a claim newer than the preset, deny with `{ not: … }` in every rule of `allow`)";
    assert!(odd[0].ends_with(expected), "{odd:?}");
}

/// The names of all claims in a preset's goldens.
fn golden_claims(preset: &str) -> BTreeSet<String> {
    let cases = std::fs::read_dir(golden(preset)).expect("goldens");
    let files = cases
        .filter_map(|case| std::fs::read(case.expect("a case").path().join("claims.json")).ok());
    let claims = files.flat_map(|file| {
        let claims: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&file).expect("claims");
        claims.into_iter().filter(|(_, value)| !value.is_object()).map(|(name, _)| name)
    });
    claims.collect()
}

/// What is wrong with a preset's first example when it denies by a claim.
fn complaints(preset: &Value, claim: &str) -> Vec<String> {
    let example = text(preset, "example");
    let first = example.split("\n- ").next().expect("an issuer");
    let head = first.split("  allow:").next().expect("its beginning");
    let head: String =
        head.lines().filter(|line| !line.contains("ca:")).map(|l| format!("{l}\n")).collect();
    let yaml = format!("issuers:\n{head}  allow: anybody\n  deny: [ {{ \"{claim}\": refs/x }} ]\n");
    let config = config::load_text(Path::new("mayfly.yaml"), &yaml, &Overrides::default());
    match config {
        Ok(config) => config.warnings,
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_preset_says_what_its_tokens_must_be_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mayfly.yaml");
    let text = "issuers: [ { preset: azure, url: https://sts.windows.net/t/, allow: anybody } ]";
    std::fs::write(&file, text).expect("a file");
    let errors = config::load(&file, &Overrides::default()).expect_err("no audiences");
    assert!(errors.to_string().contains("issuers[0]: needs `audiences`"), "{errors}");
}

fn presets() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/presets");
    let files = std::fs::read_dir(folder).expect("the presets");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("text");
        yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

fn text<'a>(preset: &'a Value, key: &str) -> &'a str {
    preset[key].as_str().unwrap_or_else(|| panic!("{:?} has no `{key}`", preset["name"]))
}

fn urls(preset: &Value) -> Vec<String> {
    let several = preset["urls"].as_sequence().into_iter().flatten();
    let urls = preset["url"].as_str().into_iter().chain(several.filter_map(Value::as_str));
    urls.map(|url| format!("`{url}`")).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Name, claims and certificate of a preset's first golden; without what every certificate has.
fn sample(preset: &str) -> (String, String, String) {
    let folder = golden(preset);
    let cases = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("no golden of {preset}"));
    let mut cases: Vec<_> = cases.map(|case| case.expect("a case").path()).collect();
    cases.sort();
    let case = cases.iter().find(|case| case.ends_with("push")).unwrap_or(&cases[0]);
    let read = |file: &str| {
        let text = std::fs::read_to_string(case.join(file)).expect("a golden");
        text.replace("golden.example", "example.com")
    };
    let says = |line: &&str| line.contains("57264.1.") || line.contains(" san: ");
    let certificate: Vec<String> = read("certificate.txt").lines().filter(says).map(said).collect();
    let name = case.strip_prefix(golden("")).expect("below").display().to_string();
    (name, whole(&read("claims.json"), &caller::claims(case)), certificate.join("\n"))
}

/// The text of claims with those of `sent` that every token has, and goldens leave out.
fn whole(text: &str, sent: &serde_json::Value) -> String {
    let known: serde_json::Value = serde_json::from_str(text).expect("claims");
    let missing = ["aud", "iat", "exp"].into_iter().filter(|name| known.get(name).is_none());
    let missing: String = missing.map(|name| format!(",\n  \"{name}\": {}", sent[name])).collect();
    let claims = text.trim_end().strip_suffix('}').expect("an object").trim_end();
    format!("{claims}{missing}\n}}")
}

/// A line of a golden as `mayfly explain` says it: the extension's name in place of its number.
fn said(line: &str) -> String {
    let (oid, value) = line.split_once(' ').expect("two columns");
    let row = mayfly::extensions::TABLE
        .iter()
        .find(|row| oid.strip_prefix("1.3.6.1.4.1.57264.1.") == Some(row.arc.to_string().as_str()));
    let value = value.trim_start_matches(['!', ' ']);
    let (name, value) = match row {
        Some(row) => {
            let value = value.trim_start_matches("utf8 ").trim_start_matches("raw ");
            (row.name, value.trim_matches('"'))
        }
        None => {
            let san = value.strip_prefix("san: ").and_then(|san| san.strip_suffix(')'));
            match san.and_then(|san| san.split_once('(')) {
                Some(("RFC822Name", value)) => ("subject alternative name (e-mail)", value),
                Some(("URI", value)) => ("subject alternative name (URI)", value),
                other => panic!("{other:?} has no words yet"),
            }
        }
    };
    format!("{name:<39} {value}")
}
