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
            Self::Csr(pem) => Ok(ProvenKey::new(&csr::verify(pem)?)),
            Self::SignedChallenge { key, signature } => {
                let key = PublicKey::parse(key)?;
                if !key.verifies(challenge.as_str().as_bytes(), signature) {
                    let challenge = challenge.as_str().to_owned();
                    return Err(PossessionError::ProofInvalid { challenge });
                }
                Ok(ProvenKey::new(&key))
            }
        }
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
    fn new(key: &PublicKey) -> Self {
        let mut proven = Self {
            spki: key.spki().to_vec(),
            key_id: [0; 20],
            fingerprint: [0; 32],
            algorithm: key.algorithm(),
        };
        proven.key_id.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.bits()).as_ref());
        proven.fingerprint.copy_from_slice(digest(&SHA256, key.spki()).as_ref());
        proven
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
