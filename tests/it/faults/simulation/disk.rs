//! A disk, the processes that write to it, and a clock: all of them do as they are told.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly::store::{Batch, Epoch, Head, Owner, Placed, Store, StoreError, Tile};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::merkle::Hash;

use crate::faults::stage::ISSUER;

/// What becomes of the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is durable, and said to be.
    Durable,
    /// An error, and nothing was written.
    Lost,
    /// An error, though all was written.
    Kept,
    /// An error, and all of it stands in a cache: the next power cut finds out.
    Cached,
    /// The thread dies.
    Dies,
}

/// An entry: the hash of its leaf, and what a data tile holds of it.
pub type Row = (Hash, Vec<u8>);
/// Full tiles, and those that still grow.
type Tiles = BTreeMap<(u8, u64), Vec<u8>>;

/// What was there before a history began; shared, as it may be large.
pub struct Base {
    pub head: Head,
    pub entries: Vec<Row>,
    pub tiles: Tiles,
}

/// What is durable, and what will happen to what is written.
pub struct Disk {
    state: Mutex<State>,
}

pub struct State {
    base: Arc<Base>,
    pub head: Head,
    epoch: Epoch,
    entries: BTreeMap<u64, Row>,
    tiles: Tiles,
    cached: Option<Batch>,
    pub fate: Fate,
    /// How many reads go well before one fails.
    pub reads: Option<u32>,
    /// Damage that was done, to be undone by who has a good copy.
    flips: Vec<Flip>,
}

/// A bit that was turned over.
#[derive(Clone, Copy, Debug)]
pub enum Flip {
    Body(u64, usize),
    LeafHash(u64, usize),
    Tile(u8, u64, usize),
    Root(usize),
}

impl Disk {
    pub fn new(base: &Arc<Base>) -> Arc<Self> {
        let (entries, tiles, cached, flips) = Default::default();
        let (base, head, fate, reads) = (Arc::clone(base), base.head, Fate::Durable, None);
        let epoch = Epoch([0; 16]);
        let state = State { base, head, epoch, entries, tiles, cached, fate, reads, flips };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a process finds that starts after a power cut; `kept` says whether a cache had been written.
    pub fn cut(&self, kept: bool) {
        let mut state = self.state();
        if let Some(batch) = state.cached.take().filter(|_| kept) {
            state.write(&batch);
        }
        (state.fate, state.reads) = (Fate::Durable, None);
    }

    /// The rows of all entries, as they are.
    pub fn rows(&self) -> Vec<Row> {
        let state = self.state();
        (0..state.end()).map(|index| state.entry(index).cloned().expect("no gap")).collect()
    }

    /// All of it, to begin other histories with.
    pub fn base(&self) -> Base {
        let entries = self.rows();
        let state = self.state();
        let tiles = state.base.tiles.iter().chain(&state.tiles);
        let tiles = tiles.map(|(place, hashes)| (*place, hashes.clone())).collect();
        Base { head: state.head, entries, tiles }
    }
}

impl State {
    fn end(&self) -> u64 {
        let own = self.entries.last_key_value().map_or(0, |(index, _)| index + 1);
        own.max(self.base.entries.len() as u64)
    }

    fn entry(&self, index: u64) -> Option<&Row> {
        self.entries.get(&index).or_else(|| self.base.entries.get(index as usize))
    }

    fn tile(&self, place: (u8, u64)) -> Option<&Vec<u8>> {
        self.tiles.get(&place).or_else(|| self.base.tiles.get(&place))
    }

    fn write(&mut self, batch: &Batch) {
        for Placed { index, leaf_hash, tile_leaf, .. } in &batch.entries {
            assert!(self.entry(*index).is_none(), "an entry written twice");
            self.entries.insert(*index, (*leaf_hash, tile_leaf.clone()));
        }
        for tile in &batch.tiles {
            self.tiles.insert((tile.level, tile.index), tile.hashes.clone());
        }
        self.head = batch.head;
    }

    /// Turns a bit over; doing it again undoes it.
    fn turn(&mut self, flip: Flip) {
        match flip {
            Flip::Body(index, at) => {
                let mut row = self.entry(index).expect("an entry").clone();
                let at = at % row.1.len();
                row.1[at] ^= 1;
                self.entries.insert(index, row);
            }
            Flip::LeafHash(index, at) => {
                let mut row = self.entry(index).expect("an entry").clone();
                row.0.0[at % 32] ^= 1;
                self.entries.insert(index, row);
            }
            Flip::Tile(level, index, at) => {
                let mut tile = self.tile((level, index)).expect("a tile").clone();
                let at = at % tile.len();
                tile[at] ^= 1;
                self.tiles.insert((level, index), tile);
            }
            Flip::Root(at) => self.head.root.0[at % 32] ^= 1,
        }
    }

    pub fn damage(&mut self, flip: Flip) {
        self.turn(flip);
        self.flips.push(flip);
    }

    /// Puts back what was damaged and has not been written since.
    pub fn repair(&mut self) {
        for flip in std::mem::take(&mut self.flips).into_iter().rev() {
            self.turn(flip);
        }
    }

    pub fn is_damaged(&self) -> bool {
        !self.flips.is_empty()
    }

    /// The newest tile of a level.
    pub fn newest_tile(&self, level: u8) -> Option<u64> {
        let range = (level, 0)..=(level, u64::MAX);
        let newest = |tiles: &Tiles| tiles.range(range.clone()).next_back().map(|((_, at), _)| *at);
        newest(&self.tiles).max(newest(&self.base.tiles))
    }

    fn read(&mut self) -> Result<(), StoreError> {
        match &mut self.reads {
            Some(0) => {
                self.reads = None;
                Err(StoreError::Backend("a sector cannot be read".into()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A process that has the disk open.
pub struct Process {
    pub disk: Arc<Disk>,
    pub owner: Owner,
    /// Whether it was told of an error: it must not write again.
    pub warned: Mutex<bool>,
}

impl Process {
    fn range<T>(
        &self,
        range: Range<u64>,
        column: impl Fn(&Row) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let mut state = self.disk.state();
        state.read()?;
        let rows = range.map(|index| state.entry(index).map(&column));
        rows.collect::<Option<_>>().ok_or(StoreError::Corrupt("a gap".into()))
    }
}

impl Store for Process {
    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn head(&self) -> Result<Head, StoreError> {
        let mut state = self.disk.state();
        state.read()?;
        Ok(state.head)
    }

    fn end(&self) -> Result<u64, StoreError> {
        let mut state = self.disk.state();
        state.read()?;
        Ok(state.end())
    }

    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError> {
        let mut state = self.disk.state();
        if state.head != head {
            return Err(StoreError::Conflict);
        }
        state.epoch = epoch;
        Ok(())
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!*warned, "a process wrote after an error");
        let mut state = self.disk.state();
        if state.head != batch.before || state.epoch != batch.epoch {
            *warned = true;
            return Err(StoreError::Conflict);
        }
        let fate = std::mem::replace(&mut state.fate, Fate::Durable);
        match fate {
            Fate::Durable => {
                state.write(batch);
                return Ok(());
            }
            Fate::Kept => state.write(batch),
            Fate::Cached => state.cached = Some(batch.clone()),
            Fate::Lost => {}
            // Without the hook that prints: it is meant.
            Fate::Dies => std::panic::resume_unwind(Box::new("told to die")),
        }
        *warned = true;
        Err(StoreError::Backend("told to fail".into()))
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        self.range(range, |row| row.0)
    }

    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        self.range(range, |row| row.1.clone())
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut state = self.disk.state();
        state.read()?;
        Ok(state.tile((level, index)).cloned())
    }

    fn mend(&self, _: Head, _: &[Tile]) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn put_issuer(&self, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn issuer(&self, _: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(ISSUER.to_vec()))
    }

    fn examine(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn records(&self, _: Option<u64>, _: usize) -> Result<Vec<Placed>, StoreError> {
        Ok(Vec::new())
    }
}

/// A clock that stands where it was put, and can be held: whoever asks it then waits.
///
/// The sequencer asks it when it has found the first entry of a batch, so that what is queued while it
/// is held becomes one batch.
pub struct HeldClock(Mutex<Timestamp>);

impl HeldClock {
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    pub fn hold(&self) -> MutexGuard<'_, Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        *self.hold()
    }
}
