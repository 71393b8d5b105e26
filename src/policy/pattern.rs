//! One condition: which claim, and what it must look like.
//!
//! ```text
//! repository_owner_id: "9919"                       a claim by name; text is compared whole
//! ref: [ refs/heads/main, "refs/tags/v*" ]          any of; * is any run of characters
//! /kubernetes.io/namespace: { not: default }        a JSON Pointer; turned round
//! ref: { regex: "refs/tags/v[0-9.]+" }              anchored at both ends
//! ```
//!
//! Whole numbers compare as their digits (`666.0` is 666, as a certificate says it), other numbers and
//! booleans as their JSON text. Of an array it is enough that one element matches. What cannot be
//! compared, an object, an array inside an array or a number that was rounded when it was read, counts
//! against its bearer: nothing in `allow` fits it, not even turned round, and everything in `deny`.
//! Nothing here allocates, except for sentences and for an expression that a thread uses for the first
//! time.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::glob;
use crate::quote::quote;
use crate::token::number::Digits;

mod anchored;

pub use anchored::{Anchored, RegexError};

/// How many of a list's patterns a sentence repeats.
const MAX_SHOWN: usize = 5;

/// The longest text that a sentence repeats without quotes, in octets.
const MAX_PLAIN: usize = 200;

/// A claim by name, or by JSON Pointer (RFC 6901) when it begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSelector {
    written: Arc<Written>,
    /// Its claim among those of an issuer's rules, once these are complete.
    pub(super) number: Option<u8>,
}

/// A claim, as text and as a way. Shared, so that a selector is small: a decision passes thousands.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    text: String,
    /// The names on the way down, at least one.
    path: Vec<String>,
}

/// Why text selects no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It is empty.
    #[error("expected the name of a claim, got empty text")]
    Empty,
    /// A `~` of a pointer stands alone.
    #[error("not a JSON Pointer: write ~0 for ~, and ~1 for / within a name")]
    Escape,
}

impl ClaimSelector {
    /// Parses a claim's name, or a JSON Pointer.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] when the text is empty, or no pointer for all its slash.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let path = match text.strip_prefix('/') {
            None if text.is_empty() => return Err(SelectorError::Empty),
            None => vec![text.to_owned()],
            Some(pointer) => pointer.split('/').map(unescape).collect::<Result<_, _>>()?,
        };
        Ok(Self { written: Arc::new(Written { text: text.to_owned(), path }), number: None })
    }

    /// The name or pointer, as written.
    pub fn as_str(&self) -> &str {
        &self.written.text
    }

    /// The claim, if the token has it; null is absent.
    pub fn select<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, deeper) = self.written.path.split_first()?;
        let found = deeper.iter().try_fold(claims.get(first)?, |value, name| step(value, name));
        found.filter(|value| !value.is_null())
    }
}

/// A pointer's token as the name that it means. Order matters: `~01` is `~1`, not `/`.
fn unescape(token: &str) -> Result<String, SelectorError> {
    if token.split('~').skip(1).any(|behind| !behind.starts_with(['0', '1'])) {
        return Err(SelectorError::Escape);
    }
    Ok(token.replace("~1", "/").replace("~0", "~"))
}

fn step<'c>(value: &'c Value, name: &str) -> Option<&'c Value> {
    match value {
        Value::Object(members) => members.get(name),
        Value::Array(elements) => {
            let is_index = name == "0" || !name.starts_with(['0', '+']);
            name.parse::<usize>().ok().filter(|_| is_index).and_then(|at| elements.get(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What a claim must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Compared whole; `*` stands for any run of characters, none included.
    Text(String),
    /// Compared whole with a regular expression.
    Regex(Arc<Anchored>),
    /// At least one of these.
    Any(Vec<Pattern>),
    /// Present, and not this.
    Not(Box<Pattern>),
}

impl Pattern {
    /// Whether a claim that is there looks like this, if what cannot be compared does as `incomparable` says.
    pub fn matches(&self, value: &Value, incomparable: bool) -> bool {
        match self {
            Self::Text(pattern) => {
                any_text(value, incomparable, |text| glob::matches(pattern, text))
            }
            Self::Regex(pattern) => any_text(value, incomparable, |text| pattern.matches(text)),
            Self::Any(patterns) => {
                patterns.iter().any(|pattern| pattern.matches(value, incomparable))
            }
            Self::Not(pattern) => !pattern.matches(value, !incomparable),
        }
    }
}

/// Whether a value, or one element of it, has a text that `matches`.
fn any_text(value: &Value, incomparable: bool, matches: impl Fn(&str) -> bool) -> bool {
    let one = |value: &Value| match value {
        Value::String(text) => matches(text),
        Value::Bool(true) => matches("true"),
        Value::Bool(false) => matches("false"),
        Value::Number(number) if !Digits::is_exact(number) => incomparable,
        Value::Number(number) => matches(Digits::of(number).as_str()),
        Value::Null => false,
        Value::Array(_) | Value::Object(_) => incomparable,
    };
    value.as_array().map_or_else(|| one(value), |elements| elements.iter().any(one))
}

/// As a sentence says it: `refs/heads/main or refs/tags/v*`.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&plain(text)),
            Self::Regex(pattern) => write!(f, "the regex {}", plain(pattern.as_str())),
            Self::Not(pattern) => write!(f, "other than {pattern}"),
            Self::Any(patterns) => {
                for (position, pattern) in patterns.iter().take(MAX_SHOWN).enumerate() {
                    f.write_str(if position == 0 { "" } else { " or " })?;
                    write!(f, "{pattern}")?;
                }
                match patterns.len().saturating_sub(MAX_SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " or one of {more} more"),
                }
            }
        }
    }
}

/// A claim as a sentence says it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(elements) => match elements.as_slice() {
            [] => "an empty list".to_owned(),
            [only] => format!("only {}", shown(only)),
            [first, others @ ..] => format!("{} and {} others", shown(first), others.len()),
        },
        Value::Object(_) => "an object".to_owned(),
        Value::Number(number) => Digits::of(number).as_str().to_owned(),
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

/// Text that needs no quotes without them, other text in them.
fn plain(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
    if is_plain && text.len() <= MAX_PLAIN { text.to_owned() } else { quote(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(text: &str) -> Pattern {
        Pattern::Text(text.to_owned())
    }

    #[track_caller]
    fn check(pattern: &Pattern, value: &Value, expected: bool) {
        for incomparable in [false, true] {
            let matches = pattern.matches(value, incomparable);
            assert_eq!(matches, expected, "{pattern} against {value}");
        }
    }

    #[test]
    fn text_is_compared_whole() {
        check(&text("main"), &json!("main"), true);
        check(&text("main"), &json!("Main"), false);
        check(&text("main"), &json!("main "), false);
        check(&text("main"), &json!("xmain"), false);
        check(&text("mai?"), &json!("main"), false);
        check(&text(""), &json!(""), true);
        check(&text(""), &json!("a"), false);
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        check(&text("*"), &json!(""), true);
        check(&text("*"), &json!("a/ä\nb"), true);
        check(&text("refs/tags/v*"), &json!("refs/tags/v"), true);
        check(&text("refs/tags/v*"), &json!("refs/tags/v1/x"), true);
        check(&text("refs/tags/v*"), &json!("refs/heads/v1"), false);
        check(&text("*@example.com"), &json!("a@example.com"), true);
        check(&text("*@example.com"), &json!("a@example.com.evil"), false);
        check(&text("a*b*c"), &json!("abxbc"), true);
        check(&text("a*b*c"), &json!("ac"), false);
        check(&text("**"), &json!("x"), true);
    }

    #[test]
    fn numbers_and_booleans_are_their_text() {
        check(&text("9919"), &json!(9919), true);
        check(&text("-3"), &json!(-3), true);
        check(&text("666"), &json!(666.0), true);
        check(&text("666"), &serde_json::from_str("6.66e2").unwrap(), true);
        check(&text("666.0"), &json!(666.0), false);
        check(&text("0"), &json!(-0.0), true);
        check(&text("1.5"), &json!(1.5), true);
        check(&text("18446744073709551615"), &json!(u64::MAX), true);
        check(&text("-9223372036854775808"), &json!(i64::MIN), true);
        check(&text("true"), &json!(true), true);
        check(&text("false"), &json!(true), false);
        check(&text("991*"), &json!(9919), true);
    }

    #[test]
    fn a_regex_sees_the_same_texts() {
        let regex = |source: &str| Pattern::Regex(Arc::new(Anchored::parse(source).unwrap()));
        check(&regex("v[0-9]+"), &json!("v1"), true);
        check(&regex("[0-9]+"), &json!(42), true);
        check(&regex("tr.e"), &json!(true), true);
        check(&regex("b+"), &json!(["a", "bb"]), true);
        check(&Pattern::Not(Box::new(regex("b+"))), &json!("b"), false);
        assert_eq!(regex("v[0-9]+").to_string(), "the regex v[0-9]+");
    }

    #[test]
    fn of_a_list_one_element_is_enough() {
        check(&text("admins"), &json!(["dev", "admins"]), true);
        check(&text("admins"), &json!(["dev"]), false);
        check(&text("*"), &json!([]), false);
        check(&text("a"), &json!(["a", { "b": "c" }]), true);
        check(&text("*"), &json!([null]), false);
        check(&Pattern::Not(Box::new(text("dev"))), &json!(["dev", "ops"]), false);
    }

    #[test]
    fn what_cannot_be_compared_counts_as_it_is_told_to() {
        let not = |pattern: Pattern| Pattern::Not(Box::new(pattern));
        let any = Pattern::Any(vec![text("a"), not(text("b"))]);
        let regex = Pattern::Regex(Arc::new(Anchored::parse("a.*").unwrap()));
        for value in [json!({ "a": "b" }), json!([["a"]]), json!(["c", { "a": "b" }])] {
            for pattern in [text("a"), text("b*"), any.clone(), regex.clone()] {
                for pattern in [pattern.clone(), not(pattern.clone()), not(not(pattern))] {
                    for incomparable in [false, true] {
                        let matches = pattern.matches(&value, incomparable);
                        assert_eq!(matches, incomparable, "{pattern} against {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_of_and_not() {
        let any = Pattern::Any(vec![text("a"), text("b*")]);
        check(&any, &json!("a"), true);
        check(&any, &json!("bcd"), true);
        check(&any, &json!("c"), false);
        check(&Pattern::Any(Vec::new()), &json!("a"), false);
        check(&Pattern::Not(Box::new(any.clone())), &json!("c"), true);
        check(&Pattern::Not(Box::new(any)), &json!("a"), false);
    }

    #[track_caller]
    fn selects(selector: &str, expected: Option<Value>) {
        let claims = json!({
            "sub": "a", "gone": null, "/odd": 1, "a/b": 2, "~": 3, "~1": 4, "": 5,
            "kubernetes.io": { "namespace": "ci", "list": ["x", { "y": "z" }] },
        });
        let selector = ClaimSelector::parse(selector).unwrap();
        assert_eq!(selector.select(claims.as_object().unwrap()).cloned(), expected);
    }

    #[test]
    fn claims_by_name_and_by_pointer() {
        selects("sub", Some(json!("a")));
        selects("a/b", Some(json!(2)));
        selects("gone", None);
        selects("nope", None);
        selects("/sub", Some(json!("a")));
        selects("/a~1b", Some(json!(2)));
        selects("/~1odd", Some(json!(1)));
        selects("/~0", Some(json!(3)));
        selects("/~01", Some(json!(4)));
        selects("/", Some(json!(5)));
        selects("/kubernetes.io/namespace", Some(json!("ci")));
        selects("/kubernetes.io/list/0", Some(json!("x")));
        selects("/kubernetes.io/list/1/y", Some(json!("z")));
        selects("/kubernetes.io/list/01", None);
        selects("/kubernetes.io/list/+1", None);
        selects("/kubernetes.io/list/2", None);
        selects("/kubernetes.io/namespace/x", None);
        selects("/gone", None);
    }

    #[test]
    fn other_text_selects_nothing() {
        assert_eq!(ClaimSelector::parse(""), Err(SelectorError::Empty));
        assert_eq!(ClaimSelector::parse("/a~"), Err(SelectorError::Escape));
        assert_eq!(ClaimSelector::parse("/a~2"), Err(SelectorError::Escape));
        assert!(ClaimSelector::parse("a~2").is_ok());
    }

    #[test]
    fn sentences() {
        let many = Pattern::Any((0..7).map(|n| text(&n.to_string())).collect());
        assert_eq!(many.to_string(), "0 or 1 or 2 or 3 or 4 or one of 2 more");
        assert_eq!(Pattern::Not(Box::new(text("a b"))).to_string(), "other than \"a b\"");
        assert_eq!(shown(&json!("refs/heads/dev")), "refs/heads/dev");
        assert_eq!(shown(&json!("a\nb")), "\"a\\nb\"");
        assert_eq!(shown(&json!("")), "\"\"");
        assert_eq!(shown(&json!("x".repeat(201))), format!("\"{}…\"", "x".repeat(200)));
        assert_eq!(shown(&json!(["a b", 1, 2])), "\"a b\" and 2 others");
        assert_eq!(shown(&json!(["a"])), "only a");
        assert_eq!(shown(&json!(7)), "7");
        assert_eq!(shown(&json!(7.0)), "7");
    }
}
