//! What ten thousand issuers and a thousand patterns cost: at the start, at a reload, and per request.
//!
//! `cargo bench --bench issuers` prints each, and whether a start stays under two seconds.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use mayfly::config::{self, Changes, Config, Overrides};
use mayfly::issuer::Issuers;
use mayfly::keyset::Keyset;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUERS: usize = 10_000;
const PATTERNS: usize = 1_000;
const LOOKUPS: u32 = 20_000;

/// What a start may take.
const START: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let file = folder.path().join("mayfly.yaml");
    let certificate = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a CA");
    std::fs::write(folder.path().join("ca.pem"), certificate.cert.pem()).expect("a CA file");
    std::fs::write(&file, yaml()).expect("a configuration");

    let begun = Instant::now();
    let config =
        config::load(&file, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let read = begun.elapsed();
    let keyset = Keyset::through(&config.proxy, config.issuers.clone()).expect("TLS");
    let start = begun.elapsed();
    println!("{ISSUERS} issuers and {PATTERNS} patterns");
    println!("  configuration read           {:>9.1} ms", millis(read));
    println!("  ready to fetch keys          {:>9.1} ms", millis(start - read));
    // Without optimization the parser alone takes as long.
    let verdict = if start < START { "within" } else { "over" };
    println!("a start is {verdict} the {START:?} that it may take");
    reload(&config, &keyset);

    lookups(&config.issuers, "found by URL", |at| format!("https://i{at}.example.com"));
    lookups(&config.issuers, "found by pattern", |at| {
        format!("https://x.p{}.example.com", at % PATTERNS)
    });
    lookups(&config.issuers, "found by none", |at| format!("https://x.example.org/{at}"));
    suggestions(&config.issuers);
}

/// 1,000 patterns on hosts of their own, the issuers, half of them with a CA of their own.
fn yaml() -> String {
    let mut yaml = "issuers:\n".to_owned();
    for at in 0..ISSUERS {
        let ca = if at % 2 == 0 { ", ca: ca.pem" } else { "" };
        let url = format!("https://i{at}.example.com");
        writeln!(yaml, "- {{url: '{url}', type: email{ca}}}").expect("memory");
    }
    for at in 0..PATTERNS {
        let url = format!("https://*.p{at}.example.com");
        writeln!(yaml, "- {{url: '{url}', type: email, allow: anybody}}").expect("memory");
    }
    yaml
}

/// The same file once more, as after SIGHUP.
fn reload(config: &Config, keyset: &Keyset) {
    let begun = Instant::now();
    let successor = keyset.successor(&config.proxy, config.issuers.clone()).expect("TLS");
    let changes = Changes::between(config, config);
    println!("  reload, beside the reading   {:>9.1} ms", millis(begun.elapsed()));
    black_box((successor, changes));
}

/// What a refusal of an unknown issuer adds.
fn suggestions(issuers: &Issuers) {
    let urls: Vec<String> = (0..200).map(|at| format!("https://i{at}.example.org")).collect();
    let begun = Instant::now();
    urls.iter().for_each(|url| {
        black_box(issuers.nearest(black_box(url)));
    });
    let each = begun.elapsed() / 200;
    println!("  {:<28} {:>9.3} µs", "\"did you mean\"", each.as_secs_f64() * 1e6);
}

fn lookups(issuers: &Issuers, what: &str, url: impl Fn(usize) -> String) {
    let urls: Vec<String> = (0..ISSUERS).map(url).collect();
    let begun = Instant::now();
    for url in urls.iter().cycle().take(LOOKUPS as usize) {
        black_box(issuers.find(black_box(url)));
    }
    let each = begun.elapsed() / LOOKUPS;
    println!("  {what:<28} {:>9.3} µs", each.as_secs_f64() * 1e6);
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
