//! The log as readers of any origin meet it: over the real routes, held to what cannot be faked.
//!
//! The tests named `pN_…` are the properties that a log must have, each seen from outside alone.

mod outside;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mayfly::ct::entry::TileLeaf;
use mayfly::ct::judge::{Judge, Sighting};
use mayfly::ct::sct::Sct;
use mayfly::signer::Signer as _;
use mayfly::tlog::merkle::{Hash, verify_consistency, verify_inclusion};
use mayfly::tlog::note::{SignedNote, parse_rfc6962};
use mayfly::tlog::tile::{TileKind, TilePath, decode_hashes};
use proptest::prelude::*;

use outside::{Head, Outside, PREFIX, texts};

use crate::support::signer::{FaultySigner, Mishap};

/// One full tile, and the beginning of a second one.
const SIZE: u64 = 300;

#[tokio::test]
async fn p1_every_sct_is_a_signature_over_its_entry() {
    let mut log = Outside::new(5);
    for (number, sct) in log.grow(5).await.into_iter().enumerate() {
        let leaf = log.made.entries[number].merkle_tree_leaf(sct.timestamp, sct.leaf_index);
        log.key().verify(&leaf, &sct.signed()).unwrap();
        assert_eq!(sct.log_id, log.key().id());
        let tls = sct.encode();
        assert_eq!(tls[0], 0, "version 1");
        let index = sct.leaf_index.to_be_bytes();
        assert_eq!(tls[41..51], [&[0, 8, 0, 0, 5], &index[3..]].concat()[..]);
        assert_eq!(Sct::decode(&tls).unwrap(), sct);
    }
}

#[tokio::test]
async fn p2_the_index_leads_to_what_was_submitted() {
    let mut log = Outside::new(SIZE);
    for (number, sct) in log.grow(SIZE).await.into_iter().enumerate() {
        let entry = &log.made.entries[number];
        let index = sct.leaf_index;
        let path = TilePath::at(SIZE, TileKind::Data, index / 256).unwrap();
        let tile = log.read(&format!("tile/{path}")).await;
        let leaf = entry.tile_leaf(sct.timestamp, index);
        let mut rest = &tile[..];
        for _ in 0..index % 256 {
            rest = TileLeaf::read(rest).unwrap().1;
        }
        assert!(rest.starts_with(&leaf), "entry {index}");
        for fingerprint in entry.chain.iter() {
            let der = log.read(&format!("issuer/{}", Hash(*fingerprint))).await;
            assert_eq!(Hash::of(&[&der]).0, *fingerprint);
        }
    }
}

#[tokio::test]
async fn p3_any_two_heads_ever_seen_are_consistent() {
    let mut log = Outside::new(SIZE);
    let mut heads = vec![log.head().await];
    for size in [1, 2, 3, 7, 100, 255, 256, 257, 299, SIZE] {
        log.grow(size).await;
        heads.extend([log.head().await, log.sth().await]);
        if size == 256 {
            log.restart();
        }
    }
    for (place, old) in heads.iter().enumerate() {
        for new in &heads[place..] {
            let query = format!("first={}&second={}", old.size, new.size);
            let answer = log.json(&format!("ct/v1/get-sth-consistency?{query}")).await;
            let proof = texts(&answer["consistency"]);
            let trees = ((old.size, old.root), (new.size, new.root));
            assert_eq!(verify_consistency(trees.0, trees.1, &proof), Ok(()), "{query}");
        }
    }
}

#[tokio::test]
async fn p4_the_head_never_goes_back() {
    let mut log = Outside::new(20);
    let mut last = log.head().await;
    for size in 1..=20 {
        log.grow(size).await;
        if size % 5 == 0 {
            log.restart();
        }
        let head = log.head().await;
        assert!(head.size > last.size && head.timestamp > last.timestamp);
        assert_eq!(log.sth().await, head);
        last = head;
    }
}

#[tokio::test]
async fn p5_every_sct_is_provable_for_ever() {
    let mut log = Outside::new(SIZE);
    let mut leaves = Vec::new();
    for size in [1, 40, 257, SIZE] {
        for sct in log.grow(size).await {
            let entry = &log.made.entries[leaves.len()];
            let leaf = entry.merkle_tree_leaf(sct.timestamp, sct.leaf_index);
            leaves.push((sct.leaf_index, Hash::of(&[&[0], &leaf])));
        }
        log.restart();
        let head = log.head().await;
        for (index, leaf) in &leaves {
            let hash = BASE64_STANDARD.encode(leaf).replace('+', "%2B");
            let query = format!("ct/v1/get-proof-by-hash?hash={hash}&tree_size={}", head.size);
            let answer = log.json(&query).await;
            assert_eq!(answer["leaf_index"], *index);
            let path = texts(&answer["audit_path"]);
            let verified = verify_inclusion((*index, *leaf), (head.size, head.root), &path);
            assert_eq!(verified, Ok(()), "{index}");
        }
    }
}

#[tokio::test]
async fn p6_the_head_covers_an_entry_before_its_sct_is_out() {
    let mut log = Outside::new(20);
    for size in 1..=20 {
        let [sct] = &log.grow(size).await[..] else { panic!("one entry at a time") };
        let (head, sth) = (log.head().await, log.sth().await);
        assert!(head.size > sct.leaf_index && sth.size > sct.leaf_index);
        assert!(head.timestamp >= sct.timestamp);
    }
}

#[tokio::test]
async fn p7_the_root_is_that_of_all_entries_and_tiles_are_as_wide_as_the_tree() {
    let mut log = Outside::new(SIZE);
    for size in [0, 1, 255, 256, 257, SIZE] {
        log.grow(size).await;
        assert_eq!(judged(&log).await.size, size);
        let kinds = (0..6).map(|level| TileKind::Hashes { level }).chain([TileKind::Data]);
        for kind in kinds {
            let tiles = (0..).map_while(|index| TilePath::at(size, kind, index));
            let tiles: Vec<_> = tiles.collect();
            let next = tiles.len() as u64;
            let edge = tiles.last().filter(|tile| !tile.is_full());
            let beyond = edge.map(|tile| TilePath { width: tile.width + 1, ..*tile });
            let empty = TilePath { kind, index: next, width: 1 };
            for path in beyond.into_iter().chain([empty, TilePath { width: 256, ..empty }]) {
                assert_eq!(log.get(&format!("tile/{path}")).await.status, 404, "{path} of {size}");
            }
        }
    }
}

/// Judges all that the log serves; yields its head.
async fn judged(log: &Outside) -> Head {
    let (_, sighting) = Sighting::of(&log.text("checkpoint").await, Some(&log.key())).unwrap();
    let mut judge = Judge::new(sighting, None).unwrap();
    while let Some(resource) = judge.wants() {
        let octets = log.read(&resource.to_string()).await;
        judge.take(&octets).unwrap();
    }
    let verdict = judge.verdict().unwrap();
    assert_eq!(verdict.unchecked, 0);
    let head = log.head().await;
    assert_eq!(verdict.head.root, head.root);
    head
}

/// Every width that the edge ever had stays readable: a checkpoint of that size is out there.
#[tokio::test]
async fn partial_tiles_of_every_published_size_are_there() {
    let mut log = Outside::new(SIZE);
    log.grow(SIZE).await;
    for size in 1..=SIZE {
        for kind in [TileKind::Hashes { level: 0 }, TileKind::Data] {
            let path = TilePath::at(size, kind, (size - 1) / 256).unwrap();
            let octets = log.read(&format!("tile/{path}")).await;
            let whole = TilePath::at(SIZE, kind, (size - 1) / 256).unwrap();
            let whole = log.read(&format!("tile/{whole}")).await;
            assert!(whole.starts_with(&octets), "{path}");
        }
    }
}

#[tokio::test]
async fn p20_what_may_be_kept_never_changes_and_what_may_change_is_not_kept() {
    let mut log = Outside::new(SIZE);
    let mut paths = BTreeSet::new();
    // `Outside` holds every body of an immutable address to all that it ever had.
    for size in [1, 255, 256, 257, SIZE] {
        log.grow(size).await;
        let kinds = [TileKind::Hashes { level: 0 }, TileKind::Hashes { level: 1 }, TileKind::Data];
        for kind in kinds {
            let tiles = (0..).map_while(|index| TilePath::at(size, kind, index));
            paths.extend(tiles.map(|tile| format!("tile/{tile}")));
        }
        let sizes = format!("first=1&second={size}");
        paths.insert(format!("ct/v1/get-sth-consistency?{sizes}"));
        paths.insert(format!("ct/v1/get-entry-and-proof?leaf_index=0&tree_size={size}"));
        paths.insert("ct/v1/get-entries?start=0&end=0".to_owned());
        for path in &paths {
            assert!(log.get(path).await.may_be_kept(), "{path}");
        }
        for path in ["checkpoint", "ct/v1/get-sth", "ct/v1/get-roots", "log.v3.json"] {
            assert_eq!(log.get(path).await.caching(), "no-cache", "{path}");
        }
        let growing = log.get(&format!("ct/v1/get-entries?start={}&end=999", size - 1)).await;
        let whole = size % 256 == 0;
        let caching = if whole { "public, max-age=86400" } else { "public, max-age=60" };
        assert_eq!(growing.caching(), caching);
        let next = TilePath { kind: TileKind::Data, index: size / 256, width: 256 };
        let (tile, issuer) = (format!("tile/{next}"), format!("issuer/{}", Hash::EMPTY));
        for path in [&tile, &issuer, "checkpoint.cosigned", "x"] {
            let missing = log.get(path).await;
            assert_eq!((missing.status, missing.caching()), (404, "no-store"), "{path}");
        }
        let beyond = format!("ct/v1/get-sth-consistency?first=1&second={}", size + 1);
        let beyond = log.get(&beyond).await;
        assert_eq!((beyond.status, beyond.caching()), (400, "no-store"));
    }
}

#[tokio::test]
async fn p20_a_cache_in_between_changes_nothing() {
    let mut log = Outside::new(SIZE).behind_a_cache();
    let mut last = log.sth().await;
    for size in [1, 2, 200, 255, 256, 257, SIZE] {
        // Asked for too early, so that a cache could remember that there was nothing.
        let next = TilePath::at(size, TileKind::Data, (size - 1) / 256).unwrap();
        assert_eq!(log.get(&format!("tile/{next}")).await.status, 404);
        let query = format!("ct/v1/get-sth-consistency?first={}&second={size}", last.size);
        assert_eq!(log.get(&query).await.status, 400);

        log.grow(size).await;
        let head = judged(&log).await;
        let proof = texts(&log.json(&query).await["consistency"]);
        let trees = ((last.size, last.root), (head.size, head.root));
        assert_eq!(verify_consistency(trees.0, trees.1, &proof), Ok(()));
        let mut read = 0;
        while read < size {
            let page = log.json(&format!("ct/v1/get-entries?start={read}&end=999")).await;
            read += page["entries"].as_array().unwrap().len() as u64;
        }
        assert_eq!(read, size);
        last = head;
    }
}

#[tokio::test]
async fn p20_a_compressed_tile_holds_the_same_octets() {
    let mut log = Outside::new(SIZE);
    log.grow(SIZE).await;
    let plain = log.get("tile/data/000").await;
    assert_eq!(plain.header("vary"), "Accept-Encoding");
    assert_eq!(plain.header(CONTENT_ENCODING), "");
    for _ in 0..2 {
        let gzip = log.get_with("tile/data/000", &[(ACCEPT_ENCODING, "gzip, br")]).await;
        assert_eq!((gzip.status, gzip.header(CONTENT_ENCODING)), (200, "gzip"));
        assert_eq!(gzip.header("vary"), "Accept-Encoding");
        assert!(gzip.may_be_kept() && gzip.body.len() < plain.body.len());
        let mut octets = Vec::new();
        flate2::read::GzDecoder::new(&gzip.body[..]).read_to_end(&mut octets).unwrap();
        assert_eq!(octets, plain.body);
    }
    for path in ["tile/data/001.p/44", "tile/0/000", "tile/1/000.p/1"] {
        let answer = log.get_with(path, &[(ACCEPT_ENCODING, "gzip")]).await;
        assert_eq!((answer.status, answer.header(CONTENT_ENCODING)), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn p22_hostile_paths_and_parameters_are_refused() {
    let mut log = Outside::new(SIZE);
    log.grow(SIZE).await;
    for path in [
        "tile/0/x1/2",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/00",
        "tile/0/x000/000",
        "tile/0/x001",
        "tile/00/000",
        "tile/+0/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/6/000.p/1",
        "tile/256/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/001.p/01",
        "tile/0/001.p/044",
        "tile/0/001.p/-1",
        "tile/0/001.p/",
        "tile/0/001.p",
        "tile/0/001/p/44",
        "tile/0/001.p/44/",
        "tile/0/000/",
        "tile/0//000",
        "tile//0/000",
        "tile/0/%30%30%30",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/data/001.p/256",
        "tile/data/x1/2",
        "tile/data/..%2f0%2f000",
        "tile/names/000",
        "tile/entries/000",
        "tile/",
        "tile",
        "issuer/",
        "issuer/00",
        "issuer/..",
        "log.v3.json/",
        "checkpoint/",
        "checkpoint%00",
        "ct/v1/get-sth/",
        "ct/v1/get-%73th2",
        "ct/v2/get-sth",
    ] {
        let answer = log.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["details"][1]["requestId"].is_string(), "{path}");
    }
    let last = u64::MAX;
    let hash = BASE64_STANDARD.encode(Hash::EMPTY).replace('+', "%2B");
    for query in [
        "get-entries".to_owned(),
        "get-entries?start=0".to_owned(),
        "get-entries?end=0".to_owned(),
        "get-entries?start=0&start=0&end=0".to_owned(),
        "get-entries?start=-0&end=0".to_owned(),
        "get-entries?start=0&end=%00".to_owned(),
        "get-entries?start=00&end=0".to_owned(),
        "get-entries?start=0&end=0x10".to_owned(),
        "get-entries?start=0&end=1e1".to_owned(),
        "get-entries?start=1&end=0".to_owned(),
        format!("get-entries?start={last}&end={last}"),
        format!("get-entries?start=0&end={last}0"),
        format!("get-sth-consistency?first=1&second={last}"),
        format!("get-sth-consistency?first={last}&second={last}"),
        "get-sth-consistency?first=2&second=1".to_owned(),
        format!("get-entry-and-proof?leaf_index={last}&tree_size={last}"),
        "get-entry-and-proof?leaf_index=0&tree_size=0".to_owned(),
        "get-entry-and-proof?leaf_index=300&tree_size=300".to_owned(),
        "get-entry-and-proof?leaf_index=0&tree_size=301".to_owned(),
        "get-proof-by-hash?hash=&tree_size=1".to_owned(),
        "get-proof-by-hash?hash=%ff&tree_size=1".to_owned(),
        format!("get-proof-by-hash?hash={hash}"),
        format!("get-proof-by-hash?hash={hash}&tree_size=0"),
        format!("get-proof-by-hash?hash={hash}&hash={hash}&tree_size=1"),
    ] {
        let answer = log.get(&format!("ct/v1/{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["code"], 3, "{query}");
        assert!(answer.json()["message"].as_str().is_some_and(|said| said.len() > 20), "{query}");
    }
    for size in [1, 301, last] {
        let query = format!("ct/v1/get-proof-by-hash?hash={hash}&tree_size={size}");
        assert_eq!(log.get(&query).await.status, 404, "{size}");
    }
    assert_eq!(log.head().await.size, SIZE, "no reader makes a log grow");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked, twice the same: an answer or a sentence, never a defect.
    #[test]
    fn p22_any_path_has_one_answer(
        path in "(tile/|tile/data/|issuer/|ct/v1/get-entries\\?|ct/v1/get-sth-consistency\\?)\
                 ([0-9x/.p&=a-z%]|start=|end=|first=|second=){0,24}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut log = Outside::new(3);
            log.grow(3).await;
            // What is no address at all is refused before any of ours.
            if format!("{PREFIX}/{path}").parse::<axum::http::Uri>().is_ok() {
                let (once, again) = (log.get(&path).await, log.get(&path).await);
                prop_assert!([200, 400, 404].contains(&once.status), "{}", once.status);
                prop_assert_eq!(once.status, again.status);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn p23_both_views_are_of_one_head_and_one_tree() {
    let mut log = Outside::new(SIZE);
    log.grow(SIZE).await;
    let note: SignedNote = log.text("checkpoint").await.parse().unwrap();
    let sth = log.json("ct/v1/get-sth").await;
    let (timestamp, signed) = parse_rfc6962(&note.signatures[0].signature).unwrap();
    assert_eq!(sth["tree_head_signature"], BASE64_STANDARD.encode(signed.encode()));
    assert_eq!(sth["timestamp"], timestamp.as_millis());
    let head = log.head().await;
    assert_eq!(sth["tree_size"], head.size);
    assert_eq!(sth["sha256_root_hash"], BASE64_STANDARD.encode(head.root));

    let mut index = 0;
    while index < SIZE {
        let answer = log.json(&format!("ct/v1/get-entries?start={index}&end={SIZE}")).await;
        let entries = answer["entries"].as_array().unwrap();
        assert_eq!(entries.len() as u64, 256.min(SIZE - index), "a page is a tile");
        let path = TilePath::at(SIZE, TileKind::Data, index / 256).unwrap();
        let tile = log.read(&format!("tile/{path}")).await;
        let hashes = TilePath { kind: TileKind::Hashes { level: 0 }, ..path };
        let hashes = decode_hashes(&log.read(&format!("tile/{hashes}")).await).unwrap();
        let mut rest = &tile[..];
        for (entry, hash) in entries.iter().zip(hashes) {
            let (leaf, behind) = TileLeaf::read(rest).unwrap();
            rest = behind;
            let input = BASE64_STANDARD.encode(leaf.merkle_tree_leaf());
            assert_eq!(entry["leaf_input"], input);
            let extra = BASE64_STANDARD.decode(entry["extra_data"].as_str().unwrap()).unwrap();
            assert_eq!(extra, log.extra_data(&leaf), "entry {index}");
            log.check_proofs(index, hash, &input).await;
            index += 1;
        }
        assert!(rest.is_empty());
    }
    let inside = log.json("ct/v1/get-entries?start=250&end=259").await;
    assert_eq!(inside["entries"].as_array().unwrap().len(), 6, "to the end of the tile");
    let inside = log.json("ct/v1/get-entries?start=7&end=9").await;
    assert_eq!(inside["entries"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_never_wait_for_writes() {
    let mut log = Outside::new(SIZE);
    log.grow(SIZE - 1).await;
    let before = log.head().await;
    let gate = log.parts.store.gate.lock().await;
    let append = log.begin_append(SIZE - 1);
    // The commit is held up in the middle; whoever reads meanwhile reads on, and sees nothing of it.
    let reads = async {
        assert_eq!((log.head().await, log.sth().await), (before, before));
        for path in [
            "tile/data/000",
            "tile/data/001.p/43",
            "tile/0/001.p/43",
            "tile/1/000.p/1",
            "log.v3.json",
            "ct/v1/get-roots",
            "ct/v1/get-entries?start=0&end=299",
            "ct/v1/get-entries?start=256&end=299",
            "ct/v1/get-sth-consistency?first=255&second=299",
            "ct/v1/get-entry-and-proof?leaf_index=298&tree_size=299",
        ] {
            assert_eq!(log.get(path).await.status, 200, "{path}");
        }
        let issuer = Hash::of(&[&log.made.root_der]);
        assert_eq!(log.get(&format!("issuer/{issuer}")).await.status, 200);
        assert_eq!(log.get("tile/data/001.p/44").await.status, 404);
    };
    tokio::time::timeout(Duration::from_secs(20), reads).await.expect("reads wait for a write");
    assert!(!append.is_finished());
    drop(gate);
    assert_eq!(append.await.unwrap().leaf_index, SIZE - 1);
    assert_eq!(log.head().await.size, SIZE);
}

#[tokio::test]
async fn a_checkpoint_has_the_log_keys_signature_first_and_one_for_witnesses() {
    let mut log = Outside::new(3);
    log.grow(3).await;
    let note: SignedNote = log.text("checkpoint").await.parse().unwrap();
    let [first, second] = &note.signatures[..] else { panic!("{note}") };
    let origin = log.log().origin().to_owned();
    assert!([first, second].iter().all(|line| line.name == origin));
    let key = mayfly::tlog::note::ed25519_key(log.note_key.public_key()).unwrap();
    assert_eq!(second.key_id, mayfly::tlog::note::key_id(&origin, 1, key));
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, key);
    key.verify(note.text.as_bytes(), &second.signature).unwrap();
    assert_eq!(log.text("checkpoint").await, note.to_string(), "signed once");
    // Whoever knows the log key alone, or looks for no other, is not disturbed.
    assert_eq!(log.head().await.size, 3);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_says_so_and_may_be_asked_again() {
    let mut log = Outside::new(1);
    log.grow(1).await;
    log.parts.log_key.fail(Mishap::Refuses);
    let answer = log.get("ct/v1/get-sth").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["details"][0]["reason"], "LOG_UNAVAILABLE");
    assert!(!String::from_utf8_lossy(&answer.body).contains(FaultySigner::SECRET));
    log.parts.log_key.heal();
    assert_eq!(log.get("ct/v1/get-sth").await.status, 200);
}
