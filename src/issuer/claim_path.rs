//! The path to a claim inside claims: `$.a.b`, `$["a"]["b"]`, or both mixed.
//!
//! These are the forms of JSONPath that lead to one place; wildcards, filters and array positions
//! are refused when the configuration is read.

use serde_json::{Map, Value};

use crate::quote::quote;

/// The names from the token's claims down to one value; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);

/// Why text is no path to a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// It does not begin with `$`.
    #[error("a path to a claim begins with `$`, as in `$.federated_claims.connector_id`")]
    NoRoot,
    /// `$` stands alone.
    #[error("`$` alone is all claims; name one, as in `$.federated_claims.connector_id`")]
    NoName,
    /// Behind a name stands what is neither `.name` nor `["name"]`.
    #[error("{} cannot be read: a step is `.name` or `[\"name\"]`", quote(.0))]
    Step(String),
}

impl ClaimPath {
    /// Parses `$.a.b` or `$["a"]["b"]`. In the dotted form names are letters, digits and `_`; in
    /// brackets they stand between double quotes and contain none.
    ///
    /// # Errors
    ///
    /// [`ClaimPathError`] says what cannot be read.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        let mut rest = text.strip_prefix('$').ok_or(ClaimPathError::NoRoot)?;
        let mut names = Vec::new();
        while !rest.is_empty() {
            let (name, behind) = step(rest).ok_or_else(|| ClaimPathError::Step(rest.to_owned()))?;
            names.push(name.to_owned());
            rest = behind;
        }
        if names.is_empty() { Err(ClaimPathError::NoName) } else { Ok(Self(names)) }
    }

    /// The value at the end of the path, if every step is there.
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, deeper) = self.0.split_first()?;
        deeper.iter().try_fold(claims.get(first)?, |value, name| value.get(name.as_str()))
    }
}

/// One step off the front of a path, and what is behind it.
fn step(path: &str) -> Option<(&str, &str)> {
    if let Some(dotted) = path.strip_prefix('.') {
        let end = dotted.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(dotted.len());
        return dotted.split_at_checked(end).filter(|(name, _)| !name.is_empty());
    }
    let (name, behind) = path.strip_prefix("[\"")?.split_once('"')?;
    let behind = behind.strip_prefix(']')?;
    (!name.is_empty() && !name.contains('\\')).then_some((name, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(path: &str, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(ClaimPath::parse(path), Ok(ClaimPath(names)));
    }

    #[track_caller]
    fn refuse(path: &str, rest: &str) {
        assert_eq!(ClaimPath::parse(path), Err(ClaimPathError::Step(rest.to_owned())));
    }

    #[test]
    fn dots_and_brackets() {
        check("$.federated_claims.connector_id", &["federated_claims", "connector_id"]);
        check("$[\"a.b\"][\"c/d e\"]", &["a.b", "c/d e"]);
        check("$.a[\"b\"].c", &["a", "b", "c"]);
    }

    #[test]
    fn other_forms_of_jsonpath_are_refused() {
        assert_eq!(ClaimPath::parse("a.b"), Err(ClaimPathError::NoRoot));
        assert_eq!(ClaimPath::parse(""), Err(ClaimPathError::NoRoot));
        assert_eq!(ClaimPath::parse("$"), Err(ClaimPathError::NoName));
        refuse("$.", ".");
        refuse("$..a", "..a");
        refuse("$.a-b", "-b");
        refuse("$.a[0]", "[0]");
        refuse("$.a[*]", "[*]");
        refuse("$['a']", "['a']");
        refuse("$[\"a\"", "[\"a\"");
        refuse("$[\"\"]", "[\"\"]");
        refuse("$[\"a\\\"b\"]", "[\"a\\\"b\"]");
        refuse("$.a ", " ");
    }

    #[test]
    fn it_finds_the_value_or_nothing() {
        let claims = serde_json::json!({ "a": { "b": "c", "l": ["x"] } });
        let find =
            |path: &str| ClaimPath::parse(path).unwrap().find(claims.as_object().unwrap()).cloned();
        assert_eq!(find("$.a.b"), Some("c".into()));
        assert_eq!(find("$.a.b.c"), None);
        assert_eq!(find("$.b"), None);
        assert_eq!(find("$.a.l[\"0\"]"), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(path in "\\$?[.\\[\\]\"a$ä\\\\*]{0,20}") {
            let _ = ClaimPath::parse(&path);
        }
    }
}
