//! The stable word for machines of every refusal, as answers and records have it.
//!
//! Each variant has its row. No arm stands for "everything else": a new variant stops the build here.

use super::Refusal;
use crate::identity::IdentityError;
use crate::policy::PolicyError;
use crate::possession::PossessionError;
use crate::record::refused::Reason;
use crate::token::TokenError;

impl Refusal {
    /// The stable word for machines, `TOKEN_EXPIRED`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Token(error) => token(error),
            Self::IssuerUnknown { .. } => "ISSUER_UNKNOWN",
            Self::Identity(error) => identity(error),
            Self::Possession(error) => possession(error),
            Self::Policy(error) => policy(error),
        }
    }
}

/// As a record has it.
impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        let rule = match refusal {
            Refusal::Policy(PolicyError::Denied { rule, .. }) => Some(rule),
            Refusal::Policy(PolicyError::NotAllowed { .. })
            | Refusal::Token(_)
            | Refusal::IssuerUnknown { .. }
            | Refusal::Identity(_)
            | Refusal::Possession(_) => None,
        };
        // A sentence has names in quotes, a record does not.
        let rule = rule.map(|rule| rule.trim_matches('"').to_owned());
        Self { word: refusal.reason(), message: refusal.to_string(), rule }
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
