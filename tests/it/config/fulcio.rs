//! Fulcio's issuer files, whole and broken.

use std::path::Path;

use mayfly::config::{self, Config, ConfigErrors, Overrides};
use mayfly::issuer::Kind;
use tempfile::TempDir;

use super::{bare, write};

/// Writes `text` into a folder of its own and loads it; complaints name the file `fulcio.yaml`.
pub fn load(text: &str, allow_anybody: bool) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "fulcio.yaml", text);
    let overrides = Overrides { allow_anybody, ..Overrides::default() };
    bare(config::load_fulcio(&folder.path().join("fulcio.yaml"), &overrides), folder.path())
}

/// An issuer file that holds; the tables below change one thing in it.
pub const GOOD: &str = "\
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

/// What is said of the type `mail`.
const NO_TYPE: &str = "expected one of email, uri, username, spiffe, kubernetes, chainguard-identity, ci-provider, github-workflow, gitlab-pipeline, buildkite-job, codefresh-workflow; got \"mail\"; did you mean email?";

/// Loads [`GOOD`] with `from` replaced; compares complaints, or warnings where there are none.
#[track_caller]
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "nothing to replace");
    let said = match load(&GOOD.replacen(from, to, 1), false) {
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
    let config = load(GOOD, false).unwrap();
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
    let text = include_str!("../../../config/fulcio.yaml");
    let config = load(text, true).unwrap();
    assert_eq!(config.summaries.len(), 22 + 9);
    assert_eq!(config.warnings, [""; 0]);

    let shared = load(text, false).unwrap_err().to_string();
    let lines: Vec<&str> = shared.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "fulcio.yaml:10: issuers that vouch for strangers need rules, which this file cannot have: write the issuers in a mayfly.yaml with `allow`, or start with --allow-anybody",
            "fulcio.yaml:20: oidc-issuers[\"https://accounts.google.com\"]: vouches for the whole world"
        ]
    );
    let eks = "meta-issuers[\"https://oidc.eks.*.amazonaws.com/id/*\"]: is a pattern, and vouches for everybody who gets an issuer under it";
    assert!(lines.iter().any(|line| line.ends_with(eks)), "{shared}");
    // Some GitLabs and an Eclipse realm are their operators' own.
    assert_eq!(lines.len(), 1 + 18 + 9);
}

#[test]
fn the_configuration_of_the_recorded_answers_loads() {
    let about: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/fulcio/about.json")).unwrap();
    let base = about["base"].as_str().unwrap();
    let text = about["configuration"].as_str().unwrap().replace("{BASE}", base);
    let config = load(&text, true).unwrap();
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
    let config = load(json, false).unwrap();
    assert_eq!(urls(&config), ["https://idp.example.com", "https://ci.example.com"]);
    assert_eq!(config.summaries[0].audiences, ["sigstore"]);
    assert_eq!(
        config.warnings,
        ["fulcio.yaml:4: client-id: stands here twice: as in Fulcio, the last one counts"]
    );

    const STRAY: &str = "in a JSON file Fulcio knows keys such as OIDCIssuers and IssuerURL only, and passes over this one: write it so, or save the file as YAML";
    let errors = load("{\n\n\"oidc-issuers\": {}\n}", false).unwrap_err();
    assert_eq!(errors.to_string(), format!("fulcio.yaml:3: oidc-issuers: {STRAY}"));
    let errors = load(&json.replace("issuerurl", "issuer-url"), false).unwrap_err();
    assert_eq!(errors.to_string(), format!("fulcio.yaml:4: issuer-url: {STRAY}"));
}

#[test]
fn a_fulcio_file_without_issuers_is_valid_and_odd() {
    for text in ["", "null", "{}", "---\n"] {
        assert_eq!(urls(&load(text, false).unwrap()), [""; 0], "{text:?}");
    }
    assert!(load("- a", false).is_err());
    assert!(load("7", false).is_err());
    let two = format!("{GOOD}---\n- nonsense\n");
    let config = load(&two, false).unwrap();
    assert_eq!(config.summaries.len(), 2);
    assert_eq!(
        config.warnings,
        ["fulcio.yaml:1: several YAML documents: as in Fulcio, the first alone is read"]
    );
}

#[test]
fn yaml_of_a_fulcio_file_is_read_as_go_reads_it() {
    check("client-id: sigstore", "client-id: 123", &[]);
    check("    type: email", "    type: email\n    skip-email-verification: yes", &[]);
    check("    type: email", "    type: email\n    contact:", &[]);
    check(
        "    type: email",
        "    type: email\n    skip-email-verification: \"true\"",
        &[
            "fulcio.yaml:6: oidc-issuers[\"https://idp.example.com\"].skip-email-verification: expected true or false, got text",
        ],
    );
    check(
        "    type: email",
        "    type: email\n    client-id: again",
        &["fulcio.yaml:6: oidc-issuers[\"https://idp.example.com\"].client-id: stands here twice"],
    );
    check(
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
    check(email, "    type: uri", &[&idp(2, "", "needs `subject-domain`")]);
    check(
        email,
        "    type: uri\n    subject-domain: http://users.example.com",
        &[&idp(6, ".subject-domain", "expected the scheme of the issuer, https://idp.example.com")],
    );
    check(
        email,
        "    type: username\n    subject-domain: https://example.com",
        &[&idp(6, ".subject-domain", "expected a bare domain such as example.com, got a URL")],
    );
    check(email, "    type: spiffe", &[&idp(2, "", "needs `spiffe-trust-domain`")]);
    check(
        email,
        "    type: kubernetes\n    issuer-claim: $.iss",
        &[&idp(6, ".issuer-claim", "belongs to type email")],
    );
    check(
        email,
        "    type: email\n    issuer-claim: iss",
        &[&idp(
            6,
            ".issuer-claim",
            "a path to a claim begins with `$`, as in `$.federated_claims.connector_id`",
        )],
    );
    check(email, "    type: mail", &[&idp(5, ".type", NO_TYPE)]);
    check(
        email,
        "    type: email\n    ca-cert: hello",
        &[&idp(6, ".ca-cert", "expected PEM certificates, got none")],
    );
    let errors = load(&GOOD.replace("{{ .job }}", "{{ printf .job }}"), false).unwrap_err();
    assert!(errors.to_string().starts_with("fulcio.yaml:15: ci-issuer-metadata.ci.subject-alternative-name-template: not a template: column "), "{errors}");
    check(
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
    check(
        "issuer-url: https://idp.example.com",
        "issuer-url: https://idp.example.com/",
        &[&idp("its issuer-url is not the key that it stands under")],
    );
    let exposed = GOOD.replace("https://idp.example.com", "http://idp.example.com");
    assert_eq!(
        load(&exposed, false).unwrap().warnings,
        [idp("its keys would cross the network over http://").replace("https://", "http://")]
    );
    check(
        "client-id: sigstore",
        "client-id: ''",
        &[&idp("it has no client-id, and every token has an audience")],
    );
    check("type: email", "type: mail\n    challenge-claim: sub", &[&idp(NO_TYPE)]);
    check(
        "type: email",
        "type: ci-provider\n    ci-provider: other",
        &[&idp("ci-issuer-metadata has no entry \"other\", its ci-provider")],
    );
    check(
        "'{{ .url }}/{{ .job }}'",
        "''",
        &[
            "fulcio.yaml:12: ci-issuer-metadata.ci: has no subject-alternative-name-template: its issuers are left out",
        ],
    );
}

#[test]
fn the_clusters_own_issuer_is_asked_as_upstream_asks_it() {
    let text = "oidc-issuers:\n  https://kubernetes.default.svc:\n    issuer-url: https://kubernetes.default.svc\n    client-id: sigstore\n    type: kubernetes\n";
    let config = load(text, false).unwrap();
    // Outside of a cluster both files are missing, and that is said.
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("/var/run/fulcio/ca.crt is not there"));
    assert!(config.warnings[1].contains("serviceaccount/token is not there"));
}

#[test]
fn a_mayfly_yaml_is_not_taken_for_a_fulcio_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mayfly.yaml");
    std::fs::write(&file, "url: http://127.0.0.1:5555\nissuers: []\n").unwrap();
    let errors = config::load_fulcio(&file, &Overrides::default()).unwrap_err().to_string();
    assert!(errors.contains("this is a mayfly.yaml"), "{errors}");
    assert!(errors.contains("--config"), "{errors}");
}
