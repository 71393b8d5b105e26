//! The keys of every trusted issuer: OpenID Connect discovery and key sets over HTTPS, remembered.
//!
//! - One fetch at a time for each issuer, five seconds in all, whoever asks and however many.
//! - Keys are fetched anew behind the scenes when they are five minutes old; while the issuer is down
//!   they serve for a day since they were fetched last. A failure is remembered for ten seconds.
//! - A token that no known key verifies has the issuer asked again, at most every five seconds, so that
//!   a new key works at once and a flood of forgeries costs next to nothing.
//! - Issuers that match a pattern are named by tokens, hence by anybody: their fetches share few places,
//!   their keys a bounded cache, and they lead nowhere but to their own origin.

pub mod address;
pub mod fetch;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use moka::future::Cache;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Semaphore;

use crate::issuer::{self, Issuer, IssuerId, Issuers};
use crate::keyset::address::Reach;
use crate::keyset::fetch::{FetchError, Fetcher, Keys, Origin};
use crate::keyset::source::Source;
use crate::quote::quote;
use crate::time::Timestamp;
use crate::token::{Claims, TokenError, UnverifiedToken, json};

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
    /// Fetches for such issuers that are under way or wait for a place.
    pub wildcard_queue: usize,
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
            wildcard_keys: 10_000,
        }
    }
}

/// The keys of every trusted issuer.
pub struct Keyset {
    issuers: Issuers,
    places: HashMap<IssuerId, Place>,
    wildcards: Cache<String, Weighed>,
    slots: Arc<Slots>,
    limits: Limits,
}

/// Where a configured issuer's keys come from.
enum Place {
    /// They are in the configuration.
    Inline(Keys),
    /// One key set for the whole entry.
    One(Arc<Route>, Arc<Source>),
    /// A key set for each issuer that matches the pattern.
    Many(Arc<Route>),
}

/// How keys are fetched.
struct Route {
    fetcher: Fetcher,
    /// The key set's URL; without one, discovery finds it.
    url: Option<Uri>,
    origin: Origin,
}

/// Keys of an issuer that matches a pattern, with their weight in the cache.
#[derive(Clone)]
struct Weighed {
    source: Arc<Source>,
    weight: u32,
}

/// Places for fetches.
struct Slots {
    all: Semaphore,
    wildcards: Semaphore,
    wildcard_queue: Semaphore,
}

impl Keyset {
    /// Prepares to fetch, and fetches nothing.
    ///
    /// # Errors
    /// [`SetupError`], when an issuer's own CA, key set or URL is of no use.
    pub fn new(issuers: Issuers) -> Result<Self, SetupError> {
        Self::with_limits(issuers, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(issuers: Issuers, limits: Limits) -> Result<Self, SetupError> {
        let system = Arc::new(system_roots());
        let places = issuers.iter().map(|issuer| Ok((issuer.id, Place::of(issuer, &system)?)));
        let places = places.collect::<Result<_, SetupError>>()?;
        let wildcards = Cache::builder()
            .max_capacity(limits.wildcard_keys)
            .weigher(|_, weighed: &Weighed| weighed.weight)
            .time_to_idle(limits.stale)
            .build();
        let slots = Arc::new(Slots {
            all: Semaphore::new(limits.fetches),
            wildcards: Semaphore::new(limits.wildcard_fetches),
            wildcard_queue: Semaphore::new(limits.wildcard_queue),
        });
        Ok(Self { issuers, places, wildcards, slots, limits })
    }

    /// The issuers whose keys these are.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
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
        let (issuer, place) = self.find(iss)?;
        let (route, source) = match place {
            Place::Inline(keys) => return Ok(token.verify(issuer, keys, now)?),
            Place::One(route, source) => (route, Arc::clone(source)),
            Place::Many(route) => (route, self.wildcard(iss).await),
        };
        let unreachable = |cause| KeysetError::Unreachable { issuer: iss.to_owned(), cause };
        let fetch = || self.fetch(iss, route, &source);

        let keys = source.keys(&self.limits, fetch).await.map_err(unreachable)?;
        let refused = match token.verify(issuer, &keys, now) {
            Err(error) if is_about_keys(&error) => error,
            outcome => return Ok(outcome?),
        };
        match source.newer(&keys, &self.limits, fetch).await {
            Ok(Some(keys)) => Ok(token.verify(issuer, &keys, now)?),
            Err(cause) if matches!(refused, TokenError::NoSuchKey { .. }) => {
                Err(unreachable(cause))
            }
            Ok(None) | Err(_) => Err(refused.into()),
        }
    }

    fn find(&self, iss: &str) -> Result<(&Arc<Issuer>, &Place), KeysetError> {
        let found = self.issuers.find(iss);
        found.and_then(|issuer| Some((issuer, self.places.get(&issuer.id)?))).ok_or_else(|| {
            let nearest = self.issuers.nearest(iss).map(str::to_owned);
            KeysetError::UnknownIssuer { issuer: iss.to_owned(), nearest }
        })
    }

    async fn wildcard(&self, iss: &str) -> Arc<Source> {
        let fresh = async { Weighed { source: Arc::default(), weight: 1 } };
        self.wildcards.entry_by_ref(iss).or_insert_with(fresh).await.into_value().source
    }

    /// A fetch to fly, with its place among others and its deadline.
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
            let within = tokio::time::timeout(deadline, slots.run(route.origin, route.keys(&iss)));
            let keys = within.await.unwrap_or(Err(FetchError::TimedOut))?;
            if route.is_shared() {
                let weight = u32::try_from(keys.len()).unwrap_or(u32::MAX).saturating_add(1);
                wildcards.insert(iss, Weighed { source, weight }).await;
            }
            Ok(keys)
        }
    }
}

impl Place {
    fn of(issuer: &Issuer, system: &Arc<RootCertStore>) -> Result<Self, SetupError> {
        let url = match &issuer.keys {
            issuer::Keys::Inline(text) => return inline(issuer, text).map(Self::Inline),
            issuer::Keys::Url(url) => Some(usable(issuer, url)?),
            issuer::Keys::Discovery => {
                usable(issuer, &issuer.url.replace('*', "x"))?;
                None
            }
        };
        let reach = match named_host(&issuer.url) || url.is_some() {
            true => Reach::Private,
            false => Reach::Public,
        };
        let roots = roots(issuer, system)?;
        let fetcher =
            Fetcher::new(roots, reach).map_err(|error| SetupError::Tls(error.to_string()))?;
        let origin = if issuer.is_pattern() { Origin::Own } else { Origin::Any };
        let many = issuer.is_pattern() && url.is_none();
        let route = Arc::new(Route { fetcher, url, origin });
        Ok(if many { Self::Many(route) } else { Self::One(route, Arc::default()) })
    }
}

impl Route {
    async fn keys(&self, iss: &str) -> Result<Keys, FetchError> {
        match &self.url {
            Some(url) => self.fetcher.keys(url).await,
            None => self.fetcher.discover(iss, self.origin).await,
        }
    }

    /// Whether the issuers it is for are named by tokens.
    fn is_shared(&self) -> bool {
        self.url.is_none() && self.origin == Origin::Own
    }
}

impl Slots {
    /// Runs `fetch` when there is a place.
    async fn run(
        &self,
        origin: Origin,
        fetch: impl Future<Output = Result<Keys, FetchError>>,
    ) -> Result<Keys, FetchError> {
        let mut held = Vec::new();
        if origin == Origin::Own {
            // Attack: tokens that name ever new issuers. Beyond the queue they are turned away at once.
            held.push(self.wildcard_queue.try_acquire().map_err(|_| FetchError::Busy)?);
            held.push(self.wildcards.acquire().await.map_err(|_| FetchError::Busy)?);
        }
        held.push(self.all.acquire().await.map_err(|_| FetchError::Busy)?);
        fetch.await
    }
}

/// Whether newer keys could change the answer.
fn is_about_keys(error: &TokenError) -> bool {
    matches!(error, TokenError::NoSuchKey { .. } | TokenError::SignatureInvalid { .. })
}

fn inline(issuer: &Issuer, text: &[u8]) -> Result<Keys, SetupError> {
    let set = json::parse_object(text).ok();
    let keys = set.and_then(|set| fetch::keys(&set, &issuer.url).ok());
    keys.filter(|keys| !keys.is_empty())
        .ok_or_else(|| SetupError::KeySet { issuer: issuer.url.clone() })
}

fn usable(issuer: &Issuer, url: &str) -> Result<Uri, SetupError> {
    let (issuer, url) = (issuer.url.clone(), url.to_owned());
    fetch::parse(&url).map_err(|_| SetupError::Url { issuer, url })
}

/// Whether the host of an issuer's URL is written out: nobody else chooses it.
fn named_host(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    !host.split('/').next().unwrap_or_default().contains('*')
}

/// The roots that the system trusts (or `SSL_CERT_FILE` and `SSL_CERT_DIR`, if set). That there are none
/// shows when an issuer without a CA of its own is asked.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots(issuer: &Issuer, system: &Arc<RootCertStore>) -> Result<Arc<RootCertStore>, SetupError> {
    let Some(pem) = &issuer.roots else { return Ok(Arc::clone(system)) };
    let unusable = || SetupError::Roots { issuer: issuer.url.clone() };
    let own: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unusable())?;
    if own.is_empty() {
        return Err(unusable());
    }
    let mut roots = RootCertStore::clone(system);
    for certificate in own {
        roots.add(certificate).map_err(|_| unusable())?;
    }
    Ok(Arc::new(roots))
}

/// Why an issuer, as configured, cannot be asked for keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Its CA certificates are not PEM, or not certificates.
    #[error("the CA file of issuer {issuer} holds no certificates that can be used")]
    Roots {
        /// Its URL, as configured.
        issuer: String,
    },
    /// The keys given for it are none.
    #[error(
        "the key set given for issuer {issuer} is not an object with 1 to 100 \"keys\" that can be used"
    )]
    KeySet {
        /// Its URL, as configured.
        issuer: String,
    },
    /// There is nothing to fetch at this URL.
    #[error(
        "the keys of issuer {issuer} cannot be fetched from {url}: that takes an https URL (http on loopback only)"
    )]
    Url {
        /// Its URL, as configured.
        issuer: String,
        /// Where its keys would be.
        url: String,
    },
    /// The crypto library cannot do TLS.
    #[error("TLS is not available: {0}")]
    Tls(String),
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
