//! The keys of one issuer: fetched when needed, by one flight at a time, and remembered.
//!
//! ```text
//! age     0 ──────── fresh ─────────────────────── stale ──────→
//!         used       used, and fetched anew behind  fetched before anything is answered
//! ```
//!
//! A fetch is a task of its own: who asked for it may go away, the next one finds it under way.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::keyset::Limits;
use crate::keyset::fetch::{FetchError, Keys};

/// What is known of one issuer's keys.
#[derive(Debug, Default)]
pub struct Source {
    state: Mutex<State>,
    /// How many wait for a flight.
    waiting: AtomicUsize,
}

/// How long keys last, and who may wait for them.
///
/// Attack: whoever waits holds a place among the exchanges under way, and a token without a signature
/// is enough to wait. One issuer that does not answer must not have them all.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// How long keys last, and how many may wait for this issuer.
    pub limits: &'a Limits,
    /// The places of all who may wait, for this issuer and others.
    pub line: &'a Semaphore,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// When the last flight landed.
    tried: Option<Instant>,
    /// Why the last flight failed, unless it did not.
    failed: Option<FetchError>,
    /// Closes when the flight under way lands.
    flight: Option<watch::Receiver<()>>,
}

#[derive(Debug)]
struct Held {
    keys: Keys,
    fetched: Instant,
}

/// One of those who wait, counted until it is dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A flight that may be waited for.
struct Flight(watch::Receiver<()>);

impl Flight {
    async fn landed(mut self) {
        // Nothing is ever sent: the error is the end that we wait for.
        while self.0.changed().await.is_ok() {}
    }
}

impl Source {
    /// The keys: those held, unless they are too old, else what `fetch` yields.
    ///
    /// # Errors
    /// Why the last fetch failed, when there are no keys to fall back on; [`FetchError::Busy`] when too
    /// many wait for it.
    pub async fn keys<F>(
        self: &Arc<Self>,
        terms: Terms<'_>,
        fetch: impl FnOnce() -> F,
    ) -> Result<Keys, FetchError>
    where
        F: Future<Output = Result<Keys, FetchError>> + Send + 'static,
    {
        let limits = terms.limits;
        let flight = {
            let mut state = self.lock();
            if let Some(keys) = state.younger_than(limits.fresh) {
                return Ok(keys);
            }
            let flight = self.fly(&mut state, limits.failed, fetch);
            if let Some(keys) = state.younger_than(limits.stale) {
                return Ok(keys);
            }
            flight.ok_or_else(|| state.failure())?
        };
        self.wait_for(flight, terms).await?;
        let state = self.lock();
        state.younger_than(limits.stale).ok_or_else(|| state.failure())
    }

    /// Keys other than `known`, among which a token's was not; `None` when there are none, or when the
    /// issuer was asked so recently that it is not asked again.
    ///
    /// # Errors
    /// Why the last fetch failed, unless it did not; [`FetchError::Busy`] when too many wait for it.
    pub async fn newer<F>(
        self: &Arc<Self>,
        known: &Keys,
        terms: Terms<'_>,
        fetch: impl FnOnce() -> F,
    ) -> Result<Option<Keys>, FetchError>
    where
        F: Future<Output = Result<Keys, FetchError>> + Send + 'static,
    {
        let flight = self.fly(&mut self.lock(), terms.limits.refetch, fetch);
        if let Some(flight) = flight {
            self.wait_for(flight, terms).await?;
        }
        let state = self.lock();
        match &state.failed {
            Some(failed) => Err(failed.clone()),
            None => Ok(state.keys().filter(|keys| !Arc::ptr_eq(keys, known))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `flight` to land, where there is a place for one more who waits.
    async fn wait_for(&self, flight: Flight, terms: Terms<'_>) -> Result<(), FetchError> {
        let one_more = |waiting| (waiting < terms.limits.waiters).then_some(waiting + 1);
        let counted = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        let _waiter = counted.map(|_| Waiter(&self.waiting)).map_err(|_| FetchError::Busy)?;
        let _place = terms.line.try_acquire().map_err(|_| FetchError::Busy)?;
        flight.landed().await;
        Ok(())
    }

    /// Joins the flight under way, or starts one, unless the last one was less than `pause` ago.
    fn fly<F>(
        self: &Arc<Self>,
        state: &mut State,
        pause: Duration,
        fetch: impl FnOnce() -> F,
    ) -> Option<Flight>
    where
        F: Future<Output = Result<Keys, FetchError>> + Send + 'static,
    {
        if let Some(flight) = state.under_way() {
            return Some(flight);
        }
        if state.tried.is_some_and(|tried| tried.elapsed() < pause) {
            return None;
        }
        let (landing, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let (source, fetch) = (Arc::clone(self), fetch());
        tokio::spawn(async move {
            let outcome = fetch.await;
            source.lock().land(outcome);
            drop(landing);
        });
        Some(Flight(flight))
    }
}

impl State {
    fn keys(&self) -> Option<Keys> {
        self.held.as_ref().map(|held| Arc::clone(&held.keys))
    }

    fn younger_than(&self, age: Duration) -> Option<Keys> {
        self.keys().filter(|_| self.held.as_ref().is_some_and(|held| held.fetched.elapsed() < age))
    }

    /// The flight under way. One whose task ended without landing (it panicked) is none.
    fn under_way(&self) -> Option<Flight> {
        let flight = self.flight.as_ref()?;
        flight.has_changed().is_ok().then(|| Flight(flight.clone()))
    }

    fn land(&mut self, outcome: Result<Keys, FetchError>) {
        self.flight = None;
        self.tried = Some(Instant::now());
        match outcome {
            Ok(keys) => {
                self.held = Some(Held { keys, fetched: Instant::now() });
                self.failed = None;
            }
            Err(error) => {
                // That others keep us busy says nothing about this issuer: it may be asked at once.
                self.tried = self.tried.filter(|_| error != FetchError::Busy);
                self.failed = Some(error);
            }
        }
    }

    fn failure(&self) -> FetchError {
        self.failed.clone().unwrap_or(FetchError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const HOUR: Duration = Duration::from_secs(3600);

    fn limits() -> Limits {
        Limits { fresh: HOUR, stale: HOUR, failed: HOUR, refetch: HOUR, ..Limits::default() }
    }

    fn terms(limits: &Limits) -> Terms<'_> {
        static LINE: Semaphore = Semaphore::const_new(100);
        Terms { limits, line: &LINE }
    }

    fn some() -> Keys {
        Arc::new([])
    }

    async fn no_fetch() -> Result<Keys, FetchError> {
        panic!("nobody should ask")
    }

    #[tokio::test]
    async fn many_who_wait_share_one_flight() {
        let (source, flights) = (Arc::<Source>::default(), Arc::<AtomicUsize>::default());
        let (release, gate) = watch::channel(());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (source, flights) = (Arc::clone(&source), Arc::clone(&flights));
            let mut gate = gate.clone();
            tasks.spawn(async move {
                let fetch = || async move {
                    flights.fetch_add(1, Ordering::SeqCst);
                    let _ = gate.changed().await;
                    Ok(some())
                };
                source.keys(terms(&limits()), fetch).await.unwrap()
            });
        }
        while flights.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        drop(release);
        let all = tasks.join_all().await;
        assert!(all.iter().all(|keys| Arc::ptr_eq(keys, &all[0])));
        assert_eq!(flights.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_flight_that_crashes_keeps_nobody_waiting() {
        let source = Arc::<Source>::default();
        let crash = || async { panic!("a bug") };
        assert_eq!(source.keys(terms(&limits()), crash).await.unwrap_err(), FetchError::Broken);
        source.keys(terms(&limits()), || async { Ok(some()) }).await.unwrap();
    }

    #[tokio::test]
    async fn that_others_keep_us_busy_is_not_remembered() {
        let source = Arc::<Source>::default();
        let busy = || async { Err(FetchError::Busy) };
        assert_eq!(source.keys(terms(&limits()), busy).await.unwrap_err(), FetchError::Busy);
        source.keys(terms(&limits()), || async { Ok(some()) }).await.unwrap();
    }

    #[tokio::test]
    async fn stale_keys_are_there_at_once() {
        let source = Arc::<Source>::default();
        let limits = Limits { fresh: Duration::ZERO, failed: Duration::ZERO, ..limits() };
        let first = source.keys(terms(&limits), || async { Ok(some()) }).await.unwrap();
        for _ in 0..3 {
            let keys = source.keys(terms(&limits), pending).await.unwrap();
            assert!(Arc::ptr_eq(&keys, &first));
        }
    }

    #[tokio::test]
    async fn newer_keys_are_asked_for_seldom_and_found_when_somebody_else_did() {
        let source = Arc::<Source>::default();
        let old = source.keys(terms(&limits()), || async { Ok(some()) }).await.unwrap();
        assert!(source.newer(&old, terms(&limits()), no_fetch).await.unwrap().is_none());
        let eager = Limits { refetch: Duration::ZERO, ..limits() };
        let new =
            source.newer(&old, terms(&eager), || async { Ok(some()) }).await.unwrap().unwrap();
        let found = source.newer(&old, terms(&limits()), no_fetch).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&new, &found));
        assert!(source.newer(&new, terms(&limits()), no_fetch).await.unwrap().is_none());
    }
}
