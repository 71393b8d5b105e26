//! Callers that do not come to the point.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::bench::{Answer, Bench};
use super::{Expect, Row};

const SLOW: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_to_the_point_is_withstood() {
    super::withstand(rows()).await;
}

pub fn rows() -> Vec<Row> {
    vec![
        Row::course("HT-010", Expect::TurnedAway, "too large", |bench| Box::pin(flood(bench)))
            .within(32),
        Row::course("RS-001", Expect::Issued, "", |bench| Box::pin(crawl(bench))),
    ]
}

/// 300 MB, as long as nobody answers.
async fn flood(bench: &Bench) -> Answer {
    let chunk = vec![b' '; 1 << 16];
    let count = 300_000_000 / chunk.len();
    bench.stream(count * chunk.len(), std::iter::repeat_n(chunk, count)).await
}

/// One octet of a header in a second, on many connections.
async fn crawl(bench: &Bench) -> Answer {
    let mut streams = Vec::new();
    for _ in 0..SLOW {
        let mut stream = bench.connect().await;
        let head = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nx-slow: ", bench.authority());
        stream.write_all(head.as_bytes()).await.expect("sent");
        streams.push(stream);
    }
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..6 {
        seconds.tick().await;
        for stream in &mut streams {
            // It may have hung up on them; that is its right.
            let _ = stream.write_all(b"a").await;
        }
        let answer = tokio::time::timeout(Duration::from_secs(10), bench.post(&bench.good())).await;
        let answer = answer.expect("RS-001: a good request waits for slow ones");
        assert!(answer.certificate().is_some(), "RS-001: {answer:?}");
    }
    bench.post(&bench.good()).await
}
