//! What the signature log adds to what cannot be saved, as ratios within one run.
//!
//! `cargo bench --bench signatures` prints each with the limit that it is meant to keep: an entry beside the reading of
//! its key, the verifying of its signature and the hashing of its leaf; and how long a caller waits at a thousand
//! entries a second, which are durable, signed and proven when he has them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use mayfly::installation::{self, Authority, Curve, Options};
use mayfly::log::shards::Shards;
use mayfly::log::{Log, Means, Opening};
use mayfly::possession::key::PublicKey;
use mayfly::record::Caller;
use mayfly::rekor::{Material, Request, Signature, Verifier};
use mayfly::signatures::{Admission, Signatures};
use mayfly::store::{Epoch, sqlite};
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::merkle::leaf_hash;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const EACH: u32 = 500;
/// How many entries a second come, and for how long.
const RATE: u32 = 1000;
const SECONDS: u32 = 10;

#[tokio::main]
async fn main() {
    entry();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let signatures = open(&folder.path().join("data"));
    waits(&signatures).await;
    for log in signatures.logs.all().iter() {
        println!("{:<44} {:>12}", "entries in the log", log.head().size);
        log.close().await;
    }
}

/// Somebody with a key.
struct Signer {
    key: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Signer {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let spki = key.public_key().as_der().expect("a key").as_ref().to_vec();
        Self { key, spki }
    }

    fn request(&self, number: u32) -> (Request, Digest, Vec<u8>) {
        let message = number.to_be_bytes();
        let hashed = digest(&SHA256, &message);
        let content = self.key.sign(&SystemRandom::new(), &message).expect("a signature");
        let content = content.as_ref().to_vec();
        let material = Material::PublicKey(self.spki.clone());
        let verifier = Verifier { material, key_details: "PKIX_ECDSA_P256_SHA_256".to_owned() };
        let signature = Signature { content: content.clone(), verifier };
        (Request::HashedRekord { digest: hashed.as_ref().to_vec(), signature }, hashed, content)
    }
}

/// A request that becomes an entry, beside what of it cannot be saved.
fn entry() {
    let signer = Signer::new();
    let (request, hashed, content) = signer.request(1);
    let body = request.clone().check().expect("it holds").body().to_vec();
    let time = |work: &dyn Fn()| {
        let begun = Instant::now();
        (0..EACH).for_each(|_| work());
        begun.elapsed() / EACH
    };
    let (mut floors, mut entries) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(time(&|| {
            let key = PublicKey::from_spki(black_box(&signer.spki)).expect("a key");
            assert!(key.verifies_digest(black_box(&hashed), &content));
            black_box(leaf_hash(black_box(&body)));
        }));
        entries.push(time(&|| {
            let entry = black_box(request.clone()).check().expect("it holds");
            black_box(entry.leaf_hash());
        }));
    }
    let (floor, entry) = (median(&mut floors), median(&mut entries));
    let share = entry.as_secs_f64() / floor.as_secs_f64();
    println!("{:<44} {:>12.2} µs", "key, signature and leaf alone", micros(floor));
    println!("{:<44} {:>12.2} µs", "an entry", micros(entry));
    let verdict = if share <= 1.5 { "holds:" } else { "FAILS:" };
    println!("{:<44} {share:>12.2} x      {verdict} at most 1.5", "  its share of that");
}

/// How long callers wait at so many entries a second.
async fn waits(signatures: &Signatures) {
    let signer = Signer::new();
    let requests: Vec<Request> = (0..RATE * SECONDS).map(|it| signer.request(it).0).collect();
    let mut callers = JoinSet::new();
    let mut beat = interval(Duration::from_secs(1) / RATE);
    for request in requests {
        beat.tick().await;
        let signatures = signatures.clone();
        callers.spawn(async move {
            let begun = Instant::now();
            signatures.log(request, &Caller::default()).await.expect("it is logged");
            begun.elapsed()
        });
    }
    let mut waits = callers.join_all().await;
    waits.sort();
    for (name, share) in [("half of all callers wait at most", 50), ("99 of 100 at most", 99)] {
        let wait = micros(waits[waits.len() * share / 100]) / 1000.0;
        println!("{name:<44} {wait:>12.2} ms     at {RATE} entries a second");
    }
}

fn open(data: &std::path::Path) -> Signatures {
    let now = SystemClock.now();
    let authority = Authority::New { name: "bench", curve: Curve::P256 };
    let options = Options { url: "https://bench", authority, passphrase: None, now };
    installation::create(data, &options).expect("a folder");
    let shard = installation::open(data, None, now).expect("an installation").signatures.remove(0);
    let (keys, form, name) = (shard.keys(), shard.kind.form(), shard.name().to_owned());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(sqlite::open(&shard.database).expect("a database"));
    let origin = shard.owner.origin.clone();
    let means = Means { store, keys, clock: Arc::clone(&clock), form, origin, shard: name };
    let (epoch, mark, scrub) =
        (Epoch([1; 16]), Some(shard.mark_beside()), Duration::from_secs(3600));
    let log = Log::open(Opening { means, epoch, mark, shown: Vec::new(), scrub }).expect("a log");
    log.keep_index(shard.index()).expect("a thread");
    Signatures { clock, logs: Shards::new(vec![log]), admits: Admission::Anyone }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
