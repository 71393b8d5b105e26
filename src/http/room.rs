//! How much of callers' bodies we hold at once, over all connections.
//!
//! Each route bounds its own bodies; thousands of them at their bound would still be more memory than
//! a machine has. Every octet of a body takes a place as it arrives, and gives it back when the answer
//! leaves. Nobody waits for a place: a body that finds none gets the answer that we are too busy, and
//! to bring that about takes a sender who sends that much at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;

/// The octets of bodies that we hold at once.
const OCTETS: usize = 128 << 20;

/// The room for all bodies.
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OCTETS)))
    }
}

impl Room {
    /// A request's share of the room, empty at first.
    pub fn share(&self) -> Share {
        let room = Arc::clone(&self.0);
        Share(Arc::new(Held { room, octets: AtomicUsize::new(0), refused: AtomicBool::new(false) }))
    }
}

/// What one request takes of the room; given back when the last clone is dropped.
#[derive(Clone)]
pub struct Share(Arc<Held>);

struct Held {
    room: Arc<Semaphore>,
    octets: AtomicUsize,
    refused: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.add_permits(self.octets.load(Ordering::Acquire));
    }
}

impl Share {
    /// `body`, which takes room as it arrives.
    pub fn measure(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Measured { body, share: self.clone() })
    }

    /// Whether there was no room for the body.
    pub fn was_refused(&self) -> bool {
        self.0.refused.load(Ordering::Acquire)
    }

    fn take(&self, octets: usize) -> Result<(), NoRoom> {
        let places = u32::try_from(octets).ok().and_then(|n| self.0.room.try_acquire_many(n).ok());
        match places {
            Some(places) => {
                places.forget();
                self.0.octets.fetch_add(octets, Ordering::AcqRel);
                Ok(())
            }
            None => {
                self.0.refused.store(true, Ordering::Release);
                Err(NoRoom)
            }
        }
    }
}

/// There is no room for the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more request bodies are under way than there is room for")]
struct NoRoom;

/// A body under the eye of its [`Share`].
struct Measured {
    body: Body,
    share: Share,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(octets) = frame.data_ref()
            && let Err(full) = self.share.take(octets.len())
        {
            return Poll::Ready(Some(Err(axum::Error::new(full))));
        }
        Poll::Ready(frame)
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

    use super::*;

    #[tokio::test]
    async fn what_is_held_is_given_back() {
        let room = Room(Arc::new(Semaphore::new(8)));
        let first = room.share();
        let whole = first.measure(Body::from("octets")).collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "octets");
        assert_eq!(room.0.available_permits(), 2);

        let second = room.share();
        assert!(second.measure(Body::from("octets")).collect().await.is_err());
        assert!(second.was_refused() && !first.was_refused());
        drop((first, second));
        assert_eq!(room.0.available_permits(), 8);
        assert!(room.share().measure(Body::from("octets")).collect().await.is_ok());
        assert_eq!(room.0.available_permits(), 8);
    }
}
