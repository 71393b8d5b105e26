//! The real binary, started as a user would start it, and killed as no user would.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How long a server may take to say what it must.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one may take to end that will: some have to fill a disk first.
const LONG: Duration = Duration::from_secs(300);

/// A running `mayfly serve`; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    stderr: Arc<Stderr>,
}

/// What a process has written to stderr.
#[derive(Default)]
struct Stderr {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    text: String,
    /// Nothing more can come.
    ended: bool,
}

impl Stderr {
    /// Hears all of it, whether or not a test looks: a full pipe must not stop the server.
    fn hear(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.lock().text += &(line + "\n");
            self.changed.notify_all();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// What `find` finds, sooner or later; none when all was said, or patience is at its end.
    fn find<T>(&self, patience: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut found = None;
        let lacks = |said: &mut Said| {
            found = find(&said.text);
            found.is_none() && !said.ended
        };
        drop(self.changed.wait_timeout_while(self.lock(), patience, lacks));
        found
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("nobody panicked")
    }
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
    pub fn try_run(command: &mut Command) -> Result<Self, Output> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("stdout is text");
        let url = line.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned);
        let Some(url) = url else { return Err(child.wait_with_output().expect("it ends")) };
        let stderr = Arc::<Stderr>::default();
        let (pipe, heard) = (child.stderr.take().expect("piped"), Arc::clone(&stderr));
        std::thread::spawn(move || heard.hear(pipe));
        Ok(Self { child, url, stderr })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr so far; all of it once it has [`ended`](Self::ended).
    pub fn said(&self) -> String {
        self.stderr.lock().text.clone()
    }

    /// Waits until it has written `text` to stderr.
    #[track_caller]
    pub fn comes_to_say(&self, text: &str) {
        self.comes_to_tell(text, |said| said.contains(text).then_some(()));
    }

    /// Waits until `find` finds `what` in all that it has written to stderr.
    #[track_caller]
    pub fn comes_to_tell<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = self.stderr.find(PATIENCE, find);
        found.unwrap_or_else(|| panic!("it does not say {what:?} but:\n{}", self.said()))
    }

    /// SIGHUP, now.
    pub fn hang_up(&self) {
        assert!(send("HUP", self.child.id()), "SIGHUP could not be sent");
    }

    /// Waits until it has ended by itself, and was heard to the end; yields its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.stderr.find(LONG, |_| None::<()>);
        assert!(self.stderr.lock().ended, "it does not end, and says:\n{}", self.said());
        self.child.wait().expect("it ends").code()
    }

    /// SIGKILL, now.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; that is the test's business.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process; whether it was there.
pub fn send(signal: &str, id: u32) -> bool {
    let sent = Command::new("kill").args(["-s", signal, &id.to_string()]).output();
    sent.expect("there is a kill").status.success()
}

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
    // Timeouts go by the other clock, which the kernel reads too.
    let real = ["FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"];
    let real = real.map(|name| (name, "1".into()));
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
