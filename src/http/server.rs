//! The port: who may connect, how long they may take, and how it ends.
//!
//! The accept loop is our own, because each of its parts guards against something: the cap on
//! connections against exhaustion (those over it wait in the kernel's queue; when few places are left,
//! whoever wants nothing has to go), `peers` against one peer that has them all, `TCP_NODELAY` against
//! gRPC stalling on delayed acknowledgements, the pause after a failed `accept` against a busy loop
//! when descriptors run out, and the clocks of `connection` against peers that say nothing, slowly.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::budget::Budget;
use super::tls::Tls;

mod connection;
mod line;
mod outgoing;
mod peers;
mod pulse;

use peers::Peers;

/// How long to leave `accept` alone after it failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(500);

/// The most connections at once, where the system allows that many.
const CONNECTIONS: usize = 4096;

/// File descriptors that are not for connections: the store, the issuers and the operator need some
/// when a crowd has all the others.
const RESERVED: usize = 256;

/// How much of us a peer may have, and for how long; how often we look.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the connection, or the first octet of a request, to the end of its headers.
    pub headers: Duration,
    /// Between requests. Longer than load balancers keep their connections (60 s), so that it is they
    /// who close them.
    pub idle: Duration,
    /// Between requests, or before one's headers are whole, while few connections are left for others.
    pub crowded: Duration,
    /// For the peer to take some of what we write, or of an answer.
    pub stall: Duration,
    /// For requests under way to end when we do.
    pub drain: Duration,
    /// Between two looks at the TLS files.
    pub look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: connections(&limits_of_process()),
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            crowded: Duration::from_secs(2),
            stall: Duration::from_secs(30),
            drain: Duration::from_secs(25),
            look: Duration::from_secs(3),
        }
    }
}

/// Linux's table of our limits; empty elsewhere.
fn limits_of_process() -> String {
    std::fs::read_to_string("/proc/self/limits").unwrap_or_default()
}

/// How many connections the descriptors are enough for.
fn connections(limits: &str) -> usize {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    soft.map_or(CONNECTIONS, |soft| {
        soft.saturating_sub(RESERVED).max(soft / 4).clamp(1, CONNECTIONS)
    })
}

/// What goes on around a connection.
#[derive(Clone)]
struct Surroundings {
    mood: watch::Receiver<Mood>,
    /// What all answers hold that have not left yet.
    answers: Arc<Budget>,
}

/// How welcome a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// There is room.
    Open,
    /// There is hardly any left.
    Crowded,
    /// We leave.
    Ending,
}

/// What is served, and how.
pub struct Server {
    /// Every route.
    pub router: Router,
    /// The certificate, unless a proxy has it.
    pub tls: Option<Tls>,
    /// How much of us a peer may have.
    pub limits: Limits,
}

/// Serves `router` on `listener` until `end`, with the usual [`Limits`]; see [`Server::serve`]. Says so
/// if connections had to be cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    end: impl Future<Output = ()>,
) {
    let server = Server { router, tls, limits: Limits::default() };
    let connections = server.serve(listener, end).await;
    if connections > 0 {
        tracing::warn!(connections, "cut, because their requests did not end in time");
    }
}

impl Server {
    /// Accepts connections until `end`, then lets the requests under way finish. Yields how many
    /// connections had to be cut when their time was up.
    pub async fn serve(self, listener: TcpListener, end: impl Future<Output = ()>) -> usize {
        let limits = self.limits;
        let mut background = JoinSet::new();
        if let Some(tls) = self.tls.clone() {
            background.spawn(tls.follow(limits.look));
        }
        let (mood, watched) = watch::channel(Mood::Open);
        let around = Surroundings { mood: watched, answers: Arc::default() };
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        let peers = Arc::new(Peers::new(limits.connections));

        let places = Arc::new(Semaphore::new(limits.connections));
        let mut end = pin!(end);
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, accept(&listener).await)
            };
            let (place, (stream, peer)) = select! {
                biased;
                () = &mut end => break,
                next = next => next,
            };
            while connections.try_join_next().is_some() {}
            let crowded = places.available_permits() < limits.connections.div_ceil(8);
            let now = if crowded { Mood::Crowded } else { Mood::Open };
            mood.send_if_modified(|mood| std::mem::replace(mood, now) != now);
            let Some(admitted) = peers.admit(peer.ip()) else {
                tracing::debug!(%peer, "the peer has too many connections already");
                continue;
            };
            let run = connection::run(Arc::clone(&server), stream, peer, around.clone());
            connections.spawn(async move {
                run.await;
                drop((place, admitted));
            });
        }

        drop(listener);
        mood.send_replace(Mood::Ending);
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(limits.drain, all).await;
        let cut = connections.len();
        connections.shutdown().await;
        cut
    }
}

/// The next connection. A peer that gave up in the queue is passed over; anything else that keeps
/// `accept` from working will not be better at once.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(open_files: &str, expected: usize) {
        let limits = format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max processes             95808                95808                processes \n\
             Max open files            {open_files}                 1048576              files     \n"
        );
        assert_eq!(connections(&limits), expected);
    }

    #[test]
    fn a_crowd_leaves_descriptors_for_the_rest_of_us() {
        check("1048576", 4096);
        check("1024", 768);
        check("256", 64);
        check("2", 1);
        check("unlimited", 4096);
        assert_eq!(connections(""), 4096);
        assert!(connections(&limits_of_process()) > 0);
    }
}
