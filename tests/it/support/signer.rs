//! A key that fails on demand.

use std::sync::{Arc, Mutex};

use mayfly::algorithm::SignatureAlgorithm;
use mayfly::signer::{Boxed, Signer, SignerError};

/// How a signature goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The device says no, with words that nobody outside may read.
    Refuses,
    /// It never answers.
    Hangs,
    /// The program has a defect.
    Panics,
    /// The answer is no signature: more octets than any structure has room for.
    Rambles,
}

/// A key that does what `mishap` says, until that is taken away.
pub struct FaultySigner {
    inner: Arc<dyn Signer>,
    mishap: Mutex<Option<Mishap>>,
}

impl FaultySigner {
    /// What the device says when it refuses.
    pub const SECRET: &str = "slot 3: PIN 1234 is wrong";

    pub fn new(inner: Arc<dyn Signer>) -> Self {
        Self { inner, mishap: Mutex::default() }
    }

    pub fn fail(&self, mishap: Mishap) {
        *self.mishap.lock().unwrap() = Some(mishap);
    }

    pub fn heal(&self) {
        *self.mishap.lock().unwrap() = None;
    }
}

impl Signer for FaultySigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm()
    }

    fn public_key(&self) -> &[u8] {
        self.inner.public_key()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, Result<Vec<u8>, SignerError>> {
        let mishap = *self.mishap.lock().unwrap();
        match mishap {
            None => self.inner.sign(message),
            Some(Mishap::Refuses) => Box::pin(async { Err(SignerError(Self::SECRET.to_owned())) }),
            Some(Mishap::Hangs) => Box::pin(std::future::pending()),
            Some(Mishap::Panics) => panic!("told to panic"),
            Some(Mishap::Rambles) => Box::pin(async { Ok(vec![0; 70_000]) }),
        }
    }
}
