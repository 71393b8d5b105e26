//! An authority as it is in production, in a folder of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mayfly::authority::succession::Issuing;
use mayfly::authority::{Authority, Serials, Trust};
use mayfly::certificate::profile::Profile;
use mayfly::certificate::{Chain, Serial};
use mayfly::explorer::recorder::Recorder;
use mayfly::installation::{self, Curve, Options};
use mayfly::issuer::{Issuer, IssuerId, Issuers, Keys, Kind};
use mayfly::keyset::Keyset;
use mayfly::log::shards::Shards;
use mayfly::log::{Log, Means};
use mayfly::policy::{Allow, Policy, Rules};
use mayfly::signer::Signer;
use mayfly::store::{Store as _, sqlite};
use mayfly::time::{Clock, Timestamp};
use mayfly::timestamping::Timestamping;
use mayfly::timestamping::watch::Watch;
use tempfile::TempDir;

use crate::support::issuer::{FakeIssuer, MIDNIGHT};
use crate::support::store::{HandClock, means_of_certificates, opening};

/// An authority with what it stands on.
pub struct TestAuthority {
    pub authority: Arc<Authority>,
    pub timestamping: Arc<Timestamping>,
    pub clock: Arc<HandClock>,
    folder: TempDir,
}

impl TestAuthority {
    /// An authority at midnight that trusts `issuer` for e-mail addresses, with what `signer` makes of
    /// its signer.
    pub fn trusting(issuer: &FakeIssuer, signer: fn(Arc<dyn Signer>) -> Arc<dyn Signer>) -> Self {
        let now = Timestamp::from_secs(MIDNIGHT);
        let clock = Arc::new(HandClock::at(now, 0));
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let options = Options {
            url: "https://test",
            authority: installation::Authority::New { name: "test", curve: Curve::P256 },
            passphrase: None,
            now,
        };
        installation::create(&data, &options).unwrap();
        let opened = installation::open(&data, None, now).unwrap();

        let shard = opened.shards[0].clone();
        let store = Arc::new(sqlite::open(&shard.database).unwrap());
        opened.chain.ders().iter().for_each(|der| store.put_issuer(der).unwrap());
        let shared: Arc<dyn Clock> = clock.clone();
        let (keys, clock_of_log) = (shard.signer.into(), Arc::clone(&shared));
        let origin = shard.owner.origin;
        let means = means_of_certificates(store, keys, clock_of_log, &origin);
        let log = Log::open(opening(means)).unwrap();

        let (refusals, month) = (data.join("refusals.sqlite"), Duration::from_secs(30 * 86_400));
        let recorder = Recorder::start(refusals, month, Arc::clone(&shared)).unwrap();

        let signer = signer(opened.authority);
        let lifetime = Duration::from_secs(600);
        let count = AtomicU64::new(1);
        let serials: Serials = Arc::new(move || serial(count.fetch_add(1, Ordering::SeqCst)));
        let logs = Shards::new(vec![log]);
        let by = (Arc::clone(&shared), Arc::clone(&serials));
        let timestamping =
            Timestamping::new(&opened.timestamps, by, Watch::new(vec![logs.clone()], Vec::new()));
        let authority = Authority {
            clock: shared,
            serials,
            trust: ArcSwap::from_pointee(Trust {
                keyset: Keyset::new(Issuers::new(vec![trusted(issuer)])).unwrap(),
                policy: Policy::new(vec![Rules { allow: Allow::Anybody, deny: Vec::new() }]),
            }),
            succession: Issuing {
                profile: Profile::new(&opened.chain, signer.algorithm(), lifetime, Duration::ZERO),
                signer,
                chain: opened.chain,
            }
            .into(),
            logs,
            recorder,
        };
        let (authority, timestamping) = (Arc::new(authority), Arc::new(timestamping));
        Self { authority, timestamping, clock, folder }
    }

    /// The chain that it issues by.
    pub fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.authority.succession.at(self.clock.now()).chain)
    }

    /// Its signature log, opened; of two at once the second fails.
    pub fn signature_log(&self) -> Log {
        let data = self.folder.path().join("data");
        let now = Timestamp::from_secs(MIDNIGHT);
        let shard = installation::open(&data, None, now).unwrap().signatures.remove(0);
        let store = Arc::new(sqlite::open(&shard.database).unwrap());
        let (keys, clock, form) = (shard.keys(), self.clock.clone(), shard.kind.form());
        let (origin, name) = (shard.owner.origin.clone(), shard.name().to_owned());
        let means = Means { store, keys, clock, form, origin, shard: name };
        let log = Log::open(opening(means)).unwrap();
        log.keep_index(shard.index()).unwrap();
        log
    }
}

/// `issuer`, as a configuration would have it.
fn trusted(issuer: &FakeIssuer) -> Issuer {
    Issuer {
        id: IssuerId(0),
        url: issuer.url(),
        audiences: vec!["sigstore".to_owned()],
        kind: Kind::Email { issuer_claim: None, skip_verification: false },
        keys: Keys::Discovery,
        roots: Some(issuer.ca_pem().as_bytes().to_vec()),
        bearer_file: None,
        algorithms: Vec::new(),
        max_age: None,
        challenge_claim: None,
    }
}

fn serial(count: u64) -> Serial {
    let mut octets = [0; 20];
    octets[0] = 1;
    octets[12..].copy_from_slice(&count.to_be_bytes());
    Serial::from_bytes(octets)
}
