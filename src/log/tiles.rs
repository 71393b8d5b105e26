//! Full tiles that were read lately: they never change, and whoever asks for one shares it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::edge::{WIDTH, read_tile};
use super::form::Form;
use crate::store::{Store, StoreError};
use crate::tlog::tile::{TileKind, TilePath};

/// The octets that are kept.
const OCTETS: usize = 32 << 20;
/// The tiles that are kept; few, as they are looked through.
const TILES: usize = 256;

/// The tiles of one log.
pub struct Tiles {
    form: Form,
    // The one used last at the end.
    kept: Mutex<VecDeque<(TilePath, Bytes)>>,
}

impl Tiles {
    /// Those of a log whose entries have this form.
    pub fn new(form: Form) -> Self {
        Self { form, kept: Mutex::default() }
    }

    /// The tile at `path`, which the tree must have so wide: kept, or read from the store.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn read(&self, store: &dyn Store, path: TilePath) -> Result<Bytes, StoreError> {
        if let Some(tile) = self.get(path) {
            return Ok(tile);
        }
        let TilePath { kind, index, width } = path;
        let width = u64::from(width);
        let tile = Bytes::from(match kind {
            TileKind::Hashes { level } => read_tile(store, (level, index), width)?,
            TileKind::Data | TileKind::Entries => {
                let first = index * WIDTH;
                self.form.tile(&store.tile_leaves(first..first + width)?)?
            }
        });
        self.keep(path, &tile);
        Ok(tile)
    }

    /// The tile at `path`, if it is kept.
    pub fn get(&self, path: TilePath) -> Option<Bytes> {
        let mut tiles = self.lock();
        let place = tiles.iter().position(|(kept, _)| *kept == path)?;
        let (path, tile) = tiles.remove(place)?;
        tiles.push_back((path, tile.clone()));
        Some(tile)
    }

    /// Keeps the tile at `path`, if it is full.
    pub fn keep(&self, path: TilePath, tile: &Bytes) {
        if !path.is_full() || tile.len() > OCTETS {
            return;
        }
        let mut tiles = self.lock();
        tiles.retain(|(kept, _)| *kept != path);
        tiles.push_back((path, tile.clone()));
        let mut octets: usize = tiles.iter().map(|(_, tile)| tile.len()).sum();
        while tiles.len() > TILES || octets > OCTETS {
            octets -= tiles.pop_front().map_or(octets, |(_, tile)| tile.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(TilePath, Bytes)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(index: u64, width: u16) -> TilePath {
        TilePath { kind: TileKind::Data, index, width }
    }

    #[test]
    fn tiles_used_lately_are_kept_within_bounds() {
        let tiles = Tiles::new(Form::Certificates);
        let tile = Bytes::from(vec![0; OCTETS / 4]);
        (0..4).for_each(|index| tiles.keep(path(index, 256), &tile));
        assert!(tiles.get(path(0, 256)).is_some());
        tiles.keep(path(4, 256), &tile);
        let kept = (0..5).map(|index| tiles.get(path(index, 256)).is_some());
        assert_eq!(Vec::from_iter(kept), [true, false, true, true, true]);
        (0..1000).for_each(|index| tiles.keep(path(index, 256), &Bytes::from_static(b"x")));
        assert_eq!(tiles.lock().len(), TILES);
    }

    #[test]
    fn what_grows_is_not_kept() {
        let tiles = Tiles::new(Form::Certificates);
        tiles.keep(path(0, 255), &Bytes::from_static(b"x"));
        assert!(tiles.get(path(0, 255)).is_none());
    }
}
