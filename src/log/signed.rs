//! The head with the log's signatures: signed once, shared by every view of it.
//!
//! The checkpoint and RFC 6962's tree head hold the very same signature, so nobody can be shown one
//! tree by the one and another by the other.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::{Form, Log, LogError, State};
use crate::signer::{Signer, SignerError};
use crate::store::Head;
use crate::tlog::key::PublicKey;
use crate::tlog::note::{
    self, Checkpoint, NoteSignature, SignedNote, TYPE_ED25519, ecdsa_key_id, rfc6962_signature,
    tree_head,
};
use crate::tlog::tls::DigitallySigned;

/// The keys that a log signs with.
#[derive(Clone)]
pub struct Keys {
    /// The log key: SCTs and tree heads.
    pub log: Arc<dyn Signer>,
    /// An Ed25519 key for checkpoints, which witnesses want; none: they have the log key's signature alone.
    pub note: Option<Arc<dyn Signer>>,
}

impl From<Arc<dyn Signer>> for Keys {
    fn from(log: Arc<dyn Signer>) -> Self {
        Self { log, note: None }
    }
}

/// A published head and what the log says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The head.
    pub head: Head,
    /// By the log key, TLS `DigitallySigned`: RFC 6962's tree head signature in a certificate log; in any
    /// other that of the note's text.
    pub signature: Vec<u8>,
    /// The checkpoint: a signed note, the first of whose signatures is that one.
    pub note: String,
}

/// The newest head that was signed.
#[derive(Default)]
pub(super) struct Newest {
    signed: ArcSwapOption<SignedHead>,
    /// Held while one is being signed, so that many who ask make one signature.
    turn: Mutex<()>,
}

impl Newest {
    /// The signed head, if it is that of `head`.
    fn of(&self, head: Head) -> Option<Arc<SignedHead>> {
        self.signed.load_full().filter(|signed| signed.head == head)
    }
}

impl Log {
    /// The published head, signed when first asked for and kept until the head moves.
    ///
    /// # Errors
    ///
    /// [`LogError::Signer`] when the log key cannot be used, [`LogError::Damaged`] when nothing new is
    /// signed any more.
    pub async fn signed_head(&self) -> Result<Arc<SignedHead>, LogError> {
        let newest = &self.shared.newest;
        if *self.shared.state.borrow() == State::ReadOnly {
            self.follow().await?;
        }
        if let Some(signed) = newest.of(self.head()) {
            return Ok(signed);
        }
        let _turn = newest.turn.lock().await;
        let head = self.head();
        if let Some(signed) = newest.of(head) {
            return Ok(signed);
        }
        self.shared.damage.none()?;
        let signed = Arc::new(self.sign(head).await?);
        newest.signed.store(Some(Arc::clone(&signed)));
        Ok(signed)
    }

    /// The note of [`Log::signed_head`], with the cosignatures that it has by now.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn checkpoint(&self) -> Result<String, LogError> {
        let signed = self.signed_head().await?;
        let cosigned = self.shared.cosigned.get().map(|it| it.cosignatures(signed.head));
        Ok(signed.note.clone() + &cosigned.unwrap_or_default())
    }

    /// The text of the checkpoint of a head.
    pub(super) fn text(&self, head: Head) -> String {
        let Head { size, root, .. } = head;
        Checkpoint { origin: self.origin().to_owned(), size, root }.to_string()
    }

    async fn sign(&self, head: Head) -> Result<SignedHead, LogError> {
        let Head { size, root, timestamp } = head;
        let (signer, origin, text) = (&self.shared.keys.log, self.origin(), self.text(head));
        let message = match self.shared.form {
            Form::Certificates => tree_head(timestamp, size, &root).to_vec(),
            Form::Octets => text.clone().into_bytes(),
        };
        let signature = signer.sign(&message).await?;
        let signed = DigitallySigned { algorithm: signer.algorithm(), signature };
        let line = match self.shared.form {
            Form::Certificates => {
                rfc6962_signature(origin, &self.log_id(), timestamp, &signed.encode())
            }
            Form::Octets => NoteSignature {
                name: origin.to_owned(),
                key_id: ecdsa_key_id(&self.log_id()),
                signature: signed.signature.clone(),
            },
        };
        let signature = signed.encode();
        // The log key's comes first: there are readers that look at no other.
        let mut signatures = vec![line];
        if let Some(key) = &self.shared.keys.note {
            signatures.push(sign_note(key.as_ref(), origin, &text).await?);
        }
        let note = SignedNote { text, signatures };
        if self.shared.form == Form::Octets {
            self.check_note(&note)?;
        }
        let note = note.to_string();
        Ok(SignedHead { head, signature, note })
    }
}

impl Log {
    /// Verifies what was just signed: a signature that does not hold is answered to callers, who keep it.
    fn check_note(&self, note: &SignedNote) -> Result<(), LogError> {
        let Keys { log, note: second } = &self.shared.keys;
        for key in [Some(log), second.as_ref()].into_iter().flatten() {
            let verified = PublicKey::from_spki(key.public_key())
                .is_ok_and(|key| key.verify_note(note).is_ok());
            if !verified {
                let wrong = "a checkpoint that was just signed does not verify";
                return Err(LogError::Signer(SignerError(wrong.into())));
            }
        }
        Ok(())
    }
}

/// The signature of an Ed25519 key over the text of a note.
async fn sign_note(key: &dyn Signer, name: &str, text: &str) -> Result<NoteSignature, LogError> {
    let octets = note::ed25519_key(key.public_key());
    let octets =
        octets.ok_or_else(|| SignerError("the key for checkpoints is no Ed25519".into()))?;
    let key_id = note::key_id(name, TYPE_ED25519, octets);
    let signature = key.sign(text.as_bytes()).await?;
    Ok(NoteSignature { name: name.to_owned(), key_id, signature })
}
