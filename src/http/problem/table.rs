//! One table for each stage's error: what a machine may rely on, and what a stranger may know.
//!
//! A stage's refusals share their code, and each variant has its reason. No arm stands for "everything
//! else": a new variant stops the build here.

use std::time::Duration;

use tonic::Code;

use crate::authority::{Failure, Refusal};
use crate::certificate::profile::ProfileError;
use crate::identity::IdentityError;
use crate::log::LogError;
use crate::policy::PolicyError;
use crate::possession::PossessionError;
use crate::token::TokenError;

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
    match refusal {
        Refusal::Token(error) => Row(token(error), Code::InvalidArgument, NEVER),
        Refusal::IssuerUnknown { .. } => Row("ISSUER_UNKNOWN", Code::InvalidArgument, NEVER),
        Refusal::Identity(error) => Row(identity(error), Code::InvalidArgument, NEVER),
        Refusal::Possession(error) => Row(possession(error), Code::InvalidArgument, NEVER),
        Refusal::Policy(error) => Row(policy(error), Code::PermissionDenied, NEVER),
    }
}

#[rustfmt::skip]
fn token(error: &TokenError) -> &'static str {
    match error {
        TokenError::Empty                       => "TOKEN_MISSING",
        TokenError::TooLong { .. }              => "TOKEN_INVALID",
        TokenError::NotCompact { .. }           => "TOKEN_INVALID",
        TokenError::NotBase64(_)                => "TOKEN_INVALID",
        TokenError::NotJson { .. }              => "TOKEN_INVALID",
        TokenError::AlgorithmMissing            => "TOKEN_INVALID",
        TokenError::UnsupportedAlgorithm(_)     => "TOKEN_INVALID",
        TokenError::ForbiddenHeader(_)          => "TOKEN_INVALID",
        TokenError::KeyIdNotText                => "TOKEN_INVALID",
        TokenError::ClaimMissing(_)             => "CLAIM_MISSING",
        TokenError::ClaimEmpty(_)               => "CLAIM_MISSING",
        TokenError::ClaimType { .. }            => "CLAIM_INVALID",
        TokenError::NoSuchKey { .. }            => "SIGNATURE_INVALID",
        TokenError::SignatureInvalid { .. }     => "SIGNATURE_INVALID",
        TokenError::TooManyKeys { .. }          => "SIGNATURE_INVALID",
        TokenError::IssuerMismatch { .. }       => "ISSUER_MISMATCH",
        TokenError::AudienceMismatch { .. }     => "AUDIENCE_MISMATCH",
        TokenError::Expired { .. }              => "TOKEN_EXPIRED",
        TokenError::NotYetValid { .. }          => "TOKEN_NOT_YET_VALID",
        TokenError::AlgorithmNotAllowed { .. }  => "ALGORITHM_NOT_ALLOWED",
        TokenError::TooOld { .. }               => "TOKEN_TOO_OLD",
        TokenError::AgeUnknown { .. }           => "CLAIM_MISSING",
    }
}

#[rustfmt::skip]
fn identity(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::ClaimMissing { .. }      => "CLAIM_MISSING",
        IdentityError::ClaimType { .. }         => "CLAIM_INVALID",
        IdentityError::ClaimValue { .. }        => "CLAIM_INVALID",
        IdentityError::EmailUnverified { .. }   => "EMAIL_UNVERIFIED",
        IdentityError::EmailInvalid { .. }      => "CLAIM_INVALID",
        IdentityError::SubjectIsEmail { .. }    => "SUBJECT_INVALID",
        IdentityError::SubjectInvalid { .. }    => "SUBJECT_INVALID",
        IdentityError::SubjectForeign { .. }    => "SUBJECT_INVALID",
        IdentityError::TooLong { .. }           => "IDENTITY_INVALID",
        IdentityError::TooLarge { .. }          => "IDENTITY_INVALID",
        IdentityError::SanEmpty { .. }          => "IDENTITY_INVALID",
        IdentityError::Url { .. }               => "IDENTITY_INVALID",
    }
}

#[rustfmt::skip]
fn possession(error: &PossessionError) -> &'static str {
    match error {
        PossessionError::KeyMissing             => "KEY_MISSING",
        PossessionError::KeyUnreadable          => "KEY_UNREADABLE",
        PossessionError::KeyIsCertificate       => "KEY_UNREADABLE",
        PossessionError::KeyIsPrivate           => "KEY_IS_PRIVATE",
        PossessionError::KeyUnacceptable(_)     => "KEY_UNACCEPTABLE",
        PossessionError::ProofInvalid { .. }    => "PROOF_INVALID",
        PossessionError::CsrUnreadable          => "CSR_UNREADABLE",
        PossessionError::CsrAlgorithm { .. }    => "CSR_UNACCEPTABLE",
        PossessionError::CsrSignature           => "PROOF_INVALID",
    }
}

#[rustfmt::skip]
fn policy(error: &PolicyError) -> &'static str {
    match error {
        PolicyError::Denied { .. }              => "DENIED_BY_RULE",
        PolicyError::NotAllowed { .. }          => "DENIED_BY_RULE",
    }
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

fn log(error: &LogError) -> (Row, &'static str) {
    match error {
        LogError::Full => (
            Row("LOG_FULL", Code::Unavailable, SOON),
            "the log has more certificates waiting than it can write",
        ),
        LogError::Closed => {
            (Row("SHUTTING_DOWN", Code::Unavailable, SOON), "this instance is shutting down")
        }
        LogError::Clock { .. } => (
            Row("CLOCK_WRONG", Code::Unavailable, LATER),
            "the clock of this instance is wrong, and nothing is issued by a wrong clock",
        ),
        LogError::Foreign { .. }
        | LogError::Rows { .. }
        | LogError::Root { .. }
        | LogError::Entry { .. }
        | LogError::Tile { .. }
        | LogError::Miscomputed { .. }
        | LogError::Store(_)
        | LogError::Index(_)
        | LogError::Signer(_)
        | LogError::Record(_)
        | LogError::Thread(_)
        | LogError::Died => (
            Row("LOG_UNAVAILABLE", Code::Unavailable, LATER),
            "the log cannot be written at present, and nothing is issued without it",
        ),
    }
}
