//! The log: scenarios × stores × faults. Each ends in [`check_log`], which recomputes everything that
//! the log serves from what it serves.

mod busy;
mod proofs;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mayfly::ct::entry::{Entry, Logged, LoggedEntry, read_tile_leaf};
use mayfly::ct::precertificate::Parts;
use mayfly::ct::sct::Sct;
use mayfly::ct::window::Window;
use mayfly::log::mark::{self, MarkError};
use mayfly::log::search::Entries;
use mayfly::log::sequencer::QUEUE;
use mayfly::log::{Log, LogError, Means, Opening};
use mayfly::record::search::Search;
use mayfly::record::{Attempt, Record};
use mayfly::signer::{Signer, SignerError};
use mayfly::store::{Batch, Head, Owner, Placed, Store, StoreError, Tile, sqlite};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::Hash;
use mayfly::tlog::note::SignedNote;
use mayfly::tlog::tile::{TileKind, TilePath};

use rcgen::{CertificateParams, CustomExtension, KeyPair};

use crate::support::patience::{soon, until};
use crate::support::store::{
    Fault, FaultyStore, HandClock, LogKey, MemoryStore, epoch, means_of_certificates, opening,
};

const ORIGIN: &str = "ca.example.com/ct/2026";
const MIDNIGHT: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A log that can be closed and opened again, with a clock and a key of its own.
struct Bench {
    place: Place,
    key: Arc<LogKey>,
    clock: Arc<HandClock>,
    mark: Option<PathBuf>,
    _marks: tempfile::TempDir,
}

/// Where its store is.
enum Place {
    Memory(Arc<MemoryStore>),
    Sqlite(tempfile::TempDir),
}

impl Bench {
    fn memory() -> Self {
        let key = LogKey::ed25519(1);
        let store = MemoryStore::new(owner(&key), MIDNIGHT);
        Self::new(Place::Memory(Arc::new(store)), key)
    }

    fn sqlite() -> Self {
        Self::sqlite_with(LogKey::ed25519(1))
    }

    fn sqlite_with(key: LogKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sqlite::create(&folder.path().join("log.db"), &owner(&key), MIDNIGHT).unwrap();
        Self::new(Place::Sqlite(folder), key)
    }

    fn new(place: Place, key: LogKey) -> Self {
        let (key, clock) = (Arc::new(key), Arc::new(HandClock::at(MIDNIGHT, 2)));
        let marks = tempfile::tempdir().unwrap();
        Self { place, key, clock, mark: Some(marks.path().join("log.mark")), _marks: marks }
    }

    /// One of each kind.
    fn all() -> [Self; 3] {
        [Self::memory(), Self::sqlite(), Self::sqlite_with(LogKey::p256())]
    }

    fn path(&self) -> PathBuf {
        match &self.place {
            Place::Sqlite(folder) => folder.path().join("log.db"),
            Place::Memory(_) => panic!("a store in memory has no path"),
        }
    }

    fn store(&self) -> Result<Arc<FaultyStore>, StoreError> {
        let inner: Arc<dyn Store> = match &self.place {
            Place::Memory(store) => Arc::clone(store) as _,
            Place::Sqlite(_) => Arc::new(sqlite::open(&self.path())?),
        };
        if inner.head().is_ok_and(|head| head.size == 0) {
            ISSUERS.iter().for_each(|der| inner.put_issuer(der).unwrap());
        }
        Ok(Arc::new(FaultyStore::new(inner)))
    }

    fn open_over(&self, store: Arc<FaultyStore>) -> Result<Log, LogError> {
        Log::open(Opening { mark: self.mark.clone(), ..opening(self.means(store)) })
    }

    fn means(&self, store: Arc<dyn Store>) -> Means {
        let keys = (Arc::clone(&self.key) as Arc<dyn Signer>).into();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        means_of_certificates(store, keys, clock, ORIGIN)
    }

    fn open(&self) -> (Log, Arc<FaultyStore>) {
        let store = self.store().unwrap();
        (self.open_over(Arc::clone(&store)).unwrap(), store)
    }

    /// Why it does not open.
    fn refusal(&self) -> LogError {
        let opened = self.store().map_err(LogError::Store).and_then(|store| self.open_over(store));
        opened.err().expect("the log must not open")
    }

    /// A log of `size` entries, closed again.
    async fn filled(self, size: u64) -> Self {
        let (log, _) = self.open();
        fill(&log, size).await;
        close(&log).await;
        self
    }

    /// The same log, opened once more and grown by these entries, one by one.
    async fn grown(self, numbers: std::ops::Range<u64>) -> Self {
        let (log, _) = self.open();
        for number in numbers {
            append(&log, number).await.unwrap();
        }
        check_log(&log).await;
        close(&log).await;
        self
    }

    /// Runs SQL on the database behind the store's back.
    fn damage(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

fn owner(key: &LogKey) -> Owner {
    let log_id = Hash::of(&[key.public_key()]).0;
    Owner { origin: ORIGIN.into(), log_id, window: Window::year(MIDNIGHT) }
}

/// A precertificate with the serial number 0x40 and eight zeros.
static PRECERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
    let mut poison = CustomExtension::from_oid_content(&oid, vec![5, 0]);
    poison.set_criticality(true);
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.serial_number = Some(SERIAL.to_vec().into());
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.custom_extensions = vec![poison];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
});
const SERIAL: [u8; 9] = [0x40, 0, 0, 0, 0, 0, 0, 0, 0];

/// An entry whose certificate has a serial number of its own.
fn entry(number: u64) -> Entry {
    static TBS: LazyLock<Vec<u8>> =
        LazyLock::new(|| Parts::of(&PRECERTIFICATE).unwrap().tbs_without_poison().unwrap());
    let numbered = |der: &[u8]| {
        let at = der.windows(9).position(|window| window == SERIAL).unwrap() + 1;
        [&der[..at], &number.to_be_bytes(), &der[at + 8..]].concat()
    };
    Entry {
        issuer_key_hash: [7; 32],
        tbs: numbered(&TBS),
        precertificate: numbered(&PRECERTIFICATE),
        chain: ISSUERS.map(|der| Hash::of(&[der]).0).into(),
    }
}

/// The certificates of every entry's chain.
const ISSUERS: [&[u8]; 2] = [b"an intermediate", b"a root"];

fn attempt(number: u64) -> Attempt<'static> {
    Attempt { time: MIDNIGHT, request_id: number.to_string().into(), ..Attempt::default() }
}

/// An append, and what it is answered.
async fn append(log: &Log, number: u64) -> Result<Sct, LogError> {
    answered(log.append(entry(number), attempt(number))).await
}

/// The answer to an append that is under way.
async fn answered(append: impl Future<Output = Result<Sct, LogError>>) -> Result<Sct, LogError> {
    soon("an answer", append).await
}

async fn close(log: &Log) {
    soon("the log is closed", log.close()).await;
}

/// Appends entries 0 to `size`, all in flight at once.
async fn fill(log: &Log, size: u64) -> Vec<Sct> {
    let append = |number| {
        let log = log.clone();
        tokio::spawn(async move { append(&log, number).await.unwrap() })
    };
    let appends: Vec<_> = (0..size).map(append).collect();
    let mut scts = Vec::new();
    for append in appends {
        scts.push(append.await.unwrap());
    }
    scts
}

type Append<'a> = Pin<Box<dyn Future<Output = Result<Sct, LogError>> + 'a>>;

/// An append that is in the queue, or the answer it got at once.
fn queued(log: &Log, number: u64) -> Result<Append<'_>, LogError> {
    let mut append: Append<'_> = Box::pin(log.append(entry(number), attempt(number)));
    match append.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Ok(append),
        Poll::Ready(answer) => Err(answer.expect_err("nothing can be committed yet")),
    }
}

async fn tile(log: &Log, kind: TileKind, index: u64, width: u16) -> Option<Vec<u8>> {
    log.tile(TilePath { kind, index, width }).await.unwrap().map(Vec::from)
}

/// The entries that the log serves in its data tiles, each checked for where it stands.
async fn entries(log: &Log, size: u64) -> Vec<(LoggedEntry, Vec<u8>)> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < size {
        let first = entries.len() as u64;
        let width = (size - first).min(256) as u16;
        let octets = tile(log, TileKind::Data, first / 256, width).await.expect("a data tile");
        let mut rest = octets.as_slice();
        while let Some((read, after)) = (!rest.is_empty()).then(|| read_tile_leaf(rest).unwrap()) {
            assert_eq!(read.index, entries.len() as u64);
            entries.push((read, rest[..rest.len() - after.len()].to_vec()));
            rest = after;
        }
    }
    assert_eq!(entries.len() as u64, size);
    entries
}

/// RFC 6962 §2.1, as it is written there.
fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of(&[&[1], &tree_hash(left).0, &tree_hash(right).0])
        }
    }
}

/// The judge: recomputes a log from what it serves, and yields its head.
async fn check_log(log: &Log) -> Head {
    let key = PublicKey::from_spki(log.public_key()).unwrap();
    let note: SignedNote = log.checkpoint().await.unwrap().parse().unwrap();
    let (checkpoint, timestamp) = key.verify_checkpoint(&note).unwrap();
    assert_eq!(checkpoint.origin, log.origin());
    let head = Head { size: checkpoint.size, root: checkpoint.root, timestamp };

    let entries = entries(log, head.size).await;
    assert!(entries.is_sorted_by_key(|(read, _)| read.timestamp));
    assert!(entries.iter().all(|(read, _)| read.timestamp <= head.timestamp));
    let leaves: Vec<Hash> = entries.iter().map(|(read, _)| read.leaf_hash).collect();
    assert_eq!(tree_hash(&leaves), head.root);

    check_tiles(log, &leaves).await;
    let records = records(log, u64::MAX, usize::MAX).await;
    let indexes: Vec<Option<u64>> = records.iter().map(|record| record.index).collect();
    assert_eq!(indexes, (0..head.size).rev().map(Some).collect::<Vec<_>>());
    for (record, (read, _)) in records.iter().rev().zip(&entries) {
        let Logged::Precertificate(logged) = &read.logged else { panic!("not a precertificate") };
        let number = record.request_id.parse().unwrap();
        assert_eq!(*logged, entry(number), "the record of another entry");
        assert_eq!(record.serial, format!("40{number:016x}"));
    }
    head
}

/// The records of published entries below `before`, newest first, at most `limit`.
async fn records(log: &Log, before: u64, limit: usize) -> Vec<Record> {
    let look = move |entries: Entries<'_>| {
        let search = Search::default();
        let mut issued = entries.search(&search, before)?;
        let mut budget = usize::MAX;
        std::iter::from_fn(|| issued.next(&mut budget).transpose()).take(limit).collect()
    };
    log.look(look).await.unwrap()
}

/// Every tile of hashes, of every width the right edge ever had, and none beyond.
async fn check_tiles(log: &Log, leaves: &[Hash]) {
    let mut nodes = leaves.to_vec();
    for level in 0..4 {
        let kind = TileKind::Hashes { level };
        for (index, hashes) in nodes.chunks(256).enumerate() {
            let whole: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            for width in [1, hashes.len() / 2, hashes.len() - 1, hashes.len()] {
                let served = tile(log, kind, index as u64, width as u16).await;
                let expected = (width > 0).then(|| whole[..width * 32].to_vec());
                assert_eq!(served, expected, "tile {level}/{index} of width {width}");
            }
        }
        let (index, width) = (nodes.len() / 256, nodes.len() % 256 + 1);
        assert_eq!(tile(log, kind, index as u64, width as u16).await, None);
        nodes = nodes.chunks_exact(256).map(tree_hash).collect();
    }
}

/// The SCT is a signature over the very entry that stands where it says.
async fn check_sct(log: &Log, number: u64, sct: &Sct) {
    let leaf = entry(number).merkle_tree_leaf(sct.timestamp, sct.leaf_index);
    let key = PublicKey::from_spki(log.public_key()).unwrap();
    key.verify(&leaf, &sct.signed()).unwrap();
    assert_eq!(sct.log_id, log.log_id());
    let tile = tile(log, TileKind::Hashes { level: 0 }, sct.leaf_index / 256, {
        (sct.leaf_index % 256 + 1) as u16
    });
    let hashes = tile.await.expect("a tile as wide as the index");
    assert_eq!(hashes[hashes.len() - 32..], Hash::of(&[&[0], &leaf]).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sct_names_the_place_of_its_entry() {
    for bench in Bench::all() {
        let (log, store) = bench.open();
        let scts = fill(&log, 700).await;
        for (number, sct) in scts.iter().enumerate() {
            check_sct(&log, number as u64, sct).await;
        }
        let mut indexes: Vec<u64> = scts.iter().map(|sct| sct.leaf_index).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, (0..700).collect::<Vec<_>>());
        assert!(store.batches.load(Ordering::SeqCst) < 700, "nothing was ever batched");
        assert_eq!(check_log(&log).await.size, 700);
        close(&log).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_share_one_tree() {
    for bench in Bench::all() {
        let (log, _) = bench.open();
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let log = log.clone();
                tokio::spawn(async move {
                    for number in task * 20..task * 20 + 20 {
                        let sct = append(&log, number).await.unwrap();
                        // Zero merge delay: whoever has the SCT finds the entry in the checkpoint.
                        assert!(log.head().size > sct.leaf_index);
                        check_sct(&log, number, &sct).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(check_log(&log).await.size, 64 * 20);
        close(&log).await;
    }
}

/// P3.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_where_it_stopped() {
    for bench in Bench::all() {
        let mut before = None::<Head>;
        // Empty, one tile but one, one tile, one tile and one: the edges of the edge.
        for size in [0, 255, 256, 257, 512] {
            let (log, _) = bench.open();
            let head = check_log(&log).await;
            assert_eq!(before.unwrap_or(head), head);
            for number in head.size..size {
                append(&log, number).await.unwrap();
            }
            let head = check_log(&log).await;
            assert_eq!(head.size, size);
            before = Some(head);
            close(&log).await;
        }
    }
}

/// Tiles of three levels, and a start at each side of the edge where the third one begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_goes_on_where_it_stopped() {
    let bench = Bench::memory();
    let (log, _) = bench.open();
    // An SCT that cannot be signed leaves the entry, and saves the time for it.
    bench.key.broken.store(true, Ordering::SeqCst);
    while log.head().size < 65_535 {
        let next = log.head().size..(log.head().size + 4000).min(65_535);
        let appends: Vec<_> = next.map(|number| queued(&log, number)).collect();
        for append in appends {
            // Some are answered before they are waited for.
            let error = match append {
                Ok(append) => answered(append).await.unwrap_err(),
                Err(error) => error,
            };
            assert!(matches!(error, LogError::Signer(_)), "{error}");
        }
    }
    close(&log).await;
    bench.key.broken.store(false, Ordering::SeqCst);
    for number in 65_535..65_538 {
        let (log, _) = bench.open();
        let sct = append(&log, number).await.unwrap();
        check_sct(&log, number, &sct).await;
        close(&log).await;
    }
    let (log, _) = bench.open();
    assert_eq!(check_log(&log).await.size, 65_538);
}

/// P13.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_answers_everybody_and_ends_the_log() {
    for (bench, fault) in [
        (Bench::memory(), Fault::Before),
        (Bench::memory(), Fault::After),
        (Bench::sqlite(), Fault::Before),
        (Bench::sqlite(), Fault::After),
    ] {
        let (log, store) = bench.open();
        fill(&log, 250).await;
        let before = check_log(&log).await;
        let told = LogError::Store(StoreError::Backend("told to fail".into()));

        // More than one batch can hold, so that some are still queued when it fails.
        let gate = store.gate.lock().await;
        store.fail(fault);
        let appends: Vec<_> = (250..1000).map(|number| queued(&log, number).unwrap()).collect();
        drop(gate);
        for append in appends {
            assert_eq!(answered(append).await, Err(told.clone()));
        }
        assert_eq!(soon("its failure", log.failed()).await, told);
        assert_eq!(log.ready(), Err(told.clone()));
        assert_eq!(append(&log, 0).await, Err(told.clone()));
        assert_eq!(check_log(&log).await, before, "what is not committed is not served");
        close(&log).await;
        drop((log, store));

        let (log, _) = bench.open();
        let after = check_log(&log).await;
        assert_eq!(after == before, fault == Fault::Before);
        let sct = append(&log, 1000).await.unwrap();
        check_sct(&log, 1000, &sct).await;
        assert_eq!(check_log(&log).await.size, after.size + 1);
        close(&log).await;
    }
}

/// P13.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sequencer_is_noticed_by_everybody() {
    let (log, store) = Bench::memory().open();
    let gate = store.gate.lock().await;
    store.fail(Fault::Panic);
    let appends: Vec<_> = (0..700).map(|number| queued(&log, number).unwrap()).collect();
    drop(gate);
    for append in appends {
        assert_eq!(answered(append).await, Err(LogError::Died));
    }
    assert_eq!(soon("its failure", log.failed()).await, LogError::Died);
    assert_eq!(log.ready(), Err(LogError::Died));
    assert_eq!(append(&log, 0).await, Err(LogError::Died));
    assert_eq!(check_log(&log).await.size, 0);
    close(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_turns_callers_away_and_loses_nobody() {
    let bench = Bench::memory();
    let (log, store) = bench.open();
    let gate = store.gate.lock().await;
    let mut appends = Vec::new();
    let error = loop {
        match queued(&log, appends.len() as u64) {
            Ok(append) => appends.push(append),
            Err(error) => break error,
        }
    };
    assert_eq!(error, LogError::Full);
    assert!((QUEUE..=QUEUE + 512).contains(&appends.len()));
    // Reads do not wait for the writer, and do not see what it is at.
    assert_eq!(check_log(&log).await.size, 0);
    drop(gate);
    let size = appends.len() as u64;
    for append in appends {
        answered(append).await.unwrap();
    }
    assert_eq!(check_log(&log).await.size, size);
}

/// P13.
#[tokio::test(flavor = "multi_thread")]
async fn close_answers_everybody() {
    for bench in Bench::all() {
        let (log, store) = bench.open();
        let gate = store.gate.lock().await;
        let appends: Vec<_> = (0..700).map(|number| queued(&log, number).unwrap()).collect();
        let mut closing = Box::pin(log.close());
        assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(queued(&log, 700).err(), Some(LogError::Closed));
        assert_eq!(log.ready(), Err(LogError::Closed));
        drop(gate);
        soon("the log is closed", closing).await;
        for append in appends {
            answered(append).await.unwrap();
        }
        assert_eq!(append(&log, 700).await, Err(LogError::Closed));
        assert_eq!(check_log(&log).await.size, 700);
        close(&log).await;
        let failed = tokio::time::timeout(Duration::ZERO, log.failed()).await;
        assert!(failed.is_err(), "a closed log has not failed");
    }
}

/// P4, P11.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_log_stops_it_until_it_is_right() {
    let bench = Bench::memory().filled(3).await;
    let head = bench.store().unwrap().head().unwrap().timestamp;
    let wrong = head.minus(Duration::from_secs(5));

    bench.clock.set(wrong);
    let LogError::Clock { head: found, .. } = bench.refusal() else { panic!("opened") };
    assert_eq!(found, head);

    bench.clock.set(head);
    let (log, _) = bench.open();
    assert_eq!(log.ready(), Ok(()));
    bench.clock.set(wrong);
    assert!(matches!(log.ready(), Err(LogError::Clock { .. })));
    let error = append(&log, 3).await.unwrap_err();
    assert!(matches!(error, LogError::Clock { .. }), "{error}");
    assert!(error.to_string().starts_with("the clock is behind the log: it says"));
    bench.clock.set(head);
    let sct = append(&log, 3).await.unwrap();
    assert!(sct.timestamp > head);
    assert_eq!(check_log(&log).await.size, 4);
}

/// P4, P10: later than the head before, and no entry later than its head.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stands_still_gives_every_batch_a_time_of_its_own() {
    let bench = Bench { clock: Arc::new(HandClock::at(MIDNIGHT, 0)), ..Bench::memory() };
    let (log, _) = bench.open();
    for number in 0..20 {
        let sct = append(&log, number).await.unwrap();
        assert_eq!(sct.timestamp, MIDNIGHT.plus(Duration::from_millis(number + 1)));
    }
    check_log(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_sign_leaves_a_log_that_goes_on() {
    let bench = Bench::memory();
    let (log, _) = bench.open();
    bench.key.broken.store(true, Ordering::SeqCst);
    let error = LogError::Signer(SignerError("told to fail".into()));
    assert_eq!(append(&log, 0).await, Err(error.clone()));
    assert_eq!(log.checkpoint().await, Err(error));
    bench.key.broken.store(false, Ordering::SeqCst);
    assert_eq!(append(&log, 1).await.unwrap().leaf_index, 1);
    assert_eq!(check_log(&log).await.size, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_signed_once_for_each_head() {
    let bench = Bench::memory();
    let (log, _) = bench.open();
    let signed = || bench.key.signatures.load(Ordering::SeqCst);
    let asks: Vec<_> = (0..50).map(|_| (log.clone(), ())).collect();
    let asks: Vec<_> = asks
        .into_iter()
        .map(|(log, ())| tokio::spawn(async move { log.checkpoint().await }))
        .collect();
    let first = log.checkpoint().await.unwrap();
    for ask in asks {
        assert_eq!(ask.await.unwrap().unwrap(), first);
    }
    assert_eq!(signed(), 1);
    append(&log, 0).await.unwrap();
    assert_ne!(log.checkpoint().await.unwrap(), first);
    assert_eq!(signed(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_log_is_refused() {
    for bench in Bench::all() {
        let other = Arc::new(LogKey::ed25519(9));
        for (key, origin) in [(&other, ORIGIN), (&bench.key, "other.example/ct/1")] {
            let theirs = owner(&bench.key).to_string();
            let ours = Owner { origin: origin.into(), ..owner(key) }.to_string();
            let keys = (Arc::clone(key) as Arc<dyn Signer>).into();
            let clock = Arc::clone(&bench.clock) as _;
            let (store, origin) = (bench.store().unwrap(), origin.to_owned());
            let opened = Log::open(opening(means_of_certificates(store, keys, clock, &origin)));
            let error = opened.err().unwrap();
            assert!(error.to_string().contains(&theirs), "it says whose the store is: {error}");
            assert_eq!(error, LogError::Foreign { theirs, ours });
        }
        let (log, _) = bench.open();
        check_log(&log).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_newest_first_and_by_pages() {
    for bench in Bench::all() {
        let (log, _) = bench.open();
        fill(&log, 10).await;
        let page = async |before, limit| -> Vec<u64> {
            let records = records(&log, before, limit).await;
            records.iter().map(|record| record.index.unwrap()).collect()
        };
        assert_eq!(page(u64::MAX, 3).await, [9, 8, 7]);
        assert_eq!(page(7, 3).await, [6, 5, 4]);
        assert_eq!(page(1, 3).await, [0]);
        assert!(page(0, 3).await.is_empty());
        assert_eq!(page(u64::MAX, 1).await, [9]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_are_served_by_their_hash() {
    for bench in Bench::all() {
        let (log, store) = bench.open();
        store.put_issuer(b"a certificate").unwrap();
        store.put_issuer(b"a certificate").unwrap();
        let fingerprint = Hash::of(&[b"a certificate"]).0;
        assert_eq!(log.issuer(fingerprint).await.unwrap().unwrap(), b"a certificate");
        assert_eq!(log.issuer([0; 32]).await, Ok(None));
    }
}

#[test]
fn a_batch_that_was_computed_from_another_head_is_refused() {
    for bench in Bench::all() {
        let store = bench.store().unwrap();
        let before = store.head().unwrap();
        let head = Head { timestamp: before.timestamp.plus(Duration::from_millis(1)), ..before };
        let epoch = epoch();
        let batch = Batch { before: head, epoch, entries: Vec::new(), tiles: Vec::new(), head };
        assert_eq!(store.begin(head, epoch), Err(StoreError::Conflict));
        assert_eq!(store.begin(before, epoch), Ok(()));
        assert_eq!(store.append(&batch), Err(StoreError::Conflict));
        assert_eq!(store.head(), Ok(before));
        assert_eq!(store.append(&Batch { before, ..batch }), Ok(()));
        assert_eq!(store.head(), Ok(head));
    }
}

/// P4: an old copy of the database put back.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_is_never_gone_on_from() {
    for (old, new) in [(0, 1), (3, 4), (255, 300), (300, 700)] {
        let bench = Bench::sqlite().filled(old).await;
        let copy = std::fs::read(bench.path()).unwrap();
        let bench = bench.grown(old..new).await;
        let newest = std::fs::read(bench.path()).unwrap();
        std::fs::write(bench.path(), &copy).unwrap();
        let error = bench.refusal();
        let LogError::Mark(MarkError::Ahead { newest: marked, size, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!((size, marked), (old, new));
        assert!(error.to_string().contains("an old copy of the database was put back"));
        // The right one fits again.
        std::fs::write(bench.path(), &newest).unwrap();
        bench.grown(new..new + 1).await;
    }
}

/// P3, P4: an old copy that went on without its mark, until it was as large as what it forgot or larger.
#[tokio::test(flavor = "multi_thread")]
async fn another_history_is_never_gone_on_from() {
    for (common, marked, forked) in [(0, 1, 1), (3, 5, 5), (3, 5, 9), (250, 300, 900)] {
        let bench = Bench::sqlite().filled(common).await;
        let copy = std::fs::read(bench.path()).unwrap();
        let bench = bench.grown(common..marked).await;
        std::fs::write(bench.path(), &copy).unwrap();
        let mark = bench.mark.clone();
        // Other entries, as the clock has moved on.
        let bench = Bench { mark: None, ..bench }.grown(common..forked).await;
        let bench = Bench { mark, ..bench };
        let error = bench.refusal();
        let path = bench.mark.as_ref().unwrap().display().to_string();
        assert_eq!(error, LogError::Mark(MarkError::Forked { path, size: marked }));
        assert!(error.to_string().contains("another history"), "{error}");
    }
}

/// What is newer than its mark, as a power cut may leave it, goes on; and every head is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_behind_does_no_harm() {
    let bench = Bench::sqlite().filled(300).await;
    let path = bench.mark.clone().unwrap();
    let old = std::fs::read(&path).unwrap();
    let bench = bench.grown(300..700).await;
    std::fs::write(&path, &old).unwrap();
    let (log, _) = bench.open();
    for number in 700..720 {
        append(&log, number).await.unwrap();
        assert_eq!(mark::read(&path).unwrap().unwrap().head, log.head());
    }
    check_log(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_missing_or_anothers_is_said() {
    for bench in Bench::all() {
        let bench = bench.filled(3).await;
        let path = bench.mark.clone().unwrap();
        let name = path.display().to_string();
        let missing = LogError::Mark(MarkError::Missing { path: name.clone(), size: 3 });
        let whole = std::fs::read(&path).unwrap();
        for octets in [&b""[..], &whole[..20]] {
            std::fs::write(&path, octets).unwrap();
            assert_eq!(bench.refusal(), missing);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bench.refusal(), missing);
        assert!(missing.to_string().contains("is its disk mounted?"));

        let head = bench.store().unwrap().head().unwrap();
        mark::make(&path, "other.example/ct/2026", head).unwrap();
        let (theirs, ours) = ("other.example/ct/2026".to_owned(), ORIGIN.to_owned());
        let foreign = MarkError::Foreign { path: name, theirs, ours };
        assert_eq!(bench.refusal(), LogError::Mark(foreign));

        mark::make(&path, ORIGIN, head).unwrap();
        bench.grown(3..4).await;
    }
}

/// P8: what was sound at the start, and is not any more.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_while_the_log_runs() {
    let flip = "hashes = CAST(x'00' || substr(hashes, 2) AS BLOB)";
    for (damage, what) in [
        // Too old for the check at the start.
        (
            "UPDATE entries SET leaf = CAST(substr(leaf, 1, 16) || x'ff' || substr(leaf, 18) AS BLOB) WHERE idx = 3".to_owned(),
            "entry 3 in the store is not the one that was logged",
        ),
        ("UPDATE entries SET leaf_hash = zeroblob(32) WHERE idx = 3".to_owned(), "entry 3 in the store"),
        ("UPDATE entries SET record = 'no JSON' WHERE idx = 3".to_owned(), "entry 3: what was kept of the attempt is unreadable"),
        ("DELETE FROM entries WHERE idx = 3".to_owned(), "of the entries 0 to 256 only 255 are there"),
        (format!("UPDATE tiles SET {flip} WHERE level = 0 AND idx = 0"), "tile 0 of level 0"),
        (format!("UPDATE tiles SET {flip} WHERE level = 1"), "tile 0 of level 1"),
        ("UPDATE issuers SET der = x'00' WHERE der = CAST('a root' AS BLOB)".to_owned(), "the certificate"),
    ] {
        let bench = Bench::sqlite().filled(700).await;
        let (store, mark) = (bench.store().unwrap(), bench.mark.clone());
        let means = bench.means(store);
        let log = Log::open(Opening { mark, scrub: Duration::ZERO, ..opening(means) }).unwrap();
        let before = log.checkpoint().await.unwrap();
        bench.damage(&damage);
        until("the damage is found", async || log.ready().is_err()).await;
        let error = log.ready().unwrap_err();
        assert!(matches!(error, LogError::Damaged(_)) && error.to_string().contains(what), "{error}");
        assert_eq!(append(&log, 700).await, Err(error));
        // What was signed stays, and what is sound is read.
        assert_eq!(log.checkpoint().await.unwrap(), before);
        assert!(tile(&log, TileKind::Data, 2, 188).await.is_some());
        close(&log).await;
    }
}

/// P13: entries that wait when damage is found are answered, too; and a scrub that finds nothing is not
/// noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_lets_a_sound_log_run() {
    for bench in Bench::all() {
        let bench = bench.filled(600).await;
        let means = bench.means(bench.store().unwrap());
        let log = Log::open(Opening { scrub: Duration::ZERO, ..opening(means) }).unwrap();
        for number in 600..1200 {
            append(&log, number).await.unwrap();
        }
        assert_eq!(log.ready(), Ok(()));
        check_log(&log).await;
        close(&log).await;
    }
}

/// A log that is read, beside the one that appends, and without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_served_for_reading_only() {
    let bench = Bench::sqlite().filled(300).await;
    let read_only = || {
        let store = sqlite::open_read_only(&bench.path()).unwrap();
        Log::read_only(bench.means(Arc::new(store))).unwrap()
    };
    let names = || {
        let names = std::fs::read_dir(bench.path().parent().unwrap()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // SQLite's own, which whoever opens the file next makes or takes away.
        let names = names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let reader = read_only();
    assert_eq!(check_log(&reader).await.size, 300);
    assert_eq!(reader.ready(), Err(LogError::ReadOnly));
    assert_eq!(append(&reader, 300).await, Err(LogError::ReadOnly));
    let failed = tokio::time::timeout(Duration::ZERO, reader.failed()).await;
    assert!(failed.is_err(), "a log that is read has not failed");

    let (writer, _) = bench.open();
    for number in 300..303 {
        append(&writer, number).await.unwrap();
        assert_eq!(check_log(&reader).await, writer.head(), "it follows the one that appends");
    }
    close(&writer).await;
    close(&reader).await;
    drop((writer, reader));
    assert_eq!(names(), before, "nothing is left behind");

    // What the mark refuses can still be read; what is damaged cannot.
    mark::make(
        bench.mark.as_ref().unwrap(),
        "other.example/ct/1",
        Head { size: 1, root: Hash([0; 32]), timestamp: MIDNIGHT },
    )
    .unwrap();
    assert!(matches!(bench.refusal(), LogError::Mark(_)));
    assert_eq!(check_log(&read_only()).await.size, 303);
    bench.damage("UPDATE head SET root = zeroblob(32)");
    let store = sqlite::open_read_only(&bench.path()).unwrap();
    let refused = Log::read_only(bench.means(Arc::new(store))).err();
    assert_eq!(refused, Some(LogError::Root { size: 303 }));
}

/// P16: two sequencers on one store, whatever became of the lock.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_began_last_is_the_only_one_who_appends() {
    for bench in Bench::all() {
        let (first, store) = bench.open();
        fill(&first, 300).await;
        let second = bench.open_over(Arc::clone(&store)).unwrap();
        let gone = LogError::Store(StoreError::Conflict);
        assert_eq!(append(&first, 300).await, Err(gone.clone()));
        assert_eq!(soon("its failure", first.failed()).await, gone);
        assert_eq!(check_log(&first).await, check_log(&second).await);
        let sct = append(&second, 300).await.unwrap();
        check_sct(&second, 300, &sct).await;
        assert_eq!(check_log(&second).await.size, 301);
    }
}

#[test]
fn an_entry_is_never_written_over() {
    let bench = Bench::sqlite();
    let store = sqlite::open(&bench.path()).unwrap();
    let (before, epoch) = (store.head().unwrap(), epoch());
    store.begin(before, epoch).unwrap();
    let (tile_leaf, record) = (b"leaf".to_vec(), "{}".to_owned());
    let placed = Placed { index: 0, leaf_hash: Hash([1; 32]), tile_leaf, record };
    let tiles = vec![Tile { level: 1, index: 0, hashes: vec![1; 32] }];
    let head = Head { size: 2, ..before };
    let batch = Batch { before, epoch, entries: vec![placed; 2], tiles, head };
    assert!(matches!(store.append(&batch), Err(StoreError::Backend(_))));
    assert_eq!(store.end(), Ok(0), "nothing of a batch is there when a part of it is refused");
    assert_eq!(store.tile(1, 0), Ok(None));
    assert_eq!(store.head(), Ok(before));
}

/// P3. What is on the disk when the power goes: the database and a write-ahead log that ends anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_cut_short_anywhere_is_an_older_log() {
    let bench = Bench::sqlite();
    let (log, _) = bench.open();
    let mut heads = vec![log.head()];
    for number in 0..300 {
        append(&log, number).await.unwrap();
        heads.push(log.head());
    }
    let wal = std::fs::read(bench.path().with_extension("db-wal")).unwrap();
    let mut found = 0;
    for cut in (0..=wal.len()).rev().step_by(wal.len() / 40) {
        let after = Bench { mark: None, ..Bench::sqlite() };
        std::fs::copy(bench.path(), after.path()).unwrap();
        std::fs::write(after.path().with_extension("db-wal"), &wal[..cut]).unwrap();
        after.clock.set(bench.clock.now());
        let (log, _) = after.open();
        let head = check_log(&log).await;
        assert!(heads.contains(&head), "a head that never was");
        let whole = cut == wal.len();
        assert_eq!(whole, head == *heads.last().unwrap(), "every commit had reached the file");
        found += u64::from(head.size > 0);
        append(&log, 300).await.unwrap();
        check_log(&log).await;
        close(&log).await;
    }
    assert!(found > 20, "the cuts fell at different heads");
    close(&log).await;
}

#[test]
fn a_file_is_opened_by_one_and_read_by_many() {
    let bench = Bench::sqlite();
    let path = bench.path();
    let in_use = || StoreError::InUse(path.display().to_string());
    let store = sqlite::open(&path).unwrap();
    assert_eq!(sqlite::open(&path).err(), Some(in_use()));
    assert_eq!(sqlite::create(&path, store.owner(), MIDNIGHT).err(), Some(in_use()));
    let reader = sqlite::open_read_only(&path).unwrap();
    assert_eq!(reader.head(), store.head());
    assert_eq!(reader.put_issuer(b"x"), Err(StoreError::ReadOnly));
    drop((store, reader));
    let reader = sqlite::open_read_only(&path).unwrap();
    assert_eq!(reader.head().map(|head| head.size), Ok(0), "a log at rest can be read, too");
    assert!(sqlite::open(&path).is_ok());
}

/// Whatever it is: the next one to open the log would not find it.
#[test]
fn nothing_counts_as_written_to_a_file_that_lost_its_name() {
    let bench = Bench::sqlite();
    let path = bench.path();
    let store = sqlite::open(&path).unwrap();
    let head = store.head().unwrap();
    let moved = Err(StoreError::Moved(path.canonicalize().unwrap().display().to_string()));
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    assert_eq!(store.begin(head, epoch()), moved);
    assert_eq!(store.mend(head, &[]), moved);
    assert_eq!(store.put_issuer(b"a certificate"), moved);
}

#[test]
fn a_file_is_made_once_and_only_where_nothing_is() {
    let bench = Bench::sqlite();
    let path = bench.path();
    let exists = Some(StoreError::Exists(path.display().to_string()));
    assert_eq!(sqlite::create(&path, &owner(&bench.key), MIDNIGHT).err(), exists);

    let elsewhere = path.with_file_name("elsewhere.db");
    let missing = StoreError::Missing(elsewhere.display().to_string());
    assert_eq!(sqlite::open(&elsewhere).err(), Some(missing.clone()));
    assert_eq!(sqlite::open_read_only(&elsewhere).err(), Some(missing));
    // What is left of a log whose database was deleted must not find its way into a new one.
    let left_over = path.with_file_name("elsewhere.db-wal");
    std::fs::write(&left_over, b"old").unwrap();
    let exists = Some(StoreError::Exists(left_over.display().to_string()));
    assert_eq!(sqlite::create(&elsewhere, &owner(&bench.key), MIDNIGHT).err(), exists);
    std::fs::remove_file(&left_over).unwrap();
    // A start that was killed half way leaves only this, and the next begins anew.
    std::fs::write(path.with_file_name("elsewhere.db-new"), b"half").unwrap();
    std::fs::write(path.with_file_name("elsewhere.db-new-journal"), b"half").unwrap();
    sqlite::create(&elsewhere, &owner(&bench.key), MIDNIGHT).unwrap();
    assert_eq!(sqlite::open(&elsewhere).unwrap().owner(), &owner(&bench.key));
    let mut left: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["elsewhere.db", "elsewhere.db-lock", "log.db", "log.db-lock"]);
}

#[test]
fn a_file_that_is_no_log_is_refused() {
    let bench = Bench::sqlite();
    let path = bench.path();
    let reason = || match sqlite::open(&path).err() {
        Some(StoreError::Unrecognised { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    bench.damage("UPDATE meta SET value = 2 WHERE name = 'format'");
    assert_eq!(reason(), "its format is 2, here it is 1");
    bench.damage("PRAGMA application_id = 0");
    assert_eq!(reason(), "it is some other program's database");
    std::fs::write(&path, b"this is a text, and longer than a hundred octets. ".repeat(20))
        .unwrap();
    assert_eq!(reason(), "file is not a database");
}

/// Fills a log, does `sql` to it, and expects `error` at the next start.
#[track_caller]
fn check_damage(size: u64, sql: &str, error: LogError) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::sqlite().filled(size));
    let (log, _) = bench.open();
    runtime.block_on(log.close());
    drop(log);
    bench.damage(sql);
    assert_eq!(bench.refusal(), error);
}

fn corrupt(what: &str) -> LogError {
    LogError::Store(StoreError::Corrupt(what.into()))
}

/// P8.
#[test]
fn damage_is_found_at_the_start() {
    // The second octet of the serial number, and a length.
    let flip = |at| {
        format!("leaf = CAST(substr(leaf, 1, {at}) || x'ff' || substr(leaf, {at} + 2) AS BLOB)")
    };
    check_damage(
        300,
        &format!("UPDATE entries SET {} WHERE idx = 299", flip(16)),
        LogError::Entry { index: 299 },
    );
    check_damage(
        300,
        &format!("UPDATE entries SET {} WHERE idx = 44", flip(16)),
        LogError::Entry { index: 44 },
    );
    check_damage(
        300,
        "UPDATE entries SET timestamp = timestamp + 1 WHERE idx = 200",
        LogError::Entry { index: 200 },
    );
    check_damage(
        300,
        "UPDATE entries SET chain = NULL WHERE idx = 200",
        LogError::Entry { index: 200 },
    );
    let unreadable = corrupt("the precertificate of entry 200: it is not the DER of a certificate");
    check_damage(300, &format!("UPDATE entries SET {} WHERE idx = 200", flip(1)), unreadable);
    check_damage(
        300,
        "UPDATE entries SET leaf_hash = zeroblob(32) WHERE idx = 299",
        LogError::Root { size: 300 },
    );
    check_damage(
        300,
        "UPDATE entries SET leaf_hash = zeroblob(32) WHERE idx = 3",
        LogError::Tile { level: 0, index: 0 },
    );
    let hash = "UPDATE entries SET leaf_hash = zeroblob(31) WHERE idx = 299";
    check_damage(300, hash, corrupt("a hash of 31 octets"));
    let gap = corrupt("of the entries 256 to 300 only 43 are there");
    check_damage(300, "DELETE FROM entries WHERE idx = 299", gap);
    let gap = corrupt("of the entries 256 to 300 only 43 are there");
    check_damage(300, "DELETE FROM entries WHERE idx = 280", gap);
    let more = "INSERT INTO entries SELECT 300, leaf_hash, chain, timestamp, leaf, record FROM entries WHERE idx = 0";
    check_damage(300, more, LogError::Rows { rows: 301, size: 300 });
    let tile =
        "UPDATE tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = ";
    check_damage(300, &format!("{tile} 0"), LogError::Tile { level: 0, index: 0 });
    check_damage(300, &format!("{tile} 1"), LogError::Root { size: 300 });
    let missing = "tile 0 of level 1 is missing or has a wrong size";
    check_damage(300, "DELETE FROM tiles WHERE level = 1", corrupt(missing));
    let missing = "tile 0 of level 0 is missing or has a wrong size";
    check_damage(300, "DELETE FROM tiles WHERE level = 0", corrupt(missing));
    check_damage(300, "UPDATE head SET root = zeroblob(32)", LogError::Root { size: 300 });
    check_damage(300, "UPDATE head SET size = 299", LogError::Root { size: 299 });
    let fingerprint = Hash::of(&[ISSUERS[1]]);
    let issuer = "DELETE FROM issuers WHERE der = CAST('a root' AS BLOB)";
    check_damage(300, issuer, LogError::Issuer { index: 44, fingerprint });
    // What SQLite itself sees: a row that its table does not allow.
    let check = "PRAGMA ignore_check_constraints = ON; UPDATE head SET id = 1";
    check_damage(0, check, corrupt("CHECK constraint failed in head"));
    check_damage(0, "UPDATE head SET root = x'00'", corrupt("a hash of 1 octets"));
    check_damage(0, "DELETE FROM meta WHERE name = 'origin'", corrupt("Query returned no rows"));
    check_damage(300, "DELETE FROM head", corrupt("it has no head"));
    check_damage(0, "UPDATE head SET root = zeroblob(32)", LogError::Root { size: 0 });
}
