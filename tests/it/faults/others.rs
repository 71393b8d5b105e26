//! The rest of what may happen to an instance: disks that are full, read-only or wrong, a second process, a copy put
//! back, an end under load, readers who want everything.

use std::fs;
use std::io::{Write, stderr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mayfly::cli::client::Client;
use mayfly::log::Log;
use mayfly::tlog::merkle::{Frontier, Hash};
use mayfly::tlog::tile::{TileKind, TilePath};
use tokio::time::Instant;

use super::chance::Chance;
use super::instance::Instance;
use super::stage::{Stage, leaves};
use super::{folder, sweep};
use crate::support::process::{Run, Server, free_port, send};
use crate::support::shard;

/// A small disk of its own; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// None, and it is said, where this process may not mount.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let path = at.to_str().unwrap();
        let options = format!("size={size},mode=755");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs", path]);
        if !mounted {
            let _ = writeln!(stderr(), "skipped: no file system may be mounted here; root may");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(mount(&["-o", &options, self.0.to_str().unwrap()]), "it can be changed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).run();
    }
}

fn mount(arguments: &[&str]) -> bool {
    let output = Command::new("mount").args(arguments).run();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_ends_it_and_one_with_room_goes_on() {
    let instance = Instance::new().await;
    let Some(disk) = Disk::mount(&instance.data, "900k") else { return };
    let mut server = instance.start();
    let loaded = instance.load(&server, 4, 10_000).join_all().await;
    assert_eq!(server.ended(), Some(1));
    assert!(loaded.iter().flatten().any(|status| *status == 200), "nothing was issued before");
    assert!(server.said().contains("nothing acknowledged is lost"), "{}", server.said());
    // Still full: whatever it does, it does not fork.
    if let Ok(mut server) = instance.try_start() {
        instance.load(&server, 2, 10_000).join_all().await;
        assert_eq!(server.ended(), Some(1));
    }
    disk.change("size=64m");
    assert!(instance.judge().await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_read_only_ends_it_and_is_said() {
    let instance = Instance::new().await;
    let Some(disk) = Disk::mount(&instance.data, "64m") else { return };
    let mut server = instance.start();
    let client = Client::new(&server.url);
    assert_eq!(instance.ask(&client).await, Some(200));
    // What is open for writing stays so; a disk that fails is remounted by force.
    server.kill();
    disk.change("ro");
    let refused = instance.try_start().err().expect("it cannot write");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("Read-only file system") || said.contains("readonly"), "{said}");
    disk.change("rw");
    assert_eq!(instance.judge().await, 1);
}

/// What lies on a disk that cannot be written is read all the same, however the process ended that wrote it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_read_only_is_read() {
    let instance = Instance::new().await;
    let Some(disk) = Disk::mount(&instance.data, "64m") else { return };
    let source = instance.arguments().split_off(1);
    for (held, signal, index) in [(1, "KILL", true), (2, "KILL", false), (3, "TERM", true)] {
        let mut server = instance.start();
        assert_eq!(instance.ask(&Client::new(&server.url)).await, Some(200));
        assert!(send(signal, server.id()));
        server.ended();
        let database = shard::database(&instance.data);
        if !index {
            fs::remove_file(database.with_extension("sqlite-shm")).unwrap();
        }
        assert_eq!(database.with_extension("sqlite-wal").exists(), signal == "KILL");
        disk.change("ro");
        let server = Server::start(&[&source[..], &["--read-only".to_owned()]].concat());
        assert_eq!(instance.judge_running(&server).await, held);
        assert_eq!(instance.ask(&Client::new(&server.url)).await, Some(503));
        let shown = (held - 1).to_string();
        for command in
            [&["log", "search"][..], &["log", "show", &shown], &["log", "fsck"], &["trust", "show"]]
        {
            let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
            let output = mayfly.args(command).args(&source).run().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?} after {signal}, {index}: {said}");
        }
        drop(server);
        disk.change("rw");
    }
    assert_eq!(instance.judge().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_turned_away_and_the_first_goes_on() {
    let mut instance = Instance::new().await;
    let server = instance.start();
    let client = Client::new(&server.url);
    assert_eq!(instance.ask(&client).await, Some(200));
    let listen = std::mem::replace(&mut instance.listen, format!("127.0.0.1:{}", free_port()));
    // Also while the first one stands still.
    for signal in ["CONT", "STOP"] {
        assert!(send(signal, server.id()));
        let second = instance.try_start().err().expect("two must not serve one log");
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1));
        assert!(said.contains("is in use by another process"), "{said}");
    }
    assert!(send("CONT", server.id()));
    instance.listen = listen;
    assert_eq!(instance.ask(&client).await, Some(200));
    assert_eq!(instance.judge_running(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_yesterday_is_refused_and_todays_goes_on() {
    let instance = Instance::new().await;
    let end_after = async |count| {
        let mut server = instance.start();
        instance.load(&server, 1, count).join_all().await;
        assert!(send("TERM", server.id()));
        assert_eq!(server.ended(), Some(0));
    };
    end_after(3).await;
    let database = shard::database(&instance.data);
    let yesterday = fs::read(&database).unwrap();
    end_after(2).await;
    let today = fs::read(&database).unwrap();
    fs::write(&database, yesterday).unwrap();
    let refused = instance.try_start().err().expect("it would sign a second history");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("an old copy of the database was put back"), "{said}");
    fs::write(&database, today).unwrap();
    assert_eq!(instance.judge().await, 5);
}

/// What is in a file that has lost its name is not logged: nobody is told that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_taken_away_while_it_is_in_use_ends_it() {
    let instance = Instance::new().await;
    let mut server = instance.start();
    instance.load(&server, 1, 3).join_all().await;
    let database = shard::database(&instance.data);
    let (moved, journal) =
        (database.with_extension("moved"), database.with_extension("sqlite-wal"));
    // The name leads to a copy, then to nothing.
    fs::rename(&database, &moved).unwrap();
    fs::copy(&moved, &database).unwrap();
    let client = Client::new(&server.url);
    assert_ne!(instance.ask(&client).await, Some(200));
    assert_eq!(server.ended(), Some(1));
    assert!(server.said().contains("moved, removed or replaced"), "{}", server.said());
    fs::rename(&moved, &database).unwrap();
    assert!(instance.judge().await >= 3);

    let mut server = instance.start();
    let client = Client::new(&server.url);
    assert_eq!(instance.ask(&client).await, Some(200));
    fs::remove_file(&journal).unwrap();
    assert_ne!(instance.ask(&client).await, Some(200));
    assert_eq!(server.ended(), Some(1));
    assert!(instance.judge().await >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_under_load_answers_everybody() {
    let instance = Instance::new().await;
    for _ in 0..5 {
        let mut server = instance.start();
        let callers = instance.load(&server, 8, 10_000);
        let busy = async {
            while instance.journal.all("certificates").len() % 40 < 30 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), busy).await.expect("a load");
        assert!(send("TERM", server.id()));
        assert_eq!(tokio::task::spawn_blocking(move || server.ended()).await.unwrap(), Some(0));
        for statuses in callers.join_all().await {
            let wrong = statuses.iter().find(|status| ![200, 503].contains(status));
            assert_eq!(wrong, None, "an answer that is neither");
        }
        // One more, so that the next round does not find the count where it is.
        instance.judge().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_everything_meanwhile_finds_it_true() {
    let instance = Instance::new().await;
    let server = instance.start();
    let load = instance.load(&server, 4, 100);
    let mut visits = 0;
    while !load.is_empty() && visits < 20 {
        instance.judge_running(&server).await;
        visits += 1;
    }
    let issued: usize = load.join_all().await.iter().map(Vec::len).sum();
    assert_eq!(issued, 400);
    assert!(instance.judge_running(&server).await == 400 && visits > 2);
}

/// Readers that ask for all there is, as fast as they can, do not make writers wait for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_readers_does_not_hold_up_writers() {
    let stage = Stage::new();
    let (log, _) = stage.open().unwrap();
    stage.fill(&log, 3000).await;
    stage.append(&log, 50).await;
    let alone = waits(&stage, &log).await;
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..32)
        .map(|reader| {
            let (log, over) = (log.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut chance = Chance::new(reader);
                let mut read = 0u64;
                while !over.load(Ordering::SeqCst) {
                    let kind =
                        [TileKind::Data, TileKind::Hashes { level: 0 }][chance.below(2) as usize];
                    let (index, width) = (chance.below(11), 1 + chance.below(256) as u16);
                    log.tile(TilePath { kind, index, width }).await.unwrap().expect("a tile");
                    read += 1;
                }
                read
            })
        })
        .collect();
    let flooded = waits(&stage, &log).await;
    over.store(true, Ordering::SeqCst);
    let mut read = 0;
    for reader in readers {
        read += reader.await.unwrap();
    }
    println!("p99 of an append: {alone:?} alone, {flooded:?} beside {read} reads");
    assert!(read > 200, "this was no flood");
    // What the scheduler of a small machine does to 33 tasks is in it.
    let bound = (alone * 25).max(Duration::from_millis(250));
    assert!(flooded < bound, "{flooded:?} beside readers, {alone:?} alone");
    stage.judge(&log).await;
}

/// The longest wait but for the worst in a hundred.
async fn waits(stage: &Stage, log: &Log) -> Duration {
    let mut waits = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        assert_eq!(stage.append(log, 1).await, []);
        waits.push(begun.elapsed());
    }
    waits.sort();
    waits[waits.len() * 99 / 100]
}

/// One bit of the file, anywhere: a start refuses, or goes on and signs nothing but the tree that was
/// logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_on_the_disk_is_ever_signed() {
    let stage = Stage::new();
    let (log, _) = stage.open().unwrap();
    stage.append(&log, 300).await;
    let truth = leaves(&log).await;
    log.close().await;
    drop(log);
    let octets = fs::read(stage.path()).unwrap();
    let mut chance = Chance::new(3);
    let (mut refused, mut signed) = (0, 0);
    for number in 0..if sweep() { 5000 } else { 200 } {
        let copy = stage.copy_in(folder());
        let at = chance.below(octets.len() as u64);
        let flipped = octets[at as usize] ^ (1 << chance.below(8));
        let flip = || {
            let file = fs::OpenOptions::new().write(true).open(copy.path()).unwrap();
            file.write_all_at(&[flipped], at).unwrap();
        };
        // Every other one while it runs.
        let running = number % 2 == 0;
        if !running {
            flip();
        }
        let Ok((log, _)) = copy.open() else {
            refused += 1;
            continue;
        };
        if running {
            flip();
        }
        for _ in 0..3 {
            copy.append(&log, 1).await;
        }
        let head = log.head();
        assert!(head.size >= 300, "octet {at}: a head that lost entries was signed");
        let mut tree = Frontier::default();
        truth.iter().for_each(|leaf| tree.push(*leaf));
        copy.promised(300).into_iter().for_each(|leaf: Hash| tree.push(leaf));
        if tree.size() == head.size {
            assert_eq!(
                tree.root(),
                head.root,
                "octet {at}: a tree that was never logged is signed"
            );
            signed += 1;
        }
        log.close().await;
    }
    println!("{refused} starts refused, {signed} true trees signed");
    assert!(refused > 10 && signed > 10);
}
