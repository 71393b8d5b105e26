//! kill -9, again and again, under load: no certificate that a client holds is ever lost, and no entry of a
//! signature that was acknowledged.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mayfly::cli::client::Client;
use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::faults::chance::Chance;
use crate::faults::instance::Instance;
use crate::support::process::{Run as _, Server};

const KILLS: u32 = 50;
const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_holds_survives_fifty_kills() {
    let instance = Instance::new().await;
    let mut chance = Chance::new(0x6d61_7966_6c79);
    for _ in 0..KILLS {
        let mut server = instance.start();
        let client = Client::new(&server.url);
        instance.see(&client).await;
        let callers = instance.load(&server, CALLERS, usize::MAX);
        // It dies when one caller has its answer, and the others are somewhere in the middle.
        for _ in 0..=chance.below(5) {
            assert_eq!(instance.ask(&client).await, Some(200));
        }
        server.kill();
        callers.join_all().await;
    }
    let held = instance.judge().await;
    assert!(held > 200, "only {held} certificates: the load was no load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_the_process_and_loses_nothing() {
    let instance = Instance::new().await;
    // Made with room, then served without.
    instance.start().kill();
    let mut server = Server::start_on_full_disk(1024, &instance.arguments()[1..]);
    instance.see(&Client::new(&server.url)).await;
    let callers = instance.load(&server, CALLERS, usize::MAX);
    let code = tokio::task::spawn_blocking(move || server.ended()).await.expect("it ends");
    assert_eq!(code, Some(1), "an error of the store ends the process");
    callers.join_all().await;
    let held = instance.judge().await;
    assert!(held > 0, "nothing was issued before the disk was full");
}

/// What the signature log has acknowledged: entries by their index.
type Acknowledged = Arc<Mutex<BTreeMap<u64, Vec<u8>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_signature_log_acknowledged_survives_ten_kills() {
    let (instance, held) = (Instance::new().await, Acknowledged::default());
    for life in 0..10 {
        let mut server = instance.start();
        let mut callers = JoinSet::new();
        for caller in 0..4 {
            let name = format!("{life} {caller}");
            callers.spawn(sign(server.url.clone(), name, Arc::clone(&held), usize::MAX));
        }
        // It dies when one caller has its answer, and the others are somewhere in the middle.
        let one = sign(server.url.clone(), format!("{life}"), Arc::clone(&held), 5);
        assert_eq!(one.await, 5, "acknowledged in life {life}: {}", server.said());
        server.kill();
        callers.join_all().await;
    }
    let _server = instance.start();
    let (year, held) = (SystemClock.now().year(), held.lock().unwrap().clone());
    let served = entries(&instance, year).await;
    assert!(held.len() > 100, "only {} were acknowledged: the load was no load", held.len());
    for (index, entry) in held {
        assert!(served[usize::try_from(index).unwrap()] == entry, "entry {index} is another one");
    }
    let shard = format!("tlog/{year}");
    for command in [
        vec!["log", "fsck", "--shard", &shard],
        vec!["log", "backup", "--shard", &shard, "copy.sqlite"],
    ] {
        let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        mayfly.args(&command).args(&instance.arguments()[1..]).current_dir(instance.folder());
        let output = mayfly.run().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    }
    let mut verify = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    verify.args(["log", "verify", &format!("http://{}/{shard}/api/v2", instance.listen)]);
    let output = verify.env("XDG_STATE_HOME", instance.folder()).run().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("127.0.0.1 holds"), "{said}");
    assert!(said.contains(&format!("entries  {} ", served.len())), "{said}");
}

/// Logs so many signatures, as long as there are answers; yields how many were acknowledged.
async fn sign(url: String, name: String, held: Acknowledged, count: usize) -> usize {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let spki = BASE64_STANDARD.encode(key.public_key().as_der().unwrap().as_ref());
    let verifier =
        json!({ "publicKey": { "rawBytes": spki }, "keyDetails": "PKIX_ECDSA_P256_SHA_256" });
    let client = Client::new(&url);
    for number in 0..count {
        let message = format!("{name} {number}");
        let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        let request = json!({ "hashedRekordRequestV002": {
            "digest": BASE64_STANDARD.encode(digest(&SHA256, message.as_bytes())),
            "signature": { "content": BASE64_STANDARD.encode(signature), "verifier": verifier },
        } });
        let answer = client.post("/api/v2/log/entries", request.to_string()).await;
        let Ok(answer) = answer else { return number };
        if answer.status != 201 {
            return number;
        }
        let entry: Value = serde_json::from_slice(&answer.body).unwrap();
        let index = entry["logIndex"].as_str().unwrap().parse().unwrap();
        let body = BASE64_STANDARD.decode(entry["canonicalizedBody"].as_str().unwrap()).unwrap();
        let before = held.lock().unwrap().insert(index, body);
        assert!(before.is_none(), "two entries with one index, {index}");
    }
    count
}

/// Every entry that is served.
async fn entries(instance: &Instance, year: u64) -> Vec<Vec<u8>> {
    let client = Client::new(&format!("http://{}", instance.listen));
    let path = format!("/tlog/{year}/api/v2");
    let checkpoint = client.get(&format!("{path}/checkpoint")).await.unwrap();
    let checkpoint = String::from_utf8(checkpoint.to_vec()).unwrap();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let mut entries = Vec::new();
    for tile in 0..size.div_ceil(256) {
        let width = (size - tile * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let tile = client.get(&format!("{path}/tile/entries/{tile:03}{partial}")).await.unwrap();
        let mut rest = &tile[..];
        while let Some((length, after)) = rest.split_first_chunk() {
            let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
            entries.push(entry.to_vec());
            rest = after;
        }
    }
    entries
}
