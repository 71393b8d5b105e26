//! A configuration file as a tree whose every node knows its place in the file.
//!
//! serde hands out values without positions. Here each node gets an ordinal while the tree is built
//! ([`At`]); when something is wrong with a node, [`Source::line`] reads the text once more, stops at
//! that ordinal on purpose, and takes the line from the parser's own error. So there is one parser,
//! positions cost nothing while all is well, and one more pass for each error shown.

use std::cell::Cell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::marker::PhantomData;

/// Nodes in one file, aliases followed. An alias repeats what it names, so that a small file can
/// stand for a large tree.
const MAX_NODES: usize = 100_000;

/// The place of a node: its ordinal in the order in which the parser meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At(usize);

/// One value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub at: At,
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// a whole number: its decimal digits
    Whole(String),
    /// a number with a fraction or an exponent; its spelling is lost
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// a value with a tag of its own (`!secret x`)
    Tagged,
}

/// One member of a map; a value's place is that of its key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub key: Node,
    pub value: Node,
}

impl Node {
    /// The text of a scalar as it would stand in JSON without quotes; None for anything else.
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Whole(text) | Value::Text(text) => Some(text.clone()),
            Value::Null | Value::Fraction(_) | Value::List(_) | Value::Map(_) | Value::Tagged => {
                None
            }
        }
    }

    /// What this is, for "expected …, got …".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Whole(_) => "a number",
            Value::Fraction(_) => "a number with a fraction",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Tagged => "a YAML tag",
        }
    }
}

/// The two notations of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    Yaml,
    Json,
}

/// Why a text has no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub line: Option<usize>,
    pub reason: String,
}

/// The text of a configuration file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub text: &'a str,
    pub notation: Notation,
}

impl Source<'_> {
    /// Parses the text: of several YAML documents, the first.
    pub fn parse(&self) -> Result<Node, SyntaxError> {
        let mut root = self.pass(None)?;
        match self.notation {
            Notation::Yaml => merge(&mut root),
            Notation::Json => keep_last(&mut root),
        }
        Ok(root)
    }

    /// The line of a node, counted from 1.
    pub fn line(&self, at: At) -> Option<usize> {
        self.pass(Some(at)).err()?.line
    }

    fn pass(&self, stop: Option<At>) -> Result<Node, SyntaxError> {
        let next = Cell::new(0);
        let seed = Seed { next: &next, stop };
        match self.notation {
            Notation::Yaml => {
                let mut documents = yaml_serde::Deserializer::from_str(self.text);
                let Some(document) = documents.next() else {
                    return Ok(Node { at: At(0), value: Value::Null });
                };
                seed.deserialize(document).map_err(|error| SyntaxError {
                    line: error.location().map(|location| location.line()),
                    reason: error.to_string(),
                })
            }
            Notation::Json => {
                let mut document = serde_json::Deserializer::from_str(self.text);
                let node = seed.deserialize(&mut document);
                node.and_then(|node| document.end().map(|()| node)).map_err(|error| SyntaxError {
                    line: Some(error.line()),
                    reason: error.to_string(),
                })
            }
        }
    }
}

/// Go's JSON, and so Fulcio's, takes the last of several members with one name.
fn keep_last(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(keep_last),
        Value::Map(entries) => {
            let mut names = HashSet::new();
            entries.reverse();
            entries.retain(|entry| names.insert(entry.key.scalar()));
            entries.reverse();
            entries.iter_mut().for_each(|entry| keep_last(&mut entry.value));
        }
        Value::Null
        | Value::Bool(_)
        | Value::Whole(_)
        | Value::Fraction(_)
        | Value::Text(_)
        | Value::Tagged => {}
    }
}

/// Replaces YAML's merge keys (`<<: *base`): own members win, of several bases the first.
fn merge(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(merge),
        Value::Map(entries) => {
            entries.iter_mut().for_each(|entry| merge(&mut entry.value));
            if entries.iter().any(is_merge) {
                let (merges, mut own): (Vec<_>, Vec<_>) =
                    std::mem::take(entries).into_iter().partition(is_merge);
                let mut names: HashSet<String> =
                    own.iter().filter_map(|entry| entry.key.scalar()).collect();
                for entry in merges.into_iter().flat_map(bases) {
                    if entry.key.scalar().is_none_or(|name| names.insert(name)) {
                        own.push(entry);
                    }
                }
                *entries = own;
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Whole(_)
        | Value::Fraction(_)
        | Value::Text(_)
        | Value::Tagged => {}
    }
}

/// Whether an entry is a merge key with something to merge; another stays, an unknown key.
fn is_merge(entry: &Entry) -> bool {
    let mergeable = |node: &Node| matches!(node.value, Value::Map(_));
    let value = &entry.value;
    let all = matches!(&value.value, Value::List(items) if items.iter().all(mergeable));
    entry.key.value == Value::Text("<<".to_owned()) && (all || mergeable(value))
}

fn bases(merge: Entry) -> Vec<Entry> {
    let maps = if let Value::List(items) = merge.value.value { items } else { vec![merge.value] };
    let entries =
        |map: Node| if let Value::Map(entries) = map.value { entries } else { Vec::new() };
    maps.into_iter().flat_map(entries).collect()
}

/// Builds a node, or stops at one.
#[derive(Clone, Copy)]
struct Seed<'a> {
    next: &'a Cell<usize>,
    stop: Option<At>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let at = At(self.next.get());
        if at.0 >= MAX_NODES {
            return Err(serde::de::Error::custom("more than 100000 values"));
        }
        self.next.set(at.0 + 1);
        if self.stop == Some(at) {
            return deserializer.deserialize_any(Stop).map(|never| match never {});
        }
        deserializer.deserialize_any(self).map(|value| Node { at, value })
    }
}

/// Takes nothing, so that the parser complains, and says where.
struct Stop;

impl Visitor<'_> for Stop {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Whole(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Whole(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(self)? {
            let value = Node { at: key.at, ..access.next_value_seed(self)? };
            entries.push(Entry { key, value });
        }
        Ok(Value::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        // The tagged value is read, so that the parser goes on behind it, and dropped.
        let (_, variant) = access.variant_seed(PhantomData::<IgnoredAny>)?;
        variant.newtype_variant_seed(self)?;
        Ok(Value::Tagged)
    }
}
