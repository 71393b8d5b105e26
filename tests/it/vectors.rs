//! Answers recorded from the real Fulcio: the same requests, at the same second, through our router.
//!
//! `tests/vectors/fulcio/README.md` has the format. The member `mayfly` says for each case what ours
//! should do; where that is not `same`, its member `why` names the decision behind the difference. A
//! difference without a name in [`DIFFERENCES`] fails; `docs/differences.md` lists them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mayfly::config::{self, Config, Overrides};
use mayfly::http::{self, App};
use mayfly::issuer::{Issuer, Issuers, Keys};
use mayfly::trust::Material;
use serde_json::{Value, json};
use tower::ServiceExt;
use x509_parser::der_parser;
use x509_parser::prelude::*;

use crate::support::authority::{FixedClock, Parts};

const CASES: &str = include_str!("../vectors/fulcio/cases.jsonl");
const ABOUT: &str = include_str!("../vectors/fulcio/about.json");

/// The decisions behind differences, and what each means for somebody who comes from Fulcio.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "tokens: sub is required, a string, and not empty",
        "Fulcio asks for `sub` only where it uses it; here every token names its subject.",
    ),
    (
        "tokens: claims checked by exact JSON type and exact name",
        "Fulcio reads some values of another type, and takes user names that are empty or have line breaks.",
    ),
    (
        "tokens: exp required; nbf and iat up to 5 minutes ahead tolerated, more refused",
        "Fulcio reads a time that is text, and does not compare `iat` with the clock.",
    ),
    (
        "tokens: header members jwk, jku, x5u, x5c, crit, b64, zip, enc refuse the token",
        "They offer a key, or change what is signed; Fulcio passes over most of them.",
    ),
    (
        "tokens: duplicate members, invalid UTF-8, nesting over 32, trailing bytes are refused",
        "Two parsers could read such a token in two ways.",
    ),
    (
        "identities: a claim that a template needs is a string, a whole number or a boolean; null counts as absent; anything else refuses the token",
        "Fulcio writes `<nil>` and `map[…]` into certificates.",
    ),
    (
        "identities: a claim that is present but empty counts as absent",
        "A default applies, else the token is refused; Fulcio writes URLs with holes.",
    ),
    ("identities: whole numbers keep all their digits", "Fulcio rounds numbers beyond 2^53."),
    (
        "identities: url and api_url are constants, claims do not override them",
        "With Fulcio a token with a claim `url` chooses the host in its own certificate.",
    ),
    (
        "identities: SANs are injective: a claim that upstream would fold into another claim's SAN is refused",
        "With Fulcio a branch named `main#` gets the SAN of branch `main`.",
    ),
    (
        "identities: no control characters in a SAN",
        "Who reads a SAN on a terminal or in a log sees what it is.",
    ),
    (
        "identities: URI subjects with userinfo or another port are refused",
        "They look like one host and are another.",
    ),
    (
        "identities: a uri subject is a URI as RFC 3986 has it, byte for byte",
        "Fulcio escapes what no URI may contain, and so gives two subjects one SAN.",
    ),
    (
        "identities: kubernetes tokens need namespace and service account",
        "Fulcio issues for `/namespaces//serviceaccounts/`.",
    ),
];

/// What the words of the page mean.
const LEGEND: &str = "\
Behind each reason stand the requests that show it, as `group/what changed`. The group is the type of the issuer whose token it
is, or the part of the token that was changed (`token`, `header`, `time`). `github`, `gitlab`, `buildkite` and `codefresh` are Fulcio's
types from before it had templates, `ci-…` its templates for that provider, `dex` is e-mail with a claim that names the issuer.
Behind the slash stands the one thing that is otherwise than in a request which both answer with a certificate. To each of these Fulcio
gives a certificate as well. What Mayfly does:

- **refused**: it answers with an error, and a sentence that says why;
- **issued with …** or **without …**: it gives a certificate, which differs from Fulcio's in this.
";

#[tokio::test]
async fn what_fulcio_answers_we_answer() {
    let config = configuration();
    let (mut passed, mut differing, mut wrong) = (0, Differences::default(), String::new());
    for case in cases() {
        let answer = replay(&config, &case).await;
        match judge(&case, &answer) {
            Ok(()) if same(&case["fulcio"], &answer).is_ok() => passed += 1,
            Ok(()) => differing.add(&case, answer.status.is_success()),
            Err(difference) => {
                let _ = writeln!(wrong, "{}: {difference}", case["id"]);
            }
        }
    }
    let different = differing.count();
    println!("recorded answers: {passed} the same, {different} different on purpose:");
    print!("{}", differing.table());
    assert!(wrong.is_empty(), "{} wrong:\n{wrong}", wrong.lines().count());
    assert_eq!(passed + different, cases().count());
    crate::support::written("docs/differences.md", &differing.page(passed));
}

/// What `mayfly import fulcio` makes of a configuration answers as the configuration itself does.
#[tokio::test]
async fn what_is_imported_answers_as_the_original() {
    let about = about();
    let base = about["base"].as_str().expect("a base").to_owned();
    let original = configuration();
    let imported = imported(&about, &base);
    let mut wrong = String::new();
    for case in cases() {
        let (one, other) = (replay(&original, &case).await, replay(&imported, &case).await);
        let certificates =
            |answer: &Answer| chain(answer).ok().filter(|(_, chain)| !chain.is_empty());
        let same = one.status == other.status && certificates(&one) == certificates(&other);
        if let Err(difference) = judge(&case, &other) {
            let _ = writeln!(wrong, "{}: {difference}", case["id"]);
        } else if !same {
            let _ = writeln!(wrong, "{}: {} became {}", case["id"], one.status, other.status);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{wrong}", wrong.lines().count());
}

/// The cases that differ, by the decision behind it.
#[derive(Default)]
struct Differences(BTreeMap<&'static str, Vec<(String, &'static str)>>);

impl Differences {
    fn add(&mut self, case: &Value, issued: bool) {
        let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
        let why = text("why");
        let known = DIFFERENCES.iter().find(|(name, _)| *name == why);
        let (name, _) = known.unwrap_or_else(|| panic!("{}: no decision {why:?}", text("id")));
        self.0.entry(name).or_default().push((text("id"), done(&text("mayfly"), issued)));
    }

    fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// One line a decision: how many cases, and its name.
    fn table(&self) -> String {
        self.0.iter().map(|(name, cases)| format!("{:>5}  {name}\n", cases.len())).collect()
    }

    fn page(&self, passed: usize) -> String {
        let mut page = format!(
            "# Where Mayfly differs from Fulcio\n\nMade by a test; do not edit. Of {} requests recorded with \
             their answers from the real Fulcio, Mayfly answers {passed} the same. The other {} differ on \
             purpose, each for one of these reasons.\n\n{LEGEND}",
            passed + self.count(),
            self.count(),
        );
        for (name, meaning) in DIFFERENCES {
            let cases = self.0.get(name).unwrap_or_else(|| panic!("nothing shows {name:?}"));
            let _ = writeln!(page, "\n## {name}\n\n{meaning}\n");
            for (case, done) in cases {
                let _ = writeln!(page, "- `{case}`: {done}");
            }
        }
        page
    }
}

/// What we did with a case, in words; `mayfly` is what it asks of us.
fn done(mayfly: &str, issued: bool) -> &'static str {
    match (mayfly, issued) {
        (_, false) => "refused",
        ("null-absent", true) => "issued without the extension",
        ("constant-url", true) => "issued with the configured URL",
        ("exact-number", true) => "issued with all digits",
        (_, true) => panic!("{mayfly}: no words for what was issued"),
    }
}

fn about() -> Value {
    serde_json::from_str(ABOUT).expect("JSON")
}

/// Every case, addresses filled in.
pub fn cases() -> impl Iterator<Item = Value> {
    let about = about();
    let base = about["base"].as_str().expect("a base").to_owned();
    CASES
        .lines()
        .map(move |line| serde_json::from_str(&line.replace("{BASE}", &base)).expect("JSON"))
}

/// The configuration that the answers were recorded with; keys inline instead of fetched.
pub fn configuration() -> Config {
    let about = about();
    let base = about["base"].as_str().expect("a base");
    let folder = tempfile::tempdir().expect("a folder");
    let overrides = Overrides { allow_anybody: true, ..Overrides::default() };
    let config = config::load_fulcio(&fulcio_file(folder.path(), &about, base), &overrides);
    with_keys(config.unwrap_or_else(|errors| panic!("{errors}")), &about)
}

/// The same, imported.
fn imported(about: &Value, base: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let imported = config::import_fulcio(&fulcio_file(folder.path(), about, base), true);
    let imported = imported.unwrap_or_else(|errors| panic!("{errors}"));
    let file = folder.path().join("mayfly.yaml");
    std::fs::write(&file, &imported.text).expect("a file");
    let config = config::load(&file, &Overrides::default());
    with_keys(config.unwrap_or_else(|errors| panic!("{errors}\n{}", imported.text)), about)
}

fn fulcio_file(folder: &Path, about: &Value, base: &str) -> PathBuf {
    let file = folder.join("fulcio.yaml");
    let yaml = about["configuration"].as_str().expect("text").replace("{BASE}", base);
    std::fs::write(&file, yaml).expect("a file");
    file
}

fn with_keys(mut config: Config, about: &Value) -> Config {
    let keys: Arc<[u8]> = about["jwks"].to_string().into_bytes().into();
    let inline = |issuer: &Arc<Issuer>| Issuer {
        keys: Keys::Inline(Arc::clone(&keys)),
        ..Issuer::clone(issuer)
    };
    config.issuers = Issuers::new(config.issuers.iter().map(inline).collect());
    config
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends a case's request as it was, at the second when it was sent, to a fresh authority.
pub async fn replay(config: &Config, case: &Value) -> Answer {
    let clock = FixedClock::at(case["time"].as_u64().expect("seconds"));
    let app = App::new(Arc::new(Parts::new(config.clone(), clock).open()), &Material::default());
    let router: Router = http::router(app);
    let request = &case["request"];
    let text = |name: &str| request[name].as_str().expect("text");
    let mut sent = Request::builder().method(text("method")).uri(text("path"));
    for (name, value) in request["headers"].as_object().expect("headers") {
        sent = sent.header(name, value.as_str().expect("text"));
    }
    // The one body that is no text is compressed; what is in it does not matter.
    let body = request["body"].as_str().map_or(b"\x1f\x8b\x08\x00".to_vec(), Into::into);
    let sent = sent.body(Body::from(body)).expect("a request");
    let answer = router.oneshot(sent).await.expect("infallible");
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body").to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Whether `answer` is what `case` asks of us.
fn judge(case: &Value, answer: &Answer) -> Result<(), String> {
    let said = || String::from_utf8_lossy(&answer.body).into_owned();
    let refused = matches!(answer.status.as_u16(), 400 | 403);
    let issued = answer.status.is_success();
    let fulcio = &case["fulcio"];
    let expected = case["mayfly"].as_str().expect("text");
    let holds = match expected {
        "same" => return same(fulcio, answer),
        "refuse" => refused,
        "either" => same(fulcio, answer).is_ok() || refused || issued,
        "null-absent" | "constant-url" => issued,
        "exact-number" => refused || issued,
        "free" => answer.status.as_u16() < 500,
        other => return Err(format!("the test does not know {other:?}")),
    };
    if !holds {
        return Err(format!("wanted {expected}, got {} {}", answer.status, said()));
    }
    detail(case, answer)
}

/// What else is wanted where we differ on purpose.
fn detail(case: &Value, answer: &Answer) -> Result<(), String> {
    if !answer.status.is_success() {
        return sentence(answer);
    }
    let leaf = leaf(answer)?;
    let says = |needle: &str| leaf.to_string().contains(needle);
    match case["mayfly"].as_str() {
        Some("null-absent") if says("<nil>") => Err("a null became <nil>".to_owned()),
        Some("constant-url") if says("evil") => Err("a claim replaced a constant URL".to_owned()),
        Some("exact-number") if says("e+") || !says("123456789012345678901") => {
            Err("a number lost digits".to_owned())
        }
        _ => Ok(()),
    }
}

/// The members that the vectors' README says are compared.
fn same(fulcio: &Value, answer: &Answer) -> Result<(), String> {
    let said = || String::from_utf8_lossy(&answer.body).into_owned();
    if fulcio["status"] != json!(answer.status.as_u16()) {
        return Err(format!("wanted {}, got {} {}", fulcio["status"], answer.status, said()));
    }
    let content_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
    if fulcio["content_type"].as_str() != content_type {
        return Err(format!("wanted {}, got {content_type:?}", fulcio["content_type"]));
    }
    if fulcio.get("code").is_some() {
        let body: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        if body["code"] != fulcio["code"] {
            return Err(format!("wanted code {}, got {}", fulcio["code"], said()));
        }
        return sentence(answer);
    }
    if fulcio.get("leaf").is_none() {
        return Ok(());
    }
    let (member, chain) = chain(answer)?;
    let ours = json!({ "member": member, "certificates": chain.len(), "leaf": leaf(answer)? });
    let theirs = json!({
        "member": fulcio["member"],
        "certificates": fulcio["certificates"],
        "leaf": comparable(&fulcio["leaf"]),
    });
    if ours == theirs { Ok(()) } else { Err(format!("\n  wanted {theirs}\n  got    {ours}")) }
}

/// Every refusal says why.
fn sentence(answer: &Answer) -> Result<(), String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    match body["message"].as_str() {
        Some(message) if !message.is_empty() => Ok(()),
        _ => Err(format!("no sentence in {body}")),
    }
}

/// Which member holds the certificates, and they, DER.
fn chain(answer: &Answer) -> Result<(&'static str, Vec<Vec<u8>>), String> {
    let (member, pem) = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(body) => {
            let member = "signedCertificateEmbeddedSct";
            let chain = body[member]["chain"]["certificates"].as_array().cloned();
            let texts = chain.ok_or("no embedded SCT")?;
            (member, texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"))
        }
        Err(_) => ("pem", String::from_utf8_lossy(&answer.body).into_owned()),
    };
    let each = pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(|block| {
        let text: String = block.lines().take_while(|line| !line.starts_with('-')).collect();
        STANDARD.decode(text).map_err(|error| error.to_string())
    });
    Ok((member, each.collect::<Result<_, _>>()?))
}

/// The leaf of an answer in the vectors' words.
pub fn leaf(answer: &Answer) -> Result<Value, String> {
    let (_, chain) = chain(answer)?;
    let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|error| error.to_string())?;
    let seconds = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    let extensions = leaf.extensions().iter().map(|extension| {
        let oid = extension.oid.to_id_string();
        json!({ "oid": oid, "critical": extension.critical, "says": says(&oid, extension.value) })
    });
    Ok(comparable(&json!({
        "subject": hex(leaf.subject().as_raw()),
        "sans": sans(&leaf),
        "extensions": extensions.collect::<Vec<_>>(),
        "seconds": seconds,
    })))
}

/// What both sides say of a leaf: no subject key identifier (ours has one), values that vary left out.
fn comparable(leaf: &Value) -> Value {
    let extensions = leaf["extensions"].as_array().expect("extensions").iter();
    let extensions = extensions.filter(|each| each["oid"] != "2.5.29.14").map(|each| {
        let says = each.get("says").or(each.get("text")).or(each.get("value"));
        let says = says.filter(|says| !says.as_str().is_some_and(|text| text.starts_with('(')));
        json!({ "oid": each["oid"], "critical": each["critical"], "says": says })
    });
    json!({
        "subject": leaf["subject"],
        "sans": leaf["sans"],
        "extensions": extensions.collect::<Vec<_>>(),
        "seconds": leaf["seconds"],
    })
}

fn says(oid: &str, value: &[u8]) -> Option<String> {
    let arc = oid.strip_prefix("1.3.6.1.4.1.57264.1.").and_then(|arc| arc.parse::<u8>().ok());
    match (oid, arc) {
        ("2.5.29.35" | "2.5.29.17" | "2.5.29.14" | "1.3.6.1.4.1.11129.2.4.2", _) => None,
        (_, Some(..=6)) => Some(String::from_utf8_lossy(value).into_owned()),
        (_, Some(_)) => {
            let text = x509_parser::der_parser::der::parse_der_utf8string(value).ok()?.1;
            text.as_str().ok().map(str::to_owned)
        }
        _ => Some(hex(value)),
    }
}

fn sans(leaf: &X509Certificate<'_>) -> Vec<Value> {
    let san = leaf.subject_alternative_name().ok().flatten().expect("a SAN");
    let raw = leaf.extensions().iter().find(|each| each.oid.to_id_string() == "2.5.29.17");
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(text) => json!({ "type": "rfc822_name", "value": text }),
        GeneralName::URI(text) => json!({ "type": "uniform_resource_identifier", "value": text }),
        _ => {
            // The one name is what the sequence holds, behind its tag and length.
            let (_, names) =
                der_parser::ber::parse_ber_any(raw.expect("a SAN").value).expect("DER");
            json!({ "type": "other_name", "value": hex(names.data) })
        }
    };
    san.value.general_names.iter().map(name).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
