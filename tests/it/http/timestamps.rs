//! Timestamps, judged by OpenSSL.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::doors::{Test, start};

/// Somebody with a file and OpenSSL.
struct Judge {
    folder: TempDir,
}

impl Judge {
    /// None where OpenSSL is not installed, and `CI=true` allows no such gap.
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            let may_skip = std::env::var_os("CI").is_none_or(|ci| ci != "true");
            assert!(may_skip, "openssl is not installed, and CI=true allows no gaps");
            let _ = writeln!(std::io::stderr(), "skipped: openssl is not installed");
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
        openssl.arg("ts").args(arguments).current_dir(self.path()).output().unwrap()
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
