//! The house rules that no compiler checks: which module may use which, and what a file looks like.
//!
//! `src/lib.rs` is the rule: its `pub mod` lines stand in dependency order, and a line among them
//! parts the modules that compute from those that touch the world.

use std::fs;
use std::path::{Path, PathBuf};

/// What parts pure modules from the others in `src/lib.rs`.
const DIVIDE: &str = "pure above, effects below";

/// What a file may have, its tests left out.
const MOST_LINES: usize = 500;

/// What pure modules never name.
const EFFECTS: [&str; 22] = [
    "async fn",
    "async move",
    ".await",
    "tokio",
    "axum",
    "hyper",
    "reqwest",
    "tonic",
    "rusqlite",
    "tracing",
    "println!",
    "eprintln!",
    "rand",
    "SystemRandom",
    "std::fs",
    "std::env",
    "std::process",
    "File::open",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
];

/// What only `time.rs` names, of the pure ones.
const CLOCKS: [&str; 4] = ["SystemTime", "Instant", "::now()", "std::thread"];

/// What marks unfinished work.
const UNFINISHED: [&str; 5] = ["SEAM", "TODO", "FIXME", "todo!", "unimplemented!"];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tops = ["src", "tests", "benches"].iter();
    let paths = tops.flat_map(|top| files(&root.join(top)));
    let sources = paths.filter_map(|path| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        // This file quotes what it forbids.
        let read = name.ends_with(".rs") && name != "tests/it/tidy.rs";
        read.then(|| (name, fs::read_to_string(path).unwrap()))
    });
    let sources: Vec<_> = sources.collect();
    let lib = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let map = Map {
        tests: sources.iter().flat_map(|(name, text)| test_files(name, text)).collect(),
        ..Map::parse(&lib)
    };
    let mut found: Vec<_> =
        sources.iter().flat_map(|(name, text)| map.faults(name, text)).collect();
    found.extend(orphans(&root.join("tests/golden")));
    assert!(found.is_empty(), "{} rules broken:\n{}", found.len(), found.join("\n"));
}

/// The modules of `src/lib.rs`, in order.
struct Map {
    modules: Vec<String>,
    /// How many of them are pure.
    pure: usize,
    /// The files that are compiled for tests alone.
    tests: Vec<String>,
}

impl Map {
    fn parse(lib: &str) -> Self {
        let (above, below) = lib.split_once(DIVIDE).expect("lib.rs has the dividing line");
        let names = |text: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix("pub mod "));
            lines.map(|line| line.trim_end_matches(';').to_owned()).collect()
        };
        let mut modules = names(above);
        let pure = modules.len();
        modules.extend(names(below));
        Self { modules, pure, tests: Vec::new() }
    }

    /// Yields the place of a module in the order.
    fn rank(&self, module: &str) -> Option<usize> {
        self.modules.iter().position(|name| name == module)
    }

    /// Yields every rule that a file breaks, with file and line.
    fn faults(&self, name: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |line: usize, what: &str| faults.push(format!("{name}:{line}: {what}"));
        if !text.starts_with("//! ") {
            fault(1, "does not open with `//! `");
        }
        for (line, word) in occurrences(text, &UNFINISHED) {
            fault(line, &format!("unfinished: {word}"));
        }
        let Some(path) = name.strip_prefix("src/") else { return faults };
        if self.tests.iter().any(|test| test == name) {
            return faults;
        }

        let code = code(text);
        if code.lines().count() > MOST_LINES {
            fault(MOST_LINES + 1, &format!("more than {MOST_LINES} lines without tests"));
        }
        for (line, _) in occurrences(&code, &["use crate::{"]) {
            fault(line, "one `use crate::…` line a module");
        }
        let module = path.split(['/', '.']).next().unwrap_or_default();
        if ["lib", "main"].contains(&module) {
            return faults;
        }
        let Some(own) = self.rank(module) else {
            fault(1, "its module is not in src/lib.rs");
            return faults;
        };
        let prints = ["print!", "println!", "eprint!", "eprintln!"];
        for (line, word) in occurrences(&code, &prints) {
            fault(line, &format!("{word}: commands print through cli/out.rs, all else logs"));
        }
        for (line, used) in uses(&code, path.matches('/').count()) {
            if self.rank(&used).is_some_and(|rank| rank > own) {
                fault(line, &format!("uses '{used}', which is below it"));
            }
        }
        let clocks: &[&str] = if module == "time" { &[] } else { &CLOCKS };
        for (line, word) in occurrences(&code, &[&EFFECTS, clocks].concat()) {
            if own < self.pure {
                fault(line, &format!("a pure module names '{word}'"));
            }
        }
        faults
    }
}

/// Yields the files of the modules that a file declares for its tests alone.
fn test_files(name: &str, text: &str) -> Vec<String> {
    let folder = name.trim_end_matches(".rs");
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let (_, module) = rest.lines().next()?.split_once("mod ")?;
        module.strip_suffix(';')
    });
    declared.map(|module| format!("{folder}/{module}.rs")).collect()
}

/// Yields a file without its tests and comments, line for line.
fn code(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| without_comment(line).to_owned() + "\n").collect()
}

/// Cuts a line at `//`, but not at that of a URL.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with([':', '"']));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// Yields the lines, counted from 1, that have one of `words` as a whole word.
fn occurrences<'a>(text: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let whole = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let joins = |a: Option<char>, b: Option<char>| {
                a.zip(b).is_some_and(|(a, b)| is_word(a) && is_word(b))
            };
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            !joins(before.chars().last(), word.chars().next())
                && !joins(word.chars().last(), after.chars().next())
        })
    };
    let lines = (1..).zip(text.lines());
    lines
        .flat_map(|(number, line)| {
            words.iter().filter(move |word| whole(line, word)).map(move |word| (number, *word))
        })
        .collect()
}

/// Yields the modules that code names as `crate::…`, or by as many `super::` as lead there.
fn uses(code: &str, depth: usize) -> Vec<(usize, String)> {
    let up = "super::".repeat(depth + 1);
    let lines = (1..).zip(code.lines());
    lines
        .flat_map(|(number, line)| {
            let line = line.replace(&up, "crate::");
            let names = line
                .split("crate::")
                .skip(1)
                .map(|rest| rest.chars().take_while(|letter| is_word(*letter)).collect::<String>());
            names.map(|name| (number, name)).collect::<Vec<_>>()
        })
        .collect()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Yields the folders `<provider>/<case>` of goldens that no claims lead to.
fn orphans(golden: &Path) -> Vec<String> {
    let files = files(golden);
    let folders = files.iter().filter_map(|file| file.parent());
    let cases = folders.filter(|folder| folder.ancestors().nth(2) == Some(golden));
    let orphaned = cases.filter(|case| !case.join("claims.json").exists());
    let mut found: Vec<_> =
        orphaned.map(|case| format!("{}: a golden without claims.json", case.display())).collect();
    found.dedup();
    found
}

/// Yields every file under a folder, in order; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !path.ends_with(".cache") && !path.ends_with("node_modules"));
    paths.sort();
    let inside = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.into_iter().flat_map(inside).collect()
}

/// A small house to break rules in.
const LIB: &str = "pub mod time;\npub mod token;\npub mod policy;\n\
                   // ── pure above, effects below ──\npub mod store;\npub mod log;\n";

#[track_caller]
fn check(name: &str, text: &str, expected: &[&str]) {
    assert_eq!(Map::parse(LIB).faults(name, text), expected, "{text}");
}

#[test]
fn a_module_uses_only_those_above_it() {
    let below = |line: &str| format!("//! Text.\n{line}\n");
    check("src/policy.rs", &below("use crate::token::Claims;"), &[]);
    check("src/log.rs", &below("use crate::store::Store;"), &[]);
    let fault = ["src/token.rs:2: uses 'policy', which is below it"];
    check("src/token.rs", &below("use crate::policy::Grant;"), &fault);
    check("src/token.rs", &below("fn f(grant: &crate::policy::Grant) {}"), &fault);
    check("src/token.rs", &below("use super::policy::Grant;"), &fault);
    check("src/token.rs", &below("/// See [`crate::policy`]."), &[]);
    check("src/token.rs", &below("#[cfg(test)]\nmod tests {\nuse crate::policy::Grant;\n}"), &[]);
    let deeper = ["src/store/memory.rs:2: uses 'log', which is below it"];
    check("src/store/memory.rs", &below("use super::super::log::Log;"), &deeper);
    check("src/store/memory.rs", &below("use super::log::Log;"), &[]);
    check("src/main.rs", &below("use crate::log::Log;"), &[]);
    check("src/extra.rs", "//! Text.\n", &["src/extra.rs:1: its module is not in src/lib.rs"]);
}

#[test]
fn a_pure_module_names_no_effect() {
    for (line, word) in [
        ("async fn f() {}", "async fn"),
        ("use tokio::net;", "tokio"),
        ("tracing::info!(\"x\");", "tracing"),
        ("let n = rand::random();", "rand"),
        ("std::fs::read(path)", "std::fs"),
        ("TcpStream::connect(at)", "TcpStream"),
        ("let t = SystemTime::UNIX_EPOCH;", "SystemTime"),
        ("let t = jiff::Timestamp::now();", "::now()"),
    ] {
        let text = format!("//! Text.\n{line}\n");
        check("src/policy.rs", &text, &[&format!("src/policy.rs:2: a pure module names '{word}'")]);
        check("src/log.rs", &text, &[]);
    }
    check("src/policy.rs", "//! Text.\nlet random = operand; // not rand\n", &[]);
    check("src/policy.rs", "//! Text.\nlet url = \"https://tokio_like/\";\n", &[]);
    check("src/time.rs", "//! Text.\nSystemTime::now()\n", &[]);
}

#[test]
fn what_only_tests_use_is_free() {
    let parent = "//! Text.\n#[cfg(test)]\npub(crate) mod fixture;\nmod steps;\n";
    let tests = test_files("src/policy.rs", parent);
    assert_eq!(tests, ["src/policy/fixture.rs"]);
    let map = Map { tests, ..Map::parse(LIB) };
    let text = "//! Text.\nuse crate::store::Store;\nuse tokio::net;\n";
    assert_eq!(map.faults("src/policy/fixture.rs", text), [""; 0]);
    assert_eq!(map.faults("src/policy/steps.rs", text).len(), 2);
}

#[test]
fn a_file_says_what_it_is_about_and_stays_short() {
    check("src/log.rs", "use std::fmt;\n", &["src/log.rs:1: does not open with `//! `"]);
    check("tests/it/log.rs", "use std::fmt;\n", &["tests/it/log.rs:1: does not open with `//! `"]);
    let long = format!("//! Text.\n{}", "x();\n".repeat(MOST_LINES - 1));
    check("src/log.rs", &long, &[]);
    check("src/log.rs", &format!("{long}\n#[cfg(test)]\nmod tests {{\n}}\n"), &[]);
    let longer = format!("{long}x();\n");
    check("src/log.rs", &longer, &["src/log.rs:501: more than 500 lines without tests"]);
    check("tests/it/log.rs", &longer, &[]);
}

#[test]
fn each_module_has_its_own_use_line() {
    let fault = ["src/log.rs:2: one `use crate::…` line a module"];
    check("src/log.rs", "//! Text.\nuse crate::{store, token};\n", &fault);
    check("src/log.rs", "//! Text.\nuse crate::store::{Fault, Store};\n", &[]);
}

#[test]
fn nothing_is_left_unfinished() {
    check("src/log.rs", "//! SEAM: later\n", &["src/log.rs:1: unfinished: SEAM"]);
    check("src/log.rs", "//! Text.\n// TODO: think\n", &["src/log.rs:2: unfinished: TODO"]);
    check("tests/it/log.rs", "//! Text.\ntodo!()\n", &["tests/it/log.rs:2: unfinished: todo!"]);
    check("src/log.rs", "//! Text.\nlet seamless = MASTODON;\n", &[]);
}

#[test]
fn a_golden_folder_without_claims_is_an_orphan() {
    let golden = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = golden.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    };
    file("metrics.txt");
    file("authority/authority.key");
    file("github/push/claims.json");
    file("github/push/certificate.pem");
    assert_eq!(orphans(golden.path()), [""; 0]);
    file("github/gone/certificate.pem");
    file("github/gone/certificate.txt");
    let found = orphans(golden.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("github/gone: a golden without claims.json"), "{found:?}");
}
