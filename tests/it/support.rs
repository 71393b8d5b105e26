//! What the tests stand on: a fixed clock, a token issuer that is a real server, a store that fails on demand.

pub mod authority;
pub mod caller;
pub mod issuer;
pub mod process;
pub mod signer;
pub mod store;
pub mod made_log;
