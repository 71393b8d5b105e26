//! Sigstore bundles: a signature and all that verifies it next year.
//!
//! ```text
//! certificate ─┐                                     trusted_root.json
//! log entry    ├─▶ Bundle ── and the file ── holds ──▶ Verified: when it was made, and by whom
//! timestamp   ─┘
//! ```
//!
//! The steps, in their order, each with the ground that the one before it laid:
//!
//! 1. a timestamp authority says when the signature was there;
//! 2. the certificate held at that time, and an authority signed it;
//! 3. a certificate log promised to show it;
//! 4. the log entry is of this certificate, this signature and this digest, and the signature holds;
//! 5. the entry is in the tree that the signature log signed;
//! 6. the file has this digest.
//!
//! Only bundles as our services make them: version 0.3 (or 0.2), a certificate, the signature of a file, and one entry
//! `hashedrekord` 0.0.2.
//!
//! Spec: protobuf-specs, `sigstore_bundle.proto`; the Sigstore client specification, §4.

use der::asn1::ObjectIdentifier;

use crate::certificate::ChainError;
use crate::quote::quote;
use crate::reading::{Reading, ReadingError};
use crate::rekor::{RekorError, Request, Signature, Verifier};
use crate::time::Timestamp;
use crate::timestamp::{self, Reply, ReplyError};
use crate::tlog::key::CheckpointError;
use crate::tlog::merkle::{Hash, ProofError, leaf_hash, verify_inclusion};
use crate::tlog::note::{NoteError, SignedNote};
use crate::trust::{Material, host};

mod root;
mod wire;

pub use self::root::{RootError, read as trusted_root};
pub use self::wire::BundleError;

use self::root::{Authorities, Logs};

/// A bundle, nothing of it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The digest of what was signed, by the hash of the certificate's key.
    pub digest: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// Where the signature is logged.
    pub entry: LogEntry,
    /// DER `TimeStampResp`s over the signature.
    pub timestamps: Vec<Vec<u8>>,
}

/// Where a signature is logged, as the log answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The log's id.
    pub log_id: Vec<u8>,
    /// Kind and version of the entry.
    pub kind: (String, String),
    /// Its place in the tree.
    pub index: u64,
    /// The root of the tree.
    pub root: Hash,
    /// How many entries the tree has.
    pub size: u64,
    /// The hashes from the entry to the root.
    pub proof: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
    /// The octets that are logged.
    pub body: Vec<u8>,
}

/// What was found to hold.
#[derive(Clone, Debug)]
pub struct Verified {
    /// When the signature was there.
    pub time: Timestamp,
    /// The certificate.
    pub certificate: Reading,
    /// The name of the signature log.
    pub log: String,
    /// The place of the entry there.
    pub index: u64,
}

impl Verified {
    /// What was verified, a sentence a step.
    pub fn steps(&self) -> [String; 6] {
        let Self { time, log, index, .. } = self;
        [
            format!("the timestamp authority says that the signature was there at {time}"),
            "the certificate held then, and the authority signed it".to_owned(),
            "the certificate log promised to show the certificate".to_owned(),
            "the log entry is of this certificate, signature and digest".to_owned(),
            format!("entry {index} is in the tree whose checkpoint {log} signed"),
            "the signature is one of this file".to_owned(),
        ]
    }

    /// Whether the certificate is for this subject alternative name alone, by a token of this issuer.
    ///
    /// # Errors
    ///
    /// [`Stranger`], when it is for somebody else.
    pub fn is_by(&self, identity: &str, issuer: &str) -> Result<(), Stranger> {
        let got = self.certificate.sans();
        if got != [identity] {
            return Err(Stranger::Identity { got: got.join(", "), wanted: identity.to_owned() });
        }
        let extensions = self.certificate.extensions();
        let named = |wanted: &str| {
            let found = extensions.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, text)| text.as_str())
        };
        let got = named("issuer").or_else(|| named("issuer-v1")).unwrap_or_default();
        match got == issuer {
            true => Ok(()),
            false => Err(Stranger::Issuer { got: got.to_owned(), wanted: issuer.to_owned() }),
        }
    }
}

impl Bundle {
    /// Verifies that this is the bundle of `file`, at `now`, with nothing but what `trust` says.
    ///
    /// # Errors
    ///
    /// [`Unverified`], one variant for each rule.
    pub fn verify(
        &self,
        file: &[u8],
        trust: &Material,
        now: Timestamp,
    ) -> Result<Verified, Unverified> {
        let certificate = Reading::of(&self.certificate)?;
        let time = self.stamped(trust)?;
        if now < time {
            return Err(Unverified::Future { time, now });
        }
        let issuing = issued(&certificate, trust, time)?;
        promised(&certificate, &issuing, trust)?;
        let verifier = self.logged()?;
        let log = self.included(trust, time)?;
        match verifier.digest(file)? == self.digest {
            true => Ok(Verified { time, certificate, log, index: self.entry.index }),
            false => Err(Unverified::OtherFile),
        }
    }

    /// When the signature was there, by the first timestamp that holds.
    fn stamped(&self, trust: &Material) -> Result<Timestamp, Unverified> {
        let mut refusal = Unverified::NoTimestamp;
        for der in &self.timestamps {
            let reply = Reply::from_der(der)?;
            for authority in &trust.timestamp_authorities {
                match authority.stamped(&reply, &self.signature) {
                    Ok(time) => return Ok(time),
                    // What the authority says that stamped it says most.
                    Err(error) if refusal.is_of_others() => refusal = error,
                    Err(_) => {}
                }
            }
        }
        Err(refusal)
    }

    /// Whether the entry is that of this bundle, and the signature holds.
    fn logged(&self) -> Result<Verifier, Unverified> {
        let (kind, version) = &self.entry.kind;
        if (kind.as_str(), version.as_str()) != ("hashedrekord", "0.0.2") {
            return Err(Unverified::Kind { kind: kind.clone(), version: version.clone() });
        }
        let verifier = Verifier::of_certificate(&self.certificate)?;
        let signature = Signature { content: self.signature.clone(), verifier: verifier.clone() };
        let request = Request::HashedRekord { digest: self.digest.clone(), signature };
        match request.check()?.body() == self.entry.body {
            true => Ok(verifier),
            false => Err(Unverified::OtherEntry),
        }
    }

    /// Whether the entry is in its log; yields the log's name.
    fn included(&self, trust: &Material, time: Timestamp) -> Result<String, Unverified> {
        let entry = &self.entry;
        let log = trust.signature_logs.named(&entry.log_id, time);
        let log = log.ok_or(Unverified::UnknownLog("signature"))?;
        let note: SignedNote = entry.checkpoint.parse()?;
        let checkpoint = root::key(log)?.verify_note(&note)?;
        if checkpoint.origin != host(&log.url) {
            return Err(Unverified::Origin { got: checkpoint.origin, wanted: log.url.clone() });
        }
        if (checkpoint.size, checkpoint.root) != (entry.size, entry.root) {
            return Err(Unverified::OtherTree);
        }
        let leaf = (entry.index, leaf_hash(&entry.body));
        verify_inclusion(leaf, (entry.size, entry.root), &entry.proof)?;
        Ok(checkpoint.origin)
    }
}

/// Whether the certificate held at `time`, and a trusted authority signed it; yields who issued it.
fn issued(certificate: &Reading, trust: &Material, time: Timestamp) -> Result<Reading, Unverified> {
    let (from, until) = certificate.validity();
    if time < from || until < time {
        return Err(Unverified::Expired { time, from, until });
    }
    if !certificate.signs_code() {
        return Err(Unverified::Purpose);
    }
    if let Some(oid) = certificate.unknown_critical() {
        return Err(Unverified::UnknownCritical(oid));
    }
    trust.certificate_authorities.issued(certificate, time)
}

/// Whether a trusted certificate log promised to show the certificate.
fn promised(certificate: &Reading, issuing: &Reading, trust: &Material) -> Result<(), Unverified> {
    let issuer = issuing.public_key()?;
    let mut refusal = Unverified::UnknownLog("certificate");
    for sct in certificate.scts()? {
        let Some(log) = trust.certificate_logs.named(&sct.log_id, sct.timestamp) else { continue };
        match certificate.verify_promise(&sct, (&root::key(log)?, &issuer)) {
            Ok(()) => return Ok(()),
            Err(error) => refusal = error.into(),
        }
    }
    Err(refusal)
}

/// Why a bundle does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Nothing says when it was signed.
    #[error("the bundle has no timestamp of an authority in the trusted root; sign with one")]
    NoTimestamp,
    /// A timestamp does not hold.
    #[error(transparent)]
    Timestamp(#[from] ReplyError),
    /// An authority of timestamps whose certificates do not hold.
    #[error("a timestamp authority of the trusted root cannot be used: {0}")]
    TimestampChain(timestamp::ChainError),
    /// The timestamp is of a time when its authority did not count.
    #[error("the timestamp says {0}; the trusted root does not trust its authority at that time")]
    Untrusted(Timestamp),
    /// The clock here is behind.
    #[error("the timestamp says {time}, which is to come: it is {now} here; check the clock")]
    Future {
        /// What the timestamp says.
        time: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
    /// The certificate did not hold then.
    #[error(
        "the signature was made at {time}, but the certificate holds from {from} until {until}"
    )]
    Expired {
        /// What the timestamp says.
        time: Timestamp,
        /// When the certificate begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// Not a certificate of somebody who signs.
    #[error("the certificate is not one to sign code with (keyUsage, extKeyUsage)")]
    Purpose,
    /// The certificate says something that must be understood, and is not.
    #[error("the certificate has a critical extension that is not known here: {0}")]
    UnknownCritical(ObjectIdentifier),
    /// Nobody whom we trust issued it.
    #[error(
        "no authority in the trusted root issued the certificate, at the time when it was signed with"
    )]
    NoAuthority,
    /// The authority's own certificates do not hold.
    #[error("the certificates of the authority do not hold: {0}")]
    Chain(#[from] ChainError),
    /// The certificate, or its SCT.
    #[error(transparent)]
    Certificate(#[from] ReadingError),
    /// A log that we do not trust.
    #[error("the trusted root has no {0} log of that id at that time")]
    UnknownLog(&'static str),
    /// The key of a log cannot be read.
    #[error("the trusted root has a log whose key cannot be read")]
    LogKey,
    /// An entry of another kind.
    #[error(
        "the log entry is {} {}; only hashedrekord 0.0.2 is verified",
        quote(kind),
        quote(version)
    )]
    Kind {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// The signature does not hold.
    #[error("the signature does not hold: {0}")]
    Signature(#[from] RekorError),
    /// The entry of another signature.
    #[error("the log entry is not that of this certificate, signature and digest")]
    OtherEntry,
    /// The checkpoint is no note.
    #[error("the checkpoint cannot be read: {0}")]
    Note(#[from] NoteError),
    /// The log did not sign the checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint of another log.
    #[error("the checkpoint is of {}, not of the log at {}", quote(got), quote(wanted))]
    Origin {
        /// The name in it.
        got: String,
        /// The log's address.
        wanted: String,
    },
    /// The proof is not for the tree that was signed.
    #[error("the proof is for another tree than that of the checkpoint")]
    OtherTree,
    /// The entry is not in the tree.
    #[error("the entry is not in the tree: {0}")]
    Inclusion(#[from] ProofError),
    /// Another file, or a changed one.
    #[error("the file is not the one that was signed: it has another digest")]
    OtherFile,
}

/// Why a signature is not by whom it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// Another subject alternative name, or more than one.
    #[error("the certificate is for {}, not for {}", quote(got), quote(wanted))]
    Identity {
        /// Whom it is for.
        got: String,
        /// Whom it should be for.
        wanted: String,
    },
    /// Another issuer of the token.
    #[error("the certificate is by a token of {}, not of {}", quote(got), quote(wanted))]
    Issuer {
        /// Whose.
        got: String,
        /// Whose it should be.
        wanted: String,
    },
}

impl Unverified {
    /// Whether it says nothing of the authority that stamped.
    const fn is_of_others(&self) -> bool {
        matches!(
            self,
            Self::NoTimestamp | Self::TimestampChain(_) | Self::Timestamp(ReplyError::OtherSigner)
        )
    }
}

#[cfg(test)]
mod tests;
