//! The first start, twice at once, and killed in the middle: a data folder that is there starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::process::{Program, Run, Server};

const PAIRS: usize = 10;
const KILLS: u32 = 20;

/// What the data folder is before the first start.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Not there: it appears by one rename.
    Absent,
    /// A link to an empty folder, which cannot be replaced: it is filled from inside.
    Link,
}

/// A place for an instance that was never started.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(before: Before) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self { folder };
        std::fs::write(place.path("mayfly.yaml"), "issuers: []\n").expect("written");
        if let Before::Link = before {
            std::fs::create_dir(place.path("elsewhere")).expect("made");
            std::os::unix::fs::symlink("elsewhere", place.path("data")).expect("linked");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self) -> [String; 6] {
        let file = self.path("mayfly.yaml").to_str().expect("UTF-8").to_owned();
        let of = |text: &str| text.to_owned();
        let url = of("http://127.0.0.1:7811");
        [of("--config"), file, of("--listen"), of("127.0.0.1:0"), of("--url"), url]
    }

    fn spawn(&self) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command.arg("serve").args(self.arguments());
        Program::start(&mut command)
    }

    /// It starts, with the keys it had if it had any, and nothing is left of whoever died.
    #[track_caller]
    fn starts(&self, moment: &str) {
        let had = std::fs::read(self.path("data/root.pem")).ok();
        Server::start(&self.arguments()).kill();
        let has = std::fs::read(self.path("data/root.pem")).expect("a root");
        assert!(had.is_none_or(|had| had == has), "{moment}: it has another root now");
        let left = names(self.folder.path()).into_iter().chain(names(&self.path("data")));
        let left: Vec<String> = left.filter(|name| name.contains(".mayfly-")).collect();
        assert!(left.is_empty(), "{moment}: {left:?} is left");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Waits for its first line or its end; yields whether it serves.
fn serves(program: &mut Program) -> bool {
    program.lines().next().is_some_and(|line| line.starts_with("mayfly serves"))
}

fn end(mut program: Program) -> Output {
    program.kill();
    program.output().expect("it was killed")
}

#[track_caller]
fn two_at_once(before: Before) {
    for pair in 0..PAIRS {
        let place = Place::new(before);
        let mut pair_of = [place.spawn(), place.spawn()];
        let served = pair_of.each_mut().map(serves);
        let ended = pair_of.map(end);
        let said = ended.each_ref().map(|output| String::from_utf8_lossy(&output.stderr));
        let winners = served.iter().filter(|&&served| served).count();
        assert_eq!(winners, 1, "{before:?}, pair {pair}: {said:?}");
        let loser = served.iter().position(|served| !served).expect("one of them");
        assert_eq!(ended[loser].status.code(), Some(1), "{before:?}, pair {pair}: {said:?}");
        assert!(said[loser].contains("another process"), "{before:?}, pair {pair}: {said:?}");
        place.starts(&format!("{before:?}, pair {pair}"));
    }
}

#[test]
fn of_two_first_starts_one_wins() {
    two_at_once(Before::Absent);
}

#[test]
fn of_two_first_starts_in_a_folder_that_cannot_be_replaced_one_wins() {
    two_at_once(Before::Link);
}

/// An authority that is configured stays the only one; where it does not hold, nothing is made.
#[test]
fn a_first_start_under_an_authority_that_is_there_makes_a_log_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for home in ["one", "two"] {
        let mut init = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        assert!(init.arg("init").arg(path(home)).run().expect("it runs").status.success());
    }
    let file = path("mayfly.yaml").to_str().expect("UTF-8").to_owned();
    let configure = |key: &str| {
        let files = format!("key: {key}/data/authority.key, chain: one/data/authority.pem");
        let text = format!("listen: 127.0.0.1:0\nissuers: []\nauthority: {{ {files} }}\n");
        std::fs::write(&file, text).expect("written");
    };
    configure("two");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    let output = serve.args(["serve", "--config", &file]).run().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the authority's key is not the key of the first"), "{said}");
    assert!(!path("data").exists() && names(folder.path()).len() == 3, "something is left");

    configure("one");
    let mut server = Server::start(&["--config", &file]);
    server.comes_to_say("the key of a log for the authority that is configured");
    server.kill();
    let mut made = names(&path("data"));
    made.retain(|name| !name.starts_with("refusals.sqlite"));
    made.sort();
    made.sort();
    assert_eq!(made, ["ct", "timestamp", "tlog", "tuf"]);
    let mut trust = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    trust.args(["trust", "export", "--config", &file]).arg(path("trust"));
    assert!(trust.run().expect("it runs").status.success());
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("a chain");
    assert_eq!(read("trust/ca.pem").trim(), read("one/data/authority.pem").trim());
}

/// Kills first starts at moments spread over the time that one takes, and when names appear.
#[track_caller]
fn killed(before: Before) {
    let place = Place::new(before);
    let begun = Instant::now();
    Server::start(&place.arguments()).kill();
    let whole = begun.elapsed();
    for kill in 0..KILLS {
        let moment = whole * kill / KILLS;
        let place = Place::new(before);
        let begun = Instant::now();
        let child = place.spawn();
        until(|| begun.elapsed() >= moment);
        end(child);
        place.starts(&format!("{before:?}, killed after {moment:?} of {whole:?}"));
    }
    for name in [".mayfly-", "root.key", "ct", "authority.pem"] {
        let place = Place::new(before);
        let child = place.spawn();
        let data = place.path("data");
        let appeared = |folder: &Path| names(folder).iter().any(|found| found.contains(name));
        until(|| appeared(&data) || appeared(place.folder.path()));
        end(child);
        place.starts(&format!("{before:?}, killed when {name} appeared"));
    }
}

/// Spins: to sleep would be to miss the moment.
fn until(come: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !come() {
        assert!(Instant::now() < patience, "it never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_first_start_killed_at_any_moment_starts_again() {
    killed(Before::Absent);
}

#[test]
fn a_first_start_in_a_folder_that_cannot_be_replaced_killed_at_any_moment_starts_again() {
    killed(Before::Link);
}
