-- What this is, and whose. One row a name.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest committed state of the tree: one row.
CREATE TABLE head (
    id        INTEGER PRIMARY KEY CHECK (id = 0),
    size      INTEGER NOT NULL,
    root      BLOB NOT NULL,
    timestamp INTEGER NOT NULL      -- milliseconds since 1970
) STRICT;

-- The entries, at their index in the tree.
CREATE TABLE entries (
    idx       INTEGER PRIMARY KEY,
    leaf_hash BLOB NOT NULL,
    tile_leaf BLOB NOT NULL,        -- TLS, static-ct-api's TileLeaf
    record    TEXT NOT NULL         -- JSON
) STRICT;

-- Tiles of hashes: full ones, and above level 0 those that still grow.
CREATE TABLE tiles (
    level  INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT;

-- The certificates of chains, by their SHA-256.
CREATE TABLE issuers (
    fingerprint BLOB PRIMARY KEY,
    der         BLOB NOT NULL
) STRICT;
