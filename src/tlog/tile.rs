//! SEAM

/// A tile's place: `tile/<L>/<N>[.p/<W>]`, `tile/data/<N>[.p/<W>]` (static-ct-api) or `tile/entries/…` (tlog-tiles).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath { pub kind: TileKind, pub index: u64, /* 1..=256, 256 = full */ pub width: u16 }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileKind { Hashes { level: u8 }, Data, Entries }
// FromStr (strict: three-digit groups, no leading zeros, width 1..=255, level 0..=63) and Display, of what follows "tile/"
// fn width_at(size, level, index) -> Option<u16>: how wide tile is in a tree of that size; None when empty
