//! The claims that a preset's tokens have, so that a rule that names another one is seen: a typo in
//! `deny` would let everybody in.

use crate::quote::quote;
use crate::typo::distance;

/// What every token may have (RFC 7519 §4.1).
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

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

    /// What is odd about a rule that names `claim`, if anything is.
    pub fn warning(&self, preset: &str, claim: &str) -> Option<String> {
        let deeper = claim.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
        let nearest = self.nearest(claim);
        let odd = match deeper {
            // What is inside of a claim nobody lists whole: only what looks like a typo is odd.
            true => !self.has_first(claim) || !self.has(claim) && nearest.is_some(),
            false => !self.has(claim.strip_prefix('/').unwrap_or(claim)),
        };
        let hint = nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        odd.then(|| format!("the tokens of preset {preset} have no claim {}{hint}", quote(claim)))
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

    fn nearest(&self, claim: &str) -> Option<&str> {
        let near =
            self.0.iter().filter_map(|known| Some((distance(known, claim)?, known.as_str())));
        near.min().map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(claim: &str, expected: Option<&str>) {
        let claims = ["event_name", "repo_property_*", "/kubernetes.io/namespace"];
        let known = Known::new(claims.map(str::to_owned));
        let odd = expected.map(|rest| format!("the tokens of preset p have no claim {rest}"));
        assert_eq!(known.warning("p", claim), odd, "{claim}");
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
    fn any_claim_is_any_claim() {
        let known = Known::new(["*".to_owned()]);
        assert_eq!(known.warning("p", "colour"), None);
        assert_eq!(known.warning("p", "/colour/0"), None);
    }
}
