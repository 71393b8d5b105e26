//! The judge: recomputes everything of a log from its public files.
//!
//! A [`Judge`] holds a head to what the log serves: each entry to its place, its issuers and its
//! precertificate, each hash of each tile to the entries below it, the root to all of them, and all
//! of it to the head seen at the last visit. It computes only: it says which file it wants, and is
//! handed the bytes.
//!
//! ```text
//! tile/data/000   tile/0/000     entries, and the hashes of their leaves
//! issuer/<hex>                   once for each issuer, when its first entry turns up
//! …
//! tile/data/255   tile/0/255   tile/1/000    a tile as soon as all below it is known
//! ```
//!
//! A log of other entries (`tile/entries/`) is the same without issuers: what its entries say is for others.
//!
//! One bit changed in any of these files is found: leaf hashes cover what the tree covers; the
//! precertificate, which it does not cover, is held to the logged TBS and to its signature.
//!
//! Spec: C2SP static-ct-api, RFC 6962 §2.1, §3.4.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;

use der::Decode as _;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use super::entry::{self, Entry, Logged, LoggedEntry};
use super::precertificate::Parts;
use crate::time::Timestamp;
use crate::tlog::key::{CheckpointError, PublicKey};
use crate::tlog::merkle::{Frontier, Hash, leaf_hash};
use crate::tlog::note::{self, Checkpoint, SignedNote};
use crate::tlog::tile::{self, TileKind, TilePath};
use crate::tlog::tls::Reader;

mod fault;
mod tiles;

pub use fault::{CertificateError, Fault};
pub use tiles::Tiles;

/// The most issuer certificates that one log is followed to.
const MAX_ISSUERS: usize = 10_000;

/// The purpose of a Precertificate Signing Certificate: 1.3.6.1.4.1.11129.2.4.4.
const PRECERTIFICATE_SIGNING: &str = "1.3.6.1.4.1.11129.2.4.4";

/// A file of a log, by its path below the log's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `tile/…`
    Tile(TilePath),
    /// `issuer/<hex>`, by the SHA-256 of the certificate.
    Issuer(Hash),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(path) => write!(f, "tile/{path}"),
            Self::Issuer(fingerprint) => write!(f, "issuer/{fingerprint}"),
        }
    }
}

/// A head that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How many entries the log had.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// When it was signed; unknown when no key vouches for it.
    pub timestamp: Option<Timestamp>,
}

impl Sighting {
    /// Reads a checkpoint, and verifies it if there is a key to do it with; yields the log's origin
    /// and the head.
    ///
    /// # Errors
    ///
    /// [`Fault::Checkpoint`].
    pub fn of(checkpoint: &str, key: Option<&PublicKey>) -> Result<(String, Self), Fault> {
        let note: SignedNote = checkpoint.parse().map_err(CheckpointError::Note)?;
        let (checkpoint, timestamp) = match key {
            Some(key) if entries(&note, Some(key)) == TileKind::Entries => {
                (key.verify_note(&note)?, None)
            }
            Some(key) => key.verify_checkpoint(&note).map(|(head, at)| (head, Some(at)))?,
            None => (note.text.parse::<Checkpoint>().map_err(CheckpointError::Note)?, None),
        };
        let Checkpoint { origin, size, root } = checkpoint;
        Ok((origin, Self { size, root, timestamp }))
    }
}

/// What the tiles of entries of a log are, by its checkpoint: a certificate log's key signs tree heads, any
/// other's the text. Where the key is not known, by the name: a signature log has its host's alone.
pub fn entries(note: &SignedNote, key: Option<&PublicKey>) -> TileKind {
    let origin = note.text.lines().next().unwrap_or_default();
    let is_text = match key.map(PublicKey::id) {
        Some(id) => note.signatures.iter().any(|line| line.key_id == note::ecdsa_key_id(&id)),
        None => !origin.contains('/'),
    };
    if is_text { TileKind::Entries } else { TileKind::Data }
}

/// What holds when nothing was found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The head that was judged.
    pub head: Sighting,
    /// How many tiles were compared.
    pub tiles: u64,
    /// How many issuer certificates the entries use.
    pub issuers: usize,
    /// Entries whose certificate could not be held to its issuer's signature, because of an
    /// algorithm or a kind of issuer that is not known here. The tree covers them nonetheless.
    pub unchecked: u64,
}

/// Judges a whole log: `read` yields each file by its path below the log's prefix, `checkpoint`
/// first.
///
/// # Errors
///
/// [`Unjudged::Fault`] for what is wrong with the log, [`Unjudged::Unread`] for what `read` says.
pub fn check_log<E>(
    key: Option<&PublicKey>,
    earlier: Option<Sighting>,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, E>,
) -> Result<Verdict, Unjudged<E>> {
    let checkpoint = read("checkpoint").map_err(Unjudged::Unread)?;
    let (_, head) = Sighting::of(&String::from_utf8_lossy(&checkpoint), key)?;
    let mut judge = Judge::new(head, earlier)?;
    while let Some(resource) = judge.wants() {
        let bytes = read(&resource.to_string()).map_err(Unjudged::Unread)?;
        judge.take(&bytes)?;
    }
    Ok(judge.verdict()?)
}

/// Why [`check_log`] came to no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unjudged<E> {
    /// The log is at fault.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A file could not be read.
    #[error("{0}")]
    Unread(E),
}

/// Holds entries to their issuers; yields how many could not be checked.
pub type Check<'a> = &'a (dyn Fn(&[LoggedEntry]) -> Result<u64, Fault> + Sync);

/// How entries get to a [`Check`]: all at once, or in parts that several cores work at.
pub type Spread = fn(&[LoggedEntry], Check<'_>) -> Result<u64, Fault>;

/// A judgement under way.
#[derive(Debug)]
pub struct Judge {
    head: Sighting,
    earlier: Option<Sighting>,
    tiles: Tiles,
    /// Where the next entry stands, and the tree so far.
    frontier: Frontier,
    /// For each level of hash tiles, the hashes that its unfinished tile must hold.
    levels: BTreeMap<u8, Vec<Hash>>,
    issuers: BTreeMap<Hash, Option<Issuer>>,
    /// Entries that wait for an issuer of theirs.
    held: Vec<LoggedEntry>,
    missing: BTreeSet<Hash>,
    compared: u64,
    unchecked: u64,
    spread: Spread,
}

/// What an issuing certificate says about the certificates below it.
#[derive(Debug)]
struct Issuer {
    key: PublicKey,
    /// Whether it signs precertificates for another one, whose name the TBS then has.
    is_delegate: bool,
}

impl Judge {
    /// A judgement of `head` by one who saw `earlier` at the last visit.
    ///
    /// # Errors
    ///
    /// [`Fault::Shrunk`], [`Fault::Rewound`], [`Fault::Forked`] when the heads alone contradict
    /// each other.
    pub fn new(head: Sighting, earlier: Option<Sighting>) -> Result<Self, Fault> {
        Self::of(TileKind::Data, head, earlier)
    }

    /// The same of a log with these tiles of entries.
    ///
    /// # Errors
    ///
    /// As [`Judge::new`].
    pub fn of(entries: TileKind, head: Sighting, earlier: Option<Sighting>) -> Result<Self, Fault> {
        if let Some(earlier) = earlier {
            if earlier.size > head.size {
                return Err(Fault::Shrunk { earlier: earlier.size, now: head.size });
            }
            if earlier.timestamp.zip(head.timestamp).is_some_and(|(then, now)| then > now) {
                return Err(Fault::Rewound);
            }
        }
        let judge = Self {
            head,
            earlier,
            tiles: Tiles::of(head.size, entries),
            frontier: Frontier::default(),
            levels: BTreeMap::new(),
            issuers: BTreeMap::new(),
            held: Vec::new(),
            missing: BTreeSet::new(),
            compared: 0,
            unchecked: 0,
            spread: |entries, check| check(entries),
        };
        judge.compare_with_earlier()?;
        Ok(judge)
    }

    /// The same judgement, with the checks of entries spread so: their signatures are most of its work by far.
    pub fn spread(self, spread: Spread) -> Self {
        Self { spread, ..self }
    }

    /// The tiles that are still to come, in the order in which they are wanted.
    pub fn tiles(&self) -> Tiles {
        self.tiles.clone()
    }

    /// How many entries have been read.
    pub const fn entries(&self) -> u64 {
        self.frontier.size()
    }

    /// The next file to [`Self::take`]; none when everything has been seen.
    pub fn wants(&self) -> Option<Resource> {
        match self.missing.last() {
            Some(issuer) => Some(Resource::Issuer(*issuer)),
            None => self.tiles.clone().next().map(Resource::Tile),
        }
    }

    /// Holds the file that is wanted to everything known so far.
    ///
    /// # Errors
    ///
    /// [`Fault`], the first one found.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if let Some(fingerprint) = self.missing.pop_last() {
            self.take_issuer(fingerprint, bytes)?;
        } else if let Some(path) = self.tiles.next() {
            match path.kind {
                TileKind::Hashes { level } => self.take_hashes(path, level, bytes)?,
                TileKind::Data => self.take_entries(path, bytes)?,
                TileKind::Entries => self.take_octets(path, bytes)?,
            }
            self.compared += 1;
        }
        if self.missing.is_empty() {
            let held = mem::take(&mut self.held);
            let issuers = &self.issuers;
            let check = |part: &[LoggedEntry]| -> Result<u64, Fault> {
                part.iter().map(|entry| check_entry(issuers, entry)).sum()
            };
            self.unchecked += (self.spread)(&held, &check)?;
        }
        Ok(())
    }

    /// What holds, now that everything has been seen.
    ///
    /// # Errors
    ///
    /// [`Fault::Root`] when the entries make another tree, [`Fault::Unfinished`] while a file is
    /// wanted.
    pub fn verdict(self) -> Result<Verdict, Fault> {
        if self.wants().is_some() {
            return Err(Fault::Unfinished);
        }
        if self.frontier.root() != self.head.root {
            return Err(Fault::Root);
        }
        Ok(Verdict {
            head: self.head,
            tiles: self.compared,
            issuers: self.issuers.len(),
            unchecked: self.unchecked,
        })
    }

    fn take_entries(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        for _ in 0..path.width {
            let index = self.frontier.size();
            let (entry, behind) =
                entry::read_tile_leaf(rest).map_err(|error| Fault::Entry { index, error })?;
            rest = behind;
            self.take_entry(index, entry)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(Fault::TrailingBytes(path)) }
    }

    fn take_octets(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(bytes);
        for _ in 0..path.width {
            let index = self.frontier.size();
            let octets = reader.opaque16();
            let octets = octets.map_err(|error| Fault::Entry { index, error: error.into() })?;
            let leaf = leaf_hash(octets);
            self.frontier.push(leaf);
            self.level(0).push(leaf);
            self.compare_with_earlier()?;
        }
        reader.end().map_err(|_| Fault::TrailingBytes(path))
    }

    fn take_entry(&mut self, index: u64, entry: LoggedEntry) -> Result<(), Fault> {
        if entry.index != index {
            return Err(Fault::Index { index, says: entry.index });
        }
        if self.head.timestamp.is_some_and(|head| head < entry.timestamp) {
            return Err(Fault::FromTheFuture(index));
        }
        if entry.logged.chain().is_empty() {
            return Err(Fault::NoIssuer(index));
        }
        for fingerprint in entry.logged.chain().iter().copied().map(Hash) {
            if !self.issuers.contains_key(&fingerprint) {
                self.missing.insert(fingerprint);
            }
        }
        if self.issuers.len() + self.missing.len() > MAX_ISSUERS {
            return Err(Fault::TooManyIssuers);
        }
        self.frontier.push(entry.leaf_hash);
        self.level(0).push(entry.leaf_hash);
        self.held.push(entry);
        self.compare_with_earlier()
    }

    fn take_hashes(&mut self, path: TilePath, level: u8, bytes: &[u8]) -> Result<(), Fault> {
        let expected = mem::take(self.level(level));
        let found = tile::decode_hashes(bytes).filter(|found| found.len() == expected.len());
        let found = found.ok_or(Fault::TileLength(path))?;
        if let Some(position) = expected.iter().zip(&found).position(|(a, b)| a != b) {
            return Err(Fault::Hash { path, position });
        }
        if path.is_full() {
            let mut above = Frontier::default();
            expected.into_iter().for_each(|hash| above.push(hash));
            self.level(level + 1).push(above.root());
        }
        Ok(())
    }

    fn take_issuer(&mut self, fingerprint: Hash, der: &[u8]) -> Result<(), Fault> {
        if Hash::of(&[der]) != fingerprint {
            return Err(Fault::Issuer(fingerprint));
        }
        self.issuers.insert(fingerprint, Issuer::read(der));
        Ok(())
    }

    fn compare_with_earlier(&self) -> Result<(), Fault> {
        match self.earlier {
            Some(Sighting { size, root, .. })
                if size == self.frontier.size() && root != self.frontier.root() =>
            {
                Err(Fault::Forked(size))
            }
            _ => Ok(()),
        }
    }

    fn level(&mut self, level: u8) -> &mut Vec<Hash> {
        self.levels.entry(level).or_default()
    }
}

/// Holds an entry to its issuer; yields 1 when it could not be checked.
fn check_entry(
    issuers: &BTreeMap<Hash, Option<Issuer>>,
    entry: &LoggedEntry,
) -> Result<u64, Fault> {
    let issuer = entry.logged.chain().first().and_then(|first| issuers.get(&Hash(*first)));
    let Some(Some(issuer)) = issuer else { return Ok(1) };
    let checked = issuer.check(&entry.logged);
    let checked = checked.map_err(|error| Fault::Certificate { index: entry.index, error })?;
    Ok(u64::from(!checked))
}

impl Issuer {
    /// What is known here of a DER certificate; nothing when its key or its form is foreign.
    fn read(der: &[u8]) -> Option<Self> {
        let key = PublicKey::from_certificate(der).ok()?;
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let usage = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>().ok()?;
        let is_delegate = usage.is_some_and(|(_, purposes)| {
            purposes.0.iter().any(|purpose| purpose.to_string() == PRECERTIFICATE_SIGNING)
        });
        Some(Self { key, is_delegate })
    }

    /// Holds what was logged to this issuer; yields whether its signature could be verified.
    fn check(&self, logged: &Logged) -> Result<bool, CertificateError> {
        let parts = match logged {
            Logged::Certificate { certificate, .. } => Parts::of(certificate)?,
            Logged::Precertificate(entry) => self.check_precertificate(entry)?,
        };
        match parts.signed().filter(|signed| signed.algorithm == self.key.algorithm()) {
            None => Ok(false),
            Some(signed) => match self.key.verify(parts.tbs, &signed) {
                Ok(()) => Ok(!self.is_delegate),
                Err(_) => Err(CertificateError::Signature),
            },
        }
    }

    fn check_precertificate<'a>(&self, entry: &'a Entry) -> Result<Parts<'a>, CertificateError> {
        let parts = Parts::of(&entry.precertificate)?;
        let tbs = parts.tbs_without_poison()?;
        // Under a delegate issuer name, key identifier and issuer_key_hash are those of its own
        // issuer.
        if self.is_delegate {
            return Ok(parts);
        }
        if tbs != entry.tbs {
            return Err(CertificateError::Tbs);
        }
        if self.key.id() == entry.issuer_key_hash {
            Ok(parts)
        } else {
            Err(CertificateError::IssuerKeyHash)
        }
    }
}
