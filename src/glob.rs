//! Patterns in which `*` is any run of characters: those of rules, and of searches.

/// Whether `text` as a whole matches `pattern`, in which `*` is any run of characters.
///
/// Going back to the last `*` is enough, so a text costs at most its length times the pattern's.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Of a thousand rules for a thousand repositories, most differ in the last octet.
    if pattern.last().is_some_and(|last| *last != b'*' && Some(last) != text.last()) {
        return false;
    }
    if pattern == text {
        return true;
    }
    let same = |(octet, other): &(&u8, &u8)| octet == other && **octet != b'*';
    let fixed = pattern.iter().zip(text).take_while(same).count();
    match (pattern.get(fixed..), text.get(fixed..)) {
        (Some(pattern @ [b'*', ..]), Some(text)) => matches_run(pattern, text),
        _ => false,
    }
}

/// The same for what begins with a `*`.
fn matches_run(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // What follows the last `*`, and the text that it has not swallowed yet.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', behind)), _) => {
                retry = Some((behind, text));
                pattern = behind;
            }
            (Some((expected, behind)), Some((octet, rest))) if expected == octet => {
                (pattern, text) = (behind, rest);
            }
            _ => {
                let Some((behind, [_, rest @ ..])) = retry else { return false };
                retry = Some((behind, rest));
                (pattern, text) = (behind, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_compared_whole() {
        for (value, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("abc", "*", true),
            ("", "*", true),
            ("abc", "a*c", true),
            ("abc", "a*b", false),
            ("aba", "ab*ba", false),
            ("abba", "ab*ba", true),
            ("a-b-c", "a*b*c", true),
            ("a-c-b", "a*b*c", false),
            ("abc", "a**c", true),
            ("abc", "*b*", true),
            ("abc", "*d*", false),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} against {value}");
        }
    }

    /// The same question, asked of every way to cut the text.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', behind @ ..] => (0..=text.len()).any(|end| slow(behind, &text[end..])),
            [expected, behind @ ..] => text.first() == Some(expected) && slow(behind, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_trying_everything(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
