//! The log's calendar while an instance runs: shards come, one after the other, and end.
//!
//! ```text
//! look, once a minute, and at SIGHUP
//!   nothing takes certificates in thirty days   → the next shard is made
//!   a shard is there that is not served yet     → the trust files name it, then it is used
//!   a window has ended                          → its shard is closed, and read from then on
//!   a chain of the authority is there that is not known yet → the same, and it issues when it begins
//! ```
//!
//! A shard that was taken up stays, whatever becomes of its files: verifiers need its key.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};

use super::CommandError;
use super::instance::{Instance, material, random_epoch, sign_in, with_passphrase};
use super::publisher::Publisher;
use crate::authority::Trust;
use crate::authority::succession::{Issuing, Succession};
use crate::certificate::Chain;
use crate::certificate::profile::Profile;
use crate::config::{AuthorityFiles, Config, LogConfig};
use crate::http::trust::TrustFiles;
use crate::installation::shards::{self, AHEAD, New, Shard};
use crate::installation::succession::{self, Issuer};
use crate::installation::{self, Files, Installation};
use crate::log::mark::{self, MarkError};
use crate::log::scrub::REST;
use crate::log::shards::Shards;
use crate::log::{self, Log, LogError, Means, Opening};
use crate::signer::Signer;
use crate::store::{Store, sqlite};
use crate::time::{Clock, Timestamp};
use crate::trust::Material;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Between two warnings.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The shards of a running instance.
pub struct Calendar {
    place: Arc<Place>,
    shards: Vec<Shard>,
    logs: Shards,
    succession: Succession,
    publisher: Publisher,
    /// Where people sign in.
    sign_in: Vec<String>,
    hangups: Option<Signal>,
    /// What went wrong at the last look: said once.
    broken: Option<String>,
    warned: Option<Timestamp>,
}

/// Where an instance's shards are, and what they are opened with.
struct Place {
    url: String,
    log: LogConfig,
    installed: Files,
    /// The authority's files; one of them holds the passphrase.
    files: AuthorityFiles,
    /// The authority's chains.
    issuers: ArcSwap<Vec<Issuer>>,
    lifetime: Duration,
    backdate: Duration,
    clock: Arc<dyn Clock>,
    /// Whether all shards are only read, and none is made.
    read_only: bool,
}

impl Calendar {
    /// Opens the shards of an instance, and makes the next one if it is time; or, `read_only`, opens them to
    /// be read.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] says what does not fit.
    pub fn open(
        instance: &Instance,
        clock: &Arc<dyn Clock>,
        read_only: bool,
    ) -> Result<Self, CommandError> {
        let place = Arc::new(Place::of(instance, clock, read_only));
        let succession = place.succession(&instance.installation);
        let shards = instance.installation.shards.clone();
        shards::remembered(&shards, &instance.config.log).map_err(CommandError::failed)?;
        place.remember(&shards)?;
        let logs = shards.iter().map(|shard| place.open(shard)).collect::<Result<_, _>>()?;
        let mut calendar = Self {
            publisher: Publisher::new(instance, read_only),
            logs: Shards::new(logs),
            succession,
            sign_in: sign_in(&instance.config.issuers),
            place,
            shards,
            hangups: None,
            broken: None,
            warned: None,
        };
        // That there is no next one yet keeps nobody from issuing now.
        let found = calendar.place.find(&calendar.shards, calendar.is_due());
        calendar.take_up(found);
        let material = calendar.material();
        calendar.publisher.renew_here(&material, clock.now());
        Ok(calendar)
    }

    /// The shards.
    pub fn logs(&self) -> &Shards {
        &self.logs
    }

    /// What the authority issues by.
    pub fn succession(&self) -> &Succession {
        &self.succession
    }

    /// Whether all shards are only read.
    pub fn is_read_only(&self) -> bool {
        self.place.read_only
    }

    /// What verifiers and signers need to know.
    pub fn trust_files(&self) -> &TrustFiles {
        self.publisher.files()
    }

    /// Has it looked after at each of these signals, too.
    pub fn heed(&mut self, hangups: Signal) {
        self.hangups = Some(hangups);
    }

    /// Keeps the calendar, for ever; of whom `trust` says that they vouch for people, signers are told.
    pub async fn keep(mut self, trust: &ArcSwap<Trust>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = hang_up(&mut self.hangups) => {}
                _ = looks.tick() => {}
            }
            self.sign_in = sign_in(trust.load().keyset.issuers());
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let (place, known, due) = (Arc::clone(&self.place), self.shards.clone(), self.is_due());
        // Disks can be slow, and the runtime's threads have certificates to issue.
        let found = tokio::task::spawn_blocking(move || place.find(&known, due)).await;
        self.take_up(found.unwrap_or_else(|error| Err(CommandError::failed(error))));
        self.succeed().await;
        self.end().await;
        let material = self.material();
        self.publisher.renew(&material, self.place.clock.now()).await;
        self.warn();
    }

    /// Whether the next shard should be there by now.
    fn is_due(&self) -> bool {
        let now = self.place.clock.now();
        !self.place.read_only && self.logs.covered(now) <= now.plus(AHEAD)
    }

    /// Publishes what was found, then uses it; or says what went wrong, once.
    fn take_up(&mut self, found: Result<Vec<(Shard, Log)>, CommandError>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.complain(error),
        };
        self.broken = None;
        for (shard, log) in found {
            let (name, window) = (shard.name().to_owned(), shard.owner.window);
            self.shards.push(shard);
            self.shards.sort_by_key(|shard| shard.owner.window);
            self.publisher.publish(&self.material());
            self.logs.put(log);
            tracing::info!("the log has a new shard, {name}, for certificates that end {window}");
        }
    }

    /// Publishes the chains of the authority that were found, then has them take over in their time.
    async fn succeed(&mut self) {
        let place = Arc::clone(&self.place);
        let found = tokio::task::spawn_blocking(move || place.find_issuers()).await;
        let found = match found.unwrap_or_else(|error| Err(CommandError::failed(error))) {
            Ok(found) => found,
            Err(error) => return self.complain(error),
        };
        for (issuer, issuing) in found {
            for log in self.logs.all().iter().filter(|log| !log.is_over()) {
                if let Err(error) = log.keep_chain(issuer.chain.ders()).await {
                    return self.complain(CommandError::failed(error));
                }
            }
            self.place.know(issuer);
            self.publisher.publish(&self.material());
            let begins = issuing.profile.begins();
            self.succession.put(issuing);
            tracing::info!("the authority has a new chain, which issues from {begins} on");
        }
    }

    /// What verifiers and signers need to know now.
    fn material(&self) -> Material {
        let material = self.place.material(&self.shards);
        Material { sign_in: self.sign_in.clone(), ..material }
    }

    /// Closes what is over.
    async fn end(&mut self) {
        let now = self.place.clock.now();
        for log in self.logs.all().iter().filter(|log| !log.is_over() && now >= log.window().end) {
            log.close().await;
            let shard = self.shards.iter().find(|shard| shard.owner.origin == log.origin());
            match shard.map(|shard| self.place.open(shard)) {
                Some(Ok(over)) => {
                    self.logs.put(over);
                    tracing::info!("the shard {} is closed: its window has ended", log.origin());
                }
                Some(Err(error)) => self.complain(error),
                None => {}
            }
        }
    }

    fn complain(&mut self, error: CommandError) {
        let error = error.message();
        if self.broken.as_ref() != Some(&error) {
            tracing::error!("the shards of the log: {error}");
        }
        self.broken = Some(error);
    }

    /// Says once a day what will keep us from issuing, or others from verifying, before long.
    fn warn(&mut self) {
        let now = self.place.clock.now();
        if self.warned.is_some_and(|last| now.since(last) < DAY) {
            return;
        }
        let (due, overdue) = (self.is_due(), self.trust_files().is_overdue(now));
        if due {
            let end = self.logs.covered(now);
            tracing::warn!(
                "nothing takes certificates that end from {end} on: the next shard of the log is missing; \
                 `mayfly rotate log` makes it"
            );
        }
        if overdue {
            tracing::warn!(
                "the TUF repository is about to expire; if no error before this one says why, its root is, \
                 and `mayfly rotate tuf` makes the next one"
            );
        }
        if due || overdue {
            self.warned = Some(now);
        }
    }
}

/// Waits for the next signal; for ever if there is none to come.
async fn hang_up(hangups: &mut Option<Signal>) {
    let received = match hangups {
        Some(hangups) => hangups.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}

impl Place {
    fn of(instance: &Instance, clock: &Arc<dyn Clock>, read_only: bool) -> Self {
        let Config { url, data, authority, log, lifetime, backdate, .. } = &instance.config;
        Self {
            url: url.clone(),
            log: log.clone(),
            installed: Files {
                chain: authority.chain.clone(),
                authority_key: authority.key.clone(),
                ..Files::in_dir(data)
            },
            files: authority.clone(),
            issuers: ArcSwap::from_pointee(instance.installation.issuers.clone()),
            lifetime: *lifetime,
            backdate: *backdate,
            clock: Arc::clone(clock),
            read_only,
        }
    }

    /// The chains that an installation issues by.
    fn succession(&self, installation: &Installation) -> Succession {
        let Installation { chain, authority, issuers, .. } = installation;
        let succession = Succession::from(self.issuing(chain, authority));
        for issuer in issuers {
            if let Some(signer) = &issuer.signer {
                succession.put(self.issuing(&issuer.chain, signer));
            }
        }
        succession
    }

    fn issuing(&self, chain: &Arc<Chain>, signer: &Arc<dyn Signer>) -> Issuing {
        let profile = Profile::new(chain, signer.algorithm(), self.lifetime, self.backdate);
        Issuing { chain: Arc::clone(chain), signer: Arc::clone(signer), profile }
    }

    /// The chains that are not known yet.
    fn find_issuers(&self) -> Result<Vec<(Issuer, Issuing)>, CommandError> {
        let (known, files) = (self.issuers.load_full(), &self.installed);
        if !succession::has_others(files, &known) {
            return Ok(Vec::new());
        }
        let all = with_passphrase(&self.files, |passphrase| {
            succession::read(files, passphrase, self.clock.now(), &known)
        })?;
        let is_new = |issuer: &Issuer| known.iter().all(|one| one.file != issuer.file);
        let found = all.into_iter().filter(is_new).filter_map(|issuer| {
            let issuing = issuer.signer.as_ref().map(|it| self.issuing(&issuer.chain, it))?;
            Some((issuer, issuing))
        });
        Ok(found.collect())
    }

    /// Tells verifiers of a chain from now on.
    fn know(&self, issuer: Issuer) {
        let mut issuers = self.issuers.load_full().to_vec();
        issuers.push(issuer);
        issuers.sort_by_key(|issuer| issuer.chain.not_before());
        self.issuers.store(Arc::new(issuers));
    }

    /// Whether some chain holds now.
    fn holds(&self, now: Timestamp) -> bool {
        let issuers = self.issuers.load();
        issuers.iter().any(|it| it.chain.not_before() <= now && now < it.chain.not_after())
    }

    /// The shards that are not known yet, open, after the next one was made if it is due.
    fn find(&self, known: &[Shard], due: bool) -> Result<Vec<(Shard, Log)>, CommandError> {
        // The passphrase may be there at the start only, and for this.
        if !due
            && !shards::has_others(&self.installed.shards, known).map_err(CommandError::failed)?
        {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        // By a clock that the chain does not hold at, no year can be told.
        let due = due && self.holds(now);
        let all = with_passphrase(&self.files, |passphrase| {
            if due {
                let new = New { url: &self.url, passphrase, now };
                // What another one makes meanwhile is found at the next look.
                shards::extend(&self.installed.shards, new, now.plus(AHEAD))?;
            }
            shards::read(&self.installed.shards, passphrase, known)
        })?;
        for Issuer { chain, signer, .. } in self.issuers.load().iter() {
            let Some(signer) = signer else { continue };
            installation::check(chain, signer.as_ref(), &all).map_err(CommandError::failed)?;
        }
        self.remember(&all)?;
        let is_new = |shard: &Shard| known.iter().all(|one| one.database != shard.database);
        let found = all.into_iter().filter(is_new);
        found.map(|shard| self.open(&shard).map(|log| (shard, log))).collect()
    }

    /// Keeps the names of shards that are about to be opened.
    fn remember(&self, shards: &[Shard]) -> Result<(), CommandError> {
        if self.read_only {
            return Ok(());
        }
        shards::remember(&self.installed.shards, shards).map_err(CommandError::failed)
    }

    /// Opens a shard, and looks after its search index.
    fn open(&self, shard: &Shard) -> Result<Log, CommandError> {
        let log = self.open_log(shard)?;
        if !self.read_only {
            log.keep_index(shard.index()).map_err(CommandError::failed)?;
        }
        Ok(log)
    }

    /// Opens a shard to append and to read, or to read only when its window has ended.
    fn open_log(&self, shard: &Shard) -> Result<Log, CommandError> {
        if shard.is_over(self.clock.now()) {
            return self.read(shard, Log::open_over);
        }
        if self.read_only {
            let log = self.read(shard, Log::read_only)?;
            self.warn_of_old(shard)?;
            return Ok(log);
        }
        let store = Arc::new(sqlite::open(&shard.database).map_err(CommandError::failed)?);
        let opening = Opening {
            means: self.means(shard, Arc::clone(&store) as Arc<dyn Store>),
            epoch: random_epoch(),
            mark: Some(shard.mark(&self.log)),
            scrub: REST,
        };
        let log = Log::open(opening).map_err(|error| {
            CommandError::failed(mark::look_beside(error, &shard.mark_beside()))
        })?;
        // Only once the store is known to be this log's and whole.
        for certificate in self.issuers.load().iter().flat_map(|issuer| issuer.chain.ders()) {
            store.put_issuer(certificate).map_err(CommandError::failed)?;
        }
        Ok(log)
    }

    /// Says it of a database that is read and must not go on.
    fn warn_of_old(&self, shard: &Shard) -> Result<(), CommandError> {
        let store = sqlite::open_read_only(&shard.database).map_err(CommandError::failed)?;
        let (owner, mark) = (shard.ours(&self.url), shard.mark(&self.log));
        if let Err(error @ LogError::Mark(MarkError::Ahead { .. } | MarkError::Forked { .. })) =
            log::check(&store, &owner, Some(&mark), self.clock.now())
        {
            tracing::warn!("what is served for reading is not the newest: {error}");
        }
        Ok(())
    }

    fn read(
        &self,
        shard: &Shard,
        open: fn(Means) -> Result<Log, LogError>,
    ) -> Result<Log, CommandError> {
        let store = sqlite::open_read_only(&shard.database).map_err(CommandError::failed)?;
        open(self.means(shard, Arc::new(store))).map_err(CommandError::failed)
    }

    fn means(&self, shard: &Shard, store: Arc<dyn Store>) -> Means {
        let (keys, clock) = (shard.keys(), Arc::clone(&self.clock));
        Means { store, keys, clock, origin: shard.ours(&self.url).origin }
    }

    fn material(&self, shards: &[Shard]) -> Material {
        let now = self.clock.now();
        let logs: Vec<_> = shards.iter().map(|shard| shard.trust(&self.url, now)).collect();
        material(&self.url, &self.issuers.load(), logs, now)
    }
}
