//! "Did you mean": the configured issuer URL that a token's `iss` is nearly equal to.
//!
//! Two questions, both cheap however many issuers there are: is it equal but for case, scheme and
//! slashes at the end; if not, is one of the first hundred URLs a typing error or two away.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Issuer, matches};

/// How many URLs are compared letter by letter: an unknown issuer costs no more than this.
const MAX_COMPARED: usize = 100;

/// How many letters may differ, in a long URL; in a short one (`gitlab.com`, `github.com`) one may.
const MAX_DISTANCE: usize = 2;

/// The shortest URL, without its scheme, in which more than one letter may differ.
const LONG: usize = 16;

/// The issuers' URLs without what people get wrong; positions are those of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    exact: HashMap<String, usize>,
    patterns: Vec<(String, usize)>,
    compared: Vec<(String, usize)>,
}

impl Index {
    pub(super) fn new(issuers: &[Arc<Issuer>]) -> Self {
        let mut index = Self::default();
        for (position, issuer) in issuers.iter().enumerate() {
            let folded = fold(&issuer.url);
            if issuer.is_pattern() {
                index.patterns.push((folded, position));
                continue;
            }
            if index.compared.len() < MAX_COMPARED {
                index.compared.push((folded.clone(), position));
            }
            index.exact.entry(folded).or_insert(position);
        }
        index
    }

    /// The position of the nearest issuer.
    pub(super) fn find(&self, url: &str) -> Option<usize> {
        let url = fold(url);
        if let Some(position) = self.exact.get(&url) {
            return Some(*position);
        }
        if let Some((_, position)) = self.patterns.iter().find(|(folded, _)| matches(folded, &url))
        {
            return Some(*position);
        }
        let distances = self.compared.iter().filter_map(|(folded, position)| {
            distance(folded.as_bytes(), url.as_bytes()).map(|distance| (distance, *position))
        });
        let nearest = distances.min();
        nearest.filter(|(distance, _)| *distance <= 1 || url.len() >= LONG).map(|(_, at)| at)
    }
}

/// `url` in lower case, without scheme and without slashes at its end.
fn fold(url: &str) -> String {
    let lower = url.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    bare.unwrap_or(&lower).trim_end_matches('/').to_owned()
}

/// How many octets must be put in, taken out or changed to make `b` of `a`; none beyond two.
///
/// Only the diagonal band that can stay within two is computed, so it costs a few steps an octet.
fn distance(a: &[u8], b: &[u8]) -> Option<usize> {
    const WIDTH: usize = 2 * MAX_DISTANCE + 1;
    const FAR: usize = MAX_DISTANCE + 1;
    if a.len().abs_diff(b.len()) > MAX_DISTANCE {
        return None;
    }
    // `band[k]` is the distance of a's first `row` octets to b's first `row + k - MAX_DISTANCE`.
    let start = std::array::from_fn(|k| k.checked_sub(MAX_DISTANCE).unwrap_or(FAR));
    let band = a.iter().enumerate().fold(start, |band: [usize; WIDTH], (row, octet)| {
        let above = |k: usize| band.get(k).copied().unwrap_or(FAR);
        let mut left = FAR;
        std::array::from_fn(|k| {
            let column = (row + 1 + k).checked_sub(MAX_DISTANCE);
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
    let end = (b.len() + MAX_DISTANCE).checked_sub(a.len())?;
    band.get(end).copied().filter(|distance| *distance <= MAX_DISTANCE)
}

#[cfg(test)]
mod tests {
    use super::super::{Issuers, tests::issuers};
    use super::*;
    use proptest::prelude::*;

    fn configured() -> Issuers {
        issuers(&[
            "https://gitlab.com",
            "https://Keycloak.example/realms/Main",
            "https://oidc.circleci.com/org/*",
        ])
    }

    #[track_caller]
    fn check(url: &str, expected: Option<&str>) {
        assert_eq!(configured().nearest(url), expected);
    }

    #[test]
    fn slashes_case_and_scheme_are_what_people_get_wrong() {
        check("https://gitlab.com/", Some("https://gitlab.com"));
        check("http://gitlab.com", Some("https://gitlab.com"));
        check("gitlab.com", Some("https://gitlab.com"));
        check(
            "https://keycloak.example/realms/main//",
            Some("https://Keycloak.example/realms/Main"),
        );
        check("https://oidc.circleci.com/org/Abc/", Some("https://oidc.circleci.com/org/*"));
    }

    #[test]
    fn a_letter_or_two_may_differ() {
        check("https://gitlap.com", Some("https://gitlab.com"));
        check("https://kyecloak.example/realms/main", Some("https://Keycloak.example/realms/Main"));
        check("https://gitlab.co", Some("https://gitlab.com"));
        check("https://github.com", None);
        check("https://elsewhere.example", None);
        check("", None);
    }

    #[test]
    fn an_issuer_that_is_known_needs_no_advice() {
        check("https://gitlab.com", None);
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
            let expected = (whole <= MAX_DISTANCE).then_some(whole);
            prop_assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected);
        }
    }
}
