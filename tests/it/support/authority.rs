//! A whole authority with nothing left to chance: a fixed clock, counted serials, fixed keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mayfly::authority::succession::Issuing;
use mayfly::authority::{Authority, Trust};
use mayfly::certificate::profile::Profile;
use mayfly::certificate::{Chain, Serial};
use mayfly::config::{self, Config, Overrides};
use mayfly::ct::window::Window;
use mayfly::explorer::recorder::Recorder;
use mayfly::issuer::{Issuer, Issuers};
use mayfly::keyset::Keyset;
use mayfly::log::shards::Shards;
use mayfly::log::{Log, Means};
use mayfly::signer::Signer;
use mayfly::signer::file::FileSigner;
use mayfly::store::{Owner, Store as _};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::merkle::Hash;

use super::issuer::MIDNIGHT;
use super::signer::FaultySigner;
use super::store::{FaultyStore, MemoryStore, means_of_certificates, opening};

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

    /// Puts it to `seconds` since the epoch.
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Which log it is.
const ORIGIN: &str = "ca.golden.example/ct/2026";

/// A file of `tests/golden/`.
pub fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// A key of `tests/golden/authority/`: Ed25519, so that what it signs is the same every time.
pub fn golden_key(name: &str) -> Arc<dyn Signer> {
    let pem = std::fs::read(golden("authority").join(name)).expect("a key");
    Arc::new(FileSigner::parse(&pem, None).expect("a key that signs"))
}

/// What an authority is made of, each part with its switch.
pub struct Parts {
    pub config: Config,
    pub clock: Arc<FixedClock>,
    pub signer: Arc<FaultySigner>,
    pub log_key: Arc<FaultySigner>,
    pub store: Arc<FaultyStore>,
}

impl Parts {
    /// The keys of `tests/golden/` with the issuers and rules of `config`, and an empty log in memory.
    pub fn new(config: Config, clock: Arc<FixedClock>) -> Self {
        let log_key = golden_key("log.key");
        let owner = Owner {
            origin: ORIGIN.to_owned(),
            log_id: Hash::of(&[log_key.public_key()]).0,
            window: Window::year(clock.now()),
        };
        let store = Arc::new(MemoryStore::new(owner, clock.now()));
        chain().ders().iter().for_each(|der| store.put_issuer(der).expect("room"));
        Self {
            config,
            clock,
            signer: Arc::new(FaultySigner::new(golden_key("authority.key"))),
            log_key: Arc::new(FaultySigner::new(log_key)),
            store: Arc::new(FaultyStore::new(store)),
        }
    }

    /// All of `tests/golden/`, at midnight.
    pub fn golden() -> Self {
        let config = config::load(&golden("mayfly.yaml"), &Overrides::default());
        Self::new(config.expect("a configuration"), FixedClock::midnight())
    }

    /// Changes GitHub's issuer, the first one.
    pub fn issuer(&mut self, change: impl FnOnce(&mut Issuer)) {
        let issuers = self.config.issuers.iter();
        let mut issuers: Vec<Issuer> = issuers.map(|issuer| Issuer::clone(issuer)).collect();
        change(&mut issuers[0]);
        self.config.issuers = Issuers::new(issuers);
    }

    /// An authority of these parts; of two over one store the older must not append any more.
    pub fn open(&self) -> Authority {
        self.with(Log::open(opening(self.means())).expect("a log"))
    }

    /// An authority of these parts whose log is read only.
    pub fn open_read_only(&self) -> Authority {
        self.with(Log::read_only(self.means()).expect("a log"))
    }

    /// What its log is opened with.
    pub fn means(&self) -> Means {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let key = Arc::clone(&self.log_key) as Arc<dyn Signer>;
        means_of_certificates(store, key.into(), clock, ORIGIN)
    }

    fn with(&self, log: Log) -> Authority {
        let Self { config, clock, signer, .. } = self;
        let clock: Arc<dyn Clock> = clock.clone();
        let (chain, signer) = (Arc::new(chain()), Arc::clone(signer));
        let count = AtomicU64::new(log.head().size + 1);
        Authority {
            clock,
            serials: Arc::new(move || serial(count.fetch_add(1, Ordering::Relaxed))),
            trust: ArcSwap::from_pointee(Trust {
                keyset: Keyset::new(config.issuers.clone()).expect("a TLS client"),
                policy: config.policy.clone(),
            }),
            succession: Issuing {
                profile: Profile::new(&chain, signer.algorithm(), config.lifetime, config.backdate),
                signer,
                chain,
            }
            .into(),
            logs: Shards::new(vec![log]),
            recorder: Recorder::default(),
        }
    }
}

/// The chain of `tests/golden/`.
pub fn chain() -> Chain {
    let pem = std::fs::read(golden("authority/authority.pem")).expect("a chain");
    Chain::from_pem(&pem, Timestamp::from_secs(MIDNIGHT)).expect("a chain that holds")
}

/// A serial number that counts.
fn serial(number: u64) -> Serial {
    let mut octets = [0x10; 20];
    octets[12..].copy_from_slice(&number.to_be_bytes());
    Serial::from_bytes(octets)
}
