//! A whole authority with nothing left to chance: a fixed clock, counted serials, fixed keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mayfly::authority::{Authority, Trust};
use mayfly::certificate::profile::Profile;
use mayfly::certificate::{Chain, Serial};
use mayfly::config::Config;
use mayfly::keyset::Keyset;
use mayfly::log::Log;
use mayfly::signer::Signer;
use mayfly::signer::file::FileSigner;
use mayfly::store::Owner;
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::merkle::Hash;

use super::issuer::MIDNIGHT;
use super::store::MemoryStore;

/// A clock that stands where it was put.
pub struct FixedClock(AtomicU64);

impl FixedClock {
    /// A clock at `seconds` since the epoch.
    pub fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds * 1000)))
    }

    /// A clock at [`MIDNIGHT`].
    pub fn midnight() -> Arc<Self> {
        Self::at(MIDNIGHT)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A file of `tests/golden/`.
pub fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// A key of `tests/golden/authority/`: Ed25519, so that what it signs is the same every time.
pub fn golden_key(name: &str) -> Arc<dyn Signer> {
    let pem = std::fs::read(golden("authority").join(name)).expect("a key");
    Arc::new(FileSigner::parse(&pem, None).expect("a key that signs"))
}

/// The authority of `tests/golden/` with the issuers and rules of `config`, and an empty log in memory.
pub fn authority(config: &Config, clock: Arc<FixedClock>) -> Authority {
    let clock: Arc<dyn Clock> = clock;
    let pem = std::fs::read(golden("authority/authority.pem")).expect("a chain");
    let chain = Arc::new(Chain::from_pem(&pem, clock.now()).expect("a chain that holds"));
    let signer = golden_key("authority.key");
    let log_key = golden_key("log.key");
    let origin = "ca.golden.example/ct/2026".to_owned();
    let owner = Owner { origin: origin.clone(), log_id: Hash::of(&[log_key.public_key()]).0 };
    let store = Arc::new(MemoryStore::new(owner, clock.now()));
    let log = Log::open(store, log_key, Arc::clone(&clock), origin);
    let count = AtomicU64::new(1);
    Authority {
        clock,
        serials: Arc::new(move || serial(count.fetch_add(1, Ordering::Relaxed))),
        trust: ArcSwap::from_pointee(Trust {
            keyset: Keyset::new(config.issuers.clone()).expect("a TLS client"),
            policy: config.policy.clone(),
        }),
        profile: Profile::new(&chain, signer.algorithm(), config.lifetime, config.backdate),
        signer,
        chain,
        log: log.expect("an empty log"),
    }
}

/// A serial number that counts.
fn serial(number: u64) -> Serial {
    let mut octets = [0x10; 20];
    octets[12..].copy_from_slice(&number.to_be_bytes());
    Serial::from_bytes(octets)
}
