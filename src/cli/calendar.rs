//! The calendar of both logs while an instance runs: shards come, one after the other, and end.
//!
//! ```text
//! look, once a minute, and at SIGHUP
//!   nothing takes entries in thirty days        → the next shard is made
//!   a shard is there that is not served yet     → the trust files name it, then it is used
//!   a window has ended                          → its shard is closed, and read from then on
//!   a chain of the authority is there that is not known yet → the same, and it issues when it begins
//!   one of the timestamp authority is there                 → the same, and it signs when it begins
//! ```
//!
//! Before a shard is opened its witnesses are asked what they have seen of it, and from then on to cosign it.
//!
//! A shard that was taken up stays, whatever becomes of its files: verifiers need its key.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::CommandError;
use super::instance::Instance;
use super::publisher::{Publisher, sign_in};
use crate::authority::Trust;
use crate::authority::succession::Succession;
use crate::http::trust::TrustFiles;
use crate::installation::shards::{self, AHEAD, Folder, Kind, Shard};
use crate::installation::succession::Issuer;
use crate::installation::{Files, Installation};
use crate::log::Log;
use crate::log::shards::Shards;
use crate::log::witness::Witnesses;
use crate::time::{Clock, Timestamp};
use crate::timestamping::Timestamping;
use crate::trust::Material;

mod place;

use place::Place;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Between two warnings.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The shards of a running instance.
pub struct Calendar {
    place: Arc<Place>,
    certificates: Row,
    signatures: Row,
    succession: Succession,
    publisher: Publisher,
    /// Where people sign in.
    sign_in: Vec<String>,
    hangups: Option<Signal>,
    /// What went wrong at this look, and at the last one: said once.
    broken: Vec<String>,
    said: Vec<String>,
    warned: Option<Timestamp>,
    witnesses: Option<Witnesses>,
    /// Those who have the shards cosigned.
    cosigning: JoinSet<()>,
}

/// One of the two logs.
#[derive(Clone)]
struct Row {
    folder: Folder,
    shards: Vec<Shard>,
    logs: Shards,
}

impl Row {
    fn open(place: &Place, folder: Folder, shards: &[Shard]) -> Result<Self, CommandError> {
        shards::remembered(shards, place.log()).map_err(CommandError::failed)?;
        place.remember(&folder, shards)?;
        let logs = place.open_all(shards)?;
        Ok(Self { folder, shards: shards.to_vec(), logs: Shards::new(logs) })
    }
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
        let Installation { shards, signatures, .. } = &instance.installation;
        let Files { shards: ct, signatures: tlog, .. } = Files::of(&instance.config);
        let mut calendar = Self {
            certificates: Row::open(&place, ct, shards)?,
            signatures: Row::open(&place, tlog, signatures)?,
            witnesses: place.witnesses()?,
            cosigning: JoinSet::new(),
            publisher: Publisher::open(instance, read_only)?,
            succession: place.succession(&instance.installation),
            sign_in: sign_in(&instance.config.issuers),
            place,
            hangups: None,
            broken: Vec::new(),
            said: Vec::new(),
            warned: None,
        };
        // That there is no next one yet keeps nobody from issuing now.
        let found = calendar.place.find(&calendar.wanted());
        calendar.take_up(found);
        let material = calendar.material();
        calendar.publisher.renew_here(&material, clock.now());
        Ok(calendar)
    }

    /// The shards of the certificate log.
    pub fn logs(&self) -> &Shards {
        &self.certificates.logs
    }

    /// The shards of the signature log.
    pub fn signatures(&self) -> &Shards {
        &self.signatures.logs
    }

    const fn rows(&self) -> [&Row; 2] {
        [&self.certificates, &self.signatures]
    }

    const fn row(&mut self, kind: Kind) -> &mut Row {
        match kind {
            Kind::Certificates => &mut self.certificates,
            Kind::Signatures => &mut self.signatures,
        }
    }

    /// Each log, and whether its next shard should be there by now.
    fn wanted(&self) -> [(Row, bool); 2] {
        self.rows().map(|row| (row.clone(), self.is_due(row)))
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
    pub async fn keep(mut self, trust: &ArcSwap<Trust>, timestamping: &Timestamping) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = hang_up(&mut self.hangups) => {}
                _ = looks.tick() => {}
            }
            self.sign_in = sign_in(trust.load().keyset.issuers());
            self.look(timestamping).await;
        }
    }

    async fn look(&mut self, timestamping: &Timestamping) {
        self.said = mem::take(&mut self.broken);
        let (place, wanted) = (Arc::clone(&self.place), self.wanted());
        // Disks can be slow, and the runtime's threads have certificates to issue.
        let found = tokio::task::spawn_blocking(move || place.find(&wanted)).await;
        self.take_up(found.unwrap_or_else(|error| Err(CommandError::failed(error))));
        self.succeed().await;
        self.stamp(timestamping).await;
        self.end().await;
        let material = self.material();
        self.publisher.renew(&material, self.place.clock.now()).await;
        self.have_cosigned();
        self.warn();
    }

    /// Has the shards cosigned that are not yet.
    fn have_cosigned(&mut self) {
        let Some(witnesses) = &self.witnesses else { return };
        for log in self.certificates.logs.all().iter() {
            log.witness(witnesses).map(|cosigning| self.cosigning.spawn(cosigning));
        }
        while self.cosigning.try_join_next().is_some() {}
    }

    /// Whether the next shard should be there by now.
    fn is_due(&self, row: &Row) -> bool {
        let now = self.place.clock.now();
        !self.place.read_only && row.logs.covered(now) <= now.plus(AHEAD)
    }

    /// Publishes what was found, then uses it; or says what went wrong, once.
    fn take_up(&mut self, found: Result<Vec<(Shard, Log)>, CommandError>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.complain(error),
        };
        for (shard, log) in found {
            let (kind, path, window) = (shard.kind, shard.path(), shard.owner.window);
            let row = self.row(kind);
            row.shards.push(shard);
            row.shards.sort_by_key(|shard| shard.owner.window);
            self.publisher.publish(&self.material());
            self.row(kind).logs.put(log);
            tracing::info!("the log has a new shard, {path}, for {} {window}", kind.entries());
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
        for issuer in found {
            for log in self.logs().all().iter().filter(|log| !log.is_over()) {
                if let Err(error) = log.keep_chain(issuer.chain.ders()).await {
                    return self.complain(CommandError::failed(error));
                }
            }
            self.place.know(issuer.clone());
            self.publisher.publish(&self.material());
            // One that was taken over, and is put back for verifiers, may be without its key.
            let Issuer { chain, signer: Some(signer), .. } = &issuer else { continue };
            let issuing = self.place.issuing(chain, signer);
            let begins = issuing.profile.begins();
            self.succession.put(issuing);
            tracing::info!("the authority has a new chain, which issues from {begins} on");
        }
    }

    /// Publishes the chains of the timestamp authority that were found, then has them take over in their time.
    async fn stamp(&mut self, timestamping: &Timestamping) {
        let place = Arc::clone(&self.place);
        let found = tokio::task::spawn_blocking(move || place.find_timestamps()).await;
        let keys = match found.unwrap_or_else(|error| Err(CommandError::failed(error))) {
            Ok(Some(keys)) => keys,
            Ok(None) => return,
            Err(error) => return self.complain(error),
        };
        self.place.stamp_by(&keys);
        self.publisher.publish(&self.material());
        timestamping.set(&keys);
        let begins = keys.last().map(|key| key.chain.not_before()).unwrap_or_default();
        tracing::info!("the timestamp authority has a new chain, which signs from {begins} on");
    }

    /// What verifiers and signers need to know now.
    fn material(&self) -> Material {
        let material = self.place.material(self.rows().into_iter().flat_map(|row| &row.shards));
        Material { sign_in: self.sign_in.clone(), ..material }
    }

    /// Closes what is over.
    async fn end(&mut self) {
        let now = self.place.clock.now();
        for row in self.rows().map(Row::clone) {
            let logs = row.logs.all();
            for log in logs.iter().filter(|log| !log.is_over() && now >= log.window().end) {
                log.close().await;
                let shard = row.shards.iter().find(|shard| shard.name() == log.shard());
                match shard.map(|shard| (shard.path(), self.place.open(shard, Vec::new()))) {
                    Some((path, Ok(over))) => {
                        row.logs.put(over);
                        tracing::info!("the shard {path} is closed: its window has ended");
                    }
                    Some((_, Err(error))) => self.complain(error),
                    None => {}
                }
            }
        }
    }

    fn complain(&mut self, error: CommandError) {
        let error = error.message();
        if !self.said.contains(&error) {
            tracing::error!("the calendar: {error}");
        }
        self.broken.push(error);
    }

    /// Says once a day what will keep us from issuing, or others from verifying, before long.
    fn warn(&mut self) {
        let now = self.place.clock.now();
        if self.warned.is_some_and(|last| now.since(last) < DAY) {
            return;
        }
        let late: Vec<&Row> = self.rows().into_iter().filter(|row| self.is_due(row)).collect();
        let overdue = self.trust_files().is_overdue(now);
        for row in &late {
            let end = row.logs.covered(now);
            match row.folder.kind {
                Kind::Certificates => tracing::warn!(
                    "nothing takes certificates that end from {end} on: the next shard of the log is \
                     missing; `mayfly rotate log` makes it"
                ),
                Kind::Signatures => tracing::warn!(
                    "nothing takes signatures from {end} on: the next shard of the signature log is missing; \
                     `mayfly rotate signatures` makes it"
                ),
            }
        }
        match (overdue, self.place.read_only) {
            (false, _) => {}
            (true, false) => tracing::warn!(
                "the TUF repository is about to expire; if no error before this one says why, its root is, \
                 and `mayfly rotate tuf` makes the next one"
            ),
            (true, true) => tracing::warn!(
                "the TUF repository is about to expire, or has new keys that have signed nothing yet: it is for \
                 the server that signs to sign it anew, and this one only reads"
            ),
        }
        if !late.is_empty() || overdue {
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
