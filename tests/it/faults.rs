//! What a log goes through, and what it keeps: every fault ends in a judgement.
//!
//! - [`table`]: scenario × fault × recovery, on the engine over SQLite.
//! - [`simulation`]: the engine over a disk, a clock and callers that one seed rules.

mod chance;
mod journal;
mod simulation;
mod stage;
mod table;

/// Whether the wide sweeps run too, which take minutes: `MAYFLY_SWEEP=1`.
fn sweep() -> bool {
    std::env::var_os("MAYFLY_SWEEP").is_some()
}
