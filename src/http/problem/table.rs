//! One table for each stage's error: what a machine may rely on, and what a stranger may know.
//!
//! A stage's refusals share their code; their reasons are the authority's. No arm stands for "everything
//! else": a new variant stops the build here.

use std::time::Duration;

use tonic::Code;

use crate::authority::{Failure, Refusal};
use crate::certificate::profile::ProfileError;
use crate::log::LogError;

use super::Message;

/// Reason, code, and when to come again.
pub struct Row(pub &'static str, pub Code, pub Option<Duration>);

/// In a moment.
pub const SOON: Option<Duration> = Some(Duration::from_secs(1));
/// When somebody, or the issuer, has had time to recover.
pub const LATER: Option<Duration> = Some(Duration::from_secs(5));
/// Not by waiting.
pub const NEVER: Option<Duration> = None;

/// The caller's faults.
pub fn refused(refusal: &Refusal) -> Row {
    let code = match refusal {
        Refusal::Token(_)
        | Refusal::IssuerUnknown { .. }
        | Refusal::Identity(_)
        | Refusal::Possession(_) => Code::InvalidArgument,
        Refusal::Policy(_) => Code::PermissionDenied,
    };
    Row(refusal.reason(), code, NEVER)
}

/// Our faults, each in words for strangers; the cause stands in our own log alone. An issuer's trouble
/// is not ours, and said in a word.
pub fn failed(failure: &Failure) -> (Row, Message) {
    let (row, what) = match failure {
        Failure::IssuerUnreachable { issuer, trouble, .. } => {
            let row = Row("ISSUER_UNREACHABLE", Code::Unavailable, LATER);
            let sentence = format!(
                "issuer {issuer} does not answer ({trouble}); this is not the token's fault, try again"
            );
            return (row, Message::Said(sentence));
        }
        Failure::Profile(error) => profile(error),
        Failure::Check(_) => (
            Row("CERTIFICATE_UNSOUND", Code::Internal, NEVER),
            "the certificate did not come out as it should",
        ),
        Failure::Signer(_) => (
            Row("SIGNER_UNAVAILABLE", Code::Unavailable, LATER),
            "the signing key cannot be used at present",
        ),
        Failure::Log(error) => log(error),
    };
    (row, Message::Ours(what))
}

fn profile(error: &ProfileError) -> (Row, &'static str) {
    match error {
        ProfileError::AuthorityExpired { .. } => (
            Row("AUTHORITY_EXPIRED", Code::Unavailable, NEVER),
            "the authority's own certificate does not last long enough to issue",
        ),
        ProfileError::AuthorityNotYetValid { .. } => (
            Row("AUTHORITY_NOT_YET_VALID", Code::Unavailable, NEVER),
            "the authority's own certificate is not valid yet",
        ),
    }
}

/// What keeps the log from taking an entry.
pub fn log(error: &LogError) -> (Row, &'static str) {
    match error {
        LogError::Full => (
            Row("LOG_FULL", Code::Unavailable, SOON),
            "the log has more entries waiting than it can write",
        ),
        LogError::Closed => {
            (Row("SHUTTING_DOWN", Code::Unavailable, SOON), "this instance is shutting down")
        }
        LogError::ReadOnly => (
            Row("READ_ONLY", Code::Unavailable, NEVER),
            "this instance serves its logs for reading only: it issues and logs nothing",
        ),
        LogError::Damaged(_) => (
            Row("LOG_DAMAGED", Code::Unavailable, NEVER),
            "the log of this instance was found damaged: nothing is issued or logged until a person has looked at it",
        ),
        LogError::Clock { .. } => (
            Row("CLOCK_WRONG", Code::Unavailable, LATER),
            "the clock of this instance is wrong: nothing is issued or logged by a wrong clock",
        ),
        LogError::Foreign { .. }
        | LogError::Rows { .. }
        | LogError::Root { .. }
        | LogError::Entry { .. }
        | LogError::Issuer { .. }
        | LogError::Tile { .. }
        | LogError::Miscomputed { .. }
        | LogError::Store(_)
        | LogError::Mark(_)
        | LogError::Witness(_)
        | LogError::Index(_)
        | LogError::Signer(_)
        | LogError::Record(_)
        | LogError::Thread(_)
        | LogError::Over { .. }
        | LogError::Uncovered { .. }
        | LogError::Died => (
            Row("LOG_UNAVAILABLE", Code::Unavailable, LATER),
            "the log cannot be written at present, and nothing is issued or taken without it",
        ),
    }
}
