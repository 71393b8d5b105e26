//! The keys of every trusted issuer: OpenID Connect discovery and key sets over HTTPS, remembered.
//!
//! - One fetch at a time for each issuer, five seconds in all, whoever asks and however many.
//! - Keys are fetched anew behind the scenes when they are five minutes old; while the issuer is down
//!   they serve for a day since they were fetched last. A failure is remembered for ten seconds.
//! - A token that no known key verifies has the issuer asked again, at most every five seconds, so that
//!   a new key works at once and a flood of forgeries costs next to nothing.
//! - Those who wait for a fetch are few, for one issuer and for all: an issuer that does not answer
//!   keeps nobody from the others.
//! - Issuers that match a pattern are named by tokens, hence by anybody: their fetches share few slots,
//!   their keys a bounded cache, and they lead nowhere but to their own origin.

pub mod address;
mod bearer;
mod clients;
pub mod fetch;
mod hosts;
pub mod probe;
mod source;
mod supply;
mod tunnel;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::config::Proxy;
use crate::issuer::{Issuer, IssuerId, Issuers};
pub use crate::keyset::bearer::BearerError;
use crate::keyset::clients::Clients;
pub use crate::keyset::clients::plain;
use crate::keyset::fetch::{FetchError, Keys};
use crate::keyset::source::{Source, Terms};
pub use crate::keyset::supply::SetupError;
use crate::keyset::supply::{Route, Slots, Supply};
pub use crate::keyset::tunnel::ProxyError;
use crate::quote::quote;
use crate::time::Timestamp;
use crate::token::{Claims, TokenError, UnverifiedToken};

/// How long things take and last, and how many there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A fetch, from the name's resolution to the last octet of the key set.
    pub deadline: Duration,
    /// Keys younger than this are used as they are.
    pub fresh: Duration,
    /// Keys younger than this are used while newer ones are fetched, or cannot be.
    pub stale: Duration,
    /// After a fetch that failed, the next one waits so long.
    pub failed: Duration,
    /// After any fetch, one for the sake of an unknown key waits so long.
    pub refetch: Duration,
    /// Fetches at a time.
    pub fetches: usize,
    /// Fetches at a time for issuers that match a pattern, out of those above.
    pub wildcard_fetches: usize,
    /// Fetches for such issuers that are under way or wait for a slot. One host may have half of either.
    pub wildcard_queue: usize,
    /// Exchanges that wait for one issuer's keys; the next one is turned away at once.
    pub waiters: usize,
    /// Exchanges that wait for the keys of any issuer that is configured by name.
    pub line: usize,
    /// Exchanges that wait for the keys of any issuer that matches a pattern.
    pub wildcard_line: usize,
    /// Keys of such issuers that are remembered; an issuer counts as one key more.
    pub wildcard_keys: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            fresh: Duration::from_secs(5 * 60),
            stale: Duration::from_secs(24 * 60 * 60),
            failed: Duration::from_secs(10),
            refetch: Duration::from_secs(5),
            fetches: 32,
            wildcard_fetches: 16,
            wildcard_queue: 64,
            waiters: 256,
            line: 512,
            wildcard_line: 128,
            wildcard_keys: 10_000,
        }
    }
}

/// The keys of every trusted issuer.
pub struct Keyset {
    issuers: Issuers,
    supplies: HashMap<IssuerId, Supply>,
    proxy: Proxy,
    wildcards: Cache<String, Weighed>,
    slots: Arc<Slots>,
    limits: Limits,
}

/// Keys of an issuer that matches a pattern, with their weight in the cache.
#[derive(Clone)]
struct Weighed {
    /// How they were fetched: keys that came another way are not this pattern's.
    route: Arc<Route>,
    source: Arc<Source>,
    weight: u32,
}

impl Keyset {
    /// Prepares to fetch, and fetches nothing.
    ///
    /// # Errors
    /// [`SetupError`], when an issuer's own CA, key set or URL is of no use.
    pub fn new(issuers: Issuers) -> Result<Self, SetupError> {
        Self::with_limits(issuers, Limits::default())
    }

    /// The same through a proxy.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn through(proxy: &Proxy, issuers: Issuers) -> Result<Self, SetupError> {
        Self::empty(Limits::default()).successor(proxy, issuers)
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(issuers: Issuers, limits: Limits) -> Result<Self, SetupError> {
        Self::empty(limits).successor(&Proxy::None, issuers)
    }

    fn empty(limits: Limits) -> Self {
        let wildcards = Cache::builder()
            .max_capacity(limits.wildcard_keys)
            .weigher(|_, weighed: &Weighed| weighed.weight)
            .time_to_idle(limits.stale)
            .build();
        Self {
            issuers: Issuers::default(),
            supplies: HashMap::new(),
            proxy: Proxy::None,
            wildcards,
            slots: Arc::new(Slots::new(&limits)),
            limits,
        }
    }

    /// The keys of `issuers`, which are to follow those trusted so far. Whoever's keys come from where
    /// they came from before keeps those that were fetched; so do requests under way.
    ///
    /// # Errors
    /// As [`Self::new`]; nothing has changed then.
    pub fn successor(&self, proxy: &Proxy, issuers: Issuers) -> Result<Self, SetupError> {
        let former = self.issuers.iter().filter(|_| self.proxy == *proxy);
        let former: HashMap<&str, &Arc<Issuer>> =
            former.map(|issuer| (issuer.url.as_str(), issuer)).collect();
        let mut clients = Clients::through(proxy);
        let supplies = issuers.iter().map(|issuer| {
            let former = former.get(issuer.url.as_str());
            let former = former.filter(|former| former.has_keys_of(issuer));
            let kept = former.and_then(|former| self.supplies.get(&former.id)).cloned();
            Ok((issuer.id, kept.map_or_else(|| Supply::of(issuer, &mut clients), Ok)?))
        });
        let supplies = supplies.collect::<Result<_, SetupError>>()?;
        Ok(Self {
            issuers,
            supplies,
            proxy: proxy.clone(),
            wildcards: self.wildcards.clone(),
            slots: Arc::clone(&self.slots),
            limits: self.limits.clone(),
        })
    }

    /// The issuers whose keys these are.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// The issuer that is configured for `iss`.
    ///
    /// # Errors
    /// [`KeysetError::UnknownIssuer`], which names the nearest one.
    pub fn issuer(&self, iss: &str) -> Result<&Arc<Issuer>, KeysetError> {
        Ok(self.find(iss)?.0)
    }

    /// The claims of `token`, verified with its issuer's keys.
    ///
    /// # Errors
    /// [`KeysetError::UnknownIssuer`], [`KeysetError::Token`]: the token is at fault.
    /// [`KeysetError::Unreachable`]: it is not.
    pub async fn verify(
        &self,
        token: UnverifiedToken,
        now: Timestamp,
    ) -> Result<Claims, KeysetError> {
        let iss = token.unverified_issuer();
        let (issuer, supply) = self.find(iss)?;
        let (route, source) = match supply {
            Supply::Inline(keys) => return Ok(token.verify(issuer, keys, now)?),
            Supply::One(route, source) => (route, Arc::clone(source)),
            Supply::Many(route) => (route, self.wildcard(iss, route).await),
        };
        let unreachable = |cause| KeysetError::Unreachable { issuer: iss.to_owned(), cause };
        let fetch = || self.fetch(iss, route, &source);
        let terms = Terms { limits: &self.limits, line: self.slots.line(route) };

        let keys = source.keys(terms, fetch).await.map_err(unreachable)?;
        let refused = match token.verify(issuer, &keys, now) {
            Err(error) if is_about_keys(&error) => error,
            outcome => return Ok(outcome?),
        };
        match source.newer(&keys, terms, fetch).await {
            Ok(Some(keys)) => Ok(token.verify(issuer, &keys, now)?),
            Err(cause) if matches!(refused, TokenError::NoSuchKey { .. }) => {
                Err(unreachable(cause))
            }
            Ok(None) | Err(_) => Err(refused.into()),
        }
    }

    fn find(&self, iss: &str) -> Result<(&Arc<Issuer>, &Supply), KeysetError> {
        let found = self.issuers.find(iss);
        found.and_then(|issuer| Some((issuer, self.supplies.get(&issuer.id)?))).ok_or_else(|| {
            let nearest = self.issuers.nearest(iss).map(str::to_owned);
            KeysetError::UnknownIssuer { issuer: iss.to_owned(), nearest }
        })
    }

    async fn wildcard(&self, iss: &str, route: &Arc<Route>) -> Arc<Source> {
        let empty =
            async { Weighed { route: Arc::clone(route), source: Arc::default(), weight: 1 } };
        let foreign = |found: &Weighed| !Arc::ptr_eq(&found.route, route);
        let entry = self.wildcards.entry_by_ref(iss).or_insert_with_if(empty, foreign);
        entry.await.into_value().source
    }

    /// A fetch that needs nobody to wait for it, and ends within the deadline.
    fn fetch(
        &self,
        iss: &str,
        route: &Arc<Route>,
        source: &Arc<Source>,
    ) -> impl Future<Output = Result<Keys, FetchError>> + Send + 'static {
        let (iss, route, source) = (iss.to_owned(), Arc::clone(route), Arc::clone(source));
        let (slots, wildcards) = (Arc::clone(&self.slots), self.wildcards.clone());
        let deadline = self.limits.deadline;
        async move {
            let keys = tokio::time::timeout(deadline, route.keys(&iss, &slots)).await;
            let keys = keys.unwrap_or(Err(FetchError::TimedOut))?;
            if wildcards.contains_key(&iss) {
                let weight = u32::try_from(keys.len()).unwrap_or(u32::MAX).saturating_add(1);
                wildcards.insert(iss, Weighed { route, source, weight }).await;
            }
            Ok(keys)
        }
    }
}

/// Whether newer keys could change the answer.
fn is_about_keys(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::NoSuchKey { .. }
            | TokenError::SignatureInvalid { .. }
            | TokenError::TooManyKeys { .. }
    )
}

/// Why keys did not verify a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysetError {
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody configured its issuer.
    #[error("issuer {} is not configured{}", quote(.issuer), did_you_mean(.nearest.as_deref()))]
    UnknownIssuer {
        /// `iss`.
        issuer: String,
        /// The configured one that looks most like it.
        nearest: Option<String>,
    },
    /// Its issuer's keys could not be had: nobody's fault here.
    #[error("issuer {issuer} does not answer ({cause}); this is not the token's fault, try again")]
    Unreachable {
        /// Its URL.
        issuer: String,
        /// What went wrong.
        cause: FetchError,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}
