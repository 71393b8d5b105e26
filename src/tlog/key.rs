//! Public keys that sign log structures, and the verifying of checkpoints and SCTs with them.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::merkle::Hash;
use super::note::{self, Checkpoint, NoteError, SignedNote};
use super::tls::{DigitallySigned, TlsError};
use crate::algorithm::SignatureAlgorithm;
use crate::time::Timestamp;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// The one algorithm that a key signs with: key type and curve, RFC 5480, RFC 3279, RFC 8410.
const ALGORITHMS: [(ObjectIdentifier, Option<ObjectIdentifier>, SignatureAlgorithm); 5] = [
    (EC, Some(P256), SignatureAlgorithm::EcdsaP256Sha256),
    (EC, Some(P384), SignatureAlgorithm::EcdsaP384Sha384),
    (EC, Some(P521), SignatureAlgorithm::EcdsaP521Sha512),
    (RSA, None, SignatureAlgorithm::RsaPkcs1Sha256),
    (ED25519, None, SignatureAlgorithm::Ed25519),
];

/// A public key, and the one algorithm it verifies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: SignatureAlgorithm,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`KeyError`], one variant for each way to be no key that is known here.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| KeyError::Malformed)?;
        let curve = info.algorithm.parameters_oid().ok();
        let row = ALGORITHMS.iter().find(|row| (row.0, row.1) == (info.algorithm.oid, curve));
        let (_, _, algorithm) = row.ok_or(KeyError::Unsupported)?;
        Ok(Self { algorithm: *algorithm, spki: spki.to_vec() })
    }

    /// The key in a DER certificate.
    ///
    /// # Errors
    ///
    /// As [`Self::from_spki`].
    pub fn from_certificate(der: &[u8]) -> Result<Self, KeyError> {
        let certificate = x509_cert::Certificate::from_der(der).map_err(|_| KeyError::Malformed)?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        Self::from_spki(&info.to_der().map_err(|_| KeyError::Malformed)?)
    }

    /// The algorithm of its signatures.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SPKI: a log's id, an issuer's `issuer_key_hash`.
    pub fn id(&self) -> [u8; 32] {
        Hash::of(&[&self.spki]).0
    }

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when it is of another algorithm or does not hold.
    pub fn verify(&self, message: &[u8], signed: &DigitallySigned) -> Result<(), SignatureError> {
        if signed.algorithm != self.algorithm {
            return Err(SignatureError);
        }
        let key = UnparsedPublicKey::new(verification(self.algorithm), &self.spki);
        key.verify(message, &signed.signature).map_err(|_| SignatureError)
    }

    /// Verifies the checkpoint of a certificate log; yields it and the time of its tree head.
    ///
    /// Every signature of this key must hold; those of others are ignored, as the format wants it.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`], one variant for each way to be no checkpoint of this key.
    pub fn verify_checkpoint(
        &self,
        note: &SignedNote,
    ) -> Result<(Checkpoint, Timestamp), CheckpointError> {
        let checkpoint: Checkpoint = note.text.parse()?;
        let key_id = note::key_id(&checkpoint.origin, note::TYPE_RFC6962, &self.id());
        let mut verified = None;
        for line in note.signatures.iter().filter(|line| line.is_of(&checkpoint.origin, key_id)) {
            let (timestamp, signed) = note::parse_rfc6962(&line.signature)?;
            let head = note::tree_head(timestamp, checkpoint.size, &checkpoint.root);
            self.verify(&head, &signed).map_err(|_| CheckpointError::Signature)?;
            verified = verified.max(Some(timestamp));
        }
        let timestamp = verified.ok_or(CheckpointError::OtherKey)?;
        Ok((checkpoint, timestamp))
    }

    /// Verifies the checkpoint of a log that signs the text itself: a signature log's, by its ECDSA key or its
    /// Ed25519 one.
    ///
    /// # Errors
    ///
    /// As [`Self::verify_checkpoint`].
    pub fn verify_note(&self, note: &SignedNote) -> Result<Checkpoint, CheckpointError> {
        let checkpoint: Checkpoint = note.text.parse()?;
        let name = &checkpoint.origin;
        let key_id = match note::ed25519_key(&self.spki) {
            Some(key) => note::key_id(name, note::TYPE_ED25519, key),
            None => note::ecdsa_key_id(&self.id()),
        };
        let mut verified = Err(CheckpointError::OtherKey);
        for line in note.signatures.iter().filter(|line| line.is_of(name, key_id)) {
            let (algorithm, signature) = (self.algorithm, line.signature.clone());
            let holds =
                self.verify(note.text.as_bytes(), &DigitallySigned { algorithm, signature });
            verified = Ok(holds.map_err(|_| CheckpointError::Signature)?);
        }
        verified.map(|()| checkpoint)
    }
}

fn verification(algorithm: SignatureAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SignatureAlgorithm::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SignatureAlgorithm::EcdsaP521Sha512 => &signature::ECDSA_P521_SHA512_ASN1,
        SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignatureAlgorithm::Ed25519 => &signature::ED25519,
    }
}

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not DER of the right shape.
    #[error("it is not a DER public key")]
    Malformed,
    /// An algorithm or a curve that logs do not use.
    #[error("its algorithm is not supported; use ECDSA on P-256, P-384 or P-521, RSA, or Ed25519")]
    Unsupported,
}

/// The signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not hold")]
pub struct SignatureError;

/// Why a note is no checkpoint of a log's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is no checkpoint.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signature of the log's key is no tree head signature.
    #[error("the checkpoint's signature is no RFC 6962 tree head signature: {0}")]
    Tls(#[from] TlsError),
    /// No signature is by this key.
    #[error("the checkpoint is not signed by the given log key; is it the key of another log?")]
    OtherKey,
    /// The signature of the log's key does not hold.
    #[error("the signature of the checkpoint does not hold: somebody changed it, or the log lies")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair as _,
    };

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, PublicKey) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        (pair, key)
    }

    fn sign(pair: &EcdsaKeyPair, key: &PublicKey, message: &[u8]) -> DigitallySigned {
        let signature = pair.sign(&SystemRandom::new(), message).unwrap();
        DigitallySigned { algorithm: key.algorithm(), signature: signature.as_ref().to_vec() }
    }

    const ORIGIN: &str = "example.com/log";

    fn note(pair: &EcdsaKeyPair, key: &PublicKey) -> SignedNote {
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 0, root: Hash::EMPTY };
        let at = Timestamp::from_secs(1);
        let signed = sign(pair, key, &note::tree_head(at, 0, &Hash::EMPTY));
        let line = note::rfc6962_signature(ORIGIN, &key.id(), at, &signed.encode());
        SignedNote { text: checkpoint.to_string(), signatures: vec![line] }
    }

    #[test]
    fn each_curve_verifies_its_own_signatures() {
        for algorithm in [
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            &ECDSA_P384_SHA384_ASN1_SIGNING,
            &ECDSA_P521_SHA512_ASN1_SIGNING,
        ] {
            let (pair, key) = ecdsa(algorithm);
            let mut signed = sign(&pair, &key, b"message");
            assert_eq!(key.verify(b"message", &signed), Ok(()));
            assert_eq!(key.verify(b"massage", &signed), Err(SignatureError));
            signed.algorithm = SignatureAlgorithm::Ed25519;
            assert_eq!(key.verify(b"message", &signed), Err(SignatureError));
        }
    }

    #[test]
    fn an_ed25519_key_verifies() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        let signature = pair.sign(b"message").as_ref().to_vec();
        let signed = DigitallySigned { algorithm: key.algorithm(), signature };
        assert_eq!(key.verify(b"message", &signed), Ok(()));
    }

    #[test]
    fn a_note_of_an_ed25519_key_bites() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 0, root: Hash::EMPTY };
        let text = checkpoint.to_string();
        let line = note::NoteSignature {
            name: ORIGIN.to_owned(),
            key_id: note::key_id(ORIGIN, note::TYPE_ED25519, pair.public_key().as_ref()),
            signature: pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        let good = SignedNote { text, signatures: vec![line.clone(), line] };
        assert_eq!(key.verify_note(&good), Ok(checkpoint));
        let bite = |change: fn(&mut SignedNote)| {
            let mut note = good.clone();
            change(&mut note);
            key.verify_note(&note).unwrap_err()
        };
        assert_eq!(
            bite(|note| note.text = note.text.replace("\n0\n", "\n1\n")),
            CheckpointError::Signature
        );
        assert_eq!(bite(|note| note.signatures[1].signature[9] ^= 1), CheckpointError::Signature);
        assert_eq!(bite(|note| note.signatures.clear()), CheckpointError::OtherKey);
        assert_eq!(
            bite(|note| note.text = note.text.replace(".com", ".org")),
            CheckpointError::OtherKey
        );
        assert_eq!(bite(|note| note.text.push('\n')), CheckpointError::Note(NoteError::Extension));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (_, key) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let mut spki = key.spki().to_vec();
        assert_eq!(PublicKey::from_spki(&spki[1..]), Err(KeyError::Malformed));
        assert_eq!(PublicKey::from_spki(&[&spki[..], &[0]].concat()), Err(KeyError::Malformed));
        // The last octet of the curve's name.
        spki[22] ^= 1;
        assert_eq!(PublicKey::from_spki(&spki), Err(KeyError::Unsupported));
    }

    #[test]
    fn a_checkpoint_verifies_among_strangers_signatures() {
        let (pair, key) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let mut note = note(&pair, &key);
        let stranger = note::NoteSignature {
            name: "witness".to_owned(),
            key_id: note.signatures[0].key_id,
            signature: vec![0; 72],
        };
        note.signatures.insert(0, stranger);
        let note: SignedNote = note.to_string().parse().unwrap();
        let (checkpoint, at) = key.verify_checkpoint(&note).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (0, Hash::EMPTY));
        assert_eq!(at, Timestamp::from_secs(1));
    }

    #[test]
    fn a_checkpoint_bites() {
        let (pair, key) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let (_, other) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let good = note(&pair, &key);
        let bite = |change: fn(&mut SignedNote)| {
            let mut note = good.clone();
            change(&mut note);
            key.verify_checkpoint(&note).unwrap_err()
        };
        assert_eq!(other.verify_checkpoint(&good), Err(CheckpointError::OtherKey));
        assert_eq!(
            bite(|note| note.text = note.text.replace("\n0\n", "\n1\n")),
            CheckpointError::Signature
        );
        assert_eq!(
            bite(|note| note.text = note.text.replace(".com", ".org")),
            CheckpointError::OtherKey
        );
        assert_eq!(bite(|note| note.signatures[0].signature[7] ^= 1), CheckpointError::Signature);
        assert_eq!(
            bite(|note| note.signatures[0].signature.push(0)),
            CheckpointError::Tls(TlsError::TrailingBytes)
        );
        // A second signature of the same key must hold as well.
        assert_eq!(
            bite(|note| {
                let mut second = note.signatures[0].clone();
                second.signature[7] ^= 1;
                note.signatures.push(second);
            }),
            CheckpointError::Signature
        );
    }
}
