//! What the tests stand on: a fixed clock, a token issuer that is a real server, a store that fails on demand.

use std::io::Write;
use std::path::Path;

pub mod authority;
pub mod caller;
pub mod issuer;
pub mod patience;
pub mod process;
pub mod shard;
pub mod signer;
pub mod store;
pub mod witness;
pub mod made_log;

/// Says that a test is skipped, and why; fails where `CI=true` allows no such gap.
#[track_caller]
pub fn skip(why: &str) {
    let may_skip = std::env::var_os("CI").is_none_or(|ci| ci != "true");
    assert!(may_skip, "{why}, and CI=true allows no gaps");
    // Not `eprintln!`: what that writes is shown for failing tests only.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Compares a file of the repository with what a test made; `UPDATE=1` writes it.
#[track_caller]
pub fn written(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).expect("a file");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{file} is not what it should be: `UPDATE=1 cargo test` writes it");
}
