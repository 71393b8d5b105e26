//! A clock that is set by hand, log keys, a store in memory, and a store that fails on demand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use mayfly::algorithm::SignatureAlgorithm;
use mayfly::log::signed::Keys;
use mayfly::log::{Form, Means, Opening};
use mayfly::signer::{Boxed, Signer, SignerError};
use mayfly::store::{Batch, Epoch, Head, Owner, Placed, Store, StoreError, Tile};
use mayfly::time::{Clock, Timestamp};
use mayfly::tlog::merkle::Hash;

/// An epoch that no other opening of this process has.
pub fn epoch() -> Epoch {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::SeqCst).to_be_bytes());
    Epoch(octets)
}

/// What a certificate log is opened with, whose shard is the last part of its origin.
pub fn means_of_certificates(
    store: Arc<dyn Store>,
    keys: Keys,
    clock: Arc<dyn Clock>,
    origin: &str,
) -> Means {
    let shard = origin.rsplit('/').next().unwrap().to_owned();
    Means { store, keys, clock, form: Form::Certificates, origin: origin.to_owned(), shard }
}

/// Opens a log to append to it, once; nobody remembers its head, and nobody scrubs it.
pub fn opening(means: Means) -> Opening {
    let (mark, shown) = Default::default();
    Opening { means, epoch: epoch(), mark, shown, scrub: Duration::from_secs(3600) }
}

/// A clock that is set by hand, and moves by `step` milliseconds whenever it is read.
pub struct HandClock {
    now: AtomicU64,
    step: u64,
}

impl HandClock {
    pub fn at(now: Timestamp, step: u64) -> Self {
        Self { now: AtomicU64::new(now.as_millis()), step }
    }

    pub fn set(&self, now: Timestamp) {
        self.now.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.fetch_add(self.step, Ordering::SeqCst))
    }
}

/// A log key in memory, which can be made to fail, and counts its signatures.
pub struct LogKey {
    key: Key,
    spki: Vec<u8>,
    pub signatures: AtomicUsize,
    pub broken: AtomicBool,
}

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl LogKey {
    /// The Ed25519 key of this seed: its signatures are constants.
    pub fn ed25519(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let spki = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
        Self::new(spki.as_ref(), Key::Ed25519(pair))
    }

    /// A new P-256 key.
    pub fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
        Self::new(spki.as_ref(), Key::P256(pair))
    }

    fn new(spki: &[u8], key: Key) -> Self {
        Self { key, spki: spki.to_vec(), signatures: AtomicUsize::new(0), broken: false.into() }
    }
}

impl Signer for LogKey {
    fn algorithm(&self) -> SignatureAlgorithm {
        match self.key {
            Key::Ed25519(_) => SignatureAlgorithm::Ed25519,
            Key::P256(_) => SignatureAlgorithm::EcdsaP256Sha256,
        }
    }

    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, Result<Vec<u8>, SignerError>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(SignerError("told to fail".into()));
            }
            self.signatures.fetch_add(1, Ordering::SeqCst);
            Ok(match &self.key {
                Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
                Key::P256(key) => {
                    key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
                }
            })
        })
    }
}

/// A log in memory: [`Store`]'s contract, as far as memory can keep it, in its plainest form.
pub struct MemoryStore {
    owner: Owner,
    rows: Mutex<Rows>,
}

/// What is stored. Tests damage it at will.
pub struct Rows {
    pub head: Head,
    pub epoch: Epoch,
    pub entries: BTreeMap<u64, (Hash, Vec<u8>, String)>,
    pub tiles: BTreeMap<(u8, u64), Vec<u8>>,
    pub issuers: BTreeMap<[u8; 32], Vec<u8>>,
}

impl MemoryStore {
    pub fn new(owner: Owner, now: Timestamp) -> Self {
        let head = Head { size: 0, root: Hash::EMPTY, timestamp: now };
        let (epoch, (entries, tiles, issuers)) = (Epoch([0; 16]), Default::default());
        Self { owner, rows: Mutex::new(Rows { head, epoch, entries, tiles, issuers }) }
    }

    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    fn range<T>(
        &self,
        range: Range<u64>,
        column: impl Fn(&(Hash, Vec<u8>, String)) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows();
        let column = |index| rows.entries.get(&index).map(&column);
        range.map(column).collect::<Option<_>>().ok_or(StoreError::Corrupt("a gap".into()))
    }
}

impl Store for MemoryStore {
    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.rows().head)
    }

    fn end(&self) -> Result<u64, StoreError> {
        Ok(self.rows().entries.last_key_value().map_or(0, |(index, _)| index + 1))
    }

    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if rows.head != head {
            return Err(StoreError::Conflict);
        }
        rows.epoch = epoch;
        Ok(())
    }

    fn mend(&self, head: Head, tiles: &[Tile]) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if rows.head != head {
            return Err(StoreError::Conflict);
        }
        let tiles = tiles.iter().map(|tile| ((tile.level, tile.index), tile.hashes.clone()));
        rows.tiles.extend(tiles);
        Ok(())
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if rows.head != batch.before || rows.epoch != batch.epoch {
            return Err(StoreError::Conflict);
        }
        for entry in &batch.entries {
            let row = (entry.leaf_hash, entry.tile_leaf.clone(), entry.record.clone());
            assert!(rows.entries.insert(entry.index, row).is_none(), "an entry written twice");
        }
        for tile in &batch.tiles {
            let before = rows.tiles.insert((tile.level, tile.index), tile.hashes.clone());
            let begins = before.is_none_or(|before| tile.hashes.starts_with(&before));
            assert!(begins, "a tile that changes what it was");
        }
        rows.head = batch.head;
        Ok(())
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        self.range(range, |row| row.0)
    }

    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        self.range(range, |row| row.1.clone())
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows().tiles.get(&(level, index)).cloned())
    }

    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError> {
        self.rows().issuers.insert(Hash::of(&[der]).0, der.to_vec());
        Ok(())
    }

    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows().issuers.get(fingerprint).cloned())
    }

    fn examine(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Placed>, StoreError> {
        let rows = self.rows();
        let below = rows.entries.range(..before.unwrap_or(u64::MAX)).rev().take(limit);
        let placed = |(&index, row): (&u64, &(Hash, Vec<u8>, String))| {
            let (leaf_hash, tile_leaf, record) = row.clone();
            Placed { index, leaf_hash, tile_leaf, record }
        };
        Ok(below.map(placed).collect())
    }
}

/// When a store fails a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was written.
    Before,
    /// All of it was written.
    After,
    /// The thread panics.
    Panic,
}

/// A store whose next commit fails, or waits, when told to.
pub struct FaultyStore {
    pub inner: Arc<dyn Store>,
    /// Taken by the next commit.
    pub fault: Mutex<Option<Fault>>,
    /// Held by a test, it holds up commits.
    pub gate: tokio::sync::Mutex<()>,
    /// How many commits were begun, with the one that is held up.
    pub begun: AtomicUsize,
    /// How many batches were committed.
    pub batches: AtomicUsize,
    /// What happens whenever its entries are counted.
    pub counted: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let (fault, gate, begun, batches, counted) = Default::default();
        Self { inner, fault, gate, begun, batches, counted }
    }

    pub fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }
}

impl Store for FaultyStore {
    fn owner(&self) -> &Owner {
        self.inner.owner()
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.inner.head()
    }

    fn end(&self) -> Result<u64, StoreError> {
        self.counted.get().into_iter().for_each(|happens| happens());
        self.inner.end()
    }

    fn begin(&self, head: Head, epoch: Epoch) -> Result<(), StoreError> {
        self.inner.begin(head, epoch)
    }

    fn mend(&self, head: Head, tiles: &[Tile]) -> Result<(), StoreError> {
        self.inner.mend(head, tiles)
    }

    fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _gate = self.gate.blocking_lock();
        let fault = self.fault.lock().unwrap().take();
        assert_ne!(fault, Some(Fault::Panic), "told to panic");
        if fault != Some(Fault::Before) {
            self.inner.append(batch)?;
            self.batches.fetch_add(1, Ordering::SeqCst);
        }
        fault.map_or(Ok(()), |_| Err(StoreError::Backend("told to fail".into())))
    }

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        self.inner.leaf_hashes(range)
    }

    fn tile_leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        self.inner.tile_leaves(range)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.tile(level, index)
    }

    fn put_issuer(&self, der: &[u8]) -> Result<(), StoreError> {
        self.inner.put_issuer(der)
    }

    fn issuer(&self, fingerprint: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.issuer(fingerprint)
    }

    fn examine(&self) -> Result<(), StoreError> {
        self.inner.examine()
    }

    fn records(&self, before: Option<u64>, limit: usize) -> Result<Vec<Placed>, StoreError> {
        self.inner.records(before, limit)
    }
}
