//! One instance, put together: configuration + data folder → authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use axum::Router;

use super::CommandError;
use super::calendar::Calendar;
use super::init;
use super::publisher::sign_in;
use crate::authority::{self, Serials, Trust};
use crate::certificate::{Chain, Serial};
use crate::config::{AuthorityFiles, Config, ConfigError};
use crate::explorer::recorder::Recorder;
use crate::http::tls::Tls;
use crate::http::{self, Access};
use crate::installation::shards::{self, Shard};
use crate::installation::succession::{self, Issuer};
use crate::installation::{
    self, Authority, Curve, Files, Installation, InstallationError, Options,
};
use crate::keyset::Keyset;
use crate::log::{self, LogError, Wanted};
use crate::quote::quote;
use crate::signatures::Signatures;
use crate::signer::Signer;
use crate::signer::file::{KeyFileError, KeyFileProblem};
use crate::store::{Epoch, Head, Owner, Store, sqlite};
use crate::time::{Clock, SystemClock, Timestamp};
use crate::timestamping::{Key, Timestamping};
use crate::trust::{LogTrust, Material};

mod signatures;
mod source;
mod timestamps;

pub use source::Source;

/// What verifiers need to know of an instance.
pub(super) fn material<'a>(
    url: &str,
    (issuers, timestamps): (&[Issuer], &[Key]),
    shards: impl IntoIterator<Item = &'a Shard>,
    now: Timestamp,
) -> Material {
    let (certificates, signatures): (Vec<&Shard>, Vec<_>) =
        shards.into_iter().partition(|shard| shard.kind == shards::Kind::Certificates);
    let logs = |shards: Vec<&Shard>| shards.iter().map(|shard| shard.trust(url, now)).collect();
    Material {
        url: url.to_owned(),
        certificate_authorities: succession::trust(issuers, url, now),
        certificate_logs: logs(certificates),
        signature_logs: logs(signatures),
        timestamp_authorities: installation::timestamps::trust(timestamps, url, now),
        ..Material::default()
    }
}

/// An instance whose files were read and checked, at rest.
pub struct Instance {
    /// What its file says.
    pub config: Config,
    /// Its keys and chain.
    pub installation: Installation,
    /// The shard of its log that takes certificates now, or the newest.
    pub shard: Shard,
    now: Timestamp,
}

impl Instance {
    /// Reads configuration, chain and keys, for a command that issues nothing: whom a shared issuer
    /// vouches for is not its business. Touches nothing.
    ///
    /// # Errors
    ///
    /// [`CommandError::Configuration`], or [`CommandError::Failed`] for what is in the folder.
    pub fn read(source: &Source) -> Result<Self, CommandError> {
        let allow_anybody = source.allow_anybody || source.fulcio_config.is_some();
        Self::at_rest(Source { allow_anybody, ..source.clone() }.config()?)
    }

    /// The same with a configuration that was read already.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] for what is in the folder.
    pub fn at_rest(config: Config) -> Result<Self, CommandError> {
        let now = SystemClock.now();
        let files = Files::of(&config);
        let installation = with_passphrase(&config.authority, |passphrase| {
            installation::open_files(&files, passphrase, now)
        })?;
        let newest = now.plus(config.lifetime);
        let mut shards = installation.shards.iter();
        let shard = shards.clone().find(|shard| shard.owner.window.holds(newest));
        let shard = shard.or_else(|| shards.next_back()).cloned();
        let none = InstallationError::NoLog { folder: files.shards.path };
        let shard = shard.ok_or_else(|| CommandError::failed(none))?;
        Ok(Self { config, installation, shard, now })
    }

    /// The same, about another shard of its certificate log if one is named.
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`] when there is none of that name.
    pub fn of_shard(self, name: Option<&str>) -> Result<Self, CommandError> {
        let shards = self.installation.shards.clone();
        self.of(name, &shards)
    }

    /// The same, about a shard of its signature log if one is named (`tlog/2026`), or of its certificate log
    /// (`2026`).
    ///
    /// # Errors
    ///
    /// [`CommandError::Usage`] when there is none of that name.
    pub fn of_either_log(self, name: Option<&str>) -> Result<Self, CommandError> {
        let Installation { shards, signatures, .. } = &self.installation;
        let shards = [&shards[..], signatures].concat();
        self.of(name, &shards)
    }

    fn of(self, name: Option<&str>, shards: &[Shard]) -> Result<Self, CommandError> {
        let Some(name) = name else { return Ok(self) };
        let called = |shard: &Shard| match shard.kind {
            shards::Kind::Certificates => shard.name().to_owned(),
            shards::Kind::Signatures => shard.path(),
        };
        let is_named = |shard: &&Shard| shard.path() == name || called(shard) == name;
        let Some(shard) = shards.iter().find(is_named).cloned() else {
            let names: Vec<_> = shards.iter().map(called).collect();
            return Err(CommandError::Usage(format!(
                "the log has no shard {}; there are {}",
                quote(name),
                names.join(", ")
            )));
        };
        Ok(Self { shard, ..self })
    }

    /// When its files were read.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The shards that a command is about: the one that was named, or all.
    pub fn shards(&self, name: Option<&str>) -> &[Shard] {
        match name {
            Some(_) => std::slice::from_ref(&self.shard),
            None => &self.installation.shards,
        }
    }

    /// What verifiers and signers need to know of it.
    pub fn material(&self) -> Material {
        let Installation { issuers, timestamps, shards, signatures, .. } = &self.installation;
        let shards = shards.iter().chain(signatures);
        let material = material(&self.config.url, (issuers, timestamps), shards, self.now);
        Material { sign_in: sign_in(&self.config.issuers), ..material }
    }

    /// The log's database, for reading, whether or not a server has it open.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when there is none yet.
    pub fn store(&self) -> Result<Box<dyn Store>, CommandError> {
        let store = sqlite::open_read_only(&self.shard.database).map_err(CommandError::failed)?;
        Ok(Box::new(store))
    }

    /// The same to write to it, while nobody else does.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when there is none yet, or somebody else has it open.
    pub fn exclusive_store(&self) -> Result<Box<dyn Store>, CommandError> {
        let store = sqlite::open(&self.shard.database).map_err(CommandError::failed)?;
        Ok(Box::new(store))
    }

    /// Its shard, as verifiers know it.
    pub fn trust(&self) -> LogTrust {
        self.shard.trust(&self.config.url, self.now)
    }

    /// Whose the log's database is.
    pub fn owner(&self) -> Owner {
        self.shard.ours(&self.config.url)
    }

    /// Every certificate of the authority's chains, PEM: those that issue now first.
    pub fn certificates(&self) -> Vec<String> {
        let mut certificates = self.chain().pems().to_vec();
        for pem in self.installation.issuers.iter().flat_map(|issuer| issuer.chain.pems()) {
            if !certificates.contains(pem) {
                certificates.push(pem.clone());
            }
        }
        certificates
    }

    /// The authority's chain.
    pub fn chain(&self) -> &Arc<Chain> {
        &self.installation.chain
    }

    /// Opens the log and puts the authority together.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] says what does not fit.
    pub fn open(config: Config) -> Result<Running, CommandError> {
        Self::run(config, false)
    }

    /// The same with a log that is read and takes nothing: every exchange is refused. Writes nothing, and
    /// may run beside the one that does.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] says what does not fit.
    pub fn open_read_only(config: Config) -> Result<Running, CommandError> {
        Self::run(config, true)
    }

    fn run(config: Config, read_only: bool) -> Result<Running, CommandError> {
        let tls = config.tls.as_ref().map(Tls::open).transpose().map_err(CommandError::failed)?;
        let instance = Self::at_rest(config)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let calendar = Calendar::open(&instance, &clock, read_only)?;
        let recorder = instance.recorder(&clock, read_only)?;
        let signatures = instance.signatures(&clock, &calendar);
        let trust = instance.trust();
        let timestamping = Arc::new(instance.timestamping(&clock, &calendar)?);
        let Self { config, .. } = instance;
        let keyset = Keyset::through(&config.proxy, config.issuers.clone());
        let keyset = keyset.map_err(CommandError::failed)?;
        let authority = authority::Authority {
            clock,
            serials: random_serials(),
            trust: ArcSwap::from_pointee(Trust { keyset, policy: config.policy.clone() }),
            succession: calendar.succession().clone(),
            logs: calendar.logs().clone(),
            recorder,
        };
        let authority = Arc::new(authority);
        let unfit = Arc::default();
        Ok(Running { config, authority, timestamping, signatures, trust, calendar, tls, unfit })
    }

    /// Makes an instance in the configured data folder, and opens it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when the folder holds anything, or as [`Self::open`].
    pub fn create_and_open(config: Config) -> Result<Running, CommandError> {
        make(&config)?;
        Self::open(config)
    }

    /// Whether its shard is fit to go on in this store; yields the head. `remembered` is whether the mark is
    /// asked, too.
    ///
    /// # Errors
    ///
    /// As [`log::check`].
    pub fn check(&self, store: &dyn Store, remembered: bool) -> Result<Head, LogError> {
        let (owner, mark, form) = (self.owner(), self.mark(), self.shard.kind.form());
        let remembers = remembered.then_some(mark.as_path());
        log::check(store, Wanted { owner: &owner, form, now: SystemClock.now(), mark: remembers })
            .map_err(|error| self.shard.look_beside(error))
    }

    /// The file that remembers the log's newest head.
    pub fn mark(&self) -> PathBuf {
        self.shard.mark(&self.config.log)
    }

    /// What was refused, whether or not there is such a file.
    pub fn refusals(&self) -> PathBuf {
        self.config.data.join("refusals.sqlite")
    }

    /// Who keeps what is refused; nobody where all is only read.
    fn recorder(&self, clock: &Arc<dyn Clock>, read_only: bool) -> Result<Recorder, CommandError> {
        if read_only {
            return Ok(Recorder::default());
        }
        let (file, keep) = (self.refusals(), self.config.log.keep_refusals);
        Recorder::start(file, keep, Arc::clone(clock)).map_err(CommandError::failed)
    }
}

/// Makes the data folder: with an authority, unless the configuration names one that is elsewhere.
/// Yields what it has now, in words.
///
/// # Errors
///
/// [`CommandError::Failed`] when the folder holds anything, cannot be written, or the authority that is
/// named does not hold.
pub fn make(config: &Config) -> Result<&'static str, CommandError> {
    let (authority, has) = match config.given_authority() {
        None => (init::authority(&config.url, Curve::P256), "new keys"),
        Some(AuthorityFiles { chain, key, .. }) => (
            Authority::Given { chain, key },
            "the key of a log for the authority that is configured",
        ),
    };
    with_passphrase(&config.authority, |passphrase| {
        let options = Options { url: &config.url, authority, passphrase, now: SystemClock.now() };
        installation::create(&config.data, &options)
    })?;
    Ok(has)
}

/// The authority in these files, which may have no log yet.
///
/// # Errors
///
/// [`CommandError::Usage`] about the passphrase, [`CommandError::Failed`] about the rest.
pub fn authority(files: &AuthorityFiles) -> Result<(Arc<Chain>, Arc<dyn Signer>), CommandError> {
    let AuthorityFiles { chain, key, .. } = files;
    with_passphrase(files, |passphrase| {
        installation::open_authority(chain, key, passphrase, SystemClock.now())
    })
}

/// What `open` yields, given the passphrase that `files` name.
pub(super) fn with_passphrase<T>(
    files: &AuthorityFiles,
    open: impl FnOnce(Option<&str>) -> Result<T, InstallationError>,
) -> Result<T, CommandError> {
    let file = files.passphrase_file.as_deref();
    let passphrase = init::passphrase(file)?;
    open(passphrase.as_ref().map(|text| text.as_str())).map_err(|error| unopened(&error, file))
}

/// Why keys and chain do not open; a passphrase that does not fit is named by its file.
fn unopened(error: &InstallationError, passphrase_file: Option<&Path>) -> CommandError {
    match (error, passphrase_file) {
        (
            InstallationError::Key(KeyFileError {
                problem: KeyFileProblem::WrongPassphrase, ..
            }),
            Some(file),
        ) => CommandError::Failed(format!("{error}; it is the first line of {}", file.display())),
        _ => CommandError::failed(error),
    }
}

/// The TLS of the listener, if it has any.
///
/// # Errors
///
/// [`ConfigError`] about `tls`, naming the file that is at fault.
pub fn tls(config: &Config, file: &str) -> Result<Option<Tls>, ConfigError> {
    let tls = config.tls.as_ref().map(Tls::open).transpose();
    tls.map_err(|error| ConfigError {
        file: file.to_owned(),
        line: None,
        key: "tls".to_owned(),
        message: error.to_string(),
    })
}

/// 159 random bits each: RFC 5280 §4.1.2.2 allows 20 octets, the first bit clear.
fn random_serials() -> Serials {
    let random = SystemRandom::new();
    Arc::new(move || {
        let mut octets = [0; 20];
        // aws-lc's generator, once seeded, does not fail: it ends the process rather than repeat itself.
        let _ = random.fill(&mut octets);
        Serial::from_bytes(octets)
    })
}

/// 128 random bits, of which no other process has the same.
pub(super) fn random_epoch() -> Epoch {
    let mut octets = [0; 16];
    // As above.
    let _ = SystemRandom::new().fill(&mut octets);
    Epoch(octets)
}

/// An instance with its log open, ready to be served.
pub struct Running {
    /// What its file says.
    pub config: Config,
    /// The authority.
    pub authority: Arc<authority::Authority>,
    /// The timestamp authority.
    pub timestamping: Arc<Timestamping>,
    /// Its signature log, and who may log what in it.
    pub signatures: Signatures,
    /// Its certificate log, as verifiers know it.
    pub trust: LogTrust,
    /// The shards of its log, as they come and end.
    pub calendar: Calendar,
    /// The listener's TLS; None: plain HTTP.
    pub tls: Option<Tls>,
    /// Whether the configuration on the disk, since it was read, has become one that does not hold.
    pub unfit: Arc<AtomicBool>,
}

impl Running {
    /// Everything the port serves.
    pub fn router(&self) -> Router {
        let trust_files = self.calendar.trust_files().clone();
        let app = http::App::new(Arc::clone(&self.authority), trust_files);
        let app = app.with_url(&self.config.url).with_denials(self.config.denials);
        let patrons = (self.config.timestamps.from, self.config.is_local());
        let app = app.with_timestamps(Arc::clone(&self.timestamping), patrons);
        let app = app.with_signatures(self.signatures.clone(), self.rate());
        let (log, records) = self.access();
        http::router(app.with_access(log, records).with_unfit(Arc::clone(&self.unfit)))
    }

    /// Who may read the log, and who the records.
    pub fn access(&self) -> (Access, Access) {
        let (log, is_local) = (&self.config.log, self.config.is_local());
        (Access::to_log(&log.readers, is_local), Access::to_records(&log.records, is_local))
    }
}
