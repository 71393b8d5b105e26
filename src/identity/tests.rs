//! Every recorded case of Fulcio's that is about identities, through [`Identity::from_claims`].

use std::sync::Arc;

use serde_json::{Map, Value};

use super::*;
use crate::issuer::{ClaimPath, HostRule, Issuer, Provider, derive};
use crate::template::Template;

const CASES: &str = include_str!("../../tests/vectors/fulcio/cases.jsonl");
const ABOUT: &str = include_str!("../../tests/vectors/fulcio/about.json");

fn cases() -> impl Iterator<Item = Value> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn recorded(id: &str) -> Value {
    cases().find(|case| case["id"] == id).unwrap()
}

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
        Issuer { kind, ..Issuer::assumed(&self.text(&url)) }
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
    let ours = ours.and_then(Result::ok);
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
    let is_ours = |case: &Value| {
        let group = case["id"].as_str().unwrap().split('/').next().unwrap();
        GROUPS.contains(&group)
    };
    let cases: Vec<Value> = cases().filter(is_ours).collect();
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

/// The provider of a preset for an issuer, read as `config` reads it.
fn preset(text: &str, issuer: &str) -> Provider {
    let preset: Value = yaml_serde::from_str(text).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pairs = |key: &str| -> Vec<(String, String)> {
        let map = preset[key].as_object().unwrap();
        map.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let rules: Vec<HostRule> = preset["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| HostRule { issuer: text(&rule["issuer"]), url: text(&rule["url"]) })
        .collect();
    let mut constants = pairs("constants");
    constants.iter_mut().for_each(|(_, url)| *url = derive(&rules, issuer).unwrap());
    let extensions = pairs("extensions")
        .into_iter()
        .map(|(name, text)| (Extension::named(&name).unwrap(), Template::parse(&text).unwrap()));
    Provider {
        name: text(&preset["name"]),
        constants,
        defaults: pairs("defaults"),
        san: Some(Template::parse(&text(&preset["san"])).unwrap()),
        extensions: extensions.collect(),
        ..Provider::default()
    }
}

const GITHUB: &str = include_str!("../../config/presets/github.yaml");
const GITLAB: &str = include_str!("../../config/presets/gitlab.yaml");

/// The identity that a preset makes of a recorded case's claims after `change`.
#[track_caller]
fn by_preset(
    (text, issuer, case): (&str, &str, &str),
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Identity, IdentityError> {
    let claims = Recording::open().claims(&recorded(case)).unwrap();
    let mut members = claims.members().clone();
    members.insert("iss".to_owned(), issuer.into());
    change(&mut members);
    let issuer =
        Issuer { kind: Kind::Ci(Arc::new(preset(text, issuer))), ..(**claims.issuer()).clone() };
    Identity::from_claims(&Claims::assumed(Arc::new(issuer), members))
}

#[test]
fn the_github_preset_says_what_fulcios_own_file_says() {
    let case = "ci-github/good";
    let issuer = "https://token.actions.githubusercontent.com";
    let ours = by_preset((GITHUB, issuer, case), |_| ()).unwrap();
    let (san, mut extensions) = Recording::open().answer(&recorded(case)).unwrap();
    for (arc, text) in &mut extensions {
        if matches!(arc, 1 | 8) {
            *text = issuer.to_owned();
        }
    }
    assert_eq!((ours.san(), extensions_of(&ours)), (&San::Uri(san), extensions));
}

#[test]
fn on_github_enterprise_the_urls_are_of_its_own_host() {
    for (issuer, host) in [
        ("https://ghes.example/_services/token", "https://ghes.example/"),
        ("https://token.actions.octo.ghe.com", "https://octo.ghe.com/"),
        ("https://token.actions.githubusercontent.com/octo", "https://github.com/"),
    ] {
        let identity = by_preset((GITHUB, issuer, "ci-github/good"), |_| ()).unwrap();
        assert!(identity.san().as_str().starts_with(host));
        for name in ["source-repository-uri", "run-invocation-uri", "build-config-uri"] {
            let text = identity.extensions().get(Extension::named(name).unwrap()).unwrap();
            assert!(text.starts_with(host), "{text}");
        }
    }
}

const GITLAB_CASE: (&str, &str, &str) = (GITLAB, "https://git.example/lab", "ci-gitlab/good");

#[test]
fn on_a_gitlab_of_ones_own_the_urls_are_of_its_own_host() {
    let identity = by_preset(GITLAB_CASE, |claims| {
        claims
            .insert("ci_config_ref_uri".to_owned(), "git.example/lab/a//b.yml@refs/heads/m".into());
    })
    .unwrap();
    assert_eq!(identity.san().as_str(), "https://git.example/lab/a//b.yml@refs/heads/m");
    let repository = Extension::named("source-repository-uri").unwrap();
    assert_eq!(identity.extensions().get(repository), Some("https://git.example/lab/grp/proj"));
}

#[test]
fn a_gitlab_job_whose_file_lives_elsewhere_has_no_digest_or_no_name() {
    let identity = by_preset(GITLAB_CASE, |claims| {
        claims.insert("ci_config_sha".to_owned(), Value::Null);
    })
    .unwrap();
    for name in ["build-signer-digest", "build-config-digest"] {
        assert_eq!(identity.extensions().get(Extension::named(name).unwrap()), None);
    }
    let error = by_preset(GITLAB_CASE, |claims| {
        claims.insert("ci_config_ref_uri".to_owned(), Value::Null);
    });
    assert_eq!(error, Err(missing("ci_config_ref_uri")));
}

/// Starts from the good token, changes one claim, and asks for exactly this refusal.
#[track_caller]
fn bite(claim: &str, value: Option<Value>, expected: IdentityError) {
    let issuer = "https://token.actions.githubusercontent.com";
    let result = by_preset((GITHUB, issuer, "ci-github/good"), |claims| {
        match value {
            Some(value) => claims.insert(claim.to_owned(), value),
            None => claims.remove(claim),
        };
    });
    assert_eq!(result, Err(expected));
}

#[test]
fn one_claim_changed_is_one_refusal() {
    let wanted = "text, a whole number or a boolean";
    let wrong =
        |name: &str, found| IdentityError::ClaimType { name: name.to_owned(), wanted, found };
    let url =
        |end: &str, error| IdentityError::Url { url: format!("https://github.com/{end}"), error };

    bite("sha", None, missing("sha"));
    bite("sha", Some(Value::Null), missing("sha"));
    bite("sha", Some("".into()), missing("sha"));
    bite("sha", Some(serde_json::json!([])), wrong("sha", "an array"));
    bite("sha", Some(serde_json::json!({})), wrong("sha", "an object"));
    bite("run_id", Some(1.5.into()), wrong("run_id", "a number that is not whole or too large"));
    bite("job_workflow_ref", Some("a@main#".into()), url("a@main#", UrlError::Shared));
    bite("job_workflow_ref", Some("a%20b".into()), url("a%20b", UrlError::Shared));
    bite("job_workflow_ref", Some("a\nb".into()), url("a\nb", UrlError::Control));
    bite("job_workflow_ref", Some("a%2".into()), url("a%2", UrlError::Escape));

    let long = |octets: usize| Some(Value::from("x".repeat(octets)));
    let too_long = |part, limit| IdentityError::TooLong { part, limit };
    bite("workflow", long(8193), too_long("github-workflow-name", 8192));
    bite("workflow", long(48 * 1024), too_long("github-workflow-name", 8192));
    bite("job_workflow_ref", long(2048), too_long("subject alternative name", 2048));
    // Escaped, it is three times as long.
    bite(
        "job_workflow_ref",
        Some("ä".repeat(500).into()),
        too_long("subject alternative name", 2048),
    );
    // In two extensions; each is short enough.
    bite("sha", long(7000), IdentityError::TooLarge { limit: 12 * 1024 });
    bite("sub", long(8193), too_long("subject", 8192));
}

#[test]
fn a_required_claim_is_needed_although_no_template_insists() {
    let template = |text: &str| Some(Template::parse(text).unwrap());
    let name = |required: &[&str], members: Value| {
        let provider = Provider {
            san: template("https://ci.example/{{ index . \"a/id\" }}"),
            required: required.iter().map(|name| (*name).to_owned()).collect(),
            ..Provider::default()
        };
        let kind = Kind::Ci(Arc::new(provider));
        let issuer = Issuer { kind, ..Recording::open().issuer("kubernetes") };
        let claims = Claims::assumed(Arc::new(issuer), members.as_object().unwrap().clone());
        Identity::from_claims(&claims).map(|identity| identity.san().as_str().to_owned())
    };
    let without = || serde_json::json!({ "iss": "i", "sub": "s" });
    let with = |id: &str| serde_json::json!({ "iss": "i", "sub": "s", "a/id": id });
    assert_eq!(name(&[], without()), Ok("https://ci.example/".to_owned()));
    assert_eq!(name(&["a/id"], without()), Err(missing("a/id")));
    assert_eq!(name(&["a/id"], with("")), Err(missing("a/id")));
    assert_eq!(name(&["a/id"], with("7")), Ok("https://ci.example/7".to_owned()));
}

#[test]
fn a_claim_never_takes_the_place_of_a_constant() {
    let issuer = "https://token.actions.githubusercontent.com";
    let honest = by_preset((GITHUB, issuer, "ci-github/good"), |_| ());
    let hostile = by_preset((GITHUB, issuer, "ci-github/good"), |claims| {
        claims.insert("url".to_owned(), "https://evil.example".into());
    });
    assert_eq!(honest, hostile);
}

#[test]
fn refusals_are_sentences() {
    let sentence = |error: IdentityError| error.to_string();
    assert_eq!(
        sentence(missing("job_workflow_ref")),
        "the token has no claim \"job_workflow_ref\", which certificates for this issuer need"
    );
    assert_eq!(
        sentence(wrong_type("repository_id", "text", &Value::Array(Vec::new()))),
        "claim \"repository_id\" must be text; the token has an array"
    );
    assert_eq!(
        sentence(IdentityError::Url {
            url: "https://github.com/o/r/a@main#".to_owned(),
            error: UrlError::Shared
        }),
        "the claims make the URL \"https://github.com/o/r/a@main#\", which another identity would share: \
         it has an escape, or an end, that stands for something else"
    );
}

/// The name that `sub` gets from an issuer of this kind, or the sentence that refuses it.
fn named(kind: Kind, sub: &str) -> Result<San, String> {
    let members = serde_json::json!({ "iss": "https://idp.example", "sub": sub });
    let issuer = Issuer { kind, ..Recording::open().issuer("kubernetes") };
    let claims = Claims::assumed(Arc::new(issuer), members.as_object().unwrap().clone());
    let identity = Identity::from_claims(&claims).map_err(|error| error.to_string())?;
    assert_eq!(identity.challenge().as_str(), sub);
    assert_eq!(identity.extensions().get(Extension::SUBJECT), Some(sub));
    Ok(identity.san().clone())
}

#[test]
fn usernames() {
    let user = |sub| named(Kind::Username { subject_domain: "idp.example".to_owned() }, sub);
    assert_eq!(user("alice"), Ok(San::Username("alice!idp.example".to_owned())));
    assert!(user("a\u{308}").is_ok());
    assert_eq!(user("Älice b/c"), Ok(San::Username("Älice b/c!idp.example".to_owned())));
    assert_eq!(
        user("a@b.com"),
        Err("the subject \"a@b.com\" is an e-mail address, which this issuer may not name"
            .to_owned())
    );
    assert!(user("ä@b.com").unwrap_err().contains("is an e-mail address"));
    let spaced = [" ", "\u{3000}", "alice ", " alice", "a\u{a0}b"];
    let hidden =
        ["a\nb", "a\0", "a\u{85}b", "\u{feff}", "\u{202e}ecila", "ali\u{200b}ce", "a\u{ad}"];
    for other in ["alice!good.example"].into_iter().chain(spaced).chain(hidden) {
        let error = user(other).unwrap_err();
        assert!(error.contains("is not a user name"), "{error}");
    }
}

#[test]
fn uris_of_one_scheme_host_and_port() {
    let at = |domain: &str, sub| named(Kind::Uri { subject_domain: domain.to_owned() }, sub);
    for own in ["https://a.example", "https://a.example/", "https://a.example?b#c"] {
        assert_eq!(at("https://a.example", own), Ok(San::Uri(own.to_owned())));
    }
    assert!(at("https://a.example:8443/x", "https://a.example:8443/y").is_ok());
    for foreign in [
        "https://a.example:8443/y",
        "https://a.example:443/y",
        "https://a.example:/y",
        "http://a.example/y",
        "https://a.example@evil.example/y",
        "https://u@a.example/y",
        "https://a.example.evil/y",
        "https://A.example/y",
        "HTTPS://a.example/y",
        "https://b.a.example/y",
        "https:a.example/y",
        "//a.example/y",
        "https://a.example\\@evil.example/",
        " https://a.example/y",
        "alice",
    ] {
        let error = at("https://a.example", foreign).unwrap_err();
        assert!(error.contains("is not of https://a.example, which is all"), "{error}");
    }
    for broken in ["https://a.example/y z", "https://a.example/ä", "https://a.example/y#"] {
        let error = at("https://a.example", broken).unwrap_err();
        assert!(error.contains("is not a URI"), "{error}");
    }
}

#[test]
fn spiffe_ids_of_one_trust_domain() {
    let of = |sub| named(Kind::Spiffe { trust_domain: "example.org".to_owned() }, sub);
    let own = "spiffe://example.org/ns/builds";
    assert_eq!(of(own), Ok(San::Uri(own.to_owned())));
    for foreign in ["spiffe://sub.example.org/a", "spiffe://example.org.evil/a", "spiffe://example"]
    {
        let error = of(foreign).unwrap_err();
        assert!(error.contains("is not of trust domain example.org"), "{error}");
    }
    assert!(of("spiffe://example.org/a/").unwrap_err().contains("is not a SPIFFE ID"));
}

#[test]
fn the_issuer_behind_the_issuer_is_a_short_line() {
    let path = ClaimPath::parse("$.connector").unwrap();
    let issuer = Issuer {
        kind: Kind::Email { issuer_claim: Some(path), skip_verification: true },
        ..Recording::open().issuer("email")
    };
    let issuer = Arc::new(issuer);
    let named = |connector: &str| {
        let claims = serde_json::json!({
            "iss": "https://idp.example", "sub": "1", "email": "a@b.com", "connector": connector,
        });
        let claims = Claims::assumed(Arc::clone(&issuer), claims.as_object().unwrap().clone());
        Identity::from_claims(&claims).map(|_| ())
    };
    let refused = |connector: &str| IdentityError::ClaimValue {
        name: "connector".to_owned(),
        wanted: "text of at most 512 octets without invisible characters".to_owned(),
        value: connector.to_owned(),
    };
    for good in ["github", "not a url", "https://accounts.example", &"x".repeat(512)] {
        assert_eq!(named(good), Ok(()));
    }
    assert_eq!(named(""), Err(missing("connector")));
    for bad in ["a\nb", "\u{202e}moc", &"x".repeat(513)] {
        assert_eq!(named(bad), Err(refused(bad)));
    }
}
