//! Opening a log: to append to it, or to be read only.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Semaphore, watch};

use super::boot::{self, Tree, Wanted};
use super::edge::Edge;
use super::form::Form;
use super::mark::Mark;
use super::once::Once;
use super::scrub::{Damage, Scrub};
use super::sequencer::{Pending, QUEUE, Sequencer};
use super::signed::{Keys, Newest};
use super::tiles::Tiles;
use super::witness::Shown;
use super::{Log, LogError, READS, Shared, State};
use crate::store::{Epoch, Head, Owner, Store};
use crate::time::Clock;
use crate::tlog::merkle::Hash;

/// What a log is opened with.
pub struct Opening {
    /// Where it lives, and by whom and when.
    pub means: Means,
    /// Drawn for this opening alone: see [`Store`].
    pub epoch: Epoch,
    /// The file that remembers the newest head: see [`super::mark`].
    pub mark: Option<PathBuf>,
    /// What witnesses have seen of it, and of other logs: see [`super::witness`].
    pub shown: Vec<Shown>,
    /// How long the scrub rests between two slices: see [`super::scrub`].
    pub scrub: Duration,
}

/// What every log is opened with, and all that one takes that is only read.
pub struct Means {
    /// Where it lives.
    pub store: Arc<dyn Store>,
    /// What signs for it; the log id is made from the log key.
    pub keys: Keys,
    /// Read for each batch.
    pub clock: Arc<dyn Clock>,
    /// What its entries look like.
    pub form: Form,
    /// `<host>/ct/<shard>` for certificates, the host's name for signatures.
    pub origin: String,
    /// Which shard of its log it is, `2026`.
    pub shard: String,
}

/// Whether a log could go on in `store`, as [`Log::open`] finds out; yields its head.
///
/// Somebody may be appending meanwhile.
///
/// # Errors
///
/// As [`Log::open`].
pub fn check(store: &dyn Store, wanted: Wanted<'_>) -> Result<Head, LogError> {
    at_rest(store, wanted).map(|tree| tree.head)
}

/// What is read while somebody appends is of two states: then it is read again.
fn at_rest(store: &dyn Store, wanted: Wanted<'_>) -> Result<Tree, LogError> {
    loop {
        let before = store.head()?;
        match boot::check(store, wanted) {
            Err(_) if store.head()? != before => {}
            checked => return checked,
        }
    }
}

impl Log {
    /// Checks that the store is this log's and whole, begins an epoch in it, and starts the sequencer.
    ///
    /// # Errors
    ///
    /// [`LogError::Foreign`], [`LogError::Clock`], [`LogError::Rows`], [`LogError::Root`],
    /// [`LogError::Entry`], [`LogError::Issuer`], [`LogError::Tile`] when the store is not fit to go on with;
    /// [`LogError::Mark`] or [`LogError::Witness`] when something newer is remembered; [`LogError::Store`] when it cannot be read;
    /// [`LogError::Thread`] when there is no thread to be had.
    pub fn open(opening: Opening) -> Result<Self, LogError> {
        let Opening { means, epoch, mark, shown, scrub } = opening;
        let (store, clock) = (Arc::clone(&means.store), Arc::clone(&means.clock));
        let (owner, tree) = means.check(mark.as_deref())?;
        shown.iter().try_for_each(|shown| shown.check(store.as_ref(), tree.head))?;
        store.begin(tree.head, epoch)?;
        let mark = mark.map(|path| Mark::open(&path, &owner.origin, tree.head)).transpose()?;
        let published = Arc::new(ArcSwap::from_pointee(tree.head));
        let (sender, queue) = sync_channel(QUEUE);
        let (state, watched) = watch::channel(State::Open);
        let damage = Damage::default();
        let scrubbed = Scrub {
            store: Arc::clone(&store),
            form: means.form,
            published: Arc::clone(&published),
            damage: damage.clone(),
        };
        let sequencer = Sequencer {
            store,
            epoch,
            mark,
            form: means.form,
            clock,
            queue,
            tree,
            published: Arc::clone(&published),
            damage: damage.clone(),
            scrub: Some(scrubbed.start(scrub)?),
            state,
        };
        std::thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || sequencer.run())
            .map_err(|error| LogError::Thread(error.to_string()))?;
        let queue = ArcSwapOption::from_pointee(sender);
        Ok(means.into_log(owner, Engine { queue, published, state: watched, damage }))
    }

    /// Checks the store as [`Log::open`] does, but for what is remembered elsewhere, and serves what is in
    /// it; nothing is ever appended, and nothing is written. Somebody else may append meanwhile.
    ///
    /// What it signs are heads that the store has, which were signed before or might have been.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn read_only(means: Means) -> Result<Self, LogError> {
        Self::still(means, State::ReadOnly)
    }

    /// A log to which nothing is appended, and why.
    pub(super) fn still(means: Means, state: State) -> Result<Self, LogError> {
        let (owner, tree) = means.check(None)?;
        let published = Arc::new(ArcSwap::from_pointee(tree.head));
        let (_, state) = watch::channel(state);
        let (queue, damage) = Default::default();
        Ok(means.into_log(owner, Engine { queue, published, state, damage }))
    }

    /// Publishes the newest head of a store that somebody else appends to, once its tree has been seen to
    /// have that root.
    pub(super) async fn follow(&self) -> Result<(), LogError> {
        let (head, root) = self
            .read(|store| {
                let head = store.head()?;
                Ok((head, Edge::within(store, head.size)?.root()))
            })
            .await?;
        if root != Some(head.root) {
            return Err(LogError::Root { size: head.size });
        }
        if head.size >= self.head().size {
            self.shared.published.store(Arc::new(head));
        }
        Ok(())
    }
}

/// The parts of a log that tell one which is appended to from one that is read.
struct Engine {
    queue: ArcSwapOption<SyncSender<Pending>>,
    published: Arc<ArcSwap<Head>>,
    state: watch::Receiver<State>,
    damage: Damage,
}

impl Means {
    fn check(&self, mark: Option<&Path>) -> Result<(Owner, Tree), LogError> {
        let log_id = Hash::of(&[self.keys.log.public_key()]).0;
        let (origin, window) = (self.origin.clone(), self.store.owner().window);
        let owner = Owner { origin, log_id, window };
        let wanted = Wanted { owner: &owner, form: self.form, now: self.clock.now(), mark };
        let tree = at_rest(self.store.as_ref(), wanted)?;
        Ok((owner, tree))
    }

    fn into_log(self, owner: Owner, engine: Engine) -> Log {
        let Self { store, keys, clock, form, shard, .. } = self;
        let Engine { queue, published, state, damage } = engine;
        let shared = Shared {
            owner,
            shard,
            form,
            store,
            keys,
            clock,
            queue,
            published,
            newest: Newest::default(),
            once: Once::default(),
            reads: Semaphore::new(READS),
            tiles: Arc::new(Tiles::new(form)),
            compressed: Arc::new(Tiles::new(form)),
            follower: OnceLock::new(),
            cosigned: OnceLock::new(),
            state,
            damage,
        };
        Log { shared: Arc::new(shared) }
    }
}
