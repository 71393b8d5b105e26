//! `mayfly log verify`: the judge, and the command around it, on logs made by hand.

use std::fs;
use std::path::Path;

use mayfly::cli::verify::{ReadError, VerifyArgs, VerifyError, run};
use mayfly::ct::judge::{CertificateError, Fault, Sighting, Unjudged};
use mayfly::time::Timestamp;
use mayfly::tlog::key::CheckpointError;
use mayfly::tlog::merkle::Hash;
use proptest::prelude::*;

use crate::support::made_log::{Files, MadeLog, judge, write};

fn fault(files: &Files, log: &MadeLog) -> Fault {
    match judge(files, &log.key, None) {
        Err(Unjudged::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

fn sighting(log: &MadeLog, size: u64) -> Sighting {
    judge(&log.files(size), &log.key, None).unwrap().head
}

#[test]
fn a_true_log_holds_at_every_size() {
    let log = MadeLog::of(600);
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 600] {
        let verdict = judge(&log.files(size), &log.key, None).unwrap();
        assert_eq!(verdict.head.size, size);
        assert_eq!(verdict.issuers, usize::from(size > 0));
        assert_eq!(verdict.unchecked, 0);
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let log = MadeLog::of(300);
    let files = log.files(300);
    let strategy = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8_u8);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    runner
        .run(&strategy, |(file, octet, bit)| {
            let mut flipped = files.clone();
            let path = file.get(&files.keys().collect::<Vec<_>>()).to_string();
            let content = flipped.get_mut(&path).unwrap();
            let octet = octet.index(content.len());
            content[octet] ^= 1 << bit;
            let verdict = judge(&flipped, &log.key, None);
            prop_assert!(verdict.is_err(), "bit {bit} of octet {octet} of {path}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_octet_of_an_entry_and_of_a_checkpoint_counts() {
    let log = MadeLog::of(1);
    let files = log.files(1);
    for path in ["checkpoint", "tile/data/000.p/1", "tile/0/000.p/1"] {
        for octet in 0..files[path].len() {
            let mut flipped = files.clone();
            flipped.get_mut(path).unwrap()[octet] ^= 1;
            assert!(judge(&flipped, &log.key, None).is_err(), "octet {octet} of {path}");
        }
    }
}

#[test]
fn each_lie_has_its_name() {
    let log = MadeLog::of(300);
    let good = log.files(300);
    let bite = |change: &dyn Fn(&mut Files)| {
        let mut files = good.clone();
        change(&mut files);
        fault(&files, &log)
    };

    let last = |path: &'static str| {
        move |files: &mut Files| *files.get_mut(path).unwrap().last_mut().unwrap() ^= 1
    };
    let tile = |path: &str| path.parse().unwrap();
    assert_eq!(
        bite(&last("tile/0/001.p/44")),
        Fault::Hash { path: tile("0/001.p/44"), position: 43 }
    );
    assert_eq!(bite(&last("tile/1/000.p/1")), Fault::Hash { path: tile("1/000.p/1"), position: 0 });
    assert_eq!(
        bite(&|files| files.get_mut("tile/0/000").unwrap().truncate(255 * 32)),
        Fault::TileLength(tile("0/000"))
    );
    assert_eq!(
        bite(&|files| files.get_mut("tile/data/000").unwrap().push(0)),
        Fault::TrailingBytes(tile("data/000"))
    );
    let checkpoint = |size, root| {
        let checkpoint = log.checkpoint(size, root);
        move |files: &mut Files| {
            files.insert("checkpoint".to_owned(), checkpoint.clone().into_bytes());
        }
    };
    assert_eq!(bite(&checkpoint(300, Hash::EMPTY)), Fault::Root);
    assert_eq!(bite(&checkpoint(0, Hash([1; 32]))), Fault::Root);
    let issuer = good.keys().find(|path| path.starts_with("issuer/")).unwrap();
    assert!(matches!(bite(&|files| files.get_mut(issuer).unwrap().push(0)), Fault::Issuer(_)));
}

#[test]
fn a_precertificate_that_is_not_what_was_logged_is_found() {
    let mut log = MadeLog::of(3);
    let other = log.entries[1].precertificate.clone();
    let bite = |log: &MadeLog| match fault(&log.files(3), log) {
        Fault::Certificate { index: 2, error } => error,
        other => panic!("{other:?}"),
    };
    let own = std::mem::replace(&mut log.entries[2].precertificate, other);
    assert_eq!(bite(&log), CertificateError::Tbs);
    log.entries[2].precertificate = own;
    *log.entries[2].precertificate.last_mut().unwrap() ^= 1;
    assert_eq!(bite(&log), CertificateError::Signature);
    *log.entries[2].precertificate.last_mut().unwrap() ^= 1;
    log.entries[2].issuer_key_hash[0] ^= 1;
    assert_eq!(bite(&log), CertificateError::IssuerKeyHash);
}

#[test]
fn a_log_is_held_to_the_last_visit() {
    let log = MadeLog::of(300);
    let files = log.files(300);
    let visit = |earlier| judge(&files, &log.key, Some(earlier));
    for size in [0, 1, 256, 299, 300] {
        assert!(visit(sighting(&log, size)).is_ok(), "{size}");
    }
    let seen = sighting(&log, 299);
    let forked = Sighting { root: Hash([1; 32]), ..seen };
    assert_eq!(visit(forked), Err(Unjudged::Fault(Fault::Forked(299))));
    let empty = Sighting { size: 0, root: Hash([1; 32]), timestamp: None };
    assert_eq!(visit(empty), Err(Unjudged::Fault(Fault::Forked(0))));
    let larger = Sighting { size: 301, ..seen };
    assert_eq!(visit(larger), Err(Unjudged::Fault(Fault::Shrunk { earlier: 301, now: 300 })));
    let later = Sighting { timestamp: Some(Timestamp::from_secs(1 << 40)), ..seen };
    assert_eq!(visit(later), Err(Unjudged::Fault(Fault::Rewound)));
}

fn args(place: &str, state: &Path) -> VerifyArgs {
    let (log, state) = (place.to_owned(), Some(state.to_owned()));
    VerifyArgs { log, key: None, state, token_file: None, tree_only: false, json: true }
}

async fn verify(args: &VerifyArgs) -> Result<serde_json::Value, VerifyError> {
    let mut out = Vec::new();
    run(args, &mut out).await?;
    Ok(serde_json::from_slice(&out).unwrap())
}

/// A folder with the log's files, and where its last visit is kept.
fn folder(log: &MadeLog, size: u64) -> (tempfile::TempDir, VerifyArgs) {
    let folder = tempfile::tempdir().unwrap();
    write(&log.files(size), folder.path());
    let args = args(folder.path().to_str().unwrap(), &folder.path().join("state.json"));
    (folder, args)
}

fn write_key(log: &MadeLog, args: &mut VerifyArgs) {
    let file = args.state.as_ref().unwrap().with_file_name("log.pub");
    let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, log.key.spki());
    fs::write(&file, pem.unwrap()).unwrap();
    args.key = Some(file);
}

#[tokio::test]
async fn a_folder_is_verified_and_remembered() {
    let log = MadeLog::of(300);
    let (folder, mut args) = folder(&log, 10);
    write_key(&log, &mut args);
    let report = verify(&args).await.unwrap();
    assert_eq!((&report["size"], &report["last_size"]), (&10.into(), &().into()));
    assert_eq!(report["key"], "given");

    write(&log.files(300), folder.path());
    let report = verify(&args).await.unwrap();
    assert_eq!((&report["size"], &report["last_size"]), (&300.into(), &10.into()));

    write(&log.files(10), folder.path());
    let error = verify(&args).await.unwrap_err();
    assert_eq!(error, VerifyError::Fault(Fault::Shrunk { earlier: 300, now: 10 }));
    assert_eq!(error.exit_code(), 1);
}

/// Without the signatures of authorities all else is still looked at.
#[tokio::test]
async fn the_tree_alone_is_verified_on_demand() {
    let mut log = MadeLog::of(300);
    *log.entries[2].precertificate.last_mut().unwrap() ^= 1;
    let (folder, mut args) = folder(&log, 300);
    write_key(&log, &mut args);
    let error = CertificateError::Signature;
    let unsigned = VerifyError::Fault(Fault::Certificate { index: 2, error });
    assert_eq!(verify(&args).await, Err(unsigned));
    args.tree_only = true;
    let report = verify(&args).await.unwrap();
    assert_eq!((&report["size"], &report["unchecked"]), (&300.into(), &300.into()));

    let data = folder.path().join("tile/data/000");
    let mut tile = fs::read(&data).unwrap();
    *tile.last_mut().unwrap() ^= 1;
    fs::write(&data, tile).unwrap();
    assert!(verify(&args).await.is_err());
}

#[tokio::test]
async fn a_log_that_does_not_hold_is_not_remembered() {
    let log = MadeLog::of(3);
    let (folder, mut args) = folder(&log, 3);
    write_key(&log, &mut args);
    let checkpoint = log.checkpoint(3, Hash::EMPTY);
    fs::write(folder.path().join("checkpoint"), checkpoint).unwrap();
    assert_eq!(verify(&args).await, Err(VerifyError::Fault(Fault::Root)));
    assert!(!args.state.unwrap().exists());
}

#[tokio::test]
async fn the_key_comes_from_the_trusted_root_or_is_said_to_be_missing() {
    let log = MadeLog::of(3);
    let (folder, args) = folder(&log, 3);
    assert_eq!(verify(&args).await.unwrap()["key"], "missing");
    fs::write(folder.path().join("trusted_root.json"), log.trusted_root()).unwrap();
    assert_eq!(verify(&args).await.unwrap()["key"], "served");
    fs::remove_file(folder.path().join("trusted_root.json")).unwrap();
    assert!(matches!(verify(&args).await, Err(VerifyError::KeyMissing(_))));
}

#[tokio::test]
async fn a_log_under_another_key_is_another_log() {
    let (log, other) = (MadeLog::of(3), MadeLog::of(3));
    let (folder, mut args) = folder(&log, 3);
    write_key(&log, &mut args);
    verify(&args).await.unwrap();

    write(&other.files(3), folder.path());
    let error = verify(&args).await.unwrap_err();
    assert_eq!(error, VerifyError::Fault(CheckpointError::OtherKey.into()));
    write_key(&other, &mut args);
    let error = verify(&args).await.expect_err("another key");
    assert!(matches!(error, VerifyError::OtherKey { .. }), "{error}");
    let state = args.state.expect("a state file");
    assert!(error.to_string().contains(&format!("remove {:?}", state.display())), "{error}");
}

#[tokio::test]
async fn a_missing_tile_is_named() {
    let log = MadeLog::of(3);
    let (folder, args) = folder(&log, 3);
    fs::remove_file(folder.path().join("tile/0/000.p/3")).unwrap();
    let absent = ReadError::Absent("tile/0/000.p/3".to_owned());
    assert_eq!(verify(&args).await, Err(VerifyError::Read(absent)));
}

#[tokio::test]
async fn what_is_no_log_is_the_commands_fault() {
    let empty = tempfile::tempdir().unwrap();
    let state = empty.path().join("state");
    for place in [
        empty.path().to_str().unwrap(),
        "/nowhere/at/all",
        "http://192.0.2.1/ct/2026",
        "ftp://localhost",
    ] {
        assert_eq!(verify(&args(place, &state)).await.unwrap_err().exit_code(), 2, "{place}");
    }
}

#[tokio::test]
async fn a_damaged_state_file_is_no_first_visit() {
    let log = MadeLog::of(3);
    let (_folder, args) = folder(&log, 3);
    let state = args.state.clone().unwrap();
    verify(&args).await.unwrap();
    let text = fs::read_to_string(&state).unwrap();
    for damaged in ["", "{}", &text[..text.len() / 2], &text.replace("root\":\"", "root\":\"x")] {
        fs::write(&state, damaged).unwrap();
        assert!(matches!(verify(&args).await, Err(VerifyError::State { .. })), "{damaged}");
    }
}

/// Serves files, data tiles compressed, and a trusted root at the top.
async fn serve(files: Files, trusted_root: String) -> std::net::SocketAddr {
    use std::io::Write as _;
    let answer = move |uri: axum::http::Uri| {
        let path = uri.path().trim_start_matches('/');
        let file = match path.strip_prefix("ct/2026/") {
            Some(path) => files.get(path).cloned(),
            None => (path == "trusted_root.json").then(|| trusted_root.clone().into_bytes()),
        };
        let answer = match file {
            None => Err(axum::http::StatusCode::NOT_FOUND),
            Some(file) if path.contains("/data/") => {
                let mut gzip =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(&file).unwrap();
                Ok(([("content-encoding", "gzip")], gzip.finish().unwrap()))
            }
            Some(file) => Ok(([("content-encoding", "identity")], file)),
        };
        async move { answer }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use hyper_util::rt::{TokioExecutor, TokioIo};
        let app = axum::Router::new().fallback(answer);
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(app.clone());
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_served_log_is_verified_by_its_own_address_and_by_that_of_its_instance() {
    let log = MadeLog::of(600);
    let address = serve(log.files(600), log.trusted_root()).await;
    let state = tempfile::tempdir().unwrap();
    for place in [format!("http://{address}/ct/2026/"), format!("http://{address}")] {
        let args = args(&place, &state.path().join("state"));
        let report = verify(&args).await.unwrap();
        assert_eq!((&report["size"], &report["key"]), (&600.into(), &"served".into()), "{place}");
    }
}

#[tokio::test]
async fn a_served_log_that_lies_is_found() {
    let log = MadeLog::of(300);
    let mut files = log.files(300);
    files.get_mut("tile/0/001.p/44").unwrap()[0] ^= 1;
    let address = serve(files, log.trusted_root()).await;
    let state = tempfile::tempdir().unwrap();
    let args = args(&format!("http://{address}/ct/2026"), &state.path().join("state"));
    assert!(matches!(verify(&args).await, Err(VerifyError::Fault(Fault::Hash { .. }))));
}
