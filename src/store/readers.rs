//! A few read-only connections, shared by whoever reads.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{StoreError, reader};

/// Read-only connections, each lent to one reader at a time.
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl Readers {
    /// Opens so many connections to the database at `path`.
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let reader = |_| reader::open(path).map(Mutex::new);
        let connections = (0..count).map(reader).collect::<Result<_, _>>()?;
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
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let turn = turn.checked_rem(self.connections.len());
        let Some(one) = turn.and_then(|turn| self.connections.get(turn)) else {
            return Err(StoreError::Backend("there is no connection for reading".into()));
        };
        read(&one.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
