//! Searches over a log: what the index finds is what reading every entry finds, whatever becomes of the
//! index.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

use mayfly::ct::entry::Entry;
use mayfly::ct::window::Window;
use mayfly::explorer::recorder::Recorder;
use mayfly::explorer::{self, Cursor, Explorer, ExplorerError, Question};
use mayfly::log::search::Entries;
use mayfly::log::shards::Shards;
use mayfly::log::{Log, LogError};
use mayfly::record::search::Search;
use mayfly::record::{Attempt, Outcome, Record};
use mayfly::signer::Signer;
use mayfly::store::index::Index;
use mayfly::store::refusals::{Bounds, MOST, Refusals};
use mayfly::store::{Owner, Store};
use mayfly::time::Timestamp;
use mayfly::tlog::merkle::Hash;
use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};
use tokio::time::Instant;

use crate::support::patience::PATIENCE;
use crate::support::store::{HandClock, LogKey, MemoryStore, means_of_certificates, opening};

/// The last second of 2025 is before it.
const MIDNIGHT: Timestamp = Timestamp::from_secs(1_767_225_600);

/// A log in memory, and a folder for its index.
struct Bench {
    key: Arc<LogKey>,
    store: Arc<MemoryStore>,
    clock: Arc<HandClock>,
    signer: KeyPair,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::of_shard(2026, MIDNIGHT)
    }

    /// The shard of a year that has `begin` in it.
    fn of_shard(year: u64, begin: Timestamp) -> Self {
        let key = Arc::new(LogKey::ed25519(1));
        let log_id = Hash::of(&[key.public_key()]).0;
        let origin = format!("ca.example.com/ct/{year}");
        let owner = Owner { origin, log_id, window: Window::year(begin) };
        let store = MemoryStore::new(owner, MIDNIGHT);
        let signer = KeyPair::generate().unwrap();
        store.put_issuer(b"issuer").unwrap();
        let (store, clock) = (Arc::new(store), Arc::new(HandClock::at(MIDNIGHT, 2)));
        Self { key, store, clock, signer, folder: tempfile::tempdir().unwrap() }
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("2026.index.sqlite")
    }

    fn open(&self) -> Log {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let origin = self.store.owner().origin.clone();
        let key: Arc<dyn Signer> = self.key.clone();
        Log::open(opening(means_of_certificates(store, key.into(), clock, &origin))).unwrap()
    }

    /// Entry `number`, a second after the one before.
    fn entry(&self, number: u64) -> (Entry, Attempt<'static>) {
        let extension = |arc, value: &str| {
            let oid = [1, 3, 6, 1, 4, 1, 57264, 1, arc];
            let der = [&[0x0c, value.len() as u8], value.as_bytes()].concat();
            CustomExtension::from_oid_content(&oid, der)
        };
        let (app, branch) = (number % 7, number % 11);
        let san = format!("https://ci.example/acme/app-{app}/release.yml@refs/heads/b{branch}");
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1) + Duration::from_secs(number);
        let serial = Hash::of(&[&number.to_be_bytes()]).0;
        params.serial_number = Some(vec![0x00, 0x0c, serial[0], serial[1], number as u8].into());
        params.subject_alt_names = vec![SanType::URI(san.as_str().try_into().unwrap())];
        params.custom_extensions = vec![
            extension(8, "https://ci.example"),
            extension(14, &format!("refs/heads/b{branch}")),
        ];
        let precertificate = params.self_signed(&self.signer).unwrap().der().to_vec();
        let entry = Entry {
            issuer_key_hash: [7; 32],
            tbs: format!("entry {number}").into_bytes(),
            precertificate,
            chain: [Hash::of(&[b"issuer"]).0].into(),
        };
        let attempt = Attempt {
            time: MIDNIGHT.plus(Duration::from_secs(number)),
            request_id: format!("run-{number:x}").into(),
            kind: "uri".into(),
            rule: Some(format!("rule {}", number % 3).into()),
            ..Attempt::default()
        };
        (entry, attempt)
    }

    /// The log with `size` entries, all of them indexed.
    async fn indexed(&self, size: u64) -> Log {
        let log = self.open();
        self.fill(&log, 0..size).await;
        log.keep_index(self.index()).unwrap();
        wait(&log, size);
        log
    }

    async fn fill(&self, log: &Log, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let (entry, attempt) = self.entry(number);
            self.clock.set(attempt.time);
            log.append(entry, attempt).await.unwrap();
        }
    }

    /// Writes over what is kept beside an entry.
    fn edit(&self, index: u64, edit: impl FnOnce(&str) -> String) {
        let mut rows = self.store.rows();
        let record = &mut rows.entries.get_mut(&index).unwrap().2;
        *record = edit(record);
    }
}

/// Waits until the index has `size` entries.
#[track_caller]
fn wait(log: &Log, size: u64) {
    let began = Instant::now();
    while log.indexed() != Some(size) {
        assert!(began.elapsed() < PATIENCE, "{:?} of {size} are indexed", log.indexed());
        std::thread::yield_now();
    }
}

/// Everything that `search` finds, and how many entries were read for it.
fn all(entries: Entries<'_>, search: &Search) -> Result<(Vec<u64>, usize), LogError> {
    let mut budget = usize::MAX;
    let mut issued = entries.search(search, u64::MAX)?;
    let mut found = Vec::new();
    while let Some(record) = issued.next(&mut budget)? {
        found.push(record.index.unwrap());
    }
    assert_eq!(issued.before(), 0);
    Ok((found, usize::MAX - budget))
}

fn search(terms: &str) -> Search {
    let now = MIDNIGHT.plus(Duration::from_secs(1000));
    Search::parse(terms.split(' '), now).unwrap()
}

/// How many entries `terms` find, and how many are read for that.
async fn look_for(log: &Log, terms: &str) -> (usize, usize) {
    let search = search(terms);
    let looked = log.look(move |entries| all(entries, &search));
    let (found, read) = looked.await.unwrap();
    (found.len(), read)
}

/// What `terms` find with the index, which is what they find without it; yields how many, and for how
/// many that were read.
#[track_caller]
fn check(log: &Log, terms: &str) -> (usize, usize) {
    let search = search(terms);
    let looked = log.look(move |entries| {
        let scanned = all(Entries { index: None, ..entries }, &search)?.0;
        let (found, read) = all(entries, &search)?;
        assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
        assert_eq!(found, scanned, "{search:?}");
        Ok((found.len(), read))
    });
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(looked)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_index_finds_is_what_reading_finds() {
    let bench = Bench::new();
    let log = bench.indexed(300).await;
    // Not indexed yet, and found nevertheless.
    bench.fill(&log, 300..310).await;
    for (terms, expected) in [
        ("", 310),
        ("acme/app", 310),
        ("app-3", 44),
        ("app-3 rule=rule*2", 14),
        ("ref=refs/heads/b7", 28),
        ("san=*/app-3/*", 44),
        ("san=https://ci.example/acme/app-3/*", 44),
        ("request=run-131", 1),
        ("run-131", 1),
        ("run-9", 1),
        ("run-9*", 17),
        ("result=refused", 0),
        ("nowhere", 0),
    ] {
        assert_eq!(check(&log, terms).0, expected, "{terms}");
    }
    let (found, read) = check(&log, "request=run-9");
    assert!(found == 1 && read < 20, "{read} entries were read for one");
}

/// By the first letters of a few words no more is read than by those words.
#[tokio::test(flavor = "multi_thread")]
async fn letters_are_the_words_that_begin_so() {
    let bench = Bench::new();
    let log = bench.open();
    for rule in ["zulu", "zulus"] {
        let (entry, attempt) = bench.entry(1);
        log.append(entry, Attempt { rule: Some(rule.into()), ..attempt }).await.unwrap();
    }
    bench.fill(&log, 2..300).await;
    log.keep_index(bench.index()).unwrap();
    wait(&log, 300);
    for (terms, expected) in [("zul*", 2), ("zulus*", 1), ("rule=zulu*", 2), ("zum*", 0)] {
        let (found, read) = check(&log, terms);
        assert_eq!((found, read), (expected, expected), "{terms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_ranges_of_the_log() {
    let bench = Bench::new();
    let log = bench.open();
    bench.fill(&log, 0..600).await;
    let (found, read) = check(&log, "since=401s");
    assert_eq!(found, 1);
    assert!(read < 100, "{read} entries were read");
    let (found, read) = check(&log, "until=990s");
    assert_eq!(found, 11);
    assert!(read < 100, "{read} entries were read");
    assert_eq!(check(&log, "since=900s until=801s").0, 100);
    assert_eq!(check(&log, "until=2026-01-01").0, 600);
    assert_eq!(check(&log, "until=2025-12-31").0, 0);
}

/// Nothing is signed over what is kept of an attempt. What the certificate and its entry say is found in
/// spite of it, and marked.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_edited_hides_neither_itself_nor_others() {
    let bench = Bench::new();
    let log = bench.indexed(200).await;
    let to = |from: &'static str, to: &'static str| {
        move |record: &str| {
            assert!(record.contains(from), "{record}");
            record.replace(from, to)
        }
    };
    bench.edit(170, to("2026-01-01T00:02:50Z", "1970-01-01T00:00:00Z"));
    bench.edit(171, to("2026-01-01T00:02:51Z", "2036-01-01T00:00:00Z"));
    bench.edit(172, to("\"issued\"", "\"refused\""));
    bench.edit(173, to("\"kind\"", "\"issuer\":\"https://ci.example.net\",\"kind\""));
    bench.edit(174, |_| "no JSON at all".to_owned());
    let look = || {
        for (terms, expected) in [
            ("", 200),
            ("since=990s", 190),
            ("since=990s app-3", 28),
            ("until=829s", 171),
            ("since=831s until=827s", 4),
            ("ref=refs/heads/b7 app-5", 3),
            ("issuer=https://ci.example", 200),
        ] {
            assert_eq!(check(&log, terms).0, expected, "{terms}");
        }
    };
    look();
    let explorer = Explorer::new(Shards::new([log.clone()].into()), Recorder::default());
    let question = Question { search: search(""), cursor: None, limit: 1000 };
    let found = explorer.ask(question).await.unwrap().records;
    let damaged = found.iter().rev().filter(|record| record.damaged.is_some());
    let damaged: Vec<_> = damaged.map(|record| record.index.unwrap()).collect();
    assert_eq!(damaged, [170, 171, 172, 173, 174]);
    let record = explorer.record(None, 174, MIDNIGHT).await.unwrap().unwrap();
    assert_eq!(record.san, "https://ci.example/acme/app-6/release.yml@refs/heads/b9");
    assert_eq!((record.result, record.time.as_secs()), (Outcome::Issued, MIDNIGHT.as_secs() + 174));
    let why = record.damaged.unwrap();
    assert!(why.starts_with("what was kept of the attempt is unreadable: expected"), "{why}");
    // An index that is made of such records finds as much.
    drop(explorer);
    rusqlite::Connection::open(bench.index()).unwrap().execute_batch("DROP TABLE words").unwrap();
    assert_eq!(check(&log, "app-3").0, 29);
    let began = Instant::now();
    while look_for(&log, "request=run-9").await.1 > 20 {
        assert!(began.elapsed() < PATIENCE, "the index is not made anew");
    }
    look();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_is_found_by_its_hash() {
    let bench = Bench::new();
    let log = bench.indexed(260).await;
    bench.fill(&log, 260..263).await;
    let hashes = bench.store.leaf_hashes(0..263).unwrap();
    for index in [0, 1, 255, 259, 260, 262] {
        let found = log.index_of(hashes[index as usize]).await.unwrap();
        assert_eq!(found, Some(index));
    }
    assert_eq!(log.index_of(Hash([7; 32])).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_on_where_its_budget_ended() {
    let bench = Bench::new();
    let log = bench.open();
    bench.fill(&log, 0..200).await;
    let search = search("app-3");
    let found = log.look(move |entries| {
        let (whole, _) = all(entries, &search)?;
        let (mut found, mut before, mut pages) = (Vec::new(), u64::MAX, 0);
        while before > 0 {
            let (mut budget, mut issued) = (9, entries.search(&search, before)?);
            while let Some(Record { index, .. }) = issued.next(&mut budget)? {
                found.extend(index);
            }
            (before, pages) = (issued.before(), pages + 1);
        }
        assert_eq!(found, whole);
        Ok((found.len(), pages))
    });
    assert_eq!(found.await.unwrap(), (29, 23));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_does_not_fit_is_made_anew() {
    let bench = Bench::new();
    let log = bench.indexed(300).await;
    drop(log);
    let owner = bench.store.owner().clone();
    let words = || vec!["acme".to_owned(); 300];
    let damages: [(&str, &dyn Fn()); 5] = [
        ("deleted", &|| Index::remove(&bench.index()).unwrap()),
        ("no database", &|| std::fs::write(bench.index(), [7; 9000]).unwrap()),
        ("another log's", &|| {
            let other = Owner { origin: "other/ct/2026".into(), ..owner.clone() };
            drop(Index::open(&bench.index(), &other).unwrap());
        }),
        ("ahead", &|| {
            let index = Index::open(&bench.index(), &owner).unwrap();
            index.add(0, &words(), Hash([7; 32])).unwrap();
            index.add(300, &words(), Hash([7; 32])).unwrap();
        }),
        ("of other entries", &|| {
            let index = Index::open(&bench.index(), &owner).unwrap();
            index.add(0, &words(), Hash([7; 32])).unwrap();
        }),
    ];
    for (damage, damaged) in damages {
        Index::remove(&bench.index()).unwrap();
        damaged();
        let log = bench.open();
        log.keep_index(bench.index()).unwrap();
        wait(&log, 300);
        assert_eq!(check(&log, "app-3").0, 43, "{damage}");
        let opened = Index::open_read_only(&bench.index(), &owner).unwrap();
        let last = *bench.store.leaf_hashes(299..300).unwrap().first().unwrap();
        assert_eq!(opened.upto().unwrap().last, Some(last), "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_damaged_while_it_is_used_is_made_anew() {
    let bench = Bench::new();
    let log = bench.indexed(300).await;
    let connection = rusqlite::Connection::open(bench.index()).unwrap();
    connection.execute_batch("DROP TABLE words").unwrap();
    drop(connection);
    assert_eq!(look_for(&log, "app-3").await.0, 43);
    let began = Instant::now();
    while look_for(&log, "request=run-9").await.1 > 20 {
        assert!(began.elapsed() < PATIENCE, "the index is not made anew");
    }
}

/// One that was emptied says of nothing that it is there, and is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_emptied_hides_no_entry() {
    let bench = Bench::new();
    let log = bench.indexed(300).await;
    let empty = "INSERT INTO words (words) VALUES ('delete-all')";
    rusqlite::Connection::open(bench.index()).unwrap().execute_batch(empty).unwrap();
    let leaf = bench.store.leaf_hashes(7..8).unwrap()[0];
    assert_eq!(log.index_of(leaf).await, Ok(Some(7)));
    drop(log);
    rusqlite::Connection::open(bench.index()).unwrap().execute_batch(empty).unwrap();
    let log = bench.open();
    log.keep_index(bench.index()).unwrap();
    wait(&log, 300);
    assert_eq!(look_for(&log, "app-3").await.0, 43);
}

/// Refusals at these seconds, in the order in which they came.
fn refused(seconds: &[u64]) -> Vec<Record> {
    let record = |second: &u64| Record {
        time: MIDNIGHT.plus(Duration::from_secs(*second)),
        result: Outcome::Refused,
        request_id: format!("refused-{second}"),
        san: format!("https://ci.example/acme/app-{}/release.yml", second % 7),
        ..Record::default()
    };
    seconds.iter().map(record).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn issued_and_refused_come_in_one_order_whatever_comes_meanwhile() {
    const ALL: Bounds = Bounds { since: Timestamp::from_secs(0), most: MOST };
    let bench = Bench::new();
    let log = bench.open();
    bench.fill(&log, 0..60).await;
    let refusals = Refusals::open(&bench.folder.path().join("refusals.sqlite")).unwrap();
    let refusals = Arc::new(refusals);
    refusals.add(&refused(&[3, 3, 2, 10, 17, 30, 31, 31, 45, 44, 59, 70]), ALL).unwrap();
    for (terms, limit) in [("", 7), ("app-3", 1), ("app-3", 4), ("result=refused", 5), ("", 1000)] {
        let ask = async |cursor: Option<Cursor>, limit| {
            let (question, refusals) =
                (Question { search: search(terms), cursor, limit }, Arc::clone(&refusals));
            let looked = log.look(move |entries| {
                Ok(explorer::page(0, entries, Some(&refusals), &question).unwrap())
            });
            looked.await.unwrap()
        };
        let whole = ask(None, 1000).await;
        assert_eq!(whole.next, None);
        let times: Vec<_> = whole.records.iter().map(|record| record.time).collect();
        // Each side keeps its own order, and their times are in order wherever those are.
        let disorder = times.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!(disorder <= 2, "{terms}: {times:?}");
        let (mut cursor, mut found) = (None, Vec::new());
        loop {
            let page = ask(cursor, limit).await;
            assert!(page.records.len() <= limit);
            found.extend(page.records);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            // More come meanwhile, and do not show.
            refusals.add(&refused(&[80]), ALL).unwrap();
            let (entry, attempt) = bench.entry(90);
            log.append(entry, attempt).await.unwrap();
        }
        assert_eq!(found, whole.records, "{terms}");
    }
}

/// Damage that lies where opening does not look is found by the first that writes.
#[test]
fn refusals_that_are_damaged_are_put_aside_and_others_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refusals.sqlite");
    let start = || {
        let clock = Arc::new(HandClock::at(MIDNIGHT.plus(Duration::from_secs(100)), 0));
        Recorder::start(path.clone(), Duration::from_secs(1000), clock).unwrap()
    };
    // The place of the next one: they are counted from 1.
    let end = |recorder: &Recorder| recorder.refusals().and_then(|all| all.end().ok()).unwrap_or(1);
    let began = Instant::now();
    let recorder = start();
    refused(&[10; 200]).into_iter().for_each(|refusal| recorder.keep(refusal));
    while end(&recorder) != 201 {
        assert!(began.elapsed() < PATIENCE, "{:?} is next", end(&recorder));
        std::thread::yield_now();
    }
    drop(recorder);
    let mut octets = std::fs::read(&path).unwrap();
    octets[4096..].fill(0xa5);
    std::fs::write(&path, octets).unwrap();
    let recorder = start();
    // The first may be lost with the file that it was meant for.
    while !path.with_extension("sqlite.damaged").exists() {
        assert!(began.elapsed() < PATIENCE, "it is not put aside");
        refused(&[20]).into_iter().for_each(|refusal| recorder.keep(refusal));
        std::thread::yield_now();
    }
    while end(&recorder) == 1 {
        assert!(began.elapsed() < PATIENCE, "none is kept");
        refused(&[30]).into_iter().for_each(|refusal| recorder.keep(refusal));
        std::thread::yield_now();
    }
    assert!(!recorder.is_failing());
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_asked_one_after_the_other_the_newest_first() {
    let before = MIDNIGHT.minus(Duration::from_secs(1));
    let benches = [Bench::of_shard(2025, before), Bench::of_shard(2026, MIDNIGHT)];
    let logs = [benches[0].open(), benches[1].open()];
    benches[0].fill(&logs[0], 0..20).await;
    benches[1].fill(&logs[1], 20..35).await;
    let explorer = Explorer::new(Shards::new(logs.into()), Recorder::default());
    let ask = async |terms, cursor, limit| {
        explorer.ask(Question { search: search(terms), cursor, limit }).await.unwrap()
    };
    let place = |record: &Record| (record.shard.clone(), record.index.unwrap());
    let newest = (0..15).rev().map(|index| ("2026".to_owned(), index));
    let expected: Vec<_> = newest.chain((0..20).rev().map(|at| ("2025".to_owned(), at))).collect();
    let whole = ask("", None, 1000).await;
    assert_eq!(whole.records.iter().map(place).collect::<Vec<_>>(), expected);
    assert_eq!(whole.next, None);
    for (terms, limit) in [("", 1), ("", 7), ("", 15), ("rule=rule*1", 4), ("app-3", 3)] {
        let whole = ask(terms, None, 1000).await.records;
        let (mut cursor, mut found) = (None, Vec::new());
        loop {
            let page = ask(terms, cursor, limit).await;
            assert!(page.records.len() <= limit);
            found.extend(page.records);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, whole, "{terms}");
    }
    assert_eq!(ask("result=refused", None, 9).await.records, []);
    let record = explorer.record(Some("2025"), 3, MIDNIGHT).await.unwrap();
    assert_eq!(record.as_ref().map(place), Some(("2025".to_owned(), 3)));
    let record = explorer.record(None, 3, MIDNIGHT).await.unwrap();
    assert_eq!(record.as_ref().map(place), Some(("2026".to_owned(), 3)));
    assert_eq!(explorer.record(Some("2024"), 3, MIDNIGHT).await, Ok(None));
}

/// Two read and sixteen wait, also where those who asked have gone away.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_searches_at_once_are_told_so() {
    let bench = Bench::new();
    let log = bench.open();
    bench.fill(&log, 0..5).await;
    let explorer = Explorer::new(Shards::new([log].into()), Recorder::default());
    let question = || Question { limit: 9, ..Question::default() };
    let mut context = Context::from_waker(Waker::noop());
    let mut begin = |count: usize| {
        let mut asks: Vec<_> = (0..count).map(|_| Box::pin(explorer.ask(question()))).collect();
        asks.retain_mut(|ask| ask.as_mut().poll(&mut context).is_pending());
        asks
    };
    let (store, (hold, held), (holds, is_held)) = (bench.store.clone(), channel::<()>(), channel());
    let holder = std::thread::spawn(move || {
        let _rows = store.rows();
        holds.send(()).unwrap();
        let _ = held.recv();
    });
    is_held.recv().unwrap();
    // Nothing is read now.
    drop(begin(2));
    let waiting = begin(20);
    assert_eq!(waiting.len(), 16);
    assert_eq!(explorer.ask(question()).await, Err(ExplorerError::Busy));
    drop(hold);
    holder.join().unwrap();
    for ask in waiting {
        assert_eq!(ask.await.unwrap().records.len(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_reads_too_much_is_short_and_leads_on() {
    let bench = Bench::new();
    let log = bench.open();
    bench.fill(&log, 0..5).await;
    let refusals = Refusals::open(&bench.folder.path().join("refusals.sqlite")).unwrap();
    let many: Vec<u64> = (0..10_500).map(|number| 10 + number / 1000).collect();
    let bounds = Bounds { since: Timestamp::from_secs(0), most: MOST };
    refusals.add(&refused(&many), bounds).unwrap();
    // No index helps with a piece of a word.
    let question = Question { search: search("san=*nothing*"), cursor: None, limit: 9 };
    let pages = log.look(move |entries| {
        let mut question = question.clone();
        let mut pages = 0;
        loop {
            let page = explorer::page(0, entries, Some(&refusals), &question).unwrap();
            assert_eq!(page.records, []);
            pages += 1;
            question.cursor = page.next;
            if page.next.is_none() {
                return Ok(pages);
            }
        }
    });
    assert_eq!(pages.await.unwrap(), 2);
}
