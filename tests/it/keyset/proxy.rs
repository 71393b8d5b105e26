//! Issuers behind a proxy that knows CONNECT.

use std::net::SocketAddr;
use std::sync::Mutex;

use mayfly::config::{self, Overrides, Proxy};
use mayfly::keyset::ProxyError;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// A proxy whose every tunnel ends at one address, or that opens none.
struct FakeProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl FakeProxy {
    async fn to(target: SocketAddr) -> Self {
        Self::start("200 Connection established", target).await
    }

    async fn start(status: &'static str, target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        let server = tokio::spawn(async move {
            let mut tunnels = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tunnels.spawn(tunnel(stream, status, target, Arc::clone(&kept)));
            }
        });
        Self { address, heads, server }
    }

    /// As a configuration would have it, with `user:password@` before the address.
    fn proxy(&self, user: &str, except: &str) -> Proxy {
        Proxy::Url { url: format!("http://{user}{}", self.address), except: except.to_owned() }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for FakeProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn tunnel(
    stream: TcpStream,
    status: &str,
    target: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap() == 0 {
            return;
        }
    }
    heads.lock().unwrap().push(head);
    let answer = format!("HTTP/1.1 {status}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    if status.starts_with("200") {
        let mut target = TcpStream::connect(target).await.unwrap();
        // Either side may close when it likes.
        let _ = copy_bidirectional(&mut stream, &mut target).await;
    }
}

/// An issuer whose keys are where only the proxy finds them.
fn far(fake: &FakeIssuer) -> Issuer {
    let keys = Keys::Url(fake.url_at("idp.test") + "/keys");
    Issuer { keys, ..trusting(fake, "https://far.example") }
}

fn through(proxy: &Proxy, issuer: Issuer) -> Keyset {
    Keyset::through(proxy, Issuers::new(vec![issuer])).unwrap()
}

fn token(fake: &FakeIssuer) -> String {
    fake.token(json!({ "iss": "https://far.example" }))
}

#[tokio::test]
async fn the_proxy_is_asked_for_a_tunnel_to_the_issuer() {
    let fake = FakeIssuer::start().await;
    let proxy = FakeProxy::to(fake.address()).await;
    let keyset = through(&proxy.proxy("user:pass%20word@", ""), far(&fake));
    verify(&keyset, &token(&fake)).await.unwrap();
    let host = fake.url_at("idp.test").replace("https://", "");
    let head = format!(
        "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\
         Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n\r\n"
    );
    assert_eq!(proxy.heads(), [head]);
    // What the proxy wants to know is not the issuer's business.
    assert_eq!(fake.credentials(), [None]);
}

#[tokio::test]
async fn what_the_proxy_says_is_said_on() {
    let fake = FakeIssuer::start().await;
    let says = async |proxy: &Proxy| match cause(&through(proxy, far(&fake)), &token(&fake)).await {
        FetchError::Proxy(ProxyError { reason, .. }) => reason,
        other => panic!("{other}"),
    };
    let refusals = [
        ("407 Proxy Authentication Required", "proxy authorization required"),
        ("403 Forbidden", "unsuccessful"),
    ];
    for (status, reason) in refusals {
        let proxy = FakeProxy::start(status, fake.address()).await;
        assert_eq!(says(&proxy.proxy("", "")).await, reason);
    }
    let gone = FakeProxy::to(fake.address()).await.proxy("secret:secret@", "");
    let reason = says(&gone).await;
    assert!(reason.to_lowercase().contains("connection refused"), "{reason}");
    assert_eq!(fake.connections(), 0);
}

#[tokio::test]
async fn some_are_asked_straight() {
    let fake = FakeIssuer::start().await;
    let proxy = FakeProxy::to(fake.address()).await;
    for except in ["idp.test", "a.example, .test", "*"] {
        let keyset = through(&proxy.proxy("", except), far(&fake));
        let expected = FetchError::Resolve(ResolveError::NoAddress);
        assert_eq!(cause(&keyset, &token(&fake)).await, expected, "{except}");
    }
    assert_eq!(proxy.heads().len(), 0);
}

#[tokio::test]
async fn the_file_names_the_proxy_and_loopback_is_never_behind_it() {
    let fake = FakeIssuer::start().await;
    let proxy = FakeProxy::to(fake.address()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), fake.ca_pem()).unwrap();
    let (near, far, address) = (fake.url(), fake.url_at("idp.test"), proxy.address);
    let yaml = format!(
        "proxy: http://{address}\nissuers:\n  - {{ url: {near}, type: kubernetes, ca: ca.pem }}\n  \
         - {{ url: https://far.example, type: kubernetes, ca: ca.pem, keys: {{ url: {far}/keys }} }}\n"
    );
    let file = folder.path().join("mayfly.yaml");
    std::fs::write(&file, yaml).unwrap();
    let config = config::load(&file, &Overrides::default()).unwrap();
    let keyset = Keyset::through(&config.proxy, config.issuers.clone()).unwrap();
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    assert_eq!(proxy.heads().len(), 0);
    verify(&keyset, &token(&fake)).await.unwrap();
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn an_address_that_nobody_may_have_is_refused_before_the_proxy_is_asked() {
    let fake = FakeIssuer::start().await;
    let proxy = FakeProxy::to(fake.address()).await;
    let keys = Keys::Url("https://169.254.169.254/keys".to_owned());
    let keyset = through(&proxy.proxy("", ""), Issuer { keys, ..far(&fake) });
    let expected = ResolveError::OutOfReach("169.254.169.254".parse().unwrap()).into();
    assert_eq!(cause(&keyset, &token(&fake)).await, expected);
    assert_eq!(proxy.heads().len(), 0);
}
