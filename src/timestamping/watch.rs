//! Whether the clock is to be trusted: no timestamp is signed by one that is not.
//!
//! ```text
//! behind the newest head of a log    until it is not
//! set, by more than a second         until it has run undisturbed for ten minutes
//! not what NTP servers say           until most of those that are configured agree with it
//! ```
//!
//! A clock that is set shows itself against the one that only counts. Both are looked at every few seconds,
//! so that what a daemon corrects little by little is no jump.

use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ntp;
use crate::authority::Serials;
use crate::log::LogError;
use crate::log::shards::Shards;
use crate::time::{Clock, Timestamp};

/// By how much it may be wrong: what the accuracy in the timestamps says.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How long a clock that was set must run undisturbed.
const CONFIRMED: Duration = Duration::from_secs(600);

/// How far apart the two clocks may be read.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two looks at the clock, and between two questions to all servers.
const LOOK: Duration = Duration::from_secs(5);
const QUESTION: Duration = Duration::from_secs(60);

/// What the clock is held against.
#[derive(Default)]
pub struct Watch {
    /// Whose newest heads it must not be behind.
    logs: Vec<Shards>,
    /// The NTP servers that are asked; none is if there are none.
    servers: Vec<String>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Both clocks at the last look.
    last: Option<(Timestamp, Duration)>,
    /// When the clock was set.
    set: Option<Duration>,
    /// How many servers agreed when they were asked last.
    agreed: Option<usize>,
}

impl Watch {
    /// By these logs and servers.
    pub fn new(logs: Vec<Shards>, servers: Vec<String>) -> Self {
        Self { logs, servers, seen: Mutex::default() }
    }

    /// Reads `clock`, if it is to be trusted.
    ///
    /// # Errors
    ///
    /// [`ClockError`], one for each rule.
    pub fn read(&self, clock: &dyn Clock) -> Result<Timestamp, ClockError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, or a thread that was put aside in between would see time go back. A pause between the
        // two of them looks like a clock that was set, and is none.
        let (before, now, counted) = (clock.counted(), clock.now(), clock.counted());
        let behind = self.logs.iter().try_for_each(|logs| logs.check_clock(now));
        behind.map_err(ClockError::Behind)?;
        if counted.saturating_sub(before) < PAUSE {
            seen.look(now, counted);
        }
        self.check(&seen).map(|()| now)
    }

    fn check(&self, seen: &Seen) -> Result<(), ClockError> {
        if seen.set.is_some() {
            return Err(ClockError::Set);
        }
        let of = self.servers.len();
        match seen.agreed {
            _ if of == 0 => Ok(()),
            None => Err(ClockError::Unasked),
            Some(agreed) if agreed * 2 > of => Ok(()),
            Some(agreed) => Err(ClockError::Disagreed { agreed, of }),
        }
    }

    /// Looks at `clock` all the while, and asks the servers, for ever. `serials` are nonces that nobody knows.
    pub async fn keep(&self, clock: &Arc<dyn Clock>, serials: &Serials) {
        let (mut asked, mut said): (Option<Instant>, Option<ClockError>) = (None, None);
        loop {
            if asked.is_none_or(|asked| asked.elapsed() >= QUESTION) && !self.servers.is_empty() {
                asked = Some(Instant::now());
                self.ask(clock, serials).await;
            }
            let trouble = self.read(clock.as_ref()).err();
            if trouble.as_ref().map(discriminant) != said.as_ref().map(discriminant) {
                match &trouble {
                    Some(error) => tracing::error!(%error, "no timestamps"),
                    None => tracing::info!("the clock is trusted again, and timestamps are signed"),
                }
                said = trouble;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks all servers at once.
    pub(super) async fn ask(&self, clock: &Arc<dyn Clock>, serials: &Serials) {
        let mut questions = JoinSet::new();
        for server in &self.servers {
            let (server, clock, serial) = (server.clone(), Arc::clone(clock), serials());
            let nonce = serial.as_bytes().last_chunk().copied().unwrap_or_default();
            questions.spawn(async move { ntp::ask(&server, nonce, clock.as_ref()).await });
        }
        let answers = questions.join_all().await;
        let agree = |offset: &ntp::Offset| offset.is_within(TOLERANCE);
        let agreed = answers.iter().flatten().filter(|offset| agree(offset)).count();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.agreed = Some(agreed);
    }
}

impl Seen {
    /// Compares how far both clocks went since the last look, or the one before if that was just now: a clock
    /// that stands still must not hide behind frequent looks.
    fn look(&mut self, now: Timestamp, counted: Duration) {
        let (time, count) = *self.last.get_or_insert((now, counted));
        let should = counted.saturating_sub(count);
        if now < time || now.since(time).abs_diff(should) > TOLERANCE {
            self.set = Some(counted);
        }
        if should >= LOOK || self.set == Some(counted) {
            self.last = Some((now, counted));
        }
        self.set = self.set.filter(|set| counted.saturating_sub(*set) < CONFIRMED);
    }
}

/// Why a clock is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Time would go back.
    #[error("{0}")]
    Behind(LogError),
    /// It jumped.
    #[error(
        "the clock was set by more than a second; timestamps go on when it has run undisturbed for ten \
         minutes, or after a restart"
    )]
    Set,
    /// The servers have not answered yet.
    #[error("the NTP servers have not been asked yet")]
    Unasked,
    /// Too few servers agree.
    #[error(
        "of {of} NTP servers {agreed} say within a second what the clock says, and most must; look at the clock, \
         or at `timestamps.ntp`"
    )]
    Disagreed {
        /// How many agree.
        agreed: usize,
        /// How many there are.
        of: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    /// Whether a clock is trusted that went `wall` milliseconds while `count` went by.
    fn went(seen: &mut Seen, wall: i64, count: u64) -> bool {
        let (time, counted) = seen.last.unwrap_or((NOW, Duration::ZERO));
        let by = Duration::from_millis(wall.unsigned_abs());
        let time = if wall < 0 { time.minus(by) } else { time.plus(by) };
        seen.look(time, counted + Duration::from_millis(count));
        seen.set.is_none()
    }

    #[test]
    fn a_clock_that_is_set_is_not_trusted_for_a_while() {
        for set in [-1, 3_999, 6_001 + 5_000] {
            let mut seen = Seen::default();
            assert!(went(&mut seen, 0, 0));
            assert!(went(&mut seen, 5_000, 5_000));
            assert!(went(&mut seen, 6_000, 5_000), "little by little");
            assert!(!went(&mut seen, set, 5_000), "{set}");
            assert!(!went(&mut seen, 599_999, 599_999));
            assert!(went(&mut seen, 1, 1));
        }
    }

    #[test]
    fn whoever_is_set_again_waits_again() {
        let mut seen = Seen::default();
        assert!(went(&mut seen, 0, 0));
        assert!(!went(&mut seen, 100_000, 5_000));
        assert!(!went(&mut seen, 100_000, 590_000));
        assert!(!went(&mut seen, 590_000, 590_000));
        assert!(went(&mut seen, 10_000, 10_000));
    }

    #[test]
    fn a_clock_that_stands_still_does_not_hide_behind_frequent_looks() {
        let mut seen = Seen::default();
        for count in 0..=10 {
            seen.look(NOW, Duration::from_millis(count * 100));
            assert_eq!(seen.set, None);
        }
        seen.look(NOW, Duration::from_millis(1_001));
        assert!(seen.set.is_some());
    }

    #[test]
    fn most_servers_must_agree() {
        let servers = ["a", "b", "c"].map(str::to_owned).to_vec();
        let watch = Watch::new(Vec::new(), servers);
        assert_eq!(watch.check(&watch.seen.lock().unwrap()), Err(ClockError::Unasked));
        for (agreed, expected) in [
            (0, Err(ClockError::Disagreed { agreed: 0, of: 3 })),
            (1, Err(ClockError::Disagreed { agreed: 1, of: 3 })),
            (2, Ok(())),
            (3, Ok(())),
        ] {
            watch.seen.lock().unwrap().agreed = Some(agreed);
            assert_eq!(watch.check(&watch.seen.lock().unwrap()), expected);
        }
        let nobody = Watch::default();
        assert_eq!(nobody.check(&nobody.seen.lock().unwrap()), Ok(()));
    }

    #[tokio::test]
    async fn asks_real_servers_and_believes_most_of_them() {
        use super::super::ntp::tests::server;
        use crate::certificate::Serial;

        struct Still;

        impl Clock for Still {
            fn now(&self) -> Timestamp {
                NOW
            }
        }

        let second = Duration::from_secs(1);
        let [right, liar] = [server(NOW).await, server(NOW.plus(second * 2)).await];
        let (clock, serials): (Arc<dyn Clock>, Serials) =
            (Arc::new(Still), Arc::new(|| Serial::from_bytes([7; 20])));
        for (servers, expected) in [
            (vec![&right], Ok(NOW)),
            (vec![&right, &right, &liar], Ok(NOW)),
            (vec![&right, &liar], Err(ClockError::Disagreed { agreed: 1, of: 2 })),
            (vec![&liar], Err(ClockError::Disagreed { agreed: 0, of: 1 })),
        ] {
            let watch = Watch::new(Vec::new(), servers.into_iter().cloned().collect());
            watch.ask(&clock, &serials).await;
            assert_eq!(watch.read(clock.as_ref()), expected);
        }
    }
}
