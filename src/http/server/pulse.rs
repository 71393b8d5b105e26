//! What a connection is doing, and until when it may.
//!
//! Three states: somebody is expected to say what they want (from the connection, or the first octet of
//! a request, until its headers are whole); requests are under way (their own clocks run); or nothing
//! is (until the connection has been idle for too long). Written by the [line](super::line) and the
//! service, read by the connection's task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::Limits;

/// A write of this many octets or fewer may be HTTP/2's small talk (acknowledgements, pings), which
/// must not keep a connection alive.
const SMALL_TALK: usize = 64;

/// How often we look whether the last requests of a peer that was told to leave have ended.
const LOOK: Duration = Duration::from_millis(500);

/// The start of HTTP/2's preface, which no method of HTTP/1 shares.
const PREFACE: [u8; 2] = *b"PR";

/// The state of one connection, shared by the parts that see it change.
#[derive(Clone)]
pub struct Pulse(Arc<Mutex<State>>);

struct State {
    /// How many of the first octets read are HTTP/2's preface; nothing once one was not.
    preface: Option<usize>,
    /// Since when a request's headers are awaited.
    expecting: Option<Instant>,
    /// How many requests there were: the name of the next.
    begun: u64,
    under_way: usize,
    /// Of the answers under way, when each last got on.
    leaving: HashMap<u64, Instant>,
    /// When there was last a sign of life.
    last: Instant,
}

impl Pulse {
    /// A connection that was opened now.
    pub fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            preface: Some(0),
            expecting: Some(now),
            begun: 0,
            under_way: 0,
            leaving: HashMap::new(),
            last: now,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer sent something.
    pub fn heard(&self, octets: &[u8]) {
        let mut state = self.state();
        for octet in octets.iter().take(PREFACE.len()) {
            state.preface = state.preface.and_then(|at| match PREFACE.get(at) {
                Some(next) => (next == octet).then_some(at + 1),
                None => Some(at),
            });
        }
        let speaks_h2 = state.preface == Some(PREFACE.len());
        if state.under_way == 0 && state.expecting.is_none() && !speaks_h2 && !octets.is_empty() {
            state.expecting = Some(Instant::now());
        }
    }

    /// The peer took something.
    pub fn said(&self, octets: usize) {
        if octets > SMALL_TALK {
            self.state().last = Instant::now();
        }
    }

    /// A request's headers are whole; it is under way until the guard is dropped.
    pub fn begin(&self) -> Beat {
        let mut state = self.state();
        state.expecting = None;
        state.under_way += 1;
        state.begun += 1;
        Beat(self.clone(), state.begun)
    }

    /// When to look again; nothing when the peer's time is up. What is due may come nearer in the
    /// meantime, but never nearer than the next look.
    pub fn due(&self, limits: &Limits, crowded: bool) -> Option<Instant> {
        let bound = if crowded { limits.crowded } else { Duration::MAX };
        let (headers, idle) = (limits.headers.min(bound), limits.idle.min(bound));
        let (state, now) = (self.state(), Instant::now());
        let look = now + headers.min(idle).min(limits.stall);
        let until = match state.expecting {
            _ if state.under_way > 0 => {
                return (!state.is_stuck(now, limits.stall)).then_some(look);
            }
            Some(since) => since + headers,
            None => state.last + idle,
        };
        (now < until).then_some(until.min(look))
    }

    /// The same once the peer has been told to leave, `until` when it may take its time with that:
    /// what is under way may end.
    pub fn farewell(&self, until: Instant, limits: &Limits) -> Option<Instant> {
        let (state, now) = (self.state(), Instant::now());
        if now < until {
            return Some(until);
        }
        let goes_on = state.under_way > 0 && !state.is_stuck(now, limits.stall);
        goes_on.then_some(now + LOOK)
    }
}

impl State {
    /// Whether the peer takes nothing of an answer.
    fn is_stuck(&self, now: Instant, stall: Duration) -> bool {
        self.leaving.values().any(|moved| now.duration_since(*moved) > stall)
    }
}

/// A request under way: until the last octet of its answer is gone.
pub struct Beat(Pulse, u64);

impl Beat {
    /// The answer begins to leave, or the peer took some of it.
    pub fn gets_on(&self) {
        self.0.state().leaving.insert(self.1, Instant::now());
    }

    /// There is no more of the answer yet: the peer cannot take any.
    pub fn waits_for_us(&self) {
        self.0.state().leaving.remove(&self.1);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way = state.under_way.saturating_sub(1);
        state.leaving.remove(&self.1);
        state.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_awaited_anew_of_whoever_did_not_begin_with_the_preface() {
        let awaited = |reads: &[&[u8]]| {
            let pulse = Pulse::new();
            pulse.heard(reads[0]);
            drop(pulse.begin());
            reads[1..].iter().for_each(|octets| pulse.heard(octets));
            pulse.state().expecting.is_some()
        };
        assert!(awaited(&[b"POST / HTTP/1.1", b"RPC"]));
        assert!(awaited(&[b"GET / HTTP/1.1", b"PRI"]));
        assert!(!awaited(&[b"PRI * HTTP/2.0", b"RPC"]));
    }
}
