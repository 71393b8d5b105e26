//! A client that says exactly what it is told to say, octet for octet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use mayfly::http::server::{Limits, Server};
use mayfly::http::tls::Tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::patience::soon;

/// After this a test has failed, not become slow.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port; it ends when told to.
pub struct Running {
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    server: JoinHandle<usize>,
}

impl Running {
    pub async fn start(router: Router) -> Self {
        Self::start_with(router, None, Limits::default()).await
    }

    pub async fn start_with(router: Router, tls: Option<Tls>, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let end_of_test = async move {
            let _ = ended.await;
        };
        let server = Server { router, tls, limits };
        let server = tokio::spawn(server.serve(listener, end_of_test));
        Self { address, end: Some(end), server }
    }

    pub async fn connect(&self) -> TcpStream {
        soon("a connection", TcpStream::connect(self.address)).await.unwrap()
    }

    /// Tells the server to end, without waiting for it.
    pub fn tell_to_end(&mut self) {
        drop(self.end.take());
    }

    /// Waits for the end; yields how many connections were cut.
    pub async fn ended(mut self) -> usize {
        self.tell_to_end();
        timeout(PATIENCE, self.server).await.expect("the server does not end").unwrap()
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        soon("the request is taken", stream.write_all(request)).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// `GET path` on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        self.ask(request.as_bytes()).await
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads until the peer hangs up.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Self {
        let octets = drained(stream).await;
        Self::parse(&octets)
            .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&octets)))
    }

    pub fn parse(octets: &[u8]) -> Option<Self> {
        let end = octets.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&octets[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Some(Self { status, headers: headers.collect(), body: octets[end + 4..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Everything until the peer hangs up, however it does that.
pub async fn drained(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chunk = [0; 4096];
    let read = async {
        while let Ok(n @ 1..) = stream.read(&mut chunk).await {
            octets.extend_from_slice(&chunk[..n]);
        }
    };
    timeout(PATIENCE, read).await.expect("the peer does not hang up");
    octets
}
