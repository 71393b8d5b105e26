//! What time it is elsewhere: one question to one NTP server, of which nothing is believed but the time.
//!
//! ```text
//!  0  leap indicator (2 bits), version (3), mode (3)     3, or a server that does not know the time itself
//!  1  stratum                                            1 to 15
//! 24  originate timestamp                                what we sent: nobody else knows it
//! 32  receive timestamp                                  when our question came
//! 40  transmit timestamp                                 when the answer left
//! ```
//!
//! Timestamps are seconds since 1900 in 32 bits and a fraction in 32 more. They are compared by their
//! difference, so that it does not matter that the seconds begin anew in 2036.
//!
//! Spec: RFC 4330 §4, §5; RFC 5905 §7.3.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

use crate::time::{Clock, Timestamp};

/// How long an answer may take: what takes longer says little of the time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a question is asked before nobody answers: packets get lost.
const ATTEMPTS: usize = 3;

const PORT: u16 = 123;
const LENGTH: usize = 48;

/// Seconds from 1900 to 1970.
const EPOCH: u64 = 2_208_988_800;

/// By how much another clock is ahead of ours, or behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// In units of 2^-32 s.
    fraction: i64,
}

impl Offset {
    /// Whether the two agree to within `tolerance`.
    pub fn is_within(self, tolerance: Duration) -> bool {
        self.amount() <= tolerance
    }

    /// By how much, whoever is ahead.
    fn amount(self) -> Duration {
        Duration::from_secs_f64(self.fraction.unsigned_abs() as f64 / 2_f64.powi(32))
    }
}

/// Asks `server` (a host, with a port if it is not 123) for the time; `nonce` is known to nobody. None if
/// there is no answer that can be used.
pub async fn ask(server: &str, nonce: [u8; 8], clock: &dyn Clock) -> Option<Offset> {
    for _ in 0..ATTEMPTS {
        let asked = timeout(PATIENCE, ask_once(server, nonce, clock));
        if let Ok(Some(offset)) = asked.await {
            return Some(offset);
        }
    }
    None
}

async fn ask_once(server: &str, nonce: [u8; 8], clock: &dyn Clock) -> Option<Offset> {
    let has_port = server.parse::<SocketAddr>().is_ok()
        || server.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':'));
    let mut addresses = match has_port {
        true => lookup_host(server).await.ok()?.collect::<Vec<_>>(),
        false => lookup_host((server, PORT)).await.ok()?.collect(),
    }
    .into_iter();
    let address = addresses.next()?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.ok()?;
    // Connected, it hears nobody else.
    socket.connect(address).await.ok()?;
    let sent = clock.now();
    socket.send(&question(nonce)).await.ok()?;
    loop {
        let mut answer = [0; LENGTH];
        let length = socket.recv(&mut answer).await.ok()?;
        if let Some(times) = times(answer.get(..length)?, nonce) {
            return offset(times, (sent, clock.now()));
        }
    }
}

/// Version 4, mode 3; and the nonce in the place of our time, which is nobody's business.
fn question(nonce: [u8; 8]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    let [first, rest @ ..] = &mut packet;
    *first = 0x23;
    if let Some(place) = rest.last_chunk_mut() {
        *place = nonce;
    }
    packet
}

/// When the question came and when the answer left, by the clock of a server that knows the time; none if
/// it is no answer to our question.
fn times(answer: &[u8], nonce: [u8; 8]) -> Option<(u64, u64)> {
    let &[first, stratum, ..] = answer.first_chunk::<LENGTH>()?;
    let [originate, receive, transmit] = [24, 32, 40].map(|at| answer.get(at..at + 8));
    let (leap, mode) = (first >> 6, first & 7);
    let knows = leap != 3 && mode == 4 && (1..=15).contains(&stratum) && originate? == nonce;
    let number = |octets: &[u8]| octets.try_into().map(u64::from_be_bytes).ok();
    let (receive, transmit) = (number(receive?)?, number(transmit?)?);
    (knows && transmit != 0).then_some((receive, transmit))
}

/// RFC 4330 §5: ((T2 - T1) + (T3 - T4)) / 2. None if the way there and back took so long that it tells
/// nothing.
fn offset((t2, t3): (u64, u64), (sent, received): (Timestamp, Timestamp)) -> Option<Offset> {
    if received.since(sent) > PATIENCE || received < sent {
        return None;
    }
    let (t1, t4) = (ntp(sent), ntp(received));
    let fraction = (t2.wrapping_sub(t1) as i64) / 2 + (t3.wrapping_sub(t4) as i64) / 2;
    Some(Offset { fraction })
}

fn ntp(time: Timestamp) -> u64 {
    let (seconds, rest) = (time.as_secs().wrapping_add(EPOCH), time.as_millis() % 1000);
    (seconds << 32) | ((rest << 32) / 1000)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const NONCE: [u8; 8] = *b"a nonce!";
    /// 2026-01-01T00:00:00Z.
    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    struct Still(Timestamp);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    /// The answer of a server at `time` to a question with this nonce.
    fn answer(time: Timestamp, nonce: &[u8]) -> Vec<u8> {
        let head = [&[0x24, 2][..], &[0; 22], nonce].concat();
        [&head[..], &ntp(time).to_be_bytes(), &ntp(time).to_be_bytes()].concat()
    }

    /// A server whose clock stands at `time`. Before it answers come noise and a forgery.
    pub async fn server(time: Timestamp) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut question = [0; 100];
            while let Ok((length, peer)) = socket.recv_from(&mut question).await {
                assert_eq!((length, question[0]), (LENGTH, 0x23));
                let forged = answer(Timestamp::from_secs(7), b"no nonce");
                for packet in [b"noise".to_vec(), forged, answer(time, &question[40..48])] {
                    socket.send_to(&packet, peer).await.unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn tells_by_how_much_clocks_differ() {
        let second = Duration::from_secs(1);
        for (theirs, agrees) in [
            (NOW, true),
            (NOW.plus(second), true),
            (NOW.minus(second), true),
            (NOW.plus(Duration::from_millis(1002)), false),
            (NOW.minus(Duration::from_millis(1002)), false),
            (Timestamp::from_secs(0), false),
        ] {
            let times = times(&answer(theirs, &NONCE), NONCE).unwrap();
            assert_eq!(offset(times, (NOW, NOW)).unwrap().is_within(second), agrees, "{theirs}");
        }
        // The way takes as long there as back; a longer one tells nothing.
        let times = times(&answer(NOW.plus(second / 2), &NONCE), NONCE).unwrap();
        assert!(
            offset(times, (NOW, NOW.plus(second))).unwrap().is_within(Duration::from_millis(1))
        );
        assert_eq!(offset(times, (NOW, NOW.plus(second * 2))), None);
        assert_eq!(offset(times, (NOW, NOW.minus(second))), None);
    }

    #[test]
    fn seconds_that_begin_anew_do_not_matter() {
        let turn = Timestamp::from_secs((1 << 32) - EPOCH);
        let milliseconds = Duration::from_millis;
        let (before, after) = (turn.minus(milliseconds(10)), turn.plus(milliseconds(1)));
        let times = times(&answer(after, &NONCE), NONCE).unwrap();
        assert!(offset(times, (before, before)).unwrap().is_within(milliseconds(12)));
    }

    #[test]
    fn each_rule_bites() {
        let bite = |at: usize, octet: u8| {
            let mut answer = answer(NOW, &NONCE);
            answer[at] = octet;
            times(&answer, NONCE)
        };
        assert_eq!(bite(0, 0x24), Some((ntp(NOW), ntp(NOW))));
        // A server that does not know the time; a client; a kiss of death; another stratum; another nonce.
        for (at, octet) in [(0, 0xe4), (0, 0x23), (1, 0), (1, 16), (31, b'?')] {
            assert_eq!(bite(at, octet), None, "{at}: {octet}");
        }
        assert_eq!(times(&answer(NOW, &NONCE)[..47], NONCE), None);
    }

    #[tokio::test]
    async fn asks_a_real_server() {
        let server = server(NOW).await;
        let asked = ask(&server, NONCE, &Still(NOW)).await.unwrap();
        assert!(asked.is_within(Duration::from_millis(1)));
        let late = Still(NOW.plus(Duration::from_secs(90)));
        let asked = ask(&server, NONCE, &late).await.unwrap();
        assert!(!asked.is_within(Duration::from_secs(89)));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_has_no_time() {
        assert_eq!(ask("127.0.0.1:1", NONCE, &Still(NOW)).await, None);
        assert_eq!(ask("", NONCE, &Still(NOW)).await, None);
    }
}
