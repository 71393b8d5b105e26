//! Fetches by host: of those hosts that strangers may name, none has all the places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The fetches that are under way or wait, by host.
pub struct Hosts {
    asked: Mutex<HashMap<String, Asked>>,
    fetches: usize,
    queue: usize,
}

struct Asked {
    /// Those under way, and those that wait.
    all: usize,
    turns: Arc<Semaphore>,
}

impl Hosts {
    /// So many `fetches` at a time for each host, and so many that are under way or wait.
    pub fn new(fetches: usize, queue: usize) -> Self {
        Self { asked: Mutex::default(), fetches, queue }
    }

    /// A fetch for the host of `url`, unless too many wait already.
    pub fn enter(&self, url: &str) -> Option<Entry<'_>> {
        let host = host(url).to_ascii_lowercase();
        let mut hosts = self.asked();
        let fresh = || Asked { all: 0, turns: Arc::new(Semaphore::new(self.fetches)) };
        let asked = hosts.entry(host.clone()).or_insert_with(fresh);
        if asked.all >= self.queue {
            return None;
        }
        asked.all += 1;
        let turns = Arc::clone(&asked.turns);
        Some(Entry { hosts: self, host, turns })
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that counts for its host until it is dropped.
pub struct Entry<'a> {
    hosts: &'a Hosts,
    host: String,
    turns: Arc<Semaphore>,
}

impl Entry<'_> {
    /// Waits until it is this fetch's turn; the turn lasts as long as the permit.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut hosts = self.hosts.asked();
        if let Some(asked) = hosts.get_mut(&self.host) {
            asked.all -= 1;
            if asked.all == 0 {
                hosts.remove(&self.host);
            }
        }
    }
}

/// Host and port of a URL.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_does_not_have_all_places_and_is_forgotten() {
        let hosts = Hosts::new(1, 2);
        let one = hosts.enter("https://a.example/1").unwrap();
        let _two = hosts.enter("https://A.example/2").unwrap();
        assert!(hosts.enter("https://a.example").is_none());
        assert!(hosts.enter("https://b.example/1").is_some());
        drop(one);
        assert!(hosts.enter("https://a.example/3").is_some());
        assert_eq!(hosts.asked().len(), 1);
    }
}
