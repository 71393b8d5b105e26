//! The line that a refused exchange leaves in the log, as the running binary writes it.

use std::fs;

use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::issuer::FakeIssuer;
use crate::support::process::Server;

/// An instance that trusts one issuer for one address.
struct Bench {
    issuer: FakeIssuer,
    server: Server,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let (issuer, folder) = (FakeIssuer::start_plain().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("mayfly.yaml");
        let url = issuer.url();
        let allow = "allow: [ { email: alice@example.com } ]";
        let yaml = format!(
            "listen: 127.0.0.1:0\nissuers:\n  - url: {url}\n    type: email\n    {allow}\n"
        );
        fs::write(&file, yaml).unwrap();
        let server = Server::start(&["--config".as_ref(), file.as_os_str()]);
        Self { issuer, server, _folder: folder }
    }

    /// The line about a request with `token`, which is refused.
    async fn line(&self, token: &str) -> Value {
        let client = Client::new(&self.server.url);
        let body = Requester::new().and_then(|requester| requester.request(token)).unwrap();
        let refusals = |said: &str| -> Vec<Value> {
            let lines = said.lines().filter(|line| line.starts_with('{'));
            let lines = lines.map(|line| serde_json::from_str(line).expect("JSON"));
            lines.filter(|line: &Value| line["fields"]["message"] == "refused").collect()
        };
        let before = refusals(&self.server.said()).len();
        let answer = client.post("/api/v2/signingCert", body).await.expect("an answer");
        assert!((400..500).contains(&answer.status), "{}", answer.message());
        let newest = |said: &str| Some(refusals(said).get(before)?["fields"].clone());
        self.server.comes_to_tell("refused", newest)
    }
}

/// What nobody vouches for is in no field: the issuer is the configured one, the subject a verified one.
#[tokio::test]
async fn a_refusal_names_issuer_and_subject_as_far_as_they_are_known() {
    let bench = Bench::new().await;
    let stranger = FakeIssuer::start_plain().await;
    let now = SystemClock.now().as_secs();
    let claims = |email: &str, iss: String| {
        let sub = "ma\u{202e}llory\n";
        json!({ "email": email, "email_verified": true, "sub": sub, "iss": iss })
    };
    let url = bench.issuer.url();

    let line = bench.line(&stranger.token_at(now, claims("m@example.com", stranger.url()))).await;
    assert_eq!((&line["issuer"], &line["subject"]), (&Value::Null, &Value::Null), "{line}");
    assert!(line["refusal"].as_str().unwrap().contains("is not configured"), "{line}");

    let line = bench.line(&stranger.token_at(now, claims("m@example.com", url.clone()))).await;
    assert_eq!((&line["issuer"], &line["subject"]), (&json!(url), &Value::Null), "{line}");

    let line = bench.line(&bench.issuer.token_at(now, claims("m@example.com", url.clone()))).await;
    let subject = json!("ma\\u{202e}llory\\n");
    assert_eq!((&line["issuer"], &line["subject"]), (&json!(url), &subject), "{line}");
    assert!(line["refusal"].as_str().unwrap().contains("no rule of issuer"), "{line}");
    assert_eq!(line["reason"], "DENIED_BY_RULE", "{line}");
}
