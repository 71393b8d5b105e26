//! How far one text is from another, as typing errors go: for "did you mean".

/// Errors of which a reader can still tell what was meant.
const MOST: usize = 2;

/// How many octets must be put in, taken out or changed to make `b` of `a`; none beyond two.
///
/// Only the diagonal band that can stay within two is computed, so it costs a few steps an octet.
pub fn distance(a: &str, b: &str) -> Option<usize> {
    const WIDTH: usize = 2 * MOST + 1;
    const FAR: usize = MOST + 1;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > MOST {
        return None;
    }
    // `band[k]` is the distance of a's first `row` octets to b's first `row + k - MOST`.
    let start = std::array::from_fn(|k| k.checked_sub(MOST).unwrap_or(FAR));
    let band = a.iter().enumerate().fold(start, |band: [usize; WIDTH], (row, octet)| {
        let above = |k: usize| band.get(k).copied().unwrap_or(FAR);
        let mut left = FAR;
        std::array::from_fn(|k| {
            let column = (row + 1 + k).checked_sub(MOST);
            left = match column {
                None => FAR,
                Some(0) => (row + 1).min(FAR),
                Some(column) => match b.get(column - 1) {
                    None => FAR,
                    Some(other) => {
                        let changed = above(k) + usize::from(other != octet);
                        changed.min(above(k + 1) + 1).min(left + 1).min(FAR)
                    }
                },
            };
            left
        })
    });
    let end = (b.len() + MOST).checked_sub(a.len())?;
    band.get(end).copied().filter(|distance| *distance <= MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_octets() {
        assert_eq!(distance("ref", "ref"), Some(0));
        assert_eq!(distance("environment", "enviroment"), Some(1));
        assert_eq!(distance("", "ab"), Some(2));
        assert_eq!(distance("kitten", "sitting"), None);
        assert_eq!(distance(&"a".repeat(65), "a"), None);
    }

    /// The textbook's table, whole.
    fn slow(a: &[u8], b: &[u8]) -> usize {
        let mut above: Vec<usize> = (0..=b.len()).collect();
        for (row, octet) in a.iter().enumerate() {
            let mut current = vec![row + 1];
            for (column, other) in b.iter().enumerate() {
                let changed = above[column] + usize::from(octet != other);
                current.push(changed.min(above[column + 1] + 1).min(current[column] + 1));
            }
            above = current;
        }
        above[b.len()]
    }

    proptest! {
        #[test]
        fn the_band_agrees_with_the_whole_table(a in "[ab]{0,9}", b in "[ab]{0,9}") {
            let whole = slow(a.as_bytes(), b.as_bytes());
            let expected = (whole <= MOST).then_some(whole);
            prop_assert_eq!(distance(&a, &b), expected);
        }
    }
}
