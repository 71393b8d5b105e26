//! The log of the real binary, judged by other people's code: Sunlight's client reads it as
//! static-ct-api has it, ct-go's as RFC 6962 has it, and they must find the same; Rekor's own code makes the
//! entries of its signature log again, and Torchwood's client reads them. And a log that Tessera wrote, judged
//! by ours.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::cli::verify::{self, VerifyArgs};
use tokio::task::JoinSet;

use super::instance::{Instance, assert_succeeds, said};
use super::{installed, run};

/// What only one of the judges' many questions is about.
const QUESTIONS: [&str; 11] = [
    "/checkpoint",
    "/tile/data/000",
    "/tile/data/001.p",
    "/tile/0/000",
    "/tile/0/001.p",
    "/issuer/",
    "/get-sth",
    "/get-sth-consistency",
    "/get-entries",
    "/get-proof-by-hash",
    "/get-entry-and-proof",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sunlight_and_ct_go_find_one_true_log_and_every_changed_bit() {
    let Some(program) = installed("judges", ".cache/bin/judges") else { return };
    let judges = Judges::of(program, Instance::start().await);
    issue(&judges.instance, 300).await;
    let first = judges.visit(&[]);
    assert_succeeds(&first);
    assert!(said(&first).contains("holds: 300 entries"), "{}", said(&first));

    issue(&judges.instance, 120).await;
    for question in QUESTIONS {
        let flipped = judges.visit(&["-flip", question]);
        assert!(!flipped.status.success(), "nobody noticed a changed bit of {question}");
    }
    let second = judges.visit(&[]);
    assert_succeeds(&second);
    assert!(said(&second).contains("holds: 420 entries"), "{}", said(&second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rekors_code_makes_the_same_entries_and_torchwood_reads_them_all() {
    let Some(program) = installed("judges", ".cache/bin/signatures") else { return };
    let instance = Instance::start().await;
    let visit =
        |more: &[&str]| run(Command::new(&program).args(["-url", &instance.url]).args(more));
    let first = visit(&[]);
    assert_succeeds(&first);
    // One entry of its own, six kinds of keys, and an envelope.
    assert!(said(&first).contains("holds: 8 entries"), "{}", said(&first));
    for question in ["/log/entries", "/checkpoint", "/tile/0/", "/tile/entries/"] {
        let flipped = visit(&["-flip", question]);
        assert!(!flipped.status.success(), "nobody noticed a changed bit of {question}");
    }
}

/// Tessera writes partial tiles beside full ones, and a signature that nobody here knows.
#[tokio::test]
async fn our_judge_finds_a_log_of_tessera_true_and_every_changed_octet() {
    let Some(program) = installed("judges", ".cache/bin/tessera") else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::create_dir(&log).unwrap();
    assert_succeeds(&run(Command::new(program).arg(&log).arg("300")));
    let args = VerifyArgs {
        log: log.to_str().unwrap().to_owned(),
        key: Some(log.join("log.der")),
        state: Some(folder.path().join("state.json")),
        token_file: None,
        tree_only: false,
        json: true,
    };
    let mut out = Vec::new();
    verify::run(&args, &mut out).await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&report["size"], &report["key"]), (&300.into(), &"given".into()));
    assert_eq!(report["unchecked"], 0);
    for file in ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/data/000"] {
        let path = log.join(file);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        // Past the origin of the checkpoint, within the first half of whatever else.
        changed[whole.len() / 4] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(verify::run(&args, &mut Vec::new()).await.is_err(), "{file}");
        fs::write(&path, whole).unwrap();
    }
}

/// The judges, and the instance that they visit.
struct Judges {
    program: PathBuf,
    instance: Instance,
    key: PathBuf,
    vkey: String,
}

impl Judges {
    fn of(program: PathBuf, instance: Instance) -> Self {
        let pem = fs::read(instance.trust().join("ct.pem")).unwrap();
        let (_, spki) = der::pem::decode_vec(&pem).unwrap();
        let key = instance.file("log.der");
        fs::write(&key, spki).unwrap();
        let shown = instance.mayfly(&["trust", "show"]);
        let origin = instance.log().replace("http://", "");
        let mut vkeys = shown.lines().filter_map(|line| line.trim().strip_prefix("vkey"));
        let vkey = vkeys.find(|key| key.trim().starts_with(&origin));
        let vkey = vkey.expect("the key of the second signature").trim().to_owned();
        Self { program, instance, key, vkey }
    }

    fn visit(&self, more: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.program);
        command.args(["-log", &self.instance.log(), "-vkey", &self.vkey, "-key"]).arg(&self.key);
        command.arg("-seen").arg(self.instance.file("seen.json")).args(more);
        run(&mut command)
    }
}

/// Gets certificates, a few at a time.
async fn issue(instance: &Instance, count: usize) {
    const CALLERS: usize = 4;
    let body = Requester::new().and_then(|r| r.request(&instance.alice().token)).unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, body) = (Client::new(&instance.url), body.clone());
        callers.spawn(async move {
            for _ in 0..count / CALLERS {
                let answer = client.post("/api/v2/signingCert", body.clone()).await.unwrap();
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            }
        });
    }
    callers.join_all().await;
}
