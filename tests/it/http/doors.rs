//! The texts, run against an authority; and the two doors that text cannot knock at.

use std::sync::Arc;

use mayfly::http::server::Limits;
use mayfly::http::{App, router};
use tokio::io::AsyncWriteExt;

use super::authority::TestAuthority;
use super::script;
use super::wire::{Answer, Running};

async fn start() -> (TestAuthority, Running) {
    let test = TestAuthority::start().await;
    let app = App::new(Arc::clone(&test.authority));
    let server = Running::start_with(router(app), None, Limits::default()).await;
    (test, server)
}

async fn run(name: &str) {
    let (test, server) = start().await;
    script::run(name, &[("issuer", test.issuer.url())], &server).await;
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn routes() {
    run("routes.txt").await;
}

#[tokio::test]
async fn requests() {
    run("requests.txt").await;
}

#[tokio::test]
async fn envelope() {
    run("envelope.txt").await;
}

#[tokio::test]
async fn limits() {
    run("limits.txt").await;
}

#[tokio::test]
async fn an_endless_upload_gets_an_answer_and_is_not_kept() {
    let (_test, server) = start().await;
    let (mut read, mut write) = server.connect().await.into_split();
    let upload = tokio::spawn(async move {
        let head = "POST /api/v2/signingCert HTTP/1.1\r\nhost: test\r\n\
            transfer-encoding: chunked\r\n\r\n";
        write.write_all(head.as_bytes()).await.unwrap();
        let chunk = [b"10000\r\n", &vec![b' '; 0x10000][..], b"\r\n"].concat();
        let mut sent = 0;
        while sent < 300 << 20 && write.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let answer = Answer::read(&mut read).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("request body too large"));
    upload.await.unwrap();
}
