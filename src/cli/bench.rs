//! `mayfly bench`: what an instance does under load, and what this machine could do at best.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::CommandError;
use super::block_on;
use super::client::Client;
use super::out::Out;
use super::requester::Requester;
use floor::Floor;

pub mod cpu;
pub mod floor;

/// Where certificates are asked for.
const PATH: &str = "/api/v2/signingCert";

/// Load an instance with requests, or measure the signatures alone
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mayfly bench --floor\n  \
    curl -s \"$ISSUER/token\" > token; mayfly bench http://127.0.0.1:5555 --token token --pid \"$(pidof mayfly)\"")]
pub struct Args {
    /// The instance to load.
    #[arg(required_unless_present = "floor")]
    url: Option<String>,
    /// A file with a token that the instance accepts; every request uses it.
    #[arg(long, value_name = "FILE", required_unless_present = "floor")]
    token: Option<PathBuf>,
    /// Requests in flight at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// Requests in all.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Send so many a second whatever comes back, instead of the next when one has come back.
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// The server's process on this machine: its CPU time per certificate is reported.
    #[arg(long)]
    pid: Option<u32>,
    /// Measure the five signatures of an issuance on this machine; with a load and --pid, also their
    /// share of the server's CPU
    #[arg(long)]
    floor: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly bench`.
///
/// # Errors
///
/// [`CommandError`] when the instance refuses the token or does not answer.
pub fn run(args: Args) -> Result<(), CommandError> {
    let floor = args.floor.then(measure_floor).transpose()?;
    let mut report = Map::new();
    let mut say = |name: &str, value: Value| report.insert(name.to_owned(), value);
    if let Some(floor) = floor {
        say("floor_us", json!(round(floor)));
    }
    if let (Some(url), Some(token)) = (&args.url, &args.token) {
        let token = std::fs::read_to_string(token)
            .map_err(|error| CommandError::Usage(format!("{}: {error}", token.display())))?;
        let load = block_on(load(&args, url, &token))??;
        load.report(&mut say);
        if let Some(each) = load.cpu_each() {
            say("server_cpu_us", json!(round(each)));
            if let Some(floor) = floor {
                say("share_of_floor_percent", json!(round(100.0 * floor / each)));
            }
        }
        if let Some(memory) = args.pid.and_then(cpu::memory_of_process) {
            say("server_memory_mib", json!(memory >> 20));
        }
    }
    let out = Out::stdout();
    if args.json {
        return out.line(Value::Object(report));
    }
    let lines: Vec<_> =
        report.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    out.print(out.fields(&lines))
}

/// Microseconds of CPU that the floor costs, best of five rounds.
fn measure_floor() -> Result<f64, CommandError> {
    const ROUNDS: u32 = 5;
    const ISSUANCES: u32 = 2000;
    let floor = Floor::new()?;
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let before = cpu::of_self();
        for _ in 0..ISSUANCES {
            std::hint::black_box(floor.run());
        }
        let (Some(before), Some(after)) = (before, cpu::of_self()) else {
            return Err(CommandError::Failed("this system does not tell CPU time".to_owned()));
        };
        best = best.min((after - before).as_secs_f64() * 1e6 / f64::from(ISSUANCES));
    }
    Ok(best)
}

/// What a load did.
#[derive(Default)]
struct Load {
    latencies: Vec<Duration>,
    refused: u64,
    elapsed: Duration,
    server: Option<Duration>,
}

async fn load(args: &Args, url: &str, token: &str) -> Result<Load, CommandError> {
    let client = Arc::new(Client::new(url));
    let body = Requester::new()?.request(token.trim())?;
    let before = args.pid.map(server_cpu).transpose()?;
    let started = Instant::now();
    // Alone, and one of those that were asked for: what is wrong with the token is said once.
    let first = client.post(PATH, body.clone()).await?;
    if first.status != 200 {
        return Err(CommandError::Failed(first.message()));
    }
    let mut load = Load { latencies: vec![started.elapsed()], ..Load::default() };
    let turns =
        Arc::new(Turns { sent: AtomicU64::new(1), started, count: args.count, rate: args.rate });
    let mut callers = JoinSet::new();
    for _ in 0..args.connections {
        callers.spawn(call(Arc::clone(&client), body.clone(), Arc::clone(&turns)));
    }
    while let Some(caller) = callers.join_next().await {
        let (latencies, refused) = caller.map_err(CommandError::failed)??;
        load.latencies.extend(latencies);
        load.refused += refused;
    }
    load.elapsed = started.elapsed();
    let after = args.pid.map(server_cpu).transpose()?;
    load.server = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    load.latencies.sort();
    Ok(load)
}

/// CPU time of the process that `--pid` names.
fn server_cpu(pid: u32) -> Result<Duration, CommandError> {
    cpu::of_process(pid).ok_or_else(|| {
        CommandError::Usage(format!(
            "--pid {pid}: there is no such process, or the system does not tell its CPU time"
        ))
    })
}

/// Whose turn it is: all callers together send `count` requests, in an open loop at `rate`.
struct Turns {
    sent: AtomicU64,
    started: Instant,
    count: u64,
    rate: Option<u32>,
}

impl Turns {
    /// Waits for the next request to be due; yields when that was, or `None` after the last.
    ///
    /// An open loop counts latency from when a request was due, not from when it left: else a server
    /// that stalls would slow the count of its own stalls.
    async fn next(&self) -> Option<Instant> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        if number >= self.count {
            return None;
        }
        let Some(rate) = self.rate else { return Some(Instant::now()) };
        let due = self.started + Duration::from_secs(number) / rate;
        tokio::time::sleep_until(due).await;
        Some(due)
    }
}

/// One connection's requests: latencies of those that were issued, number of those refused.
async fn call(
    client: Arc<Client>,
    body: String,
    turns: Arc<Turns>,
) -> Result<(Vec<Duration>, u64), CommandError> {
    let (mut latencies, mut refused) = (Vec::new(), 0);
    while let Some(due) = turns.next().await {
        match client.post(PATH, body.clone()).await?.status {
            200 => latencies.push(due.elapsed()),
            _ => refused += 1,
        }
    }
    Ok((latencies, refused))
}

impl Load {
    fn report(&self, say: &mut impl FnMut(&str, Value) -> Option<Value>) {
        let issued = self.latencies.len();
        let at = |percent: usize| {
            let index = (issued * percent / 100).min(issued.saturating_sub(1));
            self.latencies.get(index).map(|latency| round(latency.as_secs_f64() * 1e3))
        };
        say("issued", json!(issued));
        say("refused", json!(self.refused));
        say("per_second", json!(round(issued as f64 / self.elapsed.as_secs_f64())));
        for (name, percent) in [("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("max_ms", 100)] {
            say(name, json!(at(percent)));
        }
    }

    /// Microseconds of the server's CPU for one certificate.
    fn cpu_each(&self) -> Option<f64> {
        let issued = self.latencies.len().max(1) as f64;
        self.server.map(|server| server.as_secs_f64() * 1e6 / issued)
    }
}

/// Two digits behind the point are more than a measurement is worth.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
