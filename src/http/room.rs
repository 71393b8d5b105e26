//! What all bodies together may hold, and how long one may take to arrive.
//!
//! Each route bounds its own bodies; thousands of them at their bound would still be more memory than
//! a machine has. Every octet of a body takes a place as it arrives, and gives it back when the answer
//! leaves. Nobody waits for a place: a body that finds none gets the answer that we are too busy.
//!
//! Attack: a few bodies of megabytes that never end. The first octets of a body have places that the
//! later ones cannot take, so that what people send (some 10 KiB) gets in while such bodies are held.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::budget::Budget;
use super::problem::Problem;

/// The octets of bodies that we hold at once.
const OCTETS: usize = 192 << 20;

/// The first octets of a body: most bodies have no more, and may fill all of the room.
const FIRST: usize = 16 << 10;

/// The next ones: room for the longest token and chain. They may fill five parts of six, all others
/// four.
const NEXT: usize = 128 << 10;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The room for all bodies.
pub struct Room {
    held: Arc<Budget>,
    octets: usize,
    patience: Duration,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(OCTETS, PATIENCE)
    }
}

impl Room {
    fn new(octets: usize, patience: Duration) -> Self {
        Self { held: Arc::default(), octets, patience }
    }

    /// Has `body` take room as it arrives, and arrive in time. What it took is given back when both
    /// the body and its share are dropped.
    pub fn receive(&self, body: Body) -> (Body, Share) {
        let held = Held {
            all: Arc::clone(&self.held),
            room: self.octets,
            octets: AtomicUsize::new(0),
            fault: OnceLock::new(),
        };
        let share = Share(Arc::new(held));
        if body.is_end_stream() {
            return (body, share);
        }
        let late = Box::pin(sleep(self.patience));
        (Body::new(Measured { body, late, share: share.clone() }), share)
    }
}

/// What one request takes of the room.
#[derive(Clone)]
pub struct Share(Arc<Held>);

struct Held {
    all: Arc<Budget>,
    room: usize,
    octets: AtomicUsize,
    fault: OnceLock<Fault>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.give(self.octets.load(Ordering::Acquire));
    }
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("there is no room for the body")]
    NoRoom,
    #[error("the body did not arrive in time")]
    Late,
}

impl Share {
    /// What to answer when the body was not read to its end, whatever the route made of that.
    pub fn problem(&self) -> Option<Problem> {
        self.0.fault.get().map(|fault| match fault {
            Fault::NoRoom => Problem::overloaded(),
            Fault::Late => Problem::body_too_slow(),
        })
    }

    fn take(&self, octets: usize) -> Result<(), Fault> {
        let held = &self.0;
        let sum = held.octets.load(Ordering::Acquire).saturating_add(octets);
        let bound = if sum <= FIRST {
            held.room
        } else if sum <= NEXT {
            held.room / 6 * 5
        } else {
            held.room / 6 * 4
        };
        if !held.all.take(octets, bound) {
            return Err(Fault::NoRoom);
        }
        held.octets.store(sum, Ordering::Release);
        Ok(())
    }

    fn fail(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let fault = self.0.fault.get_or_init(|| fault);
        Poll::Ready(Some(Err(axum::Error::new(*fault))))
    }
}

/// A body under the eye of its [`Share`].
struct Measured {
    body: Body,
    late: Pin<Box<Sleep>>,
    share: Share,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return match self.late.as_mut().poll(cx) {
                Poll::Ready(()) => self.share.fail(Fault::Late),
                Poll::Pending => Poll::Pending,
            };
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        // The end of a body takes nothing, however full it has become meanwhile.
        match data.map_or(Ok(()), |data| self.share.take(data.len())) {
            Ok(()) => Poll::Ready(frame),
            Err(fault) => self.share.fail(fault),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_is_held_is_given_back() {
        let room = Room::new(8, PATIENCE);
        let (body, first) = room.receive(Body::from("octets"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "octets");
        assert_eq!(room.held.held(), 6);

        let (body, second) = room.receive(Body::from("octets"));
        assert!(body.collect().await.is_err());
        assert_eq!(second.problem().map(|problem| problem.reason()), Some("OVERLOADED"));
        assert!(first.problem().is_none());
        drop((first, second));
        assert_eq!(room.held.held(), 0);
    }

    #[tokio::test]
    async fn large_bodies_leave_room_for_small_ones() {
        let room = Room::new(6 << 20, PATIENCE);
        let receive = async |octets| {
            let (body, share) = room.receive(Body::from(vec![0; octets]));
            body.collect().await.is_ok().then_some(share)
        };
        let _large = receive(4 << 20).await.unwrap();
        assert!(receive(NEXT + 1).await.is_none());
        let mut medium = Vec::new();
        while let Some(share) = receive(NEXT).await {
            medium.push(share);
        }
        assert_eq!(medium.len(), 8);
        let mut small = Vec::new();
        while let Some(share) = receive(FIRST).await {
            small.push(share);
        }
        assert_eq!(small.len(), 64);
    }

    #[tokio::test]
    async fn a_body_that_is_there_may_end_though_others_have_filled_the_room() {
        let room = Room::new(12 * FIRST, PATIENCE);
        let (mut large, share) = room.receive(Body::from(vec![0; FIRST + 1]));
        large.frame().await.unwrap().unwrap();
        let mut small = Vec::new();
        while room.held.held() + FIRST <= 12 * FIRST {
            let (body, share) = room.receive(Body::from(vec![0; FIRST]));
            body.collect().await.unwrap();
            small.push(share);
        }
        assert!(room.held.held() > 12 * FIRST / 6 * 5);
        assert!(large.frame().await.is_none());
        assert!(share.problem().is_none());
    }

    /// A body of which nothing arrives.
    struct Silent(mpsc::Receiver<Bytes>);

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            self.0.poll_recv(cx).map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let room = Room::new(8, Duration::from_millis(20));
        let (_sender, receiver) = mpsc::channel(1);
        let (body, share) = room.receive(Body::new(Silent(receiver)));
        assert!(body.collect().await.is_err());
        assert_eq!(share.problem().map(|problem| problem.reason()), Some("REQUEST_TIMEOUT"));
    }
}
