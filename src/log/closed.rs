//! A shard whose window has ended: read for ever, and never written again.
//!
//! It has no sequencer and no queue, so there is nothing that could append, and its store is open for
//! reading only. The last head is what it was; it is signed again when it is asked for.

use super::{Log, LogError, Means, State};
use crate::store::Owner;

impl Log {
    /// Opens a log of the past, checked as [`Log::read_only`] checks, to be read for good.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn open_over(means: Means) -> Result<Self, LogError> {
        Self::still(means, State::Over)
    }

    /// Whether its window has ended, so that nothing will ever be appended.
    pub fn is_over(&self) -> bool {
        *self.shared.state.borrow() == State::Over
    }

    /// Why such a log takes nothing.
    pub(super) fn over(&self) -> LogError {
        let Owner { origin, window, .. } = &self.shared.owner;
        LogError::Over { origin: origin.clone(), end: window.end }
    }
}
