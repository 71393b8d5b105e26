//! What the log costs, as ratios within one run: beside the disk it stands on, and large beside small.
//!
//! `cargo bench --bench log` prints each with the limit that it is meant to keep. `MAYFLY_ENTRIES=10000000` makes the
//! large log as large as that; it needs about a kilobyte of disk for each, or less where `MAYFLY_OCTETS=100` makes the
//! claims in every certificate that short; they have 900 octets otherwise.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use mayfly::algorithm::SignatureAlgorithm;
use mayfly::cli::bench::cpu;
use mayfly::ct::entry::Entry;
use mayfly::ct::precertificate::Parts;
use mayfly::ct::window::Window;
use mayfly::log::{Form, Log, Means, Opening};
use mayfly::record::Attempt;
use mayfly::signer::{Boxed, Signer, SignerError};
use mayfly::store::{Batch, Epoch, Head, Owner, Placed, Store, StoreError, Tile, sqlite};
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::merkle::Hash;
use mayfly::tlog::tile::{TileKind, TilePath};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORIGIN: &str = "ca.example.com/ct/2026";
const ISSUER: &[u8] = b"an issuer";
/// The small log, to which the large one is compared.
const SMALL: u64 = 10_000;
/// The large one, unless the environment says otherwise.
const LARGE: u64 = 30_000;
const IN_FLIGHT: usize = 256;
const ROUNDS: usize = 9;

#[tokio::main]
async fn main() {
    let large = std::env::var_os("MAYFLY_ENTRIES");
    let large = large
        .map_or(LARGE, |text| text.to_str().and_then(|text| text.parse().ok()).expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let bench = Bench::new(folder.path());
    let log = bench.open();

    bench.fill(&log, SMALL).await;
    commit(&bench, &log).await;
    in_flight(&log).await;
    let small = append(&log).await;
    bench.fill(&log, large).await;
    say("entries in the large log", log.head().size as f64, "", None);
    compare(small, append(&log).await);
    reads(&log).await;
    proofs(&log).await;
    log.close().await;
    drop(log);
    start(&bench).await;
    let octets = std::fs::metadata(bench.path()).expect("a file").len() as f64;
    say("octets of disk for a certificate", octets / bench.open().head().size as f64, "", None);
}

/// One line: what, how much, and the most (or least) that it is meant to be.
fn say(what: &str, value: f64, unit: &str, limit: Option<Limit>) {
    let judged = match limit {
        None => String::new(),
        Some(Limit::Most(most)) => format!("{} at most {most}", verdict(value <= most)),
        Some(Limit::Least(least)) => format!("{} at least {least}", verdict(value >= least)),
    };
    println!("{what:<44} {value:>12.2} {unit:<6} {judged}");
}

enum Limit {
    Most(f64),
    Least(f64),
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds:" } else { "FAILS:" }
}

/// A log on this disk.
struct Bench {
    folder: PathBuf,
    key: Arc<Key>,
    next: AtomicU64,
    /// How long the store took for each append.
    appends: Arc<Mutex<Vec<Duration>>>,
}

/// A store that remembers how long it took to append.
struct Timed {
    store: sqlite::Sqlite,
    appends: Arc<Mutex<Vec<Duration>>>,
}

impl Store for Timed {
    fn owner(&self) -> &Owner {
        self.store.owner()
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.store.head()
    }

    fn end(&self) -> Result<u64, StoreError> {
        self.store.end()
    }

    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError> {
        self.store.begin(head, epoch)
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let begun = Instant::now();
        let appended = self.store.append(batch);
        self.appends.lock().expect("no panic").push(begun.elapsed());
        appended
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        self.store.leaf_hashes(range)
    }

    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.tile_leaves(range)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.tile(level, index)
    }

    fn mend(&self, head: Head, tiles: &[Tile]) -> Result<(), StoreError> {
        self.store.mend(head, tiles)
    }

    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError> {
        self.store.put_issuer(der)
    }

    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.issuer(fingerprint)
    }

    fn examine(&self) -> Result<(), StoreError> {
        self.store.examine()
    }

    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Placed>, StoreError> {
        self.store.records(before, limit)
    }
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let bench = Self {
            folder: folder.to_owned(),
            key: Arc::new(Key::new()),
            next: 0.into(),
            appends: Arc::default(),
        };
        let now = SystemClock.now();
        let owner = Owner {
            origin: ORIGIN.into(),
            log_id: Hash::of(&[bench.key.public_key()]).0,
            window: Window::year(now),
        };
        sqlite::create(&bench.path(), &owner, now).expect("a new log");
        let store = sqlite::open(&bench.path()).expect("a log");
        store.put_issuer(ISSUER).expect("an issuer");
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.join("log.db")
    }

    fn open(&self) -> Log {
        let store = sqlite::open(&self.path()).expect("a log");
        let store = Arc::new(Timed { store, appends: Arc::clone(&self.appends) });
        let mut epoch = [0; 16];
        epoch[..8].copy_from_slice(&SystemClock.now().as_millis().to_be_bytes());
        let keys = (Arc::clone(&self.key) as Arc<dyn Signer>).into();
        let clock = Arc::new(SystemClock);
        let (epoch, mark) = (Epoch(epoch), Some(self.folder.join("log.mark")));
        let (origin, shard) = (ORIGIN.to_owned(), "2026".to_owned());
        let means = Means { store, keys, clock, form: Form::Certificates, origin, shard };
        let scrub = Duration::from_secs(3600);
        Log::open(Opening { means, epoch, mark, shown: Vec::new(), scrub })
            .expect("a log that goes on")
    }

    /// Entries until there are `size`, without a signature for each.
    async fn fill(&self, log: &Log, size: u64) {
        self.key.idle.store(true, Ordering::SeqCst);
        let begun = (Instant::now(), log.head().size);
        while log.head().size < size {
            let count = (size - log.head().size).min(4000);
            let first = self.next.fetch_add(count, Ordering::SeqCst);
            let mut appends = JoinSet::new();
            for number in first..first + count {
                let log = log.clone();
                appends.spawn(async move { append_one(&log, number).await });
            }
            appends.join_all().await;
        }
        self.key.idle.store(false, Ordering::SeqCst);
        let (elapsed, count) = (begun.0.elapsed().as_secs_f64(), size.saturating_sub(begun.1));
        if count > 0 {
            say("filled, unsigned, thousands in flight", count as f64 / elapsed, "/s", None);
        }
    }
}

/// Where the numbers of signed entries begin.
static NUMBER: AtomicU64 = AtomicU64::new(1 << 40);

async fn append_next(log: &Log) {
    append_one(log, NUMBER.fetch_add(1, Ordering::Relaxed)).await;
}

async fn append_one(log: &Log, number: u64) {
    let attempt = Attempt {
        time: SystemClock.now(),
        request_id: format!("{number:016x}").into(),
        kind: "ci-provider".into(),
        rule: Some("github".into()),
        token_id: Some("0d2a1ec4-6f7a-4d40-9d8c-5a2b6b9f6c11".into()),
        ..Attempt::default()
    };
    log.append(entry(number), attempt).await.expect("it is logged");
}

/// A commit of one entry beside the same octets appended to a file and synced, in turn; and all that its
/// caller waits for: a place in the queue, the commit, the signature, and, of a thousand a second and more,
/// the next millisecond, since no two heads may have one timestamp.
async fn commit(bench: &Bench, log: &Log) {
    let one = entry(0);
    let octets = vec![7; one.precertificate.len() + 400];
    let options = OpenOptions::new().append(true).create(true).open(bench.folder.join("beside"));
    let mut beside: File = options.expect("a file");
    let (mut waits, mut syncs) = (Vec::new(), Vec::new());
    bench.appends.lock().expect("no panic").clear();
    for _ in 0..ROUNDS * 20 {
        let begun = Instant::now();
        beside.write_all(&octets).and_then(|()| beside.sync_data()).expect("a disk");
        syncs.push(begun.elapsed());
        let begun = Instant::now();
        append_next(log).await;
        waits.push(begun.elapsed());
    }
    let commit = median(&mut bench.appends.lock().expect("no panic"));
    let (wait, sync) = (median(&mut waits), median(&mut syncs));
    say("append to a file and fdatasync", micros(sync), "µs", None);
    say("commit of one entry", micros(commit), "µs", None);
    say("  beside the file", micros(commit) / micros(sync), "×", Some(Limit::Most(1.3)));
    say("an append alone, from call to SCT", micros(wait), "µs", None);
}

/// As many at once as a busy instance has.
async fn in_flight(log: &Log) {
    let (begun, before) = (Instant::now(), cpu::of_self());
    let mut callers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let log = log.clone();
        callers.spawn(async move {
            for _ in 0..20 {
                append_next(&log).await;
            }
        });
    }
    callers.join_all().await;
    let count = (IN_FLIGHT * 20) as f64;
    say("entries a second, 256 in flight", count / begun.elapsed().as_secs_f64(), "/s", None);
    if let (Some(before), Some(after)) = (before, cpu::of_self()) {
        say("  each, signed", micros(after - before) / count, "µs CPU", None);
    }
}

/// CPU time of an entry in batches of the size that 256 in flight make; the median of rounds.
async fn append(log: &Log) -> Duration {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu::of_self().expect("Linux");
        let mut callers = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let log = log.clone();
            callers.spawn(async move {
                for _ in 0..4 {
                    append_next(&log).await;
                }
            });
        }
        callers.join_all().await;
        rounds.push((cpu::of_self().expect("Linux") - before) / (IN_FLIGHT * 4) as u32);
    }
    median(&mut rounds)
}

fn compare(small: Duration, large: Duration) {
    say("an append to the small log", micros(small), "µs CPU", None);
    say("an append to the large log", micros(large), "µs CPU", None);
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    say("  beside the small one", ratio, "×", Some(Limit::Most(1.1)));
}

/// Full tiles, by readers that choose at random, while others write.
async fn reads(log: &Log) {
    let over = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let (log, over) = (log.clone(), Arc::clone(&over));
        writers.spawn(async move {
            let mut written = 0u64;
            while !over.load(Ordering::Relaxed) {
                append_next(&log).await;
                written += 1;
            }
            written
        });
    }
    let tiles = log.head().size / 256;
    let begun = Instant::now();
    let mut readers = JoinSet::new();
    for reader in 0..8u64 {
        let log = log.clone();
        readers.spawn(async move {
            for turn in 0..500u64 {
                // A multiplier without pattern, so that neither cache nor disk sees one.
                let index = (reader * 500 + turn).wrapping_mul(0x9e37_79b9_7f4a_7c15) % tiles;
                let kind =
                    if turn % 2 == 0 { TileKind::Data } else { TileKind::Hashes { level: 0 } };
                let path = TilePath { kind, index, width: 256 };
                log.tile(path).await.expect("it reads").expect("a tile");
            }
        });
    }
    readers.join_all().await;
    let elapsed = begun.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let written: u64 = writers.join_all().await.iter().sum();
    say("full tiles a second, while writing", 4000.0 / elapsed, "/s", Some(Limit::Least(2000.0)));
    say("  entries a second meanwhile", written as f64 / elapsed, "/s", None);
}

/// Inclusion and consistency, of places at random; the slowest counts.
async fn proofs(log: &Log) {
    let size = log.head().size;
    let mut slowest = Duration::ZERO;
    for turn in 1..=500u64 {
        let at = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size;
        let begun = Instant::now();
        log.inclusion_proof(at, size).await.expect("a proof");
        slowest = slowest.max(begun.elapsed());
        let begun = Instant::now();
        log.consistency_proof(at + 1, size).await.expect("a proof");
        slowest = slowest.max(begun.elapsed());
    }
    say("the slowest of 1000 proofs", micros(slowest) / 1000.0, "ms", Some(Limit::Most(5.0)));
}

async fn start(bench: &Bench) {
    let mut starts = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let log = bench.open();
        starts.push(begun.elapsed());
        log.close().await;
    }
    let start = median(&mut starts).as_secs_f64();
    say("a start", start, "s", Some(Limit::Most(2.0)));
}

/// An entry as GitHub's workflows get them, in size.
fn entry(number: u64) -> Entry {
    const SERIAL: [u8; 9] = [0x40, 0, 0, 0, 0, 0, 0, 0, 0];
    static TEMPLATE: LazyLock<(Vec<u8>, Vec<u8>, [u8; 32])> = LazyLock::new(|| {
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
        let mut poison = CustomExtension::from_oid_content(&oid, vec![5, 0]);
        poison.set_criticality(true);
        let claims = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 21], claims());
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.serial_number = Some(SERIAL.to_vec().into());
        params.custom_extensions = vec![claims, poison];
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let tbs = Parts::of(&der).and_then(|parts| parts.tbs_without_poison()).expect("a TBS");
        (der, tbs, Hash::of(&[ISSUER]).0)
    });
    let numbered = |der: &[u8]| {
        let at = der.windows(9).position(|window| window == SERIAL).expect("a serial number") + 1;
        [&der[..at], &number.to_be_bytes(), &der[at + 8..]].concat()
    };
    let (der, tbs, issuer) = &*TEMPLATE;
    Entry {
        issuer_key_hash: [7; 32],
        tbs: numbered(tbs),
        precertificate: numbered(der),
        chain: [*issuer].into(),
    }
}

/// The octets of the claims in a certificate.
fn claims() -> Vec<u8> {
    let octets = std::env::var_os("MAYFLY_OCTETS");
    let octets = octets.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(900);
    vec![b'x'; octets]
}

/// A P-256 log key that can be told not to work.
struct Key {
    key: EcdsaKeyPair,
    spki: Vec<u8>,
    idle: AtomicBool,
}

impl Key {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("a key");
        let spki = spki.as_ref().to_vec();
        Self { key, spki, idle: false.into() }
    }
}

impl Signer for Key {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, Result<Vec<u8>, SignerError>> {
        Box::pin(async move {
            if self.idle.load(Ordering::Relaxed) {
                return Ok(Vec::new());
            }
            let signed = self.key.sign(&SystemRandom::new(), message).expect("a signature");
            Ok(signed.as_ref().to_vec())
        })
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
