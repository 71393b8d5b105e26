//! What the tests of this module stand on: a timestamp authority by rcgen.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::pem;
use crate::time::Timestamp;

/// 2026-01-01T00:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A timestamp authority.
pub(super) struct Tsa {
    pub(super) pem: String,
    key: KeyPair,
}

impl Tsa {
    /// One that holds from [`NOW`] on for ten years; `change` changes the certificate that signs.
    pub(super) fn new(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = params("root");
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut leaf = params("timestamps");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.custom_extensions = vec![purpose()];
        change(&mut leaf);
        let issuer = Issuer::from_params(&root, &root_key);
        let ders = [leaf.signed_by(&key, &issuer).unwrap(), root.self_signed(&root_key).unwrap()];
        let pem = ders.iter().map(|der| pem::encode("CERTIFICATE", der.der())).collect();
        Self { pem, key }
    }

    /// Signs with the key of the certificate that signs: ECDSA P-256 with SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = self.key.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).unwrap();
        key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// extKeyUsage timeStamping, critical: rcgen writes its own as not critical.
fn purpose() -> CustomExtension {
    let content = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x08".to_vec();
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 37], content);
    extension.set_criticality(true);
    extension
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "example.com");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2036, 1, 1);
    params
}
