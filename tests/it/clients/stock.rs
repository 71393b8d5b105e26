//! The stock clients, a row each: how one is run, and what it says when it refuses.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::instance::{Caller, Instance, assert_succeeds};
use super::{clients, grpc, installed, run};
use crate::support::process::{REAL_TIMEOUTS, clock_at};

/// One client. `tests/clients/README.md` says what is unmodified and what is a program of ours.
pub struct Client {
    pub name: &'static str,
    /// What is there when it is installed, in `tests/clients`.
    file: &'static str,
    /// What runs it there.
    words: &'static [&'static str],
    dialect: Dialect,
    /// What it says of somebody else's signature.
    pub identity: &'static str,
    /// What it says of an identity that somebody else vouched for.
    pub issuer: &'static str,
    /// What it says of another artifact: its signature, and a statement about it.
    pub artifact: [&'static str; 2],
}

/// What somebody signs, or is said to have signed.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    pub kind: Kind,
    pub by: &'a Caller,
    /// The artifact; for the signer of a statement about it, the statement.
    pub file: &'a Path,
    pub bundle: &'a Path,
}

/// How a client is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// As `tests/clients/README.md` says.
    Ours,
    /// By the flags of cosign 3.
    Cosign3,
    /// By those of cosign 2 that ask for what cosign 3 does.
    Cosign2,
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Blob,
    /// An in-toto statement about a file, with SLSA's provenance.
    Statement,
}

/// sigstore-go, on which both cosigns are built.
const GO: Client = Client {
    name: "sigstore-go",
    file: ".cache/bin/sigstore-go",
    words: &[".cache/bin/sigstore-go"],
    dialect: Dialect::Ours,
    identity: "no matching CertificateIdentity found, last error: expected SAN",
    issuer: "no matching CertificateIdentity found, last error: expected issuer",
    artifact: ["could not verify message", "provided artifact digests do not match"],
};

/// Every client that signs and verifies.
pub const CLIENTS: [Client; 7] = [
    Client {
        name: "cosign 3",
        file: ".cache/bin/cosign-3",
        words: &[".cache/bin/cosign-3"],
        dialect: Dialect::Cosign3,
        ..GO
    },
    Client {
        name: "cosign 2",
        file: ".cache/bin/cosign-2",
        words: &[".cache/bin/cosign-2"],
        dialect: Dialect::Cosign2,
        artifact: ["could not verify message", "provided artifact digest does not match"],
        ..GO
    },
    GO,
    Client {
        name: "sigstore-python",
        file: ".cache/python/bin/python",
        words: &[".cache/python/bin/python", "python/client.py"],
        dialect: Dialect::Ours,
        identity: "Certificate's SANs do not match",
        issuer: "Certificate's OIDCIssuer does not match",
        artifact: ["Bundle message digest mismatch", "no subject of the statement is the artifact"],
    },
    Client {
        name: "sigstore-js",
        file: "js/node_modules/sigstore/package.json",
        words: &["node", "js/client.mjs"],
        dialect: Dialect::Ours,
        identity: "certificate identity error",
        issuer: "invalid certificate extension - expected issuer",
        artifact: ["signature verification failed", "no subject of the statement is the artifact"],
    },
    Client {
        name: "sigstore-java",
        file: ".cache/java/Client.class",
        // Half the time of a run would be the second compiler's.
        words: &["java", "-XX:TieredStopAtLevel=1", "-cp", ".cache/java:.cache/java/*", "Client"],
        dialect: Dialect::Ours,
        identity: "No provided certificate identities matched",
        issuer: "No provided certificate identities matched",
        artifact: [
            "artifact digest does not match digest",
            "artifact digest does not match any subject",
        ],
    },
    Client {
        name: "sigstore-rust",
        file: ".cache/bin/sigstore-rust",
        words: &[".cache/bin/sigstore-rust"],
        dialect: Dialect::Ours,
        identity: "IdentityMismatch",
        issuer: "IssuerMismatch",
        artifact: ["message digest in bundle does not match", "does not match any subject"],
    },
];

/// The clients that are installed; the others are named.
pub fn present() -> Vec<&'static Client> {
    CLIENTS.iter().filter(|client| installed(client.name, client.file).is_some()).collect()
}

/// Where clients work: what they trust, homes of their own, and nothing of the machine's.
pub struct Desk {
    home: PathBuf,
    trust: PathBuf,
    tls: PathBuf,
    /// What gives its programs another clock.
    clock: Vec<(&'static str, OsString)>,
}

impl Desk {
    /// With the trust files that the instance serves.
    pub async fn with_files(instance: &Instance) -> Self {
        Self::with_files_of_now(instance, "files").await
    }

    /// The same at a desk of this name, where they stay as they are now.
    pub async fn with_files_of_now(instance: &Instance, name: &str) -> Self {
        let desk = Self::new(instance, name);
        for name in ["trusted_root.json", "signing_config.json", "trust_config.json"] {
            let file = grpc::get(&instance.url, &instance.tls_ca(), &format!("/{name}")).await;
            fs::write(desk.trusted(name), file).unwrap();
        }
        desk
    }

    /// With these trust files, which nobody serves.
    pub fn with_config(instance: &Instance, name: &str, config: &Value) -> Self {
        let desk = Self::new(instance, name);
        for (name, file) in [
            ("trusted_root.json", &config["trustedRoot"]),
            ("signing_config.json", &config["signingConfig"]),
            ("trust_config.json", config),
        ] {
            fs::write(desk.trusted(name), file.to_string()).unwrap();
        }
        desk
    }

    /// The trust files, both in one.
    pub fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.trusted("trust_config.json")).unwrap()).unwrap()
    }

    /// With the instance's TUF repository, and the root that its operator hands out.
    pub fn with_repository(instance: &Instance) -> Self {
        let desk = Self::new(instance, "repository");
        fs::copy(instance.trust().join("root.json"), desk.trusted("root.json")).unwrap();
        fs::write(desk.trusted("mirror"), format!("{}/tuf", instance.url)).unwrap();
        for client in present().into_iter().filter(|client| client.dialect != Dialect::Ours) {
            let mut command = desk.start(client);
            command.args(["initialize", "--mirror", &format!("{}/tuf", instance.url), "--root"]);
            assert_succeeds(&run(command.arg(desk.trusted("root.json"))));
        }
        desk
    }

    fn new(instance: &Instance, name: &str) -> Self {
        let home = instance.file(name);
        let (trust, tls) = (home.join("trust"), instance.file("tls.crt"));
        let desk = Self { home, trust, tls, clock: Vec::new() };
        fs::create_dir_all(&desk.trust).unwrap();
        if clients().join(".cache/java/Client.class").exists() {
            desk.fill_trust_store();
        }
        desk
    }

    /// The certificate of the TLS server, as Java wants it.
    fn fill_trust_store(&self) {
        let mut command = Command::new("keytool");
        command.args(["-importcert", "-noprompt", "-storepass", "changeit", "-file"]);
        command.arg(&self.tls).arg("-keystore").arg(self.file("tls.p12"));
        assert_succeeds(&run(&mut command));
    }

    /// Gives another clock to every program here that asks its C library for the time, as Go's do not;
    /// whether there is one.
    pub fn move_clock(&mut self, time: &str) -> bool {
        self.clock = clock_at(time).unwrap_or_default();
        !self.clock.is_empty()
    }

    /// A file of this desk.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// A file that the clients trust.
    pub fn trusted(&self, name: &str) -> PathBuf {
        self.trust.join(name)
    }

    /// A program here: it trusts the TLS server, and finds no settings of the machine's.
    pub fn command(&self, program: &str) -> Command {
        let path = if program.contains('/') { clients().join(program) } else { program.into() };
        let mut command = Command::new(path);
        let java = "-Djavax.net.ssl.trustStorePassword=changeit -Djavax.net.ssl.trustStore=";
        let roots = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];
        command.current_dir(clients()).env_clear().env("HOME", &self.home);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.clock.iter().map(|(name, value)| (name, value)));
        if program == "java" {
            // With those, libfaketime 0.9.10 has every wait of a JVM end at once: all its threads spin.
            REAL_TIMEOUTS.iter().for_each(|name| _ = command.env_remove(name));
        }
        command.envs(roots.map(|name| (name, &self.tls)));
        command.env("JDK_JAVA_OPTIONS", format!("{java}{}", self.file("tls.p12").display()));
        command
    }

    /// A client, at home: those of one family would share a cache.
    fn start(&self, client: &Client) -> Command {
        let home = self.file(client.name);
        fs::create_dir_all(&home).unwrap();
        let mut command = self.command(client.words[0]);
        command.args(&client.words[1..]).env("HOME", home);
        command
    }

    /// Lets a client sign.
    pub fn sign(&self, client: &Client, signed: &Signed<'_>) -> Output {
        let Signed { kind, by, file, bundle } = *signed;
        let mut command = self.start(client);
        if client.dialect == Dialect::Ours {
            command.arg(if kind == Kind::Blob { "sign" } else { "attest" });
            command.arg(&self.trust).arg(&by.token).arg(file).arg(bundle);
            return run(&mut command);
        }
        command.arg(if kind == Kind::Blob { "sign-blob" } else { "attest-blob" });
        command.args(["--yes", "--identity-token", &by.token]).arg("--bundle").arg(bundle);
        if client.dialect == Dialect::Cosign2 {
            command.arg("--new-bundle-format");
        }
        let config = self.trusted("signing_config.json");
        if config.exists() {
            command.arg("--signing-config").arg(config);
            command.arg("--trusted-root").arg(self.trusted("trusted_root.json"));
        } else if client.dialect == Dialect::Cosign2 {
            command.arg("--use-signing-config");
        }
        if kind == Kind::Statement {
            command.arg("--statement");
        }
        run(command.arg(file))
    }

    /// Lets a client verify what is said to be signed.
    pub fn verify(&self, client: &Client, signed: &Signed<'_>) -> Output {
        let Signed { kind, by, file, bundle } = *signed;
        let mut command = self.start(client);
        if client.dialect == Dialect::Ours {
            command.arg("verify").arg(&self.trust).args([&by.identity, &by.issuer]);
            return run(command.arg(file).arg(bundle));
        }
        command.args(match kind {
            Kind::Blob => &["verify-blob"][..],
            Kind::Statement => &["verify-blob-attestation", "--type", "slsaprovenance1"],
        });
        command.args(["--certificate-identity", &by.identity]);
        command.args(["--certificate-oidc-issuer", &by.issuer]).arg("--bundle").arg(bundle);
        if client.dialect == Dialect::Cosign2 {
            command.args(["--new-bundle-format", "--use-signed-timestamps"]);
        }
        let root = self.trusted("trusted_root.json");
        if root.exists() {
            command.arg("--trusted-root").arg(root);
        }
        run(command.arg(file))
    }
}
