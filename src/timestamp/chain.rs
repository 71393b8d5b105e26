//! The chain of a timestamp authority: the certificate that signs first, its self-signed root last.
//!
//! What is checked is what verifiers check: names, signatures, who may sign what, and that the first one is
//! for timestamps and for nothing else. Not when: one that is to come and one that is over have their place
//! in the trust files.
//!
//! Spec: RFC 3161 §2.3; RFC 5280 §6.1; sigstore/timestamp-authority, `pkg/x509`.

use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use crate::certificate::ChainError as LinkError;
use crate::certificate::link::{self, Link};
use crate::pem;
use crate::time::Timestamp;

/// id-kp-timeStamping.
const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

/// The certificates of a timestamp authority.
#[derive(Clone, Debug)]
pub struct Chain {
    ders: Vec<Vec<u8>>,
    /// Issuer, serial number and subject of the certificate that signs: DER, tags included.
    pub(super) issuer: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) subject: Vec<u8>,
    spki: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Chain {
    /// Reads and checks a chain: PEM, the certificate that signs first, each followed by its issuer.
    ///
    /// # Errors
    ///
    /// [`ChainError`], one for each rule.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ChainError> {
        let links = link::read(pem)?;
        let (Some((signing, authorities)), Some(root)) = (links.split_first(), links.last()) else {
            return Err(ChainError::Rootless);
        };
        link::check_names(&links)?;
        check_signing(signing)?;
        for (below, authority) in authorities.iter().enumerate() {
            authority.check_authority(below)?;
        }
        link::check_signatures(&links)?;
        if authorities.is_empty() || root.fields.issuer != root.fields.subject {
            return Err(ChainError::Rootless);
        }
        root.check_signed_by(root)?;
        Ok(Self {
            issuer: signing.fields.issuer.clone(),
            serial: signing.fields.serial.clone(),
            subject: signing.fields.subject.clone(),
            spki: signing.fields.spki.clone(),
            not_before: links.iter().map(Link::not_before).max().unwrap_or_default(),
            not_after: links.iter().map(Link::not_after).min().unwrap_or_default(),
            ders: links.into_iter().map(|link| link.der).collect(),
        })
    }

    /// Each certificate, DER.
    pub fn ders(&self) -> &[Vec<u8>] {
        &self.ders
    }

    /// All certificates, PEM.
    pub fn pem(&self) -> String {
        self.ders.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// Subject of the certificate that signs: DER `Name`.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Public key of the certificate that signs: DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The latest start of any certificate in it.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The earliest end of any certificate in it, that second included.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// What must hold of the certificate that signs.
fn check_signing(signing: &Link) -> Result<(), ChainError> {
    signing.check_critical()?;
    if signing.extension()?.is_some_and(|basic: BasicConstraints| basic.ca) {
        return Err(ChainError::Authority);
    }
    if !signing.extension()?.is_some_and(|usage: KeyUsage| usage.digital_signature()) {
        return Err(ChainError::MayNotSign);
    }
    let purposes: Option<ExtendedKeyUsage> = signing.extension()?;
    if purposes.is_none_or(|purposes| purposes.0 != [TIME_STAMPING]) {
        return Err(ChainError::Purpose);
    }
    let mut extensions = signing.parsed.tbs_certificate().extensions().into_iter().flatten();
    if !extensions.any(|extension| extension.extn_id == ExtendedKeyUsage::OID && extension.critical)
    {
        return Err(ChainError::NotCritical);
    }
    Ok(())
}

/// Why a chain is not one that timestamps can be verified with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A certificate does not hold by itself, or beside its neighbour.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No self-signed certificate at the end, or only that.
    #[error(
        "the chain must hold the certificate that signs timestamps, and end with its self-signed root"
    )]
    Rootless,
    /// The certificate that signs is an authority's.
    #[error("the certificate that signs timestamps is an authority's (basicConstraints CA is set)")]
    Authority,
    /// `keyUsage` without digitalSignature.
    #[error("the certificate that signs timestamps may not sign (keyUsage lacks digitalSignature)")]
    MayNotSign,
    /// `extKeyUsage` with anything but timeStamping.
    #[error(
        "the certificate that signs timestamps must be for that alone (extKeyUsage timeStamping)"
    )]
    Purpose,
    /// `extKeyUsage` that is not critical.
    #[error(
        "the certificate that signs timestamps must say so critically (extKeyUsage is not critical)"
    )]
    NotCritical,
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, Tsa};
    use super::*;
    use rcgen::{CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

    #[track_caller]
    fn bite(change: impl FnOnce(&mut rcgen::CertificateParams), expected: &ChainError) {
        let tsa = Tsa::new(change);
        assert_eq!(&Chain::from_pem(tsa.pem.as_bytes()).unwrap_err(), expected);
    }

    #[test]
    fn reads_a_chain_in_its_order() {
        let tsa = Tsa::new(|_| {});
        let chain = Chain::from_pem(tsa.pem.as_bytes()).unwrap();
        assert_eq!(chain.pem(), tsa.pem);
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain.ders()[0]).unwrap();
        assert_eq!(leaf.subject().as_raw(), chain.subject);
        assert_eq!(leaf.issuer().as_raw(), chain.issuer);
        assert_eq!(leaf.raw_serial(), &chain.serial[2..]);
        assert_eq!(leaf.public_key().raw, chain.spki());
        assert_eq!(chain.not_before(), fixture::NOW);
    }

    #[test]
    fn each_rule_bites() {
        use ExtendedKeyUsagePurpose::{CodeSigning, TimeStamping};
        bite(
            |params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
            &ChainError::Authority,
        );
        bite(|params| params.key_usages.clear(), &ChainError::MayNotSign);
        bite(
            |params| params.key_usages = vec![KeyUsagePurpose::ContentCommitment],
            &ChainError::MayNotSign,
        );
        bite(|params| params.custom_extensions.clear(), &ChainError::Purpose);
        bite(
            |params| {
                params.custom_extensions.clear();
                params.extended_key_usages = vec![TimeStamping, CodeSigning];
            },
            &ChainError::Purpose,
        );
        bite(
            |params| {
                params.custom_extensions.clear();
                params.extended_key_usages = vec![TimeStamping];
            },
            &ChainError::NotCritical,
        );
        let oid = ObjectIdentifier::new_unwrap("1.2.3");
        bite(
            |params| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
                unknown.set_criticality(true);
                params.custom_extensions.push(unknown);
            },
            &ChainError::Link(LinkError::UnknownCritical { position: 1, oid }),
        );
    }

    #[test]
    fn the_root_must_be_there_and_have_signed() {
        let (one, other) = (Tsa::new(|_| {}), Tsa::new(|_| {}));
        let parse = |pem: String| Chain::from_pem(pem.as_bytes()).unwrap_err();
        let parts = |tsa: &Tsa| -> (String, String) {
            let at = tsa.pem.rfind("-----BEGIN").unwrap();
            (tsa.pem[..at].to_owned(), tsa.pem[at..].to_owned())
        };
        let ((leaf, root), (_, stranger)) = (parts(&one), parts(&other));
        assert_eq!(parse(String::new()), ChainError::Rootless);
        assert_eq!(parse(leaf.clone()), ChainError::Rootless);
        let wrong = LinkError::WrongIssuer { position: 1 };
        assert_eq!(parse(root + &leaf), ChainError::Link(wrong));
        let wrong = LinkError::BadSignature { position: 1 };
        assert_eq!(parse(leaf + &stranger), ChainError::Link(wrong));
    }
}
