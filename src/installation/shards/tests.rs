//! Shards on disk: which there are, which comes next, and what is refused.

use std::path::{Path, PathBuf};

use super::*;

const URL: &str = "https://ca.example.com";

/// 2026-06-01T00:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_780_272_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn new<'a>(now: Timestamp) -> New<'a> {
    New { url: URL, passphrase: None, now }
}

/// A folder of shards of the certificate log.
fn at(path: &Path) -> Folder {
    Folder { kind: Kind::Certificates, path: path.to_owned() }
}

/// A folder with the shard of 2026.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fill(&at(folder.path()), "2026", Window::year(NOW), new(NOW)).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.ends_with("-lock")).collect();
    names.sort();
    names
}

const BOTH: [&str; 6] =
    ["2026.key", "2026.note.key", "2026.sqlite", "2027.key", "2027.note.key", "2027.sqlite"];

fn shards(folder: &Path) -> Vec<(String, Window)> {
    let shards = read(&at(folder), None, &[]).unwrap();
    super::check(&shards).unwrap();
    shards.iter().map(|shard| (shard.name().to_owned(), shard.owner.window)).collect()
}

/// At `now`, makes a shard if nothing takes certificates that end [`AHEAD`] of it.
fn look(folder: &Path, now: Timestamp) -> Outcome {
    extend(&at(folder), new(now), now.plus(AHEAD)).unwrap()
}

#[test]
fn the_next_one_is_made_thirty_days_ahead() {
    let folder = folder();
    let year = Window::year(NOW);
    let early = year.end.minus(AHEAD).minus(Duration::from_millis(1));
    assert_eq!(look(folder.path(), early), Outcome::Covered);
    assert_eq!(look(folder.path(), year.end.minus(AHEAD)), Outcome::Made("2027".into()));
    assert_eq!(look(folder.path(), year.end), Outcome::Covered);
    let next = Window::year(year.end);
    assert_eq!(shards(folder.path()), [("2026".into(), year), ("2027".into(), next)]);
    assert_eq!(names(folder.path()), BOTH);
    let made = read(&at(folder.path()), None, &[]).unwrap();
    assert_eq!(made[1].ours(URL), made[1].owner);
    assert_eq!(made[1].owner.origin, "ca.example.com/ct/2027");
}

#[test]
fn a_gap_is_filled_under_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let year = Window::year(NOW);
    let half = Window { end: NOW, ..year };
    fill(&at(folder.path()), "2026", half, new(NOW)).unwrap();
    assert_eq!(look(folder.path(), NOW), Outcome::Made("2026-2".into()));
    let rest = Window { start: NOW, ..year };
    assert_eq!(shards(folder.path()), [("2026".into(), half), ("2026-2".into(), rest)]);
    // Years in which nobody looked have none.
    let later = year.end.plus(DAY * 500);
    assert_eq!(look(folder.path(), later), Outcome::Made("2028".into()));
    assert_eq!(shards(folder.path()).len(), 3);
}

#[test]
fn a_shard_that_a_mark_remembers_is_missed() {
    let folder = folder();
    let shards = read(&at(folder.path()), None, &[]).unwrap();
    let marks = tempfile::tempdir().unwrap();
    let elsewhere = LogConfig { mark: Some(marks.path().join("head")), ..LogConfig::default() };
    let places = [
        (LogConfig::default(), folder.path().join("2025.mark"), folder.path().join("2026.mark")),
        (elsewhere, marks.path().join("head-2025"), marks.path().join("head-2026")),
    ];
    for (config, mark, own) in places {
        fs::write(own, "").unwrap();
        fs::write(mark.with_file_name("notes"), "").unwrap();
        assert_eq!(remembered(&shards, &config), Ok(()));
        fs::write(&mark, "").unwrap();
        let forgotten = InstallationError::Forgotten { by: mark, name: "ct/2025".into() };
        assert_eq!(remembered(&shards, &config), Err(forgotten));
    }
}

#[test]
fn a_shard_of_which_nothing_is_left_is_missed() {
    let folder = folder();
    look(folder.path(), Window::year(NOW).end);
    let shards = read(&at(folder.path()), None, &[]).unwrap();
    remember(folder.path(), &shards[..1]).unwrap();
    remember(folder.path(), &shards).unwrap();
    let ledger = folder.path().join("shards");
    let text = fs::read_to_string(&ledger).unwrap();
    assert!(text.ends_with("anew.\n2026\n2027\n"), "{text}");
    for name in BOTH.into_iter().filter(|name| name.starts_with("2026")) {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let forgotten = InstallationError::Forgotten { by: ledger.clone(), name: "2026".into() };
    assert_eq!(read(&at(folder.path()), None, &[]).err(), Some(forgotten.clone()));
    assert_eq!(extend(&at(folder.path()), new(NOW), NOW), Err(forgotten.clone()));
    // One that is not there never leaves the ledger by itself.
    remember(folder.path(), &shards[1..]).unwrap();
    assert_eq!(read(&at(folder.path()), None, &[]).err(), Some(forgotten));
    fs::write(&ledger, text.replace("2026\n", "")).unwrap();
    assert_eq!(read(&at(folder.path()), None, &[]).unwrap().len(), 1);
    fs::remove_file(&ledger).unwrap();
    assert_eq!(read(&at(folder.path()), None, &[]).unwrap().len(), 1, "from before there was one");
}

#[test]
fn keys_are_encrypted_as_the_others_are() {
    let folder = folder();
    let new = New { passphrase: Some("geheim"), ..new(NOW) };
    let made = extend(&at(folder.path()), new, Window::year(NOW).end).unwrap();
    assert_eq!(made, Outcome::Made("2027".into()));
    let key = fs::read_to_string(folder.path().join("2027.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{key}");
    assert!(read(&at(folder.path()), Some("geheim"), &[]).is_ok());
    assert!(matches!(read(&at(folder.path()), None, &[]), Err(InstallationError::Key(_))));
}

#[test]
fn a_note_key_is_not_taken_for_that_of_another_shard() {
    let folder = folder();
    look(folder.path(), Window::year(NOW).end);
    let path = |name: &str| folder.path().join(name);
    let check = || super::check(&read(&at(folder.path()), None, &[]).unwrap());
    let (one, other) = (path("2026.note.key"), path("2027.note.key"));
    fs::rename(&one, path("aside")).unwrap();
    fs::rename(&other, &one).unwrap();
    fs::rename(path("aside"), &other).unwrap();
    let error = check().unwrap_err();
    let swapped =
        InstallationError::SwappedNoteKey { shard: "ct/2026".into(), other: "ct/2027".into() };
    assert_eq!(error, swapped);
    let said = error.to_string();
    assert!(said.contains("ct/2026.note.key") && said.contains("ct/2027.sqlite"), "{said}");
    // Where its own is lost, a shard may have one that nobody had before.
    let elsewhere = self::folder();
    fs::rename(&one, &other).unwrap();
    fs::copy(elsewhere.path().join("2026.note.key"), &one).unwrap();
    assert_eq!(check(), Ok(()));
}

#[test]
fn of_many_who_make_the_next_one_one_does() {
    let folder = folder();
    let until = Window::year(NOW).end;
    let mut made: Vec<_> = std::thread::scope(|scope| {
        let one = || extend(&at(folder.path()), new(NOW), until).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    made.retain(|outcome| matches!(outcome, Outcome::Made(_)));
    assert_eq!(made, [Outcome::Made("2027".into())]);
    assert_eq!(names(folder.path()), BOTH);
    assert_eq!(shards(folder.path()).len(), 2);
}

/// Wherever somebody died who was adding a shard, it is not there yet, or the next one finishes it.
#[test]
fn goes_on_where_somebody_died() {
    let order = ["2027.key", "2027.note.key", "2027.sqlite"];
    for moved in (0..=order.len()).map(|moved| &order[..moved]) {
        let folder = folder();
        let whole = folder.path().join(place::WHOLE);
        fs::create_dir(&whole).unwrap();
        fill(&at(&whole), "2027", Window::year(Window::year(NOW).end), new(NOW)).unwrap();
        let key = fs::read(whole.join("2027.key")).unwrap();
        for name in moved {
            fs::rename(whole.join(name), folder.path().join(name)).unwrap();
        }
        assert_eq!(shards(folder.path()).len(), 1 + moved.len() / 3, "{moved:?}");
        assert_eq!(look(folder.path(), Window::year(NOW).end), Outcome::Covered, "{moved:?}");
        assert_eq!(shards(folder.path()).len(), 2, "{moved:?}");
        assert_eq!(fs::read(folder.path().join("2027.key")).unwrap(), key, "{moved:?}");
    }
}

#[test]
fn what_was_half_made_is_swept_away() {
    let folder = folder();
    let begun = folder.path().join(".mayfly-begun");
    fs::create_dir(&begun).unwrap();
    fs::write(begun.join("2027.key"), "half").unwrap();
    assert_eq!(look(folder.path(), Window::year(NOW).end), Outcome::Made("2027".into()));
    assert_eq!(names(folder.path()), BOTH);
}

#[test]
fn a_folder_may_have_any_name_and_a_log_may_be_open() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a b?#%20é");
    fs::create_dir(&folder).unwrap();
    fill(&at(&folder), "2026", Window::year(NOW), new(NOW)).unwrap();
    let _open = sqlite::open(&folder.join("2026.sqlite")).unwrap();
    assert_eq!(shards(&folder), [("2026".into(), Window::year(NOW))]);
}

#[track_caller]
fn refused(folder: &Path, word: &str) {
    let read = read(&at(folder), None, &[]).and_then(|shards| super::check(&shards));
    let error = read.unwrap_err().to_string();
    assert!(error.contains(word), "{error}");
}

#[test]
fn halves_and_doubles_are_refused() {
    let two = || {
        let folder = folder();
        look(folder.path(), Window::year(NOW).end);
        folder
    };
    let path = |folder: &tempfile::TempDir, name: &str| -> PathBuf { folder.path().join(name) };

    let folder = two();
    fs::remove_file(path(&folder, "2027.sqlite")).unwrap();
    refused(folder.path(), "2027.key: the database that belongs to this key is missing");
    // Nor is a second history begun under its name.
    let again = extend(&at(folder.path()), new(NOW), Window::year(NOW).end);
    assert!(matches!(again, Err(InstallationError::NoDatabase { .. })), "{again:?}");

    let folder = two();
    fs::remove_file(path(&folder, "2026.key")).unwrap();
    refused(folder.path(), "2026.key: ");

    let folder = two();
    fs::copy(path(&folder, "2026.key"), path(&folder, "2027.key")).unwrap();
    refused(folder.path(), "the shards ct/2026 and ct/2027 of the log have the same key");

    let folder = two();
    fs::copy(path(&folder, "2026.note.key"), path(&folder, "2027.note.key")).unwrap();
    refused(folder.path(), "the shards ct/2026 and ct/2027 of the log have the same key");

    let folder = two();
    fill(&at(folder.path()), "2027b", Window::year(Window::year(NOW).end), new(NOW)).unwrap();
    refused(folder.path(), "the shards ct/2027 and ct/2027b of the log take the same entries");

    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), "a log of this instance is missing");
    refused(&empty.path().join("ct"), "a log of this instance is missing");
}

#[test]
fn what_belongs_to_others_is_no_shard() {
    let folder = folder();
    for name in ["2026.witness.key", "2026.index.sqlite", "log.key", "x.sqlite", "2026.sqlite-wal"]
    {
        fs::write(folder.path().join(name), "").unwrap();
    }
    assert_eq!(shards(folder.path()).len(), 1);
    for (name, is) in [("2026", true), ("2026b", true), ("2026-2", true), ("26", false)] {
        assert_eq!(is_name(name), is, "{name}");
    }
    assert!(!is_name("2026/x") && !is_name("2O26") && !is_name("2026 "));
}

#[test]
fn timestamps_count_well_beyond_the_window() {
    let shard = read(&at(folder().path()), None, &[]).unwrap().remove(0);
    let Window { start, end } = shard.owner.window;
    let trust = shard.trust(URL, end.minus(DAY));
    assert_eq!((trust.since, trust.until), (start.minus(DAY), None));
    assert_eq!(trust.url, "https://ca.example.com/ct/2026");
    assert_eq!(shard.trust(URL, end).until, Some(end.plus(DAY)));
}
