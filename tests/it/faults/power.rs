//! Power cuts: the disk as it may be when writes that no sync has covered are lost.
//!
//! A real instance runs under strace. What it wrote, synced, and told its callers is then played back
//! up to any point, on a disk that keeps what was synced and, of the rest, what chance keeps: sectors of
//! writes, lengths, names. From each such disk an instance starts; what anybody had been told by then must be
//! there. No order between files is taken for granted, and none between the writes to one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mayfly::cli::client::Client;
use mayfly::cli::instance::{Instance as Opened, Source};
use mayfly::cli::verify::check_served;
use mayfly::log::Log;
use mayfly::tlog::note::Checkpoint;

use super::chance::Chance;
use super::instance::{Instance, can_trace, chain, check_heads, check_held, checkpoint, child};
use super::stage::leaves;
use super::trace::{CALLS, Event, read};
use super::{folder, sweep};
use crate::support::process::send;
use crate::support::shard;

const SECTOR: usize = 512;
/// What is kept of what no sync has covered, in quarters: nothing, whatever chance says, all.
const WAYS: [Option<u64>; 3] = [Some(0), None, Some(4)];

/// A disk: what is sure, and what is not.
#[derive(Clone, Default)]
struct Disk {
    files: Vec<File>,
    folders: BTreeMap<PathBuf, Folder>,
    /// How many names became others.
    moves: usize,
    /// Those that are durable, each in one of its two folders.
    durable: BTreeSet<usize>,
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// How many of them the sync that was asked for covers.
    syncing: usize,
    /// Where it ends, for writes that go there.
    end: usize,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// Each of a file by its number, or of a folder.
type Names = BTreeMap<PathBuf, Option<usize>>;

#[derive(Clone, Default)]
struct Folder {
    durable: Names,
    now: Names,
    /// What `now` was after each change since the last sync; with the number of the move, if it was one.
    pending: Vec<(Names, Option<usize>)>,
    syncing: usize,
}

impl Folder {
    fn changed(&mut self, by: Option<usize>) {
        self.pending.push((self.now.clone(), by));
    }
}

impl Disk {
    /// An empty folder at `root`, durable.
    fn new(root: &Path) -> Self {
        Self { folders: [(root.to_owned(), Folder::default())].into(), ..Self::default() }
    }

    fn play(&mut self, event: &Event) {
        match event {
            Event::Made(path) if self.file(path).is_none() => {
                self.files.push(File::default());
                let number = self.files.len() - 1;
                self.name(path, Some(Some(number)));
            }
            Event::Folder(path) => {
                self.folders.insert(path.clone(), Folder::default());
                self.name(path, Some(None));
            }
            Event::Write { path, at, octets } => self.change(path, |file| {
                let at = at.unwrap_or(file.end);
                file.end = file.end.max(at + octets.len());
                Change::Write(at, octets.clone())
            }),
            Event::Length { path, length } => self.change(path, |file| {
                file.end = *length;
                Change::Length(*length)
            }),
            Event::Syncing(path) => match self.folders.get_mut(path) {
                Some(folder) => folder.syncing = folder.pending.len(),
                None => {
                    let file = self.file(path).expect("a file that was opened");
                    self.files[file].syncing = self.files[file].pending.len();
                }
            },
            Event::Synced(path) => self.synced(path, true),
            Event::NotSynced(path) => self.synced(path, false),
            Event::Renamed(from, to) => self.rename(from, to),
            Event::Removed(path) => self.name(path, None),
            Event::Made(_) | Event::Said(_) => {}
        }
    }

    fn file(&self, path: &Path) -> Option<usize> {
        *self.folders.get(path.parent()?)?.now.get(path)?
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(&mut File) -> Change) {
        let number = self.file(path).expect("a file that was opened");
        let change = change(&mut self.files[number]);
        self.files[number].pending.push(change);
    }

    /// Gives a name, or takes it away.
    fn name(&mut self, path: &Path, what: Option<Option<usize>>) {
        let folder = self.folder_of(path);
        match what {
            Some(what) => folder.now.insert(path.to_owned(), what),
            None => folder.now.remove(path),
        };
        folder.changed(None);
    }

    fn folder_of(&mut self, path: &Path) -> &mut Folder {
        let folder = path.parent().and_then(|parent| self.folders.get_mut(parent));
        folder.expect("a folder that is there")
    }

    /// Both names change at once, also those of two folders: no file system loses a file between them.
    fn rename(&mut self, from: &Path, to: &Path) {
        self.moves += 1;
        let by = Some(self.moves);
        let what = self.folder_of(from).now.remove(from).expect("a name");
        if from.parent() != to.parent() {
            self.folder_of(from).changed(by);
        }
        let folder = self.folder_of(to);
        folder.now.insert(to.to_owned(), what);
        folder.changed(by);
        if what.is_none() {
            self.move_folder(from, to);
        }
    }

    /// A folder under another name: what it holds is the same.
    fn move_folder(&mut self, from: &Path, to: &Path) {
        let moved = |path: &Path| match path.strip_prefix(from) {
            Ok(rest) => to.join(rest).components().collect(),
            Err(_) => path.to_owned(),
        };
        let inside: Vec<PathBuf> =
            self.folders.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in inside {
            let folder = self.folders.remove(&path).expect("listed");
            let names = |names: Names| -> Names {
                names.into_iter().map(|(name, what)| (moved(&name), what)).collect()
            };
            let Folder { durable, now, pending, syncing } = folder;
            let pending = pending.into_iter().map(|(it, by)| (names(it), by)).collect();
            let folder = Folder { durable: names(durable), now: names(now), pending, syncing };
            self.folders.insert(moved(&path), folder);
        }
    }

    /// What a sync has covered is durable; or, where it failed, gone for good: the system may drop what it
    /// could not write, and say of every later sync that it went well.
    fn synced(&mut self, path: &Path, well: bool) {
        if let Some(folder) = self.folders.get_mut(path) {
            let covered = std::mem::take(&mut folder.syncing).min(folder.pending.len());
            for (names, by) in folder.pending.drain(..covered).filter(|_| well) {
                folder.durable = names;
                self.durable.extend(by);
            }
        } else if let Some(number) = self.file(path) {
            let file = &mut self.files[number];
            let covered = std::mem::take(&mut file.syncing).min(file.pending.len());
            for change in file.pending.drain(..covered) {
                change.apply(&mut file.durable, &mut || well);
            }
        }
    }

    /// Writes below `target` what is left of `root` after a power cut.
    fn cut(&self, (root, target): (&Path, &Path), lottery: &mut Lottery<'_>) {
        let kept = self.kept(lottery);
        self.write((root, target), &kept, lottery);
    }

    /// How many changes of each folder are left; a move between two is so in both or in none.
    fn kept(&self, lottery: &mut Lottery<'_>) -> BTreeMap<&Path, usize> {
        let of = |(path, folder): (_, &Folder)| (path, lottery.of(folder.pending.len()));
        let all = self.folders.iter().map(|(path, folder)| (path.as_path(), folder));
        let mut kept: BTreeMap<_, _> = all.clone().map(of).collect();
        let mut moved = self.durable.clone();
        loop {
            let before = moved.len();
            for (path, Folder { pending, .. }) in all.clone() {
                let is_moved =
                    |(_, by): &(_, Option<usize>)| by.is_some_and(|by| moved.contains(&by));
                let least = pending.iter().rposition(is_moved).map_or(0, |at| at + 1);
                let count = kept.entry(path).or_default();
                *count = least.max(*count);
                moved.extend(pending[..*count].iter().filter_map(|(_, by)| *by));
            }
            if moved.len() == before {
                return kept;
            }
        }
    }

    fn write(
        &self,
        (root, target): (&Path, &Path),
        kept: &BTreeMap<&Path, usize>,
        lottery: &mut Lottery<'_>,
    ) {
        fs::create_dir_all(target).unwrap();
        let folder = &self.folders[root];
        let last = kept[root].checked_sub(1);
        let names = last.map_or(&folder.durable, |last| &folder.pending[last].0);
        for (path, what) in names {
            let to = target.join(path.file_name().expect("a name"));
            match what {
                Some(number) => {
                    let mut file =
                        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
                    let file = file.as_mut().expect("a new folder");
                    file.write_all(&self.files[*number].left(lottery)).unwrap();
                }
                // Moved by a rename that is lost: what it held stands under the other name.
                None => match self.folders.contains_key(path) {
                    true => self.write((path, &to), kept, lottery),
                    false => fs::create_dir_all(to).unwrap(),
                },
            }
        }
    }
}

impl File {
    /// What is left of it.
    fn left(&self, lottery: &mut Lottery<'_>) -> Vec<u8> {
        let mut octets = self.durable.clone();
        let mut keeps = lottery.draw();
        self.pending.iter().for_each(|change| change.apply(&mut octets, &mut keeps));
        octets
    }
}

/// Who decides what is kept.
struct Lottery<'a> {
    chance: &'a mut Chance,
    /// How many quarters of it, if that is not left to chance.
    share: Option<u64>,
}

impl Lottery<'_> {
    /// How many of so many changes, each of which needs those before it.
    fn of(&mut self, changes: usize) -> usize {
        match self.share {
            Some(share) => changes * share as usize / 4,
            None => self.chance.below(changes as u64 + 1) as usize,
        }
    }

    /// What is kept of one file: all, none, or anything in between.
    fn draw(&mut self) -> impl FnMut() -> bool {
        let share = self.share.unwrap_or_else(|| self.chance.below(5));
        move || self.chance.below(4) < share
    }
}

impl Change {
    /// Applies it, as far as `keeps` says, sector by sector.
    fn apply(&self, octets: &mut Vec<u8>, keeps: &mut impl FnMut() -> bool) {
        match self {
            Self::Length(length) if keeps() => octets.resize(*length, 0),
            Self::Length(_) => {}
            Self::Write(at, written) => {
                let mut from = 0;
                while from < written.len() {
                    let place = at + from;
                    let until = (from + SECTOR - place % SECTOR).min(written.len());
                    if keeps() {
                        octets.resize(octets.len().max(at + until), 0);
                        octets[place..at + until].copy_from_slice(&written[from..until]);
                    }
                    from = until;
                }
            }
        }
    }
}

/// What everybody was told up to a point.
#[derive(Default)]
struct Told {
    heads: Vec<Checkpoint>,
    chains: Vec<String>,
}

impl Told {
    /// Reads what went through a socket: the answers of the instance among it.
    fn hear(&mut self, octets: &[u8]) {
        if !octets.starts_with(b"HTTP/1.1 20") {
            return;
        }
        let end = octets.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let body = &octets[end + 4..];
        if body.starts_with(b"{\"signedCertificateEmbeddedSct\"") {
            self.chains.push(chain(body));
        } else if let Some(text) =
            std::str::from_utf8(body).ok().filter(|text| text.contains("\n\u{2014} "))
        {
            self.heads.push(checkpoint(text));
        }
    }

    /// Holds the log to it.
    async fn judge(&self, log: &Log) {
        check_served(log, None).await.unwrap_or_else(|error| panic!("the judge: {error}"));
        let leaves = leaves(log).await;
        check_heads(self.heads.iter().map(|head| (head.size, head.root)), &leaves);
        self.chains.iter().for_each(|chain| check_held(chain, &leaves));
    }
}

/// A run under strace: certificates by so many callers, a look, a signal.
async fn record(
    instance: &Instance,
    more: &[&str],
    load: (usize, usize),
    signal: &str,
) -> Vec<Event> {
    let trace = instance.folder().join("trace");
    let mut options = vec!["-y", "-xx", "-s", "1000000", "-e", CALLS];
    options.extend(["-o", trace.to_str().unwrap()].iter().chain(more));
    let mut server = instance.traced(&options).expect("it starts under strace");
    let (callers, each) = load;
    instance.load(&server, callers, each).join_all().await;
    if let Some(id) = child(&server).filter(|_| more.is_empty()) {
        instance.see(&Client::new(&server.url)).await;
        instance.load(&server, callers, 1).join_all().await;
        assert!(send(signal, id));
    }
    server.ended();
    read(&fs::read_to_string(trace).unwrap(), instance.folder())
}

/// A disk that is cut off at any of these events, in each of the ways; each time an instance starts.
async fn cut_at(points: &[usize], events: &[Event], instance: &Instance) -> (usize, usize, Told) {
    let (mut disk, mut told, mut played) = (Disk::new(instance.folder()), Told::default(), 0);
    let (mut starts, mut vacant, mut chance) = (0, 0, Chance::new(1));
    for &point in points {
        for event in &events[played..point] {
            if let Event::Said(octets) = event {
                told.hear(octets);
            }
            disk.play(event);
        }
        played = point;
        for share in WAYS {
            let folder = folder();
            let mut lottery = Lottery { chance: &mut chance, share };
            disk.cut((instance.folder(), folder.path()), &mut lottery);
            match restart(instance, folder.path(), &told).await {
                true => starts += 1,
                false => vacant += 1,
            }
        }
    }
    (starts, vacant, told)
}

/// The points just after somebody was told something: what it waited for must be durable.
fn answers(events: &[Event]) -> impl Iterator<Item = usize> {
    (0..events.len()).filter(|at| matches!(events[*at], Event::Said(_))).map(|at| at + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_survives_every_power_cut() {
    if !can_trace() {
        return;
    }
    let (each, cuts) = if sweep() { (400, 5000) } else { (12, 100) };
    let instance = Instance::new().await;
    let mut events = Vec::new();
    // A first start; a start after an end in good order; two after kill -9.
    for (load, signal) in
        [((1, each), "TERM"), ((4, each / 4), "KILL"), ((1, each), "KILL"), ((4, each / 4), "TERM")]
    {
        events.extend(record(&instance, &[], load, signal).await);
    }
    assert!(instance.judge().await >= each * 4, "nothing was lost where the power stayed on");
    // Evenly over the run, and wherever somebody was told something.
    let mut points: Vec<usize> = (0..cuts).map(|at| at * events.len() / cuts).collect();
    points.extend(answers(&events).take(cuts));
    points.sort_unstable();
    let (starts, vacant, told) = cut_at(&points, &events, &instance).await;
    let count = told.chains.len();
    println!("{starts} starts after power cuts, {vacant} before there was a log; {count} answers");
    assert!(count >= each * 3, "the answers were not heard in the trace");
    assert!(starts > cuts, "the cuts came too early");
}

/// After a sync that failed the process ends; the next one stands on what the system may have dropped, and
/// must not take it for durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_sync_left_is_never_built_upon() {
    if !can_trace() {
        return;
    }
    for (number, on) in [(1, ""), (1, "+"), (4, ""), (4, "+")] {
        let instance = Instance::new().await;
        let mut events = record(&instance, &[], (1, 3), "TERM").await;
        // Each shard of either log has some of its own before it is served.
        let number = shard::databases(&instance.data).len() * 11 + number;
        let inject = format!("inject=fdatasync:error=EIO:when={number}{on}");
        let before = events.len();
        events.extend(record(&instance, &["-e", &inject], (2, 40), "").await);
        let failed = |event: &Event| matches!(event, Event::NotSynced(_));
        assert!(events[before..].iter().any(failed), "no sync failed");
        let before = events.len();
        events.extend(record(&instance, &[], (2, 4), "KILL").await);
        let points: Vec<usize> = answers(&events).filter(|point| *point > before).collect();
        cut_at(&points, &events, &instance).await;
    }
}

/// Starts from a folder, and judges; says whether there was a log.
async fn restart(instance: &Instance, folder: &Path, told: &Told) -> bool {
    let data = folder.join("data");
    let source = Source {
        fulcio_config: Some(instance.folder().join("fulcio.yaml")),
        listen: Some(instance.listen.parse().unwrap()),
        data: Some(data.clone()),
        allow_anybody: true,
        ..Source::default()
    };
    let config = source.config().unwrap_or_else(|error| panic!("{error}"));
    // As `serve` does where nothing is, or nothing in it.
    if mayfly::installation::is_vacant(&data).unwrap() {
        assert!(told.chains.is_empty() && told.heads.is_empty(), "the whole log is gone");
        Opened::create_and_open(config).unwrap_or_else(|error| panic!("{error}"));
        return false;
    }
    let running = Opened::open(config).unwrap_or_else(|error| panic!("{error}"));
    let not_after = running.authority.clock.now().plus(running.config.lifetime);
    let log = running.authority.logs.current(not_after);
    told.judge(&log.unwrap_or_else(|error| panic!("{error}"))).await;
    running.authority.logs.close().await;
    true
}
