//! Timestamps: a request in, and out comes a token which says that a digest was there at a time.
//!
//! ```text
//! TimeStampReq ─▶ Request ─▶ Profile ─▶ Stamp ─ signature ─▶ TimeStampResp
//!   DER or JSON                ▲          TSTInfo, and the signed attributes over it
//!                            Chain
//! ```
//!
//! And the way back: a [`Reply`] is read, and verified with a [`Chain`].
//!
//! Spec: RFC 3161 §2.4, RFC 5652 §5, RFC 5816; the profile is that of sigstore's timestamp authority.

pub mod request;
pub mod token;
pub mod reply;
mod chain;
mod json;
#[cfg(test)]
mod fixture;

pub use self::chain::{Chain, ChainError};
pub use self::reply::{Reply, ReplyError};
pub use self::request::{Request, RequestError};
pub use self::token::{Profile, Stamp, ValidityError};
