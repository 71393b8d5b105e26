//! Mayfly: a short-lived certificate authority with its own transparency log.
//!
//! # The line of data
//!
//! ```text
//! token → claims → identity → decision → profile → precertificate → log → certificate → response
//! ```
//!
//! Each arrow is a function that consumes what is on its left; [`authority::Authority::issue`] tells
//! the whole story on one screen.
//!
//! # The map
//!
//! The `pub mod` lines below stand in dependency order: a module may use only those above it, and
//! `tests/it/tidy.rs` reads this file to hold us to it. Above the line modules compute: they do not
//! wait, read clocks, draw numbers or log. Below it they touch the world, and do not decide.
//!
//! # Invariants of absence
//!
//! - Only [`time`] reads the clock. A request reads it once; `now` is an argument everywhere else.
//! - Only [`cli`], [`signer`] and [`installation`] draw randomness; a serial number is an argument.
//! - Only [`token`] makes [`token::Claims`], only [`possession`] a [`possession::ProvenKey`], only
//!   [`policy`] a [`policy::Grant`], only [`certificate::check`] a
//!   [`certificate::check::CheckedTbs`]. Those four constructors are the whole trust base. (A
//!   [`token::Supposition`] lends claims that nobody verified; a grant needs claims of one's own.)
//! - Only [`http`] knows status codes and JSON shapes of answers; only [`config`] knows YAML.
//! - Only `main.rs` ends the process; [`log`] says when the store can no longer be trusted.
//! - The core never logs. It returns; [`authority`] logs once, at the end, what happened.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::missing_errors_doc, clippy::wildcard_enum_match_arm, clippy::too_many_lines)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::indexing_slicing
    )
)]

pub mod time;
pub mod quote;
pub mod glob;
pub mod typo;
pub mod algorithm;
pub mod pem;
pub mod asn1;
pub mod tlog;
pub mod extensions;
pub mod template;
pub mod issuer;
pub mod token;
pub mod identity;
pub mod possession;
pub mod policy;
pub mod ct;
pub mod certificate;
pub mod rekor;
pub mod reading;
pub mod record;
pub mod timestamp;
pub mod trust;
pub mod tuf;
pub mod bundle;
// ── pure above, effects below ──
pub mod config;
pub mod keyset;
pub mod witness;
pub mod signer;
pub mod store;
pub mod log;
pub mod explorer;
pub mod authority;
pub mod signatures;
pub mod timestamping;
pub mod installation;
pub mod http;
pub mod cli;
