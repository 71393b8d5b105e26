//! A word that must be one of a list: what is said of one that is not, with the one that was meant.

use crate::quote::quote;
use crate::typo::distance;

/// Letters of a word among which one may be wrong: one in `gke`, two in `github`.
const SOUND: usize = 3;

/// `expected one of a, b; got "x"; did you mean a?`
pub(super) fn complaint(known: &[&str], got: &str) -> String {
    format!("expected one of {}; got {}{}", known.join(", "), quote(got), meant(known, got))
}

/// `; did you mean a?`, or nothing.
pub(super) fn meant(known: &[&str], got: &str) -> String {
    nearest(known, got).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// The name that is a typo away; else the one that the word goes on from: `github-actions`.
fn nearest<'a>(known: &[&'a str], got: &str) -> Option<&'a str> {
    let got = got.to_lowercase();
    let near = known.iter().filter_map(|known| Some((distance(known, &got)?, *known)));
    let near = near.filter(|(distance, _)| *distance <= got.len() / SOUND).min();
    let first = got.split(['-', '_']).next();
    let goes_on = || known.iter().copied().find(|known| first == Some(*known));
    near.map(|(_, known)| known).or_else(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(got: &str, expected: Option<&str>) {
        let known = ["aks", "chainguard", "ci", "eks", "github", "gitlab", "gke"];
        assert_eq!(nearest(&known, got), expected, "{got}");
    }

    #[test]
    fn what_was_meant_is_a_typo_away_or_goes_on() {
        check("gihtub", Some("github"));
        check("GitHub", Some("github"));
        check("gitlb", Some("gitlab"));
        check("gce", Some("gke"));
        check("abc", None);
        check("github-actions", Some("github"));
        check("chainguard-identity", Some("chainguard"));
        check("ci-provider", Some("ci"));
        check("hub", None);
        check("", None);
        check(&"é".repeat(1000), None);
    }

    #[test]
    fn the_whole_list_is_said() {
        assert_eq!(complaint(&["a", "b"], "x\n"), r#"expected one of a, b; got "x\n""#);
    }
}
