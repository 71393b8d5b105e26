//! The rows of entries, without what can be computed from the rest of them.
//!
//! ```text
//! TileLeaf   timestamp ‖ 00 01 ‖ issuer key hash ‖ u24<TBS> ‖ u16<index> ‖ u24<precertificate> ‖ u16<fingerprints>
//! row        timestamp,                                       idx,         precertificate,
//! chains                         issuer key hash,                                                fingerprints
//! ```
//!
//! The TBS, nearly half of it, is that of the precertificate without the poison. A row is written so
//! only when it has been put together again to the same octets; any other is written as it is.

use rusqlite::types::Null;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{blob, hash, integer, natural};
use crate::ct::entry::{Entry, Signed, TileLeaf};
use crate::ct::precertificate::Parts;
use crate::store::{Placed, StoreError};
use crate::time::Timestamp;

/// Selects what [`placed`] and [`tile_leaf`] read.
pub(super) const SELECT: &str =
    "SELECT idx, leaf_hash, chain, timestamp, leaf, record, issuer_key_hash, fingerprints
     FROM entries LEFT JOIN chains ON chains.id = entries.chain";

/// Writes entries.
pub(super) fn write(connection: &Connection, entries: &[Placed]) -> Result<(), StoreError> {
    let sql = "INSERT INTO entries (idx, leaf_hash, chain, timestamp, leaf, record)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = connection.prepare_cached(sql)?;
    let mut last = None;
    for entry in entries {
        let Placed { index, leaf_hash, tile_leaf, record } = entry;
        let (index, hash) = (integer(*index)?, leaf_hash.0.as_slice());
        let Some(packed) = Packed::of(entry) else {
            insert.execute(params![index, hash, Null, Null, tile_leaf, record])?;
            continue;
        };
        let id = match last {
            Some((chain, id)) if chain == packed.chain => id,
            _ => packed.chain.id(connection)?,
        };
        last = Some((packed.chain, id));
        let Packed { timestamp, precertificate, .. } = packed;
        insert.execute(params![index, hash, id, timestamp, precertificate, record])?;
    }
    Ok(())
}

/// The entry in a row of [`SELECT`].
pub(super) fn placed(row: &Row<'_>) -> Result<Placed, StoreError> {
    Ok(Placed {
        index: natural(row.get(0)?)?,
        leaf_hash: hash(blob(row, 1)?)?,
        tile_leaf: tile_leaf(row)?,
        record: text(row, 5)?,
    })
}

/// A text, whatever its octets are: those that are no UTF-8 are nobody's record, and hide no other.
fn text(row: &Row<'_>, column: usize) -> Result<String, StoreError> {
    let octets = row.get_ref(column)?.as_bytes().map_err(rusqlite::Error::from)?;
    Ok(String::from_utf8_lossy(octets).into_owned())
}

/// The tile leaf in a row of [`SELECT`].
pub(super) fn tile_leaf(row: &Row<'_>) -> Result<Vec<u8>, StoreError> {
    if row.get::<_, Option<i64>>(2)?.is_none() {
        return Ok(blob(row, 4)?.to_vec());
    }
    let index = natural(row.get(0)?)?;
    let issuer_key_hash = hash(blob(row, 6)?)?.0;
    let (fingerprints, _) = blob(row, 7)?.as_chunks();
    let packed = Packed {
        timestamp: row.get(3)?,
        chain: Chain { issuer_key_hash: &issuer_key_hash, fingerprints },
        precertificate: blob(row, 4)?,
    };
    packed.unpack(index)
}

/// Who issued, by their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chain<'a> {
    issuer_key_hash: &'a [u8; 32],
    fingerprints: &'a [[u8; 32]],
}

impl Chain<'_> {
    /// The id of its row, which is made if need be.
    fn id(self, connection: &Connection) -> Result<i64, StoreError> {
        let key = params![self.issuer_key_hash.as_slice(), self.fingerprints.as_flattened()];
        let sql = "SELECT id FROM chains WHERE issuer_key_hash = ?1 AND fingerprints = ?2";
        let mut select = connection.prepare_cached(sql)?;
        if let Some(id) = select.query_row(key, |row| row.get(0)).optional()? {
            return Ok(id);
        }
        let sql = "INSERT INTO chains (issuer_key_hash, fingerprints) VALUES (?1, ?2) RETURNING id";
        Ok(connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))?)
    }
}

/// What is left of a tile leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed<'a> {
    timestamp: i64,
    chain: Chain<'a>,
    precertificate: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Leaves out what [`Packed::unpack`] finds again; none where it would not find the same octets.
    fn of(entry: &'a Placed) -> Option<Self> {
        let (leaf, _) = TileLeaf::read(&entry.tile_leaf).ok()?;
        let Signed::Precertificate { issuer_key_hash, precertificate, .. } = leaf.signed else {
            return None;
        };
        let chain = Chain { issuer_key_hash, fingerprints: leaf.chain };
        let timestamp = integer(leaf.timestamp.as_millis()).ok()?;
        let packed = Self { timestamp, chain, precertificate };
        (packed.unpack(entry.index).ok()? == entry.tile_leaf).then_some(packed)
    }

    fn unpack(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        let tbs = Parts::of(self.precertificate).and_then(|parts| parts.tbs_without_poison());
        let entry = Entry {
            issuer_key_hash: *self.chain.issuer_key_hash,
            tbs: tbs.map_err(|error| {
                StoreError::Corrupt(format!("the precertificate of entry {index}: {error}"))
            })?,
            precertificate: self.precertificate.to_vec(),
            chain: self.chain.fingerprints.into(),
        };
        Ok(entry.tile_leaf(Timestamp::from_millis(natural(self.timestamp)?), index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    use super::*;
    use crate::tlog::merkle::Hash;

    const AT: Timestamp = Timestamp::from_secs(1_767_225_600);

    /// An entry as the authority makes them.
    static ENTRY: LazyLock<Entry> = LazyLock::new(|| {
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 3];
        let mut poison = CustomExtension::from_oid_content(&oid, vec![5, 0]);
        poison.set_criticality(true);
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.custom_extensions = vec![poison];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Entry {
            issuer_key_hash: [7; 32],
            tbs: Parts::of(certificate.der()).unwrap().tbs_without_poison().unwrap(),
            precertificate: certificate.der().to_vec(),
            chain: [[1; 32], [2; 32]].into(),
        }
    });

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        connection
    }

    fn count(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Writes these tile leaves and reads them back; yields how many were packed.
    #[track_caller]
    fn check(connection: &Connection, tile_leaves: impl IntoIterator<Item = Vec<u8>>) -> i64 {
        let placed = |(index, tile_leaf)| {
            let record = format!("{{\"number\":{index}}}");
            Placed { index, leaf_hash: Hash([index as u8; 32]), tile_leaf, record }
        };
        let written: Vec<_> = (0..).zip(tile_leaves).map(placed).collect();
        connection.execute("DELETE FROM entries", []).unwrap();
        write(connection, &written).unwrap();
        let mut statement = connection.prepare(SELECT).unwrap();
        let mut rows = statement.query([]).unwrap();
        for expected in written {
            assert_eq!(super::placed(rows.next().unwrap().unwrap()).unwrap(), expected);
        }
        count(connection, "SELECT count(*) FROM entries WHERE chain IS NOT NULL")
    }

    #[test]
    fn an_entry_of_ours_is_stored_without_its_tbs() {
        let connection = database();
        let leaves = (0..5).map(|index| ENTRY.tile_leaf(AT, index));
        assert_eq!(check(&connection, leaves), 5);
        let octets = count(&connection, "SELECT max(length(leaf)) FROM entries");
        assert_eq!(octets, ENTRY.precertificate.len() as i64);
        assert_eq!(count(&connection, "SELECT count(*) FROM chains"), 1);
    }

    #[test]
    fn chains_may_alternate() {
        let connection = database();
        let other = Entry { chain: [[3; 32]].into(), ..ENTRY.clone() };
        let none = Entry { chain: [].into(), ..ENTRY.clone() };
        let entries = [&*ENTRY, &other, &ENTRY, &none, &none, &other];
        let leaves = (0..).zip(entries).map(|(index, entry)| entry.tile_leaf(AT, index));
        assert_eq!(check(&connection, leaves), 6);
        assert_eq!(count(&connection, "SELECT count(*) FROM chains"), 3);
    }

    #[test]
    fn whatever_is_different_is_stored_as_it_is() {
        let leaf = |change: fn(&mut Entry)| {
            let mut entry = ENTRY.clone();
            change(&mut entry);
            entry.tile_leaf(AT, 0)
        };
        let certificate = |entry: &Entry| {
            let (kind, length) = (&[0, 0][..], &entry.precertificate.len().to_be_bytes()[5..]);
            let extensions = b"\x00\x08\x00\x00\x05\x00\x00\x00\x00\x00";
            let parts: [&[u8]; 6] =
                [&[0; 8], kind, length, &entry.precertificate, extensions, &[0, 0]];
            parts.concat()
        };
        let extended = [&ENTRY.tile_leaf(AT, 0)[..], &[0]].concat();
        for leaf in [
            leaf(|entry| entry.tbs[20] ^= 1),
            leaf(|entry| entry.tbs.clear()),
            leaf(|entry| entry.tbs.push(0)),
            leaf(|entry| entry.precertificate[30] ^= 1),
            leaf(|entry| entry.precertificate.push(0)),
            leaf(|entry| entry.precertificate = entry.tbs.clone()),
            ENTRY.tile_leaf(Timestamp::from_millis(u64::MAX), 0),
            ENTRY.tile_leaf(AT, 1),
            certificate(&ENTRY),
            extended,
            Vec::new(),
        ] {
            assert_eq!(check(&database(), [leaf]), 0);
        }
    }

    #[test]
    fn a_damaged_row_is_said_to_be_damaged() {
        let connection = database();
        let leaf = ENTRY.tile_leaf(AT, 0);
        for (damage, what) in [
            ("leaf = x'3000'", "the precertificate of entry 0: it is not the DER of a certificate"),
            ("chain = 9", "Invalid type"),
            ("timestamp = NULL", "Invalid column type Null"),
            ("timestamp = -1", "a count of -1"),
            ("leaf_hash = x'00'", "a hash of 1 octets"),
        ] {
            check(&connection, [leaf.clone()]);
            connection.execute(&format!("UPDATE entries SET {damage}"), []).unwrap();
            let mut statement = connection.prepare(SELECT).unwrap();
            let mut rows = statement.query([]).unwrap();
            let error = placed(rows.next().unwrap().unwrap()).unwrap_err();
            let StoreError::Corrupt(found) = &error else { panic!("{error:?}") };
            assert!(found.contains(what), "{found}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_octet_comes_back(
            any in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
            (position, octet) in (any::<prop::sample::Index>(), any::<u8>()),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = ENTRY.tile_leaf(AT, 0);
            let mut changed = whole.clone();
            changed[position.index(whole.len())] = octet;
            let cut = whole[..cut.index(whole.len())].to_vec();
            check(&database(), any.into_iter().chain([changed, cut, whole]));
        }
    }
}
