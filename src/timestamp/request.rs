//! What a caller wants a timestamp of.
//!
//! ```text
//! TimeStampReq ::= SEQUENCE {
//!     version         INTEGER 1
//!     messageImprint  SEQUENCE { hashAlgorithm AlgorithmIdentifier, hashedMessage OCTET STRING }
//!     reqPolicy       OBJECT IDENTIFIER OPTIONAL
//!     nonce           INTEGER OPTIONAL
//!     certReq         BOOLEAN DEFAULT FALSE
//!     extensions      [0] OPTIONAL }                                         refused: we know none
//! ```
//!
//! Spec: RFC 3161 §2.4.1.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use der::asn1::{AnyRef, IntRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber};

use super::json;
use crate::quote::quote;

/// The one policy by which we stamp: that of sigstore's timestamp authorities.
pub(super) const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

/// A hash function whose digests we stamp.
pub(super) struct Hash {
    /// Its name in JSON.
    pub(super) name: &'static str,
    pub(super) oid: ObjectIdentifier,
    /// What computes it.
    algorithm: &'static Algorithm,
}

/// Those that nobody has broken.
pub(super) static HASHES: [Hash; 3] = [
    Hash {
        name: "sha256",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        algorithm: &SHA256,
    },
    Hash {
        name: "sha384",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        algorithm: &SHA384,
    },
    Hash {
        name: "sha512",
        oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        algorithm: &SHA512,
    },
];

/// A request that can be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// DER `MessageImprint`, as it came: the token must repeat it.
    pub(super) imprint: Vec<u8>,
    /// DER `INTEGER`, as it came.
    pub(super) nonce: Option<Vec<u8>>,
    /// Whether the token is to carry its signer's certificate.
    pub(super) wants_certificate: bool,
}

impl Request {
    /// Reads a DER `TimeStampReq`.
    ///
    /// # Errors
    ///
    /// [`RequestError`], one for each rule.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::decode(der).map_err(|e| RequestError::Malformed(e.to_string()))?;
        if fields.version != 1 {
            return Err(RequestError::Version(fields.version));
        }
        let Imprint { der: imprint, hash, digest } = fields.imprint;
        match Hash::of(hash) {
            Some(hash) => hash.check(digest)?,
            None => return Err(RequestError::Hash(hash.to_string())),
        }
        if let Some(policy) = fields.policy.filter(|policy| *policy != POLICY) {
            return Err(RequestError::Policy(policy.to_string()));
        }
        if fields.has_extensions {
            return Err(RequestError::Extensions);
        }
        Ok(Self {
            imprint: imprint.to_vec(),
            nonce: fields.nonce.map(<[u8]>::to_vec),
            wants_certificate: fields.wants_certificate,
        })
    }

    /// Reads a request in the JSON of sigstore's timestamp authority:
    /// `{"artifactHash": "<base64>", "hashAlgorithm": "sha256", "nonce": 7, "certificates": true,
    /// "tsaPolicyOID": "1.3.6.1.4.1.57264.2"}`, of which the first two are needed.
    ///
    /// # Errors
    ///
    /// [`RequestError`], one for each rule.
    pub fn from_json(text: &[u8]) -> Result<Self, RequestError> {
        json::read(text)
    }
}

/// The DER `TimeStampReq` of whoever wants a timestamp of `message`, with its signer's certificate.
pub fn query(message: &[u8]) -> Vec<u8> {
    const UNTIL_DIGEST: &[u8] =
        b"\x30\x37\x02\x01\x01\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20";
    const WITH_CERTIFICATE: &[u8] = b"\x01\x01\xff";
    [UNTIL_DIGEST, digest(&SHA256, message).as_ref(), WITH_CERTIFICATE].concat()
}

impl Hash {
    /// Whether `digest` can be one of this function's.
    pub(super) fn check(&self, digest: &[u8]) -> Result<(), RequestError> {
        let (expected, got) = (self.algorithm.output_len(), digest.len());
        match got == expected {
            true => Ok(()),
            false => Err(RequestError::DigestLength { hash: self.name, expected, got }),
        }
    }

    /// The function of this name in DER.
    pub(super) fn of(oid: ObjectIdentifier) -> Option<&'static Self> {
        HASHES.iter().find(|known| known.oid == oid)
    }

    /// Whether `octets` are the digest of `content`.
    pub(super) fn is_of(&self, content: &[u8], octets: &[u8]) -> bool {
        digest(self.algorithm, content).as_ref() == octets
    }
}

/// A `TimeStampReq` in its parts.
struct Fields<'a> {
    version: u8,
    imprint: Imprint<'a>,
    policy: Option<ObjectIdentifier>,
    nonce: Option<&'a [u8]>,
    wants_certificate: bool,
    has_extensions: bool,
}

/// A `MessageImprint`, and its parts.
pub(super) struct Imprint<'a> {
    der: &'a [u8],
    pub(super) hash: ObjectIdentifier,
    pub(super) digest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn decode(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let fields = reader.sequence(|fields| {
            let version = u8::decode(fields)?;
            let imprint = Imprint::decode(fields.tlv_bytes()?)?;
            let policy = Option::<ObjectIdentifier>::decode(fields)?;
            let nonce = match next(fields)? {
                Some(Tag::Integer) => Some(integer(fields.tlv_bytes()?)?),
                _ => None,
            };
            let wants_certificate = Option::<bool>::decode(fields)?.unwrap_or_default();
            let extensions = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
            let has_extensions = next(fields)? == Some(extensions);
            if has_extensions {
                fields.tlv_bytes()?;
            }
            Ok::<_, der::Error>(Self {
                version,
                imprint,
                policy,
                nonce,
                wants_certificate,
                has_extensions,
            })
        })?;
        reader.finish()?;
        Ok(fields)
    }
}

impl<'a> Imprint<'a> {
    pub(super) fn decode(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let imprint = reader.sequence(|fields| {
            let hash = algorithm(fields)?;
            let digest = <&OctetStringRef>::decode(fields)?.as_bytes();
            Ok::<_, der::Error>(Self { der, hash, digest })
        })?;
        reader.finish()?;
        Ok(imprint)
    }
}

/// An `AlgorithmIdentifier` without parameters.
pub(super) fn algorithm<'a>(reader: &mut impl Reader<'a>) -> der::Result<ObjectIdentifier> {
    reader.sequence(|fields| {
        let oid = ObjectIdentifier::decode(fields)?;
        // RFC 5754 §2: absent, or NULL, and both are met.
        if let Some(parameters) = Option::<AnyRef<'_>>::decode(fields)? {
            parameters.decode_as::<der::asn1::Null>()?;
        }
        Ok(oid)
    })
}

/// The tag of what comes next.
pub(super) fn next<'a>(reader: &mut impl Reader<'a>) -> der::Result<Option<Tag>> {
    if reader.is_finished() { Ok(None) } else { Tag::peek(reader).map(Some) }
}

/// A DER `INTEGER`, if it is one in as few octets as it needs.
fn integer(der: &[u8]) -> der::Result<&[u8]> {
    IntRef::from_der(der)?;
    Ok(der)
}

/// Why a request is not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a `TimeStampReq`.
    #[error(
        "the body is no time-stamp request (RFC 3161) in DER: {0}; \
         `openssl ts -query -data FILE -sha256 -cert` makes one"
    )]
    Malformed(String),
    /// Not the JSON of sigstore's timestamp authority.
    #[error(
        "the body is no time-stamp request in JSON: {0}; it has artifactHash (base64) and \
         hashAlgorithm (sha256, sha384 or sha512)"
    )]
    Json(String),
    /// A version of the protocol that does not exist.
    #[error("version {0} of the time-stamp protocol is not known; send version 1")]
    Version(u8),
    /// A hash function that is broken, or that we do not know.
    #[error("digests made with {0} get no timestamp; use SHA-256, SHA-384 or SHA-512")]
    Hash(String),
    /// A digest that cannot be one of its hash function's.
    #[error("a digest made with {hash} has {expected} octets, and this one has {got}")]
    DigestLength {
        /// The hash function.
        hash: &'static str,
        /// How many octets its digests have.
        expected: usize,
        /// How many this one has.
        got: usize,
    },
    /// Another policy than ours.
    #[error("there are no timestamps by policy {} here; leave the policy out, or ask for {POLICY}", quote(.0))]
    Policy(String),
    /// Extensions, none of which we know.
    #[error("the time-stamp request has extensions, and none is known here; leave them out")]
    Extensions,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SHA-256 (parameters NULL), a nonce of two octets, certificates wanted.
    const GOLDEN: &[u8; 63] =
        b"\x30\x3d\x02\x01\x01\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
        \x04\x20................................\x02\x02\x01\x02\x01\x01\xff";

    #[track_caller]
    fn bite(change: impl FnOnce(&mut Vec<u8>), expected: &RequestError) {
        let mut der = GOLDEN.to_vec();
        change(&mut der);
        assert_eq!(&Request::from_der(&der).unwrap_err(), expected);
    }

    #[track_caller]
    fn bite_form(change: impl FnOnce(&mut Vec<u8>)) {
        let mut der = GOLDEN.to_vec();
        change(&mut der);
        let error = Request::from_der(&der);
        assert!(matches!(error, Err(RequestError::Malformed(_))), "{error:?}");
    }

    /// Puts `part` into the request at `place`, counted from its end.
    fn insert(der: &mut Vec<u8>, place: usize, part: &[u8]) {
        let at = der.len() - place;
        der.splice(at..at, part.iter().copied());
        der[1] += part.len() as u8;
    }

    /// Shortens the request by its last `octets`.
    fn cut(der: &mut Vec<u8>, octets: usize) {
        der.truncate(der.len() - octets);
        der[1] -= octets as u8;
    }

    #[test]
    fn reads_what_is_asked() {
        let request = Request::from_der(GOLDEN).unwrap();
        assert_eq!(request.imprint, GOLDEN[5..56]);
        assert_eq!(request.nonce.as_deref(), Some(&b"\x02\x02\x01\x02"[..]));
        assert!(request.wants_certificate);
    }

    #[test]
    fn what_is_optional_may_be_absent() {
        let mut der = GOLDEN.to_vec();
        cut(&mut der, 3);
        assert!(!Request::from_der(&der).unwrap().wants_certificate);
        cut(&mut der, 4);
        assert_eq!(Request::from_der(&der).unwrap().nonce, None);
        let mut der = GOLDEN.to_vec();
        insert(&mut der, 7, b"\x06\x09\x2b\x06\x01\x04\x01\x83\xbf\x30\x02");
        assert_eq!(Request::from_der(&der), Request::from_der(GOLDEN));
    }

    #[test]
    fn a_query_of_ours_is_one() {
        let request = Request::from_der(&query(b"a message")).unwrap();
        assert!(request.wants_certificate);
        let imprint = Imprint::decode(&request.imprint).unwrap();
        assert!(Hash::of(imprint.hash).unwrap().is_of(b"a message", imprint.digest));
    }

    #[test]
    fn each_rule_bites() {
        bite(|der| der[4] = 2, &RequestError::Version(2));
        bite(|der| der[19] = 9, &RequestError::Hash("2.16.840.1.101.3.4.2.9".into()));
        let length = RequestError::DigestLength { hash: "sha384", expected: 48, got: 32 };
        bite(|der| der[19] = 2, &length);
        bite(
            |der| insert(der, 7, b"\x06\x03\x2a\x03\x04"),
            &RequestError::Policy("1.2.3.4".into()),
        );
        bite(|der| insert(der, 0, b"\xa0\x02\x30\x00"), &RequestError::Extensions);
    }

    #[test]
    fn forms_that_are_no_der_bite() {
        bite_form(|der| der.clear());
        bite_form(|der| der.push(0));
        bite_form(|der| insert(der, 0, b"\x05\x00"));
        // A long length for a short one.
        bite_form(|der| drop(der.splice(1..2, [0x81, 0x3d])));
        // TRUE is ff.
        bite_form(|der| *der.last_mut().unwrap() = 1);
        // A nonce with a zero too many, and none at all.
        bite_form(|der| der[58] = 0);
        bite_form(|der| {
            cut(der, 7);
            insert(der, 0, b"\x02\x00");
        });
        // Parameters of SHA-256.
        bite_form(|der| der[20] = 4);
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..63_usize, octet: u8, end in 0..=63_usize) {
            let mut der = GOLDEN.to_vec();
            der[at] = octet;
            let _ = Request::from_der(&der);
            let _ = Request::from_der(&der[..end]);
            let _ = Request::from_json(&der);
        }
    }
}
