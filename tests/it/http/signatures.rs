//! The signature log through its doors: what goes in, what comes out, and what is refused.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use der::Decode as _;
use mayfly::authority::Request as Exchange;
use mayfly::config::Readers;
use mayfly::http::grpc::rekor as wire;
use mayfly::http::rate::Rate;
use mayfly::http::{Access, App, router};
use mayfly::log::Log;
use mayfly::log::shards::Shards;
use mayfly::possession::Proof;
use mayfly::record::Caller;
use mayfly::signatures::{Admission, Signatures};
use mayfly::time::Timestamp;
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::{Hash, leaf_hash, verify_inclusion};
use mayfly::tlog::note::SignedNote;
use mayfly::trust::Material;
use serde_json::{Value, json};
use tonic::{Code, Request};

use super::authority::TestAuthority;
use super::grpc;
use super::wire::{Answer, Running};
use crate::support::issuer::{FakeIssuer, MIDNIGHT};
use crate::support::patience::soon;

/// A log on a port.
struct Bench {
    issuer: FakeIssuer,
    authority: TestAuthority,
    log: Log,
    server: Running,
}

impl Bench {
    async fn new(issued: bool) -> Self {
        let issuer = FakeIssuer::start().await;
        let authority = TestAuthority::trusting(&issuer, |signer| signer);
        let (log, server) = serve(&authority, issued, None).await;
        Self { issuer, authority, log, server }
    }

    /// The same log, closed and opened again.
    async fn again(self) -> Self {
        let Self { issuer, authority, log, server } = self;
        soon("the log is closed", log.close()).await;
        server.ended().await;
        drop(log);
        let (log, server) = serve(&authority, false, None).await;
        Self { issuer, authority, log, server }
    }

    async fn post(&self, body: &str) -> Answer {
        post(&self.server, "application/json", body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.server.get(path).await
    }

    /// Logs a signature, and checks everything that is answered; yields its index.
    async fn logs(&self, request: &Value) -> u64 {
        let answer = self.post(&request.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        holds(&serde_json::from_slice(&answer.body).unwrap(), &self.log)
    }
}

async fn serve(authority: &TestAuthority, issued: bool, rate: Option<Rate>) -> (Log, Running) {
    let log = authority.signature_log();
    let shared = Arc::clone(&authority.authority);
    let succession = shared.succession.clone();
    let admits = if issued { Admission::Issued(succession) } else { Admission::Anyone };
    let (clock, logs) = (authority.clock.clone(), Shards::new(vec![log.clone()]));
    let readers = || Access::to_log(&Readers::Anyone, false);
    let app = App::new(shared, &Material::default()).with_access(readers(), readers());
    let app = app.with_signatures(Signatures { clock, logs, admits }, rate);
    (log, Running::start(router(app)).await)
}

async fn post(server: &Running, kind: &str, body: &str) -> Answer {
    let request = format!(
        "POST /api/v2/log/entries HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    server.ask(request.as_bytes()).await
}

/// Checks what was answered as a client does who has the log's key alone; yields the index.
#[track_caller]
fn holds(entry: &Value, log: &Log) -> u64 {
    let octets = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let members: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    let all = "logIndex logId kindVersion integratedTime inclusionPromise inclusionProof canonicalizedBody";
    assert_eq!(members.join(" "), all);
    let key = PublicKey::from_spki(log.public_key()).unwrap();
    assert_eq!(octets(&entry["logId"]["keyId"]), key.id());
    assert_eq!((&entry["integratedTime"], &entry["inclusionPromise"]), (&json!("0"), &Value::Null));
    let (index, body) = (number(&entry["logIndex"]), octets(&entry["canonicalizedBody"]));
    let content: Value = serde_json::from_slice(&body).unwrap();
    let kind_version = json!({ "kind": content["kind"], "version": content["apiVersion"] });
    assert_eq!(entry["kindVersion"], kind_version);
    let proof = &entry["inclusionProof"];
    assert_eq!(number(&proof["logIndex"]), index);
    let envelope = proof["checkpoint"]["envelope"].as_str().unwrap();
    let note: SignedNote = envelope.parse().unwrap();
    // The log key's comes first; its id is the log's.
    assert_eq!(note.signatures[0].key_id, key.id()[..4]);
    let checkpoint = key.verify_note(&note).unwrap();
    assert_eq!(checkpoint.origin, "test");
    let hash = |octets: Vec<u8>| Hash(octets.try_into().unwrap());
    let tree = (number(&proof["treeSize"]), hash(octets(&proof["rootHash"])));
    assert_eq!((checkpoint.size, checkpoint.root), tree);
    let hashes: Vec<Hash> =
        proof["hashes"].as_array().unwrap().iter().map(|it| hash(octets(it))).collect();
    assert!(!hashes.is_empty(), "some clients take an empty proof for none");
    verify_inclusion((index, leaf_hash(&body)), tree, &hashes).unwrap();
    index
}

/// Somebody with a key.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn spki(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    fn key(&self) -> Value {
        json!({
            "publicKey": { "rawBytes": BASE64_STANDARD.encode(self.spki()) },
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        })
    }

    /// The signature of a message.
    fn request(&self, message: &str) -> Value {
        self.request_by(message, &self.key())
    }

    fn request_by(&self, message: &str, verifier: &Value) -> Value {
        json!({ "hashedRekordRequestV002": {
            "digest": BASE64_STANDARD.encode(digest(&SHA256, message.as_bytes())),
            "signature": {
                "content": BASE64_STANDARD.encode(self.sign(message.as_bytes())),
                "verifier": verifier,
            },
        } })
    }

    /// A signed envelope.
    fn envelope(&self, payload: &str) -> Value {
        let signed = format!("DSSEv1 10 text/plain {} {payload}", payload.len());
        json!({ "dsseRequestV002": {
            "envelope": {
                "payload": BASE64_STANDARD.encode(payload),
                "payloadType": "text/plain",
                "signatures": [{ "sig": BASE64_STANDARD.encode(self.sign(signed.as_bytes())) }],
            },
            "verifiers": [self.key()],
        } })
    }

    /// Has the key certified.
    async fn certificate(&self, bench: &Bench) -> Vec<u8> {
        let claims =
            json!({ "sub": "alice", "email": "alice@example.com", "email_verified": true });
        let proof =
            Proof::SignedChallenge { key: self.spki(), signature: self.sign(b"alice@example.com") };
        let (token, caller) = (bench.issuer.token(claims), Caller::default());
        let exchange = Exchange { token, proof, caller };
        bench.authority.authority.issue(exchange).await.unwrap().certificate.der().to_vec()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_logged_and_proven() {
    let (bench, signer) = (Bench::new(false).await, Signer::new());
    assert_eq!(bench.logs(&signer.request("one")).await, 1);
    assert_eq!(bench.logs(&signer.envelope("two")).await, 2);
    // As protobuf's JSON may have it, too.
    let three = signer.request("three").to_string();
    let snake = three
        .replace("hashedRekordRequestV002", "hashed_rekord_request_v002")
        .replace("publicKey", "public_key")
        .replace("rawBytes", "raw_bytes")
        .replace("keyDetails", "key_details")
        .replace("\"PKIX_ECDSA_P256_SHA_256\"", "5");
    let answer = bench.post(&snake).await;
    assert_eq!(holds(&serde_json::from_slice(&answer.body).unwrap(), &bench.log), 3);
    let with_parameter = post(&bench.server, "application/json; charset=utf-8", &three).await;
    assert_eq!(holds(&serde_json::from_slice(&with_parameter.body).unwrap(), &bench.log), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_is_answered_with_the_entry_that_there_is() {
    let (bench, signer) = (Bench::new(false).await, Signer::new());
    let requests: Vec<Value> = (0..300).map(|number| signer.request(&number.to_string())).collect();
    // All at once, and each three times.
    let all = requests.iter().flat_map(|request| [request; 3]);
    let mut answers = tokio::task::JoinSet::new();
    let bench = Arc::new(bench);
    for (place, request) in all.cloned().enumerate() {
        let bench = Arc::clone(&bench);
        answers.spawn(async move { (place / 3, bench.logs(&request).await) });
    }
    let answered = answers.join_all().await;
    assert_eq!(bench.log.head().size, 301);
    let mut indexes = vec![None; requests.len()];
    for (request, index) in answered {
        assert_eq!(*indexes[request].get_or_insert(index), index);
    }
    // After a restart nothing is remembered, and the index may have come anywhere.
    let bench = Arc::into_inner(bench).unwrap().again().await;
    for (request, index) in requests.iter().zip(indexes).step_by(20) {
        assert_eq!(Some(bench.logs(request).await), index);
    }
    assert_eq!(bench.log.head().size, 301);
    // Another signature of the same is another entry.
    assert_eq!(bench.logs(&signer.request("0")).await, 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_at_fault_is_refused_and_leaves_nothing() {
    let (bench, signer) = (Bench::new(false).await, Signer::new());
    let request = signer.request("one");
    let other = |pointer: &str, value: Value| {
        let mut changed = request.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed.to_string()
    };
    let root = "/hashedRekordRequestV002";
    let content = format!("{root}/signature/content");
    let verifier = format!("{root}/signature/verifier");
    let details = format!("{verifier}/keyDetails");
    let octets = |length: usize| json!(BASE64_STANDARD.encode(vec![7; length]));
    let both = json!({ "publicKey": {}, "x509Certificate": {}, "keyDetails": 5 });
    let unknown = request.to_string().replace("\"digest\"", "\"extra\":1,\"digest\"");
    let twice = request.to_string().replace("\"digest\"", "\"signature\":null,\"digest\"");
    for (body, status, words) in [
        (String::new(), 400, "the request has no hashedRekordRequestV002"),
        ("{}".into(), 400, "the request has no hashedRekordRequestV002"),
        ("[]".into(), 400, "expected an object"),
        ("{\"hashedRekordRequestV002\":".into(), 400, "breaks off"),
        (unknown, 400, "expected `digest` or `signature`"),
        (twice, 400, "duplicate field `signature`"),
        (other(root, json!({})), 400, "the request has no signature"),
        (other(&format!("{root}/digest"), Value::Null), 400, "the request has no digest"),
        (other(&format!("{root}/digest"), octets(31)), 400, "the digest has 31 octets"),
        (other(&format!("{root}/digest"), octets(64)), 400, "SHA2_256, which has 32"),
        (other(&format!("{root}/digest"), octets(32)), 400, "not one of this digest"),
        (other(&format!("{root}/digest"), json!("a b")), 400, "expected base64"),
        (other(&content, octets(70)), 400, "not one of this digest"),
        (other(&content, json!("")), 400, "the request has no signature.content"),
        (other(&verifier, Value::Null), 400, "the request has no signature.verifier"),
        (other(&verifier, json!({ "keyDetails": 5 })), 400, "the request has no verifier"),
        (other(&verifier, both), 400, "both publicKey and x509Certificate"),
        (other(&details, json!("PKIX_ED25519")), 400, "goes with PKIX_ECDSA_P256_SHA_256"),
        (other(&details, json!("PKIX_ED25519_PH")), 400, "not an algorithm that this log takes"),
        (other(&details, json!("MD5")), 400, "not an algorithm that this log takes"),
        (other(&details, json!(4)), 400, "not an algorithm that this log takes"),
        (other(&details, Value::Null), 400, "the request has no verifier.keyDetails"),
        (other(&details, json!(true)), 400, "expected a name or a whole number"),
        (
            other(&verifier, json!({ "x509Certificate": { "rawBytes": "MAA=" }, "keyDetails": 5 })),
            400,
            "not a certificate",
        ),
        (
            other(&verifier, json!({ "publicKey": { "rawBytes": "MAA=" }, "keyDetails": 5 })),
            400,
            "the public key cannot be read",
        ),
        (format!("{{\"x\":\"{}\"}}", "x".repeat(4 << 20)), 413, "takes 4194304 octets"),
    ] {
        let answer = bench.post(&body).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{}: {text}", &body[..body.len().min(200)]);
        assert!(text.contains(words), "{words}: {text}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"] {
        let answer = post(&bench.server, kind, &request.to_string()).await;
        assert_eq!(answer.status, 415, "{}", answer.text());
    }
    let wrong_method = bench.get("/api/v2/log/entries").await;
    assert_eq!(wrong_method.status, 405);
    assert_eq!(bench.log.head().size, 1, "nothing is logged of what is refused");
    // And the request itself does hold.
    assert_eq!(bench.logs(&request).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_with_a_certificate_of_ours_where_it_says_so() {
    let (bench, signer) = (Bench::new(true).await, Signer::new());
    let refused = bench.post(&signer.request("one").to_string()).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("CERTIFICATE_FOREIGN"), "{}", refused.text());
    let der = signer.certificate(&bench).await;
    let verifier = |der: &[u8]| {
        let certificate = json!({ "rawBytes": BASE64_STANDARD.encode(der) });
        json!({ "x509Certificate": certificate, "keyDetails": "PKIX_ECDSA_P256_SHA_256" })
    };
    let request = |message: &str| signer.request_by(message, &verifier(&der));
    assert_eq!(bench.logs(&request("one")).await, 1);
    // Somebody else's: the same with one bit of its signature changed, which no check of DER sees.
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(x509_cert::Certificate::from_der(&forged).is_ok());
    let stranger = signer.request_by("one", &verifier(&forged)).to_string();
    assert_eq!(bench.post(&stranger).await.status, 403);
    // Of an envelope all who signed are asked for one, and nobody else.
    let with_ours = |mut envelope: Value| {
        let verifiers = &mut envelope["dsseRequestV002"]["verifiers"];
        verifiers.as_array_mut().unwrap().push(verifier(&der));
        envelope
    };
    let stranger = Signer::new();
    let both = {
        let theirs = stranger.envelope("two");
        let mut both = with_ours(signer.envelope("two"));
        for member in ["/dsseRequestV002/envelope/signatures", "/dsseRequestV002/verifiers"] {
            let theirs = theirs.pointer(member).unwrap().as_array().unwrap().clone();
            both.pointer_mut(member).unwrap().as_array_mut().unwrap().extend(theirs);
        }
        both
    };
    for foreign in [signer.envelope("two"), with_ours(stranger.envelope("two")), both] {
        let answer = bench.post(&foreign.to_string()).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    assert_eq!(bench.logs(&with_ours(signer.envelope("two"))).await, 2);
    // It ends ten minutes after midnight, and counts an hour longer.
    for (seconds, status) in [(4200, 201), (4202, 403)] {
        bench.authority.clock.set(Timestamp::from_secs(MIDNIGHT + seconds));
        let answer = bench.post(&request(&seconds.to_string()).to_string()).await;
        assert_eq!(answer.status, status, "{seconds}: {}", answer.text());
    }
    assert_eq!(bench.log.head().size, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_may_come_so_often() {
    let issuer = FakeIssuer::start().await;
    let authority = TestAuthority::trusting(&issuer, |signer| signer);
    let once = std::num::NonZeroU32::MIN;
    let (_log, server) = serve(&authority, false, Some(Rate::per_second(once, once))).await;
    let request = Signer::new().request("one").to_string();
    let ask = || post(&server, "application/json", &request);
    let answers: [Answer; 3] = tokio::join!(ask(), ask(), ask()).into();
    let statuses = answers.map(|answer| answer.status);
    assert!(statuses.contains(&201) && statuses.contains(&429), "{statuses:?}");
    // Reading is as free as before.
    assert_eq!(server.get("/api/v2/checkpoint").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_takes_the_same() {
    const CREATE: &str = "/dev.sigstore.rekor.v2.Rekor/CreateEntry";
    let (bench, signer) = (Bench::new(false).await, Signer::new());
    let message = |text: &str, content: Vec<u8>| wire::CreateEntryRequest {
        spec: Some(wire::Spec::HashedRekordRequestV002(wire::HashedRekordRequestV002 {
            digest: digest(&SHA256, text.as_bytes()).as_ref().to_vec(),
            signature: Some(wire::Signature {
                content,
                verifier: Some(wire::Verifier {
                    verifier: Some(wire::VerifierKey::PublicKey(wire::RawBytes {
                        raw_bytes: signer.spki(),
                    })),
                    key_details: 5,
                }),
            }),
        })),
    };
    let request = signer.request("one");
    assert_eq!(bench.logs(&request).await, 1);
    let content = &request["hashedRekordRequestV002"]["signature"]["content"];
    let content = BASE64_STANDARD.decode(content.as_str().unwrap()).unwrap();
    let call = async |message| -> Result<wire::TransparencyLogEntry, tonic::Status> {
        let request = Request::new(message);
        grpc::call(bench.server.address, None, CREATE, request).await.map(|it| it.into_inner())
    };
    let entry = call(message("one", content.clone())).await.unwrap();
    assert_eq!((entry.log_index, entry.integrated_time), (1, 0));
    let proof = entry.inclusion_proof.unwrap();
    let hash = |octets: &[u8]| Hash(octets.try_into().unwrap());
    let tree = (proof.tree_size.cast_unsigned(), hash(&proof.root_hash));
    let hashes: Vec<Hash> = proof.hashes.iter().map(|octets| hash(octets)).collect();
    verify_inclusion((1, leaf_hash(&entry.canonicalized_body)), tree, &hashes).unwrap();
    assert!(proof.checkpoint.unwrap().envelope.starts_with("test\n2\n"));
    let refused = call(message("two", content)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let refused = call(wire::CreateEntryRequest { spec: None }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let unimplemented: Result<tonic::Response<wire::LogId>, _> = grpc::call(
        bench.server.address,
        None,
        "/dev.sigstore.rekor.v2.Rekor/GetTile",
        Request::new(wire::LogId { key_id: Vec::new() }),
    )
    .await;
    assert_eq!(unimplemented.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(bench.log.head().size, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_as_tiles() {
    let (bench, signer) = (Bench::new(false).await, Signer::new());
    bench.logs(&signer.request("one")).await;
    let shard = "/tlog/2026/api/v2";
    let entries = bench.get(&format!("{shard}/tile/entries/000.p/2")).await;
    assert_eq!(entries.header("cache-control"), Some("public, max-age=604800, immutable"));
    assert_eq!(entries.header("access-control-allow-origin"), Some("*"));
    // u16<entry> each, and nothing behind the last one.
    let (mut rest, mut hashes) = (&entries.body[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
        hashes.extend(leaf_hash(entry).0);
        rest = after;
    }
    assert_eq!(hashes.len(), 64);
    let tile = bench.get(&format!("{shard}/tile/0/000.p/2")).await;
    assert_eq!(tile.body, hashes);
    let checkpoint = bench.get(&format!("{shard}/checkpoint")).await;
    assert!(checkpoint.text().starts_with("test\n2\n"), "{}", checkpoint.text());
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    // What stands under Rekor's own paths is another shard's next year: nothing may be kept.
    for path in ["checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"] {
        let current = bench.get(&format!("/api/v2/{path}")).await;
        assert_eq!(current.status, 200, "{path}");
        assert_eq!(current.header("cache-control"), Some("no-cache"), "{path}");
        assert_eq!(current.body, bench.get(&format!("{shard}/{path}")).await.body, "{path}");
    }
    for path in [
        "/tlog/2026/api/v2/tile/0/000",
        "/tlog/2026/api/v2/tile/entries/000.p/3",
        "/tlog/2026/api/v2/tile/data/000.p/2",
        "/tlog/2026/api/v2/tile/entries/000.p/0",
        "/tlog/2026/api/v2/tile/entries/000%2Ep/2",
        "/tlog/2026/api/v2/nothing",
        "/tlog/2026/checkpoint",
        "/tlog/2025/api/v2/checkpoint",
        "/api/v2/tile/entries/001",
        "/ct/2026/tile/entries/000.p/1",
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
}
