//! Where the shards and the chains of an instance are, and what they are opened with.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Row;
use crate::authority::succession::{Issuing, Succession};
use crate::certificate::Chain;
use crate::certificate::profile::Profile;
use crate::cli::instance::{Instance, material, random_epoch, with_passphrase};
use crate::cli::{CommandError, runtime};
use crate::config::{AuthorityFiles, Config, LogConfig, Proxy};
use crate::installation::shards::{self, AHEAD, Folder, Kind, New, Shard};
use crate::installation::succession::{self, Issuer};
use crate::installation::timestamps;
use crate::installation::{self, Files, Installation};
use crate::log::mark::MarkError;
use crate::log::scrub::REST;
use crate::log::witness::{Shown, Witnesses};
use crate::log::{self, Log, LogError, Means, Opening, Wanted};
use crate::signer::Signer;
use crate::store::{Store, sqlite};
use crate::time::{Clock, Timestamp};
use crate::timestamping::Key;
use crate::trust::Material;

/// Where an instance's shards are, and what they are opened with.
pub(super) struct Place {
    pub(super) url: String,
    log: LogConfig,
    proxy: Proxy,
    installed: Files,
    /// The authority's files; one of them holds the passphrase.
    files: AuthorityFiles,
    /// The authority's chains.
    issuers: ArcSwap<Vec<Issuer>>,
    /// The keys of the timestamp authority.
    timestamps: ArcSwap<Vec<Key>>,
    lifetime: Duration,
    backdate: Duration,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether all shards are only read, and none is made.
    pub(super) read_only: bool,
}

/// What `future` yields, waited for on a thread of its own: this one may be a runtime's, which is for
/// others meanwhile.
fn wait<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, CommandError> {
    let wait = || {
        let runtime = runtime()?;
        let found = runtime.block_on(future);
        // A name that is still being resolved keeps nobody waiting.
        runtime.shutdown_background();
        Ok(found)
    };
    std::thread::scope(|scope| scope.spawn(wait).join())
        .unwrap_or_else(|_| Err(CommandError::Failed("a thread ended unexpectedly".to_owned())))
}

impl Place {
    pub(super) fn of(instance: &Instance, clock: &Arc<dyn Clock>, read_only: bool) -> Self {
        let Config { url, authority, log, proxy, lifetime, backdate, .. } = &instance.config;
        Self {
            url: url.clone(),
            log: log.clone(),
            proxy: proxy.clone(),
            installed: Files::of(&instance.config),
            files: authority.clone(),
            issuers: ArcSwap::from_pointee(instance.installation.issuers.clone()),
            timestamps: ArcSwap::from_pointee(instance.installation.timestamps.clone()),
            lifetime: *lifetime,
            backdate: *backdate,
            clock: Arc::clone(clock),
            read_only,
        }
    }

    /// The chains that an installation issues by.
    pub(super) fn succession(&self, installation: &Installation) -> Succession {
        let Installation { chain, authority, issuers, .. } = installation;
        let succession = Succession::from(self.issuing(chain, authority));
        for issuer in issuers {
            if let Some(signer) = &issuer.signer {
                succession.put(self.issuing(&issuer.chain, signer));
            }
        }
        succession
    }

    pub(super) fn issuing(&self, chain: &Arc<Chain>, signer: &Arc<dyn Signer>) -> Issuing {
        let profile = Profile::new(chain, signer.algorithm(), self.lifetime, self.backdate);
        Issuing { chain: Arc::clone(chain), signer: Arc::clone(signer), profile }
    }

    /// The chains that are not known yet.
    pub(super) fn find_issuers(&self) -> Result<Vec<Issuer>, CommandError> {
        let (known, files) = (self.issuers.load_full(), &self.installed);
        if !succession::has_others(files, &known) {
            return Ok(Vec::new());
        }
        let all = with_passphrase(&self.files, |passphrase| {
            succession::read(files, passphrase, self.clock.now(), &known)
        })?;
        let is_new = |issuer: &Issuer| known.iter().all(|one| one.file != issuer.file);
        Ok(all.into_iter().filter(is_new).collect())
    }

    /// Tells verifiers of a chain from now on.
    pub(super) fn know(&self, issuer: Issuer) {
        let mut issuers = self.issuers.load_full().to_vec();
        issuers.push(issuer);
        issuers.sort_by_key(|issuer| issuer.chain.not_before());
        self.issuers.store(Arc::new(issuers));
    }

    /// The keys of the timestamp authority, if there is one that is not known yet.
    pub(super) fn find_timestamps(&self) -> Result<Option<Vec<Key>>, CommandError> {
        let (known, folder) = (self.timestamps.load_full(), &self.installed.timestamps);
        if !timestamps::has_others(folder, &known).map_err(CommandError::failed)? {
            return Ok(None);
        }
        let keys = with_passphrase(&self.files, |passphrase| {
            timestamps::read(folder, passphrase, &known)
        })?;
        if !self.read_only {
            timestamps::check(&keys, self.clock.now()).map_err(CommandError::failed)?;
        }
        Ok(Some(keys))
    }

    /// Tells verifiers of these keys from now on.
    pub(super) fn stamp_by(&self, keys: &[Key]) {
        self.timestamps.store(Arc::new(keys.to_vec()));
    }

    /// Whether some chain holds now.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        let issuers = self.issuers.load();
        issuers.iter().any(|it| it.chain.not_before() <= now && now < it.chain.not_after())
    }

    /// What the configuration says of logs.
    pub(super) const fn log(&self) -> &LogConfig {
        &self.log
    }

    /// The shards that are not known yet, open, after the next one of each log was made where it is due.
    pub(super) fn find(&self, wanted: &[(Row, bool)]) -> Result<Vec<(Shard, Log)>, CommandError> {
        // The passphrase may be there at the start only, and for this.
        let mut is_needed = false;
        for (Row { folder, shards, .. }, due) in wanted {
            is_needed |=
                *due || shards::has_others(folder, shards).map_err(CommandError::failed)?;
        }
        if !is_needed {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        // By a clock that the chain does not hold at, no year can be told.
        let tells = self.holds(now);
        let all = with_passphrase(&self.files, |passphrase| {
            let mut all = Vec::new();
            for (Row { folder, shards, .. }, due) in wanted {
                if *due && tells {
                    let new = New { url: &self.url, passphrase, now };
                    // What another one makes meanwhile is found at the next look.
                    shards::extend(folder, new, now.plus(AHEAD))?;
                }
                all.extend(shards::read(folder, passphrase, shards)?);
            }
            Ok(all)
        })?;
        for Issuer { chain, signer, .. } in self.issuers.load().iter() {
            let Some(signer) = signer else { continue };
            installation::check(chain, signer.as_ref(), &all).map_err(CommandError::failed)?;
        }
        let known = wanted.iter().flat_map(|(row, _)| &row.shards);
        let is_new = |shard: &Shard| known.clone().all(|one| one.database != shard.database);
        let found: Vec<Shard> = all.into_iter().filter(is_new).collect();
        for (Row { folder, .. }, _) in wanted {
            let of_it = found.iter().filter(|shard| shard.kind == folder.kind).cloned();
            self.remember(folder, &of_it.collect::<Vec<_>>())?;
        }
        let logs = self.open_all(&found)?;
        Ok(found.into_iter().zip(logs).collect())
    }

    /// Opens shards that nobody has opened yet.
    pub(super) fn open_all(&self, shards: &[Shard]) -> Result<Vec<Log>, CommandError> {
        let shown = self.shown(shards)?;
        shards.iter().map(|shard| self.open(shard, shown.clone())).collect()
    }

    /// What witnesses have seen of the shards that are to be appended to.
    fn shown(&self, shards: &[Shard]) -> Result<Vec<Shown>, CommandError> {
        let now = self.clock.now();
        // All shards of the signature log have one name, by which witnesses would take them for one log.
        let cosigned = shards.iter().filter(|shard| shard.kind == Kind::Certificates);
        let open = cosigned.filter(|shard| !shard.is_over(now));
        let logs: Vec<_> = open.map(|it| (it.ours(&self.url).origin, it.keys())).collect();
        match self.witnesses()? {
            Some(witnesses) if !logs.is_empty() => wait(witnesses.shown(&logs)),
            _ => Ok(Vec::new()),
        }
    }

    /// Who cosigns the shards, if they are appended to.
    pub(super) fn witnesses(&self) -> Result<Option<Witnesses>, CommandError> {
        let policy = self.log.witnesses.clone().filter(|_| !self.read_only);
        let witnesses = policy.map(|policy| Witnesses::new(policy, &self.proxy));
        witnesses.transpose().map_err(CommandError::failed)
    }

    /// Keeps the names of shards that are about to be opened.
    pub(super) fn remember(&self, folder: &Folder, shards: &[Shard]) -> Result<(), CommandError> {
        if self.read_only {
            return Ok(());
        }
        shards::remember(&folder.path, shards).map_err(CommandError::failed)
    }

    /// Opens a shard, and looks after its search index.
    pub(super) fn open(&self, shard: &Shard, shown: Vec<Shown>) -> Result<Log, CommandError> {
        let log = self.open_log(shard, shown)?;
        if !self.read_only {
            log.keep_index(shard.index()).map_err(CommandError::failed)?;
        }
        Ok(log)
    }

    /// Opens a shard to append and to read, or to read only when its window has ended.
    fn open_log(&self, shard: &Shard, shown: Vec<Shown>) -> Result<Log, CommandError> {
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
            shown,
            scrub: REST,
        };
        let log =
            Log::open(opening).map_err(|error| CommandError::failed(shard.look_beside(error)))?;
        // Only once the store is known to be this log's and whole.
        let issuers = self.issuers.load();
        let chains = issuers.iter().filter(|_| shard.kind == Kind::Certificates);
        for certificate in chains.flat_map(|issuer| issuer.chain.ders()) {
            store.put_issuer(certificate).map_err(CommandError::failed)?;
        }
        Ok(log)
    }

    /// Says it of a database that is read and must not go on.
    fn warn_of_old(&self, shard: &Shard) -> Result<(), CommandError> {
        let store = sqlite::open_read_only(&shard.database).map_err(CommandError::failed)?;
        let (owner, mark) = (shard.ours(&self.url), shard.mark(&self.log));
        let (form, now, mark) = (shard.kind.form(), self.clock.now(), Some(mark.as_path()));
        let wanted = Wanted { owner: &owner, form, now, mark };
        if let Err(error @ LogError::Mark(MarkError::Ahead { .. } | MarkError::Forked { .. })) =
            log::check(&store, wanted)
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
        let (form, shard, origin) =
            (shard.kind.form(), shard.name().to_owned(), shard.ours(&self.url).origin);
        Means { store, keys, clock, form, origin, shard }
    }

    pub(super) fn material<'a>(&self, shards: impl IntoIterator<Item = &'a Shard>) -> Material {
        let (issuers, timestamps) = (self.issuers.load(), self.timestamps.load());
        material(&self.url, (&issuers, &timestamps), shards, self.clock.now())
    }
}
