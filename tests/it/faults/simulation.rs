//! Ten thousand short lives of a log: what happens in each is drawn from one number.
//!
//! The engine runs as it is; disk, clock, key and callers are told by the seed what to do. Batches are what the seed
//! says, too: see [`disk::HeldClock`]. After each life the model holds the log to all that was ever said.
//!
//! ```text
//! MAYFLY_SEED=81 cargo test --test it simulation        one life, step by step
//! MAYFLY_HISTORIES=1000000 cargo test --test it simulation        more of them
//! ```

mod disk;
mod model;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mayfly::ct::judge::{Sighting, Tiles};
use mayfly::ct::sct::Sct;
use mayfly::log::sequencer::TOLERANCE;
use mayfly::log::{Log, LogError};
use mayfly::signer::Signer;
use mayfly::store::{Head, StoreError};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::Hash;
use mayfly::tlog::tile::{TileKind, TilePath};
use tokio::runtime::Runtime;

use super::chance::Chance;
use super::stage::{HOUR, MIDNIGHT, ORIGIN, append, owner};
use crate::support::store::{LogKey, means_of_certificates, opening};
use disk::{Base, Disk, Fate, Flip, HeldClock, Process, Row};
use model::{Leaf, Promises, Tree};

const HISTORIES: u64 = 10_000;
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn ten_thousand_lives_of_a_log() {
    let number = |name: &str| {
        let value = std::env::var_os(name)?;
        Some(value.to_str().and_then(|text| text.parse::<u64>().ok()).expect("a number"))
    };
    if let Some(seed) = number("MAYFLY_SEED") {
        println!("{}", History::live(seed, &runtime()));
        return;
    }
    let histories = number("MAYFLY_HISTORIES").unwrap_or(HISTORIES);
    let next = AtomicU64::new(0);
    let live = || {
        let runtime = runtime();
        let mut seen = Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= histories {
                return seen;
            }
            seen.add(&History::live(seed, &runtime).seen);
        }
    };
    let seen = std::thread::scope(|threads| {
        let threads = [threads.spawn(live), threads.spawn(live)];
        let mut seen = Seen::default();
        threads.into_iter().for_each(|thread| seen.add(&thread.join().expect("every life holds")));
        seen
    });
    println!("{histories} lives: {seen:?}");
    let Seen { scts, refused, ended, damaged, .. } = seen;
    assert!(scts > histories && ended > histories / 4, "these lives were too quiet: {seen:?}");
    assert!(refused > histories / 20 && damaged > histories / 20, "{seen:?}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// How often the things happened that this is about.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    scts: u64,
    heads: u64,
    starts: u64,
    /// Logs that ended by themselves.
    ended: u64,
    /// Starts that were refused.
    refused: u64,
    /// Starts refused because of damage.
    damaged: u64,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.scts += other.scts;
        self.heads += other.heads;
        self.starts += other.starts;
        self.ended += other.ended;
        self.refused += other.refused;
        self.damaged += other.damaged;
    }
}

/// One life.
struct History<'a> {
    seed: u64,
    chance: Chance,
    runtime: &'a Runtime,
    before: &'a Before,
    disk: Arc<Disk>,
    clock: Arc<HeldClock>,
    key: Arc<LogKey>,
    log: Option<Log>,
    next: u64,
    promises: Promises,
    steps: Vec<String>,
    seen: Seen,
}

type Append = Pin<Box<dyn Future<Output = Result<Sct, LogError>>>>;

/// What there is when a life begins.
struct Before {
    base: Arc<Base>,
    leaves: Vec<Leaf>,
    tree: Tree,
}

impl Before {
    fn new(base: Base) -> Self {
        let leaves: Vec<Leaf> = base.entries.iter().map(|(_, row)| Leaf::cut(row)).collect();
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(leaf.hash));
        Self { base: Arc::new(base), leaves, tree }
    }

    /// A log of `size` entries.
    fn of(size: u64) -> Self {
        let runtime = runtime();
        let head = Head { size: 0, root: Hash::EMPTY, timestamp: MIDNIGHT };
        let (entries, tiles) = Default::default();
        let nothing = Self::new(Base { head, entries, tiles });
        let mut life = History::begin(0, &runtime, &nothing);
        life.key.broken.store(true, Ordering::SeqCst);
        life.start();
        while life.next < size {
            life.commit((size - life.next).min(512));
            life.pass(Duration::from_millis(50));
        }
        life.close();
        Self::new(life.disk.base())
    }
}

/// Logs that lives begin with: empty, and just below the edges of tiles.
static BEFORE: LazyLock<[Before; 4]> = LazyLock::new(|| [0, 252, 508, 65_531].map(Before::of));

impl<'a> History<'a> {
    fn begin(seed: u64, runtime: &'a Runtime, before: &'a Before) -> Self {
        let base = &before.base;
        Self {
            seed,
            chance: Chance::new(seed),
            runtime,
            before,
            disk: Disk::new(base),
            clock: Arc::new(HeldClock::at(base.head.timestamp)),
            key: Arc::new(LogKey::ed25519(1)),
            log: None,
            next: base.head.size,
            promises: Promises::default(),
            steps: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// A whole life, judged.
    fn live(seed: u64, runtime: &'a Runtime) -> Self {
        // Large ones are dear, and few are enough.
        let before = match seed % 200 {
            0 => 3,
            place if place % 20 == 1 => 1,
            place if place % 20 == 2 => 2,
            _ => 0,
        };
        let mut life = Self::begin(seed, runtime, &BEFORE[before]);
        let steps = 4 + life.chance.below(12);
        for _ in 0..steps {
            life.step();
        }
        life.end();
        life
    }

    fn note(&mut self, what: impl fmt::Display) {
        self.steps.push(what.to_string());
    }

    fn step(&mut self) {
        let time = self.chance.below(30);
        self.pass(Duration::from_millis(time));
        if self.log.is_none() {
            return match self.chance.below(8) {
                0 => self.damage(),
                1 => self.turn_the_clock(),
                2 => self.start_badly(),
                _ => self.start(),
            };
        }
        match self.chance.below(20) {
            0 => self.close(),
            1 => self.kill(),
            2 => self.kill_in_a_commit(),
            3 => self.damage(),
            4 | 5 => self.turn_the_clock(),
            6 => self.lose_the_key(),
            7 => self.read_badly(),
            8 => self.another_process(),
            9 => self.close_while_some_wait(),
            10..=12 => self.see(),
            _ => {
                let count = self.some();
                self.commit(count);
            }
        }
    }

    /// Mostly few.
    fn some(&mut self) -> u64 {
        let most = if self.chance.below(10) == 0 { 40 } else { 5 };
        1 + self.chance.below(most)
    }

    fn pass(&self, time: Duration) {
        let mut now = self.clock.hold();
        *now = now.plus(time);
    }

    fn process(&self) -> Result<Log, LogError> {
        let owner = owner(self.key.public_key());
        let process = Process { disk: Arc::clone(&self.disk), owner, warned: false.into() };
        let keys = (Arc::clone(&self.key) as Arc<dyn Signer>).into();
        let clock = Arc::clone(&self.clock);
        let (store, origin) = (Arc::new(process), ORIGIN.to_owned());
        Log::open(opening(means_of_certificates(store, keys, clock, &origin)))
    }

    /// Starts; what is refused is refused for a reason.
    fn start(&mut self) {
        self.seen.starts += 1;
        let behind = self.is_behind();
        let damaged = self.disk.state().is_damaged();
        match self.process() {
            Ok(log) => {
                assert!(!behind, "a clock that is behind was not noticed (P11)");
                self.log = Some(log);
                self.note("started");
                self.see();
            }
            Err(error) => {
                self.seen.refused += 1;
                self.seen.damaged += u64::from(!matches!(error, LogError::Clock { .. }));
                self.note(format_args!("refused: {error}"));
                match error {
                    LogError::Clock { .. } => {
                        assert!(behind, "{error}");
                        self.set_right();
                    }
                    _ => {
                        assert!(damaged, "{error}");
                        self.disk.state().repair();
                    }
                }
            }
        }
    }

    /// Whether the newest entry is too far ahead of the clock.
    fn is_behind(&self) -> bool {
        let head = self.disk.state().head.timestamp;
        head.since(self.clock.now()) > TOLERANCE
    }

    /// The clock is put where a log goes on.
    fn set_right(&mut self) {
        let head = self.disk.state().head.timestamp;
        let mut now = self.clock.hold();
        *now = head.max(*now).plus(Duration::from_millis(20));
    }

    /// A sector cannot be read at the start, and can later.
    fn start_badly(&mut self) {
        if self.is_behind() || self.disk.state().is_damaged() {
            return self.start();
        }
        let read = self.chance.below(4) as u32;
        self.disk.state().reads = Some(read);
        let error = self.process().err();
        let read = LogError::Store(StoreError::Backend("a sector cannot be read".into()));
        let gone = std::mem::take(&mut self.disk.state().reads).is_none();
        assert!(!gone || error == Some(read), "a read failed and nobody noticed");
        self.note("a start that could not read");
    }

    /// Appends `count` entries as one batch; each caller is told what the model expects.
    fn commit(&mut self, count: u64) {
        let fate = match self.chance.below(12) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            2 => Fate::Cached,
            3 if self.chance.below(4) == 0 => Fate::Dies,
            _ => Fate::Durable,
        };
        self.commit_with(count, fate);
    }

    fn commit_with(&mut self, count: u64, fate: Fate) {
        let Some(log) = self.log.clone() else { return };
        self.note(format_args!("{count} entries, {fate:?}"));
        let fate = if self.is_filling() { Fate::Durable } else { fate };
        self.disk.state().fate = fate;
        let (behind, now) = (self.is_behind(), self.clock.now());
        let size = log.head().size;
        let appends = self.queue(&log, count);
        let mut ended = false;
        for (at, (number, append)) in (0..).zip(appends) {
            match self.answer(append) {
                Ok(sct) => {
                    assert!(!behind && fate == Fate::Durable, "an SCT for nothing");
                    assert_eq!(sct.leaf_index, size + at, "a place by turn");
                    self.promise(&log, (number, &sct), now);
                }
                Err(LogError::Clock { .. }) => assert!(behind, "the clock was right"),
                Err(LogError::Signer(_)) => assert!(self.is_filling()),
                Err(error) => {
                    ended = true;
                    self.check_end(&error, fate);
                }
            }
        }
        self.disk.state().fate = Fate::Durable;
        if ended {
            self.fail(&log);
        }
    }

    /// A log ends for a reason.
    fn check_end(&self, error: &LogError, fate: Fate) {
        match error {
            LogError::Died => assert_eq!(fate, Fate::Dies),
            LogError::Store(StoreError::Conflict) => {
                assert!(self.disk.state().is_damaged(), "a conflict with nobody");
            }
            LogError::Store(_) => assert_ne!(fate, Fate::Durable),
            _ => panic!("{error}"),
        }
    }

    fn is_filling(&self) -> bool {
        self.key.broken.load(Ordering::SeqCst)
    }

    /// Puts entries into the queue while the sequencer may not look at the time.
    fn queue(&mut self, log: &Log, count: u64) -> Vec<(u64, Append)> {
        let clock = Arc::clone(&self.clock);
        let _held = clock.hold();
        let numbers = self.next..self.next + count;
        self.next += count;
        let queue = |number| {
            let log = log.clone();
            let mut one: Append = Box::pin(async move { append(&log, number).await });
            let polled = one.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Pending => (number, one),
                Poll::Ready(answer) => (number, Box::pin(async { answer }) as Append),
            }
        };
        numbers.map(queue).collect()
    }

    /// Everybody is answered (P13).
    fn answer(&self, append: Append) -> Result<Sct, LogError> {
        let answer = async { tokio::time::timeout(PATIENCE, append).await };
        self.runtime.block_on(answer).expect("everybody is answered (P13)")
    }

    fn promise(&mut self, log: &Log, (number, sct): (u64, &Sct), now: Timestamp) {
        self.seen.scts += 1;
        assert!(log.head().size > sct.leaf_index, "zero merge delay (P6)");
        assert!(sct.timestamp >= now, "an SCT dated back (P11)");
        assert!(sct.timestamp.since(now) <= TOLERANCE, "an SCT from the future (P11)");
        let place = (sct.leaf_index, sct.timestamp.as_millis());
        assert!(self.promises.scts.insert(number, place).is_none());
    }

    /// The log has ended: it takes nothing more, signs what it published, and the process goes.
    fn fail(&mut self, log: &Log) {
        self.seen.ended += 1;
        let ended = async { tokio::time::timeout(PATIENCE, log.failed()).await };
        self.runtime.block_on(ended).expect("whoever waits for the end hears of it");
        let late = self.queue(log, 1).remove(0).1;
        assert!(self.answer(late).is_err(), "a log that failed takes entries");
        self.see();
        self.note("ended");
        self.kill();
    }

    /// Keeps the checkpoint.
    fn see(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let Ok(note) = self.runtime.block_on(log.checkpoint()) else {
            return assert!(self.is_filling());
        };
        let key = PublicKey::from_spki(self.key.public_key()).expect("a key");
        let (_, head) = Sighting::of(&note, Some(&key)).expect("a checkpoint that holds");
        if self.promises.heads.last() != Some(&head) {
            self.promises.heads.push(head);
            self.seen.heads += 1;
        }
    }

    /// Ends in good order.
    fn close(&mut self) {
        let Some(log) = self.log.take() else { return };
        self.runtime.block_on(log.close());
        self.note("closed");
    }

    /// Those in the queue are answered before a log is closed.
    fn close_while_some_wait(&mut self) {
        let Some(log) = self.log.take() else { return };
        self.note("closed while some wait");
        let (behind, now, count) = (self.is_behind(), self.clock.now(), self.some());
        let appends = self.queue(&log, count);
        self.runtime.block_on(log.close());
        for (number, append) in appends {
            match self.answer(append) {
                Ok(sct) => self.promise(&log, (number, &sct), now),
                Err(LogError::Store(StoreError::Conflict)) => {
                    assert!(self.disk.state().is_damaged());
                }
                Err(error) => assert!(behind, "{error}"),
            }
        }
        self.cut();
    }

    /// The process is gone, and the power with it.
    fn kill(&mut self) {
        let Some(log) = self.log.take() else { return };
        self.note("killed");
        // Not a thing that a dead process does; but its threads must be gone before the next one looks.
        self.runtime.block_on(log.close());
        self.cut();
    }

    fn cut(&mut self) {
        let kept = self.chance.below(2) == 0;
        self.disk.cut(kept);
    }

    /// Nobody hears what became of the last batch.
    fn kill_in_a_commit(&mut self) {
        let Some(log) = self.log.clone() else { return };
        self.note("killed in a commit");
        let fates = [Fate::Lost, Fate::Kept, Fate::Cached, Fate::Durable];
        self.disk.state().fate = fates[self.chance.below(4) as usize];
        let count = self.some();
        drop(self.queue(&log, count));
        self.kill();
    }

    /// Turns a bit over, somewhere where a start looks.
    fn damage(&mut self) {
        let mut state = self.disk.state();
        let size = state.head.size;
        let newest = size.saturating_sub(256);
        let (kind, at) = (self.chance.below(4), self.chance.below(32) as usize);
        let entry = newest + self.chance.below((size - newest).max(1));
        let flip = match kind {
            0 => Some(Flip::Root(at)),
            // Of what the tree covers: timestamp, issuer key hash, TBS.
            1 if size > 0 => Some(Flip::Body(entry, if at < 8 { at } else { at + 10 })),
            // Below the newest full tile nobody looks.
            2 if size > 0 => Some(Flip::LeafHash(entry.max(size / 256 * 256).min(size - 1), at)),
            3 => state.newest_tile(0).map(|index| Flip::Tile(0, index, at)),
            _ => None,
        };
        let Some(flip) = flip.filter(|_| !state.is_damaged()) else { return };
        state.damage(flip);
        drop(state);
        self.note(format_args!("damaged: {flip:?}"));
        if self.log.is_some() {
            self.live_with_damage();
        } else {
            self.start();
            assert!(
                self.log.is_none() || !self.disk.state().is_damaged(),
                "damage not noticed (P8)"
            );
        }
    }

    /// A log that runs while a bit turns signs the tree that it logged, or nothing. The next start
    /// notices, unless so many came after it that a start does not look there.
    fn live_with_damage(&mut self) {
        self.see();
        let count = self.some();
        self.commit_with(count, Fate::Durable);
        self.see();
        self.close();
        self.start();
    }

    fn turn_the_clock(&mut self) {
        let by = [Duration::from_millis(700), TOLERANCE * 2, HOUR][self.chance.below(3) as usize];
        let ahead = self.chance.below(2) == 0;
        let mut now = self.clock.hold();
        *now = if ahead { now.plus(by) } else { now.minus(by) };
        drop(now);
        self.note(format_args!("the clock goes {} {by:?}", if ahead { "ahead" } else { "back" }));
        if self.chance.below(3) == 0 {
            self.set_right();
        }
    }

    /// Entries are logged that nobody gets an SCT for; no checkpoint either.
    fn lose_the_key(&mut self) {
        self.note("the key is gone for a while");
        self.key.broken.store(true, Ordering::SeqCst);
        let count = self.some();
        self.commit_with(count, Fate::Durable);
        self.see();
        self.key.broken.store(false, Ordering::SeqCst);
    }

    /// A reader is told of what cannot be read, and the next one is served.
    fn read_badly(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let size = log.head().size;
        let kind = TileKind::Data;
        let Some(path) = TilePath::at(size, kind, size.saturating_sub(1) / 256) else { return };
        self.note("a reader that could not read");
        self.disk.state().reads = Some(0);
        // A full tile may be in memory.
        let read = self.runtime.block_on(log.tile(path));
        let failed = self.disk.state().reads.take().is_none();
        assert_eq!(read.is_err(), failed);
        assert!(self.runtime.block_on(log.tile(path)).is_ok());
    }

    /// Two processes on one disk, as if the lock did not work: the one that is behind ends.
    fn another_process(&mut self) {
        let Some(first) = self.log.clone() else { return };
        if self.is_behind() || self.disk.state().is_damaged() {
            return;
        }
        self.note("another process");
        self.log = Some(self.process().expect("nothing keeps it out"));
        let count = self.some();
        self.commit_with(count, Fate::Durable);
        self.see();
        let late = self.queue(&first, 1).remove(0).1;
        let told = self.answer(late).expect_err("it is behind");
        let conflict = LogError::Store(StoreError::Conflict);
        assert_eq!(told, conflict, "two processes wrote to one log (P16)");
        self.runtime.block_on(first.close());
    }

    /// All is mended, the log goes on, and is held to everything.
    fn end(&mut self) {
        self.kill();
        self.disk.state().repair();
        self.set_right();
        self.start();
        self.commit_with(1, Fate::Durable);
        self.see();
        let log = self.log.take().expect("a mended log starts");
        let rows = self.disk.rows();
        let (old, new) = rows.split_at(self.before.leaves.len());
        assert!(old == self.before.base.entries, "what was logged has changed");
        let new: Vec<Leaf> = new.iter().map(|(_, row)| Leaf::cut(row)).collect();
        let tree = self.promises.check((&self.before.leaves, &new), self.before.tree.clone());
        assert_eq!(tree.size(), log.head().size);
        self.check_served(&log, &tree, &rows);
        self.runtime.block_on(log.close());
    }

    /// What is served is the tree (P7).
    fn check_served(&self, log: &Log, tree: &Tree, rows: &[Row]) {
        let old = self.before.base.head.size / 256;
        let tiles = Tiles::of(tree.size(), TileKind::Data);
        for path in tiles.filter(|path| path.kind.level() > 0 || path.index >= old) {
            let served = self.runtime.block_on(log.tile(path)).expect("it can be read");
            let served = served.expect("a tile");
            let expected = match path.kind {
                TileKind::Hashes { level } => tree.tile(level, path.index, path.width),
                _ => {
                    let rows = rows.iter().skip(path.index as usize * 256);
                    rows.take(path.width.into()).flat_map(|(_, row)| row.clone()).collect()
                }
            };
            assert!(served == expected, "tile/{path} (P7)");
        }
    }
}

impl fmt::Display for History<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the life of MAYFLY_SEED={}:", self.seed)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

impl Drop for History<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{self}");
        }
    }
}
