//! How often one address may come, where anybody may.
//!
//! Each address has a number of requests at hand, given back one by one. An IPv6 address counts as its /64,
//! which is what one subscriber gets. How many addresses are remembered is bounded: one whose requests are all
//! back is forgotten, and whoever finds no place shares one quota with all others who find none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::time::Instant;

use super::envelope::Sender;
use super::problem::Problem;

/// How many addresses are remembered.
const ADDRESSES: usize = 1 << 16;

/// Between two looks for addresses to forget.
const REST: Duration = Duration::from_secs(1);

/// All who find no place, or come without an address: none that a packet comes from.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How often one address may come.
pub struct Rate {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    addresses: usize,
    swept: Mutex<Option<Instant>>,
}

impl Rate {
    /// So many requests in a second, and as many at once as in `seconds` seconds.
    pub fn per_second(requests: NonZeroU32, seconds: NonZeroU32) -> Self {
        let burst = requests.saturating_mul(seconds);
        Self::new(Quota::per_second(requests).allow_burst(burst), ADDRESSES)
    }

    fn new(quota: Quota, addresses: usize) -> Self {
        Self { limiter: DefaultKeyedRateLimiter::keyed(quota), addresses, swept: Mutex::default() }
    }

    /// Takes one request of those that `address` has at hand.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let subscriber = self.place(address.map_or(OTHERS, subscriber));
        self.limiter
            .check_key(&subscriber)
            .map_err(|refused| refused.wait_time_from(self.limiter.clock().now()))
    }

    /// Under whose name a subscriber is counted: his own, while there are places.
    fn place(&self, subscriber: IpAddr) -> IpAddr {
        if self.limiter.len() < self.addresses {
            return subscriber;
        }
        self.sweep();
        if self.limiter.len() < self.addresses { subscriber } else { OTHERS }
    }

    /// Forgets those whose requests are all back. Whoever finds another at it need not wait.
    fn sweep(&self) {
        let Ok(mut swept) = self.swept.try_lock() else { return };
        if swept.is_none_or(|swept| swept.elapsed() >= REST) {
            self.limiter.retain_recent();
            *swept = Some(Instant::now());
        }
    }
}

/// The one address by which its subscriber is counted.
///
/// Attack: whoever has one IPv6 address has 2^64 of them.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// Lets through whoever does not come too often.
pub async fn guard(State(rate): State<Arc<Rate>>, request: Request, next: Next) -> Response {
    let Sender(caller) = Sender::of(request.extensions());
    match rate.admit(caller.client) {
        Ok(()) => next.run(request).await,
        Err(wait) => Problem::too_often(wait).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three at once, and the next one in an hour.
    fn slow(addresses: usize) -> Rate {
        let [three, one] = [3, 1].map(|number| NonZeroU32::new(number).unwrap());
        Rate::new(Quota::per_hour(one).allow_burst(three), addresses)
    }

    #[track_caller]
    fn check(rate: &Rate, address: &str, admitted: bool) {
        let address = (!address.is_empty()).then(|| address.parse().unwrap());
        assert_eq!(rate.admit(address).is_ok(), admitted, "{address:?}");
    }

    #[test]
    fn each_address_has_its_own_requests() {
        let rate = slow(ADDRESSES);
        for (address, admitted) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::ffff:0:0:3", true),
            ("2001:db8::4", false),
            ("2001:db8:0:1::1", true),
            ("", true),
        ] {
            check(&rate, address, admitted);
        }
    }

    #[test]
    fn tells_when_to_come_again() {
        let rate = slow(ADDRESSES);
        let admit = || rate.admit(Some(OTHERS));
        assert_eq!([admit(), admit(), admit()], [Ok(()); 3]);
        let wait = admit().unwrap_err();
        assert!((3590..=3600).contains(&wait.as_secs()), "{wait:?}");
    }

    #[test]
    fn whoever_finds_no_place_shares_one() {
        let rate = slow(2);
        check(&rate, "192.0.2.1", true);
        check(&rate, "192.0.2.2", true);
        for address in ["192.0.2.3", "192.0.2.4", "192.0.2.5"] {
            check(&rate, address, true);
        }
        check(&rate, "192.0.2.6", false);
        assert!(rate.limiter.len() <= 3);
    }

    #[test]
    fn forgets_whose_requests_are_back() {
        let many = NonZeroU32::new(1_000_000_000).unwrap();
        let rate = Rate::new(Quota::per_second(many), 2);
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            check(&rate, address, true);
        }
        assert_eq!(rate.limiter.len(), 1);
    }
}
