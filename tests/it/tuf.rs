//! The TUF repository of the real binary, followed by unmodified clients: from the first day, through new
//! files and new keys, to a year later.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use mayfly::cli::client::Client;
use mayfly::time::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::clients::{clients, installed};
use crate::support::patience::PATIENCE;
use crate::support::process::{Run as _, Server, clock_at, free_port, fulcio_config};
use crate::upkeep::raw;

/// An instance that comes and goes, with the first root that clients were given.
struct Bench {
    folder: TempDir,
    listen: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fulcio_config(folder.path(), "https://idp.example.com");
        Self { folder, listen: format!("127.0.0.1:{}", free_port()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// What tells commands which instance.
    fn source(&self) -> Vec<OsString> {
        let (config, data) = (self.path("fulcio.yaml"), self.path("data"));
        let words = [("--fulcio-config", config.into()), ("--data", data.into())];
        let words = words.into_iter().flat_map(|(flag, value)| [flag.into(), value]);
        words.chain(["--allow-anybody", "--listen", &self.listen].map(OsString::from)).collect()
    }

    #[track_caller]
    fn run(&self, command: &[&str]) -> String {
        let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        said(&mayfly.args(command).args(self.source()).run().unwrap())
    }

    /// Serves, and gives clients their first root.
    fn serve(&self) -> Server {
        let server = Server::start(&self.source());
        self.run(&["trust", "export", self.path("trust").to_str().unwrap()]);
        server
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = Client::new(&self.url()).get(path).await.ok()?;
        serde_json::from_slice(&answer).ok()
    }

    /// Has the server look at its folder until what is at `path` is as wanted.
    async fn comes_to(&self, server: &Server, path: &str, wanted: impl Fn(&Value) -> bool) {
        let comes = async {
            while !self.get(path).await.is_some_and(|it| wanted(&it)) {
                server.hang_up();
            }
        };
        let came = tokio::time::timeout(PATIENCE, comes).await;
        assert!(came.is_ok(), "{path}: {:?}\n{}", self.get(path).await, server.said());
    }

    /// Makes new keys, and waits for them to be used.
    async fn rotate(&self, server: &Server, version: u64) {
        self.run(&["rotate", "tuf"]);
        self.comes_to(server, &format!("/tuf/{version}.root.json"), |_| true).await;
    }

    /// The first line that begins so, of what users are told to paste.
    #[track_caller]
    fn snippet(&self, tool: &str, begins: &str) -> String {
        let snippet = self.run(&["trust", "snippets", tool]);
        let line = snippet.lines().find(|line| line.starts_with(begins));
        line.unwrap_or_else(|| panic!("{begins}: {snippet}")).to_owned()
    }

    /// A client's arguments: the repository, the first root, and what it knows.
    fn arguments(&self, state: &str) -> [OsString; 3] {
        let root = self.path("trust/root.json");
        [format!("{}/tuf", self.url()).into(), root.into(), self.path(state).into()]
    }
}

#[track_caller]
fn said(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{out}{err}");
    out
}

/// python-tuf, which judges every version; by a clock that stands at `time`, if there is one.
struct Judge<'a> {
    python: PathBuf,
    bench: &'a Bench,
}

impl Judge<'_> {
    #[track_caller]
    fn update(&self, state: &str, time: Option<&str>) -> ([u64; 4], Value) {
        let mut command = Command::new(&self.python);
        command.arg(clients().join("python/update.py")).args(self.bench.arguments(state));
        command.envs(time.and_then(clock_at).unwrap_or_default());
        let has: Value = serde_json::from_str(&said(&command.run().unwrap())).unwrap();
        let versions = serde_json::from_value(has["versions"].clone()).unwrap();
        (versions, has)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_tuf_follows_new_files_new_keys_and_the_years() {
    let Some(python) = installed("sigstore-python", ".cache/python/bin/python") else { return };
    let bench = Bench::new();
    let judge = Judge { python, bench: &bench };
    let mut server = bench.serve();
    let (first, has) = judge.update("old", None);
    assert_eq!(first[0], 1);
    for (name, path) in
        [("trusted_root", "/trusted_root.json"), ("signing_config", "/signing_config.json")]
    {
        assert_eq!(Some(&has[name]), bench.get(path).await.as_ref(), "{name}");
    }
    let root = fs::read(bench.path("trust/root.json")).unwrap();
    for path in ["/tuf/root.json", "/tuf/1.root.json"] {
        assert_eq!(bench.get(path).await, serde_json::from_slice(&root).ok(), "{path}");
    }

    // A key more for verifiers.
    bench.run(&["rotate", "timestamp"]);
    let version = |metadata: &Value| metadata["signed"]["version"].as_u64().unwrap();
    bench.comes_to(&server, "/tuf/timestamp.json", |it| version(it) > first[3]).await;
    let (second, has) = judge.update("old", None);
    assert!(first.iter().zip(&second).skip(1).all(|(first, second)| first < second));
    assert_eq!(has["trusted_root"]["timestampAuthorities"].as_array().unwrap().len(), 2);

    // Other keys for the repository, twice: with and without having seen those in between.
    bench.rotate(&server, 2).await;
    let (third, _) = judge.update("old", None);
    assert_eq!((second[0], third[0]), (1, 2));
    bench.rotate(&server, 3).await;
    for state in ["old", "new"] {
        let (fourth, has) = judge.update(state, None);
        assert_eq!(fourth[0], 3, "{state}");
        assert!(third[3] < fourth[3], "{state}");
        assert_eq!(has["trusted_root"]["timestampAuthorities"].as_array().unwrap().len(), 2);
    }
    server.kill();

    let year = Duration::from_secs(366 * 24 * 60 * 60);
    let later = SystemClock.now().plus(year).to_string().replace('T', " ").replace('Z', "");
    let Some(_server) = Server::start_at(&later, &bench.source()) else { return };
    for state in ["old", "newest"] {
        let (last, _) = judge.update(state, Some(&later));
        assert!(last[0] == 3 && third.iter().zip(&last).skip(1).all(|(third, last)| third < last));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_is_initialized_with_the_repository() {
    let named = ["cosign", "cosign-2", "cosign-3"].map(|name| format!(".cache/bin/{name}"));
    let there: Vec<_> = named.iter().filter(|file| clients().join(file).exists()).collect();
    for file in if there.is_empty() { named.iter().take(1).collect() } else { there } {
        let Some(cosign) = installed("cosign", file) else { return };
        let bench = Bench::new();
        let server = bench.serve();
        let initialize = |state: &str| {
            let [repository, root, state] = bench.arguments(state);
            let mut command = Command::new(&cosign);
            command.arg("initialize").arg("--mirror").arg(repository).arg("--root").arg(root);
            said(&command.env("TUF_ROOT", &state).env("HOME", bench.folder.path()).run().unwrap());
            let known = find(Path::new(&state), "targets/trusted_root.json");
            serde_json::from_slice::<Value>(&fs::read(known).unwrap()).ok()
        };
        let root = bench.get("/trusted_root.json").await;
        assert_eq!(initialize("old"), root, "{file}");
        bench.rotate(&server, 2).await;
        for state in ["old", "new"] {
            assert_eq!(initialize(state), root, "{file}, {state}");
        }
    }
}

/// The file below `folder` whose path ends so.
fn find(folder: &Path, end: &str) -> PathBuf {
    let below = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = below.map(|path| path.join(end)).filter(|path| path.exists());
    files.last().unwrap_or_else(|| panic!("there is no {end} in {}", folder.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sigstore_python_trusts_the_instance_by_its_repository() {
    let Some(python) = installed("sigstore-python", ".cache/python/bin/python") else { return };
    let bench = Bench::new();
    let server = bench.serve();
    let line = bench.snippet("sigstore-python", "sigstore --instance ");
    let line = line.replacen("sigstore", &format!("{} -m sigstore", python.display()), 1);
    let trust = || {
        let mut command = Command::new("bash");
        command.args(["-c", &line]).env("HOME", bench.path("home"));
        said(&command.current_dir(bench.path("trust")).run().unwrap());
    };
    trust();
    bench.rotate(&server, 2).await;
    trust();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigstore_js_follows_the_repository() {
    let package = installed("sigstore-js", "js/node_modules/@sigstore/tuf/package.json");
    if package.is_none() {
        return;
    }
    let bench = Bench::new();
    let server = bench.serve();
    let update = |state: &str| -> Value {
        let mut command = Command::new("node");
        command.arg(clients().join("js/update.cjs")).args(bench.arguments(state));
        serde_json::from_str(&said(&command.run().unwrap())).unwrap()
    };
    let root = bench.get("/trusted_root.json").await.unwrap();
    let id = |root: &Value| root["ctlogs"][0]["logId"]["keyId"].clone();
    assert_eq!(id(&update("old")), id(&root));
    bench.rotate(&server, 2).await;
    for state in ["old", "new"] {
        assert_eq!(id(&update(state)), id(&root), "{state}");
    }
}

#[test]
fn what_new_keys_have_not_signed_yet_is_said_where_all_is_only_read() {
    let bench = Bench::new();
    let mut server = bench.serve();
    server.kill();
    bench.run(&["rotate", "tuf"]);
    let server = Server::start(&[bench.source(), vec!["--read-only".into()]].concat());
    server.comes_to_say("has new keys that have signed nothing yet");
    let ready = raw(&bench.url(), "/readyz");
    let stamps = r#""part":"timestamps","reason":"this instance serves its logs for reading only"#;
    for reason in ["has new keys that have signed nothing yet", stamps] {
        assert!(ready.contains(reason), "{ready}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_to_expire_is_said() {
    let bench = Bench::new();
    let mut server = bench.serve();
    server.kill();
    let later = |days: u64| {
        let time = SystemClock.now().plus(Duration::from_secs(days * 24 * 60 * 60));
        time.to_string().replace('T', " ").replace('Z', "")
    };
    // One that signs, and one that only reads what the first one has signed.
    let read_only = [bench.source(), vec!["--read-only".into()]].concat();
    for (arguments, days, warns) in
        [(&read_only, 2, false), (&read_only, 4, true), (&bench.source(), 4, false)]
    {
        let Some(_server) = Server::start_at(&later(days), arguments) else { return };
        let ready = raw(&bench.url(), "/readyz");
        assert_eq!(
            ready.contains("the TUF repository is about to expire"),
            warns,
            "{days}: {ready}"
        );
        let metrics = raw(&bench.url(), "/metrics");
        let end = |of: &str| -> u64 {
            let line = format!("mayfly_expiry_timestamp_seconds{{of=\"{of}\"}} ");
            let end = metrics.lines().find_map(|it| it.strip_prefix(&line));
            end.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
        };
        let now = SystemClock.now().as_secs() + days * 24 * 60 * 60;
        // The time of the server goes on, by seconds.
        assert_eq!(end("tuf") <= now + 60, warns, "{metrics}");
        assert!(end("authority") > now, "{metrics}");
        // How much is issued is for those who may read the logs.
        assert_eq!(metrics.matches("mayfly_").count(), 4, "{metrics}");
    }
}

/// Where nothing can be signed anew, as on a full disk, what is in force is served.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_is_served_while_nothing_can_be_signed() {
    let bench = Bench::new();
    let mut server = bench.serve();
    let signed = bench.get("/tuf/timestamp.json").await.expect("a repository");
    server.kill();
    // What is written is called so first, and folders are in its way; another chain is to be told of.
    for unfinished in ["data/tuf/.new", "data/tuf/targets/.new"] {
        std::fs::create_dir(bench.path(unfinished)).unwrap();
    }
    bench.run(&["rotate", "authority"]);
    let server = Server::start(&bench.source());
    server.comes_to_say("the TUF repository: ");
    assert_eq!(bench.get("/tuf/timestamp.json").await, Some(signed));
    assert!(bench.get("/tuf/root.json").await.is_some());
    let root = bench.get("/trusted_root.json").await.unwrap();
    assert_eq!(root["certificateAuthorities"].as_array().unwrap().len(), 2);
}

/// An old copy of the repository is not gone on from: clients have seen newer roots.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_the_repository_is_refused() {
    let bench = Bench::new();
    let mut server = bench.serve();
    bench.rotate(&server, 2).await;
    server.kill();
    let tuf = bench.path("data/tuf");
    for new in ["2.root.json", "2.key", "2.online.key"] {
        std::fs::remove_file(tuf.join(new)).unwrap();
    }
    for command in [&["serve"][..], &["rotate", "tuf"]] {
        let mut mayfly = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let refused = mayfly.args(command).args(bench.source()).run().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            refused.status.code() == Some(1) && said.contains("tuf.newest remembers root 2"),
            "{said}"
        );
    }
}
