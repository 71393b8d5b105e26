//! The signature algorithms of tokens, by their JOSE names (RFC 7518 §3.1, RFC 8037 §3.1).
//!
//! HMAC and `none` are not refused here: they do not exist.

use std::fmt;

use aws_lc_rs::signature as lc;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256, salt as long as the hash.
    Ps256,
    /// RSASSA-PSS with SHA-384, salt as long as the hash.
    Ps384,
    /// RSASSA-PSS with SHA-512, salt as long as the hash.
    Ps512,
    /// ECDSA over P-256 with SHA-256; the signature is `r ‖ s`, 64 octets.
    Es256,
    /// ECDSA over P-384 with SHA-384; the signature is `r ‖ s`, 96 octets.
    Es384,
    /// ECDSA over P-521 with SHA-512; the signature is `r ‖ s`, 132 octets.
    Es512,
    /// Ed25519, over the text itself.
    EdDsa,
}

/// One row an algorithm.
const NAMES: [(Algorithm, &str); 10] = [
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Rs384, "RS384"),
    (Algorithm::Rs512, "RS512"),
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Ps384, "PS384"),
    (Algorithm::Ps512, "PS512"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::Es512, "ES512"),
    (Algorithm::EdDsa, "EdDSA"),
];

/// What an RSA key can verify.
pub const RSA: [(Algorithm, &lc::RsaParameters); 6] = [
    (Algorithm::Rs256, &lc::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &lc::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &lc::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &lc::RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &lc::RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &lc::RSA_PSS_2048_8192_SHA512),
];

impl Algorithm {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(algorithm, _)| *algorithm)
    }

    /// The algorithm of this JOSE name, letter for letter.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(algorithm, _)| *algorithm)
    }
}

/// The JOSE name.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(algorithm, _)| algorithm == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_safe() {
        for (algorithm, name) in NAMES {
            assert_eq!(Algorithm::parse(name), Some(algorithm));
            assert_eq!(algorithm.to_string(), name);
        }
        for name in
            ["none", "None", "", "HS256", "HS384", "HS512", "rs256", "ES256K", "RS1", "RS256 "]
        {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }
}
