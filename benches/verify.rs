//! What `log verify` costs beside what it cannot do without, on the mirror of a log in a folder.
//!
//! `cargo bench --bench verify`. Every entry is hashed, and its authority's signature verified: both are measured
//! alone, on one core, over the same octets. `MAYFLY_ENTRIES=1000000` makes the log as large as that.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use mayfly::asn1;
use mayfly::cli::verify::{VerifyArgs, run};
use mayfly::ct::entry::Entry;
use mayfly::ct::precertificate::Parts;
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::{Frontier, Hash, leaf_hash};
use mayfly::tlog::note::{Checkpoint, SignedNote, rfc6962_signature, tree_head};
use mayfly::tlog::tile::{TileKind, TilePath, encode_hashes};
use mayfly::tlog::tls::DigitallySigned;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORIGIN: &str = "ca.example.com/ct/2026";
const ENTRIES: u64 = 30_000;
/// The signatures that are verified alone.
const SAMPLE: u64 = 20_000;
const ROUNDS: usize = 3;
const SERIAL: [u8; 9] = [0x40, 0, 0, 0, 0, 0, 0, 0, 0];

#[tokio::main]
async fn main() {
    let entries = std::env::var_os("MAYFLY_ENTRIES");
    let entries = entries.map_or(ENTRIES, |text| {
        text.to_str().and_then(|text| text.parse().ok()).expect("a number")
    });
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let authority = Authority::new();
    let files = authority.mirror(entries, folder.path());

    let mut octets = 0;
    let reading = best(|| octets = files.iter().map(|file| read(file).len()).sum());
    let hashing = best(|| {
        files.iter().for_each(|file| _ = black_box(Hash::of(&[&read(file)])));
    }) - reading;
    let signatures = authority.verifying() * u32::try_from(entries).expect("not so many");
    let args = VerifyArgs {
        log: folder.path().to_str().expect("UTF-8").to_owned(),
        key: Some(folder.path().join("log.der")),
        state: Some(folder.path().join("visit.json")),
        token_file: None,
        tree_only: false,
        json: true,
    };
    let verifying = verified(&args).await;
    let tree = verified(&VerifyArgs { tree_only: true, ..args }).await;

    let speed = |time: Duration| octets as f64 / time.as_secs_f64() / 1e6;
    println!("{entries} entries, {:.0} octets each", octets as f64 / entries as f64);
    println!("reading the files        {:>8.0} MB/s", speed(reading));
    println!("SHA-256, one core        {:>8.0} MB/s", speed(hashing));
    println!("signatures, one core     {:>8.0} MB/s", speed(signatures));
    println!("log verify               {:>8.0} MB/s", speed(verifying));
    let all = judged(reading + hashing + signatures, verifying, 0.5);
    println!("log verify --tree-only   {:>8.0} MB/s", speed(tree));
    // Reading entries apart, and hashing twice: what is left is still more than most disks yield.
    let tree = judged(reading + hashing, tree, 0.2);
    assert!(all && tree, "log verify takes longer than it may");
}

/// Says whether what one core needs is at least this share of what it took.
fn judged(needed: Duration, took: Duration, least: f64) -> bool {
    let share = needed.as_secs_f64() / took.as_secs_f64();
    let verdict = if share >= least { "holds:" } else { "FAILS:" };
    println!("  of what one core can   {share:>8.2} ×    {verdict} at least {least}");
    share >= least
}

/// How long `log verify` takes.
async fn verified(args: &VerifyArgs) -> Duration {
    let mut verifying = Duration::MAX;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        run(args, &mut Vec::new()).await.expect("a log that holds");
        verifying = verifying.min(begun.elapsed());
    }
    verifying
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).expect("a file")
}

fn best(mut what: impl FnMut()) -> Duration {
    let mut once = || {
        let begun = Instant::now();
        what();
        begun.elapsed()
    };
    (0..ROUNDS).map(|_| once()).min().expect("some rounds")
}

/// An authority, and the log of what it issues.
struct Authority {
    der: Vec<u8>,
    key: EcdsaKeyPair,
    /// A TBS with poison, whose serial number is to be filled in, and the algorithm.
    template: (Vec<u8>, Vec<u8>),
}

impl Authority {
    fn new() -> Self {
        let pair = KeyPair::generate().expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pair.serialize_der());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&pair).expect("a certificate").der().to_vec();
        let issuer = Issuer::new(params, pair);
        let poison =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3], vec![5, 0]);
        let claims = [1, 3, 6, 1, 4, 1, 57264, 1, 21];
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.serial_number = Some(SERIAL.to_vec().into());
        // As much as the workflows of a CI provider bring.
        let claims = CustomExtension::from_oid_content(&claims, vec![b'x'; 900]);
        params.custom_extensions = vec![claims, poison];
        params.custom_extensions[1].set_criticality(true);
        let subject = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&subject, &issuer).expect("a certificate").der().to_vec();
        let parts = Parts::of(&leaf).expect("a certificate");
        let template = (parts.tbs.to_vec(), parts.algorithm.to_vec());
        Self { der, key: key.expect("a key"), template }
    }

    fn entry(&self, number: u64) -> Entry {
        let (tbs, algorithm) = &self.template;
        let at = tbs.windows(9).position(|window| window == SERIAL).expect("a serial number") + 1;
        let tbs = [&tbs[..at], &number.to_be_bytes(), &tbs[at + 8..]].concat();
        let signature = self.key.sign(&SystemRandom::new(), &tbs).expect("a signature");
        let mut precertificate = Vec::new();
        asn1::nested(&mut precertificate, asn1::SEQUENCE, |it| {
            it.extend(&tbs);
            it.extend(algorithm);
            asn1::value(it, asn1::BIT_STRING, &[&[0], signature.as_ref()].concat());
        });
        let tbs = Parts::of(&precertificate).and_then(|parts| parts.tbs_without_poison());
        Entry {
            issuer_key_hash: PublicKey::from_certificate(&self.der).expect("a key").id(),
            tbs: tbs.expect("a poison"),
            precertificate,
            chain: [Hash::of(&[&self.der]).0].into(),
        }
    }

    /// Writes a log of so many entries; yields its files.
    fn mirror(&self, size: u64, folder: &Path) -> Vec<PathBuf> {
        let now = SystemClock.now();
        let (mut files, mut tree) = (Vec::new(), Frontier::default());
        let mut write = |path: String, octets: &[u8]| {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("room");
            fs::write(&file, octets).expect("room");
            files.push(file);
        };
        let (mut hashes, mut index) = (Vec::new(), 0);
        while let Some(path) = TilePath::at(size, TileKind::Data, index / 256) {
            let mut tile = Vec::new();
            for _ in 0..path.width {
                let entry = self.entry(index);
                hashes.push(leaf_hash(&entry.merkle_tree_leaf(now, index)));
                tile.extend(entry.tile_leaf(now, index));
                index += 1;
            }
            write(format!("tile/{path}"), &tile);
            if index == size {
                break;
            }
        }
        hashes.iter().for_each(|hash| tree.push(*hash));
        for level in 0.. {
            let mut above = Vec::new();
            for (index, hashes) in (0..).zip(hashes.chunks(256)) {
                let width = u16::try_from(hashes.len()).expect("at most 256");
                let path = TilePath { kind: TileKind::Hashes { level }, index, width };
                write(format!("tile/{path}"), &encode_hashes(hashes));
                let mut tile = Frontier::default();
                hashes.iter().for_each(|hash| tile.push(*hash));
                above.extend((width == 256).then(|| tile.root()));
            }
            hashes = above;
            if hashes.is_empty() {
                break;
            }
        }
        write(format!("issuer/{}", Hash::of(&[&self.der])), &self.der);
        self.sign(size, tree.root(), folder);
        files
    }

    /// The log's key and checkpoint.
    fn sign(&self, size: u64, root: Hash, folder: &Path) {
        let now = SystemClock.now();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("a key");
        let key = PublicKey::from_spki(spki.as_ref()).expect("a key");
        let signature = pair.sign(&SystemRandom::new(), &tree_head(now, size, &root));
        let signature = signature.expect("a signature").as_ref().to_vec();
        let signed = DigitallySigned { algorithm: key.algorithm(), signature };
        let line = rfc6962_signature(ORIGIN, &key.id(), now, &signed.encode());
        let text = Checkpoint { origin: ORIGIN.to_owned(), size, root }.to_string();
        let note = SignedNote { text, signatures: vec![line] }.to_string();
        fs::write(folder.join("checkpoint"), note).expect("room");
        fs::write(folder.join("log.der"), spki.as_ref()).expect("room");
    }

    /// How long one core takes to verify one signature.
    fn verifying(&self) -> Duration {
        let key = PublicKey::from_certificate(&self.der).expect("a key");
        let entry = self.entry(0);
        let parts = Parts::of(&entry.precertificate).expect("a certificate");
        let signed = parts.signed().expect("an algorithm");
        let all = best(|| {
            (0..SAMPLE).for_each(|_| key.verify(parts.tbs, &signed).expect("it holds"));
        });
        all / u32::try_from(SAMPLE).expect("not so many")
    }
}
