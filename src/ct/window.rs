//! The window of a shard: which certificates it takes, by when they end.
//!
//! By the calendar, a year in UTC each, so that the last entry of a shard is known before the first
//! one is made.

use std::fmt;

use crate::time::Timestamp;

/// The certificates that end at `start` or later, and before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// The earliest notAfter.
    pub start: Timestamp,
    /// The first notAfter that is too late.
    pub end: Timestamp,
}

impl Window {
    /// The calendar year of `time`, UTC.
    pub const fn year(time: Timestamp) -> Self {
        let year = time.year();
        Self { start: Timestamp::from_year(year), end: Timestamp::from_year(year + 1) }
    }

    /// Whether it takes a certificate that ends at `not_after`.
    pub fn holds(&self, not_after: Timestamp) -> bool {
        self.start <= not_after && not_after < self.end
    }

    /// Whether some certificate would fall into both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The first notAfter from `from` on that none of `windows`, earliest first, takes.
    pub fn covered(windows: &[Self], from: Timestamp) -> Timestamp {
        windows.iter().fold(from, |until, it| if it.holds(until) { it.end } else { until })
    }

    /// The window to come beside `windows`, for certificates that end at `uncovered`: the rest of its
    /// calendar year.
    pub fn next(windows: &[Self], uncovered: Timestamp) -> Self {
        let year = Self::year(uncovered);
        let before = windows.iter().map(|it| it.end).filter(|end| *end <= uncovered).max();
        let after = windows.iter().map(|it| it.start).filter(|start| *start > uncovered).min();
        Self {
            start: before.map_or(year.start, |end| end.max(year.start)),
            end: after.map_or(year.end, |start| start.min(year.end)),
        }
    }
}

/// `2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z`
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn window(start: u64, end: u64) -> Window {
        Window { start: Timestamp::from_secs(start), end: Timestamp::from_secs(end) }
    }

    #[test]
    fn is_a_year_of_the_calendar() {
        let start = Timestamp::from_secs(1_767_225_600);
        let year = Window::year(start);
        assert_eq!(year.to_string(), "2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z");
        assert_eq!(Window::year(year.end.minus(Duration::from_millis(1))), year);
        assert_eq!(Window::year(year.end).start, year.end);
        assert!(year.holds(start) && !year.holds(year.end));
    }

    #[test]
    fn covers_as_far_as_windows_touch() {
        let windows = [window(10, 20), window(20, 30), window(40, 50)];
        for (from, until) in [(5, 5), (10, 30), (25, 30), (30, 30), (45, 50), (60, 60)] {
            let covered = Window::covered(&windows, Timestamp::from_secs(from));
            assert_eq!(covered, Timestamp::from_secs(until), "{from}");
        }
    }

    #[test]
    fn the_next_one_is_the_rest_of_its_year() {
        let year = Window::year(Timestamp::from_secs(1_767_225_600));
        let next = Window::next(&[year], year.end);
        assert_eq!(next, Window::year(year.end));
        // Years in which nobody looked are left out.
        let later = next.end.plus(Duration::from_secs(100));
        assert_eq!(Window::next(&[year], later), Window::year(later));
        // A gap is filled, and nothing beside it.
        let (early, late) = (year.start.plus(DAY), year.end.minus(DAY));
        let around = [Window { end: early, ..year }, Window { start: late, ..year }];
        assert_eq!(Window::next(&around, early), Window { start: early, end: late });
        assert!(!around.iter().any(|it| it.overlaps(&Window::next(&around, early))));
        assert!(year.overlaps(&around[0]) && !year.overlaps(&next));
    }

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
}
