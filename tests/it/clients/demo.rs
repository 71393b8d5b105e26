//! What the demo signs is for stock clients to verify.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::instance::assert_succeeds;
use super::{assert_refuses, clients, installed, run};
use crate::support::process::Program;

const IDENTITY: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main";

/// `mayfly demo`, killed when dropped, and what it prints.
struct Demo {
    process: Program,
    issuer: String,
    bundle: PathBuf,
}

impl Demo {
    fn start() -> Self {
        let process = Program::start(Command::new(env!("CARGO_BIN_EXE_mayfly")).arg("demo"));
        let mut lines = process.lines();
        let mut after = |begin: &str, end: &str| {
            let line = lines.find_map(|line| Some(line.split_once(begin)?.1.to_owned()));
            let rest = line.unwrap_or_else(|| panic!("no {begin:?}"));
            rest.split(end).next().unwrap().to_owned()
        };
        let issuer = after("curl -s ", "/token");
        let bundle = after("cosign verify-blob --bundle ", " ").into();
        Self { process, issuer, bundle }
    }

    fn folder(&self) -> &Path {
        self.bundle.parent().unwrap()
    }

    /// The trust files, as it advises to export them.
    fn trust(&self) -> PathBuf {
        let folder = self.folder().join("trust");
        let mut export = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        export.args(["trust", "export"]).arg(&folder);
        export.arg("--config").arg(self.folder().join("mayfly.yaml"));
        assert_succeeds(&run(&mut export));
        folder
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.process.kill();
        // It was killed, and could not remove its folder.
        let _ = fs::remove_dir_all(self.folder());
    }
}

#[test]
fn cosign_3_verifies_what_the_demo_signed() {
    let Some(cosign) = installed("cosign 3", ".cache/bin/cosign-3") else { return };
    let demo = Demo::start();
    let trust = demo.trust();
    let verify = |file: &Path| -> Output {
        let mut command = Command::new(&cosign);
        command.arg("verify-blob").arg("--bundle").arg(&demo.bundle);
        command.arg("--trusted-root").arg(trust.join("trusted_root.json"));
        command.args(["--certificate-identity", IDENTITY]);
        command.args(["--certificate-oidc-issuer", &demo.issuer]);
        run(command.arg(file).env("HOME", demo.folder()))
    };
    is_verified(&demo, verify, "could not verify message");
}

#[test]
fn sigstore_python_verifies_what_the_demo_signed() {
    let file = ".cache/python/bin/python";
    let Some(python) = installed("sigstore-python", file) else { return };
    let demo = Demo::start();
    let trust = demo.trust();
    let verify = |file: &Path| -> Output {
        let mut command = Command::new(&python);
        command.arg(clients().join("python/client.py")).arg("verify").arg(&trust);
        command.args([IDENTITY, &demo.issuer]).arg(file).arg(&demo.bundle);
        run(command.env("HOME", demo.folder()))
    };
    is_verified(&demo, verify, "Bundle message digest mismatch");
}

fn is_verified(demo: &Demo, verify: impl Fn(&Path) -> Output, refusal: &str) {
    assert_succeeds(&verify(&demo.folder().join("file")));
    let changed = demo.folder().join("changed");
    fs::write(&changed, "another file").unwrap();
    assert_refuses(&verify(&changed), refusal);
}
