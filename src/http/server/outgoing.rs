//! Answers on their way out: what they hold, and whether the peer takes them.
//!
//! Attack: a peer that asks for much and takes nothing (HTTP/2 lets it close a stream's window) has us
//! hold it all. So every octet of an answer is counted until the last copy of it is gone, wherever in
//! the layers below it waits; the request stays under way as long; and an answer that does not get on
//! ends its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::super::budget::Budget;
use super::super::envelope;
use super::pulse::Beat;

/// The octets of answers that we hold at once, for all peers.
const OCTETS: usize = 128 << 20;

/// What a connection may hold even when others have taken most of it: room for any answer but tiles.
/// An answer that does not know its length counts as so much.
const LITTLE: usize = 16 << 10;

/// The most octets that are handed on at once: what is asked for next shows that these got on.
const PIECE: usize = 16 << 10;

/// What the answers of one connection hold.
#[derive(Clone)]
pub struct Outgoing {
    all: Arc<Budget>,
    mine: Arc<AtomicUsize>,
}

impl Outgoing {
    /// A connection that holds nothing; `all` counts for every connection.
    pub fn new(all: &Arc<Budget>) -> Self {
        Self { all: Arc::clone(all), mine: Arc::default() }
    }

    /// Has `response` counted and `beat` last until it is gone; another answer where there is no room.
    pub fn send(&self, response: Response, beat: Beat) -> Response {
        if response.body().is_end_stream() {
            return response;
        }
        let octets = response.body().size_hint().exact().unwrap_or(LITTLE as u64);
        let octets = usize::try_from(octets).unwrap_or(usize::MAX);
        if !self.take(octets) {
            return envelope::overloaded(&response);
        }
        beat.gets_on();
        let held = Arc::new(Held { outgoing: self.clone(), octets, beat });
        response.map(|body| Body::new(Leaving { body, rest: Bytes::new(), held }))
    }

    /// The fuller we are, the less may somebody have who takes it: any number of answers up to a half,
    /// one answer up to three quarters, and then only a little.
    fn take(&self, octets: usize) -> bool {
        let mine = self.mine.load(Ordering::Acquire);
        let bound = match (mine, mine.saturating_add(octets)) {
            (_, ..=LITTLE) => OCTETS,
            (0, _) => OCTETS / 4 * 3,
            _ => OCTETS / 2,
        };
        let taken = self.all.take(octets, bound);
        if taken {
            self.mine.fetch_add(octets, Ordering::AcqRel);
        }
        taken
    }
}

/// What one answer holds.
struct Held {
    outgoing: Outgoing,
    octets: usize,
    beat: Beat,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.outgoing.all.give(self.octets);
        self.outgoing.mine.fetch_sub(self.octets, Ordering::AcqRel);
    }
}

/// Octets that are held for as long as anybody has a part of them.
struct Octets(Bytes, #[expect(dead_code, reason = "dropped with the octets")] Arc<Held>);

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A body that is handed on piece by piece.
struct Leaving {
    body: Body,
    rest: Bytes,
    held: Arc<Held>,
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => {
                    self.held.beat.waits_for_us();
                    return Poll::Pending;
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    self.rest = Bytes::from_owner(Octets(data, Arc::clone(&self.held)));
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        self.held.beat.gets_on();
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::super::pulse::Pulse;
    use super::*;

    fn send(connection: &Outgoing, octets: usize) -> Option<Response> {
        let response = vec![0_u8; octets].into_response();
        let response = connection.send(response, Pulse::new().begin());
        (response.status() == 200).then_some(response)
    }

    #[tokio::test]
    async fn an_answer_is_whole_and_counted_while_anybody_has_a_part_of_it() {
        let all = Arc::<Budget>::default();
        let connection = Outgoing::new(&all);
        let text: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let response = connection.send(text.clone().into_response(), Pulse::new().begin());
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let (mut heard, mut last) = (Vec::new(), Bytes::new());
        while let Some(frame) = body.frame().await {
            last = frame.unwrap().into_data().unwrap();
            assert!(last.len() <= PIECE);
            heard.extend_from_slice(&last);
            assert_eq!(body.size_hint().exact(), Some(100_000 - heard.len() as u64));
        }
        assert!(body.is_end_stream() && heard == text);
        drop(body);
        assert_eq!((all.held(), connection.mine.load(Ordering::Acquire)), (100_000, 100_000));
        drop(last);
        assert_eq!((all.held(), connection.mine.load(Ordering::Acquire)), (0, 0));
    }

    #[test]
    fn whoever_takes_nothing_does_not_keep_others_from_their_answers() {
        let all = Arc::<Budget>::default();
        let greedy = Outgoing::new(&all);
        let hoard: Vec<_> = (0..64).map_while(|_| send(&greedy, 8 << 20)).collect();
        assert_eq!(hoard.len(), 8);
        let (second, third) = (Outgoing::new(&all), Outgoing::new(&all));
        let _one = send(&second, 8 << 20).unwrap();
        assert!(send(&second, 8 << 20).is_none());
        let _large = send(&third, 24 << 20).unwrap();
        assert!(send(&Outgoing::new(&all), LITTLE + 1).is_none());
        let _little = send(&Outgoing::new(&all), LITTLE).unwrap();
    }
}
