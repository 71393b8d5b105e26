//! The other side of the counter: a caller with a fresh key, as a Sigstore client would be.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::CommandError;
use crate::trust::public_key_pem;

/// `SubjectPublicKeyInfo` of a P-256 key up to its 65-octet point (RFC 5480 §2).
const P256_SPKI: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\
    \xce\x3d\x03\x01\x07\x03\x42\x00";

/// A caller with a P-256 key of its own.
pub struct Requester {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Requester {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when the system has no randomness.
    pub fn new() -> Result<Self, CommandError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_| CommandError::Failed("cannot make a key".to_owned()))?;
        Ok(Self { key, random: SystemRandom::new() })
    }

    /// The public key: DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        [P256_SPKI, self.key.public_key().as_ref()].concat()
    }

    /// Signs `message`: ECDSA with SHA-256, DER.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CommandError> {
        let signature = self.key.sign(&self.random, message);
        let signature =
            signature.map_err(|_| CommandError::Failed("the key does not sign".to_owned()))?;
        Ok(signature.as_ref().to_vec())
    }

    /// The JSON body of `POST /api/v2/signingCert` for `token`: key and signed challenge.
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`] when `token` is no token.
    pub fn request(&self, token: &str) -> Result<String, CommandError> {
        let challenge = challenge(token)
            .ok_or_else(|| CommandError::Usage("that is no OpenID Connect token".to_owned()))?;
        let proof = self.sign(challenge.as_bytes())?;
        let body = json!({
            "credentials": { "oidcIdentityToken": token },
            "publicKeyRequest": {
                "publicKey": { "algorithm": "ECDSA", "content": public_key_pem(&self.spki()) },
                "proofOfPossession": STANDARD.encode(proof),
            },
        });
        Ok(body.to_string())
    }
}

/// What Sigstore clients sign: the token's e-mail address if it has one, else its subject.
pub fn challenge(token: &str) -> Option<String> {
    let payload = token.trim().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let claim = claims.get("email").or_else(|| claims.get("sub"))?;
    claim.as_str().map(str::to_owned)
}
