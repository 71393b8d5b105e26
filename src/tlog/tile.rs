//! Tiles: the files that a log is published as.
//!
//! ```text
//! tile/0/x001/x234/067        256 leaf hashes: leaves 1234067·256 …
//! tile/1/004.p/17             17 nodes of level 8, the right edge of a growing tree
//! tile/data/000.p/2           the entries of leaves 0 and 1 (static-ct-api)
//! tile/entries/000.p/2        the same in other logs (tlog-tiles)
//! ```
//!
//! A full tile is 256 wide and never changes. Hash tile (level, index) holds, one after the other,
//! the nodes `index·256 ..` of level 8·level of the tree.
//!
//! Spec: C2SP tlog-tiles, static-ct-api.

use std::fmt;
use std::str::FromStr;

use super::merkle::Hash;

/// How many hashes or entries a full tile holds.
pub const FULL_WIDTH: u16 = 256;

/// The highest level of hash tiles.
const MAX_LEVEL: u8 = 63;

/// A tile's place: what follows `tile/` in its path.
///
/// Text and value correspond one to one: what [`FromStr`] accepts, [`fmt::Display`] yields again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    /// What the tile holds.
    pub kind: TileKind,
    /// Which tile of its kind, from the left.
    pub index: u64,
    /// How many hashes or entries it holds: 1 to 256, 256 is full.
    pub width: u16,
}

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Nodes of the tree at level 8·`level`.
    Hashes {
        /// 0 to 63; a certificate log has no more than 5.
        level: u8,
    },
    /// The entries of a certificate log.
    Data,
    /// The entries of any other log.
    Entries,
}

impl TileKind {
    /// The level of the hash tile as wide as a tile of this kind: 0 for entries.
    pub const fn level(self) -> u8 {
        match self {
            Self::Hashes { level } => level,
            Self::Data | Self::Entries => 0,
        }
    }
}

impl TilePath {
    /// The widest tile of this kind and index in a tree of `size` leaves; none when it is empty.
    pub fn at(size: u64, kind: TileKind, index: u64) -> Option<Self> {
        width_at(size, kind.level(), index).map(|width| Self { kind, index, width })
    }

    /// Whether the tile is full, and will never change.
    pub const fn is_full(&self) -> bool {
        self.width == FULL_WIDTH
    }
}

/// How wide hash tile (`level`, `index`) is in a tree of `size` leaves; none when it is empty.
///
/// Data and entry tiles are as wide as the hash tile of level 0.
pub fn width_at(size: u64, level: u8, index: u64) -> Option<u16> {
    let nodes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
    let before = index.checked_mul(u64::from(FULL_WIDTH))?;
    let width = nodes.checked_sub(before)?.min(u64::from(FULL_WIDTH));
    u16::try_from(width).ok().filter(|width| *width > 0)
}

/// The hashes of a hash tile; none when `bytes` is not a whole number of them.
pub fn decode_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then(|| hashes.iter().copied().map(Hash).collect())
}

/// The content of a hash tile.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "{level}/")?,
            TileKind::Data => f.write_str("data/")?,
            TileKind::Entries => f.write_str("entries/")?,
        }
        let groups = self.index.checked_ilog(1000).unwrap_or(0);
        for group in (0..=groups).rev() {
            let digits = self.index / 1000_u64.pow(group) % 1000;
            match group {
                0 => write!(f, "{digits:03}")?,
                _ => write!(f, "x{digits:03}/")?,
            }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let (kind, place) = path.split_once('/').ok_or(TilePathError)?;
        let (index, width) = match place.split_once(".p/") {
            Some((index, width)) => (index, partial_width(width)?),
            None => (place, FULL_WIDTH),
        };
        let tile = Self { kind: parse_kind(kind)?, index: parse_index(index)?, width };
        // Attack: a second name for the same bytes (`x000/001`) would miss caches and could differ.
        if tile.to_string() == path { Ok(tile) } else { Err(TilePathError) }
    }
}

fn parse_kind(kind: &str) -> Result<TileKind, TilePathError> {
    match kind {
        "data" => Ok(TileKind::Data),
        "entries" => Ok(TileKind::Entries),
        level => match level.parse() {
            Ok(level) if level <= MAX_LEVEL => Ok(TileKind::Hashes { level }),
            _ => Err(TilePathError),
        },
    }
}

fn partial_width(width: &str) -> Result<u16, TilePathError> {
    width.parse().ok().filter(|width| (1..FULL_WIDTH).contains(width)).ok_or(TilePathError)
}

/// Adds groups of three digits up; whether they are all there and well written, the round trip says.
fn parse_index(groups: &str) -> Result<u64, TilePathError> {
    groups.split('/').try_fold(0_u64, |index, group| {
        let digits: u64 = group.trim_start_matches('x').parse().map_err(|_| TilePathError)?;
        index.checked_mul(1000).and_then(|index| index.checked_add(digits)).ok_or(TilePathError)
    })
}

/// The text names no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a tile's path: write <level>/<index> or data/<index>, the index in groups of three digits (x001/x234/067), and .p/<1 to 255> behind it for a partial tile"
)]
pub struct TilePathError;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(path: &str, kind: TileKind, (index, width): (u64, u16)) {
        let tile = TilePath { kind, index, width };
        assert_eq!(path.parse(), Ok(tile));
        assert_eq!(tile.to_string(), path);
    }

    #[test]
    fn a_path_names_one_tile() {
        check("0/x001/x234/067", TileKind::Hashes { level: 0 }, (1_234_067, 256));
        check("0/000", TileKind::Hashes { level: 0 }, (0, 256));
        check("0/999", TileKind::Hashes { level: 0 }, (999, 256));
        check("0/x001/000", TileKind::Hashes { level: 0 }, (1000, 256));
        check("63/273.p/112", TileKind::Hashes { level: 63 }, (273, 112));
        check("data/x273/001.p/255", TileKind::Data, (273_001, 255));
        check("entries/001.p/1", TileKind::Entries, (1, 1));
        check(
            "5/x018/x446/x744/x073/x709/x551/615",
            TileKind::Hashes { level: 5 },
            (u64::MAX, 256),
        );
    }

    #[test]
    fn nothing_else_names_a_tile() {
        for path in [
            "",
            "/",
            "0",
            "0/",
            "0/0",
            "0/00",
            "0/0000",
            "0/x000/001",
            "0/x001",
            "0/x001/",
            "0/001/002",
            "0/xx01/002",
            "0/x1/002",
            "0/x001/x002",
            "0/x001/2",
            "0/+01",
            "0/-01",
            "00/001",
            "01/001",
            "64/001",
            "256/001",
            "-1/001",
            "+1/001",
            "names/001",
            "Data/001",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/01",
            "0/001.p/+1",
            "0/001.p/",
            "0/001.p",
            "0/001p/1",
            "0/001.p/1.p/1",
            "0/001/",
            "0//001",
            "/0/001",
            " 0/001",
            "0/001 ",
            "0/001.p/1/",
            "0/٠٠١",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0/x001%2F002",
        ] {
            assert_eq!(path.parse::<TilePath>(), Err(TilePathError), "{path}");
        }
    }

    #[test]
    fn seventy_thousand_leaves_fill_tiles_of_three_levels() {
        let rows = [
            (0, 272, Some(256)),
            (0, 273, Some(112)),
            (0, 274, None),
            (1, 0, Some(256)),
            (1, 1, Some(17)),
            (1, 2, None),
            (2, 0, Some(1)),
            (2, 1, None),
            (3, 0, None),
            (8, 0, None),
            (255, 0, None),
            (0, u64::MAX, None),
        ];
        for (level, index, width) in rows {
            assert_eq!(width_at(70_000, level, index), width, "{level} {index}");
        }
        assert_eq!(width_at(0, 0, 0), None);
        assert_eq!(width_at(256, 1, 0), Some(1));
        assert_eq!(width_at(u64::MAX, 7, 0), Some(255));
    }

    #[test]
    fn a_data_tile_is_as_wide_as_its_hash_tile() {
        let tile = TilePath::at(70_000, TileKind::Data, 273).unwrap();
        assert_eq!(tile.to_string(), "data/273.p/112");
        assert_eq!(TilePath::at(70_000, TileKind::Entries, 274), None);
    }

    #[test]
    fn hashes_come_back() {
        let hashes = [Hash::EMPTY, Hash([7; 32])];
        let bytes = encode_hashes(&hashes);
        assert_eq!(decode_hashes(&bytes).as_deref(), Some(&hashes[..]));
        assert_eq!(decode_hashes(&bytes[1..]), None);
    }

    fn tiles() -> impl Strategy<Value = TilePath> {
        let kind = prop_oneof![
            (0..=63_u8).prop_map(|level| TileKind::Hashes { level }),
            Just(TileKind::Data),
            Just(TileKind::Entries),
        ];
        let index = prop_oneof![any::<u64>(), 0..5000_u64];
        (kind, index, 1..=256_u16).prop_map(|(kind, index, width)| TilePath { kind, index, width })
    }

    proptest! {
        #[test]
        fn every_tile_has_a_path(tile in tiles()) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }

        #[test]
        fn a_path_that_parses_is_the_only_one(path in "([0-9]{1,3}|data|entries)(/x?[0-9]{2,4}){1,3}(\\.p/[0-9]{1,3})?") {
            if let Ok(tile) = path.parse::<TilePath>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }

        #[test]
        fn no_text_is_too_much(path in any::<String>()) {
            let _ = path.parse::<TilePath>();
        }
    }
}
