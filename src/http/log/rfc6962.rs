//! RFC 6962's own view of the log: the same head, entries and tree, asked for by parameters.
//!
//! ```text
//! ct/v1/get-sth                                    the signed head
//! ct/v1/get-sth-consistency?first=&second=         one tree begins with the other
//! ct/v1/get-proof-by-hash?hash=&tree_size=         a leaf is in the tree
//! ct/v1/get-entries?start=&end=                    entries, at most a tile of them
//! ct/v1/get-entry-and-proof?leaf_index=&tree_size= one entry, and that it is in the tree
//! ct/v1/get-roots                                  the root that every entry leads to
//! ```
//!
//! Wrong parameters are 400, as is a tree that there is not yet; a hash that no entry of the tree has
//! is 404.
//!
//! Spec: RFC 6962 §4.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

use super::problem::Problem;
use super::query::Query;
use super::{Content, Served, found, readable};
use crate::authority::succession::Chains;
use crate::ct::entry::TileLeaf;
use crate::log::Log;
use crate::log::proofs::Unprovable;
use crate::tlog::merkle::Hash;
use crate::tlog::tile::{FULL_WIDTH, TileKind, TilePath};

/// How many entries one answer holds at most; answers end where tiles do.
const PAGE: u64 = FULL_WIDTH as u64;

/// The routes below `ct/v1/`.
pub(super) fn routes() -> Router<Served> {
    Router::new()
        .route("/ct/v1/get-sth", readable(sth))
        .route("/ct/v1/get-sth-consistency", readable(consistency))
        .route("/ct/v1/get-proof-by-hash", readable(proof_by_hash))
        .route("/ct/v1/get-entries", readable(entries))
        .route("/ct/v1/get-entry-and-proof", readable(entry_and_proof))
        .route("/ct/v1/get-roots", readable(roots))
        .route("/ct/v1/add-chain", post(shut))
        .route("/ct/v1/add-pre-chain", post(shut))
}

async fn sth(State(served): State<Served>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Answer {
        tree_size: u64,
        timestamp: u64,
        sha256_root_hash: String,
        tree_head_signature: String,
    }
    let signed = served.log.signed_head().await?;
    json(
        Content::Head,
        &Answer {
            tree_size: signed.head.size,
            timestamp: signed.head.timestamp.as_millis(),
            sha256_root_hash: BASE64_STANDARD.encode(signed.head.root),
            tree_head_signature: BASE64_STANDARD.encode(&signed.signature),
        },
    )
}

async fn consistency(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Answer {
        consistency: Vec<String>,
    }
    let query = Query::of(&uri);
    let (first, second) = (query.number("first")?, query.number("second")?);
    let proof = served.log.consistency_proof(first, second).await?;
    json(Content::Final, &Answer { consistency: texts(&proof) })
}

async fn proof_by_hash(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Answer {
        leaf_index: u64,
        audit_path: Vec<String>,
    }
    let query = Query::of(&uri);
    let (hash, size) = (query.hash("hash")?, query.number("tree_size")?);
    if size == 0 {
        return Err(Problem::EmptyTree);
    }
    let head = served.log.head().size;
    if size > head {
        return Err(Problem::NotYet(Unprovable::Beyond { size, head }));
    }
    let leaf_index = served.log.index_of(hash).await?.ok_or(Problem::NoLeaf)?;
    let proof = match served.log.inclusion_proof(leaf_index, size).await {
        Err(outside @ Unprovable::Outside { .. }) => return Err(Problem::NotYet(outside)),
        proof => proof?,
    };
    json(Content::Final, &Answer { leaf_index, audit_path: texts(&proof) })
}

async fn entries(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Answer {
        entries: Vec<Entry>,
    }
    let query = Query::of(&uri);
    let (start, end) = (query.number("start")?, query.number("end")?);
    if start > end {
        return Err(Problem::Range { start, end });
    }
    let size = served.log.head().size;
    if start >= size {
        return Err(Problem::BeyondEnd { start, size });
    }
    let wanted = end.min(start - start % PAGE + (PAGE - 1));
    let last = wanted.min(size - 1);
    let entries = read(&served.log, start..=last).await?;
    // An answer that ends at the end of the log may be longer the next time.
    let content = if last == wanted { Content::Final } else { Content::Growing };
    json(content, &Answer { entries })
}

async fn entry_and_proof(State(served): State<Served>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Answer {
        #[serde(flatten)]
        entry: Entry,
        audit_path: Vec<String>,
    }
    let query = Query::of(&uri);
    let (index, size) = (query.number("leaf_index")?, query.number("tree_size")?);
    let proof = served.log.inclusion_proof(index, size).await?;
    let entry = read(&served.log, index..=index).await?.pop().ok_or(Problem::Log)?;
    json(Content::Final, &Answer { entry, audit_path: texts(&proof) })
}

async fn roots(State(served): State<Served>) -> Response {
    found(Content::Roots, get_roots(&served.succession.all()))
}

async fn shut() -> Problem {
    Problem::Shut
}

/// The body of `get-roots`.
fn get_roots(chains: &Chains) -> String {
    let roots = chains.iter().filter_map(|issuing| issuing.chain.ders().last());
    let roots: BTreeSet<String> = roots.map(|der| BASE64_STANDARD.encode(der)).collect();
    serde_json::json!({ "certificates": roots }).to_string()
}

/// An entry as RFC 6962 hands it out.
#[derive(Serialize)]
struct Entry {
    leaf_input: String,
    extra_data: String,
}

/// Reads published entries, all of one tile.
async fn read(log: &Log, range: RangeInclusive<u64>) -> Result<Vec<Entry>, Problem> {
    let (index, first) = (range.start() / PAGE, range.start() % PAGE);
    let last = range.end() % PAGE;
    let widest = TilePath::at(log.head().size, TileKind::Data, index).ok_or(Problem::Log)?;
    // A full tile is shared with those who read it, of a growing one no more is read than needed.
    let needed = u16::try_from(last + 1).unwrap_or(FULL_WIDTH);
    let width = if widest.is_full() { FULL_WIDTH } else { needed };
    let tile = log.tile(TilePath { width, ..widest }).await?.ok_or(Problem::Log)?;
    let mut issuers = Issuers { log, known: BTreeMap::new() };
    let mut entries = Vec::new();
    let mut rest = tile.as_ref();
    for place in 0..=last {
        let (leaf, behind) = TileLeaf::read(rest).map_err(|error| {
            tracing::error!(%error, tile = index, place, "an entry of the log cannot be read");
            Problem::Log
        })?;
        rest = behind;
        if place >= first {
            let extra_data = leaf.extra_data(issuers.of(leaf.chain).await?);
            entries.push(Entry {
                leaf_input: BASE64_STANDARD.encode(leaf.merkle_tree_leaf()),
                extra_data: BASE64_STANDARD.encode(extra_data),
            });
        }
    }
    Ok(entries)
}

/// The issuers of entries: few, and the same for most.
struct Issuers<'a> {
    log: &'a Log,
    known: BTreeMap<Vec<[u8; 32]>, Vec<Vec<u8>>>,
}

impl Issuers<'_> {
    /// The certificates of these fingerprints, DER.
    async fn of(&mut self, chain: &[[u8; 32]]) -> Result<&[Vec<u8>], Problem> {
        if !self.known.contains_key(chain) {
            let mut ders = Vec::with_capacity(chain.len());
            for fingerprint in chain {
                let der = self.log.issuer(*fingerprint).await?;
                ders.push(der.ok_or_else(|| {
                    tracing::error!(issuer = %Hash(*fingerprint), "an issuer of the log is missing");
                    Problem::Log
                })?);
            }
            self.known.insert(chain.to_vec(), ders);
        }
        self.known.get(chain).map(Vec::as_slice).ok_or(Problem::Log)
    }
}

fn texts(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(|hash| BASE64_STANDARD.encode(hash)).collect()
}

fn json(content: Content, answer: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(answer).map_err(|error| {
        tracing::error!(%error, "an answer about the log cannot be written");
        Problem::Log
    })?;
    Ok(found(content, body))
}
