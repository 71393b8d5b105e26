//! Looking after a log, with the real binary: `serve --read-only`, `log fsck`, `log backup`, the mark.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mayfly::cli::client::Client;
use mayfly::cli::requester::Requester;
use mayfly::ct::judge::{Judge, Sighting};
use mayfly::record::words;
use mayfly::store::index::Index;
use mayfly::store::{Store, sqlite};
use mayfly::time::{Clock, SystemClock};
use mayfly::tlog::merkle::Hash;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::issuer::FakeIssuer;
use crate::support::patience::PATIENCE;
use crate::support::process::{Run as _, Server, free_port, fulcio_config, send};
use crate::support::shard;

/// An instance in a folder, with one URL for all of its life.
struct Bench {
    issuer: FakeIssuer,
    folder: TempDir,
    url: String,
}

impl Bench {
    async fn new() -> Self {
        let issuer = FakeIssuer::start_plain().await;
        let folder = tempfile::tempdir().unwrap();
        fulcio_config(folder.path(), &issuer.url());
        Self { issuer, folder, url: format!("http://127.0.0.1:{}", free_port()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the log, by how its name ends.
    fn log(&self, extension: &str) -> PathBuf {
        shard::database(&self.path("data")).with_extension(extension)
    }

    /// `mayfly command` for this instance: exit code, stdout, stderr.
    fn run(&self, command: &[&str], listen: bool) -> (i32, String, String) {
        let output = self.command(command, listen).run().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code().unwrap(), out, err)
    }

    fn command(&self, command: &[&str], listen: bool) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        run.args(command).args(self.source(listen));
        run
    }

    fn source(&self, listen: bool) -> Vec<String> {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let mut source = vec!["--fulcio-config".to_owned(), path("fulcio.yaml")];
        source.extend(["--data".to_owned(), path("data"), "--url".to_owned(), self.url.clone()]);
        if listen {
            let address = self.url.strip_prefix("http://").unwrap().to_owned();
            source.extend(["--allow-anybody".to_owned(), "--listen".to_owned(), address]);
        }
        source
    }

    fn serve(&self, more: &[&str]) -> Server {
        let more = more.iter().map(|it| (*it).to_owned());
        Server::start(&self.source(true).into_iter().chain(more).collect::<Vec<_>>())
    }

    /// Asks for a certificate: status and answer.
    async fn ask(&self) -> (u16, Value) {
        let claims = json!({ "email": "alice@example.com", "email_verified": true });
        let token = self.issuer.token_at(SystemClock.now().as_secs(), claims);
        let body = Requester::new().and_then(|it| it.request(&token)).unwrap();
        let answer = Client::new(&self.url).post("/api/v2/signingCert", body).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    /// Issues so many certificates, and stops; killed, as the worst that may happen.
    async fn issued(self, certificates: usize) -> Self {
        let mut server = self.serve(&[]);
        for _ in 0..certificates {
            assert_eq!(self.ask().await.0, 200);
        }
        server.kill();
        self
    }

    fn damage(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.log("sqlite")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// The tiles as they lie there.
    fn tiles(&self) -> Vec<(u8, i64, Vec<u8>)> {
        let connection = rusqlite::Connection::open(self.log("sqlite")).unwrap();
        let tiles = "SELECT level, idx, hashes FROM tiles ORDER BY level, idx";
        let mut tiles = connection.prepare(tiles).unwrap();
        let tiles = tiles.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        tiles.unwrap().map(Result::unwrap).collect()
    }

    /// Downloads what the log serves, as any reader may.
    async fn mirror(&self, folder: &Path) {
        let client = Client::new(&self.url);
        let log = format!("/ct/{}", shard::name(&self.path("data")));
        let download = async |path: &str| {
            let octets = client.get(&format!("{log}/{path}")).await.unwrap();
            let file = folder.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &octets).unwrap();
            octets
        };
        let checkpoint = download("checkpoint").await;
        let head = Sighting::of(std::str::from_utf8(&checkpoint).unwrap(), None).unwrap().1;
        let mut judge = Judge::new(head, None).unwrap();
        while let Some(wanted) = judge.wants() {
            judge.take(&download(&wanted.to_string()).await).unwrap();
        }
        judge.verdict().unwrap();
    }

    /// Verifies a mirror of the log, by the key that the instance has told.
    fn verify(&self, mirror: &Path) -> String {
        let (trust, state) = (self.path("trust"), self.path("visit.json"));
        let [trust, state, mirror] = [&trust, &state, mirror].map(|it| it.to_str().unwrap());
        assert_eq!(self.run(&["trust", "export", trust], false).0, 0);
        let mut verify = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        verify.args(["log", "verify", mirror, "--state", state, "--key"]);
        let output = verify.arg(self.path("trust/ct.pem")).run().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fsck(&self, more: &[&str], code: i32) -> String {
        let (exit, out, err) = self.run(&[&["log", "fsck"], more].concat(), false);
        assert_eq!(exit, code, "{out}{err}");
        out + &err
    }
}

/// The whole answer, as it comes.
pub fn raw(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// P4: the whole story of a copy that is put back.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_evidence_and_not_a_way_back() {
    let bench = Bench::new().await.issued(2).await;
    let file = bench.path("copy.sqlite");
    let backup = || bench.run(&["log", "backup", file.to_str().unwrap()], false);
    let server = bench.serve(&[]);
    let (code, out, err) = backup();
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("2 certificates") && out.contains("It is no way back"), "{out}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, err) = backup();
    assert!(code == 2 && err.contains("exists already"), "{code}: {err}");
    let left = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let names = left(bench.folder.path());

    assert_eq!(bench.ask().await.0, 200);
    drop(server);
    for leftover in ["sqlite-wal", "sqlite-shm"] {
        let _ = fs::remove_file(bench.log("sqlite").with_extension(leftover));
    }
    fs::copy(&file, bench.log("sqlite")).unwrap();
    let (code, _, err) = bench.run(&["serve"], true);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("an old copy of the database was put back"), "{err}");
    let (code, out, _) = bench.run(&["check", "--live"], false);
    assert!(code == 1 && out.contains("an old copy of the database"), "{out}");
    assert!(bench.fsck(&[], 1).contains("an old copy of the database"));
    let (code, _, err) = bench.run(&["log", "fsck", "--accept-head"], false);
    assert!(code == 1 && err.contains("this head is not accepted"), "{err}");
    assert_eq!(left(bench.folder.path()), names);

    // As docs/operating.md says: these files are enough to look into it, and the signature log as it is.
    let look = bench.path("look");
    fs::create_dir_all(look.join("ct")).unwrap();
    fs::create_dir(look.join("timestamp")).unwrap();
    fs::create_dir(look.join("tlog")).unwrap();
    for file in fs::read_dir(bench.path("data").join("tlog")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), look.join("tlog").join(file.file_name())).unwrap();
    }
    let timestamps = format!("timestamp/{}.pem", SystemClock.now().year());
    for name in ["authority.pem", "authority.key", &timestamps] {
        fs::copy(bench.path("data").join(name), look.join(name)).unwrap();
    }
    let mark = bench.log("mark");
    let year = mark.file_stem().unwrap().to_str().unwrap();
    for name in ["key", "note.key"].map(|it| format!("ct/{year}.{it}")) {
        fs::copy(bench.path("data").join(&name), look.join(&name)).unwrap();
    }
    fs::copy(&file, look.join(format!("ct/{year}.sqlite"))).unwrap();
    let mut search = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    search.args(["log", "search", "alice@example.com", "--url", &bench.url]);
    search.arg("--fulcio-config").arg(bench.path("fulcio.yaml")).arg("--data").arg(&look);
    let found = search.run().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert!(String::from_utf8_lossy(&found.stdout).contains("alice@example.com"));

    // It is served, and its trust files are written, without the TUF repository and the key of the timestamps.
    let looked = |listen| {
        let data = bench.path("data").to_str().unwrap().to_owned();
        let of = |it: String| if it == data { look.to_str().unwrap().to_owned() } else { it };
        bench.source(listen).into_iter().map(of).collect::<Vec<_>>()
    };
    let mut export = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    let export = export.args(["trust", "export"]).arg(bench.path("trust")).args(looked(false));
    let export = export.run().unwrap();
    let err = String::from_utf8_lossy(&export.stderr);
    assert!(export.status.success() && err.contains("no root.json: "), "{err}");
    for (file, is_there) in [("rekor.pem", true), ("tsa.pem", true), ("root.json", false)] {
        assert_eq!(bench.path("trust").join(file).exists(), is_there, "{file}");
    }
    let read_only = ["--read-only".to_owned()];
    let served = Server::start(&looked(true).into_iter().chain(read_only).collect::<Vec<_>>());
    assert!(raw(&served.url, "/trusted_root.json").starts_with("HTTP/1.1 200"));
    assert!(raw(&served.url, "/tuf/1.root.json").starts_with("HTTP/1.1 404"));
    drop(served);

    // For reading it is good.
    let server = bench.serve(&["--read-only"]);
    server.comes_to_say("an old copy of the database was put back");
    let (status, answer) = bench.ask().await;
    assert_eq!((status, &answer["details"][0]["reason"]), (503, &json!("READ_ONLY")), "{answer}");
    let ready = raw(&server.url, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("serves its logs for reading only"),
        "{ready}"
    );
    assert!(Client::new(&server.url).get("/trusted_root.json").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_lost_is_made_anew_on_demand_alone() {
    let bench = Bench::new().await.issued(1).await;
    fs::remove_file(bench.log("mark")).unwrap();
    let (code, _, err) = bench.run(&["serve"], true);
    assert!(code == 1 && err.contains("is its disk mounted?"), "{err}");
    let shard = shard::name(&bench.path("data"));
    assert!(err.contains(&format!("--accept-head --shard ct/{shard}`")), "{err}");
    assert!(bench.fsck(&[], 1).contains("is missing or unreadable"));
    assert!(bench.fsck(&["--accept-head"], 0).contains("accepted as the newest: entry 0, of 20"));
    assert!(!bench.fsck(&["--accept-head"], 0).contains("was made anew"), "it is there");
    let _server = bench.serve(&[]);
    assert_eq!(bench.ask().await.0, 200);
    let (code, _, err) = bench.run(&["log", "fsck", "--accept-head"], false);
    assert!(code == 1 && err.contains("is in use by another process"), "{err}");
}

/// Where database and mark are old or gone, the index may know better.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_the_search_index_knows_better_is_not_accepted() {
    let bench = Bench::new().await.issued(1).await;
    let mark = bench.log("mark");
    let year = mark.file_stem().unwrap().to_str().unwrap();
    fs::remove_file(&mark).unwrap();
    let ct = |name: String| bench.path("data/ct").join(name);
    let (file, index) = (ct(format!("{year}.sqlite")), ct(format!("{year}.index.sqlite")));
    let owner = sqlite::owner(&file).unwrap();
    let last = |store: &dyn Store| store.leaf_hashes(0..1).unwrap()[0];
    let true_one = last(&sqlite::open_read_only(&file).unwrap());
    for (words, last) in [(2, true_one), (1, Hash([7; 32]))] {
        Index::remove(&index).unwrap();
        let words = vec![String::new(); words];
        Index::open(&index, &owner).unwrap().add(0, &words, last).unwrap();
        let (code, _, err) = bench.run(&["log", "fsck", "--accept-head"], false);
        assert!(code == 1 && err.contains("the search index"), "{code}: {err}");
        assert!(err.contains("this head is not accepted"), "{err}");
    }
    Index::remove(&index).unwrap();
    let word = words::leaf(&true_one);
    Index::open(&index, &owner).unwrap().add(0, &[word], true_one).unwrap();
    bench.fsck(&["--accept-head"], 0);
    // One that fits, and does not find what it says it has.
    Index::remove(&index).unwrap();
    Index::open(&index, &owner).unwrap().add(0, &[String::new()], true_one).unwrap();
    let said = bench.fsck(&[], 1);
    assert!(said.contains("it does not have entry 0, which it says it has"), "{said}");
    let (code, found, err) = bench.run(&["log", "search", "alice@example.com", "--json"], false);
    assert_eq!((code, found.lines().count()), (0, 1), "{found}{err}");
}

/// `log.mark` was set, and the file is still where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_was_not_moved_along_is_found() {
    let bench = Bench::new().await.issued(1).await;
    let old = bench.log("mark");
    let year = old.file_stem().unwrap().to_str().unwrap().to_owned();
    let (issuer, url) = (bench.issuer.url(), &bench.url);
    let config = format!(
        "url: {url}\nlisten: {}\ndata: data\nlog:\n  mark: head\nissuers:\n  - url: {issuer}\n    type: email\n    allow: [ {{ email: alice@example.com }} ]\n",
        url.strip_prefix("http://").unwrap()
    );
    let file = bench.path("mayfly.yaml");
    fs::write(&file, config).unwrap();
    let run = |command: &[&str]| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_mayfly"));
        let output = run.args(command).arg("--config").arg(&file).run().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    for command in [&["serve"] as &[_], &["log", "fsck"], &["log", "fsck", "--accept-head"]] {
        let (code, said) = run(command);
        // Wrapped on some ways.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 1 && said.contains("there is one at"), "{command:?}: {said}");
        assert!(said.contains(&format!("head-{year}")), "{said}");
    }
    fs::rename(&old, bench.path(&format!("head-{year}"))).unwrap();
    let (code, said) = run(&["log", "fsck"]);
    assert_eq!(code, 0, "{said}");
}

/// What may not be written is no broken disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_this_user_may_not_write_is_said_to_be_one() {
    let bench = Bench::new().await;
    let mut server = bench.serve(&[]);
    assert!(send("TERM", server.id()));
    assert_eq!(server.ended(), Some(0), "{}", server.said());
    let mayfly = bench.path("mayfly");
    fs::copy(env!("CARGO_BIN_EXE_mayfly"), &mayfly).unwrap();
    let (folder, log) = (bench.folder.path(), bench.path("data/ct"));
    let us = fs::metadata(folder).unwrap().uid();
    // Root may write everywhere.
    let user = if us == 0 { 65534 } else { us };
    if us == 0 {
        let gave = Command::new("chown").args(["-R", &user.to_string()]).arg(folder).run();
        assert!(gave.unwrap().status.success());
    }
    let allow = |mode| fs::set_permissions(&log, PermissionsExt::from_mode(mode)).unwrap();
    allow(0o555);
    for command in [["log", "search"], ["log", "fsck"], ["check", "--live"]] {
        let mut run = Command::new(&mayfly);
        let output = run.args(command).args(bench.source(false)).arg("--allow-anybody").uid(user);
        let output = output.run().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("is not writable by this user"), "{command:?}: {said}");
        assert!(!said.contains("look at the disk"), "{command:?}: {said}");
    }
    allow(0o755);
}

/// What a careless hand deletes beside a running server is there again at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_deleted_beside_the_server_is_made_anew() {
    let bench = Bench::new().await.issued(1).await;
    let mut server = bench.serve(&[]);
    fs::remove_file(bench.log("mark")).unwrap();
    assert_eq!(bench.ask().await.0, 200);
    assert!(send("TERM", server.id()));
    assert_eq!(server.ended(), Some(0), "{}", server.said());
    server.comes_to_say("stopped: the log is closed");
    assert!(bench.fsck(&[], 0).contains("everything holds"));
    let _server = bench.serve(&[]);
    assert_eq!(bench.ask().await.0, 200);
}

/// P21: what can be derived is made anew, what cannot is said; beside a server as well.
#[tokio::test(flavor = "multi_thread")]
async fn fsck_says_what_does_not_hold_and_repairs_what_can_be() {
    let bench = Bench::new().await.issued(0).await;
    let server = bench.serve(&[]);
    let asks: Vec<_> = (0..260).map(|_| bench.ask()).collect();
    for ask in asks {
        assert_eq!(ask.await.0, 200);
    }
    let report: Value = serde_json::from_str(&bench.fsck(&["--json"], 0)).unwrap();
    assert_eq!((&report["ok"], &report["size"]), (&json!(true), &json!(260)));
    let (code, _, err) = bench.run(&["log", "fsck", "--repair"], false);
    assert!(code == 1 && err.contains("is in use by another process"), "{err}");
    let mirror = bench.path("mirror");
    bench.mirror(&mirror).await;
    drop(server);

    let tiles = bench.tiles();
    bench.damage("UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0; DELETE FROM tiles WHERE level = 1");
    let found = bench.fsck(&[], 1);
    assert!(found.contains("tile 0 of level 0") && found.contains("tile 0 of level 1"), "{found}");
    assert!(found.contains("2 tiles can be made anew"), "{found}");
    let repaired = bench.fsck(&["--repair"], 0);
    assert!(
        repaired.contains("2 tiles made anew") && repaired.contains("everything holds"),
        "{repaired}"
    );
    assert_eq!(bench.tiles(), tiles, "other octets");
    bench.damage("DELETE FROM tiles");
    Index::remove(&bench.log("index.sqlite")).unwrap();
    bench.fsck(&["--repair"], 0);
    assert_eq!(bench.tiles(), tiles, "other octets");
    let mut server = bench.serve(&[]);
    let (code, found, _) =
        bench.run(&["log", "search", "alice@example.com", "--limit", "1"], false);
    assert!(code == 0 && found.contains("alice@example.com"), "{found}");
    server.kill();
    let verified = bench.verify(&mirror);
    assert!(verified.contains("260"), "{verified}");

    bench.damage("UPDATE entries SET record = 'x' WHERE idx = 0; UPDATE entries SET leaf = zeroblob(9) WHERE idx = 7");
    let found = bench.fsck(&["--repair"], 1);
    assert!(found.contains("the precertificate of entry 7"), "{found}");
    assert!(found.contains("never made up"), "{found}");

    // What does not hold is no backup; and nothing is left of the attempt.
    let file = bench.path("copies/copy.sqlite");
    let backup = || bench.run(&["log", "backup", file.to_str().unwrap()], false);
    let (code, _, err) = backup();
    assert!(code == 1 && err.contains("copies does not exist: make it first"), "{err}");
    fs::create_dir(bench.path("copies")).unwrap();
    let (code, _, err) = backup();
    assert!(code == 1 && err.contains("the copy does not hold, and was not kept"), "{err}");
    assert_eq!(fs::read_dir(bench.path("copies")).unwrap().count(), 0);
}

/// What is kept of an attempt has to fit its certificate. Where it does not, fsck says so, and everybody
/// still sees what the certificate says.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_edited_is_said_to_be_damaged() {
    let bench = Bench::new().await.issued(2).await;
    for (edit, why) in [
        ("json_set(record, '$.time', '2020-01-01T00:00:00Z')", "was at 2020-01-01T00:00:00Z"),
        ("json_set(record, '$.result', 'refused')", "says that it was refused"),
        ("'no JSON'", "is unreadable"),
        ("CAST(x'ff' AS TEXT)", "is unreadable"),
    ] {
        bench.damage(&format!("UPDATE entries SET record = {edit} WHERE idx = 0"));
        let report: Value = serde_json::from_str(&bench.fsck(&["--json"], 1)).unwrap();
        let found = report["found"].as_array().unwrap();
        let said = found[0].as_str().unwrap();
        assert!(said.contains("entry 0: ") && said.contains(why), "{edit}: {said}");
        assert_eq!(found.len(), 1, "{edit}: {found:?}");
    }
    let search = |form: &[&str]| {
        let (code, out, err) =
            bench.run(&[&["log", "search", "alice@example.com"], form].concat(), false);
        assert_eq!(code, 0, "{err}");
        assert_eq!(
            out.lines().filter(|line| line.contains("alice@example.com")).count(),
            2,
            "{out}"
        );
        out
    };
    assert_eq!(search(&[]).matches("issued (record damaged)").count(), 1);
    assert!(search(&["--csv"]).contains("what was kept of the attempt is unreadable"));
    let found = search(&["--json"]);
    let damaged: Value = serde_json::from_str(found.lines().nth(1).unwrap()).unwrap();
    assert!(damaged["damaged"].is_string() && damaged["issuer"] == bench.issuer.url(), "{damaged}");
    let (code, out, err) = bench.run(&["log", "show", "0"], false);
    assert!(code == 0 && out.contains("damaged") && out.contains("is unreadable"), "{out}{err}");
}
