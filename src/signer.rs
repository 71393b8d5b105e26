//! The port to a private key, wherever it lives.

use std::future::Future;
use std::pin::Pin;

use crate::algorithm::SignatureAlgorithm;

pub mod file;

/// A future of a port: boxed, so that ports need no type parameters.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Signs with one private key.
///
/// Contract: `sign` may be called by many at once and must not block its thread for longer than a
/// signature in software takes (a device that does is driven from threads of its own). The signature
/// is over the message, hashed as the algorithm says, and encoded as X.509 wants it (ECDSA: DER
/// `SEQUENCE { r, s }`). An error is never the caller's fault and may be transient; nothing is
/// retried here. The key does not change during the life of the value.
pub trait Signer: Send + Sync {
    /// The algorithm of every signature.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The public key: DER `SubjectPublicKeyInfo`.
    fn public_key(&self) -> &[u8];

    /// Signs `message`.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when the key could not be used.
    fn sign<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, Result<Vec<u8>, SignerError>>;
}

/// Why there is no signature: words for the operator, never for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be used: {0}")]
pub struct SignerError(pub String);
