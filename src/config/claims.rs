//! The claims that a preset's tokens have, so that a rule that names another one is seen: a typo in
//! `deny` would let everybody in.

use crate::quote::quote;
use crate::typo::distance;

/// What every token may have (RFC 7519 §4.1).
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Words that people write for a claim.
const WORDS: &[(&str, &str)] = &[
    ("branch", "ref"),
    ("branch", "build_branch"),
    ("tag", "ref"),
    ("org", "repository_owner_id"),
    ("organization", "repository_owner_id"),
    ("owner", "repository_owner_id"),
    ("group", "namespace_id"),
    ("project", "project_id"),
];

/// Octets of a claim's beginning that tell which was meant.
const MIN_BEGINNING: usize = 3;

/// The claims of one preset: names, JSON Pointers, and beginnings of names (`repo_property_*`; `*` alone
/// is any).
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Vec<String>);

impl Known {
    pub fn new(claims: impl IntoIterator<Item = String>) -> Self {
        let mut claims: Vec<String> = claims.into_iter().collect();
        claims.extend(REGISTERED.iter().map(|name| (*name).to_owned()));
        Self(claims)
    }

    /// What is wrong with a rule that names `claim`, if anything is.
    pub fn complaint(&self, preset: &str, claim: &str) -> Option<String> {
        let deeper = claim.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
        let odd = match deeper {
            // What is inside of a claim nobody lists whole: only what looks like a typo is odd.
            true => !self.has_first(claim) || !self.has(claim) && self.typo(claim).is_some(),
            false => !self.has(claim.strip_prefix('/').unwrap_or(claim)),
        };
        odd.then(|| {
            let meant = self.meant(claim).map(|near| format!("; did you mean {near}?"));
            let (claim, meant) = (quote(claim), meant.unwrap_or_default());
            format!("the tokens of preset {preset} have no claim {claim}{meant}")
        })
    }

    fn has(&self, claim: &str) -> bool {
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => claim.starts_with(beginning),
            None => known == claim,
        })
    }

    /// Whether the claim that a pointer begins with is known, as a pointer or by its name.
    fn has_first(&self, pointer: &str) -> bool {
        let first = |pointer: &str| pointer.split('/').nth(1).map(str::to_owned);
        let name = first(pointer).unwrap_or_default();
        let known = |known: &String| known.starts_with('/') && first(known).as_ref() == Some(&name);
        self.0.iter().any(known) || self.has(&name.replace("~1", "/").replace("~0", "~"))
    }

    /// The claim that was meant: the same letters, another word for it, how it goes on, or a typo away.
    fn meant(&self, claim: &str) -> Option<&str> {
        let names = || self.0.iter().map(String::as_str).filter(|known| !known.ends_with('*'));
        let letters = letters(claim);
        let same = names().find(|known| self::letters(known) == letters);
        let is_word = |row: &&(&str, &str)| row.0 == letters;
        let word = || names().find(|known| WORDS.iter().filter(is_word).any(|row| row.1 == *known));
        let goes_on = |known: &&str| claim.len() >= MIN_BEGINNING && known.starts_with(claim);
        let longer = || names().filter(goes_on).min_by_key(|known| known.len());
        same.or_else(word).or_else(longer).or_else(|| self.typo(claim))
    }

    fn typo(&self, claim: &str) -> Option<&str> {
        let near =
            self.0.iter().filter_map(|known| Some((distance(known, claim)?, known.as_str())));
        near.min().map(|(_, known)| known)
    }
}

/// A claim without case and separators: `repositoryOwnerId` is `repository_owner_id`.
fn letters(claim: &str) -> String {
    claim.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(claim: &str, expected: Option<&str>) {
        let claims = ["event_name", "repo_property_*", "/kubernetes.io/namespace"];
        let known = Known::new(claims.map(str::to_owned));
        let odd = expected.map(|rest| format!("the tokens of preset p have no claim {rest}"));
        assert_eq!(known.complaint("p", claim), odd, "{claim}");
    }

    #[test]
    fn sees_what_no_token_has() {
        check("event_name", None);
        check("/event_name", None);
        check("sub", None);
        check("repo_property_tier", None);
        check("event_nam", Some("\"event_nam\"; did you mean event_name?"));
        check("Event_name", Some("\"Event_name\"; did you mean event_name?"));
        check("/colour", Some("\"/colour\""));
        check("/colour/0", Some("\"/colour/0\""));
    }

    #[test]
    fn inside_of_a_claim_only_a_typo_is_odd() {
        check("/kubernetes.io/namespace", None);
        check("/kubernetes.io/pod/name", None);
        check("/event_name/0", None);
        check(
            "/kubernetes.io/namepsace",
            Some("\"/kubernetes.io/namepsace\"; did you mean /kubernetes.io/namespace?"),
        );
    }

    #[test]
    fn what_was_meant_is_said() {
        let claims =
            ["ref", "repository_owner_id", "repository", "repository_id", "repo_property_*"];
        let known = Known::new(claims.map(str::to_owned));
        for (written, meant) in [
            ("repo", Some("repository")),
            ("branch", Some("ref")),
            ("repositoryOwnerId", Some("repository_owner_id")),
            ("Repository-ID", Some("repository_id")),
            ("owner", Some("repository_owner_id")),
            ("rfe", Some("ref")),
            ("colour", None),
        ] {
            assert_eq!(known.meant(written), meant, "{written}");
        }
    }

    #[test]
    fn any_claim_is_any_claim() {
        let known = Known::new(["*".to_owned()]);
        assert_eq!(known.complaint("p", "colour"), None);
        assert_eq!(known.complaint("p", "/colour/0"), None);
    }
}
