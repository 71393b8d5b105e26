//! What a log goes through, and what it keeps: every fault ends in a judgement.
//!
//! - [`table`]: scenario × fault × recovery, on the engine over SQLite.
//! - [`properties`]: all that a log must keep, and where it is proven.
//! - [`simulation`]: the engine over a disk, a clock and callers that one seed rules.
//! - [`calls`]: the real binary, killed or told of an error at any of its system calls.
//! - [`others`]: disks, copies, processes, signals, readers.
//! - [`power`]: power cuts of the real binary, with writes lost that no sync had covered.

use std::path::Path;

use tempfile::TempDir;

mod calls;
pub mod chance;
pub mod instance;
mod journal;
mod others;
mod power;
mod properties;
mod simulation;
pub mod stage;
mod table;
mod trace;

/// Whether the wide sweeps run too, which take minutes: `MAYFLY_SWEEP=1`.
fn sweep() -> bool {
    std::env::var_os("MAYFLY_SWEEP").is_some()
}

/// A folder where a sync costs nothing, if the machine has such a place: for what is read back while the
/// power stays on.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.or_else(|_| tempfile::tempdir()).expect("a folder")
}
