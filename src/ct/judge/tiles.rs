//! The order in which a log's tiles can be judged.

use crate::tlog::tile::{TileKind, TilePath, width_at};

/// Every tile of a log, each after all that it is computed from.
#[derive(Clone, Debug)]
pub struct Tiles {
    size: u64,
    /// What its tiles of entries are.
    entries: TileKind,
    /// The tile of entries, and its hash tile, that comes next or is being finished.
    index: u64,
    step: Step,
}

/// Where [`Tiles`] stands within the tiles that end with one tile of entries.
#[derive(Clone, Copy, Debug)]
enum Step {
    Entries,
    Hashes(u8),
}

impl Tiles {
    /// Every tile of a log of `size` entries with these tiles of entries, each after all that it is computed
    /// from.
    pub const fn of(size: u64, entries: TileKind) -> Self {
        Self { size, entries, index: 0, step: Step::Entries }
    }

    /// The hash tile of `level` that the present tile of entries completes, or ends.
    fn completed(&self, level: u8) -> Option<TilePath> {
        let kind = TileKind::Hashes { level };
        let index = self.index.checked_shr(u32::from(level) * 8)?;
        let tile = TilePath::at(self.size, kind, index)?;
        let is_last = width_at(self.size, 0, self.index + 1).is_none();
        // The present tile is the last one below `tile` when all its lower digits are 255.
        let completes = tile.is_full() && (self.index + 1).trailing_zeros() >= u32::from(level) * 8;
        (completes || is_last && !tile.is_full()).then_some(tile)
    }
}

impl Iterator for Tiles {
    type Item = TilePath;

    fn next(&mut self) -> Option<TilePath> {
        loop {
            match self.step {
                Step::Entries => {
                    let tile = TilePath::at(self.size, self.entries, self.index)?;
                    self.step = Step::Hashes(0);
                    return Some(tile);
                }
                Step::Hashes(level) if u32::from(level) * 8 >= u64::BITS => {
                    self.index += 1;
                    self.step = Step::Entries;
                }
                Step::Hashes(level) => {
                    self.step = Step::Hashes(level + 1);
                    if let Some(tile) = self.completed(level) {
                        return Some(tile);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn tiles(size: u64) -> Tiles {
        Tiles::of(size, TileKind::Data)
    }

    #[track_caller]
    fn check(size: u64, paths: &[&str]) {
        let found: Vec<String> = tiles(size).map(|tile| tile.to_string()).collect();
        assert_eq!(found, paths, "{size}");
    }

    #[test]
    fn a_tile_comes_when_all_below_it_is_known() {
        check(0, &[]);
        check(1, &["data/000.p/1", "0/000.p/1"]);
        check(256, &["data/000", "0/000", "1/000.p/1"]);
        check(257, &["data/000", "0/000", "data/001.p/1", "0/001.p/1", "1/000.p/1"]);
    }

    #[test]
    fn seventy_thousand_entries_have_tiles_on_three_levels() {
        let last: Vec<String> =
            tiles(70_000).map(|tile| tile.to_string()).skip(2 * 273 + 1).collect();
        assert_eq!(last, ["data/273.p/112", "0/273.p/112", "1/001.p/17", "2/000.p/1"]);
        assert_eq!(tiles(70_000).position(|tile| tile.to_string() == "1/000"), Some(512));
    }

    proptest! {
        #[test]
        fn every_tile_comes_once(size in prop_oneof![0..2000_u64, 65_000..66_500_u64, 130_000..133_000_u64]) {
            let kinds = (0..8).map(|level| TileKind::Hashes { level }).chain([TileKind::Data]);
            let all: HashSet<TilePath> = kinds
                .flat_map(|kind| (0..).map_while(move |index| TilePath::at(size, kind, index)))
                .collect();
            let found: Vec<TilePath> = tiles(size).collect();
            prop_assert_eq!(found.len(), all.len());
            prop_assert_eq!(found.into_iter().collect::<HashSet<_>>(), all);
        }
    }
}
