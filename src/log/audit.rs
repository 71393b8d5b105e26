//! All of a log, computed again from its entries: a slice at a time, for the scrub and for
//! `mayfly log fsck`.
//!
//! Every entry is hashed anew from its octets, its record has to fit its certificate, and its issuers are
//! looked for; from the leaf hashes every tile of every level is made again and compared with the one that
//! is stored, and the last of them make the root, which must be the head's.

use std::collections::BTreeMap;

use super::LogError;
use super::edge::{Edge, Grown, WIDTH};
use super::entries::Entries;
use super::form::Form;
use crate::record::Record;
use crate::store::{Head, Placed, Store, StoreError, Tile};
use crate::tlog::merkle::Hash;

/// An audit of the log as it was when it began.
pub struct Audit {
    form: Form,
    head: Head,
    edge: Edge,
    looked: Entries,
    /// Tiles that are not what their entries make them, as they should be.
    wrong: BTreeMap<(u8, u64), Tile>,
    octets: u64,
}

impl Audit {
    /// Of a log of that form, whose head is `head`.
    pub fn of(form: Form, head: Head) -> Self {
        let (edge, wrong) = Default::default();
        let looked = Entries::new(form, head.timestamp);
        Self { form, head, edge, looked, wrong, octets: 0 }
    }

    /// How many entries it has seen.
    pub const fn entries(&self) -> u64 {
        self.edge.size()
    }

    /// How many octets of entries and records it has read.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// The tiles that were found wrong, made anew. None before the last step, nor where the leaf hashes do
    /// not make the head's root: then they would be no better.
    pub fn tiles(&self) -> Vec<Tile> {
        let whole = self.entries() == self.head.size && self.edge.root() == Some(self.head.root);
        self.wrong.values().filter(|_| whole).cloned().collect()
    }

    /// Looks at the next entries, a tile of them, and at the tiles that they complete; at the end at the
    /// root. Yields what does not hold; `None` when there is nothing left to look at.
    ///
    /// # Errors
    ///
    /// What keeps it from going on: [`LogError::Store`].
    pub fn step(&mut self, store: &dyn Store) -> Result<Option<Vec<LogError>>, LogError> {
        let (first, size) = (self.entries(), self.head.size);
        if first >= size {
            return Ok(None);
        }
        let range = first..size.min(first - first % WIDTH + WIDTH);
        let mut found = Vec::new();
        let mut grown = Grown::default();
        for hash in self.leaf_hashes(store, range, &mut found)? {
            self.edge.push(hash, &mut grown);
        }
        for tile in grown.into_tiles() {
            let stored = store.tile(tile.level, tile.index)?.unwrap_or_default();
            // It may have grown since the audit began.
            let full = usize::try_from(WIDTH * 32).unwrap_or(usize::MAX);
            if stored.starts_with(&tile.hashes) && stored.len() <= full {
                continue;
            }
            let place = (tile.level, tile.index);
            if self.wrong.insert(place, tile).is_none() {
                found.push(LogError::Tile { level: place.0, index: place.1 });
            }
        }
        if self.entries() == size && self.edge.root() != Some(self.head.root) {
            found.push(LogError::Root { size });
        }
        Ok(Some(found))
    }

    /// The leaf hashes of these entries, and in `found` what is wrong with the entries.
    fn leaf_hashes(
        &mut self,
        store: &dyn Store,
        range: std::ops::Range<u64>,
        found: &mut Vec<LogError>,
    ) -> Result<Vec<Hash>, LogError> {
        let limit = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut entries = match store.records(Some(range.end), limit) {
            Ok(entries) => entries,
            // One entry cannot be read: the others still make the tree.
            Err(damage @ StoreError::Corrupt(_)) => {
                found.push(damage.into());
                return Ok(store.leaf_hashes(range)?);
            }
            Err(error) => return Err(error.into()),
        };
        entries.reverse();
        if !entries.iter().map(|entry| entry.index).eq(range.clone()) {
            // Says which are missing.
            return Ok(store.leaf_hashes(range)?);
        }
        for entry in &entries {
            found.extend(self.entry(store, entry)?);
            self.octets += (entry.tile_leaf.len() + entry.record.len()) as u64;
        }
        Ok(entries.into_iter().map(|entry| entry.leaf_hash).collect())
    }

    /// What is wrong with an entry.
    fn entry(&mut self, store: &dyn Store, entry: &Placed) -> Result<Option<LogError>, StoreError> {
        let Placed { index, leaf_hash, tile_leaf, record } = entry;
        let found = self.looked.look(store, *index, (tile_leaf, *leaf_hash))?;
        if found.is_some() || self.form == Form::Octets {
            return Ok(found);
        }
        let wrong = match Record::read(*index, tile_leaf, record) {
            Ok(record) => record.damaged,
            Err(error) => Some(error.to_string()),
        };
        Ok(wrong.map(|wrong| LogError::Record(format!("entry {index}: {wrong}"))))
    }
}
