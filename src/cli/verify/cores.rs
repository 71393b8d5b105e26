//! The checks of a tile's entries, a part on each core.

use std::num::NonZero;
use std::panic;
use std::thread::{self, ScopedJoinHandle};

use crate::ct::entry::LoggedEntry;
use crate::ct::judge::{Check, Fault};

/// The least entries that are worth a core of their own.
const PART: usize = 32;

/// Has `check` see none; yields how many that are.
pub(super) fn none(entries: &[LoggedEntry], _: Check<'_>) -> Result<u64, Fault> {
    Ok(entries.len() as u64)
}

/// Has `check` see all entries; yields what it yields of all parts, or the fault that comes first.
pub(super) fn spread(entries: &[LoggedEntry], check: Check<'_>) -> Result<u64, Fault> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut parts = entries.chunks(entries.len().div_ceil(cores).max(PART));
    let first = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || check(part))).collect();
        let first = check(first);
        let ended = |other: ScopedJoinHandle<'_, _>| {
            other.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        };
        std::iter::once(first).chain(others.into_iter().map(ended)).sum()
    })
}
