//! Octets that are held at once, counted.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of octets. Whoever takes some says how far that may fill it: those who want little may fill
/// it further than those who want much, who cannot crowd them out then.
#[derive(Default)]
pub struct Budget(AtomicUsize);

impl Budget {
    /// Takes `octets`, unless more than `bound` would be held then; says whether it did.
    pub fn take(&self, octets: usize, bound: usize) -> bool {
        let sum = |held: usize| held.checked_add(octets).filter(|sum| *sum <= bound);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, sum).is_ok()
    }

    /// Gives back what was taken.
    pub fn give(&self, octets: usize) {
        self.0.fetch_sub(octets, Ordering::AcqRel);
    }

    /// How many are held.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}
