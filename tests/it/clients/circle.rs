//! Every client signs, and every client verifies what every other one signed, against one instance:
//! with the trust files that it serves, over TLS, and without any flag that takes a check away.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Mutex;
use std::time::Duration;

use mayfly::bundle::{self, Bundle, Unverified};
use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::instance::{Caller, Instance, said};
use super::run;
use super::stock::{CLIENTS, Client, Desk, Kind, Signed, present};
use crate::support::written;

const KINDS: [Kind; 2] = [Kind::Blob, Kind::Statement];

/// Pairs that cannot be, and what the verifier says: a test that it still is so.
struct Gap {
    kind: Kind,
    signers: &'static [&'static str],
    verifiers: &'static [&'static str],
    says: &'static str,
}

/// Whose clock can be moved: they ask the C library for the time.
const MOVABLE: [&str; 4] = ["sigstore-python", "sigstore-js", "sigstore-java", "sigstore-rust"];

/// Who logs an attestation as `hashedrekord` over what was signed, as upstream's log wants it.
const NEW: &[&str] = &["cosign 3", "sigstore-go", "sigstore-python", "sigstore-rust"];

/// Who logs it as `dsse`, which upstream's log has dropped.
const OLD: &[&str] = &["cosign 2", "sigstore-js", "sigstore-java"];

/// cosign 2 reads both kinds, everybody else one's own.
const GAPS: [Gap; 6] = [
    Gap {
        kind: Kind::Statement,
        signers: NEW,
        verifiers: &["sigstore-js"],
        says: "digest mismatch",
    },
    Gap {
        kind: Kind::Statement,
        signers: NEW,
        verifiers: &["sigstore-java"],
        says: "Expecting type dsse:0.0.2, but found hashedrekord:0.0.2",
    },
    Gap {
        kind: Kind::Statement,
        signers: OLD,
        // It takes the bundle for one of the old format.
        verifiers: &["cosign 3"],
        says: "only supported with --new-bundle-format",
    },
    Gap {
        kind: Kind::Statement,
        signers: OLD,
        verifiers: &["sigstore-go"],
        says: "dsse implementation for version '0.0.2' not found",
    },
    Gap {
        kind: Kind::Statement,
        signers: OLD,
        verifiers: &["sigstore-python"],
        says: "Unsupported DSSE log entry type: dsse/0.0.2",
    },
    Gap {
        kind: Kind::Statement,
        signers: OLD,
        verifiers: &["sigstore-rust"],
        says: "unsupported Rekor entry format: dsse/0.0.2",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_client_verifies_what_every_client_signed() {
    let instance = Instance::start_with_tls().await;
    let mut circle = Circle::of(&instance, Desk::with_files(&instance).await);
    let mut faults = circle.signs();
    faults.extend(circle.verifies(&product(&circle.clients, &circle.clients)));
    faults.extend(circle.refuses());
    faults.extend(circle.is_verified_by_ours());
    faults.extend(circle.verifies_in_a_year());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_client_signs_and_verifies_by_the_repository_alone() {
    let instance = Instance::start_with_tls().await;
    let circle = Circle::of(&instance, Desk::with_repository(&instance));
    let mut faults = circle.signs();
    let own: Vec<_> = circle.clients.iter().map(|&client| (client, client)).collect();
    faults.extend(circle.verifies(&own));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn docs_clients_md_says_who_verifies_what() {
    written("docs/clients.md", &format!("{}\n{}", PAGE.trim_end(), KINDS.map(table).concat()));
}

/// What stands above the tables.
const PAGE: &str = include_str!("clients.md");

fn table(kind: Kind) -> String {
    let title = match kind {
        Kind::Blob => "A file",
        Kind::Statement => "An attestation (in-toto statement with SLSA provenance, version 1)",
    };
    let row = |first: &str, cells: &[&str]| format!("| {first} | {} |\n", cells.join(" | "));
    let mut table = format!("\n## {title}\n\n");
    table += &row("signed by ↓, verified by →", &CLIENTS.each_ref().map(|client| client.name));
    table += &row("---", &[":-:"; CLIENTS.len()]);
    for signer in &CLIENTS {
        let cell = |verifier| if gap(kind, signer, verifier).is_none() { "yes" } else { "–" };
        table += &row(signer.name, &CLIENTS.each_ref().map(cell));
    }
    table
}

/// What was signed by whom, and where.
struct Circle {
    clients: Vec<&'static Client>,
    desk: Desk,
    /// Who signs blobs, and who statements: a person and a job.
    callers: [Caller; 2],
    artifact: PathBuf,
    statement: PathBuf,
}

impl Circle {
    fn of(instance: &Instance, desk: Desk) -> Self {
        let artifact = desk.file("artifact");
        fs::write(&artifact, "an artifact").unwrap();
        let statement = desk.file("statement.json");
        fs::write(&statement, provenance(b"an artifact").to_string()).unwrap();
        let callers = [instance.alice(), instance.workflow()];
        Self { clients: present(), desk, callers, artifact, statement }
    }

    fn bundle(&self, kind: Kind, signer: &Client) -> PathBuf {
        self.desk.file(&format!("{}.{kind:?}.json", signer.name))
    }

    fn caller(&self, kind: Kind) -> &Caller {
        &self.callers[kind as usize]
    }

    /// Lets every client sign; yields what went wrong.
    fn signs(&self) -> Vec<String> {
        two_at_a_time(&product(&KINDS, &self.clients), |&(kind, signer)| {
            let file = if kind == Kind::Blob { &self.artifact } else { &self.statement };
            let bundle = &self.bundle(kind, signer);
            let output =
                self.desk.sign(signer, &Signed { kind, by: self.caller(kind), file, bundle });
            fault(&output, None, &format!("{} signs a {kind:?}", signer.name))
        })
    }

    /// Lets pairs of signer and verifier show that one verifies what the other signed.
    fn verifies(&self, pairs: &[(&Client, &Client)]) -> Vec<String> {
        two_at_a_time(&product(&KINDS, pairs), |&(kind, (signer, verifier))| {
            let bundle = &self.bundle(kind, signer);
            let signed = Signed { kind, by: self.caller(kind), file: &self.artifact, bundle };
            let output = self.desk.verify(verifier, &signed);
            let what = format!("{} verifies a {kind:?} of {}", verifier.name, signer.name);
            fault(&output, gap(kind, signer, verifier), &what)
        })
    }

    /// Lets those whose clock can be moved verify when the certificate is long past.
    fn verifies_in_a_year(&mut self) -> Vec<String> {
        let year = Duration::from_secs(365 * 86_400);
        let then = SystemClock.now().plus(year).floor();
        if !self.desk.move_clock(then.to_string().replace('T', " ").trim_end_matches('Z')) {
            return Vec::new();
        }
        let told = said(&run(self.desk.command("date").arg("+%s")));
        assert!(told.trim().parse::<u64>().unwrap() >= then.as_secs(), "the clock did not move");
        let by_name = |name: &str| self.clients.iter().find(|client| client.name == name);
        let verifiers = MOVABLE.into_iter().filter_map(by_name);
        let pairs = by_name("cosign 3")
            .into_iter()
            .flat_map(|signer| verifiers.clone().map(|verifier| (*signer, *verifier)));
        self.verifies(&pairs.collect::<Vec<_>>())
    }

    /// Verifies the blobs of every client with the module that the demo verifies with, a day later.
    fn is_verified_by_ours(&self) -> Vec<String> {
        let trust = fs::read(self.desk.trusted("trusted_root.json")).unwrap();
        let trust = bundle::trusted_root(&trust).unwrap();
        let (file, later) = (fs::read(&self.artifact).unwrap(), Duration::from_secs(24 * 60 * 60));
        let later = SystemClock.now().plus(later);
        let verify = |signer: &&Client| {
            let json = fs::read(self.bundle(Kind::Blob, signer)).map_err(|e| e.to_string())?;
            let bundle = Bundle::from_json(&json).map_err(|e| e.to_string())?;
            let verified = bundle.verify(&file, &trust, later).map_err(|e| e.to_string())?;
            match bundle.verify(b"changed", &trust, later) {
                Err(Unverified::OtherFile)
                    if verified.certificate.sans()
                        == [self.caller(Kind::Blob).identity.clone()] =>
                {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        };
        let faults = self.clients.iter().filter_map(|signer| {
            verify(signer).err().map(|error| format!("mayfly verifies {}: {error}", signer.name))
        });
        faults.collect()
    }

    /// Asks every client about its own signatures what is not so.
    fn refuses(&self) -> Vec<String> {
        let changed = self.desk.file("changed");
        fs::write(&changed, "an artefact").unwrap();
        two_at_a_time(&product(&KINDS, &self.clients), |&(kind, client)| {
            let by = self.caller(kind);
            let mallory = Caller { identity: "mallory@example.com".to_owned(), ..by.clone() };
            let elsewhere = Caller { issuer: "https://idp.example.com".to_owned(), ..by.clone() };
            let bundle = &self.bundle(kind, client);
            let right = Signed { kind, by, file: &self.artifact, bundle };
            let faults: Vec<_> = [
                (Signed { by: &mallory, ..right }, client.identity),
                (Signed { by: &elsewhere, ..right }, client.issuer),
                (Signed { file: &changed, ..right }, client.artifact[kind as usize]),
            ]
            .into_iter()
            .filter_map(|(wrong, says)| {
                let what = format!("{} is asked about a {kind:?} what is not so", client.name);
                fault(&self.desk.verify(client, &wrong), Some(says), &what)
            })
            .collect();
            (!faults.is_empty()).then(|| faults.join("\n"))
        })
    }
}

/// A statement with SLSA's provenance, version 1, about `artifact`.
fn provenance(artifact: &[u8]) -> Value {
    let digest: String =
        Sha256::digest(artifact).iter().map(|octet| format!("{octet:02x}")).collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "artifact", "digest": { "sha256": digest } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://example.com/build/v1",
                "externalParameters": { "ref": "refs/heads/main" },
                "internalParameters": {},
                "resolvedDependencies": [],
            },
            "runDetails": { "builder": { "id": "https://example.com/builder" }, "metadata": {} },
        },
    })
}

/// What a verifier says of a pair that cannot be.
fn gap(kind: Kind, signer: &Client, verifier: &Client) -> Option<&'static str> {
    let is_it = |gap: &&Gap| {
        gap.kind == kind
            && gap.signers.contains(&signer.name)
            && gap.verifiers.contains(&verifier.name)
    };
    GAPS.iter().find(is_it).map(|gap| gap.says)
}

/// Says what is wrong with an answer: it is not the success, or the refusal, that was expected.
fn fault(output: &Output, refusal: Option<&str>, what: &str) -> Option<String> {
    let said = said(output);
    let right = match refusal {
        None => output.status.success(),
        Some(says) => !output.status.success() && said.contains(says),
    };
    let wanted = refusal.map_or("success".to_owned(), |says| format!("{says:?}"));
    (!right)
        .then(|| format!("{what}: {wanted} expected:\n    {}", said.trim().replace('\n', "\n    ")))
}

/// Each of the one with each of the other.
pub fn product<A: Copy, B: Copy>(left: &[A], right: &[B]) -> Vec<(A, B)> {
    left.iter().flat_map(|&one| right.iter().map(move |&other| (one, other))).collect()
}

/// Does all of `work`, on two threads; yields what came of it.
fn two_at_a_time<T: Sync>(work: &[T], job: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let queue = Mutex::new(work.iter());
    let next = || queue.lock().unwrap().next();
    let worker = || std::iter::from_fn(next).filter_map(&job).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}
