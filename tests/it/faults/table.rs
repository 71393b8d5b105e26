//! Scenario × fault × recovery: each row a log that is struck, brought back as its row says, and judged.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mayfly::log::{Log, LogError};
use mayfly::time::Clock;

use super::stage::{HOUR, Stage, cut, in_use, length};
use super::sweep;
use crate::support::store::{Fault as Commit, FaultyStore};

/// What a log is at when it is struck.
struct Scenario {
    name: &'static str,
    /// The entries that it has.
    size: u64,
    /// Entries in flight meanwhile.
    flight: u64,
}

static SCENARIOS: [Scenario; 8] = [
    Scenario { name: "the first entry", size: 0, flight: 1 },
    Scenario { name: "the middle of a tile", size: 100, flight: 1 },
    Scenario { name: "the last of a tile", size: 254, flight: 1 },
    Scenario { name: "the first of a tile", size: 255, flight: 1 },
    Scenario { name: "across a tile, under load", size: 200, flight: 150 },
    Scenario { name: "the second tile, under load", size: 300, flight: 64 },
    Scenario { name: "the last of a tile of tiles", size: 65_534, flight: 3 },
    Scenario { name: "the first of a tile of tiles", size: 65_535, flight: 1 },
];

/// What happens to it.
struct Fault {
    name: &'static str,
    when: When,
    /// Where there is what is struck.
    fits: fn(&Scenario) -> bool,
    recovery: Recovery,
}

/// When, and what.
enum When {
    /// While it takes entries.
    Running(fn(&Stage, &FaultyStore)),
    /// While it is closed.
    AtRest(fn(&Stage)),
    /// While it is closed, with the database of yesterday in its place.
    Copied(fn(&Stage)),
    /// The process ends without a word, with this left on the disk.
    Killed(fn(&Stage, Lengths)),
}

/// How long the write-ahead log was: when all was acknowledged, and with commits that nobody heard of.
struct Lengths {
    acknowledged: u64,
    whole: u64,
}

/// What must come of it.
enum Recovery {
    /// Nobody notices.
    None,
    /// Callers are told this until the fault is over; the log goes on.
    Waits(&'static str),
    /// The next start goes on.
    Restart,
    /// The log ends and says this; the next start goes on.
    Ends(&'static str),
    /// The next start refuses and says this, until the fault is over.
    RefusesUntil(&'static str),
    /// Every start from now on refuses and says this.
    Refuses(&'static str),
    /// The log ends and says this, and every start from now on refuses and says that.
    EndsAndRefuses(&'static str, &'static str),
}

use Recovery::{Ends, EndsAndRefuses, None as Unnoticed, Refuses, RefusesUntil, Restart, Waits};
use When::{AtRest, Copied, Killed, Running};

const TOLD: &str = "the store failed: told to fail";
const CONFLICT: &str = "the store's head or epoch has moved";
const BEHIND: &str = "the clock is behind the log";
const ROOT: &str = "does not have the root that its head names";
const ENTRY: &str = "is not the one that was logged";
const TILE: &str = "does not match its entries";
const DAMAGED: &str = "damaged";
const COPY: &str = "an old copy of the database was put back, or its newest part is lost";
const MISSING: &str = "is missing or unreadable: is its disk mounted?";

const fn row(
    name: &'static str,
    fits: fn(&Scenario) -> bool,
    when: When,
    recovery: Recovery,
) -> Fault {
    Fault { name, when, fits, recovery }
}

fn any(_: &Scenario) -> bool {
    true
}

fn tiled(scenario: &Scenario) -> bool {
    scenario.size >= 255
}

/// A start looks at the newest tile; older ones are for those who read everything.
fn newest(scenario: &Scenario) -> bool {
    let before = scenario.size + 1;
    tiled(scenario) && before / 256 == (before + scenario.flight) / 256
}

#[rustfmt::skip]
static FAULTS: [Fault; 32] = [
    row("a commit fails, nothing written",     any, Running(|_, store| store.fail(Commit::Before)), Ends(TOLD)),
    row("a commit fails, everything written",  any, Running(|_, store| store.fail(Commit::After)), Ends(TOLD)),
    row("a commit panics",                     any, Running(|_, store| store.fail(Commit::Panic)), Ends("ended unexpectedly")),
    row("the log key cannot be used",          any, Running(|stage, _| broken(stage)), Waits("told to fail")),
    row("the clock goes back an hour",         any, Running(|stage, _| back(stage)), Waits(BEHIND)),
    row("the clock goes ahead an hour",        any, Running(|stage, _| ahead(stage)), Unnoticed),
    row("the clock went ahead and came back",  any, AtRest(back), RefusesUntil(BEHIND)),
    row("a second process opens the store",    any, Running(|stage, _| in_use(stage)), Unnoticed),
    row("somebody else moves the head",        any, Running(|stage, _| stage.damage("UPDATE head SET timestamp = timestamp + 1")), Ends(CONFLICT)),
    row("somebody else begins to write",       any, Running(|stage, _| stage.damage("UPDATE head SET epoch = zeroblob(16)")), Ends(CONFLICT)),
    row("kill -9",                             any, Killed(|_, _| {}), Restart),
    row("kill -9, no unacknowledged commit",   any, Killed(|stage, found| cut(&stage.wal(), found.acknowledged)), Restart),
    row("power cut in a commit",               any, Killed(|stage, found| cut(&stage.wal(), (found.acknowledged + found.whole) / 2)), Restart),
    row("power cut, one octet short",          any, Killed(|stage, found| cut(&stage.wal(), found.whole - 1)), Restart),
    row("power cut, one sector not written",   any, Killed(hole), Restart),
    row("the disk forgot a commit",            any, Killed(|stage, found| cut(&stage.wal(), found.acknowledged)), Refuses(COPY)),
    row("an old copy is put back",             any, Copied(|_| {}), Refuses(COPY)),
    row("an old copy, and no mark",            any, Copied(|stage| std::fs::remove_file(stage.mark()).unwrap()), Refuses(MISSING)),
    row("the mark is gone",                    any, AtRest(|stage| std::fs::remove_file(stage.mark()).unwrap()), Refuses(MISSING)),
    row("the root in the head, running",       any, Running(|stage, _| stage.damage("UPDATE head SET root = zeroblob(32)")), EndsAndRefuses(CONFLICT, ROOT)),
    row("the root in the head, at rest",       any, AtRest(|stage| stage.damage("UPDATE head SET root = zeroblob(32)")), Refuses(ROOT)),
    row("the head of one entry less, at rest", any, AtRest(|stage| stage.damage("UPDATE head SET size = size - 1")), Refuses(DAMAGED)),
    row("a body, at rest",                     any, AtRest(|stage| stage.flip("leaf", 60)), Refuses(ENTRY)),
    row("a body, running",                     any, Running(|stage, _| stage.flip("leaf", 60)), Refuses(ENTRY)),
    row("a leaf hash, at rest",                any, AtRest(|stage| stage.flip("leaf_hash", 9)), Refuses(DAMAGED)),
    row("a leaf hash, running",                any, Running(|stage, _| stage.flip("leaf_hash", 9)), Refuses(DAMAGED)),
    row("an entry is gone, at rest",           any, AtRest(|stage| stage.damage("DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)")), Refuses(DAMAGED)),
    row("a tile of leaves, at rest",         tiled, AtRest(|stage| stage.damage(&tile(0))), Refuses(TILE)),
    row("a tile of leaves, running",         newest, Running(|stage, _| stage.damage(&tile(0))), Refuses(TILE)),
    row("a tile above, at rest",             tiled, AtRest(|stage| stage.damage(&tile(1))), Refuses(DAMAGED)),
    row("a tile above is gone, at rest",     tiled, AtRest(|stage| stage.damage("DELETE FROM tiles WHERE level = 1")), Refuses("is missing or has a wrong size")),
    row("the head is gone, at rest",           any, AtRest(|stage| stage.damage("DELETE FROM head")), Refuses("it has no head")),
];

fn broken(stage: &Stage) {
    stage.key.broken.store(true, Ordering::SeqCst);
}

fn back(stage: &Stage) {
    stage.clock.set(stage.clock.now().minus(HOUR));
}

fn ahead(stage: &Stage) {
    stage.clock.set(stage.clock.now().plus(HOUR));
}

/// A sector of the last commit that never reached the disk.
fn hole(stage: &Stage, found: Lengths) {
    use std::os::unix::fs::FileExt;
    let wal = std::fs::OpenOptions::new().write(true).open(stage.wal()).unwrap();
    let at = (found.acknowledged + found.whole) / 2 / 512 * 512;
    wal.write_all_at(&[0; 512][..(found.whole - at).min(512) as usize], at).unwrap();
}

/// The last hash of the newest tile of a level.
fn tile(level: u8) -> String {
    format!(
        "UPDATE tiles SET hashes = CAST(substr(hashes, 1, length(hashes) - 32) || zeroblob(32) AS BLOB)
         WHERE level = {level} AND idx = (SELECT max(idx) FROM tiles WHERE level = {level})"
    )
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unnoticed => f.write_str("goes on"),
            Waits(told) => write!(f, "turns callers away (“{told}”), then goes on"),
            Restart => f.write_str("the next start goes on"),
            Ends(told) => write!(f, "ends (“{told}”), the next start goes on"),
            RefusesUntil(told) => write!(f, "does not start (“{told}”) until it is over"),
            Refuses(told) => write!(f, "the next start refuses (“{told}”)"),
            EndsAndRefuses(ends, told) => write!(f, "ends (“{ends}”), then refuses (“{told}”)"),
        }
    }
}

/// All of it with `MAYFLY_SWEEP=1`.
#[test]
fn every_fault_in_every_scenario_has_its_recovery() {
    let scenarios = if sweep() { &SCENARIOS[..] } else { &SCENARIOS[..SCENARIOS.len() - 1] };
    let rows: Vec<String> = std::thread::scope(|threads| {
        let runs = scenarios.iter().map(|scenario| threads.spawn(|| strike(scenario)));
        let runs: Vec<_> = runs.collect();
        runs.into_iter().flat_map(|run| run.join().expect("every row holds")).collect()
    });
    println!("{}\n{} rows", rows.join("\n"), rows.len());
}

/// Every row of a scenario.
fn strike(scenario: &Scenario) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let filled = runtime.block_on(filled_to(scenario.size));
    let faults = FAULTS.iter().filter(|fault| (fault.fits)(scenario));
    let strike = |fault: &Fault| {
        let row = format!("{:<28} {:<36} {}", scenario.name, fault.name, fault.recovery);
        runtime.block_on(Struck { stage: filled.copy(), scenario, fault, row: &row }.run());
        row
    };
    faults.map(strike).collect()
}

async fn filled_to(size: u64) -> Stage {
    let stage = Stage::new();
    let (log, _) = stage.open().unwrap();
    stage.fill(&log, size).await;
    log.close().await;
    stage
}

/// One row under way.
struct Struck<'a> {
    stage: Stage,
    scenario: &'a Scenario,
    fault: &'a Fault,
    row: &'a str,
}

impl Struck<'_> {
    async fn run(self) {
        let (log, store) = self.stage.open().unwrap();
        self.tell(&self.stage.append(&log, 1).await, &[]);
        self.stage.see(&log).await;
        match self.fault.when {
            Running(strike) => {
                strike(&self.stage, &store);
                drop(store);
                self.run_on(log).await;
            }
            AtRest(strike) => {
                log.close().await;
                drop((log, store));
                if matches!(self.fault.recovery, RefusesUntil(_)) {
                    // Time must pass before it can come back.
                    ahead(&self.stage);
                    let (log, _) = self.stage.open().unwrap();
                    self.tell(&self.stage.append(&log, 1).await, &[]);
                    log.close().await;
                }
                strike(&self.stage);
                self.start().await;
            }
            Copied(strike) => {
                log.close().await;
                drop((log, store));
                let old = self.stage.copy();
                let (log, _) = self.stage.open().unwrap();
                self.tell(&self.stage.append(&log, self.scenario.flight).await, &[]);
                log.close().await;
                old.take_mark(&self.stage.mark());
                strike(&old);
                Self { stage: old, ..self }.start().await;
            }
            Killed(leave) => {
                let (acknowledged, before) = (length(&self.stage.wal()), self.stage.copy());
                self.stage.fill(&log, log.head().size + self.scenario.flight).await;
                let found = Lengths { acknowledged, whole: length(&self.stage.wal()) };
                assert!(found.acknowledged < found.whole, "{}: the log began anew", self.row);
                let after = self.stage.copy();
                leave(&after, found);
                // The mark follows the commit: where this one did not reach the disk, that did not, either.
                if matches!(self.fault.recovery, Restart) {
                    after.take_mark(&before.mark());
                }
                Self { stage: after, ..self }.start().await;
            }
        }
    }

    /// What a log does that was struck while it ran.
    async fn run_on(self, log: Log) {
        let told = self.stage.append(&log, self.scenario.flight).await;
        match self.fault.recovery {
            Unnoticed | Restart | Refuses(_) | RefusesUntil(_) => self.tell(&told, &[]),
            Waits(why) => {
                self.tell(&told, &[why]);
                self.stage.key.broken.store(false, Ordering::SeqCst);
                self.stage.clock.set(log.head().timestamp.plus(Duration::from_millis(5)));
                self.tell(&self.stage.append(&log, 2).await, &[]);
            }
            Ends(why) | EndsAndRefuses(why, _) => {
                self.tell(&told, &[why]);
                self.tell(&[log.failed().await], &[why]);
                self.tell(&self.stage.append(&log, 1).await, &[why]);
            }
        }
        // What was struck in the store was never signed.
        self.stage.see(&log).await;
        log.close().await;
        drop(log);
        self.start().await;
    }

    /// What the next start does.
    async fn start(self) {
        let opened = self.stage.open();
        let (log, _) = match self.fault.recovery {
            Refuses(why) | EndsAndRefuses(_, why) => {
                self.tell(&Vec::from_iter(opened.err()), &[why]);
                // And the one after it.
                return self.tell(&Vec::from_iter(self.stage.open().err()), &[why]);
            }
            RefusesUntil(why) => {
                self.tell(&Vec::from_iter(opened.err()), &[why]);
                self.stage.clock.set(self.stage.clock.now().plus(HOUR + HOUR));
                self.stage.open().unwrap()
            }
            _ => opened.unwrap_or_else(|error| panic!("{}: {error}", self.row)),
        };
        self.stage.see(&log).await;
        self.tell(&self.stage.append(&log, self.scenario.flight + 1).await, &[]);
        self.stage.judge(&log).await;
        log.close().await;
    }

    /// Everybody was told `sentence`, or nobody anything.
    #[track_caller]
    fn tell(&self, told: &[LogError], sentence: &[&str]) {
        let row = self.row;
        assert_eq!(told.is_empty(), sentence.is_empty(), "{row}: {told:?}");
        for error in told {
            assert!(sentence.iter().all(|part| error.to_string().contains(part)), "{row}: {error}");
        }
    }
}
