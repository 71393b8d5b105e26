//! "Did you mean": the configured issuer URL that a token's `iss` is nearly equal to.
//!
//! Two questions, both cheap however many issuers there are: is it equal but for case, scheme and
//! slashes at the end; if not, is one of the first hundred URLs a typing error or two away.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Issuer, matches};
use crate::typo;

/// How many URLs are compared letter by letter: an unknown issuer costs no more than this.
const MAX_COMPARED: usize = 100;

/// The shortest URL, without its scheme, in which two letters may differ; in a shorter one (`gitlab.com`,
/// `github.com`) one may.
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
            typo::distance(folded, &url).map(|distance| (distance, *position))
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

#[cfg(test)]
mod tests {
    use super::super::{Issuers, tests::issuers};

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
}
