//! A log in a folder, with a clock and a key of its own, and those who hold it to its word.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mayfly::cli::verify::check_served;
use mayfly::ct::entry::Entry;
use mayfly::ct::judge::Sighting;
use mayfly::ct::sct::Sct;
use mayfly::ct::window::Window;
use mayfly::log::{Log, LogError, Opening};
use mayfly::record::Attempt;
use mayfly::signer::Signer;
use mayfly::store::{Owner, Store, StoreError, sqlite};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::{Hash, leaf_hash};
use mayfly::tlog::tile::{TileKind, TilePath, decode_hashes};
use tempfile::TempDir;
use tokio::time::Instant;

use super::instance::check_heads;
use super::journal::Journal;
use crate::support::store::{FaultyStore, HandClock, LogKey, means_of_certificates, opening};

pub const ORIGIN: &str = "ca.example.com/ct/2026";
pub const MIDNIGHT: Timestamp = Timestamp::from_secs(1_767_225_600);
pub const HOUR: Duration = Duration::from_secs(3600);

/// The certificate that every chain of [`entry`] ends at; nobody can read it, so no judge asks who signed.
pub const ISSUER: &[u8] = b"an issuer";

/// A small entry, unlike any of another number.
pub fn entry(number: u64) -> Entry {
    static ISSUER_HASH: LazyLock<[u8; 32]> = LazyLock::new(|| Hash::of(&[ISSUER]).0);
    Entry {
        issuer_key_hash: [7; 32],
        tbs: number.to_be_bytes().repeat(4),
        precertificate: number.to_be_bytes().repeat(5),
        chain: [*ISSUER_HASH].into(),
    }
}

/// Logs the entry of this number.
pub async fn append(log: &Log, number: u64) -> Result<Sct, LogError> {
    let attempt = Attempt { time: MIDNIGHT, ..Attempt::default() };
    log.append(entry(number), attempt).await
}

/// A log that can be closed, killed and opened again.
pub struct Stage {
    folder: TempDir,
    pub key: Arc<LogKey>,
    pub clock: Arc<HandClock>,
    journal: Journal,
    next: AtomicU64,
}

/// The log with this key, as its store knows it.
pub fn owner(key: &[u8]) -> Owner {
    let window = Window::year(MIDNIGHT);
    Owner { origin: ORIGIN.into(), log_id: Hash::of(&[key]).0, window }
}

impl Stage {
    /// A new, empty log.
    pub fn new() -> Self {
        let stage = Self::over(tempfile::tempdir().expect("a folder"), MIDNIGHT);
        let owner = owner(stage.key.public_key());
        sqlite::create(&stage.path(), &owner, MIDNIGHT).expect("a new log");
        sqlite::open(&stage.path()).and_then(|store| store.put_issuer(ISSUER)).expect("an issuer");
        stage
    }

    fn over(folder: TempDir, now: Timestamp) -> Self {
        let journal = Journal::new(folder.path());
        let clock = Arc::new(HandClock::at(now, 2));
        let (key, next) = (Arc::new(LogKey::ed25519(1)), AtomicU64::default());
        Self { folder, key, clock, journal, next }
    }

    /// The database as it lies there, and all that was promised, in another folder: what a process finds
    /// after one that was killed.
    pub fn copy(&self) -> Self {
        self.copy_in(tempfile::tempdir().expect("a folder"))
    }

    /// The same in this folder.
    pub fn copy_in(&self, folder: TempDir) -> Self {
        for file in ["log.db", "log.db-wal", "log.mark"] {
            let from = self.folder.path().join(file);
            if from.exists() {
                std::fs::copy(from, folder.path().join(file)).expect("room for a copy");
            }
        }
        let copy = Self::over(folder, self.clock.now());
        for what in ["sct", "head"] {
            self.journal.all(what).iter().for_each(|line| copy.journal.keep(what, line));
        }
        copy.next.store(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
        copy
    }

    /// The database.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    /// What remembers the newest head.
    pub fn mark(&self) -> PathBuf {
        self.folder.path().join("log.mark")
    }

    /// Takes what remembers the newest head from elsewhere.
    pub fn take_mark(&self, from: &Path) {
        std::fs::copy(from, self.mark()).expect("a mark");
    }

    /// The write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.folder.path().join("log.db-wal")
    }

    /// Runs SQL on the database behind everybody's back.
    pub fn damage(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path()).expect("a database");
        let changed = connection.execute(sql, []).expect("SQL");
        assert!(changed > 0, "nothing was damaged by {sql}");
    }

    /// Turns over one bit of the newest entry.
    pub fn flip(&self, column: &str, at: usize) {
        let newest = "idx = (SELECT max(idx) FROM entries)";
        let connection = rusqlite::Connection::open(self.path()).expect("a database");
        let select = format!("SELECT {column} FROM entries WHERE {newest}");
        let mut octets: Vec<u8> =
            connection.query_row(&select, [], |row| row.get(0)).expect("an entry");
        octets[at] ^= 1;
        let update = format!("UPDATE entries SET {column} = ?1 WHERE {newest}");
        assert_eq!(connection.execute(&update, [octets]).expect("SQL"), 1);
    }

    /// Opens it.
    pub fn open(&self) -> Result<(Log, Arc<FaultyStore>), LogError> {
        let patience = Instant::now() + Duration::from_secs(20);
        let store = loop {
            match sqlite::open(&self.path()) {
                // A thread that panicked did not wait for those beside it.
                Err(StoreError::InUse(_)) if Instant::now() < patience => std::thread::yield_now(),
                opened => break opened,
            }
        };
        let store: Arc<dyn Store> = Arc::new(store.map_err(LogError::Store)?);
        let faulty = Arc::new(FaultyStore::new(store));
        let keys = (Arc::clone(&self.key) as Arc<dyn Signer>).into();
        let clock = Arc::clone(&self.clock);
        let (store, origin) = (faulty.clone(), ORIGIN.to_owned());
        let opening = opening(means_of_certificates(store, keys, clock, &origin));
        let log = Log::open(Opening { mark: Some(self.mark()), ..opening })?;
        Ok((log, faulty))
    }

    /// Appends `count` entries, all in flight at once; whoever has an SCT keeps it. Yields what the others
    /// were told.
    pub async fn append(&self, log: &Log, count: u64) -> Vec<LogError> {
        let first = self.next.fetch_add(count, Ordering::SeqCst);
        let appends: Vec<_> = (first..first + count)
            .map(|number| {
                let log = log.clone();
                tokio::spawn(async move { (number, append(&log, number).await) })
            })
            .collect();
        let mut told = Vec::new();
        for one in appends {
            match one.await.expect("nobody panics") {
                (number, Ok(sct)) => self.keep(number, &sct),
                (_, Err(error)) => told.push(error),
            }
        }
        told
    }

    /// Appends as many entries as make a tree of `size`, and promises nobody anything.
    pub async fn fill(&self, log: &Log, size: u64) {
        self.key.broken.store(true, Ordering::SeqCst);
        while log.head().size < size {
            let count = (size - log.head().size).min(4000);
            let told = self.append(log, count).await;
            assert!(told.iter().all(|error| matches!(error, LogError::Signer(_))), "{told:?}");
        }
        self.key.broken.store(false, Ordering::SeqCst);
    }

    fn keep(&self, number: u64, sct: &Sct) {
        let key = PublicKey::from_spki(self.key.public_key()).expect("a key");
        let leaf = entry(number).merkle_tree_leaf(sct.timestamp, sct.leaf_index);
        key.verify(&leaf, &sct.signed()).expect("an SCT that holds");
        let millis = sct.timestamp.as_millis();
        self.journal.keep("sct", &format!("{number} {} {millis}", sct.leaf_index));
    }

    /// Keeps the checkpoint that the log serves.
    pub async fn see(&self, log: &Log) {
        let note = log.checkpoint().await.expect("a checkpoint");
        self.journal.keep("head", &serde_json::to_string(&note).expect("JSON"));
    }

    /// The leaves that were promised a place from `first` up, one after the other.
    pub fn promised(&self, first: u64) -> Vec<Hash> {
        let mut places: Vec<_> = self.journal.all("sct").iter().map(|sct| numbers(sct)).collect();
        places.sort_by_key(|[_, index, _]| *index);
        let leaf = |[number, index, millis]: [u64; 3]| {
            leaf_hash(&entry(number).merkle_tree_leaf(Timestamp::from_millis(millis), index))
        };
        places.into_iter().filter(|[_, index, _]| *index >= first).map(leaf).collect()
    }

    fn heads(&self) -> Vec<Sighting> {
        let key = PublicKey::from_spki(self.key.public_key()).expect("a key");
        let notes = self.journal.all("head").into_iter();
        let read = |line: String| {
            let note: String = serde_json::from_str(&line).expect("JSON");
            Sighting::of(&note, Some(&key)).expect("a checkpoint that holds").1
        };
        notes.map(read).collect()
    }

    /// Recomputes everything that the log serves, and holds it to all that it ever said.
    pub async fn judge(&self, log: &Log) {
        self.see(log).await;
        let heads = self.heads();
        for pair in heads.windows(2) {
            assert!(pair[0].timestamp <= pair[1].timestamp, "the log went back in time");
            let same = pair[0].timestamp == pair[1].timestamp;
            assert!(!same || pair[0] == pair[1], "two heads of one time");
        }
        let verdict = check_served(log, heads.iter().rev().nth(1).copied()).await;
        verdict.unwrap_or_else(|error| panic!("the judge: {error}"));
        let leaves = leaves(log).await;
        check_heads(heads.iter().map(|head| (head.size, head.root)), &leaves);
        for sct in self.journal.all("sct") {
            let [number, index, millis] = numbers(&sct);
            let leaf = entry(number).merkle_tree_leaf(Timestamp::from_millis(millis), index);
            let found = leaves.get(index as usize);
            assert_eq!(found, Some(&leaf_hash(&leaf)), "entry {index} is not the one promised");
        }
    }
}

fn numbers(line: &str) -> [u64; 3] {
    let numbers = line.split(' ').map(|number| number.parse().expect("a number"));
    numbers.collect::<Vec<_>>().try_into().expect("three numbers")
}

/// The hashes of level 0 as the log serves them; that they are those of the entries, the judge has found.
pub async fn leaves(log: &Log) -> Vec<Hash> {
    let (size, mut leaves) = (log.head().size, Vec::new());
    while let Some(path) =
        TilePath::at(size, TileKind::Hashes { level: 0 }, leaves.len() as u64 / 256)
    {
        let tile = log.tile(path).await.expect("a store that reads").expect("a tile");
        leaves.extend(decode_hashes(&tile).expect("hashes"));
        if !path.is_full() {
            break;
        }
    }
    leaves
}

/// Cuts a file to `length`.
pub fn cut(path: &Path, length: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
    file.set_len(length).expect("it is cut");
}

/// How long a file is.
pub fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len())
}

/// Whoever opens a store that is in use is told so.
pub fn in_use(stage: &Stage) {
    let told = sqlite::open(&stage.path()).err();
    assert_eq!(told, Some(StoreError::InUse(stage.path().display().to_string())));
}
