//! Programs, the real binary first: started as a user would start them, killed as no user would, and never
//! waited for without end.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::patience::PATIENCE;

/// How long one may take that is run to its end.
const RUN: Duration = Duration::from_secs(120);
/// How long a server may take to end that will: some have to fill a disk first.
const LONG: Duration = Duration::from_secs(300);

/// Runs a program to its end, as long as our patience lasts.
pub trait Run {
    /// As [`Command::output`], but with nothing to read. What does not end is killed, with all that it started,
    /// and the test fails.
    #[track_caller]
    fn run(&mut self) -> io::Result<Output>;

    /// The same for one whose stdout leads elsewhere.
    #[track_caller]
    fn run_elsewhere(&mut self) -> io::Result<Output>;
}

impl Run for Command {
    #[track_caller]
    fn run(&mut self) -> io::Result<Output> {
        self.stdout(Stdio::piped()).run_elsewhere()
    }

    #[track_caller]
    fn run_elsewhere(&mut self) -> io::Result<Output> {
        run_within(RUN, self)
    }
}

#[track_caller]
fn run_within(patience: Duration, command: &mut Command) -> io::Result<Output> {
    // A group of its own can be killed whole.
    command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut program = Program::of(command.spawn()?);
    if let Some(output) = program.output_within(patience) {
        return Ok(output);
    }
    kill("KILL", &format!("-{}", program.id()));
    panic!("{command:?} does not end, or what it started; it says:\n{}", program.said())
}

/// Waits until a process whose output is piped has ended by itself.
#[track_caller]
pub fn output_of(child: Child) -> Output {
    let mut program = Program::of(child);
    let Some(output) = program.output() else { panic!("it runs on: {}", program.said()) };
    output
}

/// A running program, and what it says; killed when dropped.
pub struct Program {
    child: Child,
    stdout: Arc<Pipe>,
    stderr: Arc<Pipe>,
}

impl Program {
    /// Starts `command`, with nothing to read.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::of(command.spawn().expect("the program is there"))
    }

    fn of(mut child: Child) -> Self {
        let (stdout, stderr) = (Pipe::of(child.stdout.take()), Pipe::of(child.stderr.take()));
        Self { child, stdout, stderr }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it writes to stdout, each when it is there; none when no more come.
    pub fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let stdout = Arc::clone(&self.stdout);
        let line = move |at| stdout.find(PATIENCE, |told| told.lines().nth(at).map(str::to_owned));
        (0..).map_while(line)
    }

    /// Waits until `find` finds `what` in the lines that it has written to stderr.
    #[track_caller]
    pub fn comes_to_tell<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let Some(found) = self.stderr.find(PATIENCE, find) else {
            panic!("{what:?} is missing in:\n{}", self.said())
        };
        found
    }

    /// All that it has written so far.
    pub fn said(&self) -> String {
        let said = [self.stdout.lock().octets.as_slice(), &self.stderr.lock().octets].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Waits until it has ended, and was heard to the end; none when that takes too long.
    pub fn output(&mut self) -> Option<Output> {
        self.output_within(LONG)
    }

    fn output_within(&mut self, patience: Duration) -> Option<Output> {
        let end = Instant::now() + patience;
        let [stdout, stderr] = [self.stdout.whole(end)?, self.stderr.whole(end)?];
        // Nobody holds its output any more: it has ended, or is about to.
        loop {
            match self.child.try_wait().expect("it is ours") {
                Some(status) => return Some(Output { status, stdout, stderr }),
                None if Instant::now() > end => return None,
                None => std::thread::yield_now(),
            }
        }
    }

    /// SIGKILL, now.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a process has written so far.
#[derive(Default)]
struct Pipe {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    octets: Vec<u8>,
    /// Nothing more can come.
    ended: bool,
}

impl Said {
    /// The lines that are whole; at the end, everything.
    fn text(&self) -> Cow<'_, str> {
        let line_end = self.octets.iter().rposition(|&octet| octet == b'\n');
        let length = if self.ended { self.octets.len() } else { line_end.map_or(0, |at| at + 1) };
        String::from_utf8_lossy(&self.octets[..length])
    }
}

impl Pipe {
    /// Hears all of it, whether or not a test looks: a full pipe must not stop the process.
    fn of(source: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let pipe = Arc::<Self>::default();
        let heard = Arc::clone(&pipe);
        std::thread::spawn(move || {
            if let Some(mut source) = source {
                let _ = io::copy(&mut source, &mut &*heard);
            }
            heard.lock().ended = true;
            heard.changed.notify_all();
        });
        pipe
    }

    /// What `find` finds, sooner or later; none when all was said, or patience is at its end.
    fn find<T>(&self, patience: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut found = None;
        let lacks = |said: &mut Said| {
            found = find(&said.text());
            found.is_none() && !said.ended
        };
        drop(self.changed.wait_timeout_while(self.lock(), patience, lacks));
        found
    }

    /// All of it, once nothing more can come; none when that is not before `end`.
    fn whole(&self, end: Instant) -> Option<Vec<u8>> {
        self.find(end.saturating_duration_since(Instant::now()), |_| None::<()>);
        let said = self.lock();
        said.ended.then(|| said.octets.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("nobody panicked")
    }
}

impl Write for &Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.lock().octets.extend(octets);
        self.changed.notify_all();
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A running `mayfly serve`; killed when dropped.
pub struct Server {
    pub url: String,
    program: Program,
}

impl Server {
    /// Runs `mayfly serve` with `arguments` and waits for the line that says it serves.
    #[track_caller]
    pub fn start(arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_mayfly")).arg("serve").args(arguments))
    }

    /// The same on a disk on which no file grows beyond `kib`: writes fail, as on a full one.
    #[track_caller]
    pub fn start_on_full_disk(kib: u32, arguments: &[impl AsRef<OsStr>]) -> Self {
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" serve \"$@\"");
        let binary = env!("CARGO_BIN_EXE_mayfly");
        Self::run(Command::new("bash").args(["-c", &script, binary]).args(arguments))
    }

    /// The same by a clock that stands at `time` when it starts; none where there is no such clock.
    #[track_caller]
    pub fn start_at(time: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        command.envs(clock_at(time)?).arg("serve").args(arguments);
        Some(Self::run(&mut command))
    }

    #[track_caller]
    fn run(command: &mut Command) -> Self {
        Self::try_run(command).unwrap_or_else(|output| {
            panic!("mayfly serve: {}", String::from_utf8_lossy(&output.stderr));
        })
    }

    /// Runs `command` and waits for the line that says it serves; yields what it said if it ended instead.
    #[track_caller]
    pub fn try_run(command: &mut Command) -> Result<Self, Output> {
        let mut program = Program::start(command);
        let url = |said: &str| {
            said.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned)
        };
        if let Some(url) = program.stdout.find(PATIENCE, url) {
            return Ok(Self { url, program });
        }
        let Some(output) = program.output() else {
            panic!("it neither serves nor ends, and says:\n{}", program.said())
        };
        Err(output)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What it has written to stderr so far; all of it once it has [`ended`](Self::ended).
    pub fn said(&self) -> String {
        self.program.stderr.lock().text().into_owned()
    }

    /// Waits until it has written `text` to stderr.
    #[track_caller]
    pub fn comes_to_say(&self, text: &str) {
        self.comes_to_tell(text, |said| said.contains(text).then_some(()));
    }

    /// Waits until `find` finds `what` in all that it has written to stderr.
    #[track_caller]
    pub fn comes_to_tell<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        self.program.comes_to_tell(what, find)
    }

    /// SIGHUP, now.
    pub fn hang_up(&self) {
        assert!(send("HUP", self.id()), "SIGHUP could not be sent");
    }

    /// Waits until it has ended by itself, and was heard to the end; yields its exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let output = self.program.output();
        let Some(output) = output else { panic!("it does not end, and says:\n{}", self.said()) };
        output.status.code()
    }

    /// SIGKILL, now.
    pub fn kill(&mut self) {
        self.program.kill();
    }
}

/// Sends a signal to a process; whether it was there.
pub fn send(signal: &str, id: u32) -> bool {
    kill(signal, &id.to_string())
}

/// The same to a process, or to a group, whose number is negative.
fn kill(signal: &str, whom: &str) -> bool {
    let sent = Command::new("kill").args(["-s", signal, "--", whom]).run();
    sent.expect("there is a kill").status.success()
}

/// What leaves alone the clock by which timeouts go, since the kernel reads that one too: its name in older
/// and newer versions of libfaketime.
pub const REAL_TIMEOUTS: [&str; 2] = ["FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"];

/// The environment in which a clock stands at `time` when a program starts; none where libfaketime is not
/// installed, and `CI=true` allows no such gap.
pub fn clock_at(time: &str) -> Option<Vec<(&'static str, OsString)>> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let Some(library) = libraries.find(|path| path.is_file()) else {
        super::skip("libfaketime is not installed");
        return None;
    };
    let clock = [("FAKETIME", format!("@{time}").into()), ("TZ", "UTC".into())];
    let real = REAL_TIMEOUTS.map(|name| (name, "1".into()));
    Some(clock.into_iter().chain(real).chain([("LD_PRELOAD", library.into())]).collect())
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A Fulcio issuer file with one issuer, of e-mail addresses, at `url`.
pub fn fulcio_config(folder: &Path, url: &str) -> std::path::PathBuf {
    let yaml = format!(
        "oidc-issuers:\n  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: email\n"
    );
    let file = folder.join("fulcio.yaml");
    std::fs::write(&file, yaml).expect("the folder is there");
    file
}

#[test]
fn what_does_not_end_is_killed_with_all_that_it_started() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let begin = Instant::now();
    // An end of the pipe is the grandchild's, too.
    let fails = std::panic::catch_unwind(move || {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 120 & printf 'a question? ' >&2; wait"]).stdout(writer);
        run_within(Duration::from_secs(2), &mut shell)
    });
    let told = fails.expect_err("it must fail").downcast::<String>().expect("a sentence");
    assert!(told.contains("sleep 120") && told.ends_with("a question? "), "{told}");
    assert_eq!(reader.read_to_end(&mut Vec::new()).expect("its end"), 0);
    assert!(begin.elapsed() < Duration::from_secs(100), "somebody lived on");
}
