//! The algorithms of signatures that are logged: one row each.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512};

use super::RekorError;
use crate::possession::key::PublicKey;

/// An algorithm: the kind and size of key, and the hash.
#[derive(Debug)]
pub struct Scheme {
    /// `PublicKeyDetails` of protobuf-specs' `sigstore_common.proto`, by name.
    pub name: &'static str,
    /// The same by number.
    pub number: i32,
    /// `HashAlgorithm` of the same.
    pub hash: &'static str,
    /// The hash itself; none where whole messages are signed.
    pub(super) digest: Option<&'static Algorithm>,
    /// The kind of key.
    key: &'static str,
    /// How many octets `subjectPublicKey` has: tells RSA keys of one size from those of another.
    octets: usize,
}

impl PartialEq for Scheme {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

const fn ecdsa(
    (name, number): (&'static str, i32),
    (hash, digest): (&'static str, &'static Algorithm),
    (key, octets): (&'static str, usize),
) -> Scheme {
    Scheme { name, number, hash, digest: Some(digest), key, octets }
}

const fn rsa((name, number): (&'static str, i32), octets: usize) -> Scheme {
    Scheme { name, number, hash: "SHA2_256", digest: Some(&SHA256), key: "RSA", octets }
}

static SCHEMES: [Scheme; 7] = [
    ecdsa(("PKIX_ECDSA_P256_SHA_256", 5), ("SHA2_256", &SHA256), ("ECDSA P-256", 65)),
    ecdsa(("PKIX_ECDSA_P384_SHA_384", 12), ("SHA2_384", &SHA384), ("ECDSA P-384", 97)),
    ecdsa(("PKIX_ECDSA_P521_SHA_512", 13), ("SHA2_512", &SHA512), ("ECDSA P-521", 133)),
    rsa(("PKIX_RSA_PKCS1V15_2048_SHA256", 9), 270),
    rsa(("PKIX_RSA_PKCS1V15_3072_SHA256", 10), 398),
    rsa(("PKIX_RSA_PKCS1V15_4096_SHA256", 11), 526),
    Scheme {
        name: "PKIX_ED25519",
        number: 7,
        hash: "SHA2_512",
        digest: None,
        key: "Ed25519",
        octets: 32,
    },
];

impl Scheme {
    /// The scheme that `details` names, as protobuf's JSON has it: by name or by number.
    pub(super) fn named(details: &str) -> Result<&'static Self, RekorError> {
        if matches!(details, "" | "0" | "PUBLIC_KEY_DETAILS_UNSPECIFIED") {
            return Err(RekorError::Missing("verifier.keyDetails"));
        }
        let mut schemes = SCHEMES.iter();
        let found = schemes.find(|it| it.name == details || it.number.to_string() == details);
        found.ok_or_else(|| RekorError::KeyDetails { got: details.to_owned() })
    }

    /// The one scheme of a key.
    pub(super) fn of(key: &PublicKey) -> Option<&'static Self> {
        let same = |it: &&Self| (it.key, it.octets) == (key.algorithm(), key.bits().len());
        SCHEMES.iter().find(same)
    }

    /// The names of all, for people.
    pub(super) fn names() -> String {
        SCHEMES.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")
    }
}
