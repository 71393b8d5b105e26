//! The token: what is signed, and the reply around it.
//!
//! ```text
//! TimeStampResp ::= SEQUENCE {
//!     SEQUENCE { INTEGER 0 }                                     granted
//!     SEQUENCE { id-signedData, [0] SEQUENCE {
//!         INTEGER 3
//!         SET { hash }
//!         SEQUENCE { id-ct-TSTInfo, [0] OCTET STRING { TSTInfo } }
//!         [0] { Certificate }                                    if it was asked for
//!         SET { SEQUENCE {
//!             INTEGER 1, issuer and serial number, hash
//!             [0] { contentType, messageDigest, signingCertificateV2 }
//!             signature algorithm, OCTET STRING } } } } }
//!
//! TSTInfo ::= SEQUENCE {
//!     INTEGER 1, policy, messageImprint, serialNumber, genTime (whole seconds)
//!     SEQUENCE { INTEGER 1 }                                     accuracy: a second
//!     nonce                                                      if there was one
//!     [0] { [4] { Name } } }                                     who signs
//! ```
//!
//! Signed are the attributes as a SET OF, in the order of DER.
//!
//! Spec: RFC 3161 §2.4.2, RFC 5652 §5, RFC 5816 §2.2.1.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

use super::chain::Chain;
use super::request::{POLICY, Request};
use crate::algorithm::SignatureAlgorithm;
use crate::asn1::{self, context_constructed};
use crate::certificate::Serial;
use crate::time::Timestamp;

// Object identifiers, tag and length included.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const TST_INFO: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const SIGNING_CERTIFICATE_V2: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f";

/// The attribute contentType: id-ct-TSTInfo.
const CONTENT_TYPE: &[u8] =
    b"\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03\x31\x0d\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";

const ONE: &[u8] = b"\x02\x01\x01";
const THREE: &[u8] = b"\x02\x01\x03";
/// `SEQUENCE { INTEGER 0 }`: granted.
const GRANTED: &[u8] = b"\x30\x03\x02\x01\x00";
/// `SEQUENCE { INTEGER 1 }`: a second.
const ACCURACY: &[u8] = b"\x30\x03\x02\x01\x01";

/// What all timestamps of one key share.
#[derive(Clone, Debug)]
pub struct Profile {
    algorithm: SignatureAlgorithm,
    hash: Hash,
    /// `IssuerAndSerialNumber` of the certificate that signs.
    signer: Vec<u8>,
    /// The attribute signingCertificateV2.
    signing_certificate: Vec<u8>,
    /// `[0] GeneralName`: its subject.
    name: Vec<u8>,
    /// `[0] { Certificate }`.
    certificates: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Profile {
    /// The profile of timestamps that the first certificate of `chain` signs with `algorithm`.
    pub fn new(chain: &Chain, algorithm: SignatureAlgorithm) -> Self {
        let certificate = chain.ders().first().map(Vec::as_slice).unwrap_or_default();
        let signer = written(asn1::SEQUENCE, |signer| {
            signer.extend_from_slice(&chain.issuer);
            signer.extend_from_slice(&chain.serial);
        });
        let name = written(context_constructed(0), |name| {
            asn1::value(name, context_constructed(4), &chain.subject);
        });
        Self {
            algorithm,
            hash: Hash::of(algorithm),
            signer,
            signing_certificate: signing_certificate(certificate),
            name,
            certificates: written(context_constructed(0), |set| set.extend_from_slice(certificate)),
            not_before: chain.not_before(),
            not_after: chain.not_after(),
        }
    }

    /// The timestamp that `request` asks for, to be signed.
    ///
    /// # Errors
    ///
    /// [`ValidityError`] when the chain does not hold at `now`.
    pub fn stamp<'a>(
        &'a self,
        request: &'a Request,
        serial: Serial,
        now: Timestamp,
    ) -> Result<Stamp<'a>, ValidityError> {
        self.check(now)?;
        let info = self.info(request, serial, now);
        let signed = self.signed(&info);
        Ok(Stamp { profile: self, with_certificate: request.wants_certificate, info, signed })
    }

    /// Whether the chain holds at `now`.
    ///
    /// # Errors
    ///
    /// [`ValidityError`] when it does not.
    pub fn check(&self, now: Timestamp) -> Result<(), ValidityError> {
        let time = now.floor();
        if time < self.not_before {
            return Err(ValidityError::NotYetValid { not_before: self.not_before });
        }
        if time > self.not_after {
            return Err(ValidityError::Expired { not_after: self.not_after });
        }
        Ok(())
    }

    /// DER `TSTInfo`.
    fn info(&self, request: &Request, serial: Serial, time: Timestamp) -> Vec<u8> {
        let mut info = Vec::with_capacity(384);
        asn1::nested(&mut info, asn1::SEQUENCE, |info| {
            info.extend_from_slice(ONE);
            asn1::value(info, asn1::OBJECT_IDENTIFIER, POLICY.as_bytes());
            info.extend_from_slice(&request.imprint);
            asn1::unsigned(info, serial.as_bytes());
            asn1::generalized_time(info, time);
            info.extend_from_slice(ACCURACY);
            info.extend_from_slice(request.nonce.as_deref().unwrap_or_default());
            info.extend_from_slice(&self.name);
        });
        info
    }

    /// The signed attributes, DER `SET OF Attribute`.
    fn signed(&self, info: &[u8]) -> Vec<u8> {
        let digest = written(asn1::SEQUENCE, |attribute| {
            attribute.extend_from_slice(MESSAGE_DIGEST);
            asn1::nested(attribute, asn1::SET, |values| {
                asn1::value(values, asn1::OCTET_STRING, self.hash.digest(info).as_ref());
            });
        });
        let mut attributes = [CONTENT_TYPE, &digest, &self.signing_certificate];
        // X.690 §11.6: a SET OF is in the order of its encodings.
        attributes.sort_unstable();
        written(asn1::SET, |set| attributes.iter().for_each(|one| set.extend_from_slice(one)))
    }
}

/// A timestamp that lacks its signature.
#[derive(Debug)]
pub struct Stamp<'a> {
    profile: &'a Profile,
    with_certificate: bool,
    /// DER `TSTInfo`.
    info: Vec<u8>,
    /// The signed attributes, DER `SET OF Attribute`.
    signed: Vec<u8>,
}

impl Stamp<'_> {
    /// What is to be signed.
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// The reply with the signature over [`signed`](Self::signed): DER `TimeStampResp`.
    pub fn reply(&self, signature: &[u8]) -> Vec<u8> {
        let mut reply = Vec::with_capacity(1536);
        asn1::nested(&mut reply, asn1::SEQUENCE, |reply| {
            reply.extend_from_slice(GRANTED);
            asn1::nested(reply, asn1::SEQUENCE, |content| {
                content.extend_from_slice(SIGNED_DATA);
                asn1::nested(content, context_constructed(0), |content| {
                    asn1::nested(content, asn1::SEQUENCE, |data| self.write(data, signature));
                });
            });
        });
        reply
    }

    /// Appends the content of `SignedData`.
    fn write(&self, data: &mut Vec<u8>, signature: &[u8]) {
        let Self { profile, info, .. } = self;
        data.extend_from_slice(THREE);
        asn1::value(data, asn1::SET, profile.hash.identifier());
        asn1::nested(data, asn1::SEQUENCE, |content| {
            content.extend_from_slice(TST_INFO);
            asn1::nested(content, context_constructed(0), |content| {
                asn1::value(content, asn1::OCTET_STRING, info);
            });
        });
        if self.with_certificate {
            data.extend_from_slice(&profile.certificates);
        }
        asn1::nested(data, asn1::SET, |signers| {
            asn1::nested(signers, asn1::SEQUENCE, |signer| self.write_signer(signer, signature));
        });
    }

    /// Appends the content of `SignerInfo`.
    fn write_signer(&self, signer: &mut Vec<u8>, signature: &[u8]) {
        let profile = self.profile;
        signer.extend_from_slice(ONE);
        signer.extend_from_slice(&profile.signer);
        signer.extend_from_slice(profile.hash.identifier());
        // RFC 5652 §5.4: signed as a SET OF, sent as [0] IMPLICIT.
        let start = signer.len();
        signer.extend_from_slice(&self.signed);
        if let Some(tag) = signer.get_mut(start) {
            *tag = context_constructed(0);
        }
        signer.extend_from_slice(profile.algorithm.identifier());
        asn1::value(signer, asn1::OCTET_STRING, signature);
    }
}

/// The hash function of a signature algorithm.
#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::RsaPkcs1Sha256 => {
                Self::Sha256
            }
            SignatureAlgorithm::EcdsaP384Sha384 => Self::Sha384,
            // Ed25519: RFC 8419 §2.3.
            SignatureAlgorithm::EcdsaP521Sha512 | SignatureAlgorithm::Ed25519 => Self::Sha512,
        }
    }

    /// The DER `AlgorithmIdentifier`, parameters absent: RFC 5754 §2.
    const fn identifier(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01",
            Self::Sha384 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02",
            Self::Sha512 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03",
        }
    }

    fn digest(self, content: &[u8]) -> aws_lc_rs::digest::Digest {
        let algorithm: &'static Algorithm = match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        };
        digest(algorithm, content)
    }
}

/// The attribute signingCertificateV2 of a certificate: its SHA-256, which needs no name.
fn signing_certificate(certificate: &[u8]) -> Vec<u8> {
    let hash = written(asn1::OCTET_STRING, |hash| {
        hash.extend_from_slice(digest(&SHA256, certificate).as_ref());
    });
    // ESSCertIDv2, the list of them, SigningCertificateV2, the attribute's values.
    let tags = [asn1::SEQUENCE, asn1::SEQUENCE, asn1::SEQUENCE, asn1::SET];
    let values = tags
        .into_iter()
        .fold(hash, |content, tag| written(tag, |outer| outer.extend_from_slice(&content)));
    written(asn1::SEQUENCE, |attribute| {
        attribute.extend_from_slice(SIGNING_CERTIFICATE_V2);
        attribute.extend_from_slice(&values);
    })
}

fn written(tag: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    asn1::nested(&mut out, tag, write);
    out
}

/// Why nothing is stamped at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// The chain does not hold yet.
    #[error("the chain of the timestamps holds only from {not_before}; check the clock")]
    NotYetValid {
        /// When it begins.
        not_before: Timestamp,
    },
    /// The chain does not hold any more.
    #[error("the chain of the timestamps ended at {not_after}; put a new one beside it")]
    Expired {
        /// When it ended.
        not_after: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, Tsa};
    use super::*;
    use std::time::Duration;

    /// A profile of a certificate without a name.
    fn profile(algorithm: SignatureAlgorithm) -> Profile {
        Profile {
            algorithm,
            hash: Hash::of(algorithm),
            signer: b"\x30\x05\x30\x00\x02\x01\x07".to_vec(),
            signing_certificate: signing_certificate(b"certificate"),
            name: b"\xa0\x04\xa4\x02\x30\x00".to_vec(),
            certificates: b"\xa0\x02\x30\x00".to_vec(),
            not_before: NOW,
            not_after: NOW,
        }
    }

    fn request(wants_certificate: bool) -> Request {
        let imprint = b"\x30\x0d\x30\x09\x06\x01\x2a\x04\x04hash".to_vec();
        Request { imprint, nonce: Some(b"\x02\x01\x07".to_vec()), wants_certificate }
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// What is signed: contentType, and signingCertificateV2 of a certificate that is called so.
    const TYPE: &str = "301a06092a864886f70d010903310d060b2a864886f70d0109100104";
    const CERTIFICATE: &str = "3037060b2a864886f70d010910022f3128302630243022042003d66dd08835c1ca3f128cceacd1f31ac94163096b20f445ae84285bc0832d72";

    /// `TSTInfo`, from id-ct-TSTInfo on.
    const CONTENT: &str = "060b2a864886f70d0109100104a0540452\
        305002010106092b0601040183bf3002300d300906012a04046861736802145a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\
        180f32303236303130313030303030305a3003020101020107a004a4023000";

    #[test]
    fn golden() {
        let profile = profile(SignatureAlgorithm::EcdsaP256Sha256);
        let request = request(true);
        let stamp = profile.stamp(&request, Serial::from_bytes([0x5a; 20]), NOW).unwrap();
        let digest = "302f06092a864886f70d01090431220420b5c1a8a9a23d8d2d057a8e92f10db42c3dd462dc37d9685013c1d7892f1ea864";
        assert_eq!(hex(stamp.signed()), format!("318186{TYPE}{digest}{CERTIFICATE}"));
        let expected = format!(
            "3082015430030201003082014b06092a864886f70d010702a082013c30820138020103310d300b060960864801650304020130\
             63{CONTENT}a00230003181ba3081b702010130053000020107300b0609608648016503040201\
             a08186{TYPE}{digest}{CERTIFICATE}300a06082a8648ce3d04030204097369676e6174757265"
        );
        assert_eq!(hex(&stamp.reply(b"signature")), expected);
    }

    /// A longer digest comes after the certificate: a SET OF has its own order. No certificate is sent.
    #[test]
    fn golden_by_a_larger_curve() {
        let profile = profile(SignatureAlgorithm::EcdsaP384Sha384);
        let request = request(false);
        let stamp = profile.stamp(&request, Serial::from_bytes([0x5a; 20]), NOW).unwrap();
        let digest = hex(digest(&SHA384, &stamp.info).as_ref());
        let digest = format!("303f06092a864886f70d01090431320430{digest}");
        assert_eq!(hex(stamp.signed()), format!("318196{TYPE}{CERTIFICATE}{digest}"));
        let expected = format!(
            "3082016030030201003082015706092a864886f70d010702a082014830820144020103310d300b060960864801650304020230\
             63{CONTENT}3181ca3081c702010130053000020107300b0609608648016503040202\
             a08196{TYPE}{CERTIFICATE}{digest}300a06082a8648ce3d04030304097369676e6174757265"
        );
        assert_eq!(hex(&stamp.reply(b"signature")), expected);
    }

    #[test]
    fn the_time_is_of_whole_seconds() {
        let (profile, request) = (profile(SignatureAlgorithm::EcdsaP256Sha256), request(true));
        let serial = Serial::from_bytes([1; 20]);
        let late = NOW.plus(Duration::from_millis(999));
        let [now, late] = [NOW, late].map(|time| profile.stamp(&request, serial, time).unwrap());
        assert_eq!(now.info, late.info);
    }

    #[test]
    fn nothing_is_stamped_outside_of_the_chain() {
        let tsa = Tsa::new(|_| {});
        let chain = Chain::from_pem(tsa.pem.as_bytes()).unwrap();
        let profile = Profile::new(&chain, SignatureAlgorithm::EcdsaP256Sha256);
        let request = request(true);
        let stamp = |time| profile.stamp(&request, Serial::from_bytes([1; 20]), time).map(drop);
        let (before, second) = (NOW.minus(Duration::from_millis(1)), Duration::from_secs(1));
        let end = chain.not_after();
        assert_eq!(stamp(NOW), Ok(()));
        assert_eq!(stamp(end), Ok(()));
        assert_eq!(stamp(before), Err(ValidityError::NotYetValid { not_before: NOW }));
        assert_eq!(stamp(end.plus(second)), Err(ValidityError::Expired { not_after: end }));
    }
}
