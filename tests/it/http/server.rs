//! The accept loop and its clocks, with routes of the test's own behind them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::{get, post};
use mayfly::config;
use mayfly::http::Peer;
use mayfly::http::server::Limits;
use mayfly::http::tls::{Tls, TlsError};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::files::Files;
use super::wire::{Answer, PATIENCE, Running, drained};
use crate::support::patience::{soon, until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
/// HTTP/2's preface, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn hello() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/peer", get(async |Extension(Peer(ip)): Extension<Peer>| ip.to_string()))
        .route("/echo", post(async |body: Bytes| body))
        .route("/panic", get(async || -> &'static str { panic!("the test wants it so") }))
}

/// A route that waits until the test lets it go on.
fn gate() -> (Router, Arc<Semaphore>, Arc<Semaphore>) {
    let (inside, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (entered, left) = (Arc::clone(&inside), Arc::clone(&leave));
    let wait = async move || {
        entered.add_permits(1);
        left.acquire().await.unwrap().forget();
        "done"
    };
    (hello().route("/gate", get(wait)), inside, leave)
}

fn short(limits: impl FnOnce(&mut Limits)) -> Limits {
    let mut all = Limits::default();
    limits(&mut all);
    all
}

/// Limits under which the test alone looks at the TLS files.
fn unwatched() -> Limits {
    short(|limits| limits.look = Duration::from_secs(3600))
}

const SHORT: Duration = Duration::from_millis(300);

/// Reads one answer of a connection that stays open.
async fn one(stream: &mut TcpStream) -> Answer {
    let mut octets = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let n = timeout(PATIENCE, stream.read(&mut chunk)).await.unwrap().unwrap();
        octets.extend_from_slice(&chunk[..n]);
        let answer = Answer::parse(&octets);
        let whole = answer.filter(|answer| {
            answer.header("content-length") == Some(answer.body.len().to_string().as_str())
        });
        if let Some(answer) = whole {
            return answer;
        }
        assert_ne!(n, 0, "the answer breaks off");
    }
}

#[tokio::test]
async fn serves_one_connection_many_times_and_knows_the_peer() {
    let server = Running::start(hello()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(GET).await.unwrap();
        assert_eq!(one(&mut stream).await.text(), "hello");
    }
    assert_eq!(server.get("/peer").await.text(), "127.0.0.1");
    drop(stream);
    assert_eq!(server.ended().await, 0);
}

/// Opens a connection, says `words`, and says nothing more until the server hangs up.
async fn falls_silent_after(words: &[u8], limits: Limits) {
    let server = Running::start_with(hello(), None, limits).await;
    let mut stream = server.connect().await;
    stream.write_all(words).await.unwrap();
    let began = Instant::now();
    drained(&mut stream).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(server.get("/").await.text(), "hello");
    server.ended().await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_let_go() {
    let limits = short(|limits| limits.headers = SHORT);
    tokio::join!(
        falls_silent_after(b"", limits),
        falls_silent_after(b"G", limits),
        falls_silent_after(b"PRI", limits),
        falls_silent_after(b"GET / HTTP/1.1\r\nhost: te", limits),
        falls_silent_after(PREFACE, limits),
    );
}

#[tokio::test]
async fn a_peer_that_wants_nothing_more_is_let_go() {
    falls_silent_after(GET, short(|limits| limits.idle = SHORT)).await;
}

#[tokio::test]
async fn a_later_request_gets_no_more_time_than_the_first() {
    let limits = short(|limits| limits.headers = SHORT);
    let server = Running::start_with(hello(), None, limits).await;
    let mut stream = server.connect().await;
    let began = Instant::now();
    while began.elapsed() < 3 * SHORT {
        stream.write_all(GET).await.unwrap();
        one(&mut stream).await;
    }
    stream.write_all(b"GET / HT").await.unwrap();
    drained(&mut stream).await;
}

#[tokio::test]
async fn slow_headers_are_cut_even_while_they_trickle() {
    let limits = short(|limits| limits.headers = SHORT);
    let server = Running::start_with(hello(), None, limits).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while write.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    });
    drained(&mut read).await;
    timeout(PATIENCE, trickle).await.unwrap().unwrap();
}

#[tokio::test]
async fn oversized_headers_are_431() {
    let server = Running::start(hello()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: test\r\nx: {}\r\n\r\n", "x".repeat(40 << 10));
    assert_eq!(server.ask(long.as_bytes()).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert_eq!(server.ask(many.as_bytes()).await.status, 431);
    assert_eq!(server.get("/").await.status, 200);
}

#[tokio::test]
async fn two_lengths_are_refused() {
    let server = Running::start(hello()).await;
    let smuggled = b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\
        content-length: 6\r\n\r\nhello!GET / HTTP/1.1\r\n\r\n";
    assert_eq!(server.ask(smuggled).await.status, 400);
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_smuggle() {
    let server = Running::start(hello()).await;
    let smuggled = b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\
        transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /peer HTTP/1.1\r\nhost: test\r\n\r\n";
    let mut stream = server.connect().await;
    stream.write_all(smuggled).await.unwrap();
    let heard = String::from_utf8(drained(&mut stream).await).unwrap();
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_at_most() {
    let server = Running::start(hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /panic HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    drained(&mut stream).await;
    assert_eq!(server.get("/").await.text(), "hello");
    assert_eq!(server.ended().await, 0);
}

/// A frame of HTTP/2 that asks for `/`, on `stream`.
fn request_frame(stream: u32) -> Vec<u8> {
    // `:method GET`, `:scheme http`, `:path /`, `:authority test`: the whole block, and of the stream.
    let block = b"\x82\x86\x84\x41\x04test";
    [&[0, 0, 9, 1, 5][..], &stream.to_be_bytes(), block].concat()
}

/// The same, taken back before there was an answer.
fn request_and_reset(stream: u32) -> Vec<u8> {
    let (id, cancel) = (stream.to_be_bytes(), 8_u32.to_be_bytes());
    [&request_frame(stream)[..], &[0, 0, 4, 3, 0], &id, &cancel].concat()
}

/// The kinds of the frames in `octets`, and the error code of the last GOAWAY.
fn frames(mut octets: &[u8]) -> (Vec<u8>, Option<u32>) {
    let (mut kinds, mut error) = (Vec::new(), None);
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = octets {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        kinds.push(*kind);
        if *kind == GOAWAY {
            error = Some(u32::from_be_bytes(rest[4..8].try_into().unwrap()));
        }
        octets = rest.get(length..).unwrap_or_default();
    }
    (kinds, error)
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0are you?";

/// Pings for as long as the peer takes it: the connection ends without an error all the same, after
/// the answer to what was asked.
async fn is_told_to_go_though_it_pings(mut read: OwnedReadHalf, mut write: OwnedWriteHalf) {
    let pinging = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while write.write_all(PING).await.is_ok() {
            ticks.tick().await;
        }
    });
    let (kinds, error) = frames(&drained(&mut read).await);
    assert!(kinds.contains(&HEADERS), "no answer: {kinds:?}");
    assert_eq!(error, Some(0), "{kinds:?}");
    timeout(PATIENCE, pinging).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_peer_is_told_to_go_however_much_it_pings() {
    let server = Running::start_with(hello(), None, short(|limits| limits.idle = SHORT)).await;
    let (read, mut write) = server.connect().await.into_split();
    write.write_all(PREFACE).await.unwrap();
    write.write_all(&request_frame(1)).await.unwrap();
    is_told_to_go_though_it_pings(read, write).await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let server = Running::start(hello()).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let flood: Vec<u8> = (0..5000).flat_map(|n| request_and_reset(2 * n + 1)).collect();
    let flooding = tokio::spawn(async move {
        let _ = write.write_all(PREFACE).await;
        let _ = write.write_all(&flood).await;
        write
    });
    let heard = drained(&mut read).await;
    const ENHANCE_YOUR_CALM: u32 = 11;
    assert_eq!(frames(&heard).1, Some(ENHANCE_YOUR_CALM));
    soon("the flood ends", flooding).await.unwrap();
    assert_eq!(server.get("/").await.text(), "hello");
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_place() {
    let server = Running::start_with(hello(), None, short(|limits| limits.connections = 1)).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.unwrap();
    one(&mut first).await;

    let mut second = server.connect().await;
    second.write_all(GET_AND_CLOSE).await.unwrap();
    let early = timeout(SHORT, second.readable()).await;
    assert!(early.is_err(), "the second connection was served while the first had the only place");

    drop(first);
    assert_eq!(Answer::read(&mut second).await.text(), "hello");
}

#[tokio::test]
async fn whoever_wants_nothing_has_to_go_when_there_is_hardly_room() {
    let limits = short(|limits| {
        (limits.connections, limits.crowded) = (2, SHORT);
        limits.headers = Duration::from_secs(60);
    });
    let server = Running::start_with(hello(), None, limits).await;
    let (mut idle, mut silent) = (server.connect().await, server.connect().await);
    idle.write_all(GET).await.unwrap();
    one(&mut idle).await;
    silent.write_all(b"GET / HT").await.unwrap();
    assert_eq!(server.get("/").await.text(), "hello");
}

#[tokio::test]
async fn whoever_says_nothing_does_not_keep_us_from_ending() {
    let limits = short(|limits| limits.headers = Duration::from_secs(60));
    let server = Running::start_with(hello(), None, limits).await;
    let mut silent = Vec::new();
    for words in [&b""[..], b"GET / HT", PREFACE, GET] {
        let mut stream = server.connect().await;
        stream.write_all(words).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(server.get("/").await.text(), "hello");
    let began = Instant::now();
    assert_eq!(server.ended().await, 0);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn requests_under_way_finish_after_the_end() {
    let (router, inside, leave) = gate();
    let mut server = Running::start(router).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /gate HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut idle = server.connect().await;
    idle.write_all(GET).await.unwrap();
    one(&mut idle).await;
    soon("the request", inside.acquire()).await.unwrap().forget();

    server.tell_to_end();
    assert_eq!(drained(&mut idle).await, b"");
    let refused = TcpStream::connect(server.address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    leave.add_permits(1);
    assert_eq!(Answer::read(&mut stream).await.text(), "done");
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn requests_that_do_not_finish_are_cut() {
    let (router, inside, _leave) = gate();
    let server = Running::start_with(router, None, short(|limits| limits.drain = SHORT)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /gate HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    soon("the request", inside.acquire()).await.unwrap().forget();
    assert_eq!(server.ended().await, 1);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut() {
    let long = Router::new().route("/", get(async || vec![b'x'; 32 << 20]));
    let server = Running::start_with(long, None, short(|limits| limits.stall = SHORT)).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    // The server gives up by itself: it ends without having to cut anything.
    let began = Instant::now();
    soon("the answer begins", stream.readable()).await.unwrap();
    assert_eq!(server.ended().await, 0);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// SETTINGS that let no octet of any answer through.
const SHUT: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";

#[tokio::test]
async fn a_peer_that_takes_nothing_of_an_answer_is_let_go() {
    let limits = short(|limits| limits.stall = SHORT);
    let server = Running::start_with(hello(), None, limits).await;
    let (read, mut write) = server.connect().await.into_split();
    write.write_all(&[PREFACE, SHUT, &request_frame(1)].concat()).await.unwrap();
    is_told_to_go_though_it_pings(read, write).await;
}

/// Shakes hands with a client that trusts `root` alone, and says what it speaks.
async fn handshake(
    server: &Running,
    root: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = server.connect().await;
    soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

#[tokio::test]
async fn tls_takes_up_new_files_and_keeps_the_old_ones_when_they_are_broken() {
    let files = Files::new();
    let first = Files::renew(&files.paths);
    let tls = Tls::open(&files.paths).unwrap();
    let server = Running::start_with(hello(), Some(tls.clone()), unwatched()).await;

    let mut stream = handshake(&server, &first, &["http/1.1"]).await.unwrap();
    stream.write_all(GET_AND_CLOSE).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.text(), "hello");
    assert_eq!(tls.refresh(), Ok(false));

    // Another pair's certificate with this pair's key.
    let key = std::fs::read(&files.paths.key).unwrap();
    Files::renew(&files.paths);
    std::fs::write(&files.paths.key, key).unwrap();
    assert!(matches!(tls.refresh(), Err(TlsError::Unusable(_))));
    assert_eq!(tls.refresh(), Ok(false), "one broken change is one error");
    assert!(handshake(&server, &first, &["h2"]).await.is_ok());

    // A key that came with its time, or was set back, is as long and as old as the one before.
    let key = std::fs::File::open(&files.paths.key).unwrap();
    let written = key.metadata().unwrap().modified().unwrap();
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(key.metadata().unwrap().len(), pem.len() as u64);
    std::fs::write(&files.paths.key, pem).unwrap();
    let key = std::fs::File::options().append(true).open(&files.paths.key).unwrap();
    key.set_modified(written).unwrap();
    assert!(matches!(tls.refresh(), Err(TlsError::Unusable(_))));

    std::fs::write(&files.paths.certificate, "nothing").unwrap();
    assert!(matches!(tls.refresh(), Err(TlsError::NoCertificate(_))));
    std::fs::remove_file(&files.paths.certificate).unwrap();
    assert!(matches!(tls.refresh(), Err(TlsError::Unreadable { .. })));
    assert!(handshake(&server, &first, &["h2"]).await.is_ok());

    let second = Files::renew(&files.paths);
    assert_eq!(tls.refresh(), Ok(true));
    assert!(handshake(&server, &second, &["h2"]).await.is_ok());
    assert!(handshake(&server, &first, &["h2"]).await.is_err());
}

#[tokio::test]
async fn tls_sees_a_symbolic_link_that_points_elsewhere() {
    let files = Files::new();
    let in_folder = |folder: &Path| config::Tls {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    };
    let (old, new) = (files.folder("..2026_01"), files.folder("..2026_02"));
    Files::renew(&in_folder(&old));
    let renewed = Files::renew(&in_folder(&new));
    let link = files.path().join("..data");
    std::os::unix::fs::symlink(&old, &link).unwrap();

    let tls = Tls::open(&in_folder(&link)).unwrap();
    let server = Running::start_with(hello(), Some(tls.clone()), unwatched()).await;
    let swap = files.path().join("..data_tmp");
    std::os::unix::fs::symlink(&new, &swap).unwrap();
    std::fs::rename(&swap, &link).unwrap();
    assert_eq!(tls.refresh(), Ok(true));
    assert!(handshake(&server, &renewed, &["h2"]).await.is_ok());
}

#[tokio::test]
async fn tls_is_followed_while_it_serves() {
    let files = Files::new();
    Files::renew(&files.paths);
    let tls = Tls::open(&files.paths).unwrap();
    let limits = short(|limits| limits.look = Duration::from_millis(20));
    let server = Running::start_with(hello(), Some(tls), limits).await;
    let renewed = Files::renew(&files.paths);
    let taken_up = async || handshake(&server, &renewed, &["h2"]).await.is_ok();
    until("the new certificate is taken up", taken_up).await;
}

#[tokio::test]
async fn tls_agrees_on_the_protocol() {
    let files = Files::new();
    let root = Files::renew(&files.paths);
    let tls = Tls::open(&files.paths).unwrap();
    let server = Running::start_with(hello(), Some(tls), Limits::default()).await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"][..], Some(&b"http/1.1"[..])),
        (&[][..], None),
    ] {
        let stream = handshake(&server, &root, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let files = Files::new();
    Files::renew(&files.paths);
    let tls = Tls::open(&files.paths).unwrap();
    let limits = short(|limits| limits.handshake = SHORT);
    let server = Running::start_with(hello(), Some(tls), limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"\x16\x03\x01").await.unwrap();
    drained(&mut stream).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    drained(&mut stream).await;
}
