//! The data folder: made once, recognised ever after.
//!
//! ```text
//! root.pem        the root's certificate, for ten years
//! root.key        its key; belongs off the machine, nothing here needs it again
//! authority.pem   the chain: intermediate, then root
//! authority.key   the intermediate's key, which signs certificates
//! log.key         the certificate log's key
//! ct/             the log's databases, one for each shard: the store makes them
//! ```
//!
//! Keys are PKCS#8 in PEM, mode 0600, encrypted where there is a passphrase. A folder is made whole or
//! not at all: everything is written and flushed beside it, then renamed into place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::algorithm::SignatureAlgorithm;
use crate::certificate::{Chain, ChainError};
use crate::signer::Signer;
use crate::signer::file::{FileSigner, KeyFileError};
use crate::time::Timestamp;

mod ceremony;
mod place;

pub use self::ceremony::Curve;

/// The files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, PEM: issuing certificate first, root last.
    pub chain: PathBuf,
    /// The key of the issuing certificate.
    pub authority_key: PathBuf,
    /// The key of the certificate log.
    pub log_key: PathBuf,
}

impl Files {
    /// Where they are in the data folder `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            chain: dir.join("authority.pem"),
            authority_key: dir.join("authority.key"),
            log_key: dir.join("log.key"),
        }
    }
}

/// What a new installation is to be.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// `O` of both certificates: who runs the authority.
    pub organization: &'a str,
    /// `CN` of the intermediate; the root's has ` root` behind it.
    pub common_name: &'a str,
    /// The curve of the authority's two keys. The log's is always P-256, which all clients verify.
    pub curve: Curve,
    /// Encrypts the keys.
    pub passphrase: Option<&'a str>,
    /// The time now.
    pub now: Timestamp,
}

/// Keys and chain, opened and checked against each other.
#[derive(Clone)]
pub struct Installation {
    /// The authority's certificates.
    pub chain: Arc<Chain>,
    /// The key of the issuing certificate.
    pub authority: Arc<dyn Signer>,
    /// The key of the certificate log.
    pub log: Arc<dyn Signer>,
}

/// Whether there is nothing in `dir` yet, or no `dir`. `lost+found` of a fresh file system is nothing.
///
/// # Errors
///
/// [`InstallationError::Io`] when it cannot be read.
pub fn is_vacant(dir: &Path) -> Result<bool, InstallationError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(InstallationError::io(dir, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| InstallationError::io(dir, &error))?;
        if entry.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a new installation in `dir`, which must be empty or not there.
///
/// # Errors
///
/// [`InstallationError::Occupied`] when `dir` holds anything; [`InstallationError::Io`],
/// [`InstallationError::Ceremony`] when something fails, and then `dir` is as it was.
pub fn create(dir: &Path, options: &Options<'_>) -> Result<(), InstallationError> {
    if !is_vacant(dir)? {
        return Err(InstallationError::Occupied { dir: dir.to_owned() });
    }
    let made = ceremony::perform(options).map_err(InstallationError::Ceremony)?;
    place::place(dir, &made).map_err(|error| InstallationError::io(dir, &error))
}

/// Opens the installation in `dir` and checks it.
///
/// # Errors
///
/// As [`open_files`].
pub fn open(
    dir: &Path,
    passphrase: Option<&str>,
    now: Timestamp,
) -> Result<Installation, InstallationError> {
    open_files(&Files::in_dir(dir), passphrase, now)
}

/// Opens an installation whose files may be anywhere, and checks that they belong together.
///
/// # Errors
///
/// [`InstallationError`], one variant for each rule.
pub fn open_files(
    files: &Files,
    passphrase: Option<&str>,
    now: Timestamp,
) -> Result<Installation, InstallationError> {
    let pem =
        fs::read(&files.chain).map_err(|error| InstallationError::io(&files.chain, &error))?;
    let chain = Chain::from_pem(&pem, now)
        .map_err(|error| InstallationError::Chain { path: files.chain.clone(), error })?;
    let authority = FileSigner::open(&files.authority_key, passphrase)?;
    let log = FileSigner::open(&files.log_key, passphrase)?;
    check(&chain, &authority, &log)?;
    Ok(Installation { chain: Arc::new(chain), authority: Arc::new(authority), log: Arc::new(log) })
}

/// Whether keys and chain belong together, wherever the keys live.
///
/// # Errors
///
/// [`InstallationError::WrongKey`], [`InstallationError::SharedKey`],
/// [`InstallationError::LogKeyAlgorithm`].
pub fn check(
    chain: &Chain,
    authority: &dyn Signer,
    log: &dyn Signer,
) -> Result<(), InstallationError> {
    if authority.public_key() != chain.spki() {
        return Err(InstallationError::WrongKey);
    }
    if authority.public_key() == log.public_key() {
        return Err(InstallationError::SharedKey);
    }
    match log.algorithm() {
        // Ed25519 signs deterministically, which tests want; no client verifies such an SCT.
        SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::Ed25519 => Ok(()),
        SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::EcdsaP521Sha512
        | SignatureAlgorithm::RsaPkcs1Sha256 => Err(InstallationError::LogKeyAlgorithm),
    }
}

/// Why there is no installation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallationError {
    /// The folder is not empty.
    #[error(
        "{} holds something already, and nothing in it was touched; name an empty folder, or one \
         that does not exist",
        dir.display()
    )]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system says no.
    #[error("{}: {why}", path.display())]
    Io {
        /// What we wanted to read or write.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Keys or certificates cannot be made.
    #[error("the authority's keys and certificates cannot be made: {0}")]
    Ceremony(String),
    /// The chain does not hold.
    #[error("{}: {error}", path.display())]
    Chain {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        error: ChainError,
    },
    /// A key cannot be opened.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The signing key is not the issuing certificate's.
    #[error(
        "the authority's key is not the key of the first certificate of its chain; \
         check that both come from the same installation"
    )]
    WrongKey,
    /// One key in two roles.
    #[error("the log's key is also the authority's; make a key of its own for the log")]
    SharedKey,
    /// A log key that clients cannot verify.
    #[error(
        "the log's key is not ECDSA P-256, the only kind that all clients verify; make a new one"
    )]
    LogKeyAlgorithm,
}

impl InstallationError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), why: error.to_string() }
    }
}
