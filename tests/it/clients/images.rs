//! cosign signs and attests an image in a registry on loopback, and verifies both there.

use std::fs;
use std::process::{Command, Output};

use super::instance::{Caller, Instance, assert_succeeds, said};
use super::stock::Desk;
use super::{assert_refuses, installed, run};
use crate::support::process::Program;

/// Who signs, with which words more, and who verifies: cosign 3 does not read what cosign 2 logs.
const PAIRS: [(&Cosign, &Cosign); 3] =
    [(&COSIGN_3, &COSIGN_3), (&COSIGN_2, &COSIGN_2), (&COSIGN_3, &COSIGN_2)];

const COSIGN_3: Cosign = Cosign {
    program: ".cache/bin/cosign-3",
    sign: &[],
    verify: &[],
    unsigned: ["no signatures found", "no matching attestations"],
};

const COSIGN_2: Cosign = Cosign {
    program: ".cache/bin/cosign-2",
    sign: &["--new-bundle-format"],
    verify: &["--new-bundle-format", "--use-signed-timestamps"],
    unsigned: ["no valid bundles exist in registry", "no valid bundles exist in registry"],
};

/// What it says when the certificate is somebody else's.
const NOBODY: &str = "no matching CertificateIdentity found";

const PROVENANCE: [&str; 2] = ["--type", "slsaprovenance1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cosign_signs_and_attests_images_in_a_registry() {
    for program in ["cosign-3", "cosign-2", "crane"] {
        let Some(_) = installed(program, &format!(".cache/bin/{program}")) else { return };
    }
    let instance = Instance::start_with_tls().await;
    let desk = Desk::with_files(&instance).await;
    let registry = Registry::start(&desk);
    let unsigned = registry.push("another image");
    let predicate = desk.file("predicate.json");
    fs::write(&predicate, r#"{ "buildDefinition": {}, "runDetails": {} }"#).unwrap();
    let caller = instance.workflow();
    for (number, (signer, verifier)) in PAIRS.into_iter().enumerate() {
        let image = registry.push(&format!("image {number}"));
        assert_succeeds(&run(signer.sign(&desk, "sign", &caller).arg(&image)));
        let mut attest = signer.sign(&desk, "attest", &caller);
        attest.args(PROVENANCE).arg("--predicate").arg(&predicate);
        assert_succeeds(&run(attest.arg(&image)));
        verifier.verifies(&desk, &caller, [&image, &unsigned]);
    }
}

/// One of the two, and what it says of an image that nobody signed, or attested.
struct Cosign {
    program: &'static str,
    sign: &'static [&'static str],
    verify: &'static [&'static str],
    unsigned: [&'static str; 2],
}

impl Cosign {
    fn sign(&self, desk: &Desk, verb: &str, caller: &Caller) -> Command {
        let mut command = desk.command(self.program);
        command.args([verb, "--yes", "--identity-token", &caller.token]).args(self.sign);
        command.arg("--signing-config").arg(desk.trusted("signing_config.json"));
        command.arg("--trusted-root").arg(desk.trusted("trusted_root.json"));
        command
    }

    #[track_caller]
    fn verifies(&self, desk: &Desk, caller: &Caller, [image, unsigned]: [&str; 2]) {
        let verify = |verb: &[&str], caller: &Caller, image: &str| -> Output {
            let mut command = desk.command(self.program);
            command.args(verb).args(self.verify);
            command.args(["--certificate-identity", &caller.identity]);
            command.args(["--certificate-oidc-issuer", &caller.issuer]);
            command.arg("--trusted-root").arg(desk.trusted("trusted_root.json"));
            run(command.arg(image))
        };
        let mallory = Caller { identity: "mallory@example.com".to_owned(), ..caller.clone() };
        let elsewhere = Caller { issuer: "https://idp.example.com".to_owned(), ..caller.clone() };
        let attestation = ["verify-attestation", PROVENANCE[0], PROVENANCE[1]];
        for (verb, says) in [&["verify"][..], &attestation].into_iter().zip(self.unsigned) {
            assert_succeeds(&verify(verb, caller, image));
            assert_refuses(&verify(verb, &mallory, image), NOBODY);
            assert_refuses(&verify(verb, &elsewhere, image), NOBODY);
            assert_refuses(&verify(verb, caller, unsigned), says);
        }
    }
}

/// A registry, stopped when dropped.
struct Registry<'a> {
    desk: &'a Desk,
    host: String,
    _server: Program,
}

impl<'a> Registry<'a> {
    fn start(desk: &'a Desk) -> Self {
        let mut command = desk.command(".cache/bin/crane");
        command.args(["registry", "serve", "--address", "127.0.0.1:0"]);
        let server = Program::start(&mut command);
        let port = "serving on port ";
        let port = server.comes_to_tell(port, |said| {
            let (_, rest) = said.split_once(port)?;
            rest.lines().next().map(|port| port.trim().to_owned())
        });
        Self { desk, host: format!("127.0.0.1:{port}"), _server: server }
    }

    /// Pushes an image that holds `text`; yields its name by digest.
    fn push(&self, text: &str) -> String {
        let folder = self.desk.file(text);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), text).unwrap();
        let layer = folder.join("layer.tar");
        let mut tar = Command::new("tar");
        assert_succeeds(&run(tar.arg("-C").arg(&folder).arg("-cf").arg(&layer).arg("file")));
        let mut crane = self.desk.command(".cache/bin/crane");
        crane.args(["append", "--oci-empty-base", "-f"]).arg(layer);
        let pushed = run(crane.arg("-t").arg(format!("{}/app:latest", self.host)));
        assert_succeeds(&pushed);
        let said = said(&pushed);
        let found = said.split_whitespace().find(|word| word.contains("@sha256:"));
        found.expect("the digest").to_owned()
    }
}
