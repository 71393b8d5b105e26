//! A reply is read, and its token verified.
//!
//! ```text
//! TimeStampResp ─▶ Reply ── hash, certificate, signature hold ──▶ the time
//!                             ▲
//!                           Chain
//! ```
//!
//! Read strictly: DER alone, one signer, named by issuer and serial number, every attribute once. The
//! chain is the trusted one; certificates that come with the token are not looked at.
//!
//! Spec: RFC 3161 §2.4.2, RFC 5652 §5.4 and §5.6, RFC 5035 §4 and RFC 5816 for the certificate's hash.

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::chain::Chain;
use super::request::{Hash, Imprint, algorithm, next};
use crate::asn1;
use crate::certificate::link;
use crate::time::Timestamp;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// rsaEncryption, by which some name a signature whose hash is the signer's: RFC 3370 §3.2.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// PKCS#1 v1.5 with SHA-256, in full.
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// A granted reply, nothing of it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// DER `TSTInfo`.
    info: Vec<u8>,
    time: Timestamp,
    imprint: Vec<u8>,
    /// DER `IssuerAndSerialNumber`.
    signer: Vec<u8>,
    hash: ObjectIdentifier,
    /// What is signed: DER `SET OF Attribute`.
    attributes: Vec<u8>,
    algorithm: ObjectIdentifier,
    signature: Vec<u8>,
}

impl Reply {
    /// Reads a DER `TimeStampResp`.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Malformed`], [`ReplyError::NotGranted`].
    pub fn from_der(der: &[u8]) -> Result<Self, ReplyError> {
        let malformed = |error: der::Error| ReplyError::Malformed(error.to_string());
        let (status, token) = status(der).map_err(malformed)?;
        // 1: granted with changes, RFC 3161 §2.4.2.
        match (status, token) {
            (0 | 1, Some(token)) => read(token).map_err(malformed),
            _ => Err(ReplyError::NotGranted { status }),
        }
    }

    /// Verifies that the first certificate of `chain` stamped `message`; yields when, in whole seconds.
    ///
    /// # Errors
    ///
    /// [`ReplyError`], one variant for each rule.
    pub fn verify(&self, message: &[u8], chain: &Chain) -> Result<Timestamp, ReplyError> {
        let mut signer = Vec::new();
        asn1::value(&mut signer, asn1::SEQUENCE, &[&chain.issuer[..], &chain.serial].concat());
        if self.signer != signer {
            return Err(ReplyError::OtherSigner);
        }
        self.verify_signature(chain)?;
        self.verify_attributes(chain)?;
        let malformed = |error: der::Error| ReplyError::Malformed(error.to_string());
        let imprint = Imprint::decode(&self.imprint).map_err(malformed)?;
        if !known(imprint.hash)?.is_of(message, imprint.digest) {
            return Err(ReplyError::OtherMessage);
        }
        let (time, from, until) = (self.time, chain.not_before(), chain.not_after());
        match from <= time && time <= until {
            true => Ok(time),
            false => Err(ReplyError::OutsideChain { time, from, until }),
        }
    }

    fn verify_signature(&self, chain: &Chain) -> Result<(), ReplyError> {
        let algorithm = match self.algorithm {
            RSA if self.hash == SHA256 => RSA_SHA256,
            algorithm => algorithm,
        };
        match link::verifies(algorithm, chain.spki(), (&self.attributes, &self.signature)) {
            None => Err(ReplyError::Algorithm(algorithm)),
            Some(false) => Err(ReplyError::Signature),
            Some(true) => Ok(()),
        }
    }

    fn verify_attributes(&self, chain: &Chain) -> Result<(), ReplyError> {
        let attribute = |name, oid| {
            one_attribute(&self.attributes, oid).ok().flatten().ok_or(ReplyError::Attribute(name))
        };
        let kind = attribute("contentType", CONTENT_TYPE)?;
        if kind.decode_as() != Ok(TST_INFO) {
            return Err(ReplyError::ContentType);
        }
        let digest = attribute("messageDigest", MESSAGE_DIGEST)?;
        let octets = digest.decode_as::<&OctetStringRef>().map(OctetStringRef::as_bytes);
        let octets = octets.map_err(|_| ReplyError::Digest)?;
        if !known(self.hash)?.is_of(&self.info, octets) {
            return Err(ReplyError::Digest);
        }
        let certificate = attribute("signingCertificateV2", SIGNING_CERTIFICATE_V2)?;
        let (hash, octets) =
            certificate_hash(certificate.value()).map_err(|_| ReplyError::Certificate)?;
        let der = chain.ders().first().map(Vec::as_slice).unwrap_or_default();
        match known(hash)?.is_of(der, octets) {
            true => Ok(()),
            false => Err(ReplyError::Certificate),
        }
    }
}

fn known(oid: ObjectIdentifier) -> Result<&'static Hash, ReplyError> {
    Hash::of(oid).ok_or(ReplyError::Algorithm(oid))
}

/// Reads all of `der` as one SEQUENCE.
fn whole<'a, T>(
    der: &'a [u8],
    fields: impl FnOnce(&mut SliceReader<'a>) -> der::Result<T>,
) -> der::Result<T> {
    let mut reader = SliceReader::new(der)?;
    let read = reader.sequence(fields)?;
    reader.finish()?;
    Ok(read)
}

/// The status of a reply, and the token, if there is one.
fn status(der: &[u8]) -> der::Result<(u8, Option<&[u8]>)> {
    whole(der, |fields| {
        let status = fields.sequence(|status| {
            let number = u8::decode(status)?;
            skip(status)?;
            Ok::<_, der::Error>(number)
        })?;
        let token = if fields.is_finished() { None } else { Some(fields.tlv_bytes()?) };
        Ok((status, token))
    })
}

/// Reads a token: the `ContentInfo` with the `SignedData`.
fn read(token: &[u8]) -> der::Result<Reply> {
    let data = whole(token, |content| {
        expect(content.decode::<ObjectIdentifier>()? == SIGNED_DATA, Tag::ObjectIdentifier)?;
        tagged(content, 0)
    })?;
    whole(data, |fields| {
        expect(fields.decode::<u8>()? == 3, Tag::Integer)?;
        AnyRef::decode(fields)?.tag().assert_eq(Tag::Set)?;
        let info = fields.sequence(|content| {
            expect(content.decode::<ObjectIdentifier>()? == TST_INFO, Tag::ObjectIdentifier)?;
            <&OctetStringRef>::from_der(tagged(content, 0)?).map(OctetStringRef::as_bytes)
        })?;
        // Certificates and lists of revoked ones.
        for number in [0, 1] {
            if next(fields)? == Some(context(number)) {
                fields.tlv_bytes()?;
            }
        }
        let signers = AnyRef::decode(fields)?;
        signers.tag().assert_eq(Tag::Set)?;
        signer(info, signers.value())
    })
}

/// Reads the one `SignerInfo`, and `TSTInfo`.
fn signer(info: &[u8], signer: &[u8]) -> der::Result<Reply> {
    let (time, imprint) = time_and_imprint(info)?;
    whole(signer, |fields| {
        // 3 would name the signer by a key id.
        expect(fields.decode::<u8>()? == 1, Tag::Integer)?;
        let name = fields.tlv_bytes()?;
        let hash = algorithm(fields)?;
        let signed = AnyRef::decode(fields)?;
        signed.tag().assert_eq(context(0))?;
        // RFC 5652 §5.4: sent as [0] IMPLICIT, signed as a SET OF.
        let mut attributes = Vec::new();
        asn1::value(&mut attributes, asn1::SET, signed.value());
        let algorithm = algorithm(fields)?;
        let signature = <&OctetStringRef>::decode(fields)?.as_bytes().to_vec();
        // Attributes that nobody signed.
        if next(fields)? == Some(context(1)) {
            fields.tlv_bytes()?;
        }
        let (info, signer) = (info.to_vec(), name.to_vec());
        Ok(Reply { info, time, imprint, signer, hash, attributes, algorithm, signature })
    })
}

/// The time of a `TSTInfo`, and its DER `MessageImprint`.
fn time_and_imprint(info: &[u8]) -> der::Result<(Timestamp, Vec<u8>)> {
    whole(info, |fields| {
        expect(fields.decode::<u8>()? == 1, Tag::Integer)?;
        fields.decode::<ObjectIdentifier>()?;
        let imprint = fields.tlv_bytes()?;
        Imprint::decode(imprint)?;
        UintRef::decode(fields)?;
        let time = AnyRef::decode(fields)?;
        time.tag().assert_eq(Tag::GeneralizedTime)?;
        let time = generalized_time(time.value()).ok_or(Tag::GeneralizedTime.value_error())?;
        // Accuracy, order, nonce, name; extensions, of which we know none, are `[1]`.
        while let Some(tag) = next(fields)? {
            expect(tag != context(1), tag)?;
            fields.tlv_bytes()?;
        }
        Ok((time, imprint.to_vec()))
    })
}

/// A time in whole seconds: `20260101000000Z`, or with a fraction, which is dropped.
fn generalized_time(octets: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(octets).ok()?.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "1"));
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if seconds.len() != 14 || !digits(seconds) || !digits(fraction) {
        return None;
    }
    // X.690 §11.7.3: no fraction ends with a zero, and none is empty.
    if fraction.is_empty() || fraction.ends_with('0') {
        return None;
    }
    let (date, time) = seconds.split_at_checked(8)?;
    let time: jiff::Timestamp = format!("{date}T{time}Z").parse().ok()?;
    u64::try_from(time.as_second()).ok().map(Timestamp::from_secs)
}

/// The one value of an attribute; nothing when it is not there once, with one value.
fn one_attribute(attributes: &[u8], oid: ObjectIdentifier) -> der::Result<Option<AnyRef<'_>>> {
    let set = AnyRef::from_der(attributes)?;
    let mut reader = SliceReader::new(set.value())?;
    let mut found = None;
    while !reader.is_finished() {
        let (kind, values) = reader.sequence(|fields| {
            Ok::<_, der::Error>((ObjectIdentifier::decode(fields)?, AnyRef::decode(fields)?))
        })?;
        values.tag().assert_eq(Tag::Set)?;
        if kind == oid && found.replace(AnyRef::from_der(values.value())?).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}

/// Hash function and hash of the first certificate in the content of a `SigningCertificateV2`: the signer's.
fn certificate_hash(content: &[u8]) -> der::Result<(ObjectIdentifier, &[u8])> {
    let ids = AnyRef::decode(&mut SliceReader::new(content)?)?;
    ids.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(ids.value())?.sequence(|fields| {
        let hash = match next(fields)? {
            Some(Tag::Sequence) => algorithm(fields)?,
            _ => SHA256,
        };
        let octets = <&OctetStringRef>::decode(fields)?.as_bytes();
        // Issuer and serial number: the hash says more.
        skip(fields)?;
        Ok((hash, octets))
    })
}

/// The content of what is tagged `[number]`, constructed.
fn tagged<'a>(reader: &mut SliceReader<'a>, number: u32) -> der::Result<&'a [u8]> {
    let any = AnyRef::decode(reader)?;
    any.tag().assert_eq(context(number))?;
    Ok(any.value())
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn skip<'a>(reader: &mut impl Reader<'a>) -> der::Result<()> {
    while !reader.is_finished() {
        reader.tlv_bytes()?;
    }
    Ok(())
}

fn expect(holds: bool, tag: Tag) -> der::Result<()> {
    if holds { Ok(()) } else { Err(tag.value_error().into()) }
}

/// Why a timestamp does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not a `TimeStampResp`, or one of a form that is not read.
    #[error("the timestamp is not a DER TimeStampResp of one signer (RFC 3161): {0}")]
    Malformed(String),
    /// Refused, or without a token.
    #[error("the timestamp authority did not grant the timestamp (status {status})")]
    NotGranted {
        /// `PKIStatus`.
        status: u8,
    },
    /// A hash function or a signature algorithm that we do not take.
    #[error("the timestamp is made with {0}, which is no algorithm that is taken")]
    Algorithm(ObjectIdentifier),
    /// An attribute that must be there once.
    #[error("the timestamp must have the signed attribute {0}, once and with one value")]
    Attribute(&'static str),
    /// Something else than a timestamp was signed.
    #[error("what is signed in the timestamp is not a timestamp (contentType)")]
    ContentType,
    /// The signed hash is not that of the content.
    #[error("the signed hash is not that of the timestamp: somebody changed it (messageDigest)")]
    Digest,
    /// Another certificate than the chain's first.
    #[error("the timestamp is signed by another authority than the trusted one")]
    OtherSigner,
    /// The signed hash of the certificate is another's.
    #[error("the timestamp is bound to another certificate (signingCertificateV2)")]
    Certificate,
    /// The signature does not hold.
    #[error("the signature of the timestamp does not hold")]
    Signature,
    /// Something else was stamped.
    #[error("the timestamp is of something else")]
    OtherMessage,
    /// The certificates do not hold at the time that it says.
    #[error("the timestamp says {time}, but its authority's chain holds from {from} until {until}")]
    OutsideChain {
        /// What it says.
        time: Timestamp,
        /// When the chain begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, Tsa};
    use super::super::request::query;
    use super::super::{Profile, Request};
    use super::*;
    use crate::algorithm::SignatureAlgorithm;
    use crate::certificate::Serial;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const MESSAGE: &[u8] = b"a signature";

    /// An authority, and its DER reply to whoever asks for [`MESSAGE`].
    static GOOD: LazyLock<(Tsa, Chain, Vec<u8>)> = LazyLock::new(|| {
        let tsa = Tsa::new(|_| {});
        let chain = Chain::from_pem(tsa.pem.as_bytes()).unwrap();
        let profile = Profile::new(&chain, SignatureAlgorithm::EcdsaP256Sha256);
        let request = Request::from_der(&query(MESSAGE)).unwrap();
        let stamp = profile.stamp(&request, Serial::from_bytes([0x5a; 20]), NOW).unwrap();
        let reply = stamp.reply(&tsa.sign(stamp.signed()));
        (tsa, chain, reply)
    });

    /// Changes a reply, and signs its attributes again.
    #[track_caller]
    fn bite(change: impl FnOnce(&mut Reply), expected: &ReplyError) {
        let (tsa, chain, der) = &*GOOD;
        let mut reply = Reply::from_der(der).unwrap();
        change(&mut reply);
        reply.signature = tsa.sign(&reply.attributes);
        assert_eq!(&reply.verify(MESSAGE, chain).unwrap_err(), expected);
    }

    /// Replaces one run of octets by another of the same length.
    fn replace(octets: &mut [u8], old: &[u8], new: &[u8]) {
        let at = octets.windows(old.len()).position(|window| window == old).unwrap();
        octets[at..at + old.len()].copy_from_slice(new);
    }

    #[test]
    fn what_we_write_holds() {
        let (_, chain, der) = &*GOOD;
        assert_eq!(Reply::from_der(der).unwrap().verify(MESSAGE, chain), Ok(NOW));
    }

    #[test]
    fn each_rule_bites() {
        use ReplyError::{Attribute, Certificate, ContentType, Digest, OtherSigner};
        let (type_oid, digest_oid) = (CONTENT_TYPE.as_bytes(), MESSAGE_DIGEST.as_bytes());
        let hash_oid = SIGNING_CERTIFICATE_V2.as_bytes();
        bite(|it| *it.signer.last_mut().unwrap() ^= 1, &OtherSigner);
        bite(|it| replace(&mut it.attributes, TST_INFO.as_bytes(), hash_oid), &ContentType);
        // The attribute of that name is gone, or there twice.
        let missing = Attribute("messageDigest");
        bite(|it| replace(&mut it.attributes, digest_oid, type_oid), &Attribute("contentType"));
        bite(
            |it| replace(&mut it.attributes, digest_oid, b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05"),
            &missing,
        );
        let other = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x30";
        bite(|it| replace(&mut it.attributes, hash_oid, other), &Attribute("signingCertificateV2"));
        bite(|it| it.info.push(0), &Digest);
        let certificate = Hash::of(SHA256).unwrap();
        assert!(certificate.is_of(&GOOD.1.ders()[0], &hash_of(&GOOD.1)));
        bite(|it| replace(&mut it.attributes, &hash_of(&GOOD.1), &[7; 32]), &Certificate);
        let weak = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
        bite(|it| it.hash = weak, &ReplyError::Algorithm(weak));
        bite(|it| it.algorithm = weak, &ReplyError::Algorithm(weak));
        let late = GOOD.1.not_after().plus(std::time::Duration::from_secs(1));
        let (from, until) = (GOOD.1.not_before(), GOOD.1.not_after());
        bite(|it| it.time = late, &ReplyError::OutsideChain { time: late, from, until });
    }

    fn hash_of(chain: &Chain) -> Vec<u8> {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &chain.ders()[0]).as_ref().to_vec()
    }

    #[test]
    fn the_signature_and_the_message_bite() {
        let (_, chain, der) = &*GOOD;
        let reply = Reply::from_der(der).unwrap();
        assert_eq!(reply.verify(b"another", chain), Err(ReplyError::OtherMessage));
        let mut changed = reply.clone();
        *changed.attributes.last_mut().unwrap() ^= 1;
        assert_eq!(changed.verify(MESSAGE, chain), Err(ReplyError::Signature));
        let stranger = Chain::from_pem(Tsa::new(|_| {}).pem.as_bytes()).unwrap();
        assert_eq!(reply.verify(MESSAGE, &stranger), Err(ReplyError::OtherSigner));
    }

    #[test]
    fn what_is_not_granted_is_no_timestamp() {
        let refused = b"\x30\x05\x30\x03\x02\x01\x02";
        assert_eq!(Reply::from_der(refused), Err(ReplyError::NotGranted { status: 2 }));
        let empty = b"\x30\x05\x30\x03\x02\x01\x00";
        assert_eq!(Reply::from_der(empty), Err(ReplyError::NotGranted { status: 0 }));
        let (_, _, der) = &*GOOD;
        for end in 0..der.len() {
            assert!(matches!(Reply::from_der(&der[..end]), Err(ReplyError::Malformed(_))));
        }
        let longer = [&der[..], &[0]].concat();
        assert!(matches!(Reply::from_der(&longer), Err(ReplyError::Malformed(_))));
    }

    #[test]
    fn times_are_those_of_der() {
        for (text, seconds) in [
            ("20260101000000Z", Some(1_767_225_600)),
            ("20260101000000.5Z", Some(1_767_225_600)),
            ("20260101000000.50Z", None),
            ("20260101000000.Z", None),
            ("20260101000000", None),
            ("20260101000000+0000", None),
            ("202601010000Z", None),
            ("20261301000000Z", None),
            ("2026010100000éZ", None),
            ("19690101000000Z", None),
        ] {
            let time = generalized_time(text.as_bytes());
            assert_eq!(time, seconds.map(Timestamp::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(at in 0..2000_usize, octet: u8, bytes: Vec<u8>) {
            let (_, chain, der) = &*GOOD;
            let mut der = der.clone();
            let at = at % der.len();
            der[at] = octet;
            if let Ok(reply) = Reply::from_der(&der) {
                let _ = reply.verify(MESSAGE, chain);
            }
            let _ = Reply::from_der(&bytes);
        }
    }
}
