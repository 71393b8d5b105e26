//! Points in time, and the one door to the system clock.
//!
//! A [`Timestamp`] counts milliseconds since 1970-01-01T00:00:00Z, as RFC 6962 does. Everything that
//! needs the time takes it as an argument; only the shell asks a [`Clock`], once per request.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A point in time: milliseconds since the Unix epoch, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `milliseconds` after the epoch.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// The point `seconds` after the epoch; saturates.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The year of the calendar that this point lies in, UTC.
    pub const fn year(self) -> u64 {
        let days = self.as_secs() / DAY;
        // Gregorian years have 365.2425 days on average: this is the year, or one off.
        let mut year = 1970 + days * 400 / 146_097;
        while days_before(year) > days {
            year -= 1;
        }
        while days_before(year + 1) <= days {
            year += 1;
        }
        year
    }

    /// The beginning of the year `year`, UTC; saturates.
    pub const fn from_year(year: u64) -> Self {
        Self::from_secs(days_before(year).saturating_mul(DAY))
    }

    /// The same point without its fraction of a second.
    pub const fn floor(self) -> Self {
        Self(self.0 - self.0 % 1000)
    }

    /// This point moved later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This point moved earlier; stops at the epoch.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Seconds in a day.
const DAY: u64 = 24 * 60 * 60;

/// Days from 1970 to the beginning of `year`, none before 1970.
const fn days_before(year: u64) -> u64 {
    const fn leap_days(year: u64) -> u64 {
        year / 4 - year / 100 + year / 400
    }
    if year < 1970 {
        return 0;
    }
    (year - 1970).saturating_mul(365).saturating_add(leap_days(year - 1) - leap_days(1969))
}

/// RFC 3339 in UTC, to the second: `2026-01-01T00:00:18Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.as_secs()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(seconds) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{seconds} s after 1970"),
        }
    }
}

/// Tells the time.
///
/// Contract: never earlier than the epoch; may jump in both directions, as system clocks do. Whoever
/// needs it to grow (the log) checks that itself.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// How long it has been since some point, which stays: by a clock that only counts and that nobody sets,
    /// where there is one.
    fn counted(&self) -> Duration {
        self.now().since(Timestamp::default())
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to the system clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one door to the system clock")]
    fn counted(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_rfc_3339() {
        assert_eq!(Timestamp::from_millis(1_767_225_618_999).to_string(), "2026-01-01T00:00:18Z");
    }

    #[test]
    fn years_are_the_calendars() {
        for year in 1970..2500_i16 {
            let first = jiff::civil::date(year, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
            let start = Timestamp::from_secs(first.timestamp().as_second().unsigned_abs());
            let year = u64::from(year.unsigned_abs());
            assert_eq!(Timestamp::from_year(year), start);
            assert_eq!(start.year(), year);
            assert_eq!(start.minus(Duration::from_millis(1)).year(), (year - 1).max(1970));
        }
    }

    #[test]
    fn does_not_wrap() {
        let hour = Duration::from_secs(3600);
        assert_eq!(Timestamp::from_secs(10).minus(hour), Timestamp::from_millis(0));
        assert_eq!(Timestamp::from_millis(u64::MAX).plus(hour).as_millis(), u64::MAX);
        assert_eq!(Timestamp::from_secs(1).since(Timestamp::from_secs(2)), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(1999).floor(), Timestamp::from_secs(1));
    }
}
