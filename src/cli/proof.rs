//! An inclusion proof, made from a log's public tiles and checked against its signed checkpoint.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::CommandError;
use super::client::Client;
use crate::tlog::key::PublicKey;
use crate::tlog::merkle::{self, Hash};
use crate::tlog::note::{Checkpoint, SignedNote};
use crate::tlog::tile::{self, TileKind, TilePath};

/// How many levels of the tree one tile holds.
const TILE_HEIGHT: u8 = 8;

/// A certificate log seen from outside: its key, and where it is served.
pub struct LogClient<'a> {
    client: &'a Client,
    /// The log's path on the instance: `/ct/2026`.
    path: String,
    key: PublicKey,
    origin: String,
}

impl<'a> LogClient<'a> {
    /// The log at `url`, with the key that the instance's trusted root gives it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when the instance does not answer or names no such log.
    pub async fn of(client: &'a Client, url: &str) -> Result<Self, CommandError> {
        let root = client.get("/trusted_root.json").await?;
        let root: Value = serde_json::from_slice(&root).map_err(CommandError::failed)?;
        let logs = root.get("ctlogs").and_then(Value::as_array).map(Vec::as_slice);
        let log = logs
            .unwrap_or_default()
            .iter()
            .find(|log| log.get("baseUrl").and_then(Value::as_str) == Some(url));
        let spki = log
            .and_then(|log| log.pointer("/publicKey/rawBytes"))
            .and_then(Value::as_str)
            .and_then(|text| STANDARD.decode(text).ok());
        let (Some(spki), Some(path)) = (spki, url.strip_prefix(client.url())) else {
            return Err(CommandError::Failed(format!("the trusted root names no log {url}")));
        };
        let key = PublicKey::from_spki(&spki).map_err(CommandError::failed)?;
        let origin = url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
        Ok(Self { client, path: path.to_owned(), key, origin })
    }

    /// The log's key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The log's name in its checkpoints.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Proves that `leaf` is entry `index` of the tree under the log's newest checkpoint; yields that
    /// checkpoint, its signature verified.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] says what does not hold, or cannot be fetched.
    pub async fn prove(&self, index: u64, leaf: Hash) -> Result<Checkpoint, CommandError> {
        let head = self.checkpoint().await?;
        let mut tiles = HashMap::new();
        let proof = loop {
            let node = |level, at| node(&tiles, head.size, (level, at));
            match merkle::inclusion_proof(index, head.size, node) {
                Ok(proof) => break proof,
                Err(missing) => {
                    let hashes = self.tile(missing).await?;
                    tiles.insert(missing.to_string(), hashes);
                }
            }
        };
        merkle::verify_inclusion((index, leaf), (head.size, head.root), &proof)
            .map_err(CommandError::failed)?;
        Ok(head)
    }

    async fn checkpoint(&self) -> Result<Checkpoint, CommandError> {
        let note = self.client.get(&format!("{}/checkpoint", self.path)).await?;
        let note = String::from_utf8_lossy(&note);
        let note: SignedNote = note.parse().map_err(CommandError::failed)?;
        let (checkpoint, _) = self.key.verify_checkpoint(&note).map_err(CommandError::failed)?;
        match checkpoint.origin == self.origin {
            true => Ok(checkpoint),
            false => Err(CommandError::Failed(format!(
                "the checkpoint is of {}, not of {}",
                checkpoint.origin, self.origin
            ))),
        }
    }

    async fn tile(&self, path: TilePath) -> Result<Vec<Hash>, CommandError> {
        let bytes = self.client.get(&format!("{}/tile/{path}", self.path)).await?;
        tile::decode_hashes(&bytes)
            .filter(|hashes| hashes.len() == usize::from(path.width))
            .ok_or_else(|| CommandError::Failed(format!("tile {path} has another width")))
    }
}

/// A complete node of the tree, from the tiles at hand, or the tile that it needs.
fn node(
    tiles: &HashMap<String, Vec<Hash>>,
    size: u64,
    (level, index): (u8, u64),
) -> Result<Hash, TilePath> {
    let (row, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
    let first = index << height;
    let kind = TileKind::Hashes { level: row };
    let number = first / u64::from(tile::FULL_WIDTH);
    // Beyond the tree there is no tile; the server then answers 404 and the proof ends there.
    let path =
        TilePath::at(size, kind, number).unwrap_or(TilePath { kind, index: number, width: 1 });
    let hashes = tiles.get(&path.to_string()).ok_or(path)?;
    let start = usize::try_from(first % u64::from(tile::FULL_WIDTH)).unwrap_or(usize::MAX);
    let below = hashes.get(start..start + (1 << height)).ok_or(path)?;
    fold(below).ok_or(path)
}

/// The root of a perfect tree over `leaves`.
fn fold(leaves: &[Hash]) -> Option<Hash> {
    let mut row = leaves.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(merkle::node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    row.pop()
}
