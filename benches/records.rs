//! What a search index costs and how fast it answers: CPU and octets on the disk for a record, and the
//! time of searches over all of them. `cargo bench --bench records -- 1000000`; 100000 where nothing is
//! said.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use mayfly::cli::bench::cpu;
use mayfly::ct::window::Window;
use mayfly::record::search::Terms;
use mayfly::record::words::Clue;
use mayfly::record::{Record, words};
use mayfly::store::Owner;
use mayfly::store::index::Index;
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::merkle::Hash;
use tokio::time::Instant;

/// How many of the newest have nothing to do with a release.
const NEWEST: u64 = 1000;

fn main() {
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    for batch in [2048, 256] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        fill_and_ask(folder.path(), count, batch);
    }
}

fn fill_and_ask(folder: &Path, count: u64, batch: u64) {
    let path = folder.join("2026.index.sqlite");
    let owner =
        Owner { origin: "bench".into(), log_id: [7; 32], window: Window::year(SystemClock.now()) };
    let index = Index::open(&path, &owner).expect("an index");
    let (mut making, mut adding) = (Duration::ZERO, Duration::ZERO);
    let mut slowest = Duration::ZERO;
    for first in (0..count).step_by(batch as usize) {
        let numbers = first..count.min(first + batch);
        let of = |number| (record(number, count - number > NEWEST), hash(number, 9));
        let records: Vec<_> = numbers.map(of).collect();
        let before = cpu::of_self().expect("Linux");
        let words: Vec<_> =
            records.iter().map(|(record, leaf)| words::of(record, Some(leaf))).collect();
        let made = cpu::of_self().expect("Linux");
        let began = Instant::now();
        index.add(first, &words, Hash([7; 32])).expect("room");
        slowest = slowest.max(began.elapsed());
        making += made - before;
        adding += cpu::of_self().expect("Linux") - made;
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    drop(index);
    let octets = std::fs::metadata(&path).map_or(0, |file| file.len());
    let index = Index::open(&path, &owner).expect("the same index");
    println!(
        "{count} records in batches of {batch}: words {:.1} µs, index {:.1} µs of CPU each, {:.0} octets \
         on the disk each; slowest batch {slowest:?}",
        each(making),
        each(adding),
        octets as f64 / count as f64,
    );
    let commit = hash(count / 2, 1).to_string();
    for terms in [
        "repository=org7/repo-1007",
        "org7",
        "org7/repo-1007 ref=refs/tags/v3",
        "ref=refs/heads/main trigger=push",
        "repository=org7/* trigger=schedule",
        "release*",
        "a*",
        &commit[..40],
        "nowhere",
    ] {
        ask(&index, count, terms);
    }
}

fn ask(index: &Index, count: u64, terms: &str) {
    let clues = Terms::parse(terms.split(' ')).expect("terms").clues();
    let time = |find: &dyn Fn() -> Vec<u64>| {
        let mut times: Vec<_> = (0..9)
            .map(|_| {
                let began = Instant::now();
                let found = find().len();
                (began.elapsed(), found)
            })
            .collect();
        times.sort_unstable();
        times[4]
    };
    let find = |clues: &[Vec<Clue>]| index.find(clues, 0..count, 50).expect("an answer");
    let (took, found) = time(&|| find(&index.spelled(clues.clone()).expect("clues")));
    println!("  {took:>10.2?}  {found:>3} candidates  {terms}");
    if clues.iter().flatten().any(|clue| matches!(clue, Clue::Start(_))) {
        let (took, found) = time(&|| find(&clues));
        println!("  {took:>10.2?}  {found:>3} candidates  {terms} as FTS5 finds first letters");
        let (took, found) =
            time(&|| index.find(&clues, count - 2000..count, 50).expect("an answer"));
        println!("  {took:>10.2?}  {found:>3} candidates  the same, among the newest 2000");
    }
}

fn hash(number: u64, kind: u8) -> Hash {
    Hash::of(&[&number.to_be_bytes(), &[kind]])
}

/// What a job of GitHub's leaves: one of a hundred owners and ten thousand repositories.
fn record(number: u64, is_old: bool) -> Record {
    let spread = u64::from_be_bytes(hash(number, 0).0[..8].try_into().expect("eight"));
    let hex = |kind, digits: usize| hash(number, kind).to_string()[..digits].to_owned();
    let repository = format!("org{}/repo-{}", spread % 100, spread % 10_000);
    let git_ref = match spread / 10_000 % 4 {
        0 => format!("refs/tags/v{}", spread / 50_000 % 40),
        1 => format!("refs/heads/feature-{}", spread / 50_000 % 500),
        _ => "refs/heads/main".to_owned(),
    };
    let workflow = ["build", if is_old { "release" } else { "test" }, "test", "deploy"]
        [(spread / 7 % 4) as usize];
    let trigger = ["push", "push", "workflow_dispatch", "schedule"][(spread / 11 % 4) as usize];
    let uri = format!("https://github.com/{repository}");
    let san = format!("{uri}/.github/workflows/{workflow}.yml@{git_ref}");
    let issuer = "https://token.actions.githubusercontent.com";
    let sha = hex(1, 40);
    let run = format!("{uri}/actions/runs/{}/attempts/1", 7_234_567_890 + number);
    let owner = format!("https://github.com/org{}", spread % 100);
    let subject = format!("repo:{repository}:ref:{git_ref}");
    let identifier = (1_296_269 + spread % 10_000).to_string();
    let extensions = [
        ("issuer-v1", issuer),
        ("github-workflow-trigger", trigger),
        ("github-workflow-sha", &sha),
        ("github-workflow-name", workflow),
        ("github-workflow-repository", &repository),
        ("github-workflow-ref", &git_ref),
        ("issuer", issuer),
        ("build-signer-uri", &san),
        ("build-signer-digest", &sha),
        ("runner-environment", "github-hosted"),
        ("source-repository-uri", &uri),
        ("source-repository-digest", &sha),
        ("source-repository-ref", &git_ref),
        ("source-repository-identifier", &identifier),
        ("source-repository-owner-uri", &owner),
        ("source-repository-owner-identifier", "9919"),
        ("build-config-uri", &san),
        ("build-config-digest", &sha),
        ("build-trigger", trigger),
        ("run-invocation-uri", &run),
        ("source-repository-visibility-at-signing", "private"),
        ("subject", &subject),
    ];
    let id = hex(2, 32);
    Record {
        request_id: format!("5f0c5f0c5f0c5f0c-{number:x}"),
        client: Some([192, 0, 2, (spread % 250) as u8].into()),
        issuer: issuer.to_owned(),
        kind: "ci-provider".to_owned(),
        san: san.clone(),
        rule: Some(if is_old { "release" } else { "main" }.to_owned()),
        token_id: Some(format!(
            "{}-{}-{}-{}-{}",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..]
        )),
        serial: hex(3, 40),
        key: hex(4, 64),
        key_algorithm: "ECDSA P-256".into(),
        index: Some(number),
        extensions: extensions
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), (*value).to_owned()))
            .collect(),
        ..Record::default()
    }
}
