//! A token taken at its word, to tell what would come of it.
//!
//! Nothing is issued for a [`Supposition`]: it lends its claims and keeps them, and a
//! [`Judgement`](crate::policy::Judgement) takes claims of its own.

use std::sync::Arc;

use serde_json::Value;

use super::{Claims, TokenError, UnverifiedToken, check_audience, check_times, text};
use crate::issuer::Issuer;
use crate::time::Timestamp;
use crate::token::algorithm::Algorithm;

/// Claims that no signature vouches for.
#[derive(Debug)]
pub struct Supposition(Claims);

impl Supposition {
    /// What the token would say if it were verified.
    pub fn claims(&self) -> &Claims {
        &self.0
    }
}

impl UnverifiedToken {
    /// The token as if a key of `issuer` had signed it, and as if it were for us, now.
    ///
    /// # Errors
    /// [`TokenError::IssuerMismatch`], or what is wrong with `sub`.
    pub fn suppose(&self, issuer: &Arc<Issuer>) -> Result<Supposition, TokenError> {
        self.check_issuer(issuer)?;
        let sub = text(&self.members, "sub")?.to_owned();
        let (issuer, iss) = (Arc::clone(issuer), self.issuer.clone());
        Ok(Supposition(Claims { issuer, iss, sub, members: Arc::clone(&self.members) }))
    }

    /// Whether it is of now.
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYetValid`], or what is wrong with the claims of time.
    pub fn check_times(&self, now: Timestamp) -> Result<(), TokenError> {
        check_times(&self.members, now)
    }

    /// Whether it is for one of the audiences of `issuer`.
    ///
    /// # Errors
    /// [`TokenError::AudienceMismatch`], or what is wrong with `aud`.
    pub fn check_audience(&self, issuer: &Issuer) -> Result<(), TokenError> {
        check_audience(&self.issuer, &self.members, &issuer.audiences)
    }

    /// The algorithm that it says it is signed with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A claim as the token has it, whoever wrote it.
    pub fn unverified_claim(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}
