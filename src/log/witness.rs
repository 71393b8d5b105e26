//! The witnesses of a log: others who remember its heads and sign what goes on from them, so that it cannot
//! show two people two histories, nor forget one.
//!
//! ```text
//! at the start   each witness → the newest checkpoint that it has seen; what the store does not have,
//!                and this log has signed, keeps the log from being opened
//! from then on   every two seconds, if the head has moved: a round, the same head for all witnesses
//!                each witness, in its own time: the newest round → its cosignature
//! ```
//!
//! Nobody waits for a witness: an entry is logged, and the newest checkpoint served, with whatever
//! cosignatures of it there are. They are kept in memory, and asked for anew after a restart.
//!
//! **What a witness can do.** It can stay away, and it can show what this log has signed. What it makes up is
//! never served, and keeps nothing from starting: without the log's own signature nothing counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::edge::Edge;
use super::signed::{Keys, SignedHead};
use super::{Log, LogError, State};
use crate::config::Proxy;
use crate::keyset::SetupError;
use crate::keyset::fetch::FetchError;
use crate::quote::quote;
use crate::store::{Head, Store};
use crate::time::Timestamp;
use crate::tlog::key::{CheckpointError, KeyError, PublicKey};
use crate::tlog::merkle::Hash;
use crate::tlog::note::{Checkpoint, NoteSignature, SignedNote};
use crate::tlog::policy::{self, Policy};
use crate::witness::{AskError, Client, Witness};
use asking::Asking;

mod asking;

/// How long the start waits for all witnesses together.
const START: Duration = Duration::from_secs(2);
/// How long the newest head may want its quorum before somebody should look.
const LATE: Duration = Duration::from_secs(60);

/// Who is asked to cosign, and how often. Cloning shares connections.
#[derive(Clone, Debug)]
pub struct Witnesses {
    policy: Arc<Policy>,
    client: Client,
    pace: Pace,
}

/// How fast witnesses are asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two rounds, and between two questions to one witness, at least.
    pub every: Duration,
    /// For one answer, at most.
    pub answer: Duration,
    /// Between two questions to a witness that does not answer well, at most.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (every, answer) = (Duration::from_secs(2), Duration::from_secs(10));
        Self { every, answer, longest: Duration::from_secs(300) }
    }
}

impl Witnesses {
    /// The witnesses of `policy`, asked through `proxy`.
    ///
    /// # Errors
    ///
    /// [`SetupError::Tls`].
    pub fn new(policy: Policy, proxy: &Proxy) -> Result<Self, SetupError> {
        let (policy, client) = (Arc::new(policy), Client::through(proxy)?);
        Ok(Self { policy, client, pace: Pace::default() })
    }

    /// The same at another pace.
    #[must_use]
    pub fn at(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// Those that can be asked, with their places in the policy.
    fn asked(&self) -> impl Iterator<Item = (usize, &policy::Witness, Witness)> {
        let witnesses = self.policy.witnesses().iter().enumerate();
        witnesses.filter_map(|(place, it)| {
            let url = it.url.as_deref()?;
            Some((place, it, self.client.witness(url)))
        })
    }

    /// The newest checkpoints of these logs that witnesses show; all of them are asked at once, and those
    /// that do not answer in two seconds are passed over.
    pub async fn shown(&self, logs: &[(String, Keys)]) -> Vec<Shown> {
        let mut asked = JoinSet::new();
        for (origin, keys) in logs {
            for (_, witness, address) in self.asked() {
                let (origin, keys, by) = (origin.clone(), keys.clone(), witness.name.clone());
                asked.spawn(async move { show_at_start(&address, &origin, (&keys, &by)).await });
            }
        }
        asked.join_all().await.into_iter().flatten().collect()
    }
}

/// The newest checkpoint of a log that the witness of this name shows, if it does in time.
async fn show_at_start(witness: &Witness, origin: &str, of: (&Keys, &str)) -> Option<Shown> {
    let shown = timeout(START, show(witness, origin, of)).await;
    let shown = shown.unwrap_or(Err(AskError::from(FetchError::TimedOut).into()));
    let doubt = |error: &Unshown| {
        let by = quote(of.1);
        tracing::warn!(
            "whether the witness {by} has seen more of the log {origin} than is here is not known: {error}"
        );
    };
    shown.inspect_err(doubt).ok()
}

/// The newest checkpoint of the log with these keys that the witness of this name shows.
async fn show(
    witness: &Witness,
    origin: &str,
    (keys, by): (&Keys, &str),
) -> Result<Shown, Unshown> {
    let note = witness.checkpoint(origin).await?.ok_or(Unshown::None)?;
    let Checkpoint { origin: theirs, size, root } = signed_by(keys, &note)?;
    if theirs != origin {
        return Err(CheckpointError::OtherKey.into());
    }
    Ok(Shown { by: by.to_owned(), origin: theirs, size, root })
}

/// The checkpoint in a note that this log has signed, with either key.
fn signed_by(keys: &Keys, note: &SignedNote) -> Result<Checkpoint, Unshown> {
    if let Some(key) = &keys.note
        && let Ok(checkpoint) = PublicKey::from_spki(key.public_key())?.verify_note(note)
    {
        return Ok(checkpoint);
    }
    let key = PublicKey::from_spki(keys.log.public_key())?;
    Ok(key.verify_checkpoint(note)?.0)
}

/// Why a witness shows nothing that counts.
#[derive(Debug, thiserror::Error)]
enum Unshown {
    #[error("it shows no checkpoint of it")]
    None,
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A checkpoint that a log has signed, and a witness shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    by: String,
    origin: String,
    size: u64,
    root: Hash,
}

impl Shown {
    /// Whether the log in `store` may go on from `head`, if this is a checkpoint of it.
    ///
    /// # Errors
    ///
    /// [`LogError::Witness`] with what does not hold; [`LogError::Store`] when the store cannot be read.
    pub(super) fn check(&self, store: &dyn Store, head: Head) -> Result<(), LogError> {
        let Self { by, origin, size: seen, root } = self;
        let size = head.size;
        if *origin != store.owner().origin {
            return Ok(());
        }
        if *seen > size {
            return Err(WitnessError::Ahead { by: by.clone(), seen: *seen, size }.into());
        }
        if Edge::within(store, *seen)?.root() == Some(*root) {
            return Ok(());
        }
        Err(WitnessError::Forked { by: by.clone(), size: *seen }.into())
    }
}

/// What a witness shows that keeps a log from going on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// More than the database has.
    #[error(
        "the database has {size} entries, but the witness {} has seen {seen}, signed by this log: an old copy of the database was put back, or its newest part is lost; find the newer one, or serve this one for reading (serve --read-only), or close this log and begin a new one; going on from here would sign a second history",
        quote(by)
    )]
    Ahead {
        /// What the policy calls it.
        by: String,
        /// The size that it has seen.
        seen: u64,
        /// The size of the database's tree.
        size: u64,
    },
    /// Another history.
    #[error(
        "the first {size} entries in the database are not those that the witness {} has seen, signed by this log: this is the database of another history, continued from an old copy; find the one that the witness has seen, and serve this one for reading only (serve --read-only)",
        quote(by)
    )]
    Forked {
        /// What the policy calls it.
        by: String,
        /// The size that it has seen.
        size: u64,
    },
}

/// What witnesses have cosigned of a log that is open.
pub(super) struct Cosigned {
    policy: Arc<Policy>,
    /// The newest, which witnesses are asked about.
    round: watch::Sender<Option<Arc<Round>>>,
    /// The newest that enough of them have cosigned.
    complete: watch::Sender<Option<Arc<Round>>>,
    /// Since when there have been rounds that are not complete. Held while one of the two above changes.
    waiting: Mutex<Option<Timestamp>>,
}

/// A head that all witnesses are asked to cosign, and those who did.
struct Round {
    signed: Arc<SignedHead>,
    /// What is signed.
    text: String,
    began: Timestamp,
    /// By the places of the witnesses.
    lines: Mutex<BTreeMap<usize, NoteSignature>>,
}

impl Round {
    /// The signature lines of those who did, in the order of the policy.
    fn cosignatures(&self) -> String {
        self.lines().values().map(ToString::to_string).collect()
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<usize, NoteSignature>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cosigned {
    fn of(policy: Arc<Policy>) -> Self {
        let (round, complete) = Default::default();
        Self { policy, round, complete, waiting: Mutex::default() }
    }

    /// Asks all witnesses about this head from now on.
    fn begin(&self, signed: Arc<SignedHead>, text: String, began: Timestamp) {
        let round = Round { signed, text, began, lines: Mutex::default() };
        let mut waiting = self.waiting();
        waiting.get_or_insert(began);
        self.round.send_replace(Some(Arc::new(round)));
    }

    /// Keeps a cosignature that was verified.
    fn add(&self, round: &Arc<Round>, place: usize, line: NoteSignature) {
        let mut lines = round.lines();
        lines.insert(place, line);
        let is_enough = self.policy.is_met(|place| lines.contains_key(&place));
        drop(lines);
        let mut waiting = self.waiting();
        let is_newer = |than: &Round| round.signed.head.size > than.signed.head.size;
        if !is_enough || !self.complete.borrow().as_deref().is_none_or(is_newer) {
            return;
        }
        self.complete.send_replace(Some(Arc::clone(round)));
        let newest = self.round.borrow();
        let later = newest.as_ref().filter(|it| it.signed.head != round.signed.head);
        *waiting = later.map(|it| it.began);
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signature lines of those who have cosigned this very head by now.
    pub(super) fn cosignatures(&self, head: Head) -> String {
        let round = self.round.borrow().clone().filter(|round| round.signed.head == head);
        round.map(|round| round.cosignatures()).unwrap_or_default()
    }
}

impl Log {
    /// Has the log's heads cosigned until it is closed; none where somebody does that already.
    pub fn witness(
        &self,
        witnesses: &Witnesses,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let cosigned = Cosigned::of(Arc::clone(&witnesses.policy));
        self.shared.cosigned.set(cosigned).ok()?;
        let (log, witnesses) = (self.clone(), witnesses.clone());
        Some(async move { log.have_cosigned(&witnesses).await })
    }

    async fn have_cosigned(&self, witnesses: &Witnesses) {
        let Some(cosigned) = self.shared.cosigned.get() else { return };
        let mut all = JoinSet::new();
        for witness in witnesses.asked() {
            let asking = Asking::of(self, witness, witnesses.pace);
            all.spawn(asking.run(cosigned.round.subscribe()));
        }
        // When it ends so does everybody in `all`.
        self.begin_rounds(cosigned, witnesses.pace.every).await;
    }

    /// A round for the newest head, as often as that moves, but no faster than `every`.
    async fn begin_rounds(&self, cosigned: &Cosigned, every: Duration) {
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        while self.is_witnessed() {
            looks.tick().await;
            let head = self.head();
            // There is nothing to say of an empty tree.
            if head.size == 0 || last == Some(head) {
                continue;
            }
            // Why it cannot sign is said where that is asked for.
            let Ok(signed) = self.signed_head().await else { continue };
            last = Some(signed.head);
            let text = self.text(signed.head);
            cosigned.begin(signed, text, self.shared.clock.now());
        }
    }

    /// Whether its heads are cosigned in this state.
    fn is_witnessed(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Open | State::Over)
    }

    /// The newest checkpoint that enough witnesses have cosigned, if there is one since the start.
    pub fn cosigned_checkpoint(&self) -> Option<String> {
        let round = self.shared.cosigned.get()?.complete.borrow().clone();
        round.map(|round| round.signed.note.clone() + &round.cosignatures())
    }

    /// Whether its newest heads have wanted cosignatures for a minute.
    pub fn wants_witnesses(&self, now: Timestamp) -> bool {
        let since = self.shared.cosigned.get().and_then(|cosigned| *cosigned.waiting());
        since.is_some_and(|since| now.since(since) >= LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::cosignature::TYPE_COSIGNATURE;
    use crate::tlog::note::VerifierKey;

    const START: Timestamp = Timestamp::from_secs(1_767_225_600);

    /// Two witnesses, of which one is enough.
    fn cosigned() -> Cosigned {
        let line = |number: u8| {
            let (name, kind, key) = (format!("w{number}"), TYPE_COSIGNATURE, vec![number; 32]);
            format!("witness {number} {}\n", VerifierKey { name, kind, key })
        };
        let text = format!("{}{}group either any 1 2\nquorum either\n", line(1), line(2));
        Cosigned::of(Arc::new(Policy::parse(&text).unwrap()))
    }

    /// A round for a head of so many entries, begun so many seconds after the start.
    fn begin(cosigned: &Cosigned, size: u64) -> Arc<Round> {
        let head = Head { size, root: Hash::EMPTY, timestamp: START };
        let signed = SignedHead { head, signature: Vec::new(), note: String::new() };
        cosigned.begin(Arc::new(signed), String::new(), START.plus(Duration::from_secs(size)));
        cosigned.round.borrow().clone().unwrap()
    }

    fn line() -> NoteSignature {
        NoteSignature { name: "w".into(), key_id: [0; 4], signature: vec![0] }
    }

    #[track_caller]
    fn check(cosigned: &Cosigned, complete: Option<u64>, waiting: Option<u64>) {
        let newest = cosigned.complete.borrow().as_ref().map(|round| round.signed.head.size);
        let since = cosigned.waiting().map(|since| since.since(START).as_secs());
        assert_eq!((newest, since), (complete, waiting));
    }

    #[test]
    fn what_is_complete_never_goes_back_and_what_is_not_is_waited_for() {
        let cosigned = cosigned();
        check(&cosigned, None, None);
        let first = begin(&cosigned, 1);
        begin(&cosigned, 2);
        check(&cosigned, None, Some(1));
        let third = begin(&cosigned, 3);
        // An answer that took its time.
        cosigned.add(&first, 0, line());
        check(&cosigned, Some(1), Some(3));
        cosigned.add(&third, 0, line());
        check(&cosigned, Some(3), None);
        cosigned.add(&first, 1, line());
        check(&cosigned, Some(3), None);
        assert_eq!(cosigned.cosignatures(third.signed.head).lines().count(), 1);
        assert_eq!(cosigned.cosignatures(first.signed.head), "", "it is not the newest");
        cosigned.add(&third, 1, line());
        assert_eq!(cosigned.cosignatures(third.signed.head).lines().count(), 2);
        begin(&cosigned, 4);
        check(&cosigned, Some(3), Some(4));
    }
}
