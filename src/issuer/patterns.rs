//! Which pattern an issuer's URL matches, at a cost that does not grow with their number.
//!
//! Each pattern is filed under the longer of its two literal ends, the text before its first `*` or
//! behind its last. A URL is looked up by its own beginnings and ends of the lengths that occur, which
//! are few, however many patterns there are.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::issuer::{Issuer, matches};

/// Patterns in file order.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    all: Vec<Arc<Issuer>>,
    beginnings: Ends,
    ends: Ends,
}

/// Positions of patterns by a literal end of theirs.
#[derive(Clone, Debug, Default)]
struct Ends {
    lengths: BTreeSet<usize>,
    positions: HashMap<String, Vec<usize>>,
}

impl Ends {
    fn insert(&mut self, end: &str, position: usize) {
        self.lengths.insert(end.len());
        self.positions.entry(end.to_owned()).or_default().push(position);
    }

    /// The positions of patterns whose end is what `part` yields of a length that occurs.
    fn candidates<'a>(
        &'a self,
        part: impl Fn(usize) -> Option<&'a str> + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        let filed = move |length: &usize| self.positions.get(part(*length)?);
        self.lengths.iter().filter_map(filed).flatten().copied()
    }
}

impl Patterns {
    /// Takes the patterns in file order.
    pub fn new(all: Vec<Arc<Issuer>>) -> Self {
        let (mut beginnings, mut ends) = (Ends::default(), Ends::default());
        for (position, issuer) in all.iter().enumerate() {
            let before = issuer.url.split('*').next().unwrap_or_default();
            let behind = issuer.url.rsplit('*').next().unwrap_or_default();
            if behind.len() > before.len() {
                ends.insert(behind, position);
            } else {
                beginnings.insert(before, position);
            }
        }
        Self { all, beginnings, ends }
    }

    /// The first that `url` matches.
    pub fn find(&self, url: &str) -> Option<&Arc<Issuer>> {
        let beginnings = self.beginnings.candidates(|length| url.get(..length));
        let ends = self.ends.candidates(|length| url.get(url.len().checked_sub(length)?..));
        let matching = beginnings.chain(ends).filter_map(|position| {
            let issuer = self.all.get(position)?;
            matches(&issuer.url, url).then_some((position, issuer))
        });
        matching.min_by_key(|(position, _)| *position).map(|(_, issuer)| issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::tests::issuers;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_same_one_is_found_as_by_trying_all_in_order(
            urls in prop::collection::vec("[ab./]{0,2}\\*[ab./*]{0,4}", 0..12),
            text in "[ab./]{0,8}",
        ) {
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let all: Vec<_> = issuers(&urls).iter().cloned().collect();
            let found = Patterns::new(all.clone()).find(&text).map(|issuer| issuer.id);
            let slow = all.iter().find(|issuer| matches(&issuer.url, &text));
            prop_assert_eq!(found, slow.map(|issuer| issuer.id));
        }
    }
}
