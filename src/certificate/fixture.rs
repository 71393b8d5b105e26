//! What the tests of this module stand on: authorities by rcgen, one subject, one profile.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::profile::Profile;
use super::tbs::{CtExtension, Subject, Tbs};
use super::{Certificate, Chain, Serial};
use crate::algorithm::SignatureAlgorithm;
use crate::ct::sct::Sct;
use crate::extensions::{Extension, Extensions};
use crate::identity::{Challenge, San};
use crate::pem;
use crate::possession::{Proof, ProvenKey};
use crate::time::Timestamp;

/// 2026-01-01T00:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// An authority.
pub(super) struct Ca {
    pub(super) params: CertificateParams,
    pub(super) key: KeyPair,
    pub(super) pem: String,
}

impl Ca {
    /// A root, changed by `change`.
    pub(super) fn root(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params("root");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap();
        Self { params, key, pem: pem::encode("CERTIFICATE", der.der()) }
    }

    /// An authority below this one, changed by `change`.
    pub(super) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params("intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap();
        Self { params, key, pem: pem::encode("CERTIFICATE", der.der()) }
    }
}

/// Names, a day around [`NOW`], keyCertSign, no path length.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "example.com");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2025, 12, 31);
    params.not_after = rcgen::date_time_ymd(2026, 1, 2);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Everything that a certificate is made of.
pub(super) struct Fixture {
    pub(super) issuing: Ca,
    pub(super) chain: Chain,
    pub(super) profile: Profile,
    pub(super) key: ProvenKey,
    pub(super) san: San,
    pub(super) extensions: Extensions,
}

/// One for all tests: keys are slow to make.
pub(super) static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let root = Ca::root(|_| {});
    let issuing = root.issue(|_| {});
    let pem = format!("{}{}", issuing.pem, root.pem);
    let chain = Chain::from_pem(pem.as_bytes(), NOW).unwrap();
    Fixture {
        profile: profile(&chain),
        issuing,
        chain,
        key: key(),
        san: San::Uri("https://github.com/acme/app/.github/workflows/x.yml@refs/heads/main".into()),
        extensions: extensions(),
    }
});

/// Ten minutes, not backdated.
pub(super) fn profile(chain: &Chain) -> Profile {
    let lifetime = Duration::from_secs(600);
    Profile::new(chain, SignatureAlgorithm::EcdsaP256Sha256, lifetime, Duration::ZERO)
}

/// A fresh key, proven.
pub(super) fn key() -> ProvenKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signature = pair.sign(&SystemRandom::new(), b"me").unwrap().as_ref().to_vec();
    let key = pair.public_key().as_der().unwrap().as_ref().to_vec();
    Proof::SignedChallenge { key, signature }.verify(&Challenge::new("me")).unwrap()
}

fn extensions() -> Extensions {
    let mut extensions = Extensions::default();
    for (name, text) in [
        ("issuer-v1", "https://token.actions.githubusercontent.com"),
        ("github-workflow-name", "Bauen und prüfen"),
        ("issuer", "https://token.actions.githubusercontent.com"),
        ("build-config-uri", "https://github.com/acme/app/.github/workflows/x.yml"),
        // Over 127 octets: lengths of two octets.
        ("run-invocation-uri", &"https://github.com/acme/".repeat(9)),
        ("subject", "repo:acme/app:ref:refs/heads/main"),
    ] {
        extensions.set(Extension::named(name).unwrap(), text.to_owned());
    }
    extensions
}

pub(super) fn sct() -> Sct {
    Sct {
        log_id: [7; 32],
        timestamp: NOW,
        leaf_index: 70_000,
        algorithm: SignatureAlgorithm::EcdsaP256Sha256,
        signature: vec![0x30, 6, 2, 1, 1, 2, 1, 1],
    }
}

impl Fixture {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { san: &self.san, extensions: &self.extensions, key: &self.key }
    }

    pub(super) fn tbs(&self) -> Tbs<'_> {
        self.profile.tbs(self.subject(), Serial::from_bytes([0x5a; 20]), NOW).unwrap()
    }

    /// Signed as the authority would.
    pub(super) fn certificate(&self, tbs: &Tbs<'_>, ct: CtExtension<'_>) -> Certificate {
        let checked = tbs.check(ct).unwrap();
        let signature = rcgen::SigningKey::sign(&self.issuing.key, checked.der()).unwrap();
        Certificate::assemble(checked, SignatureAlgorithm::EcdsaP256Sha256, &signature)
    }
}
