//! What the real Fulcio answered to the same requests: those about routes, bodies and version 1.

use std::sync::Arc;

use mayfly::http::{App, router};
use mayfly::issuer::{Issuer, IssuerId, Keys, Kind};
use mayfly::time::Timestamp;
use serde_json::Value;

use super::authority::{Parts, TestAuthority};
use super::wire::{Answer, Running};

const GROUPS: [&str; 3] = ["request", "route", "v1"];

fn vectors(name: &str) -> String {
    let path = format!("{}/tests/vectors/fulcio/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn answers_as_fulcio_did() {
    let cases: Vec<Value> =
        vectors("cases.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let group = |case: &Value| case["id"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let cases: Vec<_> =
        cases.iter().filter(|case| GROUPS.contains(&group(case).as_str())).collect();
    assert!(!cases.is_empty());

    let authority = authority(cases[0]["time"].as_u64().unwrap());
    let server = Running::start(router(App::new(Arc::clone(&authority.authority), String::new()))).await;
    let mut wrong = Vec::new();
    for case in cases {
        authority.clock.set(Timestamp::from_secs(case["time"].as_u64().unwrap()));
        let answer = server.ask(&octets(&case["request"])).await;
        let (theirs, ours) = (expected(case), summary(&answer));
        if theirs != ours {
            wrong.push(format!("{}: Fulcio {theirs}, ours {ours}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn authority(time: u64) -> TestAuthority {
    let about: Value = serde_json::from_str(&vectors("about.json")).unwrap();
    let issuer = Issuer {
        id: IssuerId(0),
        url: format!("{}/email", about["base"].as_str().unwrap()),
        audiences: vec!["sigstore".to_owned()],
        kind: Kind::Email { issuer_claim: None, skip_verification: false },
        keys: Keys::Inline(about["jwks"].to_string().into_bytes().into()),
        roots: None,
        challenge_claim: None,
    };
    let now = Timestamp::from_secs(time);
    TestAuthority::of(Parts { now, issuers: vec![issuer], signer: |signer| signer })
}

fn octets(request: &Value) -> Vec<u8> {
    let text = |member: &str| request[member].as_str().unwrap_or_default();
    let (method, path, body) = (text("method"), text("path"), text("body"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in request["headers"].as_object().unwrap() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap()));
    }
    // The one body that was no text, and was compressed.
    let body = if request["body"].is_null() && method == "POST" && head.contains("gzip") {
        b"\x1f\x8b\x08".to_vec()
    } else {
        body.as_bytes().to_vec()
    };
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.into_bytes(), body].concat()
}

/// Status, content type, code, and how many certificates under which name.
fn expected(case: &Value) -> String {
    let fulcio = &case["fulcio"];
    let member = |name: &str| fulcio.get(name).map_or("-".to_owned(), Value::to_string);
    ["status", "content_type", "code", "member", "certificates"].map(member).join(" ")
}

fn summary(answer: &Answer) -> String {
    let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let code = json.as_ref().and_then(|json| json.get("code")).map(Value::to_string);
    let issued = json.as_ref().and_then(Value::as_object).and_then(|object| {
        let (name, value) =
            object.iter().find(|(name, _)| name.starts_with("signedCertificate"))?;
        Some((name.clone(), value["chain"]["certificates"].as_array()?.len()))
    });
    let pem = answer.status == 201;
    let pem = pem.then(|| ("pem".to_owned(), answer.text().matches("-----BEGIN").count()));
    let (member, certificates) =
        issued.or(pem).map_or(("-".to_owned(), "-".to_owned()), |(name, count)| {
            (format!("{name:?}"), count.to_string())
        });
    let code = code.unwrap_or("-".to_owned());
    let kind = answer.header("content-type").unwrap_or("-");
    format!("{} {kind:?} {code} {member} {certificates}", answer.status)
}
