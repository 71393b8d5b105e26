//! Killed, or told of an error, at each of its system calls that change files.
//!
//! strace ends the process, or lets the call fail, at call number 1, 2, 3 … of a kind in some thread, until
//! a whole run goes through. Each time the instance starts once more, without help, and is judged.
//!
//! A sample by default; with `MAYFLY_SWEEP=1` every call.

use std::path::Path;
use std::sync::Mutex;

use tokio::runtime::Runtime;

use super::instance::{Instance, can_trace, child};
use super::{folder, sweep};
use crate::support::process::{Server, send};
use crate::support::shard;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Error(&'static str),
}

/// What the instance is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// A first start: keys, chain and log are made.
    First,
    /// Some certificates, one after the other and two at once.
    Load,
}

/// One series of numbers.
#[derive(Clone, Copy, Debug)]
struct Series {
    run: Run,
    calls: &'static str,
    fault: Fault,
    /// Every so many is in the sample.
    every: usize,
}

const fn series(run: Run, calls: &'static str, fault: Fault, every: usize) -> Series {
    Series { run, calls, fault, every }
}

const KILLS: [Series; 8] = [
    series(Run::First, "fsync,fdatasync", Fault::Kill, 2),
    series(Run::First, "rename,mkdir,unlink,ftruncate", Fault::Kill, 2),
    series(Run::First, "write", Fault::Kill, 3),
    series(Run::First, "pwrite64", Fault::Kill, 13),
    series(Run::First, "openat", Fault::Kill, 61),
    series(Run::Load, "fsync,fdatasync", Fault::Kill, 2),
    series(Run::Load, "pwrite64", Fault::Kill, 11),
    series(Run::Load, "write,writev", Fault::Kill, 7),
];

const ERRORS: [Series; 10] = [
    series(Run::First, "fsync,fdatasync", Fault::Error("EIO"), 3),
    series(Run::First, "pwrite64", Fault::Error("ENOSPC"), 9),
    series(Run::First, "pwrite64", Fault::Error("EIO"), 29),
    series(Run::First, "write", Fault::Error("ENOSPC"), 2),
    series(Run::First, "rename,mkdir", Fault::Error("ENOSPC"), 1),
    series(Run::First, "ftruncate", Fault::Error("ENOSPC"), 1),
    series(Run::Load, "fsync,fdatasync", Fault::Error("EIO"), 2),
    series(Run::Load, "fsync,fdatasync", Fault::Error("ENOSPC"), 2),
    series(Run::Load, "pwrite64", Fault::Error("EIO"), 13),
    series(Run::Load, "pwrite64", Fault::Error("ENOSPC"), 17),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_call_loses_nothing() {
    run_all(&KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_any_call_ends_the_process_and_loses_nothing() {
    run_all(&ERRORS).await;
}

/// Every series, each on a thread of its own, two at a time.
async fn run_all(all: &[Series]) {
    if !can_trace() {
        return;
    }
    let instance = Instance::new().await;
    let left = Mutex::new(all.iter());
    let work = || {
        let runtime = Runtime::new().unwrap();
        loop {
            let Some(series) = left.lock().unwrap().next() else { return };
            runtime.block_on(series.run(&instance));
        }
    };
    std::thread::scope(|threads| {
        let threads = [threads.spawn(work), threads.spawn(work)];
        threads.map(|thread| thread.join().expect("every series holds"))
    });
}

impl Series {
    async fn run(self, instance: &Instance) {
        let mut ends = Vec::new();
        let step = if sweep() { 1 } else { self.every };
        // One log for a whole series of loads: it grows.
        let loaded = instance.another(Ok(folder()));
        if self.run == Run::Load {
            loaded.start().kill();
        }
        for number in (1..).step_by(step) {
            let first;
            let instance = match self.run {
                Run::First => {
                    first = instance.another(Ok(folder()));
                    &first
                }
                Run::Load => &loaded,
            };
            let Some(ended) = self.strike(instance, number).await else { break };
            ends.push(ended);
            instance.judge().await;
        }
        let count = |end| ends.iter().filter(|ended| **ended == end).count();
        let (before, running) = (count(Ended::BeforeItServed), count(Ended::ByItself));
        println!("{self:?}: {} struck, {before} before it served, {running} running", ends.len());
        assert!(before + running > 0, "{self:?}: nothing was struck");
        assert!(running > 0 || self.run == Run::First, "{self:?}: it never ended under load");
    }

    /// A run in which call number `number` is struck; yields how it ended if there was such a call.
    async fn strike(self, instance: &Instance, number: usize) -> Option<Ended> {
        let trace = instance.folder().join("trace");
        let calls = format!("trace={}", self.calls);
        let what = match self.fault {
            Fault::Kill => "signal=KILL".to_owned(),
            Fault::Error(error) => format!("error={error}"),
        };
        let inject = format!("inject={}:{what}:when={number}", self.calls);
        let options = ["-y", "-o", trace.to_str().unwrap(), "-e", &calls, "-e", &inject];
        let (served, code, said) = match instance.traced(&options) {
            Err(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                (false, output.status.code(), said)
            }
            Ok(server) => {
                let (code, said) = self.load(instance, server).await;
                (true, code, said)
            }
        };
        let ended = match (served, code) {
            (_, Some(0)) => Ended::WhenTold,
            (true, _) => Ended::ByItself,
            (false, _) => Ended::BeforeItServed,
        };
        self.was_struck(&trace, ended, instance.folder()).then(|| {
            self.check(ended, code, &said);
            ended
        })
    }

    /// Certificates, until it ends or there were enough; then SIGTERM.
    async fn load(self, instance: &Instance, mut server: Server) -> (Option<i32>, String) {
        // The more shards, the more calls there are before the first one under load.
        let each = match self.run {
            Run::First => 1,
            Run::Load => 10 * shard::databases(&instance.data).len(),
        };
        for callers in [1, 2] {
            instance.load(&server, callers, each).join_all().await;
        }
        // It may have ended by itself.
        if let Some(id) = child(&server) {
            send("TERM", id);
        }
        let code = server.ended();
        (code, server.said())
    }

    /// It ends as it should, and says why.
    fn check(self, ended: Ended, code: Option<i32>, said: &str) {
        assert!(!said.contains("panicked"), "{self:?}: {said}");
        if ended == Ended::WhenTold {
            return;
        }
        match self.fault {
            Fault::Kill => assert_eq!(code, None, "{self:?}: {said}"),
            Fault::Error(_) => {
                assert_eq!(code, Some(1), "{self:?}: {said}");
                let last = said.lines().last().unwrap_or_default();
                assert!(last.starts_with("mayfly: "), "{self:?}: {said}");
            }
        }
    }

    /// Whether the call was reached: a file of the instance, that is, not a socket or a terminal.
    fn was_struck(self, trace: &Path, ended: Ended, folder: &Path) -> bool {
        if self.fault == Fault::Kill {
            return ended != Ended::WhenTold;
        }
        let trace = std::fs::read_to_string(trace).unwrap();
        let folder = folder.to_str().unwrap();
        let lines: Vec<&str> = trace.lines().collect();
        let struck = (0..lines.len()).filter(|i| lines[*i].ends_with("(INJECTED)"));
        let mut struck = struck.map(|i| beginning(&lines[..=i])).peekable();
        struck.peek().is_some() && struck.all(|line| line.contains(folder))
    }
}

/// Where the call of the last line begins, its file with it: in an earlier line of the same thread, if
/// another thread's call was written in between.
fn beginning<'a>(trace: &[&'a str]) -> &'a str {
    let (last, before) = trace.split_last().unwrap();
    let thread = last.split(' ').next().unwrap();
    match last.contains(" resumed>") {
        true => before.iter().rfind(|line| line.split(' ').next() == Some(thread)).unwrap(),
        false => last,
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    BeforeItServed,
    ByItself,
    WhenTold,
}
