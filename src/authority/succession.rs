//! The chains that an authority issues by, one after the other.
//!
//! Each begins to issue when it begins to hold, and not before: what is to take over is among those that
//! verifiers are told of long before, and what has been taken over stays there, for the sake of what it
//! signed. Nothing but the clock decides which one it is.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::certificate::Chain;
use crate::certificate::profile::Profile;
use crate::signer::Signer;
use crate::time::Timestamp;

/// A chain, and what it takes to issue by it.
#[derive(Clone)]
pub struct Issuing {
    /// The issuing certificate and those above it.
    pub chain: Arc<Chain>,
    /// The signing key of the issuing certificate.
    pub signer: Arc<dyn Signer>,
    /// What all its certificates share.
    pub profile: Profile,
}

/// All chains of an authority, the one that began first before the others; there is always one.
pub struct Chains {
    first: Arc<Issuing>,
    later: Vec<Arc<Issuing>>,
}

impl Chains {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuing>> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The newest of those that have begun by `now`; the first, where none has.
    pub fn at(&self, now: Timestamp) -> &Arc<Issuing> {
        let begun = |issuing: &&Arc<Issuing>| issuing.profile.begins() <= now;
        self.later.iter().rev().find(begun).unwrap_or(&self.first)
    }
}

/// The chains of an authority at present. Cloning shares them.
#[derive(Clone)]
pub struct Succession(Arc<ArcSwap<Chains>>);

impl From<Issuing> for Succession {
    fn from(only: Issuing) -> Self {
        let chains = Chains { first: Arc::new(only), later: Vec::new() };
        Self(Arc::new(ArcSwap::from_pointee(chains)))
    }
}

impl Succession {
    /// All of them, as they are now.
    pub fn all(&self) -> Arc<Chains> {
        self.0.load_full()
    }

    /// What issues at `now`.
    pub fn at(&self, now: Timestamp) -> Arc<Issuing> {
        Arc::clone(self.0.load().at(now))
    }

    /// Adds a chain, unless it is there already.
    pub fn put(&self, issuing: Issuing) {
        let issuing = Arc::new(issuing);
        self.0.rcu(|chains| {
            let mut all: Vec<_> = chains.iter().map(Arc::clone).collect();
            if all.iter().all(|known| known.chain.ders() != issuing.chain.ders()) {
                all.push(Arc::clone(&issuing));
            }
            all.sort_by_key(|issuing| issuing.profile.begins());
            let mut all = all.into_iter();
            let first = all.next().unwrap_or_else(|| Arc::clone(&issuing));
            Chains { first, later: all.collect() }
        });
    }
}
