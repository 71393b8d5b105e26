//! What a judge can find wrong.

use super::MAX_ISSUERS;
use crate::ct::entry::EntryError;
use crate::ct::precertificate::PartsError;
use crate::tlog::key::CheckpointError;
use crate::tlog::merkle::Hash;
use crate::tlog::tile::TilePath;

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The checkpoint does not hold.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Fewer entries than once.
    #[error(
        "the log has {now} entries and had {earlier} at the last visit: it lost or withdrew some"
    )]
    Shrunk {
        /// Its size at the last visit.
        earlier: u64,
        /// Its size now.
        now: u64,
    },
    /// A head signed earlier than one that was seen.
    #[error(
        "the checkpoint is older than the one seen at the last visit: the log went back in time"
    )]
    Rewound,
    /// Another tree than once.
    #[error(
        "the first {0} entries are not those of the last visit: the log rewrote its history, or shows different ones to different people"
    )]
    Forked(u64),
    /// The bytes are no entry.
    #[error("entry {index} cannot be read: {error}")]
    Entry {
        /// Where it stands.
        index: u64,
        /// Why.
        error: EntryError,
    },
    /// An entry that says it stands elsewhere.
    #[error("entry {index} says that it is entry {says}")]
    Index {
        /// Where it stands.
        index: u64,
        /// Where it says it does.
        says: u64,
    },
    /// An entry younger than the head that covers it.
    #[error("entry {0} has a timestamp later than the checkpoint that covers it")]
    FromTheFuture(u64),
    /// An entry without issuers.
    #[error("entry {0} names no issuer certificates")]
    NoIssuer(u64),
    /// More issuers than a judge can hold.
    #[error(
        "the entries name more than {MAX_ISSUERS} issuer certificates, more than are followed here"
    )]
    TooManyIssuers,
    /// A certificate that is not the one asked for.
    #[error("the certificate served as issuer/{0} has another SHA-256 fingerprint")]
    Issuer(Hash),
    /// A certificate that is not what was logged.
    #[error("the certificate of entry {index} does not hold: {error}")]
    Certificate {
        /// Where it stands.
        index: u64,
        /// Why.
        error: CertificateError,
    },
    /// More in a data tile than its entries.
    #[error("tile/{0} goes on behind its last entry")]
    TrailingBytes(TilePath),
    /// A hash tile of another size.
    #[error("tile/{0} does not have the length of its hashes")]
    TileLength(TilePath),
    /// A hash that is not that of what is below it.
    #[error("hash {position} of tile/{path} is not that of the entries below it")]
    Hash {
        /// Which tile.
        path: TilePath,
        /// Which of its hashes, from 0.
        position: usize,
    },
    /// A root that is not that of the entries.
    #[error(
        "the root in the checkpoint is not that of the entries: the log signed a tree that it does not serve"
    )]
    Root,
    /// Not everything has been seen.
    #[error("the log has not been read to its end")]
    Unfinished,
}

/// Why a certificate is not what its entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be cut into its parts.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// The precertificate is of another TBS.
    #[error("its precertificate, without the poison, is not the TBS that was logged")]
    Tbs,
    /// The issuer is not the one whose key is named.
    #[error("its issuer_key_hash is not that of the first certificate of its chain")]
    IssuerKeyHash,
    /// The issuer did not sign it.
    #[error("it is not signed by the first certificate of its chain")]
    Signature,
}
