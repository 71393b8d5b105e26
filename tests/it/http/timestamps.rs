//! Timestamps, judged by OpenSSL.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use std::sync::Arc;

use mayfly::config::Patrons;
use mayfly::http::{App, router};
use mayfly::time::Timestamp;
use mayfly::trust::Material;

use super::doors::{Test, start};
use super::wire::Running;
use crate::support::issuer::MIDNIGHT;
use crate::support::process::Run as _;

/// Somebody with a file and OpenSSL.
struct Judge {
    folder: TempDir,
}

impl Judge {
    /// None where OpenSSL is not installed, and `CI=true` allows no such gap.
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").run().is_err() {
            crate::support::skip("openssl is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "what was there\n").unwrap();
        std::fs::write(folder.path().join("other"), "something else\n").unwrap();
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `openssl ts …`, in the folder.
    fn ts(&self, arguments: &str) -> Output {
        let arguments = arguments.split_whitespace();
        let mut openssl = Command::new("openssl");
        openssl.arg("ts").args(arguments).current_dir(self.path()).run().unwrap()
    }

    #[track_caller]
    fn holds(&self, arguments: &str, expected: bool) -> String {
        let output = self.ts(arguments);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.success(), expected, "openssl ts {arguments}: {said:?}");
        said.concat()
    }

    /// Has `query` stamped, and writes the reply beside it.
    async fn stamp(&self, test: &Test) {
        let query = std::fs::read(self.path().join("query")).unwrap();
        let head = format!(
            "POST /api/v1/timestamp HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-type: application/timestamp-query\r\ncontent-length: {}\r\n\r\n",
            query.len()
        );
        let answer = test.server.ask(&[head.as_bytes(), &query].concat()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        std::fs::write(self.path().join("reply"), &answer.body).unwrap();
    }

    /// Fetches the chain, and writes each certificate into a file.
    async fn fetch_chain(&self, test: &Test) {
        let chain = test.server.get("/api/v1/timestamp/certchain").await.text();
        let root = chain.rfind("-----BEGIN").unwrap();
        std::fs::write(self.path().join("leaf.pem"), &chain[..root]).unwrap();
        std::fs::write(self.path().join("root.pem"), &chain[root..]).unwrap();
    }
}

#[tokio::test]
async fn openssl_verifies_them() {
    let Some(judge) = Judge::new() else { return };
    let test = start().await;
    judge.fetch_chain(&test).await;
    for hash in ["sha256", "sha384", "sha512"] {
        for options in ["", "-cert", "-no_nonce", "-cert -no_nonce -tspolicy 1.3.6.1.4.1.57264.2"] {
            judge.holds(&format!("-query -data data -{hash} {options} -out query"), true);
            judge.stamp(&test).await;
            // Whoever did not ask for the certificate has it already.
            let leaf = if options.contains("-cert") { "" } else { "-untrusted leaf.pem" };
            let by = format!("-in reply -CAfile root.pem {leaf}");
            judge.holds(&format!("-verify -queryfile query {by}"), true);
            judge.holds(&format!("-verify -data data {by}"), true);
            judge.holds(&format!("-verify -data other {by}"), false);
        }
    }
}

#[tokio::test]
async fn openssl_reads_them() {
    let Some(judge) = Judge::new() else { return };
    let test = start().await;
    judge.holds("-query -data data -sha256 -cert -out query", true);
    judge.stamp(&test).await;
    let text = judge.holds("-reply -in reply -text", true);
    for line in [
        "Status: Granted.",
        "Policy OID: 1.3.6.1.4.1.57264.2",
        "Hash Algorithm: sha256",
        "Serial number: 0x0100000000000000000000000000000000000001",
        "Time stamp: Jan  1 00:00:00 2026 GMT",
        "Accuracy: 0x01 seconds, unspecified millis, unspecified micros",
        "Ordering: no",
        "TSA: DirName:/O=test/CN=test timestamps",
    ] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}

const GOOD: &str = "{\"artifactHash\":\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\",\"hashAlgorithm\":\"sha256\"}";

/// Asks for a timestamp in JSON; yields the status and the body.
async fn ask(server: &Running, body: &str) -> (u16, String) {
    let head = "POST /api/v1/timestamp HTTP/1.1\r\nhost: test\r\nconnection: close\r\n";
    let rest =
        format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = server.ask((head.to_owned() + &rest).as_bytes()).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_clock_behind_the_log_attests_nothing() {
    let test = start().await;
    assert_eq!(ask(&test.server, GOOD).await.0, 200);
    test.authority.clock.set(Timestamp::from_secs(MIDNIGHT - 2));
    let (status, said) = ask(&test.server, GOOD).await;
    assert!(status == 503 && said.contains("CLOCK_WRONG"), "{status} {said}");
    let ready = test.server.get("/readyz").await.text();
    assert!(ready.contains("\"part\":\"timestamps\""), "{ready}");
    test.authority.clock.set(Timestamp::from_secs(MIDNIGHT));
    assert_eq!(ask(&test.server, GOOD).await.0, 200);
}

/// The rate comes before all else, so that nothing is learned by asking often.
#[tokio::test]
async fn whoever_comes_too_often_is_told_when_to_come_again() {
    let test = start().await;
    let mut asked = 0;
    let said = loop {
        let (status, said) = ask(&test.server, "{}").await;
        asked += 1;
        match status {
            429 => break said,
            400 => assert!(asked < 5000, "as often as one likes"),
            other => panic!("{other}: {said}"),
        }
    };
    assert!(
        asked > 600 && said.contains("TOO_OFTEN") && said.contains("come again in 1 s"),
        "{said}"
    );
}

#[tokio::test]
async fn where_it_is_said_only_holders_of_a_certificate_get_them() {
    let test = start().await;
    let app = App::new(Arc::clone(&test.authority.authority), &Material::default());
    let timestamping = Arc::clone(&test.authority.timestamping);
    let server =
        Running::start(router(app.with_timestamps(timestamping, (Patrons::Local, false)))).await;
    let (status, said) = ask(&server, GOOD).await;
    assert!(status == 403 && said.contains("`timestamps.from` in mayfly.yaml says"), "{said}");
    let issued = server.ask(test.signing_request().as_bytes()).await;
    assert_eq!(issued.status, 200, "{}", issued.text());
    assert_eq!(ask(&server, GOOD).await.0, 200);
    assert_eq!(server.get("/api/v1/timestamp/certchain").await.status, 200);
}
