//! The stable word for machines of every refusal, as answers and records have it.
//!
//! Each variant has its row. No arm stands for "everything else": a new variant stops the build here.

use super::Refusal;
use crate::identity::IdentityError;
use crate::policy::{Near, PolicyError};
use crate::possession::PossessionError;
use crate::record::refused::{Condition, Reason};
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
        let condition = match refusal {
            Refusal::Policy(PolicyError::Denied { rule, claim, got, .. }) => {
                Some(condition(rule, claim, (None, Some(got))))
            }
            Refusal::Policy(PolicyError::NotAllowed { nearest, .. }) => {
                nearest.as_deref().map(|Near { rule, claim, wanted, got, .. }| {
                    condition(rule, claim, (Some(wanted), got.as_ref()))
                })
            }
            Refusal::Token(_)
            | Refusal::IssuerUnknown { .. }
            | Refusal::Identity(_)
            | Refusal::Possession(_) => None,
        };
        Self { word: refusal.reason(), message: refusal.to_string(), condition }
    }
}

fn condition(
    rule: &str,
    claim: &str,
    (wanted, got): (Option<&String>, Option<&String>),
) -> Condition {
    // A sentence has names in quotes, a record does not.
    let rule = rule.trim_matches('"').to_owned();
    let got = got.filter(|got| !got.is_empty()).cloned();
    Condition { rule, claim: claim.to_owned(), wanted: wanted.cloned(), got }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_rule_that_came_nearest() {
        let issuer = "https://a.example".to_owned();
        let near = Near {
            rule: "\"release\"".to_owned(),
            why: None,
            claim: "ref".to_owned(),
            wanted: "refs/tags/v*".to_owned(),
            got: Some("refs/heads/dev".to_owned()),
        };
        let expected = Condition {
            rule: "release".to_owned(),
            claim: near.claim.clone(),
            wanted: Some(near.wanted.clone()),
            got: near.got.clone(),
        };
        let nearest = Some(Box::new(near));
        let refusal = |policy| Reason::from(&Refusal::Policy(policy)).condition;
        let refused = refusal(PolicyError::NotAllowed { issuer: issuer.clone(), nearest });
        assert_eq!(refused, Some(expected.clone()));
        assert_eq!(
            refusal(PolicyError::NotAllowed { issuer: issuer.clone(), nearest: None }),
            None
        );
        let denied = PolicyError::Denied {
            issuer,
            rule: "\"release\"".to_owned(),
            why: None,
            claim: "ref".to_owned(),
            got: String::new(),
        };
        assert_eq!(refusal(denied), Some(Condition { wanted: None, got: None, ..expected }));
        assert_eq!(Reason::from(&Refusal::Token(TokenError::Empty)).condition, None);
    }
}
