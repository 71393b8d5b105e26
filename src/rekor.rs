//! A signature's entry in the signature log: a request goes in, the octets that are logged come out.
//!
//! ```text
//! Request ── key, algorithm, signature hold ──▶ Entry: RFC 8785 JSON, which is the leaf
//! ```
//!
//! ```json
//! {"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{
//!   "data":{"algorithm":"SHA2_256","digest":"…"},
//!   "signature":{"content":"…","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"…"}}}}}}
//! ```
//!
//! Clients make these octets again from what they hold and hash them, so every one of them counts: names in
//! order, no blanks, base64 with padding.
//!
//! An attestation comes in one of two ways: as `hashedrekord` of the hash of what its envelope signs, which
//! all clients that are maintained send; or as `dsse`, the whole envelope, which older ones still do. The
//! entry of the latter has the payload's hash only.
//!
//! Spec: rekor-tiles `api/proto/rekor/v2`, the Rekor v2 specification of Sigstore's architecture documents;
//! DSSE v1.0.2 for envelopes.

use crate::possession::PossessionError;
use crate::quote::quote;
use crate::tlog::merkle::{Hash, leaf_hash};

mod body;
mod scheme;
mod verifier;

pub use scheme::Scheme;
pub use verifier::{Material, Verifier};

use verifier::Key;

/// The most octets of an entry: its length has two in a tile.
pub const LONGEST: usize = 65_535;

/// The most signatures of an envelope, and the most verifiers: each is tried with each.
pub const MOST: usize = 4;

/// What is to be logged, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The signature of a digest.
    HashedRekord {
        /// What was signed, hashed as the signature's algorithm says.
        digest: Vec<u8>,
        /// Its signature.
        signature: Signature,
    },
    /// A signed envelope.
    Dsse {
        /// The envelope.
        envelope: Envelope,
        /// What verifies its signatures, in any order.
        verifiers: Vec<Verifier>,
    },
}

/// A signature and what verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// ECDSA: DER; RSA: PKCS#1 v1.5; Ed25519: as RFC 8032 has it.
    pub content: Vec<u8>,
    /// The key, alone or in a certificate.
    pub verifier: Verifier,
}

/// A DSSE envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What kind of thing the payload is: a media type.
    pub payload_type: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Its signatures.
    pub signatures: Vec<Vec<u8>>,
}

impl Envelope {
    /// What is signed: DSSE's "pre-authentication encoding".
    fn signed(&self) -> Vec<u8> {
        let Self { payload_type: kind, payload, .. } = self;
        let mut octets = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        octets.extend(payload);
        octets
    }
}

/// An entry whose signatures hold. Only [`Request::check`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    kind: &'static str,
    body: Vec<u8>,
    verifiers: Vec<Verifier>,
}

impl Entry {
    /// `hashedrekord` or `dsse`.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The version of its kind: the same for both.
    pub const fn version(&self) -> &'static str {
        "0.0.2"
    }

    /// The octets that are logged: canonical JSON.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What verifies its signatures.
    pub fn verifiers(&self) -> &[Verifier] {
        &self.verifiers
    }

    /// The hash of its leaf.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.body)
    }
}

impl Request {
    /// Every verifier in it, whether or not its signature holds; at most [`MOST`], more are refused.
    pub fn verifiers(&self) -> Vec<&Verifier> {
        match self {
            Self::HashedRekord { signature, .. } => vec![&signature.verifier],
            Self::Dsse { verifiers, .. } => verifiers.iter().take(MOST).collect(),
        }
    }

    /// Verifies every signature, and makes the entry.
    ///
    /// # Errors
    ///
    /// [`RekorError`], one variant for each rule.
    pub fn check(self) -> Result<Entry, RekorError> {
        match self {
            Self::HashedRekord { digest, signature } => hashed_rekord(&digest, signature),
            Self::Dsse { envelope, verifiers } => dsse(&envelope, &verifiers),
        }
    }
}

fn hashed_rekord(digest: &[u8], signature: Signature) -> Result<Entry, RekorError> {
    if digest.is_empty() {
        return Err(RekorError::Missing("digest"));
    }
    if signature.content.is_empty() {
        return Err(RekorError::Missing("signature.content"));
    }
    let key = Key::of(&signature.verifier)?;
    key.verify_digest(digest, &signature.content)?;
    let body = body::hashed_rekord(key.scheme(), digest, &signature);
    entry("hashedrekord", body, vec![signature.verifier])
}

fn dsse(envelope: &Envelope, verifiers: &[Verifier]) -> Result<Entry, RekorError> {
    for (name, count) in
        [("envelope.signatures", envelope.signatures.len()), ("verifiers", verifiers.len())]
    {
        match count {
            0 => return Err(RekorError::Missing(name)),
            1..=MOST => {}
            count => return Err(RekorError::TooMany { name, count }),
        }
    }
    // In one order, whichever they came in: a certificate says more than its key.
    let mut verifiers: Vec<&Verifier> = verifiers.iter().collect();
    verifiers.sort_by_key(|&verifier| match &verifier.material {
        Material::Certificate(der) => (0, der),
        Material::PublicKey(spki) => (1, spki),
    });
    let keys = verifiers.iter().copied().map(Key::of).collect::<Result<Vec<_>, _>>()?;
    let signed = envelope.signed();
    let mut contents: Vec<&Vec<u8>> = envelope.signatures.iter().collect();
    contents.sort();
    contents.dedup();
    let mut signatures = Vec::new();
    for content in contents {
        let mut candidates = keys.iter().zip(&verifiers);
        let found = candidates.find(|(key, _)| key.verifies(&signed, content));
        let (_, verifier) = found.ok_or(RekorError::Envelope)?;
        signatures.push(Signature { content: content.clone(), verifier: (*verifier).clone() });
    }
    let body = body::dsse(&envelope.payload, &signatures);
    let verifiers = signatures.into_iter().map(|signature| signature.verifier).collect();
    entry("dsse", body, verifiers)
}

fn entry(kind: &'static str, body: String, verifiers: Vec<Verifier>) -> Result<Entry, RekorError> {
    match body.len() {
        ..=LONGEST => Ok(Entry { kind, body: body.into_bytes(), verifiers }),
        octets => Err(RekorError::TooLong { octets }),
    }
}

/// Why a signature is not logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RekorError {
    /// Something that must be there.
    #[error("the request has no {0}")]
    Missing(&'static str),
    /// More signatures or verifiers than are tried.
    #[error("the request has {count} {name}; {MOST} are the most that this log takes")]
    TooMany {
        /// Of what.
        name: &'static str,
        /// How many.
        count: usize,
    },
    /// Neither DER of a certificate.
    #[error("the verifier's x509Certificate is not a certificate; send it as DER, in base64")]
    Certificate,
    /// The key cannot be read, or nobody should use it.
    #[error("the verifier's key cannot be used: {0}")]
    Key(PossessionError),
    /// An algorithm by a name that this log does not know, or does not take.
    #[error(
        "keyDetails {} is not an algorithm that this log takes; it takes {}",
        quote(got),
        Scheme::names()
    )]
    KeyDetails {
        /// What stood there.
        got: String,
    },
    /// Another algorithm than the key's.
    #[error("keyDetails is {got}, but the verifier's key is {key}, which goes with {wanted}")]
    OtherKey {
        /// What stood there.
        got: &'static str,
        /// The kind of key.
        key: &'static str,
        /// What should.
        wanted: &'static str,
    },
    /// Ed25519 without the message.
    #[error(
        "Ed25519 signs whole messages, and this request has a digest only; use an ECDSA or RSA key \
         (Ed25519ph is not supported)"
    )]
    Ed25519,
    /// A digest of another hash.
    #[error("the digest has {got} octets; {scheme} signs {hash}, which has {wanted}")]
    Digest {
        /// How many octets came.
        got: usize,
        /// The signature's algorithm.
        scheme: &'static str,
        /// Its hash.
        hash: &'static str,
        /// How many octets that has.
        wanted: usize,
    },
    /// The signature is not one of the digest by this key.
    #[error("the signature is not one of this digest by the verifier's key")]
    Signature,
    /// A signature of the envelope is by none of the keys.
    #[error(
        "a signature of the envelope is by none of the verifiers' keys; every signature needs its verifier"
    )]
    Envelope,
    /// No tile takes it.
    #[error("the entry would have {octets} octets; {LONGEST} are the most that a log can hold")]
    TooLong {
        /// How many it would have.
        octets: usize,
    },
}

impl RekorError {
    /// The stable word for machines.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::TooMany { .. } => "REQUEST_MALFORMED",
            Self::Certificate | Self::Key(_) => "KEY_UNACCEPTABLE",
            Self::KeyDetails { .. } | Self::OtherKey { .. } | Self::Ed25519 => {
                "ALGORITHM_UNACCEPTABLE"
            }
            Self::Digest { .. } => "DIGEST_INVALID",
            Self::Signature | Self::Envelope => "SIGNATURE_INVALID",
            Self::TooLong { .. } => "REQUEST_TOO_LARGE",
        }
    }
}

#[cfg(test)]
mod tests;
