//! What a running instance publishes for those who verify and sign: the trust files, and the TUF repository
//! that vouches for them.
//!
//! ```text
//! a key comes or goes      → the trust files say so at once, before it is used
//! after that, at each look → the repository says the same, and what would expire is signed anew
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinError;

use super::CommandError;
use super::instance::{Instance, with_passphrase};
use crate::config::AuthorityFiles;
use crate::http::trust::TrustFiles;
use crate::installation::Files;
use crate::installation::repository::{Published, Repository};
use crate::issuer::{Issuers, Kind};
use crate::time::Timestamp;
use crate::trust::Material;
use crate::tuf::{self, Targets};

/// The issuers at which a person can sign in: those that vouch for e-mail addresses, under one name.
pub(super) fn sign_in(issuers: &Issuers) -> Vec<String> {
    let people = issuers
        .iter()
        .filter(|issuer| matches!(issuer.kind, Kind::Email { .. }) && !issuer.is_pattern());
    people.map(|issuer| issuer.url.clone()).collect()
}

/// The published files, and who keeps them fresh.
pub struct Publisher {
    files: TrustFiles,
    keeper: Arc<Keeper>,
    /// The repository as it was read last.
    published: Published,
    /// What went wrong at the last look: said once.
    broken: Option<String>,
}

/// The repository, and what it is opened with when its keys have changed.
struct Keeper {
    /// None where all is only read and there is none.
    repository: Mutex<Option<Repository>>,
    folder: PathBuf,
    /// The authority's files; one of them holds the passphrase.
    authority: AuthorityFiles,
    /// Whether nothing is signed.
    read_only: bool,
}

impl Publisher {
    /// Publishes for this instance, nothing yet; or, `read_only`, what another one has signed.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] says what is wrong with the repository.
    pub fn open(instance: &Instance, read_only: bool) -> Result<Self, CommandError> {
        let authority = instance.config.authority.clone();
        let folder = Files::of(&instance.config).repository;
        let mut keeper = Keeper { repository: Mutex::default(), folder, authority, read_only };
        keeper.repository = Mutex::new(keeper.open()?);
        Ok(Self {
            files: TrustFiles::from(&Material::default()),
            keeper: Arc::new(keeper),
            published: Published::default(),
            broken: None,
        })
    }

    /// The files, as they come to be.
    pub fn files(&self) -> &TrustFiles {
        &self.files
    }

    /// Publishes trust files that say this; the repository follows.
    pub fn publish(&self, material: &Material) {
        self.files.set(material, &self.published);
    }

    /// The same with the repository, on this thread.
    pub fn renew_here(&mut self, material: &Material, now: Timestamp) {
        let renewed = self.keeper.renew(&tuf::targets(material), now);
        self.take(renewed, material);
    }

    /// The same with the repository.
    pub async fn renew(&mut self, material: &Material, now: Timestamp) {
        let (keeper, targets) = (Arc::clone(&self.keeper), tuf::targets(material));
        // Disks can be slow, and the runtime's threads have certificates to issue.
        let renewed = tokio::task::spawn_blocking(move || keeper.renew(&targets, now)).await;
        let broken =
            |error: JoinError| Renewed { broken: Some(error.to_string()), ..Renewed::default() };
        self.take(renewed.unwrap_or_else(broken), material);
    }

    fn take(&mut self, renewed: Renewed, material: &Material) {
        let Renewed { published, broken } = renewed;
        if let Some(published) = published {
            self.published = published;
        }
        if let Some(error) = broken.as_ref().filter(|_| self.broken != broken) {
            tracing::error!("the TUF repository: {error}");
        }
        self.broken = broken;
        self.publish(material);
    }
}

/// What came of a look at the repository.
#[derive(Default)]
struct Renewed {
    /// What is in force, whether or not anything could be signed anew; none where it cannot be read.
    published: Option<Published>,
    /// What went wrong.
    broken: Option<String>,
}

impl Keeper {
    fn open(&self) -> Result<Option<Repository>, CommandError> {
        if self.read_only {
            return Repository::open_read_only(&self.folder).map_err(CommandError::failed);
        }
        // The passphrase may be there at the start only, and when the keys change.
        let open = |passphrase: Option<&str>| Repository::open(&self.folder, passphrase);
        with_passphrase(&self.authority, open).map(Some)
    }

    fn renew(&self, targets: &Targets, now: Timestamp) -> Renewed {
        let mut repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = self.sign(&mut repository, targets, now);
        let published =
            repository.as_ref().map_or_else(|| Ok(Published::default()), Repository::published);
        let error = signed.err().or(published.as_ref().err().map(CommandError::failed));
        Renewed { published: published.ok(), broken: error.map(|error| error.message()) }
    }

    fn sign(
        &self,
        repository: &mut Option<Repository>,
        targets: &Targets,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        if repository.as_ref().is_none_or(Repository::is_superseded) {
            let opened = self.open()?;
            if let (Some(_), Some(new)) = (repository.as_ref(), &opened) {
                let (version, expires) = (new.root().version(), new.root().expires());
                tracing::info!("the TUF repository has new keys: root {version}, until {expires}");
            }
            *repository = opened;
        }
        let Some(repository) = repository.as_ref() else { return Ok(()) };
        repository.renew(targets, now).map_err(CommandError::failed)
    }
}
