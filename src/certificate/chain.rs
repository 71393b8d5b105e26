//! The authority's chain: issuing certificate first, root last, checked link by link.
//!
//! What is checked is what verifiers check of it later: names, signatures, who may sign what, how
//! deep, for which purpose, and when. A root alone is a chain; so is an issuing certificate whose root
//! is kept elsewhere, though clients that want the root in the answer will refuse it.
//!
//! Spec: RFC 5280 §6.1; what Fulcio checks of a chain when it starts.

use std::sync::Arc;

use der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::link::{self, Link, sha256};
use crate::pem::{self, PemError};
use crate::possession::PossessionError;
use crate::time::Timestamp;

/// More certificates than any chain needs.
pub(super) const LIMIT: usize = 8;

/// The authority's certificates: issuing one first, root last.
#[derive(Clone, Debug)]
pub struct Chain {
    ders: Vec<Vec<u8>>,
    pems: Vec<String>,
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    spki: Vec<u8>,
    fingerprints: Arc<[[u8; 32]]>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Chain {
    /// Reads and checks a chain: PEM, issuing certificate first, each followed by its issuer.
    ///
    /// # Errors
    ///
    /// [`ChainError`], one for each rule.
    pub fn from_pem(pem: &[u8], now: Timestamp) -> Result<Self, ChainError> {
        Self::from_links(link::read(pem)?, now)
    }

    /// The same of a chain that holds now, will or did: it is checked as it is while it holds.
    ///
    /// # Errors
    ///
    /// [`ChainError`], one for each rule.
    pub fn from_pem_in_its_time(pem: &[u8], now: Timestamp) -> Result<Self, ChainError> {
        let links = link::read(pem)?;
        let begins = links.iter().map(Link::not_before).max().unwrap_or(now);
        let ends = links.iter().map(Link::not_after).min().unwrap_or(now);
        Self::from_links(links, now.max(begins).min(ends))
    }

    fn from_links(links: Vec<Link>, now: Timestamp) -> Result<Self, ChainError> {
        // Names first: they tell a wrong order from everything else.
        link::check_names(&links)?;
        for (below, link) in links.iter().enumerate() {
            link.check_authority(below)?;
            link.check_purpose()?;
            link.check_time(now)?;
        }
        let (Some(issuing), Some(root)) = (links.first(), links.last()) else {
            return Err(ChainError::Empty);
        };
        issuing.check_issuing(links.len())?;
        link::check_signatures(&links)?;
        if root.fields.issuer == root.fields.subject {
            root.check_signed_by(root)?;
        }
        let key_id = issuing.extension::<SubjectKeyIdentifier>()?;
        Ok(Self {
            pems: links.iter().map(|link| pem::encode("CERTIFICATE", &link.der)).collect(),
            subject: issuing.fields.subject.clone(),
            key_id: key_id.map(|id| id.0.as_bytes().to_vec()),
            spki: issuing.fields.spki.clone(),
            fingerprints: links.iter().map(|link| sha256(&link.der)).collect(),
            not_before: links.iter().map(Link::not_before).max().unwrap_or_default(),
            not_after: links.iter().map(Link::not_after).min().unwrap_or_default(),
            ders: links.into_iter().map(|link| link.der).collect(),
        })
    }

    /// Each certificate, DER.
    pub fn ders(&self) -> &[Vec<u8>] {
        &self.ders
    }

    /// Each certificate, PEM, with a newline at the end.
    pub fn pems(&self) -> &[String] {
        &self.pems
    }

    /// Subject of the issuing certificate: DER `Name`, octet for octet.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Subject key identifier of the issuing certificate, if it has one.
    pub fn key_id(&self) -> Option<&[u8]> {
        self.key_id.as_deref()
    }

    /// Public key of the issuing certificate: DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`spki`](Self::spki): RFC 6962's `issuer_key_hash`.
    pub fn issuer_key_hash(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    /// SHA-256 of each certificate.
    pub fn fingerprints(&self) -> Arc<[[u8; 32]]> {
        Arc::clone(&self.fingerprints)
    }

    /// The earliest end of any certificate in it.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The latest start of any certificate in it.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }
}

/// Why a chain is not one. `position` counts from 1, which is the issuing certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No PEM block at all.
    #[error("the chain holds no certificate; it must be PEM, issuing certificate first, root last")]
    Empty,
    /// More certificates than a chain can sensibly have.
    #[error(
        "the chain holds more than {LIMIT} certificates; it must hold the authority's own only"
    )]
    TooLong,
    /// A block that is no PEM.
    #[error("certificate {position} of the chain cannot be read: {error}")]
    Pem {
        /// Which one.
        position: usize,
        /// What is wrong with the block.
        error: PemError,
    },
    /// A block with another label.
    #[error("block {position} of the chain is no certificate; it must hold certificates only")]
    NotACertificate {
        /// Which one.
        position: usize,
    },
    /// Not a certificate as RFC 5280 has it.
    #[error("certificate {position} of the chain cannot be read: {why}")]
    Unreadable {
        /// Which one.
        position: usize,
        /// What the parser says.
        why: String,
    },
    /// `basicConstraints` does not say CA.
    #[error(
        "certificate {position} of the chain is not an authority's (basicConstraints CA is not set)"
    )]
    NotAnAuthority {
        /// Which one.
        position: usize,
    },
    /// `keyUsage` without keyCertSign.
    #[error(
        "certificate {position} of the chain may not sign certificates (keyUsage lacks keyCertSign)"
    )]
    MayNotSign {
        /// Which one.
        position: usize,
    },
    /// More certificates below it than it allows.
    #[error(
        "certificate {position} of the chain allows {allowed} authorities below it, and has more"
    )]
    TooDeep {
        /// Which one.
        position: usize,
        /// Its `pathLenConstraint`.
        allowed: u8,
    },
    /// `extKeyUsage` that excludes code signing.
    #[error(
        "certificate {position} of the chain is not for code signing (extKeyUsage lacks codeSigning)"
    )]
    NotForCodeSigning {
        /// Which one.
        position: usize,
    },
    /// A critical extension that we do not know.
    #[error(
        "certificate {position} of the chain has a critical extension {oid}, which is not supported"
    )]
    UnknownCritical {
        /// Which one.
        position: usize,
        /// Its object identifier.
        oid: ObjectIdentifier,
    },
    /// Not yet valid.
    #[error("certificate {position} of the chain holds only from {not_before}; check the clock")]
    NotYetValid {
        /// Which one.
        position: usize,
        /// When it begins.
        not_before: Timestamp,
    },
    /// No longer valid.
    #[error("certificate {position} of the chain ended at {not_after}; renew it")]
    Expired {
        /// Which one.
        position: usize,
        /// When it ended.
        not_after: Timestamp,
    },
    /// The next certificate's subject is not this one's issuer.
    #[error(
        "certificate {position} of the chain names another issuer than the certificate that follows; \
         the order is issuing certificate first, root last"
    )]
    WrongIssuer {
        /// Which one.
        position: usize,
    },
    /// The issuer's key does not verify the signature.
    #[error("certificate {position} of the chain is not signed by its issuer")]
    BadSignature {
        /// Which one.
        position: usize,
    },
    /// A signature algorithm that we cannot verify.
    #[error("certificate {position} of the chain is signed with {oid}, which is not supported")]
    UnknownSignature {
        /// Which one.
        position: usize,
        /// The algorithm.
        oid: ObjectIdentifier,
    },
    /// The issuing certificate's subject is empty.
    #[error("the issuing certificate's subject is empty, and certificates must name their issuer")]
    Nameless,
    /// The issuing key is not sound.
    #[error("the issuing certificate's key cannot be used: {0}")]
    Key(PossessionError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::fixture::{Ca, NOW};
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DistinguishedName,
        ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, date_time_ymd,
    };

    fn pem(certificates: &[&Ca]) -> String {
        certificates.iter().map(|ca| ca.pem.as_str()).collect()
    }

    fn read(certificates: &[&Ca]) -> Result<Chain, ChainError> {
        Chain::from_pem(pem(certificates).as_bytes(), NOW)
    }

    /// A chain whose intermediate is changed by `change`.
    #[track_caller]
    fn bite(change: impl FnOnce(&mut CertificateParams), expected: ChainError) {
        let root = Ca::root(|_| {});
        let issuing = root.issue(change);
        assert_eq!(read(&[&issuing, &root]).unwrap_err(), expected);
    }

    /// A chain whose root is changed by `change`.
    #[track_caller]
    fn bite_root(change: impl FnOnce(&mut CertificateParams), expected: ChainError) {
        let root = Ca::root(change);
        let issuing = root.issue(|_| {});
        assert_eq!(read(&[&issuing, &root]).unwrap_err(), expected);
    }

    #[test]
    fn reads_a_chain_in_its_order() {
        let root = Ca::root(|params| params.not_after = date_time_ymd(2030, 1, 1));
        let issuing = root.issue(|params| params.not_before = date_time_ymd(2026, 1, 1));
        let chain = read(&[&issuing, &root]).unwrap();
        assert_eq!(chain.pems(), [issuing.pem.clone(), root.pem.clone()]);
        assert_eq!(chain.not_before(), NOW);
        assert_eq!(chain.not_after(), Timestamp::from_secs(1_767_312_000));
        let fingerprints: Vec<_> = chain.ders().iter().map(|der| sha256(der)).collect();
        assert_eq!(*chain.fingerprints(), fingerprints);
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain.ders()[0]).unwrap();
        assert_eq!(parsed.subject().as_raw(), chain.subject());
        assert_eq!(parsed.public_key().raw, chain.spki());
        assert_eq!(chain.issuer_key_hash(), sha256(parsed.public_key().raw));
    }

    #[test]
    fn takes_a_root_alone_and_an_intermediate_alone() {
        let root = Ca::root(|_| {});
        assert!(read(&[&root]).is_ok());
        assert!(read(&[&root.issue(|_| {})]).is_ok());
        assert!(read(&[&root.issue(|params| params.extended_key_usages.clear())]).is_ok());
    }

    #[test]
    fn takes_words_around_the_certificates() {
        let root = Ca::root(|_| {});
        let text = format!("subject=root\r\n{}\nthe end", root.pem.replace('\n', "\r\n"));
        assert_eq!(Chain::from_pem(text.as_bytes(), NOW).unwrap().pems(), [root.pem]);
    }

    #[test]
    fn refuses_what_is_no_chain() {
        let root = Ca::root(|_| {});
        let refuse = |text: &str| Chain::from_pem(text.as_bytes(), NOW).unwrap_err();
        assert_eq!(refuse(""), ChainError::Empty);
        assert_eq!(refuse("words"), ChainError::Empty);
        assert_eq!(refuse(&root.pem.repeat(LIMIT + 1)), ChainError::TooLong);
        assert_eq!(
            refuse(&format!("{}-----BEGIN CERTIFICATE-----", root.pem)),
            ChainError::Pem { position: 2, error: PemError::Unterminated }
        );
        assert_eq!(
            refuse(&format!("{}{}", root.pem, pem::encode("PRIVATE KEY", b"x"))),
            ChainError::NotACertificate { position: 2 }
        );
        assert!(matches!(
            refuse(&pem::encode("CERTIFICATE", b"\x30\x00")),
            ChainError::Unreadable { position: 1, .. }
        ));
    }

    #[test]
    fn refuses_a_wrong_order_and_a_stranger() {
        let root = Ca::root(|_| {});
        let issuing = root.issue(|_| {});
        let reversed = read(&[&root, &issuing]).unwrap_err();
        assert_eq!(reversed, ChainError::WrongIssuer { position: 1 });
        // Another root of the same name.
        let stranger = Ca::root(|_| {});
        let error = read(&[&issuing, &stranger]).unwrap_err();
        assert_eq!(error, ChainError::BadSignature { position: 1 });
    }

    #[test]
    fn refuses_a_root_that_did_not_sign_itself() {
        let root = Ca::root(|_| {});
        let block = pem::blocks(root.pem.as_bytes()).next().unwrap().unwrap();
        let mut der = block.der.to_vec();
        *der.last_mut().unwrap() ^= 1;
        let text = pem::encode("CERTIFICATE", &der);
        let error = Chain::from_pem(text.as_bytes(), NOW).unwrap_err();
        assert_eq!(error, ChainError::BadSignature { position: 1 });
    }

    #[test]
    fn each_certificate_must_be_an_authority() {
        bite(|params| params.is_ca = IsCa::NoCa, ChainError::NotAnAuthority { position: 1 });
        bite(
            |params| params.is_ca = IsCa::ExplicitNoCa,
            ChainError::NotAnAuthority { position: 1 },
        );
        bite_root(|params| params.is_ca = IsCa::NoCa, ChainError::NotAnAuthority { position: 2 });
        bite(
            |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
            ChainError::MayNotSign { position: 1 },
        );
        bite_root(
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            ChainError::TooDeep { position: 2, allowed: 0 },
        );
    }

    #[test]
    fn each_certificate_must_be_for_code_signing() {
        let server = || vec![ExtendedKeyUsagePurpose::ServerAuth];
        let lacking = |position| ChainError::NotForCodeSigning { position };
        bite(|params| params.extended_key_usages = server(), lacking(1));
        bite_root(|params| params.extended_key_usages = server(), lacking(2));
        // Below a root, the issuing certificate must say so itself.
        bite(|params| params.extended_key_usages.clear(), lacking(1));
        bite(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any], lacking(1));
    }

    #[test]
    fn each_certificate_must_hold_now() {
        bite(
            |params| params.not_before = date_time_ymd(2026, 1, 2),
            ChainError::NotYetValid {
                position: 1,
                not_before: Timestamp::from_secs(1_767_312_000),
            },
        );
        bite_root(
            |params| params.not_after = date_time_ymd(2025, 12, 31),
            ChainError::Expired { position: 2, not_after: Timestamp::from_secs(1_767_139_200) },
        );
    }

    #[test]
    fn refuses_critical_extensions_it_does_not_know() {
        bite(
            |params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            },
            ChainError::UnknownCritical { position: 1, oid: ObjectIdentifier::new_unwrap("1.2.3") },
        );
    }

    #[test]
    fn the_issuing_certificate_must_have_a_name() {
        bite(|params| params.distinguished_name = DistinguishedName::new(), ChainError::Nameless);
    }
}
