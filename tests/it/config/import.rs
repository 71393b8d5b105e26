//! `mayfly import fulcio`: what an issuer file becomes, and that nothing is lost on the way.

use std::path::Path;
use std::sync::Arc;

use mayfly::config::{self, Config, ConfigError, ConfigErrors, Imported, Overrides};
use mayfly::issuer::{Issuer, Kind, Provider};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{certificate, load, write};
use crate::support::process::Run;

fn import(text: &str, allow_anybody: bool) -> Imported {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "fulcio.yaml", text);
    let imported = config::import_fulcio(&folder.path().join("fulcio.yaml"), allow_anybody);
    let mut imported = imported.unwrap_or_else(|errors| panic!("{errors}"));
    let prefix = format!("{}/", folder.path().display());
    imported.notes.iter_mut().for_each(|note| *note = note.replace(&prefix, ""));
    imported
}

fn original(text: &str) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "fulcio.yaml", text);
    let overrides = Overrides { allow_anybody: true, ..Overrides::default() };
    config::load_fulcio(&folder.path().join("fulcio.yaml"), &overrides)
}

fn sample() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("config/fulcio.yaml")).unwrap()
}

/// Everything that decides about an issuer's tokens. Templates are a set, and have no name.
fn issuers(config: &Config) -> Vec<String> {
    let provider = |provider: &Provider| {
        let sorted = |mut pairs: Vec<String>| {
            pairs.sort();
            pairs
        };
        let pair = |pair: &(String, String)| format!("{pair:?}");
        let extensions = provider
            .extensions
            .iter()
            .map(|(name, template)| format!("{} {template:?}", name.name()));
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            sorted(provider.constants.iter().map(pair).collect()),
            sorted(provider.defaults.iter().map(pair).collect()),
            sorted(extensions.collect()),
            provider.san,
            provider.required,
            provider.choices,
            provider.starts_with,
            provider.older,
        )
    };
    let issuer = |issuer: &Arc<Issuer>| {
        let kind = match &issuer.kind {
            Kind::Ci(ci) => provider(ci),
            kind => format!("{kind:?}"),
        };
        let Issuer { url, audiences, challenge_claim, roots, .. } = issuer.as_ref();
        let roots = roots.as_ref().map(|pem| String::from_utf8_lossy(pem).trim().to_owned());
        format!("{url:?} {audiences:?} {challenge_claim:?} {roots:?} {kind}")
    };
    config.issuers.iter().map(issuer).collect()
}

#[test]
fn the_sample_imports_and_is_the_same() {
    let imported = import(&sample(), true);
    let loaded = load(&imported.text).unwrap();
    assert_eq!(issuers(&loaded), issuers(&original(&sample()).unwrap()));
    assert_eq!(imported.decisions, [""; 0]);
    assert!(loaded.summaries.iter().all(|issuer| issuer.who == "anybody"));
}

#[test]
fn a_shared_issuer_waits_for_a_decision() {
    let imported = import(&sample(), false);
    let errors = load(&imported.text).unwrap_err();
    assert_eq!(errors.0.len(), imported.decisions.len());
    for (error, decision) in errors.0.iter().zip(&imported.decisions) {
        assert!(error.message.contains("nothing says who may"), "{error}");
        assert_eq!(rule(&error.message), rule(decision), "{error}\n{decision}");
    }

    let decided = imported.text.replace("    #allow: anybody\n", "    allow: anybody\n");
    assert_eq!(issuers(&load(&decided).unwrap()), issuers(&original(&sample()).unwrap()));
    let undecided = imported.text.replace("    #allow: [", "    allow: [");
    let errors = load(&undecided).unwrap_err();
    assert_eq!(errors.0.len(), imported.decisions.concat().matches('…').count());
    let still = |error: &ConfigError| error.message.contains("still holds the placeholder …");
    assert!(errors.0.iter().all(still), "{errors}");
    load(&undecided.replace('…', "ours")).unwrap();
}

/// The rule that a sentence advises: `[ { namespace_id: "…" } ]`, quotes aside.
fn rule(sentence: &str) -> String {
    let (_, rule) = sentence.split_once("`allow: ").unwrap_or_else(|| panic!("{sentence}"));
    rule.split('`').next().unwrap_or(rule).replace('"', "")
}

/// Whatever templates an issuer's certificates are made by, rules of its own preset's claim are advised.
#[test]
fn the_claim_for_a_rule_is_the_presets_whoever_advises_it() {
    let kinds = [
        (json!({ "Type": "github-workflow" }), "repository_owner_id"),
        (json!({ "Type": "gitlab-pipeline" }), "namespace_id"),
        (json!({ "Type": "buildkite-job" }), "iss: …, sub"),
        (json!({ "Type": "codefresh-workflow" }), "iss: …, sub"),
        (json!({ "Type": "chainguard-identity" }), "iss: …, sub"),
        (json!({ "Type": "email" }), "iss: …, email"),
        (json!({ "Type": "kubernetes" }), "iss: …, /kubernetes.io/namespace"),
        (json!({ "Type": "ci-provider", "CIProvider": "own" }), "iss: …, sub"),
    ];
    for (kind, claim) in kinds {
        let mut issuer = json!({ "ClientID": "sigstore" });
        issuer.as_object_mut().unwrap().append(&mut kind.as_object().unwrap().clone());
        let fulcio = json!({
            "MetaIssuers": { "https://*.example.com": issuer },
            "CIIssuerMetadata": { "own": { "SubjectAlternativeNameTemplate": "https://x/{{ .x }}" } },
        });
        let imported = import(&fulcio.to_string(), false);
        let errors = load(&imported.text).unwrap_err();
        let expected = format!("[ {{ {claim}: … }} ]");
        assert_eq!(rule(&errors.to_string()), expected, "{kind}");
        assert_eq!(rule(&imported.decisions[0]), expected, "{kind}");
    }
}

#[test]
fn what_is_written_is_what_a_person_would_write() {
    let pem = certificate().trim().replace('\n', "\n      ");
    let fulcio = format!(
        "\
# our issuers

oidc-issuers:
  # the big one
  https://token.actions.githubusercontent.com: # keep
    issuer-url: https://token.actions.githubusercontent.com
    client-id: sigstore
    type: ci-provider
    ci-provider: gh
    contact: a@example.com
  https://idp.example.com:
    issuer-url: https://idp.example.com
    client-id: 7
    type: email
    skip-email-verification: yes
    challenge-claim: email
    ca-cert: |
      {pem}
  https://old.example.com:
    issuer-url: https://old.example.com
    client-id: sigstore
    type: buildkite-job
  https://elsewhere.example.com:
    issuer-url: https://nowhere.example.com
    client-id: sigstore
    type: email
# patterns
meta-issuers:
  https://container.googleapis.com/v1/projects/*/locations/*/clusters/*:
    client-id: sigstore
    type: kubernetes
# what it means
ci-issuer-metadata:
  gh: {}
",
        github()
    );
    let imported = import(&fulcio, false);
    let expected = format!(
        "\
# our issuers

# Made by `mayfly import fulcio`.

# The one name that clients use; left out: the listener's, on loopback
#url: https://ca.example.com
#listen: 0.0.0.0:5555
#data: data

issuers:
  # the big one
  # keep
  # contact: a@example.com
  - preset: github
    # DECIDE: this issuer vouches for the whole world. Who may have a certificate?
    #allow: [ {{ repository_owner_id: \"…\" }} ]
    #allow: anybody
  - url: https://idp.example.com
    type: email
    skip_email_verification: true
    audiences: [ \"7\" ]
    challenge_claim: email
    ca: |
      {pem}
  - url: https://old.example.com
    type: buildkite-job
  # patterns
  - preset: gke
    # DECIDE: this issuer is a pattern, and vouches for everybody who gets an issuer under it. Who may have a certificate?
    #allow: [ {{ iss: \"…\", /kubernetes.io/namespace: \"…\" }} ]
    #allow: anybody

# Comments of the original that had no issuer to stand at:
# what it means
"
    );
    assert_eq!(imported.text, expected);
    assert_eq!(
        imported.notes,
        [
            "fulcio.yaml:32: oidc-issuers[\"https://elsewhere.example.com\"]: is never used: its issuer-url is not the key that it stands under"
        ]
    );
    let decided = imported.text.replace("    #allow: anybody\n", "    allow: anybody\n");
    assert_eq!(issuers(&load(&decided).unwrap()), issuers(&original(&fulcio).unwrap()));
}

/// The templates of `config/fulcio.yaml` for GitHub, in one line.
fn github() -> String {
    let fulcio: yaml_serde::Value = yaml_serde::from_str(&sample()).unwrap();
    let github: &yaml_serde::Value = &fulcio["ci-issuer-metadata"]["github-workflow"];
    serde_json::to_string(github).unwrap()
}

#[test]
fn an_empty_file_becomes_an_empty_list() {
    for empty in ["", "{}", "oidc-issuers:\n"] {
        let imported = import(empty, false);
        assert_eq!(load(&imported.text).unwrap().issuers.iter().count(), 0);
    }
}

#[test]
fn text_cannot_add_keys_to_the_file() {
    let hostile = "x\n  - url: https://evil.example\n    type: email\u{2028}\u{85}\r  - a";
    let fulcio = json!({ "OIDCIssuers": { "https://idp.example.com": {
        "IssuerURL": "https://idp.example.com", "ClientID": hostile, "Type": "email",
        "Description": hostile, "Contact": hostile,
    }}});
    let imported = import(&fulcio.to_string(), false);
    let loaded = load(&imported.text).unwrap();
    assert_eq!(issuers(&loaded), issuers(&original(&fulcio.to_string()).unwrap()));
}

/// The same text on every machine: in a cluster, where Fulcio's two files are, and outside of one.
#[test]
fn the_clusters_own_issuer_is_written_as_fulcio_asks_it_in_a_cluster() {
    let url = "https://kubernetes.default.svc";
    let issuer = json!({ "IssuerURL": url, "ClientID": "sigstore", "Type": "kubernetes", "CACert": certificate() });
    let imported = import(&json!({ "OIDCIssuers": { url: issuer } }).to_string(), false);
    let (_, written) = imported.text.split_once("issuers:\n").unwrap();
    assert_eq!(
        written,
        "  - preset: kubernetes
    # DECIDE: these two files are in the cluster alone, where Fulcio reads them. Run Mayfly there with
    # the same volumes, or name files that it has; the token may be left out where the keys are public
    ca: /var/run/fulcio/ca.crt
    bearer_token_file: /var/run/secrets/kubernetes.io/serviceaccount/token
"
    );
    assert_eq!(
        imported.decisions,
        [
            "https://kubernetes.default.svc gets its CA and token from /var/run/fulcio/ca.crt and /var/run/secrets/kubernetes.io/serviceaccount/token, which are in the cluster alone: run Mayfly there with the same volumes, or change `ca` and `bearer_token_file`"
        ]
    );
    assert_eq!(
        imported.notes,
        [
            "https://kubernetes.default.svc: `ca-cert` is left out: Fulcio reads /var/run/fulcio/ca.crt in its place"
        ]
    );
    let folder = TempDir::new().unwrap();
    write(folder.path(), "ca.crt", &certificate());
    let here = imported.text.replace("/var/run/fulcio/", &format!("{}/", folder.path().display()));
    let issuer = load(&here).unwrap().issuers.find(url).unwrap().clone();
    assert_eq!(
        issuer.bearer_file.as_deref(),
        Some(Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token"))
    );
    assert!(issuer.roots.is_some());
}

#[test]
fn a_json_member_that_stands_twice_is_refused_with_its_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("fulcio.json");
    let issuer = r#"{ "OIDCIssuers": { "https://idp.example.com": {
 "IssuerURL": "https://idp.example.com", "Type": "email",
 "ClientID": "one""#;
    for (rest, line, key) in [
        (",\n \"ClientID\": \"two\" } } }", 3, "client-id"),
        (",\n \"clientid\": \"two\" } } }", 3, "client-id"),
        (
            "},\n \"https://idp.example.com\": {\"IssuerURL\": \"https://idp.example.com\", \"Type\": \"email\"} } }",
            1,
            "https://idp.example.com",
        ),
        ("} },\n \"OIDCIssuers\": {} }", 1, "oidc-issuers"),
    ] {
        write(folder.path(), "fulcio.json", &format!("{issuer}{rest}"));
        let place = format!("fulcio.json:{line}: {key}: stands here twice");
        let errors = config::import_fulcio(&file, true).unwrap_err();
        assert!(errors.to_string().contains(&place) && errors.0.len() == 1, "{rest}\n{errors}");
        let loaded = config::load_fulcio(&file, &Overrides::default()).unwrap();
        assert!(loaded.warnings.iter().any(|warning| warning.contains(&place)), "{rest}");
    }
}

#[test]
fn a_pattern_of_any_domain_needs_a_decision_whoever_is_trusted() {
    let fulcio = "meta-issuers: { \"https://*.com\": { client-id: sigstore, type: kubernetes } }";
    let imported = import(fulcio, true);
    assert_eq!(
        imported.decisions,
        ["https://*.com: expected a pattern without `*` in the last two labels of the host name"]
    );
    assert!(load(&imported.text).is_err());
}

#[test]
fn the_command_writes_once_and_lists_what_is_left() {
    let folder = TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let ran = command.args(arguments).current_dir(folder.path()).run().unwrap();
        (
            ran.status.code(),
            String::from_utf8(ran.stdout).unwrap(),
            String::from_utf8(ran.stderr).unwrap(),
        )
    };
    write(folder.path(), "fulcio.yaml", &sample());
    write(folder.path(), "broken.yaml", "oidc-issuers: 7");

    let import = ["import", "fulcio", "fulcio.yaml", "--out", "mayfly.yaml"];
    let (code, out, errors) = run(&import);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{errors}");
    assert!(errors.starts_with("27 issuers need a decision before the file holds:\n"), "{errors}");
    let next = " check --config mayfly.yaml; docs/moving.md has the rest: ";
    assert!(errors.contains(next), "{errors}");
    let (code, _, errors) = run(&["check"]);
    assert_eq!((code, errors.lines().count()), (Some(2), 27), "{errors}");
    let (code, _, errors) = run(&import);
    assert_eq!(code, Some(1));
    assert_eq!(
        errors,
        "mayfly: mayfly.yaml exists and is left alone: name another file with --out\n"
    );
    let (code, out, errors) = run(&["import", "fulcio", "fulcio.yaml", "--allow-anybody"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("\n    allow: anybody\n") && !errors.contains("decision"), "{errors}");
    let (code, _, errors) = run(&["import", "fulcio", "broken.yaml"]);
    assert_eq!(code, Some(2));
    assert_eq!(errors, "broken.yaml:1: oidc-issuers: expected a map, got a number\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_is_lost(
        client in "\\PC*[a-z]", name in ".{1,8}", text in ".*", literal in "[^{}]*", claim in "[a-z_]{1,8}",
    ) {
        let mut fulcio = json!({
            "OIDCIssuers": {},
            "MetaIssuers": { "https://*.ci.example.com": {
                "ClientID": client, "Type": "ci-provider", "CIProvider": name,
            }},
            "CIIssuerMetadata": {},
        });
        for url in ["https://one.example.com", "https://two.example.com"] {
            fulcio["OIDCIssuers"][url] = json!({
                "IssuerURL": url, "ClientID": client, "Type": "ci-provider", "CIProvider": name,
                "Description": text,
            });
        }
        fulcio["CIIssuerMetadata"][&name] = json!({
            "DefaultTemplateValues": { &name: text, "url": text },
            "SubjectAlternativeNameTemplate": format!("https://x/{{{{ .{claim} }}}}{literal}"),
            "ExtensionTemplates": { "BuildTrigger": format!("{literal}{{{{ .{claim} }}}}"), "Issuer": "x" },
        });
        let fulcio = Value::to_string(&fulcio);
        let wanted = original(&fulcio);
        prop_assume!(wanted.is_ok());
        let loaded = load(&import(&fulcio, true).text).unwrap_or_else(|errors| panic!("{errors}"));
        prop_assert_eq!(issuers(&loaded), issuers(&wanted.unwrap()));
    }
}
