//! One connection: TLS or not, HTTP/1 or HTTP/2, from its first octet to its last.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service;

use super::super::envelope::Peer;
use super::line::Line;
use super::outgoing::Outgoing;
use super::pulse::Pulse;
use super::{Limits, Mood, Server, Surroundings};

/// The longest header block, octets.
const HEADERS: usize = 32 << 10;

/// How many headers a request may have.
const HEADER_COUNT: usize = 100;

/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Streams that a peer may open and reset before we read them, and that we may reset for errors of
/// the peer's, before the connection ends: a flood of either costs us more than it costs the peer.
const RESETS: usize = 32;
const ERROR_RESETS: usize = 256;

/// Unread octets that we hold for one stream, and for one connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How often we ask whether the peer is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);

/// For a peer to leave once we asked it to.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves a connection to its end, or to a little after ours.
pub async fn run(
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    mut around: Surroundings,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "the peer is gone already");
        return;
    }
    let Some(tls) = &server.tls else {
        return http(&server, stream, peer, around).await;
    };
    let handshake = timeout(server.limits.handshake, tls.acceptor().accept(stream));
    let handshake = select! {
        handshake = handshake => handshake,
        _ = around.mood.wait_for(|mood| *mood == Mood::Ending) => return,
    };
    match handshake {
        Ok(Ok(stream)) => http(&server, stream, peer, around).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

async fn http<S>(server: &Server, stream: S, peer: SocketAddr, mut around: Surroundings)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &server.limits;
    let pulse = Pulse::new();
    let line = Line::new(stream, pulse.clone(), limits.stall);
    let (heart, outgoing) = (pulse.clone(), Outgoing::new(&around.answers));
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let beat = heart.begin();
        request.extensions_mut().insert(Peer(peer.ip().to_canonical()));
        let answer = server.router.clone().call(request.map(Body::new));
        let outgoing = outgoing.clone();
        async move { answer.await.map(|answer| outgoing.send(answer, beat)) }
    });
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(line), service));

    let mut leave = None;
    loop {
        let mood = *around.mood.borrow_and_update();
        let due = match leave {
            Some(until) => pulse.farewell(until, limits),
            None if mood == Mood::Ending => None,
            None => pulse.due(limits, mood == Mood::Crowded),
        };
        let Some(due) = due else {
            if leave.is_some() {
                return;
            }
            leave = Some(Instant::now() + GOODBYE);
            connection.as_mut().graceful_shutdown();
            continue;
        };
        select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%peer, %error, "the connection broke");
                }
                return;
            }
            _ = around.mood.changed(), if leave.is_none() => {}
            () = sleep_until(due) => {}
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Counts between requests as well; the pulse is what holds headers to their own, shorter time.
        .header_read_timeout(limits.idle)
        .max_buf_size(HEADERS)
        .max_headers(HEADER_COUNT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEADERS).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}
