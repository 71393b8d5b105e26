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
    timestamp INTEGER NOT NULL,     -- milliseconds since 1970
    epoch     BLOB NOT NULL         -- whose batches are taken: 16 octets
) STRICT;

-- The entries, at their index in the tree, without what src/store/sqlite/entries.rs can compute.
CREATE TABLE entries (
    idx       INTEGER PRIMARY KEY,
    leaf_hash BLOB NOT NULL,
    chain     INTEGER,              -- NULL where nothing can be left out
    timestamp INTEGER,              -- milliseconds since 1970; NULL with chain
    leaf      BLOB NOT NULL,        -- the precertificate, DER; without a chain the whole TileLeaf, TLS
    record    TEXT NOT NULL         -- JSON
) STRICT;

-- Who issued: the same for most entries.
CREATE TABLE chains (
    id              INTEGER PRIMARY KEY,
    issuer_key_hash BLOB NOT NULL,
    fingerprints    BLOB NOT NULL,  -- SHA-256 of each certificate, 32 octets each
    UNIQUE (issuer_key_hash, fingerprints)
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
