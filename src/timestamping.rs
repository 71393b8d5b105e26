//! The timestamp authority at work: a request goes in, a signed token comes out.
//!
//! Several keys may be there. Each signs from the beginning of its certificate until that of the next one:
//! a key that is to come is made with a certificate that begins later, is published until then, and takes
//! over by itself.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::algorithm::SignatureAlgorithm;
use crate::authority::Serials;
use crate::signer::{Signer, SignerError};
use crate::time::{Clock, Timestamp};
use crate::timestamp::{Chain, Profile, Request, ValidityError};
use crate::trust::AuthorityTrust;

mod ntp;
pub mod watch;

use self::watch::{ClockError, Watch};

/// Where it answers, at an instance's URL.
pub const PATH: &str = "/api/v1/timestamp";

/// A chain of the timestamp authority, and the key that signs by it while there is one.
#[derive(Clone)]
pub struct Key {
    /// The file of the chain.
    pub file: PathBuf,
    /// The certificate that signs, and its root.
    pub chain: Chain,
    /// The key.
    pub signer: Option<Arc<dyn Signer>>,
}

impl Key {
    /// What verifiers need to know of it, at an instance with this URL; `until` when it counts, if it was taken
    /// over.
    pub fn trust(&self, url: &str, until: Option<Timestamp>) -> AuthorityTrust {
        AuthorityTrust {
            url: format!("{url}{PATH}"),
            certificates: self.chain.ders().to_vec(),
            since: self.chain.not_before(),
            until,
        }
    }
}

/// A key that signs.
struct Signing {
    profile: Profile,
    signer: Arc<dyn Signer>,
}

/// The chains, the one that begins last first, and what signs by them.
type Chains = Vec<(Chain, Option<Arc<Signing>>)>;

/// A timestamp authority.
pub struct Timestamping {
    keys: ArcSwap<Chains>,
    clock: Arc<dyn Clock>,
    serials: Serials,
    watch: Watch,
    read_only: bool,
}

impl Timestamping {
    /// One with these keys, as long as `clock` stands up to `watch`.
    pub fn new(keys: &[Key], (clock, serials): (Arc<dyn Clock>, Serials), watch: Watch) -> Self {
        let keys = ArcSwap::from_pointee(chains(keys));
        Self { keys, clock, serials, watch, read_only: false }
    }

    /// The same, which shows its chain and signs nothing.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Keeps an eye on the clock, for ever.
    pub async fn keep(&self) {
        self.watch.keep(&self.clock, &self.serials).await;
    }

    /// Signs with these keys from now on.
    pub fn set(&self, keys: &[Key]) {
        self.keys.store(Arc::new(chains(keys)));
    }

    /// Stamps what is asked: yields DER `TimeStampResp`.
    ///
    /// # Errors
    ///
    /// [`StampError`]; none is the caller's fault.
    pub async fn stamp(&self, request: &Request) -> Result<Vec<u8>, StampError> {
        let (key, now) = self.current()?;
        let stamp = key.profile.stamp(request, (self.serials)(), now)?;
        let signature = key.signer.sign(stamp.signed()).await?;
        Ok(stamp.reply(&signature))
    }

    /// The chain by which it stamps now.
    ///
    /// # Errors
    ///
    /// [`StampError::Keyless`] when no chain's time has come.
    pub fn chain(&self) -> Result<Chain, StampError> {
        let (keys, now) = (self.keys.load(), self.clock.now());
        let chain = keys.iter().map(|(chain, _)| chain).find(|chain| chain.not_before() <= now);
        chain.cloned().ok_or(StampError::Keyless)
    }

    /// Whether it would stamp now; signs nothing.
    ///
    /// # Errors
    ///
    /// Why it would not.
    pub fn ready(&self) -> Result<(), StampError> {
        let (key, now) = self.current()?;
        key.profile.check(now)?;
        Ok(())
    }

    /// The newest key whose time has come, and the time.
    fn current(&self) -> Result<(Arc<Signing>, Timestamp), StampError> {
        if self.read_only {
            return Err(StampError::ReadOnly);
        }
        let now = self.watch.read(self.clock.as_ref())?;
        let keys = self.keys.load();
        let mut begun = keys.iter().filter(|(chain, _)| chain.not_before() <= now);
        let key = begun.find_map(|(_, key)| key.clone()).ok_or(StampError::Keyless)?;
        Ok((key, now))
    }
}

fn chains(keys: &[Key]) -> Chains {
    let mut chains: Chains = Vec::new();
    for Key { chain, signer, .. } in keys {
        let signing = signer.clone().map(|signer| {
            let profile = Profile::new(chain, signer.algorithm());
            Arc::new(Signing { profile, signer })
        });
        chains.push((chain.clone(), signing));
    }
    chains.sort_by_key(|(chain, _)| Reverse(chain.not_before()));
    chains
}

/// Whether clients verify timestamps by this algorithm.
pub const fn is_verified(algorithm: SignatureAlgorithm) -> bool {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha384 => true,
        SignatureAlgorithm::EcdsaP521Sha512
        | SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::Ed25519 => false,
    }
}

/// Why there is no timestamp: never the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// It shows its chain, and that is all.
    #[error("the timestamp authority is served for reading only")]
    ReadOnly,
    /// There is no key whose certificate has begun.
    #[error("there is no key for timestamps whose certificate has begun")]
    Keyless,
    /// The certificate does not hold now.
    #[error(transparent)]
    Validity(#[from] ValidityError),
    /// The key cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The clock is not to be trusted.
    #[error(transparent)]
    Clock(#[from] ClockError),
}
