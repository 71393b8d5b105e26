//! Configuration files, whole and broken.

use std::collections::BTreeSet;
use std::path::Path;

use mayfly::config::{self, Config, ConfigErrors, Overrides};
use mayfly::issuer::Kind;
use proptest::prelude::*;
use tempfile::TempDir;

/// Writes `text` into a folder of its own and loads it; complaints name the file `mayfly.yaml`.
fn load(text: &str) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "mayfly.yaml", text);
    bare(config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()), folder.path())
}

fn load_fulcio(text: &str, allow_anybody: bool) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "fulcio.yaml", text);
    let overrides = Overrides { allow_anybody, ..Overrides::default() };
    bare(config::load_fulcio(&folder.path().join("fulcio.yaml"), &overrides), folder.path())
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// Takes the temporary folder out of complaints and warnings.
fn bare(loaded: Result<Config, ConfigErrors>, folder: &Path) -> Result<Config, ConfigErrors> {
    let prefix = format!("{}/", folder.display());
    loaded
        .map(|mut config| {
            config.warnings.iter_mut().for_each(|line| *line = line.replace(&prefix, ""));
            config
        })
        .map_err(|mut errors| {
            for error in &mut errors.0 {
                error.file = error.file.replace(&prefix, "");
                error.message = error.message.replace(&prefix, "");
            }
            errors
        })
}

/// A file that holds; the tables below change one thing in it.
const GOOD: &str = "\
url: https://ca.example.com
listen: 127.0.0.1:5555
issuers:
  - preset: github
    allow:
      - repository_owner_id: 9919
        ref: [refs/heads/main, refs/tags/v*]
  - url: https://idp.example.com
    type: email
lifetime: 10m
";

/// Loads [`GOOD`] with `from` replaced, and compares every complaint.
#[track_caller]
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "nothing to replace");
    check_whole(&GOOD.replacen(from, to, 1), expected);
}

#[track_caller]
fn check_whole(text: &str, expected: &[&str]) {
    let complaints = load(text).map(|_| ()).err().map(|errors| errors.to_string());
    assert_eq!(complaints.as_deref().unwrap_or_default(), expected.join("\n"));
}

#[test]
fn a_file_that_holds_is_read() {
    let config = load(GOOD).unwrap();
    assert_eq!(config.url, "https://ca.example.com");
    assert_eq!(config.lifetime.as_secs(), 600);
    let who: Vec<_> = config.summaries.iter().map(|s| (s.url.as_str(), s.who.as_str())).collect();
    assert_eq!(
        who,
        [
            ("https://token.actions.githubusercontent.com", "1 rule"),
            ("https://idp.example.com", "anybody")
        ]
    );
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_wrong_type_is_named_with_line_and_key() {
    check(
        "ref: [refs/heads/main, refs/tags/v*]",
        "ref: { is: main }",
        &[
            "mayfly.yaml:7: issuers[0].allow[0].ref: expected text, a list of texts or `{ not: … }`, got a map",
        ],
    );
    check(
        "10m",
        "[10m]",
        &["mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got a list"],
    );
    check(
        "9919",
        "1.5",
        &[
            "mayfly.yaml:6: issuers[0].allow[0].repository_owner_id: expected text, got a number with a fraction: put it in quotes",
        ],
    );
    check(
        "https://ca.example.com",
        "7",
        &["mayfly.yaml:1: url: expected text, got a number: put it in quotes"],
    );
    check_whole("- a", &["mayfly.yaml:1: expected a map, got a list"]);
    check_whole("", &["mayfly.yaml:1: expected a map, got nothing"]);
}

#[test]
fn an_unknown_key_shows_the_known_ones_and_a_later_one_says_so() {
    check(
        "lifetime: 10m",
        "lifetimes: 10m",
        &[
            "mayfly.yaml:10: lifetimes: unknown key; known here: url, listen, data, tls, issuers, authority, lifetime, backdate",
        ],
    );
    check("lifetime: 10m", "denials: brief", &["mayfly.yaml:10: denials: not supported yet"]);
    check(
        "    type: email",
        "    type: email\n    limit: { per: email }",
        &["mayfly.yaml:10: issuers[1].limit: not supported yet"],
    );
    check(
        "9919",
        "{ regex: 99.* }",
        &["mayfly.yaml:6: issuers[0].allow[0].repository_owner_id.regex: not supported yet"],
    );
    check("9919", "{ not: [ 9919, x ] }", &[]);
    check(
        "lifetime: 10m",
        "authority: { key: \"pkcs11:object=ca\", chain: ca.pem }",
        &["mayfly.yaml:10: authority.key: pkcs11:… is not supported yet: name a file"],
    );
}

#[test]
fn a_key_stands_once() {
    check(
        "lifetime: 10m",
        "lifetime: 10m\nurl: https://x.example.com",
        &["mayfly.yaml:11: url: stands here twice"],
    );
    check(
        "ref: [refs/heads/main, refs/tags/v*]",
        "repository_owner_id: 1",
        &["mayfly.yaml:7: issuers[0].allow[0].repository_owner_id: stands here twice"],
    );
}

#[test]
fn text_that_is_no_yaml_says_where() {
    check(
        "listen: 127.0.0.1:5555",
        "listen: [127.0.0.1:5555",
        &[
            "mayfly.yaml:3: not YAML: did not find expected ',' or ']' at line 3 column 8, while parsing a flow sequence at line 2 column 9",
        ],
    );
    check(
        "lifetime: 10m",
        "lifetime: !minutes 10",
        &["mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got a YAML tag"],
    );
}

#[test]
fn a_shared_issuer_needs_rules() {
    const REMEDY: &str = "write `allow: [ { repository_owner_id: \"…\" } ]` with a claim that only your tokens have, or `allow: anybody`";
    let rules = "    allow:\n      - repository_owner_id: 9919\n        ref: [refs/heads/main, refs/tags/v*]\n";
    check(
        rules,
        "",
        &[&format!(
            "mayfly.yaml:4: issuers[0]: https://token.actions.githubusercontent.com vouches for the whole world, and nothing says who may: {REMEDY}"
        )],
    );
    check(rules, "    allow: anybody\n", &[]);
    check(
        rules,
        "    allow: []\n",
        &[&format!("mayfly.yaml:5: issuers[0].allow: an empty list allows nobody: {REMEDY}")],
    );
    check(
        rules,
        "    allow: [ {} ]\n",
        &[
            "mayfly.yaml:5: issuers[0].allow[0]: a rule without conditions matches everybody: name at least one claim",
        ],
    );
    check(
        rules,
        "    allow: [ { name: x, why: y } ]\n",
        &[
            "mayfly.yaml:5: issuers[0].allow[0]: a rule without conditions matches everybody: name at least one claim",
        ],
    );
    check(
        rules,
        "    allow: everybody\n",
        &["mayfly.yaml:5: issuers[0].allow: expected `anybody` or a list of rules, got text"],
    );
    // By its URL alone, and as a pattern.
    check(
        "https://idp.example.com",
        "https://accounts.google.com",
        &[&format!(
            "mayfly.yaml:8: issuers[1]: https://accounts.google.com vouches for the whole world, and nothing says who may: {REMEDY}"
        )],
    );
    check(
        "https://idp.example.com",
        "https://*.idp.example.com",
        &[&format!(
            "mayfly.yaml:8: issuers[1]: https://*.idp.example.com is a pattern, and vouches for everybody who gets an issuer under it, and nothing says who may: {REMEDY}"
        )],
    );
}

#[test]
fn an_issuer_is_https_and_within_somebodys_domain() {
    let url = "https://idp.example.com";
    let at = |complaint: &str| format!("mayfly.yaml:8: issuers[1].url: {complaint}");
    check(url, "idp.example.com", &[&at("expected a URL that begins with https://")]);
    check(
        url,
        "http://idp.example.com",
        &[&at("expected https:// and one host (http:// is for this machine only)")],
    );
    check(url, "http://127.0.0.1:4000", &[]);
    check(
        url,
        "https://me:secret@idp.example.com",
        &[&at("expected a URL without user name or password")],
    );
    check(
        url,
        "https://*.com",
        &[&at("expected a pattern without `*` in the last two labels of the host name")],
    );
    check(
        url,
        "https://token.actions.githubusercontent.com\n    allow: anybody",
        &[
            "mayfly.yaml:8: issuers[1]: issuer https://token.actions.githubusercontent.com is already in this list",
        ],
    );
}

#[test]
fn keys_belong_to_their_types() {
    let email = "    type: email";
    check(
        email,
        "    type: mail",
        &[
            "mayfly.yaml:9: issuers[1].type: expected one of email, uri, username, spiffe, kubernetes, chainguard, ci; got \"mail\"",
        ],
    );
    check(
        email,
        "    audiences: sigstore",
        &["mayfly.yaml:8: issuers[1]: needs `preset` or `type`"],
    );
    check(
        email,
        "    type: email\n    subject_domain: example.com",
        &[
            "mayfly.yaml:10: issuers[1].subject_domain: belongs to type uri or username, not to email",
        ],
    );
    check(email, "    type: username", &["mayfly.yaml:8: issuers[1]: needs `subject_domain`"]);
    check(
        email,
        "    type: username\n    subject_domain: example.org",
        &[
            "mayfly.yaml:10: issuers[1].subject_domain: expected a domain that shares its last two labels with the issuer's host idp.example.com, got \"example.org\"",
        ],
    );
    check(
        email,
        "    type: spiffe\n    trust_domain: Example",
        &[
            "mayfly.yaml:10: issuers[1].trust_domain: expected a trust domain of a-z, 0-9, `-`, `.`, `_` such as example.org, got \"Example\"",
        ],
    );
    check(
        "preset: github",
        "preset: github\n    type: ci",
        &["mayfly.yaml:5: issuers[0].type: the preset gives the type: leave one of them out"],
    );
    check(
        "preset: github",
        "preset: github\n    san: x",
        &[
            "mayfly.yaml:5: issuers[0].san: the preset brings its own templates: write `type: ci` instead of `preset`",
        ],
    );
}

#[test]
fn templates_are_parsed_when_the_file_is_read() {
    let email = "    type: email";
    check(email, "    type: ci", &["mayfly.yaml:8: issuers[1]: needs `san`"]);
    check(
        email,
        "    type: ci\n    san: sub\n    extensions: { issuer: iss, colour: c }",
        &[
            "mayfly.yaml:11: issuers[1].extensions.issuer: comes from the token itself and cannot be written here",
            "mayfly.yaml:11: issuers[1].extensions.colour: unknown extension; expected a name such as source-repository-uri",
        ],
    );
    let errors = load(&GOOD.replacen(email, "    type: ci\n    san: \"{{ .a\"", 1)).unwrap_err();
    assert!(
        errors.to_string().starts_with("mayfly.yaml:10: issuers[1].san: not a template: column "),
        "{errors}"
    );
}

#[test]
fn numbers_stay_within_their_bounds() {
    check(
        "10m",
        "11m",
        &["mayfly.yaml:10: lifetime: expected a duration from 60s to 600s, got 11m"],
    );
    check(
        "10m",
        "59s",
        &["mayfly.yaml:10: lifetime: expected a duration from 60s to 600s, got 59s"],
    );
    check(
        "10m",
        "10",
        &["mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got \"10\""],
    );
    check(
        "10m",
        "99999999999999999999s",
        &[
            "mayfly.yaml:10: lifetime: expected a duration such as 90s or 10m, got \"99999999999999999999s\"",
        ],
    );
    check(
        "lifetime: 10m",
        "backdate: 61s",
        &["mayfly.yaml:10: backdate: expected a duration from 0s to 60s, got 61s"],
    );
    check(
        "127.0.0.1:5555",
        "localhost",
        &[
            "mayfly.yaml:2: listen: expected an address and a port such as 0.0.0.0:5555, got \"localhost\"",
        ],
    );
}

#[test]
fn the_name_that_clients_use_has_no_path_and_is_needed_beyond_loopback() {
    let url = "url: https://ca.example.com\n";
    check(
        url,
        "url: https://ca.example.com/fulcio\n",
        &[
            "mayfly.yaml:1: url: expected scheme, host and port only, such as https://ca.example.com",
        ],
    );
    assert_eq!(load(&GOOD.replace(url, "")).unwrap().url, "http://127.0.0.1:5555");
    assert_eq!(
        load(&GOOD.replace(url, "url: https://ca.example.com:8443/\n")).unwrap().url,
        "https://ca.example.com:8443"
    );
    check_whole(
        &GOOD.replace(url, "").replace("127.0.0.1", "0.0.0.0"),
        &[
            "mayfly.yaml:1: needs `url` (or --url), the name that clients use, such as https://ca.example.com",
        ],
    );
    let exposed = load(&GOOD.replace("https://ca.", "http://ca.")).unwrap();
    assert_eq!(
        exposed.warnings,
        ["mayfly.yaml:1: url: http:// sends tokens over the network in the clear"]
    );
}

#[test]
fn a_listener_with_tls_is_asked_over_https() {
    let url = "url: https://ca.example.com\n";
    let tls = "tls: { certificate: c, key: k }\n";
    assert_eq!(load(&GOOD.replace(url, tls)).unwrap().url, "https://127.0.0.1:5555");
    check(
        url,
        &format!("url: http://127.0.0.1:5555\n{tls}"),
        &[
            "mayfly.yaml:1: clients would ask http://127.0.0.1:5555, and `tls` makes the listener https://",
        ],
    );
}

#[test]
fn a_file_is_one_document() {
    check_whole(
        &format!("{GOOD}---\nurl: https://x.example.com\n"),
        &["mayfly.yaml: expected one YAML document, got several"],
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    check_whole(
        "url: 1\nlisten: x\ntls: {}\nissuers:\n  - preset: gitbuh\n  - type: email\n    allow:\n      - a: {}\n        b: []\n    deny: anybody\nlifetime: 1h\n",
        &[
            "mayfly.yaml:1: url: expected text, got a number: put it in quotes",
            "mayfly.yaml:2: listen: expected an address and a port such as 0.0.0.0:5555, got \"x\"",
            "mayfly.yaml:3: tls: needs `certificate`",
            "mayfly.yaml:3: tls: needs `key`",
            &format!(
                "mayfly.yaml:5: issuers[0].preset: expected one of {}; got \"gitbuh\"",
                presets()
            ),
            "mayfly.yaml:6: issuers[1]: needs `url`, the `iss` of its tokens",
            "mayfly.yaml:8: issuers[1].allow[0].a: expected text, a list of texts or `{ not: … }`, got a map",
            "mayfly.yaml:9: issuers[1].allow[0].b: an empty list matches nothing: leave the rule out, or name a value",
            "mayfly.yaml:10: issuers[1].deny: expected a list of rules, got text",
            "mayfly.yaml:11: lifetime: expected a duration from 60s to 600s, got 1h",
        ],
    );
}

/// The presets as complaints list them: the files of `config/presets`, in the table's order.
fn presets() -> String {
    let errors = load("issuers: [ { preset: x } ]").unwrap_err().to_string();
    let (_, list) = errors.split_once("one of ").unwrap();
    list.split_once(';').unwrap().0.to_owned()
}

#[test]
fn the_sample_holds_and_shows_every_key() {
    let sample = include_str!("../../config/mayfly.yaml");
    let folder = TempDir::new().unwrap();
    write(folder.path(), "mayfly.yaml", sample);
    config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()).unwrap();

    // With the keys that are commented out; of the three sources of keys a file may have one.
    let whole: String = sample
        .lines()
        .map(|line| match line.split_once('#') {
            Some((indent, key)) if indent.trim().is_empty() && !key.starts_with(' ') => {
                format!("{indent}{key}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let tree: yaml_serde::Value = yaml_serde::from_str(&whole).unwrap();
    let mut shown = BTreeSet::new();
    keys(&tree, "", &mut shown);
    for table in config::TABLES {
        for key in table.keys {
            let path = format!("{}.{key}", table.section);
            assert!(shown.contains(path.trim_start_matches('.')), "{path} is not in the sample");
        }
    }
    write(folder.path(), "mayfly.yaml", &whole);
    let errors = config::load(&folder.path().join("mayfly.yaml"), &Overrides::default());
    let errors = bare(errors, folder.path()).unwrap_err().to_string();
    assert!(!errors.contains("unknown key"), "{errors}");
    assert!(
        errors.contains("issuers[1].keys: expected exactly one of file, url, inline"),
        "{errors}"
    );
}

/// The paths of all keys, list positions as `[]`.
fn keys(tree: &yaml_serde::Value, path: &str, found: &mut BTreeSet<String>) {
    match tree {
        yaml_serde::Value::Mapping(members) => {
            for (key, value) in members {
                let path = format!("{path}.{}", key.as_str().unwrap_or_default());
                found.insert(path.trim_start_matches('.').to_owned());
                keys(value, &path, found);
            }
        }
        yaml_serde::Value::Sequence(items) => {
            items.iter().for_each(|item| keys(item, &format!("{path}[]"), found));
        }
        _ => {}
    }
}

#[test]
fn every_key_of_the_sample_has_a_comment() {
    let sample = include_str!("../../config/mayfly.yaml");
    for key in config::TABLES.iter().flat_map(|table| table.keys) {
        let lines: Vec<&str> = sample.lines().collect();
        let explained = lines.windows(2).any(|pair| {
            let line = pair[1].trim_start_matches([' ', '-', '#']);
            line.starts_with(&format!("{key}:")) && pair[0].trim_start().starts_with("# ")
        });
        assert!(explained, "{key} has no comment above it");
    }
}

/// A certificate for an issuer's TLS, PEM.
fn certificate() -> String {
    rcgen::generate_simple_self_signed(["idp.example.com".to_owned()]).unwrap().cert.pem()
}

/// Loads an issuer with files beside it.
fn load_with(files: &[(&str, &str)], issuer: &str) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    files.iter().for_each(|(name, text)| write(folder.path(), name, text));
    write(folder.path(), "mayfly.yaml", &GOOD.replacen("    type: email", issuer, 1));
    bare(config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()), folder.path())
}

#[track_caller]
fn check_with(files: &[(&str, &str)], issuer: &str, expected: Option<&str>) {
    let complaints = load_with(files, issuer).map(|_| ()).err().map(|errors| errors.to_string());
    assert_eq!(complaints.as_deref(), expected);
}

#[test]
fn files_that_the_configuration_names_are_read_from_its_own_folder() {
    let issuer = "    type: email\n    ca: ca.pem";
    let certificate = certificate();
    check_with(&[("ca.pem", &certificate)], issuer, None);
    check_with(
        &[],
        issuer,
        Some(
            "mayfly.yaml:10: issuers[1].ca: ca.pem: cannot be read: No such file or directory (os error 2)",
        ),
    );
    check_with(
        &[("ca.pem", "hello")],
        issuer,
        Some("mayfly.yaml:10: issuers[1].ca: expected PEM certificates, got none"),
    );
    let broken = certificate.replace("MII", "MIM");
    check_with(
        &[("ca.pem", &broken)],
        issuer,
        Some("mayfly.yaml:10: issuers[1].ca: expected PEM certificates, got one that is broken"),
    );
}

#[test]
fn keys_come_from_one_place_and_are_public() {
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let file = "    type: email\n    keys: { file: jwks.json }";
    check_with(&[("jwks.json", set)], file, None);
    let expected = "mayfly.yaml:10: issuers[1].keys.file: expected a JSON Web Key Set: {\"keys\": [ … ]} with at least one key";
    check_with(&[("jwks.json", "{}")], file, Some(expected));
    check_with(&[("jwks.json", "{\"keys\":[]}")], file, Some(expected));
    let private = set.replace("\"x\"", "\"d\":\"secret\",\"x\"");
    check_with(
        &[("jwks.json", &private)],
        file,
        Some(
            "mayfly.yaml:10: issuers[1].keys.file: holds a private or symmetric key: give public keys only",
        ),
    );
    check_with(&[], &format!("    type: email\n    keys: {{ inline: {set} }}"), None);
    check_with(&[], "    type: email\n    keys: { url: https://idp.example.com/jwks }", None);
    check_with(
        &[],
        "    type: email\n    keys: { url: http://idp.example.com/jwks }",
        Some(
            "mayfly.yaml:10: issuers[1].keys.url: expected https:// and one host (http:// is for this machine only)",
        ),
    );
    check_with(
        &[],
        "    type: email\n    keys: {}",
        Some("mayfly.yaml:10: issuers[1].keys: expected exactly one of file, url, inline"),
    );
    check_with(
        &[],
        "    type: email\n    keys: { file: a, url: b }",
        Some("mayfly.yaml:10: issuers[1].keys: expected exactly one of file, url, inline"),
    );
}

/// The file that the product's description shows, without what is not there yet.
const PROMISED: &str = r#"
url: https://ca.example.com
listen: 0.0.0.0:5555
data: data
tls: { certificate: tls.crt, key: tls.key }
issuers:
  - preset: github
    allow:
      - repository_owner_id: "9919"
        ref: [ refs/heads/main, "refs/tags/v*" ]
        runner_environment: github-hosted
    deny:
      - event_name: pull_request_target
  - preset: gitlab
    url: https://gitlab.example.com
    allow: anybody
  - preset: kubernetes
    url: https://kubernetes.default.svc
    ca: ca.crt
    allow:
      - /kubernetes.io/namespace: ci
  - url: https://idp.example.com
    type: email
    audiences: [ sigstore, mayfly ]
    keys: { file: idp-jwks.json }
    allow:
      - email: "*@example.com"
  - preset: aks
    allow:
      - { name: ci, /kubernetes.io/namespace: { not: default } }
  - preset: spiffe
    url: https://spire.example.org
    trust_domain: example.org
authority: { key: data/authority.key, chain: data/authority.pem }
lifetime: 10m
"#;

#[test]
fn the_promised_file_holds() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "mayfly.yaml", PROMISED);
    write(folder.path(), "ca.crt", &certificate());
    write(folder.path(), "idp-jwks.json", r#"{"keys":[{"kty":"OKP"}]}"#);
    let config = config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()).unwrap();
    let shown: Vec<String> =
        config.summaries.iter().map(|s| format!("{} {}: {}", s.kind, s.url, s.who)).collect();
    assert_eq!(
        shown,
        [
            "ci (github) https://token.actions.githubusercontent.com: 1 rule, 1 denial",
            "ci (gitlab) https://gitlab.example.com: anybody",
            "kubernetes https://kubernetes.default.svc: 1 rule",
            "email https://idp.example.com: 1 rule",
            "kubernetes https://*.oic.prod-aks.azure.com/*/*: 1 rule (ci)",
            "kubernetes https://*.oic.prod-aks.azure.com/*/*/: 1 rule (ci)",
            "kubernetes https://oidc.prod-aks.azure.com/*: 1 rule (ci)",
            "kubernetes https://oidc.prod-aks.azure.com/*/: 1 rule (ci)",
            "kubernetes https://oidc.prod-aks.azure.com/*/*: 1 rule (ci)",
            "spiffe https://spire.example.org: anybody",
        ]
    );
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate, folder.path().join("tls.crt"));
    assert_eq!(config.authority.chain, folder.path().join("data/authority.pem"));
    let gitlab = config.issuers.find("https://gitlab.example.com").unwrap();
    let Kind::Ci(provider) = &gitlab.kind else { panic!("{:?}", gitlab.kind) };
    assert_eq!(provider.constants, [("url".to_owned(), "https://gitlab.example.com".to_owned())]);
    assert!(config.issuers.find("https://kubernetes.default.svc").unwrap().roots.is_some());
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_one_complaint() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mayfly.yaml");
    let complaint = || {
        let errors = bare(config::load(&path, &Overrides::default()), folder.path());
        errors.unwrap_err().to_string()
    };
    assert_eq!(complaint(), "mayfly.yaml: cannot be read: No such file or directory (os error 2)");
    std::fs::write(&path, b"url: \xff").unwrap();
    assert_eq!(complaint(), "mayfly.yaml: cannot be read: it is not UTF-8");
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(complaint(), "mayfly.yaml: cannot be read: it has more than 1 MiB");
}

#[test]
fn the_command_line_wins() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "mayfly.yaml", GOOD);
    let overrides = Overrides {
        listen: Some("127.0.0.1:6666".parse().unwrap()),
        url: Some("https://other.example.com".to_owned()),
        data: Some("elsewhere".into()),
        allow_anybody: false,
    };
    let config = config::load(&folder.path().join("mayfly.yaml"), &overrides).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:6666");
    assert_eq!(config.url, "https://other.example.com");
    assert_eq!(config.data, Path::new("elsewhere"));
    assert_eq!(config.authority.key, Path::new("elsewhere/authority.key"));
    let overrides = Overrides { url: Some("ca".to_owned()), ..overrides };
    let errors = config::load(&folder.path().join("mayfly.yaml"), &overrides);
    let errors = bare(errors, folder.path()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "mayfly.yaml:1: --url: expected a URL that begins with https://"
    );
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = GOOD.replacen(
        "    type: email",
        "    type: email\n    allow:\n      - &people\n        email: \"*@example.com\"\n      - <<: *people\n        email_verified: true",
        1,
    );
    assert_eq!(load(&text).unwrap().summaries[1].who, "2 rules");
}

#[test]
fn a_small_file_that_stands_for_a_huge_one_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        let last = format!("*a{}, ", i - 1).repeat(10);
        text += &format!("a{i}: &a{i} [{}]\n", last.trim_end_matches(", "));
    }
    let errors = load(&text).unwrap_err().to_string();
    assert!(errors.contains("not YAML: "), "{errors}");
}

/// An issuer file that holds; the tables below change one thing in it.
const FULCIO: &str = "\
oidc-issuers:
  https://idp.example.com:
    issuer-url: https://idp.example.com
    client-id: sigstore
    type: email
  https://ci.example.com:
    issuer-url: https://ci.example.com
    client-id: sigstore
    type: ci-provider
    ci-provider: ci
ci-issuer-metadata:
  ci:
    default-template-values: { url: https://ci.example.com, attempt: 1 }
    extension-templates: { source-repository-ref: ref, issuer: iss }
    subject-alternative-name-template: '{{ .url }}/{{ .job }}'
";

/// Loads [`FULCIO`] with `from` replaced; compares complaints, or warnings where there are none.
#[track_caller]
fn check_fulcio(from: &str, to: &str, expected: &[&str]) {
    assert!(FULCIO.contains(from), "nothing to replace");
    let said = match load_fulcio(&FULCIO.replacen(from, to, 1), false) {
        Ok(config) => config.warnings.join("\n"),
        Err(errors) => errors.to_string(),
    };
    assert_eq!(said, expected.join("\n"));
}

fn urls(config: &Config) -> Vec<&str> {
    config.summaries.iter().map(|summary| summary.url.as_str()).collect()
}

#[test]
fn a_fulcio_file_is_read_as_it_is() {
    let config = load_fulcio(FULCIO, false).unwrap();
    assert_eq!(urls(&config), ["https://idp.example.com", "https://ci.example.com"]);
    assert_eq!(config.url, "http://127.0.0.1:5555");
    assert_eq!(config.data, Path::new("data"));
    let issuer = config.issuers.find("https://ci.example.com").unwrap();
    let Kind::Ci(provider) = &issuer.kind else { panic!("{:?}", issuer.kind) };
    assert_eq!(provider.constants, [("url".to_owned(), "https://ci.example.com".to_owned())]);
    assert_eq!(provider.defaults, [("attempt".to_owned(), "1".to_owned())]);
    assert_eq!(provider.extensions.len(), 1);
}

#[test]
fn the_complete_fulcio_file_loads_when_anybody_is_said() {
    let text = include_str!("../../config/fulcio.yaml");
    let config = load_fulcio(text, true).unwrap();
    assert_eq!(config.summaries.len(), 22 + 9);
    assert_eq!(config.warnings, [""; 0]);
    let shared = load_fulcio(text, false).unwrap_err();
    let github = shared.0.iter().find(|error| error.key.contains("token.actions")).unwrap();
    assert_eq!(
        github.message,
        "vouches for the whole world, and this file has no rules: write the issuers in a mayfly.yaml with `allow`, or start with --allow-anybody"
    );
}

#[test]
fn the_configuration_of_the_recorded_answers_loads() {
    let about: serde_json::Value =
        serde_json::from_str(include_str!("../vectors/fulcio/about.json")).unwrap();
    let base = about["base"].as_str().unwrap();
    let text = about["configuration"].as_str().unwrap().replace("{BASE}", base);
    let config = load_fulcio(&text, true).unwrap();
    assert_eq!(config.summaries.len(), 22);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_fulcio_file_may_be_json_with_gos_names() {
    let json = r#"{
  "OIDCIssuers": {
    "https://idp.example.com": {
      "issuerurl": "https://idp.example.com", "ClientID": "old", "ClientID": "sigstore", "Type": "email"
    },
    "https://ci.example.com": {
      "IssuerURL": "https://ci.example.com", "ClientID": "sigstore", "Type": "ci-provider", "CIProvider": "ci"
    }
  },
  "CIIssuerMetadata": { "ci": {
    "DefaultTemplateValues": { "url": "https://ci.example.com" },
    "ExtensionTemplates": { "SourceRepositoryURI": "{{ .url }}/{{ .repository }}", "GithubWorkflowSHA": "sha" },
    "SubjectAlternativeNameTemplate": "{{ .url }}/{{ .job }}"
  } }
}"#;
    let config = load_fulcio(json, false).unwrap();
    assert_eq!(urls(&config), ["https://idp.example.com", "https://ci.example.com"]);
    assert_eq!(config.summaries[0].audiences, ["sigstore"]);
    assert_eq!(config.warnings, [""; 0]);

    const STRAY: &str = "in a JSON file Fulcio knows keys such as OIDCIssuers and IssuerURL only, and passes over this one: write it so, or save the file as YAML";
    let errors = load_fulcio("{\n\n\"oidc-issuers\": {}\n}", false).unwrap_err();
    assert_eq!(errors.to_string(), format!("fulcio.yaml:3: oidc-issuers: {STRAY}"));
    let errors = load_fulcio(&json.replace("issuerurl", "issuer-url"), false).unwrap_err();
    assert_eq!(errors.to_string(), format!("fulcio.yaml:4: issuer-url: {STRAY}"));
}

#[test]
fn a_fulcio_file_without_issuers_is_valid_and_odd() {
    for text in ["", "null", "{}", "---\n"] {
        assert_eq!(urls(&load_fulcio(text, false).unwrap()), [""; 0], "{text:?}");
    }
    assert!(load_fulcio("- a", false).is_err());
    assert!(load_fulcio("7", false).is_err());
    let two = format!("{FULCIO}---\n- nonsense\n");
    let config = load_fulcio(&two, false).unwrap();
    assert_eq!(config.summaries.len(), 2);
    assert_eq!(
        config.warnings,
        ["fulcio.yaml:1: several YAML documents: as in Fulcio, the first alone is read"]
    );
}

#[test]
fn yaml_of_a_fulcio_file_is_read_as_go_reads_it() {
    check_fulcio("client-id: sigstore", "client-id: 123", &[]);
    check_fulcio("    type: email", "    type: email\n    skip-email-verification: yes", &[]);
    check_fulcio("    type: email", "    type: email\n    contact:", &[]);
    check_fulcio(
        "    type: email",
        "    type: email\n    skip-email-verification: \"true\"",
        &[
            "fulcio.yaml:6: oidc-issuers[\"https://idp.example.com\"].skip-email-verification: expected true or false, got text",
        ],
    );
    check_fulcio(
        "    type: email",
        "    type: email\n    client-id: again",
        &["fulcio.yaml:6: oidc-issuers[\"https://idp.example.com\"].client-id: stands here twice"],
    );
    check_fulcio(
        "    type: email",
        "    type: email\n    colour: red",
        &["fulcio.yaml:6: oidc-issuers[\"https://idp.example.com\"].colour: unknown key, ignored"],
    );
}

#[test]
fn what_fulcio_refuses_is_refused() {
    let idp = |line: usize, key: &str, complaint: &str| {
        format!("fulcio.yaml:{line}: oidc-issuers[\"https://idp.example.com\"]{key}: {complaint}")
    };
    let email = "    type: email";
    check_fulcio(email, "    type: uri", &[&idp(2, "", "needs `subject-domain`")]);
    check_fulcio(
        email,
        "    type: uri\n    subject-domain: http://users.example.com",
        &[&idp(6, ".subject-domain", "expected the scheme of the issuer, https://idp.example.com")],
    );
    check_fulcio(
        email,
        "    type: username\n    subject-domain: https://example.com",
        &[&idp(6, ".subject-domain", "expected a bare domain such as example.com, got a URL")],
    );
    check_fulcio(email, "    type: spiffe", &[&idp(2, "", "needs `spiffe-trust-domain`")]);
    check_fulcio(
        email,
        "    type: kubernetes\n    issuer-claim: $.iss",
        &[&idp(6, ".issuer-claim", "belongs to type email")],
    );
    check_fulcio(
        email,
        "    type: email\n    issuer-claim: iss",
        &[&idp(
            6,
            ".issuer-claim",
            "a path to a claim begins with `$`, as in `$.federated_claims.connector_id`",
        )],
    );
    check_fulcio(email, "    type: mail", &[&idp(5, ".type", "there is no type \"mail\"")]);
    check_fulcio(
        email,
        "    type: email\n    ca-cert: hello",
        &[&idp(6, ".ca-cert", "expected PEM certificates, got none")],
    );
    let errors =
        load_fulcio(&FULCIO.replace("{{ .job }}", "{{ printf .job }}"), false).unwrap_err();
    assert!(errors.to_string().starts_with("fulcio.yaml:15: ci-issuer-metadata.ci.subject-alternative-name-template: not a template: column "), "{errors}");
    check_fulcio(
        "oidc-issuers:\n  https://idp.example.com:\n    issuer-url: https://idp.example.com\n    client-id: sigstore\n    type: email",
        "meta-issuers:\n  https://*.example.com:\n    client-id: sigstore\n    type: spiffe\noidc-issuers:",
        &[
            "fulcio.yaml:4: meta-issuers[\"https://*.example.com\"].type: a pattern cannot be of type spiffe: it has no trust domain of its own",
        ],
    );
}

#[test]
fn what_fulcio_loads_and_never_uses_is_left_out_with_a_warning() {
    let idp = |why: &str| {
        format!("fulcio.yaml:2: oidc-issuers[\"https://idp.example.com\"]: is never used: {why}")
    };
    check_fulcio(
        "issuer-url: https://idp.example.com",
        "issuer-url: https://idp.example.com/",
        &[&idp("its issuer-url is not the key that it stands under")],
    );
    check_fulcio(
        "client-id: sigstore",
        "client-id: ''",
        &[&idp("it has no client-id, and every token has an audience")],
    );
    check_fulcio(
        "type: email",
        "type: mail\n    challenge-claim: sub",
        &[&idp("there is no type \"mail\"")],
    );
    check_fulcio(
        "type: email",
        "type: ci-provider\n    ci-provider: other",
        &[&idp("ci-issuer-metadata has no entry \"other\", its ci-provider")],
    );
    check_fulcio(
        "'{{ .url }}/{{ .job }}'",
        "''",
        &[
            "fulcio.yaml:12: ci-issuer-metadata.ci: has no subject-alternative-name-template: its issuers are left out",
        ],
    );
}

proptest! {
    #[test]
    fn no_text_makes_either_reader_panic(text in "[-a-z:{}\\[\\]&*!|>'\"#%@`,? \n\t0-9<]{0,80}") {
        let _ = load(&text);
        let _ = load_fulcio(&text, true);
    }

    #[test]
    fn no_change_of_a_file_that_holds_makes_either_reader_panic(
        at in 0..GOOD.len().min(FULCIO.len()),
        length in 0..40_usize,
        text in "[-a-z:{}\\[\\]&*!'\" \n]{0,8}",
    ) {
        for good in [GOOD, FULCIO] {
            let (before, rest) = good.split_at(at);
            let changed = format!("{before}{text}{}", &rest[length.min(rest.len())..]);
            let _ = load(&changed);
            let _ = load_fulcio(&changed, true);
        }
    }
}
