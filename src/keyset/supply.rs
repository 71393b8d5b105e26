//! Where a configured issuer's keys come from, and the slots that fetches wait for.

use std::sync::Arc;

use hyper::Uri;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::hosts::host;
use crate::issuer::{self, Issuer};
use crate::keyset::Limits;
use crate::keyset::address::Reach;
use crate::keyset::bearer::Bearer;
use crate::keyset::clients::Clients;
use crate::keyset::fetch::{self, FetchError, Fetcher, Keys, Origin};
use crate::keyset::hosts::{Entry, Hosts};
use crate::keyset::source::Source;
use crate::token::json;

/// Where a configured issuer's keys come from. Cloning shares what is known of them.
#[derive(Clone)]
pub enum Supply {
    /// They are in the configuration.
    Inline(Keys),
    /// One key set for the whole entry.
    One(Arc<Route>, Arc<Source>),
    /// A key set for each issuer that matches the pattern.
    Many(Arc<Route>),
}

/// How keys are fetched.
pub struct Route {
    fetcher: Fetcher,
    /// The key set's URL; without one, discovery finds it.
    url: Option<Uri>,
    origin: Origin,
}

/// How many fetches run at a time, and how many exchanges wait for one.
pub struct Slots {
    all: Semaphore,
    /// Those for issuers that match a pattern.
    wildcards: Semaphore,
    /// Those, and the ones that wait.
    wildcard_queue: Semaphore,
    /// Those of one host.
    hosts: Hosts,
    line: Semaphore,
    wildcard_line: Semaphore,
}

impl Supply {
    /// The supply of `issuer`, asked with one of `clients`.
    ///
    /// # Errors
    /// Every [`SetupError`].
    pub fn of(issuer: &Issuer, clients: &mut Clients<'_>) -> Result<Self, SetupError> {
        let url = match &issuer.keys {
            issuer::Keys::Inline(text) => return inline(issuer, text).map(Self::Inline),
            issuer::Keys::Url(url) => Some(usable(issuer, url)?),
            issuer::Keys::Discovery => None,
        };
        let many = issuer.is_pattern() && url.is_none();
        let example = usable(issuer, &issuer.url.replace('*', "1"));
        let asked = url.clone().map_or(example, Ok)?;
        let origin = if many { Origin::Own } else { Origin::Any };
        let reach = match many && !names_host(&issuer.url) {
            true => Reach::Public,
            false => Reach::Private,
        };
        let bearer = match &issuer.bearer_file {
            // Attack: whoever may name an issuer under the pattern would be shown the credential.
            Some(_) if many => return Err(SetupError::Bearer { issuer: issuer.url.clone() }),
            Some(file) => Some(Bearer { file: file.clone(), origin: asked }),
            None => None,
        };
        let fetcher = clients.of(issuer, reach)?.with_bearer(bearer);
        let route = Arc::new(Route { fetcher, url, origin });
        Ok(if many { Self::Many(route) } else { Self::One(route, Arc::default()) })
    }
}

impl Route {
    /// Fetches the keys of `iss` when `slots` have one free.
    ///
    /// # Errors
    /// Every [`FetchError`] but [`FetchError::TimedOut`].
    pub async fn keys(&self, iss: &str, slots: &Slots) -> Result<Keys, FetchError> {
        let _slots = slots.of(self.origin, iss).await?;
        self.fetcher.keys(&self.locate(iss).await?).await
    }

    /// What is asked first: the key set, or the discovery document.
    pub fn first(&self, iss: &str) -> Result<Uri, FetchError> {
        self.url.clone().map_or_else(|| fetch::parse(iss), Ok)
    }

    /// Whether discovery finds the key set.
    pub fn discovers(&self) -> bool {
        self.url.is_none()
    }

    /// What asks.
    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Where the keys of `iss` are.
    ///
    /// # Errors
    /// As [`Self::keys`].
    pub async fn locate(&self, iss: &str) -> Result<Uri, FetchError> {
        match &self.url {
            Some(url) => Ok(url.clone()),
            None => self.fetcher.discover(iss, self.origin).await,
        }
    }
}

impl Slots {
    /// As many as `limits` say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            all: Semaphore::new(limits.fetches),
            wildcards: Semaphore::new(limits.wildcard_fetches),
            wildcard_queue: Semaphore::new(limits.wildcard_queue),
            hosts: Hosts::new(
                limits.wildcard_fetches.div_ceil(2),
                limits.wildcard_queue.div_ceil(2),
            ),
            line: Semaphore::new(limits.line),
            wildcard_line: Semaphore::new(limits.wildcard_line),
        }
    }

    /// The places of those who wait for a fetch by `route`.
    pub fn line(&self, route: &Route) -> &Semaphore {
        match route.origin {
            Origin::Any => &self.line,
            Origin::Own => &self.wildcard_line,
        }
    }

    /// What a fetch must hold while it runs.
    async fn of(&self, origin: Origin, iss: &str) -> Result<Slot<'_>, FetchError> {
        let (mut held, mut host) = (Vec::new(), None);
        if origin == Origin::Own {
            // Attack: tokens that name ever new issuers. Beyond the queue they are turned away at once.
            let entry = self.hosts.enter(iss).ok_or(FetchError::Busy)?;
            held.push(self.wildcard_queue.try_acquire().map_err(|_| FetchError::Busy)?);
            host = Some((entry.turn().await.ok_or(FetchError::Busy)?, entry));
            held.push(self.wildcards.acquire().await.map_err(|_| FetchError::Busy)?);
        }
        held.push(self.all.acquire().await.map_err(|_| FetchError::Busy)?);
        Ok(Slot { _held: held, _host: host })
    }
}

/// What a fetch holds while it runs.
struct Slot<'a> {
    _held: Vec<SemaphorePermit<'a>>,
    _host: Option<(OwnedSemaphorePermit, Entry<'a>)>,
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
fn names_host(url: &str) -> bool {
    !host(url).contains('*')
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
    /// Its pattern lets strangers name hosts, and a credential is for one host.
    #[error(
        "issuer {issuer} is a pattern, and a bearer token is shown to one host only: write out its URL"
    )]
    Bearer {
        /// Its URL, as configured.
        issuer: String,
    },
    /// The crypto library cannot do TLS.
    #[error("TLS is not available: {0}")]
    Tls(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_when_no_part_of_it_is_a_pattern() {
        for url in ["https://a.example/*", "https://a.example/id/*/x", "https://a.example:8443/*"] {
            assert!(names_host(url), "{url}");
        }
        for url in
            ["https://*.example/id", "https://a-*/x", "https://a.example:*/x", "*", "https://*"]
        {
            assert!(!names_host(url), "{url}");
        }
    }
}
