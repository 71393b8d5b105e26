//! The port: doors as text, and the server under peers that mean no good.
//!
//! `tests/http/*.txt` hold requests and what must hold of the answers (see [`script`]), run against
//! the real router over a real socket.

mod authority;
mod doors;
mod files;
mod grpc;
mod script;
mod server;
mod signatures;
mod timestamps;
mod wire;
