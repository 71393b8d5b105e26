//! `mayfly explain` says beforehand what an exchange will answer.

use std::fmt::Write as _;

use mayfly::authority::explanation::{Explanation, Signature, explain};
use mayfly::http;
use mayfly::keyset::Keyset;
use mayfly::time::Timestamp;
use serde_json::{Value, json};

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
        _ if reason == "KEY_MISSING" => Ok(0),
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
