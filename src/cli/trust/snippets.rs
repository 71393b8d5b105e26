//! `mayfly trust snippets`: what to paste into a client's configuration, filled in from the instance.
//!
//! A template is text with `{{name}}` in it. What stands for that may have several lines, which are then all
//! indented as the first one; and a line that begins with `{{name?}}` is left out where there is no such thing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::CommandError;
use crate::cli::instance::Instance;
use crate::issuer::{Issuers, Kind};
use crate::pem;
use crate::tlog::merkle::Hash;
use crate::trust::{self, AuthorityTrust, LogTrust, Material};

/// Whom a snippet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// Commands for cosign 3, and for cosign 2
    Cosign,
    /// Commands for sigstore-python
    SigstorePython,
    /// The settings of a git repository
    Gitsign,
    /// A signer and a verifier in Java
    SigstoreJava,
    /// Resources for Sigstore's policy-controller
    PolicyController,
    /// A policy for Kyverno
    Kyverno,
    /// Resources for Flux
    Flux,
}

impl Tool {
    const fn template(self) -> &'static str {
        match self {
            Self::Cosign => include_str!("snippets/cosign.sh"),
            Self::SigstorePython => include_str!("snippets/sigstore-python.sh"),
            Self::Gitsign => include_str!("snippets/gitsign.sh"),
            Self::SigstoreJava => include_str!("snippets/sigstore-java.java"),
            Self::PolicyController => include_str!("snippets/policy-controller.yaml"),
            Self::Kyverno => include_str!("snippets/kyverno.yaml"),
            Self::Flux => include_str!("snippets/flux.yaml"),
        }
    }
}

/// The snippets of `tools`, one after the other; of all, where none is named.
///
/// # Errors
///
/// [`CommandError::Failed`] when a file of the instance cannot be read.
pub(super) fn text(tools: &[Tool], instance: &Instance) -> Result<String, CommandError> {
    let root = super::first_root(instance).map_err(CommandError::failed)?;
    let values = Values::new(&instance.material(), &root, &instance.config.issuers)?;
    let tools = if tools.is_empty() { Tool::value_variants() } else { tools };
    let snippets: Vec<String> = tools.iter().map(|tool| values.fill(tool.template())).collect();
    Ok(snippets.join("\n"))
}

/// What is filled in, by name; what there is not has no value.
struct Values(Vec<(&'static str, Option<String>)>);

impl Values {
    fn new(material: &Material, root: &[u8], issuers: &Issuers) -> Result<Self, CommandError> {
        let (issuer, identity) = example(issuers);
        let keys = yaml_serde::to_string(&sigstore_keys(material)).map_err(CommandError::failed)?;
        let open = |log: &LogTrust| log.until.is_none();
        let stamps = |authority: &AuthorityTrust| authority.until.is_none();
        let has = |there: bool| there.then(String::new);
        Ok(Self(vec![
            ("url", Some(material.url.clone())),
            ("root_sha256", Some(Hash::of(&[root]).to_string())),
            ("issuer_pattern", Some(regex::escape(&issuer))),
            ("issuer", Some(issuer)),
            ("identity_pattern", Some(regex::escape(identity))),
            ("identity", Some(identity.to_owned())),
            ("trusted_root", Some(format!("{:#}", material.trusted_root()))),
            ("sigstore_keys", Some(keys.trim_end().to_owned())),
            ("log?", has(material.signature_logs.iter().any(open))),
            ("timestamps?", has(material.timestamp_authorities.iter().any(stamps))),
        ]))
    }

    fn fill(&self, template: &str) -> String {
        template.lines().filter_map(|line| self.fill_line(line)).collect()
    }

    fn fill_line(&self, line: &str) -> Option<String> {
        let indent = line.len() - line.trim_start().len();
        let mut filled = line.to_owned();
        for (name, value) in &self.0 {
            let name = format!("{{{{{name}}}}}");
            if filled.contains(&name) {
                let next_line = format!("\n{}", " ".repeat(indent));
                filled = filled.replace(&name, &value.as_ref()?.replace('\n', &next_line));
            }
        }
        Some(filled + "\n")
    }
}

/// An issuer of this instance, and somebody of theirs. Text that a shell or YAML would take for more than
/// text stays out of the snippets.
fn example(issuers: &Issuers) -> (String, &'static str) {
    let plain = |url: &str| {
        url.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/?#[]@&+,;=%".contains(c))
    };
    let issuer = issuers.iter().find(|issuer| !issuer.is_pattern() && plain(&issuer.url));
    let identity = match issuer.map(|issuer| &issuer.kind) {
        Some(Kind::Email { .. }) => "somebody@example.com",
        Some(Kind::Kubernetes) => "https://kubernetes.io/namespaces/ci/serviceaccounts/build",
        _ => "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main",
    };
    let issuer = issuer.map_or("https://issuer.example.com", |issuer| issuer.url.as_str());
    (issuer.to_owned(), identity)
}

/// `SigstoreKeys` of policy-controller's `TrustRoot`: PEM, in base64.
fn sigstore_keys(material: &Material) -> Value {
    let log = |log: &LogTrust| {
        json!({
            "baseURL": log.url,
            "hashAlgorithm": "sha-256",
            "publicKey": STANDARD.encode(trust::public_key_pem(&log.public_key)),
        })
    };
    let authority = |authority: &AuthorityTrust| {
        let chain = authority.certificates.iter().map(|der| pem::encode("CERTIFICATE", der));
        json!({
            "subject": authority.certificates.first().map(|der| trust::subject(der)),
            "uri": authority.url,
            "certChain": STANDARD.encode(chain.collect::<String>()),
        })
    };
    let logs = |logs: &[LogTrust]| logs.iter().map(log).collect::<Vec<_>>();
    let authorities = |all: &[AuthorityTrust]| all.iter().map(authority).collect::<Vec<_>>();
    json!({
        "certificateAuthorities": authorities(&material.certificate_authorities),
        "ctLogs": logs(&material.certificate_logs),
        "tLogs": logs(&material.signature_logs),
        "timestampAuthorities": authorities(&material.timestamp_authorities),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::SignatureAlgorithm;
    use crate::issuer::Issuer;
    use crate::time::Timestamp;

    const URL: &str = "https://ca.example.com";

    fn material(full: bool) -> Material {
        let since = Timestamp::from_secs(1_767_225_600);
        let log = |url: &str| LogTrust {
            url: url.to_owned(),
            public_key: vec![1; 91],
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            id: [2; 32],
            since,
            until: None,
        };
        let authority = |url: &str| AuthorityTrust {
            url: url.to_owned(),
            certificates: vec![vec![3; 400], vec![4; 400]],
            since,
            until: None,
        };
        let [signature_logs, timestamp_authorities] = [full; 2].map(usize::from);
        Material {
            url: URL.to_owned(),
            certificate_authorities: vec![authority(URL)],
            certificate_logs: vec![log("https://ca.example.com/ct/2026")],
            signature_logs: vec![log("https://ca.example.com/tlog/2026"); signature_logs],
            timestamp_authorities: vec![authority(URL); timestamp_authorities],
            sign_in: Vec::new(),
        }
    }

    fn snippet(tool: Tool, full: bool) -> String {
        let issuers = Issuers::new(vec![Issuer::assumed("https://issuer.example.com:8443/a")]);
        Values::new(&material(full), b"root", &issuers).unwrap().fill(tool.template())
    }

    #[test]
    fn nothing_is_left_open() {
        for tool in Tool::value_variants() {
            for full in [true, false] {
                let text = snippet(*tool, full);
                assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
                assert!(text.contains(URL), "{text}");
            }
        }
        for (tool, word) in [
            (Tool::Cosign, "timestamp"),
            (Tool::Cosign, "--use-signing-config"),
            (Tool::Gitsign, "timestamp"),
            (Tool::Gitsign, "openssl cms -verify"),
            (Tool::Gitsign, "rekor"),
            (Tool::PolicyController, "ctlog:"),
            (Tool::PolicyController, "rfc3161timestamp:"),
        ] {
            assert_eq!([true, false].map(|full| snippet(tool, full).contains(word)), [true, false]);
        }
    }

    #[test]
    fn commands_are_whole() {
        for tool in [Tool::Cosign, Tool::SigstorePython, Tool::Gitsign] {
            for full in [true, false] {
                let mut bash = std::process::Command::new("bash");
                let checked = bash.args(["-n", "-c", &snippet(tool, full)]).output().unwrap();
                let error = String::from_utf8_lossy(&checked.stderr).into_owned();
                assert!(checked.status.success() && error.is_empty(), "{tool:?}: {error}");
            }
        }
    }

    fn documents(tool: Tool) -> Vec<Value> {
        let text = snippet(tool, true);
        text.split("\n---\n").map(|part| yaml_serde::from_str(part).unwrap()).collect()
    }

    #[test]
    fn a_trust_root_has_every_key() {
        let documents = documents(Tool::PolicyController);
        let [root, policy] = documents.as_slice() else { panic!("{documents:?}") };
        assert_eq!(root["spec"]["sigstoreKeys"], sigstore_keys(&material(true)));
        let key = root["spec"]["sigstoreKeys"]["ctLogs"][0]["publicKey"].as_str().unwrap();
        let pem = STANDARD.decode(key).unwrap();
        assert_eq!(pem, trust::public_key_pem(&[1; 91]).into_bytes());
        let authority = &policy["spec"]["authorities"][0];
        for part in [&authority["keyless"], &authority["ctlog"], &authority["rfc3161timestamp"]] {
            assert_eq!(part["trustRootRef"], root["metadata"]["name"], "{authority}");
        }
        let issuer = &authority["keyless"]["identities"][0]["issuer"];
        assert_eq!(issuer, "https://issuer.example.com:8443/a");
    }

    #[test]
    fn flux_is_given_the_trusted_root_itself() {
        let documents = documents(Tool::Flux);
        let [secret, repository] = documents.as_slice() else { panic!("{documents:?}") };
        let root = secret["stringData"]["trusted_root.json"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(root).unwrap(), material(true).trusted_root());
        let verify = &repository["spec"]["verify"];
        assert_eq!(verify["trustedRootSecretRef"]["name"], secret["metadata"]["name"]);
        let issuer = verify["matchOIDCIdentity"][0]["issuer"].as_str().unwrap();
        assert_eq!(issuer, r"^https://issuer\.example\.com:8443/a$");
    }

    #[test]
    fn kyverno_is_given_a_policy() {
        let documents = documents(Tool::Kyverno);
        let rule = &documents[0]["spec"]["rules"][0]["verifyImages"][0];
        let keyless = &rule["attestors"][0]["entries"][0]["keyless"];
        assert_eq!(keyless["issuer"], "https://issuer.example.com:8443/a");
        assert_eq!(keyless["rekor"]["url"], URL);
    }

    #[test]
    fn an_issuer_that_is_more_than_text_stays_out() {
        let odd = ["https://a.example/'; rm", "https://*.example", "https://b.example"];
        let issuers = |count: usize| {
            Issuers::new(odd[..count].iter().map(|it| Issuer::assumed(it)).collect())
        };
        assert_eq!(example(&issuers(2)).0, "https://issuer.example.com");
        assert_eq!(example(&issuers(3)).0, "https://b.example");
    }
}
