//! Points in time as a search names them: `24h` ago, `2026-01-31`, `2026-01-31T12:00:00Z`.

use std::time::Duration;

use crate::time::Timestamp;

/// The end of a search's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `since`: a day counts from its first moment.
    First,
    /// `until`: a day counts to its last.
    Last,
}

/// The point that `text` means at `now`; none where it is neither an age, nor a day, nor RFC 3339.
pub fn parse(text: &str, end: End, now: Timestamp) -> Option<Timestamp> {
    if let Some(age) = age(text) {
        return Some(now.minus(age));
    }
    let day = text.len() == 10;
    let first = rfc_3339(&if day { format!("{text}T00:00:00Z") } else { text.to_owned() })?;
    match (day, end) {
        (true, End::Last) => Some(first.plus(Duration::from_millis(24 * 3_600_000 - 1))),
        _ => Some(first),
    }
}

/// `90s`, `5m`, `24h`, `7d`; none where it is something else.
pub fn age(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

fn rfc_3339(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    #[track_caller]
    fn check(text: &str, end: End, millis: Option<u64>) {
        assert_eq!(parse(text, end, NOW).map(Timestamp::as_millis), millis, "{text}");
    }

    #[test]
    fn an_age_a_day_or_a_moment() {
        check("24h", End::First, Some(NOW.as_millis() - 86_400_000));
        check("7d", End::Last, Some(NOW.as_millis() - 604_800_000));
        check("90s", End::First, Some(NOW.as_millis() - 90_000));
        check("2026-01-01", End::First, Some(NOW.as_millis()));
        check("2026-01-01", End::Last, Some(NOW.as_millis() + 86_399_999));
        check("2026-01-01T01:00:00.5+01:00", End::Last, Some(NOW.as_millis() + 500));
        for wrong in ["", "h", "24", "24y", "-1h", "99999999999999999999d", "2026-13-01", "now"] {
            check(wrong, End::First, None);
        }
        check("1969-12-31", End::First, None);
    }
}
