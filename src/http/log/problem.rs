//! Why a reader of the log gets nothing: one row for each reason.
//!
//! The answers look like all others ([`super::super::problem`]), and may be read by scripts of any
//! origin.

use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue};
use axum::response::{IntoResponse, Response};
use tonic::Code;

use crate::http::problem;
use crate::log::LogError;
use crate::log::proofs::Unprovable;
use crate::quote::quote;

/// Why there is nothing to serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such route.
    #[error(
        "a certificate log serves checkpoint, checkpoint.cosigned, log.v3.json, tile/…, issuer/… (https://c2sp.org/static-ct-api) and ct/v1/get-… (RFC 6962), a signature log api/v2/checkpoint and api/v2/tile/… (https://c2sp.org/tlog-tiles)"
    )]
    NoRoute,
    /// Not the path of a tile.
    #[error(
        "this is not the path of a tile: write tile/<level>/<index>, or tile/data/<index> in a certificate log and tile/entries/<index> in a signature log, the index in groups of three digits (x001/x234/067), and .p/<1 to 255> behind it for a partial tile"
    )]
    TilePath,
    /// Nobody cosigns, or not yet.
    #[error(
        "no checkpoint of this log has been cosigned by enough witnesses since this instance started; checkpoint has the newest with whatever cosignatures there are"
    )]
    NotCosigned,
    /// A tile that the tree does not have, or not so wide.
    #[error("the log has no such tile yet; its checkpoint says how many entries there are")]
    NoTile,
    /// A certificate that no entry names.
    #[error(
        "no entry of this log names such an issuer; issuer/ takes the SHA-256 of a certificate, 64 lowercase hex digits"
    )]
    NoIssuer,
    /// A leaf hash of no entry.
    #[error("no entry of this log has this leaf hash")]
    NoLeaf,
    /// A proof in a tree that there is not yet, where that is as if the leaf were unknown.
    #[error(transparent)]
    NotYet(Unprovable),
    /// A proof, or entries, of a tree that there is not.
    #[error(transparent)]
    Unprovable(Unprovable),
    /// A proof in a tree that holds nothing.
    #[error("the tree of 0 entries holds no leaf; tree_size must be at least 1")]
    EmptyTree,
    /// Entries that there are not.
    #[error("the log has {size} entries, so the last index is below that; {start} was asked for")]
    BeyondEnd {
        /// Where the entries should begin.
        start: u64,
        /// How many there are.
        size: u64,
    },
    /// Entries from the later to the earlier.
    #[error("the entries from {start} to {end} are none: give the smaller index as start")]
    Range {
        /// The index that should be the smaller one.
        start: u64,
        /// The index that should be the larger one.
        end: u64,
    },
    /// A parameter that must be there.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter that two readers could read in two ways.
    #[error("the parameter {0} is there more than once; give it once")]
    Twice(&'static str),
    /// A parameter that is no number.
    #[error(
        "the parameter {name} must be a whole number in decimal, without sign and leading zeros; got {}",
        quote(got)
    )]
    Number {
        /// Which one.
        name: &'static str,
        /// What it is.
        got: String,
    },
    /// A parameter that is no hash.
    #[error(
        "the parameter {name} must be a SHA-256 leaf hash, 32 octets in base64, its + / = escaped; got {}",
        quote(got)
    )]
    Hash {
        /// Which one.
        name: &'static str,
        /// What it is.
        got: String,
    },
    /// Another method.
    #[error("this route takes another method: GET to read, POST for add-chain and add-pre-chain")]
    Method,
    /// Somebody else's certificates.
    #[error(
        "this log takes the certificates of its own authority only, and logs each one before it is handed out; there is nothing to submit"
    )]
    Shut,
    /// What the log says is for the operator.
    #[error("the log cannot be read")]
    Log,
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        tracing::error!(%error, "the log cannot be read");
        Self::Log
    }
}

impl From<Unprovable> for Problem {
    fn from(error: Unprovable) -> Self {
        match error {
            Unprovable::Log(error) => error.into(),
            Unprovable::Beyond { .. }
            | Unprovable::Outside { .. }
            | Unprovable::Backwards { .. } => Self::Unprovable(error),
        }
    }
}

impl From<Problem> for problem::Problem {
    fn from(problem: Problem) -> Self {
        let sentence = problem.to_string();
        let (reason, code) = match problem {
            Problem::Log => return Self::log_unreadable(),
            Problem::Method => return Self::method_not_allowed().saying(sentence),
            Problem::NoRoute
            | Problem::TilePath
            | Problem::NotCosigned
            | Problem::NoTile
            | Problem::NoIssuer
            | Problem::NoLeaf
            | Problem::NotYet(_) => ("NOT_FOUND", Code::NotFound),
            Problem::Unprovable(_)
            | Problem::EmptyTree
            | Problem::BeyondEnd { .. }
            | Problem::Range { .. }
            | Problem::Missing(_)
            | Problem::Twice(_)
            | Problem::Number { .. }
            | Problem::Hash { .. } => ("REQUEST_MALFORMED", Code::InvalidArgument),
            Problem::Shut => ("SUBMISSION_REFUSED", Code::PermissionDenied),
        };
        Self::said(reason, code, sentence)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = problem::Problem::from(self).into_response();
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::CACHE_CONTROL;

    use super::*;

    #[test]
    fn no_error_may_be_kept() {
        let beyond = Unprovable::Beyond { size: 2, head: 1 };
        for (problem, status) in [
            (Problem::NotCosigned, 404),
            (Problem::NoTile, 404),
            (Problem::NoIssuer, 404),
            (Problem::NotYet(beyond.clone()), 404),
            (Problem::from(beyond), 400),
            (Problem::Missing("start"), 400),
            (Problem::Method, 405),
            (Problem::Shut, 403),
            (Problem::from(LogError::Closed), 503),
            (Problem::from(Unprovable::Log(LogError::Closed)), 503),
        ] {
            let response = problem.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        }
    }
}
