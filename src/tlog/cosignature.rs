//! Cosignatures: what a witness signs of a checkpoint that it found consistent with all it saw before.
//!
//! ```text
//! cosignature/v1
//! time 1796713060
//! ca.example.com/ct/2026                            the checkpoint, word for word
//! 70000
//! rUfZ…Mqc=
//! ```
//!
//! On the signature line stand the time (u64, seconds since the epoch) and the Ed25519 signature over these
//! lines.
//!
//! Spec: C2SP tlog-cosignature.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::note::{NoteSignature, VerifierKey, VerifierKeyError};

/// The signature type of an Ed25519 cosignature.
pub const TYPE_COSIGNATURE: u8 = 0x04;

/// The key of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    name: String,
    key_id: [u8; 4],
    key: [u8; 32],
}

impl TryFrom<VerifierKey> for Cosigner {
    type Error = VerifierKeyError;

    fn try_from(key: VerifierKey) -> Result<Self, VerifierKeyError> {
        let key_id = key.key_id();
        let VerifierKey { name, kind, key } = key;
        let octets = <[u8; 32]>::try_from(key).ok().filter(|_| kind == TYPE_COSIGNATURE);
        let key = octets.ok_or(VerifierKeyError::NoCosigner)?;
        Ok(Self { name, key_id, key })
    }
}

impl Cosigner {
    /// The octets of its Ed25519 key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The newest of its cosignatures over the note `text` among `signatures`. Those of others are passed
    /// over; each of its own must hold.
    ///
    /// # Errors
    ///
    /// [`CosignatureError`], one variant for each way to be none.
    pub fn verify(
        &self,
        text: &str,
        signatures: &[NoteSignature],
    ) -> Result<NoteSignature, CosignatureError> {
        let own = signatures.iter().filter(|line| line.is_of(&self.name, self.key_id));
        let mut newest = None;
        for line in own {
            newest = newest.max(Some((self.time(text, line)?, &line.signature)));
        }
        let (_, signature) = newest.ok_or(CosignatureError::Absent)?;
        let (name, signature) = (self.name.clone(), signature.clone());
        Ok(NoteSignature { name, key_id: self.key_id, signature })
    }

    /// When a line of its own was signed, if it holds.
    fn time(&self, text: &str, line: &NoteSignature) -> Result<u64, CosignatureError> {
        let (time, signature) = line.signature.split_first_chunk().ok_or(CosignatureError::Form)?;
        let time = u64::from_be_bytes(*time);
        if time == 0 || i64::try_from(time).is_err() {
            return Err(CosignatureError::Form);
        }
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        key.verify(message.as_bytes(), signature).map_err(|_| CosignatureError::Signature)?;
        Ok(time)
    }
}

/// Why there is no cosignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// No line is of this key.
    #[error("there is no signature of the witness's key; is it the key of another witness?")]
    Absent,
    /// A line of this key without a time.
    #[error("the witness's signature is no cosignature: it must begin with the time it was made")]
    Form,
    /// The signature does not hold.
    #[error("the witness's cosignature does not hold: it is not of this checkpoint")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::note::SignedNote;
    use proptest::prelude::*;

    const KEY: &str = "witness.example/w1+aa4a09d1+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

    /// Made by `filippo.io/torchwood`.
    const NOTE: &str = "ca.example.com/ct/2026\n70000\n\
        rUfZ3GJyqnLTr0AlUc4ldVv4kZS4D1uJmFvKQ2tPMqc=\n\n\
        — witness.example/w1 qkoJ0QAAAABrB6pk1FN1/Lkv6O4c15AXfeUVd0mkfHdQ4JVhZ9M5VrceBXn3LWjcjBBk2pi\
        CekQYJrex3inHbJowJ1/fxfJ1EYGoAw==\n";

    /// Made by `github.com/transparency-dev/formats`, over the same text.
    const OTHER: (&str, &str) = (
        "remora.example+a495ce14+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY",
        "— remora.example pJXOFAAAAABrB6pkXBo+FZv9CY2ZWqWa7fL0P7nPUqCU3PmafDJDp3W+TsNH+EfruorEfBs/9Mg\
         MHHYovwKdtZ6rk78NUgUGCcD3BQ==",
    );

    fn cosigner(key: &str) -> Cosigner {
        key.parse::<VerifierKey>().unwrap().try_into().unwrap()
    }

    fn note() -> SignedNote {
        NOTE.parse().unwrap()
    }

    #[test]
    fn cosignatures_of_others_programs_hold() {
        let SignedNote { text, mut signatures } = note();
        signatures.push(OTHER.1.parse().unwrap());
        for (key, line) in [(KEY, 0), (OTHER.0, 1)] {
            let kept = cosigner(key).verify(&text, &signatures);
            assert_eq!(kept.as_ref(), Ok(&signatures[line]), "{key}");
        }
    }

    #[test]
    fn a_cosignature_bites() {
        #[track_caller]
        fn bite(change: impl FnOnce(&mut SignedNote), error: CosignatureError) {
            let mut note = note();
            change(&mut note);
            assert_eq!(cosigner(KEY).verify(&note.text, &note.signatures), Err(error));
        }
        let signature = CosignatureError::Signature;
        bite(|note| note.text = note.text.replace("70000", "70001"), signature);
        bite(|note| note.text.push_str("extension\n"), signature);
        bite(|note| note.signatures[0].signature[7] ^= 1, signature);
        bite(|note| note.signatures[0].signature[8] ^= 1, signature);
        bite(|note| note.signatures[0].signature.push(0), signature);
        bite(|note| note.signatures[0].signature.truncate(8), signature);
        bite(|note| note.signatures[0].signature.truncate(7), CosignatureError::Form);
        bite(|note| note.signatures[0].signature[..8].fill(0), CosignatureError::Form);
        bite(|note| note.signatures[0].signature[0] = 0x80, CosignatureError::Form);
        bite(|note| note.signatures[0].name.push('1'), CosignatureError::Absent);
        bite(|note| note.signatures[0].key_id[0] ^= 1, CosignatureError::Absent);
        bite(|note| note.signatures.clear(), CosignatureError::Absent);
        // A second one of the same key must hold as well.
        bite(
            |note| {
                let mut second = note.signatures[0].clone();
                second.signature[71] ^= 1;
                note.signatures.push(second);
            },
            signature,
        );
    }

    #[test]
    fn only_a_cosigners_key_is_one() {
        let of_notes = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let refused = Cosigner::try_from(of_notes.parse::<VerifierKey>().unwrap());
        assert_eq!(refused, Err(VerifierKeyError::NoCosigner));
        for octets in [31, 33, 1312] {
            let (name, kind, key) = ("w".to_owned(), TYPE_COSIGNATURE, vec![1; octets]);
            let refused = Cosigner::try_from(VerifierKey { name, kind, key });
            assert_eq!(refused, Err(VerifierKeyError::NoCosigner));
        }
    }

    proptest! {
        #[test]
        fn no_signature_is_too_much(signature: Vec<u8>, text: String) {
            let mut note = note();
            note.signatures[0].signature = signature;
            prop_assert!(cosigner(KEY).verify(&text, &note.signatures).is_err());
        }
    }
}
