//! A few read-only connections, shared by whoever reads.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::StoreError;
use crate::store::reader;

/// How many read at once: more would only compete for the same cores.
const LIMIT: usize = 4;

/// Read-only connections, each lent to one reader at a time.
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl Readers {
    /// Opens all of them.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connections = Vec::with_capacity(LIMIT);
        for _ in 0..LIMIT {
            connections.push(Mutex::new(reader::open(path)?));
        }
        Ok(Self { connections, turn: AtomicUsize::new(0) })
    }

    /// Runs `read` on a free connection; queues for one when none is free.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(free) = self.connections.iter().find_map(|one| one.try_lock().ok()) {
            return read(&free);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % LIMIT;
        let Some(one) = self.connections.get(turn) else {
            return Err(StoreError::Backend("there is no connection for reading".into()));
        };
        read(&one.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
