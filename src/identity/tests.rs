//! Every recorded case of Fulcio's that is about identities, through [`Identity::from_claims`].

use std::sync::Arc;

use serde_json::{Map, Value};

use super::*;
use crate::issuer::{ClaimPath, Issuer, IssuerId, Keys, Provider};
use crate::template::Template;

const CASES: &str = include_str!("../../tests/vectors/fulcio/cases.jsonl");
const ABOUT: &str = include_str!("../../tests/vectors/fulcio/about.json");

/// The configuration that Fulcio ran with when the cases were recorded.
struct Recording {
    base: String,
    configuration: Value,
}

impl Recording {
    fn open() -> Self {
        let about: Value = serde_json::from_str(ABOUT).unwrap();
        let base = about["base"].as_str().unwrap().to_owned();
        let configuration = about["configuration"].as_str().unwrap();
        Self { base, configuration: yaml_serde::from_str(configuration).unwrap() }
    }

    fn text(&self, recorded: &str) -> String {
        let port = self.base.rsplit(':').next().unwrap();
        recorded.replace("{BASE}", &self.base).replace("{PORT}", port)
    }

    fn issuer(&self, name: &str) -> Issuer {
        let url = format!("{{BASE}}/{name}");
        let configured = &self.configuration["oidc-issuers"][&url];
        let text = |key: &str| configured[key].as_str().map(|text| self.text(text));
        let kind = match configured["type"].as_str().unwrap() {
            "email" => Kind::Email {
                issuer_claim: text("issuer-claim").map(|path| ClaimPath::parse(&path).unwrap()),
                skip_verification: configured["skip-email-verification"] == true,
            },
            "uri" => Kind::Uri { subject_domain: text("subject-domain").unwrap() },
            "username" => Kind::Username { subject_domain: text("subject-domain").unwrap() },
            "spiffe" => Kind::Spiffe { trust_domain: text("spiffe-trust-domain").unwrap() },
            "kubernetes" => Kind::Kubernetes,
            "chainguard-identity" => Kind::Chainguard,
            "ci-provider" => Kind::Ci(Arc::new(self.provider(&text("ci-provider").unwrap()))),
            older => Kind::Ci(Arc::new(super::older::provider(older).unwrap())),
        };
        Issuer {
            id: IssuerId(0),
            url: self.text(&url),
            audiences: vec!["sigstore".to_owned()],
            kind,
            keys: Keys::Discovery,
            roots: None,
            challenge_claim: None,
        }
    }

    fn provider(&self, name: &str) -> Provider {
        let metadata = &self.configuration["ci-issuer-metadata"][name];
        let pairs = |key: &str| {
            let map = metadata[key].as_object().unwrap();
            map.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()))
        };
        let is_constant = |name: &str| matches!(name, "url" | "api_url");
        let (constants, defaults) =
            pairs("default-template-values").partition(|(name, _)| is_constant(name));
        let san = metadata["subject-alternative-name-template"].as_str().unwrap();
        let extensions = pairs("extension-templates").map(|(name, text)| {
            (Extension::named(&name).unwrap(), Template::parse(&text).unwrap())
        });
        Provider {
            name: name.to_owned(),
            defaults,
            constants,
            san: Some(Template::parse(san).unwrap()),
            extensions: extensions.collect(),
            ..Provider::default()
        }
    }

    /// None where the token has no `sub` to speak of, which ends in `token` already.
    fn claims(&self, case: &Value) -> Option<Claims> {
        let text = self.text(&case["claims"].to_string());
        let members: Map<String, Value> = serde_json::from_str(&text).unwrap();
        members.get("sub")?.as_str().filter(|sub| !sub.is_empty())?;
        let issuer = self.issuer(case["issuer"].as_str().unwrap());
        Some(Claims::assumed(Arc::new(issuer), members))
    }

    /// Name and extensions of the certificate that Fulcio gave.
    fn answer(&self, case: &Value) -> Option<(String, Vec<(u8, String)>)> {
        let leaf = case["fulcio"].get("leaf")?;
        let san = self.text(leaf["sans"][0]["value"].as_str().unwrap());
        let extensions = leaf["extensions"].as_array().unwrap().iter().filter_map(|extension| {
            let oid = extension["oid"].as_str().unwrap();
            let arc = oid.strip_prefix("1.3.6.1.4.1.57264.1.")?.parse().unwrap();
            Some((arc, self.text(extension["text"].as_str().unwrap())))
        });
        Some((san, extensions.collect()))
    }
}

/// The name as the recording writes it: a username as the hexadecimal DER of its otherName.
fn recorded_san(san: &San) -> String {
    let San::Username(text) = san else { return san.as_str().to_owned() };
    let wrap = |tag: u8, inner: &[u8]| {
        let length = match inner.len() {
            short @ ..128 => vec![short as u8],
            long => vec![0x82, (long >> 8) as u8, long as u8],
        };
        [&[tag], &length[..], inner].concat()
    };
    let oid = b"\x06\x0a\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x07";
    let text = wrap(0xa0, &wrap(0x0c, text.as_bytes()));
    let name = wrap(0xa0, &[&oid[..], &text].concat());
    name.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn extensions_of(identity: &Identity) -> Vec<(u8, String)> {
    identity.extensions().iter().map(|(e, text)| (e.arc(), text.to_owned())).collect()
}

/// What is wrong with our answer to a case, if anything is.
fn judge(recording: &Recording, case: &Value) -> Option<String> {
    let ours = recording.claims(case).map(|claims| Identity::from_claims(&claims));
    let ours =
        ours.and_then(|result| result.map_err(|error| println!("{}: {error}", case["id"])).ok());
    let theirs = recording.answer(case);
    let expected = case["mayfly"].as_str().unwrap();
    let sound = match (expected, &ours) {
        ("same", None) => theirs.is_none(),
        ("same", Some(ours)) => theirs == Some((recorded_san(ours.san()), extensions_of(ours))),
        ("refuse", None) | ("exact-number", None) => true,
        ("exact-number", Some(ours)) => {
            let number = case["claims"]["build_number"].to_string();
            extensions_of(ours).iter().any(|(_, text)| text.contains(&number))
        }
        ("constant-url", Some(ours)) => {
            let texts = extensions_of(ours).into_iter().map(|(_, text)| text);
            !texts.chain([ours.san().as_str().to_owned()]).any(|text| text.contains("evil"))
        }
        ("null-absent", Some(ours)) => {
            extensions_of(ours).iter().all(|(arc, text)| *arc != 23 && !text.contains("nil"))
        }
        _ => false,
    };
    (!sound).then(|| format!("{}: {expected}, ours {ours:?}, theirs {theirs:?}", case["id"]))
}

#[test]
fn recorded_cases_have_the_same_name_and_extensions() {
    const GROUPS: [&str; 19] = [
        "email",
        "email-any",
        "dex",
        "uri",
        "username",
        "spiffe",
        "kubernetes",
        "chainguard",
        "github",
        "gitlab",
        "buildkite",
        "codefresh",
        "ci-github",
        "ci-gitlab",
        "ci-buildkite",
        "ci-codefresh",
        "ci-circleci",
        "ci-buddy",
        "ci-odd",
    ];
    let recording = Recording::open();
    let cases: Vec<Value> = CASES
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case: &Value| {
            let group = case["id"].as_str().unwrap().split('/').next().unwrap();
            GROUPS.contains(&group)
        })
        .collect();
    let complaints: Vec<String> = cases.iter().filter_map(|case| judge(&recording, case)).collect();
    assert!(cases.len() > 250, "{}", cases.len());
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        cases.len(),
        complaints.join("\n")
    );
}
