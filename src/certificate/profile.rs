//! The one profile: what all our certificates share, and the time they hold.
//!
//! | field | value |
//! |---|---|
//! | signature, issuer, authority key identifier | of the issuing certificate, octet for octet |
//! | validity | whole seconds; notBefore is now less the backdating, notAfter a lifetime later |
//! | subject | empty |
//! | key usage (critical) | digitalSignature |
//! | extended key usage | codeSigning |
//!
//! Spec: sigstore/fulcio, `docs/certificate-specification.md`; RFC 5280 §4.2.

use std::sync::Arc;
use std::time::Duration;

use super::tbs::{Subject, Tbs, Validity};
use super::{Chain, Serial};
use crate::algorithm::SignatureAlgorithm;
use crate::policy::Grant;
use crate::time::Timestamp;

/// What all our certificates share.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(super) algorithm: SignatureAlgorithm,
    /// Subject of the issuing certificate: DER `Name`.
    pub(super) issuer: Vec<u8>,
    /// Subject key identifier of the issuing certificate. Without one there is no authority key
    /// identifier in ours.
    pub(super) authority_key_id: Option<Vec<u8>>,
    pub(super) issuer_key_hash: [u8; 32],
    pub(super) fingerprints: Arc<[[u8; 32]]>,
    lifetime: Duration,
    backdate: Duration,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Profile {
    /// The profile of certificates that `chain` issues with `algorithm`: each holds `lifetime`, and
    /// begins `backdate` ago (both in whole seconds; fractions are dropped).
    pub fn new(
        chain: &Chain,
        algorithm: SignatureAlgorithm,
        lifetime: Duration,
        backdate: Duration,
    ) -> Self {
        Self {
            algorithm,
            issuer: chain.subject().to_vec(),
            authority_key_id: chain.key_id().map(<[u8]>::to_vec),
            issuer_key_hash: chain.issuer_key_hash(),
            fingerprints: chain.fingerprints(),
            lifetime: Duration::from_secs(lifetime.as_secs()),
            backdate: Duration::from_secs(backdate.as_secs()),
            not_before: chain.not_before(),
            not_after: chain.not_after(),
        }
    }

    /// From when on certificates are issued by the chain: the backdated ones begin when it does.
    pub fn begins(&self) -> Timestamp {
        self.not_before.plus(self.backdate)
    }

    /// When a certificate that is issued now ends.
    pub fn not_after(&self, now: Timestamp) -> Timestamp {
        self.validity(now).not_after
    }

    fn validity(&self, now: Timestamp) -> Validity {
        let not_before = now.floor().minus(self.backdate);
        Validity { not_before, not_after: not_before.plus(self.lifetime) }
    }

    /// The certificate that `grant` allows, to be checked and signed.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] when the certificate would hold at a time at which the chain does not.
    pub fn certificate<'a>(
        &'a self,
        grant: &'a Grant,
        serial: Serial,
        now: Timestamp,
    ) -> Result<Tbs<'a>, ProfileError> {
        let (identity, key) = (grant.identity(), grant.key());
        let subject = Subject { san: identity.san(), extensions: identity.extensions(), key };
        self.tbs(subject, serial, now)
    }

    /// The certificate of `subject`. Only a grant's reaches this from outside.
    pub(super) fn tbs<'a>(
        &'a self,
        subject: Subject<'a>,
        serial: Serial,
        now: Timestamp,
    ) -> Result<Tbs<'a>, ProfileError> {
        let Validity { not_before, not_after } = self.validity(now);
        if not_before < self.not_before {
            return Err(ProfileError::AuthorityNotYetValid { not_before: self.not_before });
        }
        if not_after > self.not_after {
            return Err(ProfileError::AuthorityExpired { not_after: self.not_after });
        }
        Ok(Tbs::new(self, subject, serial, Validity { not_before, not_after }))
    }
}

/// Why the authority does not issue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A certificate would outlive the chain.
    #[error(
        "the authority's chain holds until {not_after}, which is sooner than a new certificate \
         would; issuing has stopped until the authority is renewed"
    )]
    AuthorityExpired {
        /// When the first certificate of the chain ends.
        not_after: Timestamp,
    },
    /// A certificate would begin before the chain.
    #[error(
        "the authority's chain holds from {not_before}, which is later than a new certificate \
         would begin; check the clock"
    )]
    AuthorityNotYetValid {
        /// When the last certificate of the chain begins.
        not_before: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::fixture::{FIXTURE, NOW, profile};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn validity(profile: &Profile, now: Timestamp) -> Result<(u64, u64), ProfileError> {
        let tbs = profile.tbs(FIXTURE.subject(), Serial::from_bytes([1; 20]), now)?;
        let at = tbs.validity;
        assert_eq!((at.not_before.floor(), at.not_after.floor()), (at.not_before, at.not_after));
        Ok((at.not_before.as_secs(), at.not_after.as_secs()))
    }

    #[test]
    fn holds_ten_minutes_from_the_second_of_issue() {
        let now = NOW.plus(Duration::from_millis(999));
        let start = NOW.as_secs();
        assert_eq!(validity(&FIXTURE.profile, now), Ok((start, start + 600)));
    }

    #[test]
    fn backdating_moves_both_ends() {
        let mut profile = profile(&FIXTURE.chain);
        profile.backdate = Duration::from_secs(60);
        let start = NOW.as_secs() - 60;
        assert_eq!(validity(&profile, NOW), Ok((start, start + 600)));
    }

    #[test]
    fn never_outlives_its_chain() {
        let end = NOW.plus(DAY);
        let last = end.minus(Duration::from_secs(600));
        assert!(validity(&FIXTURE.profile, last).is_ok());
        assert_eq!(
            validity(&FIXTURE.profile, last.plus(Duration::from_secs(1))),
            Err(ProfileError::AuthorityExpired { not_after: end })
        );
    }

    #[test]
    fn never_begins_before_its_chain() {
        let start = NOW.minus(DAY);
        assert!(validity(&FIXTURE.profile, start).is_ok());
        assert_eq!(
            validity(&FIXTURE.profile, start.minus(Duration::from_millis(1))),
            Err(ProfileError::AuthorityNotYetValid { not_before: start })
        );
    }
}
