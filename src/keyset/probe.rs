//! One issuer asked step by step, for a person who wants to know why its tokens do not verify.
//!
//! ```text
//! name → address → bearer token → connection → TLS → discovery → issuer → key set → keys
//! ```
//!
//! The steps are read off what fetching yields, so that a probe and a request cannot disagree.

use std::fmt;

use tokio::time::{Instant, timeout_at};

use crate::algorithm::jose::Algorithm;
use crate::issuer::Issuer;
use crate::keyset::Keyset;
use crate::keyset::address::ResolveError;
use crate::keyset::fetch::{FetchError, Keys};
use crate::keyset::supply::{Route, Supply};

/// What must hold, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Its host's name resolves.
    Name,
    /// To an address that we connect to.
    Address,
    /// The credential that it is to be shown can be read.
    Bearer,
    /// Something accepts the connection, and answers in time.
    Connection,
    /// With a certificate that we trust.
    Tls,
    /// It has a discovery document.
    Discovery,
    /// Which is its own.
    Issuer,
    /// Its key set can be read.
    KeySet,
    /// With keys that verify tokens.
    Keys,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::Address,
        Self::Bearer,
        Self::Connection,
        Self::Tls,
        Self::Discovery,
        Self::Issuer,
        Self::KeySet,
        Self::Keys,
    ];

    /// Where fetching the first document got to, by how it ended.
    fn of(error: &FetchError) -> Self {
        match error {
            FetchError::Resolve(ResolveError::NoAddress) => Self::Name,
            FetchError::Resolve(ResolveError::OutOfReach(_)) => Self::Address,
            FetchError::Bearer(_) => Self::Bearer,
            FetchError::Connect(_)
            | FetchError::Proxy(_)
            | FetchError::TimedOut
            | FetchError::Busy => Self::Connection,
            FetchError::Tls(_) => Self::Tls,
            FetchError::OtherIssuer(_) => Self::Issuer,
            FetchError::Broken
            | FetchError::Status { .. }
            | FetchError::Redirect(_)
            | FetchError::TooLarge(_)
            | FetchError::Encoded(_)
            | FetchError::NotJson { .. }
            | FetchError::Member { .. }
            | FetchError::Url(_)
            | FetchError::ForeignKeys(_) => Self::Discovery,
        }
    }
}

/// A word for it.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Address => "address",
            Self::Bearer => "bearer token",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Discovery => "discovery",
            Self::Issuer => "issuer",
            Self::KeySet => "key set",
            Self::Keys => "keys",
        })
    }
}

/// What asking an issuer showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Its keys stand in the configuration: these.
    Inline(String),
    /// It is a pattern: there is nobody to ask until a token names an issuer.
    Pattern,
    /// The steps that hold, each with what was found, and the one that does not.
    Asked {
        /// In the order of [`Step::ALL`]; those that do not apply are left out.
        held: Vec<(Step, String)>,
        /// Where it ended, unless everything holds.
        failed: Option<(Step, Fault)>,
    },
}

/// Why a step does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The keys could not be had.
    #[error(transparent)]
    Fetch(FetchError),
    /// There are keys, and none of them verifies a token of this issuer.
    #[error("none of its keys can be used{0}")]
    NoKeys(&'static str),
}

impl Keyset {
    /// Asks `issuer`, which must be one of [`Keyset::issuers`], for its keys, and keeps nothing.
    pub async fn probe(&self, issuer: &Issuer) -> Probe {
        match self.supplies.get(&issuer.id) {
            None | Some(Supply::Many(_)) => Probe::Pattern,
            Some(Supply::Inline(keys)) => Probe::Inline(describe(keys, issuer)),
            Some(Supply::One(route, _)) => {
                let mut found = Found::default();
                let deadline = Instant::now() + self.limits.deadline;
                let failed = ask(issuer, route, deadline, &mut found).await.err();
                let held = found.before(failed.as_ref().map(|(step, _)| *step), route);
                Probe::Asked { held, failed }
            }
        }
    }
}

/// What is worth showing of the steps that hold.
#[derive(Default)]
struct Found {
    addresses: String,
    key_set: String,
    keys: String,
    /// Whether the first document came without TLS.
    plain: bool,
}

impl Found {
    /// The steps before `end`, or all, as far as they apply to an issuer asked by `route`.
    fn before(self, end: Option<Step>, route: &Route) -> Vec<(Step, String)> {
        let applies = |step: &Step| match step {
            Step::Tls => !self.plain,
            Step::Discovery | Step::Issuer => route.discovers(),
            Step::Bearer => route.fetcher().has_bearer(),
            Step::Name | Step::Address | Step::Connection | Step::KeySet | Step::Keys => true,
        };
        let steps = Step::ALL.into_iter().filter(applies);
        let steps = steps.take_while(|step| end.is_none_or(|end| *step < end));
        let text = |step| match step {
            Step::Address => self.addresses.clone(),
            Step::KeySet => self.key_set.clone(),
            Step::Keys => self.keys.clone(),
            Step::Name
            | Step::Bearer
            | Step::Connection
            | Step::Tls
            | Step::Discovery
            | Step::Issuer => String::new(),
        };
        steps.map(|step| (step, text(step))).collect()
    }
}

/// Asks as a request would, and tells where it ended.
async fn ask(
    issuer: &Issuer,
    route: &Route,
    deadline: Instant,
    found: &mut Found,
) -> Result<(), (Step, Fault)> {
    let at = |error: FetchError| (Step::of(&error), Fault::Fetch(error));
    let url = route.first(&issuer.url).map_err(at)?;
    found.plain = url.scheme_str() == Some("http");
    let addresses = within(deadline, route.fetcher().addresses(&url)).await.map_err(at)?;
    found.addresses = match addresses.is_empty() {
        true => "left to the proxy".to_owned(),
        false => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let key_set = within(deadline, route.locate(&issuer.url)).await.map_err(at)?;
    let fetched = within(deadline, route.fetcher().keys(&key_set)).await;
    let keys = fetched.map_err(|error| {
        let step = Step::of(&error);
        // Where discovery has named the key set, the steps before belong to the discovery document; but
        // what is ours to read has nothing to do with which document is asked for.
        let is_its = step != Step::Bearer && (route.discovers() || step >= Step::Discovery);
        (if is_its { Step::KeySet } else { step }, Fault::Fetch(error))
    })?;
    found.key_set = key_set.to_string();
    if usable(&keys, issuer).is_empty() {
        return Err((Step::Keys, Fault::NoKeys(with_algorithms(issuer))));
    }
    found.keys = describe(&keys, issuer);
    Ok(())
}

async fn within<T>(
    deadline: Instant,
    fetch: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    timeout_at(deadline, fetch).await.unwrap_or(Err(FetchError::TimedOut))
}

fn with_algorithms(issuer: &Issuer) -> &'static str {
    if issuer.algorithms.is_empty() { "" } else { " with the configured `algorithms`" }
}

/// The algorithms that `keys` verify and `issuer` may use.
fn usable(keys: &Keys, issuer: &Issuer) -> Vec<Algorithm> {
    let allowed = |algorithm: &Algorithm| {
        issuer.algorithms.is_empty() || issuer.algorithms.contains(algorithm)
    };
    let fits = |algorithm: &Algorithm| keys.iter().any(|key| key.fits(*algorithm));
    Algorithm::all().filter(allowed).filter(fits).collect()
}

/// `3 keys for RS256, ES256`.
fn describe(keys: &Keys, issuer: &Issuer) -> String {
    let algorithms = usable(keys, issuer).iter().map(ToString::to_string).collect::<Vec<_>>();
    let plural = if keys.len() == 1 { "" } else { "s" };
    format!("{} key{plural} for {}", keys.len(), algorithms.join(", "))
}
