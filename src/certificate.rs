//! Certificates: what all of them share, what one says, and what was signed.
//!
//! ```text
//! Grant ─▶ Profile ─▶ Tbs ─▶ CheckedTbs ─ signature ─▶ Certificate
//!             ▲        one value, three encodings (RFC 6962): poison, neither, SCT list
//!           Chain
//! ```
//!
//! Spec: RFC 5280 §4.1; sigstore/fulcio, `docs/certificate-specification.md`.

use std::fmt;

use crate::algorithm::SignatureAlgorithm;
use crate::asn1;
use crate::pem;

pub mod profile;
pub mod tbs;
pub mod check;
mod chain;
pub(crate) mod link;
#[cfg(test)]
mod fixture;

pub use self::chain::{Chain, ChainError};

/// A serial number: 20 octets that make a positive INTEGER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial([u8; 20]);

impl Serial {
    /// Clears the top bit, so that the number is positive in 20 octets; zero becomes one.
    ///
    /// Spec: RFC 5280 §4.1.2.2.
    pub fn from_bytes(mut octets: [u8; 20]) -> Self {
        let [first, middle @ .., last] = &mut octets;
        *first &= 0x7f;
        if *first == 0 && middle.iter().all(|octet| *octet == 0) && *last == 0 {
            *last = 1;
        }
        Self(octets)
    }

    /// The number, big-endian.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

/// Lower-case hex, all 40 digits.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
}

impl Certificate {
    /// Joins a TBS and the signature over it. `tbs` is spent.
    pub fn assemble(
        tbs: check::CheckedTbs,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
    ) -> Self {
        let mut der = Vec::with_capacity(tbs.der().len() + signature.len() + 40);
        asn1::nested(&mut der, asn1::SEQUENCE, |der| {
            der.extend_from_slice(tbs.der());
            der.extend_from_slice(algorithm.identifier());
            asn1::nested(der, asn1::BIT_STRING, |bits| {
                bits.push(0);
                bits.extend_from_slice(signature);
            });
        });
        Self { der }
    }

    /// DER `Certificate`.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM, 64 columns, with a newline at the end. Fulcio's answers leave the newline out.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive() {
        assert_eq!(Serial::from_bytes([0xff; 20]).to_string(), format!("7f{}", "ff".repeat(19)));
        assert_eq!(Serial::from_bytes([0; 20]).to_string(), format!("{}1", "0".repeat(39)));
        let mut high = [0; 20];
        high[0] = 0x80;
        assert_eq!(Serial::from_bytes(high), Serial::from_bytes([0; 20]));
    }
}
