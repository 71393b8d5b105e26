//! What is queued → one commit → the published head → the answers, in that order.
//!
//! One thread owns the tree. It takes whatever is queued, so batches grow by themselves with the
//! load; nothing waits for a window to close. Crash by crash:
//!
//! - before the commit: nothing happened, nobody was answered;
//! - in the commit: the batch is there whole or not at all, and nobody was answered. The next start
//!   finds out; an entry without a certificate is allowed, a certificate without an entry is not;
//! - after the commit: the entries are in the tree that every checkpoint from now on covers. Only then
//!   is the head published, only then are the callers answered, and only then is anything signed.
//!   Before all that the [`super::mark`] remembers it.
//!
//! Where the outcome of a commit is unknown the sequencer stops for good: all that it holds in memory
//! may be wrong by then. It answers everybody and reports; `main` ends the process.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::boot::Tree;
use super::edge::{Edge, Grown};
use super::form::{Entry, Form};
use super::mark::Mark;
use super::paths::Paths;
use super::scrub::{Damage, Scrubbing};
use super::{LogError, State};
use crate::store::{Batch, Epoch, Head, Placed, Store, Tile};
use crate::time::{Clock, Timestamp};
use crate::tlog::merkle::{Frontier, leaf_hash};

/// How many entries may wait; beyond it callers are turned away at once.
pub const QUEUE: usize = 4096;
/// How many entries, and about how many octets of them, one commit takes.
const BATCH: usize = 512;
const BATCH_OCTETS: usize = 1 << 20;
/// How far the newest timestamp may be ahead of the clock before the log refuses to go on.
pub const TOLERANCE: Duration = Duration::from_secs(1);
/// How far it may be ahead before the log waits a little: see [`Sequencer::pace`].
const LEAD: Duration = Duration::from_millis(10);

/// An entry on its way into the tree.
pub struct Pending {
    /// What is logged.
    pub entry: Box<dyn Entry>,
    /// Its record, JSON.
    pub record: String,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Place, LogError>>,
}

/// Where an entry came to stand; durable, and covered by the published head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its position in the tree.
    pub index: u64,
    /// The time of its batch.
    pub timestamp: Timestamp,
    /// The very octets that were hashed into the tree; in a certificate log what the SCT signs, too.
    pub leaf: Vec<u8>,
}

/// The thread that owns the tree.
pub struct Sequencer {
    /// Where batches go; nobody else appends to it.
    pub store: Arc<dyn Store>,
    /// The epoch that was begun for it.
    pub epoch: Epoch,
    /// Remembers every head outside of the store.
    pub mark: Option<Mark>,
    /// What the entries look like.
    pub form: Form,
    /// Read for each batch.
    pub clock: Arc<dyn Clock>,
    /// The entries that wait.
    pub queue: Receiver<Pending>,
    /// The tree as committed.
    pub tree: Tree,
    /// The head that reads and checkpoints go by.
    pub published: Arc<ArcSwap<Head>>,
    /// What was found wrong with the log meanwhile.
    pub damage: Damage,
    /// Reads it again all the while.
    pub scrub: Option<Scrubbing>,
    /// How the log fares.
    pub state: watch::Sender<State>,
}

impl Sequencer {
    /// Sequences until the queue is closed and empty, or a commit fails.
    pub fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let pending = self.take(first);
            if let Err((error, unanswered)) = self.sequence(pending) {
                return self.stop(&error, unanswered);
            }
        }
        let Self { store, state, mark, scrub, .. } = self;
        scrub.into_iter().for_each(Scrubbing::end);
        let synced = mark.map_or(Ok(()), |mark| mark.sync());
        // Whoever hears of the end may open the store again.
        drop(store);
        state.send_replace(
            synced.map_or_else(|error| State::Failed(error.into()), |()| State::Closed),
        );
    }

    /// Keeps timestamps near the clock: each batch needs a millisecond of its own, and a fast disk makes
    /// more than a thousand commits a second. One millisecond a batch is enough to stay level.
    fn pace(&self) {
        if self.tree.head.timestamp.since(self.clock.now()) > LEAD {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The first entry and those queued behind it, up to the limits of a batch.
    fn take(&self, first: Pending) -> Vec<Pending> {
        self.pace();
        // On a busy core somebody who is about to append gets to it, and shares the sync; on an idle one
        // this takes no time.
        std::thread::yield_now();
        let mut octets = first.octets();
        let mut pending = vec![first];
        while pending.len() < BATCH && octets < BATCH_OCTETS {
            let Ok(next) = self.queue.try_recv() else { break };
            octets += next.octets();
            pending.push(next);
        }
        pending
    }

    /// Makes a batch durable, publishes its head, answers its callers.
    ///
    /// An error is one after which the log must not go on; it comes with the callers not answered yet.
    fn sequence(&mut self, pending: Vec<Pending>) -> Result<(), (LogError, Vec<Answer>)> {
        let timestamp = match self.timestamp() {
            Ok(timestamp) => timestamp,
            Err(error) => {
                pending.into_iter().for_each(|one| refuse(one.answer, &error));
                return Ok(());
            }
        };
        let (answers, batch) = self.place(pending, timestamp);
        let committed = batch.and_then(|(batch, places)| {
            self.store.append(&batch).map_err(LogError::Store)?;
            // Crash: after the commit, so that it never remembers what the store has not; before anybody
            // sees the head, so that it has every head that was seen.
            self.mark.as_mut().map_or(Ok(()), |mark| mark.write(batch.head))?;
            Ok((batch.head, places))
        });
        let (head, places) = match committed {
            Ok(committed) => committed,
            Err(error) => return Err((error, answers)),
        };
        self.tree.head = head;
        self.published.store(Arc::new(head));
        for (answer, place) in answers.into_iter().zip(places) {
            // A caller that has gone away leaves an entry without a certificate, which is allowed.
            let _ = answer.send(Ok(place));
        }
        Ok(())
    }

    /// The time of the next batch: later than the last one's, and close to the clock's; or why nothing
    /// may be appended at present.
    fn timestamp(&self) -> Result<Timestamp, LogError> {
        self.damage.none()?;
        let (head, now) = (self.tree.head.timestamp, self.clock.now());
        let timestamp = now.max(head.plus(Duration::from_millis(1)));
        if timestamp.since(now) > TOLERANCE {
            return Err(LogError::Clock { head, now });
        }
        Ok(timestamp)
    }

    /// Gives every entry its place, and makes the batch of it.
    fn place(&mut self, pending: Vec<Pending>, timestamp: Timestamp) -> (Vec<Answer>, Computed) {
        let before = self.tree.frontier.clone();
        let mut answers = Vec::with_capacity(pending.len());
        let mut places = Vec::with_capacity(pending.len());
        let mut entries = Vec::with_capacity(pending.len());
        for Pending { entry, record, answer } in pending {
            let index = self.tree.frontier.size();
            let leaf = entry.leaf(timestamp, index);
            let leaf_hash = leaf_hash(&leaf);
            self.tree.frontier.push(leaf_hash);
            let tile_leaf = entry.stored(timestamp, index);
            entries.push(Placed { index, leaf_hash, tile_leaf, record });
            places.push(Place { index, timestamp, leaf });
            answers.push(answer);
        }
        let (size, root) = (self.tree.frontier.size(), self.tree.frontier.root());
        let head = Head { size, root, timestamp };
        let tiles = recompute(&before, (&mut self.tree.edge, self.form), &entries, head);
        let (before, epoch) = (self.tree.head, self.epoch);
        let batch = |tiles| (Batch { before, epoch, entries, tiles, head }, places);
        (answers, tiles.map(batch))
    }

    /// Ends the log: says so first, so that whoever finds no answer finds the reason; then answers
    /// everybody. Who queues behind the last answer is told when the queue goes away.
    fn stop(self, error: &LogError, unanswered: Vec<Answer>) {
        let Self { store, queue, state, scrub, .. } = self;
        scrub.into_iter().for_each(Scrubbing::end);
        // Whoever hears of the end may open the store again.
        drop(store);
        state.send_replace(State::Failed(error.clone()));
        let queued = queue.try_iter().map(|pending| pending.answer);
        unanswered.into_iter().chain(queued).for_each(|answer| refuse(answer, error));
    }
}

/// Computes the tree again, twice, from the octets that are about to be stored: by way of tiles, and by
/// the path of each new entry up to the root; yields those tiles.
///
/// Crash: one flipped bit in a hash, once signed, is the end of a log (Yeti 2022). Leaf, path, tile,
/// root and row must agree before anything is durable.
fn recompute(
    before: &Frontier,
    (edge, form): (&mut Edge, Form),
    entries: &[Placed],
    head: Head,
) -> Result<Vec<Tile>, LogError> {
    let mut grown = Grown::default();
    let paths = Paths::new(before, entries.iter().map(|placed| placed.leaf_hash));
    let mut hold = true;
    for placed in entries {
        let leaf = form.read(&placed.tile_leaf).filter(|leaf| {
            leaf.hash == placed.leaf_hash && leaf.fits(placed.index, head.timestamp)
        });
        hold &= leaf.is_some_and(|leaf| paths.hold((placed.index, leaf.hash), head.root));
        edge.push(placed.leaf_hash, &mut grown);
    }
    let tiles = grown.into_tiles();
    if hold && edge.root() == Some(head.root) && edge.holds(&tiles) {
        return Ok(tiles);
    }
    Err(LogError::Miscomputed { size: head.size })
}

type Answer = oneshot::Sender<Result<Place, LogError>>;
type Computed = Result<(Batch, Vec<Place>), LogError>;

impl Pending {
    fn octets(&self) -> usize {
        self.entry.octets() + self.record.len()
    }
}

fn refuse(answer: Answer, error: &LogError) {
    let _ = answer.send(Err(error.clone()));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ct::window::Window;
    use crate::log::boot::{self, Wanted};
    use crate::store::{Owner, sqlite};

    const AT: Timestamp = Timestamp::from_secs(1_767_225_600);

    const EPOCH: Epoch = Epoch([1; 16]);

    fn placed(index: u64) -> Placed {
        let entry = crate::ct::entry::Entry {
            issuer_key_hash: [7; 32],
            tbs: b"to be signed".to_vec(),
            precertificate: b"precertificate".to_vec(),
            chain: [[1; 32]].into(),
        };
        let leaf_hash = leaf_hash(&entry.merkle_tree_leaf(AT, index));
        let tile_leaf = entry.tile_leaf(AT, index);
        Placed { index, leaf_hash, tile_leaf, record: "{}".into() }
    }

    /// Whether a batch of 300 upon 5 passes after `change`.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<Placed>, &mut Head), passes: bool) {
        let (mut edge, mut frontier) = (Edge::default(), Frontier::default());
        for placed in (0..5).map(placed) {
            edge.push(placed.leaf_hash, &mut Grown::default());
            frontier.push(placed.leaf_hash);
        }
        let (before, form) = (frontier.clone(), Form::Certificates);
        let mut entries: Vec<Placed> = (5..305).map(placed).collect();
        entries.iter().for_each(|placed| frontier.push(placed.leaf_hash));
        let mut head = Head { size: 305, root: frontier.root(), timestamp: AT };
        change(&mut entries, &mut head);
        let computed = recompute(&before, (&mut edge, form), &entries, head).map(|_| ());
        let expected = if passes { Ok(()) } else { Err(LogError::Miscomputed { size: 305 }) };
        assert_eq!(computed, expected);
    }

    /// P8.
    #[test]
    fn a_flipped_bit_is_never_committed() {
        check(|_, _| {}, true);
        for entry in [0, 1, 150, 299] {
            check(|entries, _| entries[entry].tile_leaf[60] ^= 1, false);
            check(|entries, _| entries[entry].tile_leaf.push(0), false);
            check(|entries, _| entries[entry].leaf_hash.0[31] ^= 1, false);
            check(|entries, _| entries[entry].index ^= 1, false);
        }
        check(|entries, _| entries.swap(0, 1), false);
        check(|entries, _| drop(entries.pop()), false);
        check(|_, head| head.root.0[0] ^= 1, false);
        check(|_, head| head.timestamp = AT.minus(Duration::from_millis(1)), false);
    }

    /// P8: in what the engine holds in memory of the tree before, too.
    #[test]
    fn a_bit_that_flipped_since_the_last_batch_is_never_committed() {
        for (in_frontier, in_edge) in [(false, false), (true, false), (false, true)] {
            let (mut edge, mut frontier) = (Edge::default(), Frontier::default());
            let flip = |index: u64, flipped: bool| {
                let mut hash = placed(index).leaf_hash;
                hash.0[7] ^= u8::from(flipped && index == 2);
                hash
            };
            for index in 0..5 {
                edge.push(flip(index, in_edge), &mut Grown::default());
                frontier.push(flip(index, in_frontier));
            }
            let (before, entries) = (frontier.clone(), [placed(5)]);
            frontier.push(entries[0].leaf_hash);
            let head = Head { size: 6, root: frontier.root(), timestamp: AT };
            let form = Form::Certificates;
            let passes = recompute(&before, (&mut edge, form), &entries, head).is_ok();
            assert_eq!(passes, !in_frontier && !in_edge);
        }
    }

    fn octets(number: u64) -> Box<dyn Entry> {
        Box::new(format!("{{\"kind\":\"hashedrekord\",\"number\":{number}}}").into_bytes())
    }

    /// Whose the log of octets is.
    fn owner() -> Owner {
        let window = Window::year(AT);
        Owner { origin: "rekor.example.com".into(), log_id: [7; 32], window }
    }

    /// Opens the log at `path` and sequences octets until it has `size` entries; yields what those who
    /// asked were told, and how the log ended.
    fn sequence(path: &Path, mark: Option<Mark>, size: u64) -> (Vec<Told>, State) {
        let store: Arc<dyn Store> = Arc::new(sqlite::open(path).unwrap());
        let (owner, form, epoch) = (owner(), Form::Octets, EPOCH);
        let tree = boot::check(store.as_ref(), Wanted { owner: &owner, form, now: AT, mark: None });
        let tree = tree.unwrap();
        store.begin(tree.head, epoch).unwrap();
        let (sender, queue) = std::sync::mpsc::sync_channel(QUEUE);
        let ask = |number| {
            let (answer, answered) = oneshot::channel();
            let pending = Pending { entry: octets(number), record: "{}".into(), answer };
            sender.send(pending).unwrap();
            answered
        };
        let asked: Vec<_> = (tree.head.size..size).map(ask).collect();
        drop(sender);
        let (published, clock) = (Arc::new(ArcSwap::from_pointee(tree.head)), Arc::new(Still));
        let (state, watched) = watch::channel(State::Open);
        let (damage, scrub) = (Damage::default(), None);
        let sequencer = Sequencer {
            store,
            epoch,
            mark,
            form,
            clock,
            queue,
            tree,
            published,
            damage,
            scrub,
            state,
        };
        sequencer.run();
        let told = asked.into_iter().map(|answered| answered.blocking_recv().unwrap()).collect();
        (told, watched.borrow().clone())
    }

    type Told = Result<Place, LogError>;

    /// Entries that are no certificates go the same way: sequencer, store, and the check at the start.
    #[test]
    fn any_octets_make_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sqlite");
        sqlite::create(&path, &owner(), AT).unwrap();
        for (first, size) in [(0, 300), (300, 600)] {
            let (told, state) = sequence(&path, None, size);
            assert_eq!((state, told.len()), (State::Closed, 300));
            for (place, index) in told.into_iter().zip(first..) {
                let Place { index: stands, leaf, .. } = place.unwrap();
                assert_eq!((stands, leaf), (index, octets(index).leaf(AT, index)));
            }
        }
        let (store, owner) = (sqlite::open_read_only(&path).unwrap(), owner());
        let wanted = Wanted { owner: &owner, form: Form::Octets, now: AT, mark: None };
        assert_eq!(boot::check(&store, wanted).unwrap().head.size, 600);
        let certificates = Wanted { form: Form::Certificates, ..wanted };
        let refused = boot::check(&store, certificates).err();
        assert_eq!(refused, Some(LogError::Entry { index: 344 }));
    }

    /// P13: nobody is told of a place that the mark does not remember.
    #[test]
    fn a_mark_that_fails_ends_the_log_and_answers_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.sqlite");
        sqlite::create(&path, &owner(), AT).unwrap();
        let head = sqlite::open_read_only(&path).unwrap().head().unwrap();
        let mark = Mark::open(&folder.path().join("log.mark"), "rekor.example.com", head).unwrap();
        mark.fail();
        // More than one batch holds.
        let (told, state) = sequence(&path, Some(mark), 700);
        let State::Failed(error @ LogError::Mark(_)) = state else { panic!("{state:?}") };
        assert_eq!(told, vec![Err(error); 700]);
        // Durable all the same: the next start goes on from there.
        assert_eq!(sqlite::open_read_only(&path).unwrap().head().unwrap().size, 512);
    }

    /// A clock that stands still.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            AT
        }
    }
}
