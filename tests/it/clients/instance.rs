//! The real binary, serving on loopback, and whom it trusts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::run;
use crate::support::issuer::{Alg, FakeIssuer};
use crate::support::process::{Server, free_port};
use crate::support::shard;

/// `mayfly serve`, killed when dropped.
pub struct Instance {
    pub url: String,
    issuer: FakeIssuer,
    server: Server,
    folder: TempDir,
    source: Vec<String>,
}

/// Somebody with a token, and what their certificate must say.
#[derive(Clone)]
pub struct Caller {
    pub token: String,
    pub issuer: String,
    pub identity: String,
    /// What clients sign to prove that they hold their key.
    pub challenge: String,
}

impl Instance {
    /// An instance that has nothing but an issuer file of Fulcio's.
    pub async fn start() -> Self {
        let issuer = FakeIssuer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        fs::write(folder.path().join("fulcio.yaml"), fulcio_config(&issuer)).unwrap();
        let source = [
            ("--fulcio-config", path_text(&folder, "fulcio.yaml")),
            ("--data", path_text(&folder, "data")),
            ("--listen", format!("127.0.0.1:{port}")),
        ];
        let mut source: Vec<_> =
            source.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        source.push("--allow-anybody".to_owned());
        Self::launch(issuer, folder, source, format!("http://127.0.0.1:{port}"))
    }

    /// An instance with TLS, by a file of our own, as strict as one beyond loopback; the CA of its server
    /// certificate is in [`Self::tls_ca`].
    pub async fn start_with_tls() -> Self {
        let issuer = FakeIssuer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let url = format!("https://localhost:{}", free_port());
        let port = url.rsplit(':').next().unwrap();
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        for (name, text) in [
            ("tls.crt", server.cert.pem()),
            ("tls.key", server.signing_key.serialize_pem()),
            ("issuer.pem", issuer.ca_pem().to_owned()),
            ("mayfly.yaml", mayfly_config(&url, port, &issuer)),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let source = vec!["--config".to_owned(), path_text(&folder, "mayfly.yaml")];
        Self::launch(issuer, folder, source, url)
    }

    fn launch(issuer: FakeIssuer, folder: TempDir, source: Vec<String>, url: String) -> Self {
        let server = serve(&source, &url);
        Self { url, issuer, server, folder, source }
    }

    /// Has it start again, after its data folder was changed.
    pub fn restarted(mut self, change: impl FnOnce(&Path)) -> Self {
        self.server.kill();
        change(&self.file("data"));
        self.server = serve(&self.source, &self.url);
        self
    }

    /// SIGHUP, now; it runs.
    pub fn hang_up(&self) {
        self.server.hang_up();
    }

    /// A file in a folder of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The certificate that a TLS client must trust.
    pub fn tls_ca(&self) -> String {
        fs::read_to_string(self.file("tls.crt")).unwrap()
    }

    /// The folder with `trusted_root.json`, `ca.pem` and `ct.pem`, as `mayfly trust export` writes them.
    pub fn trust(&self) -> PathBuf {
        let folder = self.file("trust");
        if folder.exists() {
            return folder;
        }
        let mut export = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        export.args(["trust", "export"]).arg(&folder).args(&self.source);
        assert_succeeds(&run(&mut export));
        folder
    }

    /// Where its log is: the shard of today, whose key is `ct.pem`.
    pub fn log(&self) -> String {
        let shard = shard::name(&self.file("data"));
        format!("{}/ct/{shard}", self.url)
    }

    /// What a command says about this instance.
    pub fn mayfly(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let output = run(command.args(words).args(&self.source));
        assert_succeeds(&output);
        said(&output)
    }

    /// A person, vouched for by e-mail address.
    pub fn alice(&self) -> Caller {
        let claims = json!({
            "sub": "auth0|1234", "email": "alice@example.com", "email_verified": true,
        });
        self.caller(claims)
    }

    /// A job of a CI system.
    pub fn workflow(&self) -> Caller {
        self.caller(workflow_claims())
    }

    /// Whoever has these claims: the issuer of people where there is an e-mail address, else that of jobs.
    pub fn caller(&self, mut claims: Value) -> Caller {
        let person = claims["email"].is_string();
        let issuer = if person { self.issuer.url() } else { ci(&self.issuer) };
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        let (identity, challenge) = if person {
            (text("email"), text("email"))
        } else {
            (format!("https://github.com/{}", text("job_workflow_ref")), text("sub"))
        };
        claims["iss"] = issuer.clone().into();
        Caller { token: self.token(claims), issuer, identity, challenge }
    }

    /// Somebody whose issuer nobody here trusts.
    pub fn stranger(&self) -> Caller {
        let issuer = format!("{}/strange", self.issuer.url());
        let claims = json!({
            "iss": issuer, "sub": "eve", "email": "eve@example.com", "email_verified": true,
        });
        let identity = "eve@example.com".to_owned();
        Caller { token: self.token(claims), issuer, challenge: identity.clone(), identity }
    }

    /// RS256, as real issuers sign: cosign takes a token of another algorithm for a file name.
    fn token(&self, mut claims: Value) -> String {
        let now = SystemClock.now().as_secs();
        let times = json!({ "aud": "sigstore", "iat": now, "nbf": now, "exp": now + 600 });
        claims.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        self.issuer.sign(Alg::Rs256, json!({}), claims)
    }
}

/// Starts a server; returns once it says on stdout that it serves at `url`.
#[track_caller]
fn serve(source: &[String], url: &str) -> Server {
    let server = Server::start(source);
    assert_eq!(server.url, url);
    server
}

#[track_caller]
pub fn assert_succeeds(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

/// Yields all that a process wrote.
pub fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

/// The claims of one of GitHub's jobs, as a recorded request has them.
fn workflow_claims() -> Value {
    super::recorded::Recorded::load("sigstore-js-workflow").claims()
}

fn ci(issuer: &FakeIssuer) -> String {
    format!("{}/ci", issuer.url())
}

fn path_text(folder: &TempDir, name: &str) -> String {
    let path: &Path = &folder.path().join(name);
    path.to_str().unwrap().to_owned()
}

fn fulcio_config(issuer: &FakeIssuer) -> String {
    let ca = issuer.ca_pem().lines().map(|line| format!("\n      {line}")).collect::<String>();
    let (people, ci) = (issuer.url(), ci(issuer));
    format!(
        "oidc-issuers:
  {people}:
    issuer-url: {people}
    client-id: sigstore
    type: email
    ca-cert: |{ca}
  {ci}:
    issuer-url: {ci}
    client-id: sigstore
    type: ci-provider
    ci-provider: github-workflow
    ca-cert: |{ca}
ci-issuer-metadata:
  github-workflow:
    default-template-values:
      url: https://github.com
    extension-templates:
      github-workflow-trigger: event_name
      github-workflow-sha: sha
      github-workflow-name: workflow
      github-workflow-repository: repository
      github-workflow-ref: ref
      build-signer-uri: \"{{{{ .url }}}}/{{{{ .job_workflow_ref }}}}\"
      build-signer-digest: job_workflow_sha
      runner-environment: runner_environment
      source-repository-uri: \"{{{{ .url }}}}/{{{{ .repository }}}}\"
      source-repository-digest: sha
      source-repository-ref: ref
    subject-alternative-name-template: \"{{{{ .url }}}}/{{{{ .job_workflow_ref }}}}\"
"
    )
}

fn mayfly_config(url: &str, port: &str, issuer: &FakeIssuer) -> String {
    format!(
        "url: {url}
listen: 127.0.0.1:{port}
data: data
tls: {{ certificate: tls.crt, key: tls.key }}
signatures: {{ from: issued }}
timestamps: {{ from: issued }}
issuers:
  - url: {}
    type: email
    audiences: [ sigstore ]
    ca: issuer.pem
    allow: anybody
  - url: {}
    type: ci
    ca: issuer.pem
    constants: {{ url: https://github.com }}
    san: \"{{{{ .url }}}}/{{{{ .job_workflow_ref }}}}\"
    extensions: {{ build-signer-digest: job_workflow_sha }}
    allow: anybody
",
        issuer.url(),
        ci(issuer)
    )
}
