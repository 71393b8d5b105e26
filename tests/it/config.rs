//! Configuration files, whole and broken.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::support::process::Run;
use mayfly::algorithm::jose::Algorithm;
use mayfly::config::{self, Changes, Config, ConfigErrors, Overrides};
use mayfly::issuer::Kind;
use proptest::prelude::*;
use tempfile::TempDir;

mod complaints;
mod fulcio;
mod import;

/// Writes `text` into a folder of its own and loads it; complaints name the file `mayfly.yaml`.
fn load(text: &str) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "mayfly.yaml", text);
    bare(config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()), folder.path())
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

/// RFC 8037's example key, public.
const KEY_SET: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

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
    write(folder.path(), "idp-jwks.json", KEY_SET);
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
fn what_tokens_and_keys_must_be_is_read() {
    let more = "    type: email\n    algorithms: [ES256, EdDSA]\n    max_token_age: 15m\n    bearer_token_file: token\n";
    let folder = TempDir::new().unwrap();
    write(folder.path(), "mayfly.yaml", &GOOD.replace("    type: email\n", more));
    let config = config::load(&folder.path().join("mayfly.yaml"), &Overrides::default()).unwrap();
    let issuer = config.issuers.find("https://idp.example.com").unwrap();
    assert_eq!(issuer.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    assert_eq!(issuer.max_age, Some(Duration::from_secs(900)));
    assert_eq!(issuer.bearer_file, Some(folder.path().join("token")));
    let github = config.issuers.find("https://token.actions.githubusercontent.com").unwrap();
    assert!(github.algorithms.is_empty() && github.max_age.is_none());
}

#[test]
fn what_differs_is_told_in_words() {
    let folder = TempDir::new().unwrap();
    let load = |text: &str| {
        write(folder.path(), "mayfly.yaml", text);
        config::load(&folder.path().join("mayfly.yaml"), &Overrides::default())
    };
    let many: String = (0..12)
        .map(|at| format!("  - {{ url: https://i{at}.example.com, type: email }}\n"))
        .collect();
    let list = "lifetime: 10m\n";
    let tell = |from: &str, to: &str| {
        assert!(GOOD.contains(from));
        let (old, new) = (load(GOOD).unwrap(), load(&GOOD.replacen(from, to, 1)).unwrap());
        let changes = Changes::between(&old, &new);
        (changes.to_string(), changes.restart)
    };
    let none: Vec<&str> = Vec::new();
    let comment = tell("issuers:\n", "issuers: # ours\n");
    assert_eq!(comment, ("nothing changed".to_owned(), none.clone()));
    let idp = "https://idp.example.com";
    let audience = tell("    type: email\n", "    type: email\n    audiences: mayfly\n");
    assert_eq!(audience.0, format!("1 issuer changed ({idp})"));
    let rule =
        tell("    type: email\n", "    type: email\n    deny: [ { email: root@x.example } ]\n");
    assert_eq!(rule.0, format!("rules of 1 issuer changed ({idp})"));
    let gone = tell(&format!("  - url: {idp}\n    type: email\n"), "");
    assert_eq!(gone.0, format!("1 issuer removed ({idp})"));
    let proxy = tell(list, "lifetime: 5m\nproxy: http://proxy:3128\nbackdate: 5s\n");
    assert_eq!(
        proxy,
        (
            "the proxy changed, changed for the next start: `lifetime`, `backdate`".to_owned(),
            vec!["lifetime", "backdate"]
        )
    );
    let (more, _) = tell(list, &(many.clone() + list));
    let start = "12 issuers added (https://i0.example.com, ";
    assert!(
        more.starts_with(start) && more.ends_with("https://i9.example.com and 2 more)"),
        "{more}"
    );
    // The order of the file is no property of an issuer.
    let text = format!("{}{many}", GOOD.replace(list, ""));
    let moved = GOOD.replace(list, "").replacen("issuers:\n", &format!("issuers:\n{many}"), 1);
    let changes = Changes::between(&load(&text).unwrap(), &load(&moved).unwrap());
    assert!(changes.is_empty(), "{changes}");
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
fn brackets_end_before_they_cost() {
    let errors = load(&format!("issuers:\n  {}", "{a: ".repeat(200_000))).unwrap_err();
    assert!(errors.to_string().contains("mayfly.yaml:2: not YAML: more than 1000 brackets"));
}

#[test]
fn broken_json_is_not_called_yaml() {
    let errors = load("{ \"issuers\": [ ").unwrap_err().to_string();
    assert!(
        errors.contains("mayfly.yaml:2: neither JSON nor YAML: ")
            || errors.contains("mayfly.yaml:1: neither JSON nor YAML: "),
        "{errors}"
    );
}

/// What is no file is not waited for; a link to a file is one.
#[test]
fn only_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).run();
    assert!(made.is_ok_and(|output| output.status.success()), "mkfifo");
    for path in [at("pipe"), folder.path().to_owned(), "/dev/zero".into()] {
        let error = config::load(&path, &Overrides::default()).unwrap_err().to_string();
        assert!(error.ends_with("cannot be read: it is no regular file"), "{error}");
    }
    std::fs::write(at("mayfly.yaml"), GOOD).unwrap();
    std::os::unix::fs::symlink(at("mayfly.yaml"), at("link.yaml")).unwrap();
    assert!(config::load(&at("link.yaml"), &Overrides::default()).is_ok());
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

proptest! {
    #[test]
    fn no_text_makes_either_reader_panic(text in "[-a-z:{}\\[\\]&*!|>'\"#%@`,? \n\t0-9<]{0,80}") {
        let _ = load(&text);
        let _ = fulcio::load(&text, true);
    }

    #[test]
    fn no_change_of_a_file_that_holds_makes_either_reader_panic(
        at in 0..GOOD.len().min(fulcio::GOOD.len()),
        length in 0..40_usize,
        text in "[-a-z:{}\\[\\]&*!'\" \n]{0,8}",
    ) {
        for good in [GOOD, fulcio::GOOD] {
            let (before, rest) = good.split_at(at);
            let changed = format!("{before}{text}{}", &rest[length.min(rest.len())..]);
            let _ = load(&changed);
            let _ = fulcio::load(&changed, true);
        }
    }
}
