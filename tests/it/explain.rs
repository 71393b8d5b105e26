//! `mayfly explain` says beforehand what an exchange will answer, and how much refusals may say.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::Request;
use mayfly::authority::explanation::{Explanation, Signature, explain};
use mayfly::cli::instance::{Instance, Source};
use mayfly::cli::requester::Requester;
use mayfly::http;
use mayfly::keyset::Keyset;
use mayfly::time::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::issuer::FakeIssuer;
use crate::support::process::output_of;
use crate::vectors::{self, Answer};

/// What the door says before anybody looks at the token.
const DOOR: [&str; 4] =
    ["REQUEST_MALFORMED", "REQUEST_TOO_LARGE", "METHOD_NOT_ALLOWED", "NOT_FOUND"];

/// What is said of the key and its proof, which `explain` knows nothing of.
const POSSESSION: [&str; 7] = [
    "KEY_MISSING",
    "KEY_UNREADABLE",
    "KEY_IS_PRIVATE",
    "KEY_UNACCEPTABLE",
    "PROOF_INVALID",
    "CSR_UNREADABLE",
    "CSR_UNACCEPTABLE",
];

#[tokio::test]
async fn what_is_explained_is_what_is_answered() {
    let config = vectors::configuration();
    let keyset = Keyset::new(config.issuers.clone()).expect("inline keys");
    let (mut compared, mut wrong) = (0, String::new());
    for case in vectors::cases() {
        let answer = vectors::replay(&config, &case).await;
        let Some(token) = token(&case["request"]) else { continue };
        let now = Timestamp::from_secs(case["time"].as_u64().expect("seconds"));
        for signature in [Signature::Checked, Signature::Skipped] {
            let explanation = explain((&keyset, &config.policy), &token, signature, now).await;
            match agree(&answer, &explanation, signature) {
                Ok(count) => compared += count,
                Err(difference) => {
                    let _ = writeln!(wrong, "{} {signature:?}: {difference}", case["id"]);
                }
            }
        }
    }
    println!("explained and answered alike: {compared}");
    assert!(wrong.is_empty(), "{} wrong:\n{wrong}", wrong.lines().count());
    assert!(compared > 850, "only {compared} were compared");
}

/// The token of a request to one of the two routes that take one.
fn token(request: &Value) -> Option<String> {
    let path = request["path"].as_str()?;
    if request["method"] != "POST" || !path.ends_with("/signingCert") {
        return None;
    }
    // Of several values the first alone is read, and version 1 reads none.
    let body = request["body"].as_str()?;
    let first = serde_json::Deserializer::from_str(body).into_iter::<Value>().next()?;
    let credentials: Value = match path.starts_with("/api/v2/") {
        true => first.unwrap_or_default().get("credentials").cloned().unwrap_or_default(),
        false => Value::Null,
    };
    let named = [&credentials["oidcIdentityToken"], &credentials["oidc_identity_token"]];
    let in_body = named.into_iter().filter_map(Value::as_str).find(|token| !token.is_empty());
    let header = request["headers"].as_object()?.iter().find_map(|(name, value)| {
        name.eq_ignore_ascii_case("authorization").then(|| value.as_str()).flatten()
    });
    let header = || header.unwrap_or_default().replacen("Bearer ", "", 1);
    Some(in_body.map_or_else(header, str::to_owned))
}

/// Whether both say the same: 1 when there was something to compare.
fn agree(answer: &Answer, told: &Explanation, signature: Signature) -> Result<usize, String> {
    if answer.status.is_success() {
        return match &told.outcome {
            Ok(_) => certificates_agree(answer, told).map(|()| 1),
            Err(error) => Err(format!("issued, explained: {error}")),
        };
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let reason = body["details"][0]["reason"].as_str().unwrap_or_default();
    let passed_over = signature == Signature::Skipped && reason == "SIGNATURE_INVALID";
    match &told.outcome {
        _ if DOOR.contains(&reason) || passed_over => Ok(0),
        // A quirk of version 1: that there is no key is said before the token is looked at.
        _ if reason == "KEY_MISSING" && told.outcome.is_err() => Ok(0),
        Ok(_) if POSSESSION.contains(&reason) => Ok(1),
        Err(error) if reason == http::reason(error) && body["message"] == error.to_string() => {
            Ok(1)
        }
        other => Err(format!("refused with {body}, explained: {other:?}")),
    }
}

/// Whether the certificate says what was foretold.
fn certificates_agree(answer: &Answer, told: &Explanation) -> Result<(), String> {
    let leaf = vectors::leaf(answer)?;
    let identity = told.identity.as_ref().ok_or("no identity")?;
    let mut foretold: Vec<Value> = identity
        .extensions()
        .iter()
        .map(|(extension, says)| {
            let oid = format!("1.3.6.1.4.1.57264.1.{}", extension.arc());
            json!({ "oid": oid, "critical": false, "says": says })
        })
        .collect();
    let mut issued: Vec<Value> = leaf["extensions"].as_array().ok_or("no extensions")?.clone();
    issued.retain(|each| each["oid"].as_str().is_some_and(|oid| oid.contains(".57264.1.")));
    foretold.sort_by_key(ToString::to_string);
    issued.sort_by_key(ToString::to_string);
    if foretold != issued {
        return Err(format!("\n  issued   {issued:?}\n  foretold {foretold:?}"));
    }
    let name = identity.san().as_str();
    let hex: String = name.bytes().map(|octet| format!("{octet:02x}")).collect();
    match &leaf["sans"][0] {
        san if san["value"] == name => Ok(()),
        san if san["value"].as_str().is_some_and(|value| value.ends_with(&hex)) => Ok(()),
        san => Err(format!("issued for {san}, foretold {name}")),
    }
}

/// A folder with an issuer's keys and a configuration that trusts it for people of example.com.
fn configured(issuer: &FakeIssuer) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("jwks.json"), issuer.jwks().to_string()).expect("a file");
    let yaml = format!(
        "issuers:\n  - url: {}\n    type: email\n    keys: {{ file: jwks.json }}\n    allow:\n      \
         - {{ name: staff, why: ours alone, email: \"*@example.com\" }}\n",
        issuer.url()
    );
    std::fs::write(folder.path().join("mayfly.yaml"), yaml).expect("a file");
    folder
}

/// Runs `mayfly explain - arguments` with `token` on stdin; yields exit code, stdout and stderr.
fn told(folder: &Path, token: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly"))
        .args(["explain", "-", "--config", "mayfly.yaml"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("it reads");
    let output = output_of(child);
    let [out, err] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    (output.status.code(), out, err)
}

#[tokio::test]
async fn the_command_answers_with_its_exit_code_and_leaves_no_trace() {
    let issuer = FakeIssuer::start().await;
    let folder = configured(&issuer);
    let now = SystemClock.now().as_secs();
    let token = |email: &str| {
        issuer.token_at(now, json!({ "email": email, "email_verified": true })) + "\n"
    };

    let (code, out, err) = told(folder.path(), &token("ann@example.com"), &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("✓ a certificate would be issued\n"), "{out}");
    assert!(out.contains("✓ signature  by a key of the issuer"), "{out}");
    assert!(out.contains("✓ allow staff (ours alone) decides: yes"), "{out}");
    assert!(!out.contains('\u{1b}'), "colour off a terminal:\n{out}");

    let (code, out, err) = told(folder.path(), &token("eve@evil.example"), &["--json"]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&json["would_issue"], &json["reason"]), (&json!(false), &json!("DENIED_BY_RULE")));
    assert_eq!(json["rules"][0]["why"], "ours alone");
    assert_eq!(json["certificate"]["san"]["value"], "eve@evil.example");

    let forged = token("ann@example.com").trim().rsplit_once('.').expect("dots").0.to_owned();
    let forged = format!("{forged}.{}", "A".repeat(86));
    let (code, out, _) = told(folder.path(), &forged, &[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("(SIGNATURE_INVALID)"), "{out}");
    let (code, out, _) = told(folder.path(), &forged, &["--offline"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("– signature  not checked"), "{out}");

    let (code, _, err) = told(folder.path(), "", &["--fulcio-config", "other.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    left.retain(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
    assert!(left.is_empty(), "{left:?}");
}

/// People have old tokens, or the claims that a CI system prints, and ask about them all the same.
#[tokio::test]
async fn an_old_token_and_claims_alone_are_explained() {
    let issuer = FakeIssuer::start().await;
    let folder = configured(&issuer);
    let claims = json!({
        "iss": issuer.url(), "sub": "ann", "aud": "sigstore", "iat": 1_767_225_600,
        "exp": 1_767_225_900, "email": "ann@example.com", "email_verified": true,
    });
    let token = issuer.token(claims.clone());
    let (code, out, _) = told(folder.path(), &token, &[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("(TOKEN_EXPIRED)") && out.contains("the certificate would say"), "{out}");
    for at in ["issued", "2026-01-01T00:00:00Z"] {
        let (code, out, err) = told(folder.path(), &token, &["--at", at]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let first = "as if it were 2026-01-01T00:00:00Z:\n✓ a certificate would be issued\n";
        assert!(out.starts_with(first), "{out}");
    }
    let (_, out, _) = told(folder.path(), &token, &["--at", "2026-01-01T00:06:00Z", "--json"]);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&json["time"], &json["reason"]),
        (&json!("2026-01-01T00:06:00Z"), &json!("TOKEN_EXPIRED"))
    );

    let claims = format!("{claims:#}\n");
    let (code, out, err) = told(folder.path(), &claims, &["--offline", "--at", "issued"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("✓ token      claims alone, as if in a token of this issuer\n"), "{out}");
    assert!(out.contains("– signature  not checked\n"), "{out}");
    let (code, out, err) = told(folder.path(), &claims, &["--at", "issued"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("add --offline"), "{err}");
    let twice = claims.replacen('{', "{ \"sub\": \"eve\",", 1);
    let (code, out, _) = told(folder.path(), &twice, &["--offline"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("(TOKEN_INVALID)") && !out.contains("claims alone"), "{out}");
    let (code, _, err) = told(folder.path(), &claims, &["--offline", "--at", "yesterday"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("or `issued`"), "{err}");
}

#[tokio::test]
async fn brief_denials_keep_the_rules_to_ourselves() {
    let issuer = FakeIssuer::start().await;
    let folder = configured(&issuer);
    let file = folder.path().join("mayfly.yaml");
    let full = std::fs::read_to_string(&file).expect("a file");
    let claims = json!({ "email": "eve@evil.example", "email_verified": true });
    let token = issuer.token_at(SystemClock.now().as_secs(), claims);
    let body = Requester::new().and_then(|requester| requester.request(&token)).expect("a request");
    for (more, message, rule) in [
        ("data: a\n", "no rule of issuer", json!("staff")),
        ("data: b\ndenials: full\n", "no rule of issuer", json!("staff")),
        ("data: c\ndenials: brief\n", "this identity may not have a certificate here", Value::Null),
    ] {
        std::fs::write(&file, format!("{more}{full}")).expect("a file");
        let source = Source { config: Some(file.clone()), ..Source::default() };
        let config = source.config().unwrap_or_else(|error| panic!("{error}"));
        let instance = Instance::create_and_open(config).unwrap_or_else(|error| panic!("{error}"));
        let request = Request::post("/api/v2/signingCert")
            .header("content-type", "application/json")
            .body(Body::from(body.clone()))
            .expect("a request");
        let answer = instance.router().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), 403);
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert!(body["message"].as_str().is_some_and(|text| text.starts_with(message)), "{body}");
        let (info, request) = (&body["details"][0], &body["details"][1]);
        assert_eq!(info["reason"], "DENIED_BY_RULE");
        assert_eq!(info["metadata"]["issuer"], issuer.url());
        assert_eq!(info["metadata"]["rule"], rule);
        assert!(request["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
        instance.authority.logs.close().await;
    }
}
