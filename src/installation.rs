//! The data folder: made once, recognised ever after.
//!
//! ```text
//! root.pem        the root's certificate, for ten years
//! root.key        its key; belongs off the machine, nothing here needs it again
//! authority.pem   the chain: intermediate, then root
//! authority.key   the intermediate's key, which signs certificates
//! ct/             the certificate log: a database and keys for each shard, see [`shards`]
//! tlog/           the signature log, the same
//! timestamp/      the timestamp authority: a chain and a key, see [`timestamps`]
//! tuf/            the TUF repository: keys, and what they have signed, see [`repository`]
//! ```
//!
//! Keys are PKCS#8 in PEM, mode 0600, encrypted where there is a passphrase. A folder is made whole, with
//! new logs, or not at all: everything is written and flushed elsewhere, then renamed into place.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::algorithm::SignatureAlgorithm;
use crate::certificate::{Chain, ChainError};
use crate::config::{AuthorityFiles, Config};
use crate::ct::window::Window;
use crate::log::LogError;
use crate::signer::Signer;
use crate::signer::file::KeyFileError;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::timestamp::ChainError as TimestampChainError;
use crate::timestamping::Key;

mod ceremony;
mod place;
pub mod repository;
pub mod shards;
pub mod succession;
pub mod timestamps;

pub use self::ceremony::Curve;
use self::ceremony::{Made, write};
pub use self::place::is_vacant;
use self::repository::{Repository, RepositoryError};
use self::shards::{Folder, Kind, New, Shard};
use self::succession::Issuer;

/// The files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, PEM: issuing certificate first, root last.
    pub chain: PathBuf,
    /// The key of the issuing certificate.
    pub authority_key: PathBuf,
    /// The folder with the shards of the certificate log.
    pub shards: Folder,
    /// The folder with the shards of the signature log.
    pub signatures: Folder,
    /// The folder with the keys of the timestamp authority.
    pub timestamps: PathBuf,
    /// The folder of the TUF repository.
    pub repository: PathBuf,
}

impl Files {
    /// Where they are in the data folder `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            chain: dir.join("authority.pem"),
            authority_key: dir.join("authority.key"),
            shards: Folder::below(dir, Kind::Certificates),
            signatures: Folder::below(dir, Kind::Signatures),
            timestamps: dir.join("timestamp"),
            repository: dir.join("tuf"),
        }
    }

    /// Those of the instance that is configured so.
    pub fn of(config: &Config) -> Self {
        let AuthorityFiles { chain, key, .. } = &config.authority;
        Self::in_dir(&config.data).with_authority(chain, key)
    }

    /// The same with an authority that is elsewhere.
    fn with_authority(self, chain: &Path, key: &Path) -> Self {
        Self { chain: chain.to_owned(), authority_key: key.to_owned(), ..self }
    }
}

/// What a new installation is to be. Not `Debug`: it holds a passphrase.
#[derive(Clone)]
pub struct Options<'a> {
    /// The one name that clients use; the log is named after it, and keeps that name.
    pub url: &'a str,
    /// The authority.
    pub authority: Authority<'a>,
    /// Encrypts the keys that are made, and decrypts the key that is there.
    pub passphrase: Option<&'a str>,
    /// The time now.
    pub now: Timestamp,
}

/// The authority of a new installation.
#[derive(Clone, Copy, Debug)]
pub enum Authority<'a> {
    /// It is made with the rest.
    New {
        /// `O` of both certificates, and `CN` of the intermediate; the root's has ` root` behind it.
        name: &'a str,
        /// The curve of its two keys. The log's are always P-256, which all clients verify.
        curve: Curve,
    },
    /// It is there already, outside the folder; a log is all that is made.
    Given {
        /// Its chain, PEM.
        chain: &'a Path,
        /// The key of its issuing certificate.
        key: &'a Path,
    },
}

impl Options<'_> {
    /// Who signs, in the certificates that are made.
    fn organization(&self) -> &str {
        match self.authority {
            Authority::New { name, .. } => name,
            Authority::Given { .. } => {
                self.url.split_once("://").map_or(self.url, |(_, host)| host)
            }
        }
    }

    /// The files of the installation, of which `dir` has what is made.
    fn files(&self, dir: &Path) -> Files {
        let files = Files::in_dir(dir);
        match self.authority {
            Authority::New { .. } => files,
            Authority::Given { chain, key } => files.with_authority(chain, key),
        }
    }
}

/// Keys and chain, opened and checked against each other.
#[derive(Clone)]
pub struct Installation {
    /// The certificates that the authority issues by at present.
    pub chain: Arc<Chain>,
    /// The key of the issuing certificate.
    pub authority: Arc<dyn Signer>,
    /// Every chain of the authority, those before and after that one too; what began first comes first.
    pub issuers: Vec<Issuer>,
    /// The shards of the certificate log, earliest window first.
    pub shards: Vec<Shard>,
    /// The shards of the signature log, likewise.
    pub signatures: Vec<Shard>,
    /// The keys of the timestamp authority; what began first comes first.
    pub timestamps: Vec<Key>,
}

/// Makes a new installation in `dir`, which must be empty or not there.
///
/// Here and in [`shards::extend`] a log comes into being, nowhere else: a database that is missing later
/// is an error, not the beginning of a second history.
///
/// # Errors
///
/// [`InstallationError::Occupied`] when `dir` holds anything, [`InstallationError::Taken`] when somebody
/// else was faster; [`InstallationError::Io`], [`InstallationError::Ceremony`] and others when something
/// fails, and then `dir` is as it was, or as the next call will find it and finish it.
pub fn create(dir: &Path, options: &Options<'_>) -> Result<(), InstallationError> {
    if !is_vacant(dir)? {
        return Err(InstallationError::Occupied { dir: dir.to_owned() });
    }
    let made = ceremony::perform(options).map_err(InstallationError::Ceremony)?;
    place::place(dir, &|staging| fill(staging, &made, options))
}

/// Writes `made` and new logs into the empty folder `dir`, and flushes them.
fn fill(dir: &Path, made: &[Made], options: &Options<'_>) -> Result<(), InstallationError> {
    write(dir, made)?;
    let files = options.files(dir);
    let &Options { url, passphrase, now, .. } = options;
    for folder in [&files.shards, &files.signatures] {
        let path = &folder.path;
        fs::create_dir(path).map_err(|error| InstallationError::io(path, &error))?;
        // Trust files that are made today are to be good as long as those of a running instance.
        for year in BTreeSet::from([now, now.plus(shards::AHEAD)].map(|time| time.year())) {
            let window = Window::year(Timestamp::from_year(year));
            shards::fill(folder, &format!("{year:04}"), window, New { url, passphrase, now })?;
        }
    }
    timestamps::fill(&files.timestamps, options.organization(), (now, passphrase))?;
    repository::fill(&files.repository, passphrase, now)?;
    Repository::open(&files.repository, passphrase)?;
    open_files(&files, passphrase, now).map(drop)
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
    let issuers = succession::read(files, passphrase, now, &[])?;
    let (chain, authority) = succession::at(&issuers, now)?;
    let shards = shards::read(&files.shards, passphrase, &[])?;
    let signatures = shards::read(&files.signatures, passphrase, &[])?;
    check(&chain, authority.as_ref(), &[&shards[..], &signatures].concat())?;
    let timestamps = timestamps::read(&files.timestamps, passphrase, &[])?;
    Ok(Installation { chain, authority, issuers, shards, signatures, timestamps })
}

/// Opens an authority that may have no log yet, and checks it; yields what issues at `now`.
///
/// # Errors
///
/// [`InstallationError`], one variant for each rule.
pub fn open_authority(
    chain: &Path,
    key: &Path,
    passphrase: Option<&str>,
    now: Timestamp,
) -> Result<(Arc<Chain>, Arc<dyn Signer>), InstallationError> {
    let files = Files::in_dir(Path::new("")).with_authority(chain, key);
    succession::at(&succession::read(&files, passphrase, now, &[])?, now)
}

fn check_key(chain: &Chain, authority: &dyn Signer) -> Result<(), InstallationError> {
    match authority.public_key() == chain.spki() {
        true => Ok(()),
        false => Err(InstallationError::WrongKey),
    }
}

/// Whether keys and chain belong together, wherever the keys live.
///
/// # Errors
///
/// [`InstallationError::WrongKey`], [`InstallationError::SharedKey`],
/// [`InstallationError::LogKeyAlgorithm`], [`InstallationError::SharedLogKey`],
/// [`InstallationError::NoteKeyAlgorithm`], [`InstallationError::SharedNoteKey`],
/// [`InstallationError::Overlap`].
pub fn check(
    chain: &Chain,
    authority: &dyn Signer,
    shards: &[Shard],
) -> Result<(), InstallationError> {
    check_key(chain, authority)?;
    for Shard { signer, .. } in shards {
        if authority.public_key() == signer.public_key() {
            return Err(InstallationError::SharedKey);
        }
        match signer.algorithm() {
            // Ed25519 signs deterministically, which tests want; no client verifies such an SCT.
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::Ed25519 => {}
            SignatureAlgorithm::EcdsaP384Sha384
            | SignatureAlgorithm::EcdsaP521Sha512
            | SignatureAlgorithm::RsaPkcs1Sha256 => return Err(InstallationError::LogKeyAlgorithm),
        }
    }
    shards::check(shards)
}

/// What may be true of a folder in which a part is missing.
const OLDER: &str = "if the folder was made by a version before it had one, it cannot be taken over: make a new \
                     installation";

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
    /// Somebody else made it in the same moment.
    #[error(
        "{} is being made by another process, or just was, and we touched nothing in it; start again",
        dir.display()
    )]
    Taken {
        /// The folder.
        dir: PathBuf,
    },
    /// A symbolic link to nowhere.
    #[error(
        "{} is a link to {}, which does not exist; make that folder, or remove the link",
        link.display(), target.display()
    )]
    Dangling {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
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
    /// A shard of the log is gone, and what remembers it is not.
    #[error(
        "the shard {name} of the log is missing, and {} remembers it; put its files back (database and keys): \
         it is never begun a second time, and old signatures need its key",
        by.display()
    )]
    Forgotten {
        /// The file: its mark, or the one with the names of all.
        by: PathBuf,
        /// The shard.
        name: String,
    },
    /// The log cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signature log cannot have its first entry.
    #[error("the signature log cannot be begun: {0}")]
    First(#[from] LogError),
    /// There is no log.
    #[error(
        "{}: a log of this instance is missing; find it: mount it, or move it back; {}",
        folder.display(), OLDER
    )]
    NoLog {
        /// The folder where it should be.
        folder: PathBuf,
    },
    /// A log of which nothing is left but the key.
    #[error(
        "{}: the database that belongs to this key is missing; find it and put it back beside it",
        key.display()
    )]
    NoDatabase {
        /// The file of the key.
        key: PathBuf,
    },
    /// One key for two shards.
    #[error(
        "the shards {one} and {other} of the log have the same key, but each needs one of its own; \
         put the right key back"
    )]
    SharedLogKey {
        /// A shard.
        one: String,
        /// Another one.
        other: String,
    },
    /// Two shards for one certificate.
    #[error(
        "the shards {one} and {other} of the log take the same entries; \
         keep the one that this instance has made"
    )]
    Overlap {
        /// A shard.
        one: String,
        /// Another one.
        other: String,
    },
    /// The next chain is not one below the root.
    #[error(
        "{}: this is not the key of the root that the authority's chain ends in ({error}); name the root's key",
        key.display()
    )]
    OtherRoot {
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with a chain that it signed.
        error: ChainError,
    },
    /// The TUF repository does not hold.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A key of the timestamp authority is missing, though its chain is there and signs, or will.
    #[error("{}: the key that signs timestamps is missing; put it back", key.display())]
    Timestampless {
        /// Where it should be.
        key: PathBuf,
    },
    /// No chain of the timestamp authority.
    #[error(
        "{}: the timestamp authority of this instance is missing; put its chain and key back, which old \
         signatures need; {}",
        folder.display(), OLDER
    )]
    Timestamps {
        /// The folder where it should be.
        folder: PathBuf,
    },
    /// A chain of the timestamp authority does not hold.
    #[error("{}: {error}", path.display())]
    TimestampChain {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        error: TimestampChainError,
    },
    /// The key is not the one of the certificate beside it, or of a kind that clients do not verify.
    #[error(
        "{}: the key must be that of the first certificate in the .pem beside it, ECDSA P-256 or P-384; put \
         the right one back",
        path.display()
    )]
    TimestampKey {
        /// Its file.
        path: PathBuf,
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
    /// A key that verifiers of notes do not know.
    #[error(
        "the log's key for checkpoints, {shard}.note.key, is not Ed25519; put the right key back"
    )]
    NoteKeyAlgorithm {
        /// Whose.
        shard: String,
    },
    /// One key for both signatures of a checkpoint.
    #[error("{shard}.note.key holds the log's own key; put the log's key for checkpoints back")]
    SharedNoteKey {
        /// Whose.
        shard: String,
    },
    /// The second key of another shard.
    #[error(
        "{shard}.note.key holds the key that signs the checkpoints of {other}.sqlite; put each key back \
         under the name of its own shard"
    )]
    SwappedNoteKey {
        /// Where it is.
        shard: String,
        /// Whose it is.
        other: String,
    },
}

impl InstallationError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{self, Wanted};
    use crate::store::{Store as _, sqlite};
    use crate::tlog::merkle::Hash;
    use std::time::Duration;
    use x509_parser::prelude::{FromDer, X509Certificate};

    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    const OPTIONS: Options<'_> = Options {
        url: "https://mayfly.example.com",
        authority: Authority::New { name: "mayfly.example.com", curve: Curve::P256 },
        passphrase: None,
        now: NOW,
    };

    /// A new installation, in a folder that is made with it.
    fn installation() -> (tempfile::TempDir, PathBuf) {
        installation_on(Curve::P256)
    }

    /// The same, its authority's keys on this curve.
    fn installation_on(curve: Curve) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let authority = Authority::New { name: "mayfly.example.com", curve };
        create(&dir, &Options { authority, ..OPTIONS }).unwrap();
        (parent, dir)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const NAMES: [&str; 8] = [
        "authority.key",
        "authority.pem",
        "ct",
        "root.key",
        "root.pem",
        "timestamp",
        "tlog",
        "tuf",
    ];
    const LOG_KEY: &str = "ct/2026.key";
    const NOTE_KEY: &str = "ct/2026.note.key";
    const TUF_KEYS: [&str; 2] = ["tuf/1.key", "tuf/1.online.key"];

    #[test]
    fn what_is_created_opens() {
        let (parent, dir) = installation();
        assert_eq!(names(&dir), NAMES);
        assert_eq!(names(parent.path()), ["data"]);
        let opened = open(&dir, None, NOW).unwrap();
        assert_eq!(opened.authority.public_key(), opened.chain.spki());
        assert_eq!(opened.shards[0].signer.algorithm(), SignatureAlgorithm::EcdsaP256Sha256);
        assert_eq!(opened.shards[0].note.algorithm(), SignatureAlgorithm::Ed25519);
        assert_eq!(opened.chain.not_before(), NOW.minus(Duration::from_secs(3600)));
    }

    #[test]
    fn authorities_hold_for_ten_and_for_five_years() {
        let (_parent, dir) = installation();
        let chain = open(&dir, None, NOW).unwrap().chain;
        let years = |der: &[u8]| {
            let (_, parsed) = X509Certificate::from_der(der).unwrap();
            let validity = parsed.validity();
            (validity.not_after.timestamp() - validity.not_before.timestamp())
                / (365 * 24 * 60 * 60)
        };
        assert_eq!(chain.ders().iter().map(|der| years(der)).collect::<Vec<_>>(), [5, 10]);
        let extensions = |der: &[u8]| {
            let (_, parsed) = X509Certificate::from_der(der).unwrap();
            let constraints = parsed.basic_constraints().unwrap().unwrap();
            let usage = parsed.key_usage().unwrap().unwrap();
            assert!(constraints.critical && constraints.value.ca);
            assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
            let purposes =
                parsed.extended_key_usage().unwrap().map(|purposes| purposes.value.code_signing);
            (constraints.value.path_len_constraint, purposes)
        };
        assert_eq!(extensions(&chain.ders()[0]), (Some(0), Some(true)));
        assert_eq!(extensions(&chain.ders()[1]), (Some(1), None));
        assert!(chain.key_id().is_some());
    }

    #[test]
    fn the_largest_curve_on_request() {
        let (_parent, dir) = installation_on(Curve::P384);
        let opened = open(&dir, None, NOW).unwrap();
        assert_eq!(opened.authority.algorithm(), SignatureAlgorithm::EcdsaP384Sha384);
        assert_eq!(opened.shards[0].signer.algorithm(), SignatureAlgorithm::EcdsaP256Sha256);
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (_parent, dir) = installation();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for name in NAMES.into_iter().chain([LOG_KEY, NOTE_KEY]).chain(TUF_KEYS) {
            let others = mode(&dir.join(name)) & 0o077;
            assert_eq!(others == 0, name.ends_with(".key"), "{name}");
        }
        assert_eq!(mode(&dir), 0o700);
    }

    #[test]
    fn a_passphrase_encrypts_every_key() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("deep/down/data");
        create(&dir, &Options { passphrase: Some("geheim"), ..OPTIONS }).unwrap();
        for name in ["root.key", "authority.key", LOG_KEY, NOTE_KEY].into_iter().chain(TUF_KEYS) {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{name}");
        }
        assert!(open(&dir, Some("geheim"), NOW).is_ok());
        assert!(matches!(open(&dir, Some("offen"), NOW), Err(InstallationError::Key(_))));
        assert!(matches!(open(&dir, None, NOW), Err(InstallationError::Key(_))));
    }

    #[test]
    fn fills_an_empty_folder_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path();
        fs::create_dir(dir.join("lost+found")).unwrap();
        assert_eq!(is_vacant(dir), Ok(true));
        create(dir, &OPTIONS).unwrap();
        assert_eq!(names(dir).len(), NAMES.len() + 1);
        let before = fs::read(dir.join("root.pem")).unwrap();
        assert_eq!(create(dir, &OPTIONS), Err(InstallationError::Occupied { dir: dir.to_owned() }));
        assert_eq!(fs::read(dir.join("root.pem")).unwrap(), before);
        assert!(open(dir, None, NOW).is_ok());
    }

    #[test]
    fn does_not_take_a_file_for_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        fs::write(&dir, "mine").unwrap();
        assert!(matches!(create(&dir, &OPTIONS), Err(InstallationError::Io { .. })));
        assert_eq!(fs::read(&dir).unwrap(), b"mine");
        assert_eq!(names(parent.path()), ["data"]);
    }

    #[test]
    fn makes_an_empty_log_of_the_url_and_the_year() {
        let (_parent, dir) = installation();
        assert_eq!(names(&dir.join("ct")), ["2026.key", "2026.note.key", "2026.sqlite"]);
        let Shard { owner, signer, .. } = open(&dir, None, NOW).unwrap().shards.remove(0);
        assert_eq!(owner.origin, "mayfly.example.com/ct/2026");
        assert_eq!(owner.log_id, Hash::of(&[signer.public_key()]).0);
        assert_eq!(owner.window.to_string(), "2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z");
    }

    #[test]
    fn in_december_the_next_shard_is_there_from_the_beginning() {
        let end = Timestamp::from_year(2027);
        for (now, years) in [
            (end.minus(shards::AHEAD).minus(Duration::from_millis(1)), &[2026][..]),
            (end.minus(shards::AHEAD), &[2026, 2027]),
            (end.minus(Duration::from_millis(1)), &[2026, 2027]),
            (end, &[2027]),
        ] {
            let parent = tempfile::tempdir().unwrap();
            let dir = parent.path().join("data");
            create(&dir, &Options { now, ..OPTIONS }).unwrap();
            let shards = open(&dir, None, now).unwrap().shards;
            let windows: Vec<_> = shards.iter().map(|shard| shard.owner.window).collect();
            let years = years.iter().map(|year| Window::year(Timestamp::from_year(*year)));
            assert_eq!(windows, years.collect::<Vec<_>>());
        }
    }

    #[test]
    fn follows_a_link_and_says_when_it_leads_nowhere() {
        let parent = tempfile::tempdir().unwrap();
        let (link, target) = (parent.path().join("data"), parent.path().join("elsewhere"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let dangling = InstallationError::Dangling { link: link.clone(), target: target.clone() };
        assert_eq!(create(&link, &OPTIONS), Err(dangling));
        assert_eq!(names(parent.path()), ["data"]);
        fs::create_dir(&target).unwrap();
        create(&link, &OPTIONS).unwrap();
        assert_eq!(names(&target), NAMES);
        assert!(open(&link, None, NOW).is_ok());
    }

    #[test]
    fn keys_and_chain_belong_together() {
        let ((_a, a), (_b, b)) = (installation(), installation());
        fs::copy(b.join("authority.key"), a.join("authority.key")).unwrap();
        assert_eq!(open(&a, None, NOW).err(), Some(InstallationError::WrongKey));
        fs::copy(a.join("root.key"), b.join("authority.key")).unwrap();
        assert_eq!(open(&b, None, NOW).err(), Some(InstallationError::WrongKey));
    }

    #[test]
    fn the_log_has_a_key_of_its_own() {
        let (_parent, dir) = installation();
        fs::copy(dir.join("authority.key"), dir.join(LOG_KEY)).unwrap();
        assert_eq!(open(&dir, None, NOW).err(), Some(InstallationError::SharedKey));
        let (_other, other) = installation_on(Curve::P384);
        fs::copy(other.join("root.key"), dir.join(LOG_KEY)).unwrap();
        assert_eq!(open(&dir, None, NOW).err(), Some(InstallationError::LogKeyAlgorithm));
    }

    #[test]
    fn checkpoints_have_an_ed25519_key_of_their_own() {
        let (_parent, dir) = installation();
        let (log, note) = (dir.join(LOG_KEY), dir.join(NOTE_KEY));
        let ours = fs::read(&note).unwrap();
        fs::copy(&log, &note).unwrap();
        assert_eq!(
            open(&dir, None, NOW).err(),
            Some(InstallationError::NoteKeyAlgorithm { shard: "ct/2026".into() })
        );
        fs::write(&note, &ours).unwrap();
        fs::write(&log, &ours).unwrap();
        assert_eq!(
            open(&dir, None, NOW).err(),
            Some(InstallationError::SharedNoteKey { shard: "ct/2026".into() })
        );
    }

    #[test]
    fn the_chain_holds_now() {
        let (_parent, dir) = installation();
        let later = NOW.plus(Duration::from_secs(5 * 366 * 24 * 60 * 60));
        let expired = open(&dir, None, later).err();
        assert!(matches!(
            expired,
            Some(InstallationError::Chain { error: ChainError::Expired { position: 1, .. }, .. })
        ));
    }

    #[test]
    fn says_which_file_is_missing() {
        let others = ["tlog/2026.key", "tlog/2026.note.key", "tlog/2026.sqlite"];
        for name in ["authority.pem", "authority.key", LOG_KEY, NOTE_KEY].into_iter().chain(others)
        {
            let (_parent, dir) = installation();
            fs::remove_file(dir.join(name)).unwrap();
            let error = open(&dir, None, NOW).err().unwrap().to_string();
            let key = name.replace(".sqlite", ".key");
            assert!(error.contains(&key), "{error}");
        }
        let (_parent, dir) = installation();
        fs::remove_dir_all(dir.join("tlog")).unwrap();
        let none = InstallationError::NoLog { folder: dir.join("tlog") };
        assert_eq!(open(&dir, None, NOW).err(), Some(none));
        let parts = [
            InstallationError::NoLog { folder: dir.clone() },
            InstallationError::Timestamps { folder: dir.clone() },
            RepositoryError::Missing { root: dir }.into(),
        ];
        for missing in parts.map(|error| error.to_string()) {
            assert!(missing.contains("by a version before it had one"), "{missing}");
        }
    }

    #[test]
    fn the_signature_log_begins_with_an_entry_of_its_own() {
        let (_parent, dir) = installation();
        assert_eq!(
            names(&dir.join("tlog")),
            ["2026.key", "2026.note.key", "2026.sqlite"],
            "nothing is left beside the database that would have to move with it"
        );
        let shard = open(&dir, None, NOW).unwrap().signatures.remove(0);
        assert_eq!(shard.owner.origin, "mayfly.example.com");
        assert_eq!(shard.owner, shard.ours(OPTIONS.url));
        assert_eq!(shard.url(OPTIONS.url), "https://mayfly.example.com/tlog/2026");
        let store = sqlite::open_read_only(&shard.database).unwrap();
        let entry = store.tile_leaves(0..1).unwrap().remove(0);
        assert!(entry.starts_with(br#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":"#));
        let wanted = Wanted { owner: &shard.owner, form: shard.kind.form(), now: NOW, mark: None };
        assert_eq!(log::check(&store, wanted).unwrap().size, 1);
    }

    #[test]
    fn no_key_signs_for_two_logs() {
        let (_parent, dir) = installation();
        for name in ["2026.key", "2026.note.key"] {
            let (ours, theirs) = (dir.join("tlog").join(name), dir.join("ct").join(name));
            let before = fs::read(&ours).unwrap();
            fs::copy(theirs, &ours).unwrap();
            let (one, other) = ("ct/2026".into(), "tlog/2026".into());
            let shared = InstallationError::SharedLogKey { one, other };
            assert_eq!(open(&dir, None, NOW).err(), Some(shared));
            fs::write(&ours, before).unwrap();
        }
    }
}
