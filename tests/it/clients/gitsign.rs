//! gitsign signs a commit of a real repository.
//!
//! openssl verifies the signature. gitsign itself cannot: it keeps the bare token of a timestamp with
//! the commit, and when it verifies takes it for the whole answer that the token came in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::instance::{Caller, Instance, assert_succeeds, said};
use super::stock::Desk;
use super::{assert_refuses, clients, installed, run};

/// What a signature holds beside the certificate: the entry of the signature log, and a timestamp.
const KEPT: [&str; 2] = ["1.3.6.1.4.1.57264.3.1", "id-smime-aa-timeStampToken"];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn gitsign_signs_commits() {
    let Some(_) = installed("gitsign", ".cache/bin/gitsign") else { return };
    let instance = Instance::start_with_tls().await;
    let git = Repository { desk: Desk::with_files(&instance).await, trust: instance.trust() };
    let caller = instance.alice();
    git.init(&instance.url, &caller);
    let commit = ["commit", "--quiet", "--allow-empty", "-m", "signed"];
    assert_succeeds(&git.run(&caller, &commit));

    let (signed, signature) = git.head();
    assert_succeeds(&git.openssl_verifies(&signed, &signature));
    let changed = signed.replace("signed", "swapped");
    assert_refuses(&git.openssl_verifies(&changed, &signature), "Verification failure");
    let shown = git.openssl(&["-cmsout", "-print"]);
    for attribute in KEPT {
        assert!(said(&shown).contains(attribute), "{attribute} is missing");
    }
    let verified = git.run(&caller, &["verify-commit", "HEAD"]);
    assert_refuses(&verified, "error parsing response into Timestamp");
    assert_refuses(&git.run(&instance.stranger(), &commit), "failed to sign the data");
}

/// A repository whose commits gitsign signs.
struct Repository {
    desk: Desk,
    trust: PathBuf,
}

impl Repository {
    fn init(&self, url: &str, caller: &Caller) {
        fs::create_dir(self.desk.file("repository")).unwrap();
        assert_succeeds(&self.run(caller, &["init", "--quiet"]));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        for (name, value) in [
            ("user.name", "Alice".to_owned()),
            ("user.email", caller.identity.clone()),
            ("commit.gpgsign", "true".to_owned()),
            ("gpg.format", "x509".to_owned()),
            ("gpg.x509.program", text(&clients().join(".cache/bin/gitsign"))),
            ("gitsign.fulcio", url.to_owned()),
            ("gitsign.fulcioRoot", text(&self.trust.join("ca.pem"))),
            ("gitsign.issuer", caller.issuer.clone()),
            ("gitsign.rekor", url.to_owned()),
            ("gitsign.rekorMode", "offline".to_owned()),
            ("gitsign.rekorVersion", "2".to_owned()),
            ("gitsign.timestampServerURL", format!("{url}/api/v1/timestamp")),
            ("gitsign.timestampCertChain", text(&self.trust.join("tsa.pem"))),
        ] {
            assert_succeeds(&self.run(caller, &["config", name, &value]));
        }
    }

    /// Runs git for somebody.
    fn run(&self, caller: &Caller, words: &[&str]) -> Output {
        let mut command = self.desk.command("git");
        command
            .current_dir(self.desk.file("repository"))
            .env("SIGSTORE_ID_TOKEN", &caller.token)
            .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", self.trust.join("ct.pem"))
            .env("SIGSTORE_REKOR_PUBLIC_KEY", self.trust.join("rekor.pem"));
        run(command.args(words))
    }

    /// The newest commit: what was signed of it, and the signature.
    fn head(&self) -> (String, Vec<u8>) {
        let mut command = self.desk.command("git");
        command.current_dir(self.desk.file("repository")).args(["cat-file", "commit", "HEAD"]);
        let commit = said(&run(&mut command));
        let (head, message) = commit.split_once("\n\n").unwrap();
        // The signature is a header, whose lines after the first are indented.
        let (before, signature) = head.split_once("\ngpgsig ").expect("a signature");
        let lines = signature.lines().map(str::trim).filter(|line| !line.starts_with('-'));
        let signature = STANDARD.decode(lines.collect::<String>()).unwrap();
        (format!("{before}\n\n{message}"), signature)
    }

    fn openssl_verifies(&self, signed: &str, signature: &[u8]) -> Output {
        fs::write(self.desk.file("signed"), signed).unwrap();
        fs::write(self.desk.file("signature"), signature).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (content, root) = (text(self.desk.file("signed")), text(self.trust.join("ca.pem")));
        let verify = ["-verify", "-binary", "-purpose", "any", "-content", &content];
        self.openssl(&[&verify[..], &["-CAfile", &root, "-out", "/dev/null"]].concat())
    }

    fn openssl(&self, words: &[&str]) -> Output {
        let mut command = Command::new("openssl");
        command.args(["cms", "-inform", "DER", "-in"]).arg(self.desk.file("signature"));
        run(command.args(words))
    }
}
