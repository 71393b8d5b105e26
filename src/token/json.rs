//! JSON, strictly: what two parsers could read in two ways is refused.
//!
//! Refused are members that occur twice in one object (`{"iss":"a","iss":"b"}`), nesting over 32
//! levels, octets that are not UTF-8, lone surrogates, a byte order mark and anything after the value.
//! Whole numbers from -2^63 to 2^64-1 keep every digit; other numbers become the nearest `f64`.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::quote::quote;

/// How deep arrays and objects may be nested; the outermost counts as one.
pub const DEPTH: usize = 32;

/// Members that the outermost object has room for from the start: as many as a CI system's token has.
const MEMBERS: usize = 32;

/// Why a text is not the JSON we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Octets that are not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Not JSON, or something follows it.
    #[error("is not JSON (column {column} of line {line})")]
    Syntax {
        /// Line of the first fault, from 1.
        line: usize,
        /// Its column, in octets.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("is not a JSON object")]
    NotAnObject,
    /// A member that occurs twice in one object.
    #[error("has the member {} twice", quote(.0))]
    DuplicateMember(String),
    /// Arrays and objects nested deeper than [`DEPTH`].
    #[error("is nested deeper than {DEPTH} levels")]
    TooDeep,
}

/// Reads one JSON value that is an object.
///
/// # Errors
/// Every [`JsonError`].
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match parse(text)? {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

/// Reads one JSON value of any kind.
///
/// # Errors
/// Every [`JsonError`] but [`JsonError::NotAnObject`].
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let text = str::from_utf8(text).map_err(|_| JsonError::NotUtf8)?;
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { left: DEPTH, fault: &fault }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        let syntax = JsonError::Syntax { line: error.line(), column: error.column() };
        fault.into_inner().unwrap_or(syntax)
    })
}

/// Reads a value that may be nested `left` levels more.
///
/// Serde's errors carry text only, so the rule that was broken is put aside in `fault`.
#[derive(Clone, Copy)]
struct Strict<'a> {
    left: usize,
    fault: &'a RefCell<Option<JsonError>>,
}

impl Strict<'_> {
    fn inside<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.refuse(JsonError::TooDeep)),
        }
    }

    fn refuse<E: Error>(self, fault: JsonError) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        // Attack: thousands of small objects. Only the outermost has room before it has members.
        let mut members = Map::with_capacity(if self.left == DEPTH { MEMBERS } else { 0 });
        while let Some(name) = access.next_key::<String>()? {
            match members.entry(name) {
                Entry::Vacant(place) => place.insert(access.next_value_seed(inside)?),
                Entry::Occupied(place) => {
                    return Err(self.refuse(JsonError::DuplicateMember(place.key().clone())));
                }
            };
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refuses(text: impl AsRef<[u8]>, error: JsonError) {
        assert_eq!(parse(text.as_ref()), Err(error));
    }

    #[track_caller]
    fn refuses_syntax(text: &str) {
        assert!(matches!(parse(text.as_bytes()), Err(JsonError::Syntax { .. })), "{text}");
    }

    #[test]
    fn members_occur_once() {
        refuses(r#"{"iss":"a","iss":"b"}"#, JsonError::DuplicateMember("iss".into()));
        refuses(r#"{"iss":"a","\u0069ss":"b"}"#, JsonError::DuplicateMember("iss".into()));
        refuses(r#"{"x":[{"a":1,"b":{"c":1,"c":1}}]}"#, JsonError::DuplicateMember("c".into()));
        assert!(parse(br#"{"a":{"a":1},"A":[{"a":1},{"a":1}]}"#).is_ok());
    }

    #[test]
    fn nesting_ends_at_32() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(nested(32).as_bytes()).is_ok());
        refuses(nested(33), JsonError::TooDeep);
        refuses("[".repeat(1_000_000), JsonError::TooDeep);
        refuses(r#"{"a":"#.repeat(1_000_000), JsonError::TooDeep);
    }

    #[test]
    fn text_is_one_value_in_utf_8() {
        refuses(b"\"\xff\"", JsonError::NotUtf8);
        refuses(b"\"\xed\xa0\x80\"", JsonError::NotUtf8);
        refuses("{} x", JsonError::Syntax { line: 1, column: 4 });
        for text in ["", "{}{}", "\u{feff}{}", r#""\ud800""#, "{\"a\":1,}", "01", "NaN", "'a'"] {
            refuses_syntax(text);
        }
        for text in ["1e400", "\"\u{1}\"", "[1 2]", "tru", "{} \0", "// x\n{}"] {
            refuses_syntax(text);
        }
        assert_eq!(parse(b" \n{} \n"), Ok(Value::Object(Map::new())));
    }

    #[test]
    fn only_objects_are_objects() {
        assert_eq!(parse_object(b"{}"), Ok(Map::new()));
        for text in ["[]", "null", "1", "\"{}\"", "true"] {
            assert_eq!(parse_object(text.as_bytes()), Err(JsonError::NotAnObject), "{text}");
        }
    }

    #[test]
    fn whole_numbers_keep_their_digits() {
        for text in ["18446744073709551615", "-9223372036854775808", "9007199254740993", "0"] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
        }
        assert!(parse(b"18446744073709551616").unwrap().is_f64());
        assert!(parse(b"1.0").unwrap().is_f64());
    }

    proptest! {
        #[test]
        fn never_panics_and_accepts_less_than_serde(text in ".{0,200}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }

        #[test]
        fn never_panics_on_what_looks_like_json(text in r#"([\[\]{}":,0-9ae.\\ut-]|"[ab]":){0,60}"#) {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
