//! Proof of possession: a signed challenge or a signing request goes in, a proven key comes out.
//!
//! ```text
//! Proof ── key ──▶ PublicKey: well-formed and sound
//!       └─ signature of the challenge, or of the request itself ──▶ ProvenKey
//! ```
//!
//! A signed challenge binds the key to the token, because the challenge is a claim of it. A request's
//! self-signature does not, which is how Fulcio has it: whoever finds somebody else's request can have
//! it certified for himself, and still not sign with it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use crate::identity::Challenge;
use crate::quote::quote;

pub mod key;
pub mod strength;
mod csr;

use self::key::PublicKey;
use self::strength::KeyError;

/// How the caller shows that it holds the private key. Octets as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A public key, and a signature of the challenge that it verifies.
    SignedChallenge {
        /// PEM, read leniently, or DER `SubjectPublicKeyInfo`.
        key: Vec<u8>,
        /// ECDSA: DER or `r ‖ s`; RSA: PKCS#1 v1.5; Ed25519: as RFC 8032 has it.
        signature: Vec<u8>,
    },
    /// A PKCS#10 certificate signing request, PEM.
    Csr(Vec<u8>),
}

impl Proof {
    /// Verifies that the caller holds the private half of a key that may be certified.
    ///
    /// # Errors
    ///
    /// [`PossessionError`]: the key first, then the proof.
    ///
    /// Spec: RFC 2986 §4.2 for requests.
    pub fn verify(&self, challenge: &Challenge) -> Result<ProvenKey, PossessionError> {
        match self {
            Self::Csr(pem) => Ok(ProvenKey::new(csr::verify(pem)?)),
            Self::SignedChallenge { key, signature } => {
                let key = PublicKey::parse(key)?;
                if !key.verifies(challenge.as_str().as_bytes(), signature) {
                    let challenge = challenge.as_str().to_owned();
                    return Err(PossessionError::ProofInvalid { challenge });
                }
                Ok(ProvenKey::new(key))
            }
        }
    }
}

impl Proof {
    /// SHA-256 of the SPKI of the key that was sent, sound or not, held or not; none where no key can be
    /// read.
    pub fn claimed_fingerprint(&self) -> Option<[u8; 32]> {
        let spki = match self {
            Self::Csr(pem) => csr::sent(pem),
            Self::SignedChallenge { key, .. } => key::sent(key),
        }?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &spki).as_ref());
        Some(fingerprint)
    }
}

/// A sound public key whose private half the caller holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    spki: Vec<u8>,
    key_id: [u8; 20],
    fingerprint: [u8; 32],
    algorithm: &'static str,
}

impl ProvenKey {
    /// Private: the one way to a proven key is [`Proof::verify`].
    fn new(key: PublicKey) -> Self {
        let (mut key_id, mut fingerprint) = ([0; 20], [0; 32]);
        key_id.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.bits()).as_ref());
        fingerprint.copy_from_slice(digest(&SHA256, key.spki()).as_ref());
        Self { key_id, fingerprint, algorithm: key.algorithm(), spki: key.into_spki() }
    }

    /// The key exactly as it was sent, and as it is certified: DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-1 of the octets of `subjectPublicKey`: the subject key identifier.
    ///
    /// Spec: RFC 5280 §4.2.1.2, method 1.
    pub fn key_id(&self) -> [u8; 20] {
        self.key_id
    }

    /// SHA-256 of the [`spki`](Self::spki), for records.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The kind of key: `ECDSA P-256`, `ECDSA P-384`, `ECDSA P-521`, `RSA` or `Ed25519`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }
}

/// Why a key is not certified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// Neither a key nor a request.
    #[error(
        "the request has no public key; send one with a signature of the challenge, \
         or a certificate signing request"
    )]
    KeyMissing,
    /// Neither PEM nor DER of a public key.
    #[error("the public key cannot be read; send it as PEM (BEGIN PUBLIC KEY) or as DER")]
    KeyUnreadable,
    /// A certificate where a key belongs.
    #[error("a certificate was sent in place of the public key; send the key alone")]
    KeyIsCertificate,
    /// A private key, which is now known to others.
    #[error(
        "a private key was sent in place of the public key; make a new pair, this one is spent"
    )]
    KeyIsPrivate,
    /// The key is readable and not one that we certify.
    #[error(transparent)]
    KeyUnacceptable(#[from] KeyError),
    /// The signature is not one of the challenge by this key.
    #[error("the proof of possession is not a signature of {} by this key", quote(challenge))]
    ProofInvalid {
        /// What should have been signed.
        challenge: String,
    },
    /// Not a PEM certificate signing request.
    #[error(
        "the certificate signing request cannot be read; send it as PEM (BEGIN CERTIFICATE REQUEST)"
    )]
    CsrUnreadable,
    /// The request is signed with another algorithm than the one that belongs to its key.
    #[error(
        "the certificate signing request must be signed with {scheme}, which goes with its key"
    )]
    CsrAlgorithm {
        /// What the key signs with.
        scheme: &'static str,
    },
    /// The request's signature does not verify.
    #[error("the certificate signing request is not signed by the key it holds")]
    CsrSignature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::SignatureAlgorithm;
    use crate::asn1;
    use crate::pem;
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
        ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
    };
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static P256: LazyLock<EcdsaKeyPair> =
        LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap());

    fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
        key.as_der().unwrap().as_ref().to_vec()
    }

    fn p256() -> Vec<u8> {
        spki(P256.public_key())
    }

    fn sign(message: &[u8]) -> Vec<u8> {
        P256.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// A P-256 key in the form that `key` is, with a proof that holds.
    fn verify(key: &[u8]) -> Result<ProvenKey, PossessionError> {
        let proof = Proof::SignedChallenge { key: key.to_vec(), signature: sign(b"alice") };
        proof.verify(&Challenge::new("alice"))
    }

    #[track_caller]
    fn refuse(key: &[u8], expected: impl Into<PossessionError>) {
        assert_eq!(verify(key).unwrap_err(), expected.into());
    }

    #[test]
    fn a_proven_key_is_the_key_that_was_sent() {
        let text = pem::encode("PUBLIC KEY", &p256());
        for form in [
            p256(),
            text.clone().into_bytes(),
            text.replace('\n', "\r\n").into_bytes(),
            text.trim_end().into(),
            format!("Key:\n{text}{text}").into_bytes(),
        ] {
            let key = verify(&form).unwrap();
            assert_eq!(key.spki(), p256());
            assert_eq!(key.algorithm(), "ECDSA P-256");
            let bits = P256.public_key().as_ref();
            assert_eq!(key.key_id(), digest(&SHA1_FOR_LEGACY_USE_ONLY, bits).as_ref());
            assert_eq!(key.fingerprint(), digest(&SHA256, &p256()).as_ref());
        }
    }

    #[test]
    fn reads_public_keys_only() {
        let labelled = |label: &str| pem::encode(label, &p256()).into_bytes();
        refuse(b"", PossessionError::KeyMissing);
        refuse(b" \n", PossessionError::KeyMissing);
        refuse(b"ssh-ed25519 AAAA", PossessionError::KeyUnreadable);
        refuse(
            b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
            PossessionError::KeyUnreadable,
        );
        refuse(&labelled("CERTIFICATE"), PossessionError::KeyIsCertificate);
        refuse(&labelled("PRIVATE KEY"), PossessionError::KeyIsPrivate);
        refuse(&labelled("EC PRIVATE KEY"), PossessionError::KeyIsPrivate);
        refuse(&labelled("ENCRYPTED PRIVATE KEY"), PossessionError::KeyIsPrivate);
        refuse(&labelled("CERTIFICATE REQUEST"), PossessionError::KeyUnreadable);
        refuse(&labelled("RSA PUBLIC KEY"), KeyError::Invalid("RSA"));
    }

    /// A `SubjectPublicKeyInfo` of P-256's identifier, or another, and these bits.
    fn key(identifier: &[u8], bits: &[u8]) -> Vec<u8> {
        let mut spki = Vec::new();
        asn1::nested(&mut spki, asn1::SEQUENCE, |spki| {
            spki.extend(identifier);
            asn1::value(spki, asn1::BIT_STRING, &[&[0], bits].concat());
        });
        spki
    }

    const IDENTIFIER: &[u8] =
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

    #[test]
    fn reads_one_encoding_of_a_key() {
        let der = p256();
        let bits = P256.public_key().as_ref();
        assert_eq!(key(IDENTIFIER, bits), der);
        refuse(&[&der[..], &[0]].concat(), PossessionError::KeyUnreadable);
        refuse(&der[..der.len() - 1], PossessionError::KeyUnreadable);
        // A length of two octets where one would do.
        refuse(&[&[0x30, 0x81], &der[1..]].concat(), PossessionError::KeyUnreadable);
        let mut unused = der.clone();
        unused[der.len() - 66] = 1;
        refuse(&unused, PossessionError::KeyUnreadable);
        let mut inside = der.clone();
        inside.extend([5, 0]);
        inside[1] += 2;
        refuse(&inside, PossessionError::KeyUnreadable);
    }

    #[test]
    fn points_lie_on_the_curve_and_are_uncompressed() {
        let bits = P256.public_key().as_ref();
        let mut off = bits.to_vec();
        off[64] ^= 1;
        refuse(&key(IDENTIFIER, &off), KeyError::Invalid("ECDSA P-256"));
        refuse(&key(IDENTIFIER, &[0]), KeyError::Invalid("ECDSA P-256"));
        let compressed = [&[2 + (bits[64] & 1)], &bits[1..33]].concat();
        refuse(&key(IDENTIFIER, &compressed), KeyError::CompressedPoint);
        let hybrid = [&[6 + (bits[64] & 1)], &bits[1..]].concat();
        refuse(&key(IDENTIFIER, &hybrid), KeyError::Invalid("ECDSA P-256"));
    }

    #[test]
    fn names_the_algorithm_that_it_refuses() {
        let named = |name: &str| KeyError::Algorithm(name.to_owned());
        refuse(
            &key(
                b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a",
                &[4; 65],
            ),
            named("ECDSA secp256k1"),
        );
        refuse(&key(b"\x30\x05\x06\x03\x2b\x65\x6e", &[9; 32]), named("X25519"));
        refuse(&key(b"\x30\x04\x06\x02\x2a\x03", &[9; 32]), named("1.2.3"));
        // Explicit parameters; parameters that are missing; an RSA key without its NULL.
        refuse(
            &key(b"\x30\x0b\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x30\x00", &[4; 65]),
            KeyError::ExplicitParameters,
        );
        refuse(
            &key(b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", &[4; 65]),
            PossessionError::KeyUnreadable,
        );
        refuse(
            &key(b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", &[0x30, 0]),
            named("1.2.840.113549.1.1.1"),
        );
    }

    #[test]
    fn takes_rsa_keys_in_both_forms() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        let scheme = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
        pair.sign(scheme, &SystemRandom::new(), b"alice", &mut signature).unwrap();
        let der = spki(pair.public_key());
        for key in [der.clone(), pem::encode("RSA PUBLIC KEY", pair.public_key().as_ref()).into()] {
            let proof = Proof::SignedChallenge { key, signature: signature.clone() };
            assert_eq!(proof.verify(&Challenge::new("alice")).unwrap().spki(), der);
        }
    }

    #[test]
    fn takes_ed25519_keys() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let signature = pair.sign(b"alice").as_ref().to_vec();
        let proof = Proof::SignedChallenge { key: spki(pair.public_key()), signature };
        assert_eq!(proof.verify(&Challenge::new("alice")).unwrap().algorithm(), "Ed25519");
        assert!(proof.verify(&Challenge::new("bob")).is_err());
    }

    #[test]
    fn the_proof_is_a_signature_of_the_challenge() {
        let check = |signature: &[u8]| {
            let proof = Proof::SignedChallenge { key: p256(), signature: signature.to_vec() };
            proof.verify(&Challenge::new("alice"))
        };
        let good = sign(b"alice");
        assert!(check(&good).is_ok());
        for bad in [&[], &good[1..], &[&good[..], &[0]].concat()[..], &sign(b"bob"), &[0x30; 64]] {
            let error = check(bad).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the proof of possession is not a signature of \"alice\" by this key"
            );
        }
    }

    #[test]
    fn the_proof_may_be_r_and_s() {
        let pkcs8 = P256.to_pkcs8v1().unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let signature = pair.sign(&SystemRandom::new(), b"alice").unwrap().as_ref().to_vec();
        let check = |signature: Vec<u8>| {
            Proof::SignedChallenge { key: p256(), signature }.verify(&Challenge::new("alice"))
        };
        assert!(check(signature.clone()).is_ok());
        assert!(check([&[0], &signature[..]].concat()).is_err());
        assert!(check([0; 64].to_vec()).is_err());
    }

    /// A request by [`P256`], with the fields that tools get wrong.
    struct Request<'a> {
        version: u8,
        subject: &'a [u8],
        attributes: &'a [u8],
        algorithm: &'a [u8],
    }

    const REQUEST: Request<'_> = Request {
        version: 0,
        subject: b"\x30\x00",
        attributes: b"\xa0\x00",
        algorithm: SignatureAlgorithm::EcdsaP256Sha256.identifier(),
    };

    impl Request<'_> {
        fn der(&self) -> Vec<u8> {
            let mut info = Vec::new();
            asn1::nested(&mut info, asn1::SEQUENCE, |info| {
                asn1::unsigned(info, &[self.version]);
                info.extend([self.subject, &p256(), self.attributes].concat());
            });
            let mut der = Vec::new();
            asn1::nested(&mut der, asn1::SEQUENCE, |der| {
                der.extend([&info, self.algorithm].concat());
                asn1::value(der, asn1::BIT_STRING, &[&[0], &sign(&info)[..]].concat());
            });
            der
        }

        fn verify(&self) -> Result<ProvenKey, PossessionError> {
            verify_csr(&pem::encode("CERTIFICATE REQUEST", &self.der()))
        }
    }

    fn verify_csr(pem: &str) -> Result<ProvenKey, PossessionError> {
        Proof::Csr(pem.into()).verify(&Challenge::new("nobody asks"))
    }

    #[test]
    fn a_request_proves_its_key() {
        assert_eq!(REQUEST.verify().unwrap().spki(), p256());
        let old = pem::encode("NEW CERTIFICATE REQUEST", &REQUEST.der());
        assert_eq!(verify_csr(&old).unwrap().spki(), p256());
        // An e-mail address outside ASCII in an IA5String, which no decoder takes.
        let subject = b"\x30\x15\x31\x13\x30\x11\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01\x16\x04\xc3\xa4@x";
        assert!(Request { subject, ..REQUEST }.verify().is_ok());
        assert!(Request { attributes: b"", ..REQUEST }.verify().is_ok());
        assert!(Request { attributes: b"\xa0\x03\x0c\x01x", ..REQUEST }.verify().is_ok());
        let algorithm = b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00";
        assert!(Request { algorithm, ..REQUEST }.verify().is_ok());
    }

    #[test]
    fn another_library_writes_requests_that_hold() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["x.example".into()]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, "Ä");
            let request = params.serialize_request(&key).unwrap();
            let text = pem::encode("CERTIFICATE REQUEST", request.der());
            let expected = rcgen::PublicKeyData::subject_public_key_info(&key);
            assert_eq!(verify_csr(&text).unwrap().spki(), expected);
        }
    }

    #[test]
    fn a_request_is_well_formed() {
        let unreadable = Err(PossessionError::CsrUnreadable);
        assert_eq!(verify_csr(""), Err(PossessionError::KeyMissing));
        assert_eq!(verify_csr("words"), unreadable);
        assert_eq!(verify_csr(&pem::encode("CERTIFICATE", &REQUEST.der())), unreadable);
        let der = REQUEST.der();
        for bent in [&der[..der.len() - 1], &[&der[..], &[0]].concat()] {
            assert_eq!(verify_csr(&pem::encode("CERTIFICATE REQUEST", bent)), unreadable);
        }
        assert_eq!(Request { version: 1, ..REQUEST }.verify(), unreadable);
        assert_eq!(Request { subject: b"\x31\x00", ..REQUEST }.verify(), unreadable);
        assert_eq!(Request { attributes: b"\x30\x00", ..REQUEST }.verify(), unreadable);
        assert_eq!(Request { attributes: b"\xa0\x00\xa0\x00", ..REQUEST }.verify(), unreadable);
    }

    #[test]
    fn a_request_is_signed_by_its_key_with_its_algorithm() {
        let mut der = REQUEST.der();
        *der.last_mut().unwrap() ^= 1;
        let corrupt = verify_csr(&pem::encode("CERTIFICATE REQUEST", &der));
        assert_eq!(corrupt, Err(PossessionError::CsrSignature));
        for algorithm in [
            SignatureAlgorithm::EcdsaP384Sha384.identifier(),
            SignatureAlgorithm::RsaPkcs1Sha256.identifier(),
            b"\x30\x00",
            b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x0c\x00",
        ] {
            let scheme = "ECDSA with SHA-256";
            let error = Request { algorithm, ..REQUEST }.verify().unwrap_err();
            assert_eq!(error, PossessionError::CsrAlgorithm { scheme });
        }
    }

    #[test]
    fn the_key_is_judged_before_the_proof() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let mut key = spki(pair.public_key());
        *key.last_mut().unwrap() ^= 1;
        let proof = Proof::SignedChallenge { key, signature: Vec::new() };
        let error = proof.verify(&Challenge::new("x")).unwrap_err();
        assert_eq!(error, KeyError::Invalid("ECDSA P-384").into());
    }

    proptest! {
        #[test]
        fn no_octets_are_too_much(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(verify(&octets).is_err());
            let text = pem::encode("PUBLIC KEY", &octets);
            prop_assert!(verify(text.as_bytes()).is_err());
            prop_assert!(verify_csr(&pem::encode("CERTIFICATE REQUEST", &octets)).is_err());
        }

        /// One bit changed, anywhere: all of it is signed, or is the signature.
        #[test]
        fn a_changed_request_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut der = REQUEST.der();
            let at = at.index(der.len());
            der[at] ^= 1 << bit;
            prop_assert!(verify_csr(&pem::encode("CERTIFICATE REQUEST", &der)).is_err());
        }
    }
}
