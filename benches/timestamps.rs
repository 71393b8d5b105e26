//! What a timestamp costs, beside the signature in it.
//!
//! `cargo bench --bench timestamps` prints, in CPU time: a P-256 signature by the key of the timestamps; and a
//! timestamp whole, from the request's octets to the reply's, in both forms. It fails when one costs more than
//! [`MOST`] signatures.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use mayfly::certificate::Serial;
use mayfly::cli::bench::cpu;
use mayfly::installation::{self, Authority, Curve, Options};
use mayfly::signer::Signer;
use mayfly::time::{Clock, SystemClock};
use mayfly::timestamp::{Request, RequestError};
use mayfly::timestamping::Timestamping;
use mayfly::timestamping::watch::Watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
const EACH: usize = 20_000;

/// How many signatures a timestamp may cost.
const MOST: f64 = 1.5;

/// SHA-256, a nonce, the certificate wanted.
const DER: &[u8] =
    b"\x30\x3d\x02\x01\x01\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \x04\x20................................\x02\x02\x01\x02\x01\x01\xff";
const JSON: &[u8] =
    b"{\"artifactHash\":\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\",\"hashAlgorithm\":\"sha256\"}";

/// A form, how it is read, and a request in it.
type Form = (&'static str, fn(&[u8]) -> Result<Request, RequestError>, &'static [u8]);
const FORMS: [Form; 2] = [("DER", Request::from_der, DER), ("JSON", Request::from_json, JSON)];

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::New { name: "bench", curve: Curve::P256 };
    let now = SystemClock.now();
    let options = Options { url: "https://bench", authority, passphrase: None, now };
    let data = folder.path().join("data");
    installation::create(&data, &options).expect("an installation");
    let keys = installation::open(&data, None, now).expect("an installation").timestamps;
    let signer = keys.first().and_then(|key| key.signer.clone()).expect("a key");
    let random = SystemRandom::new();
    let serials = Arc::new(move || {
        let mut octets = [0; 20];
        random.fill(&mut octets).expect("random numbers");
        Serial::from_bytes(octets)
    });
    let timestamping = Timestamping::new(&keys, (Arc::new(SystemClock), serials), Watch::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(run(&timestamping, signer.as_ref()));
}

async fn run(timestamping: &Timestamping, signer: &dyn Signer) {
    let mut worst: f64 = 0.0;
    for form in FORMS {
        let (mut signatures, mut wholes) = (Vec::new(), Vec::new());
        // By turns, so that a slow moment slows both.
        for _ in 0..ROUNDS {
            signatures.push(measure(async || sign(signer).await).await);
            wholes.push(measure(async || stamp(timestamping, form).await).await);
        }
        let (signature, whole) = (median(&mut signatures), median(&mut wholes));
        let share = whole / signature;
        println!(
            "a timestamp asked for in {:<4} {whole:>6.1} µs, its signature {signature:>6.1} µs: {share:.2} signatures",
            form.0,
        );
        worst = worst.max(share);
    }
    assert!(worst < MOST, "over the {MOST} signatures that a timestamp may cost");
    println!("all are within the {MOST} signatures that a timestamp may cost");
}

/// CPU time of one of those that `work` does, in microseconds.
async fn measure(work: impl AsyncFnOnce()) -> f64 {
    let before = cpu::of_self().expect("Linux");
    work().await;
    let spent: Duration = cpu::of_self().expect("Linux") - before;
    spent.as_secs_f64() * 1e6 / EACH as f64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn sign(signer: &dyn Signer) {
    // As many octets as the signed attributes have.
    let message = [7; 137];
    for _ in 0..EACH {
        black_box(signer.sign(black_box(&message)).await.expect("a signature"));
    }
}

async fn stamp(timestamping: &Timestamping, (_, read, octets): Form) {
    for _ in 0..EACH {
        let request = read(black_box(octets)).expect("a request");
        black_box(timestamping.stamp(&request).await.expect("a timestamp"));
    }
}
