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
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

/// Nodes in one file, aliases followed. An alias repeats what it names, so that a small file can
/// stand for a large tree.
const MAX_NODES: usize = 100_000;

/// How many brackets may be open at one place. The parser spends on each value what is open around it,
/// before it refuses more than 128 levels. Brackets within quotes and comments count, hence the room.
const MAX_OPEN: usize = 1000;

/// The place of a node: its ordinal in the order in which the parser meets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Whether there is nothing here.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The text, where this is text.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The items, where this is a list.
    pub fn list(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// The members, where this is a map.
    pub fn map(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// The items of a list, or the values of a map.
    pub fn children(&mut self) -> impl Iterator<Item = &mut Node> {
        let (items, entries): (&mut [Node], &mut [Entry]) = match &mut self.value {
            Value::List(items) => (items, &mut []),
            Value::Map(entries) => (&mut [], entries),
            Value::Null
            | Value::Bool(_)
            | Value::Whole(_)
            | Value::Fraction(_)
            | Value::Text(_)
            | Value::Tagged => (&mut [], &mut []),
        };
        items.iter_mut().chain(entries.iter_mut().map(|entry| &mut entry.value))
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
        refuse_deep_brackets(self.text)?;
        let mut root = self.pass(None)?;
        if self.notation == Notation::Yaml {
            refuse_repeated_anchors(self.text)?;
            merge(&mut root);
        }
        Ok(root)
    }

    /// Whether this is YAML with more documents than the first.
    pub fn has_more(&self) -> bool {
        self.notation == Notation::Yaml
            && yaml_serde::Deserializer::from_str(self.text).nth(1).is_some()
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

/// Refuses text in which more brackets are open at one place than [`MAX_OPEN`].
fn refuse_deep_brackets(text: &str) -> Result<(), SyntaxError> {
    let mut open: usize = 0;
    for (line, content) in (1..).zip(text.lines()) {
        for octet in content.bytes() {
            match octet {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MAX_OPEN {
                let reason = format!("more than {MAX_OPEN} brackets are open at once");
                return Err(SyntaxError { line: Some(line), reason });
            }
        }
    }
    Ok(())
}

/// Refuses text in which two anchors seem to have one name (quoted text may look like it, too).
///
/// Quirk: yaml_serde 0.10.7 numbers an anchor by how many names there are; behind a name that comes
/// twice, `*b` may silently yield what `&c` named.
fn refuse_repeated_anchors(text: &str) -> Result<(), SyntaxError> {
    let mut names = HashSet::new();
    for (line, content) in (1..).zip(text.lines()) {
        for name in anchors(content) {
            if !names.insert(name) {
                let reason = format!("the anchor &{name} comes twice: give each its own name");
                return Err(SyntaxError { line: Some(line), reason });
            }
        }
    }
    Ok(())
}

/// The names of the anchors that may stand in a line.
fn anchors(line: &str) -> impl Iterator<Item = &str> {
    let code = if line.trim_start().starts_with('#') { "" } else { line };
    let begins =
        |before: &str| before.is_empty() || before.ends_with([' ', '\t', '[', '{', ',', ':']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    code.match_indices('&').filter_map(move |(at, _)| {
        let (before, anchor) = code.split_at_checked(at)?;
        let name = anchor.get(1..)?;
        let name = name.get(..name.find(|c| !is_name(c)).unwrap_or(name.len()))?;
        (begins(before) && !name.is_empty()).then_some(name)
    })
}

/// Replaces YAML's merge keys (`<<: *base`): own members win, of several bases the first.
fn merge(node: &mut Node) {
    node.children().for_each(merge);
    let Value::Map(entries) = &mut node.value else { return };
    if !entries.iter().any(is_merge) {
        return;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.drain(..).partition(is_merge);
    let mut names: HashSet<String> = own.iter().filter_map(|entry| entry.key.scalar()).collect();
    for entry in merges.into_iter().flat_map(bases) {
        if entry.key.scalar().is_none_or(|name| names.insert(name)) {
            own.push(entry);
        }
    }
    *entries = own;
}

/// Whether an entry is a merge key with something to merge; another stays, an unknown key.
fn is_merge(entry: &Entry) -> bool {
    let value = &entry.value;
    let bases = value.list().is_some_and(|items| items.iter().all(|item| item.map().is_some()));
    entry.key.text() == Some("<<") && (bases || value.map().is_some())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
        if node.text() == Some(name) {
            return Some(node);
        }
        let items = node.list().unwrap_or_default().iter();
        let entries = node.map().unwrap_or_default().iter();
        let named = |entry: &'a Entry| {
            let here = entry.key.scalar().is_some_and(|key| key == name);
            if here { Some(&entry.value) } else { find(&entry.value, name) }
        };
        items.flat_map(|item| find(item, name)).chain(entries.flat_map(named)).next()
    }

    /// The line of the value of the first key `name`, or of the text `name`.
    #[track_caller]
    fn check(notation: Notation, text: &str, name: &str, expected: usize) {
        let source = Source { text, notation };
        let root = source.parse().unwrap();
        let node = find(&root, name).unwrap();
        assert_eq!(source.line(node.at), Some(expected), "{name} in {text:?}");
    }

    #[test]
    fn a_node_is_where_its_key_is() {
        let text = "# comment\na: 1\nb:\n  - c: |\n      text\n      text\n    d: { e: [ f,\n  g ] }\nh:\n";
        for (name, line) in
            [("a", 2), ("b", 3), ("c", 4), ("d", 7), ("e", 7), ("f", 7), ("g", 8), ("h", 9)]
        {
            check(Notation::Yaml, text, name, line);
        }
        check(Notation::Yaml, "a: 1\r\nb: 2\r\n", "b", 2);
        check(Notation::Json, "{\n \"a\": 1,\n \"b\": [\n  \"c\" ] }", "a", 2);
        check(Notation::Json, "{\n \"a\": 1,\n \"b\": [\n  \"c\" ] }", "b", 3);
    }

    #[test]
    fn what_an_alias_repeats_is_where_it_was_written_first() {
        check(Notation::Yaml, "a: &x\n  b: 1\nc: *x\nd: 2\n", "d", 4);
        check(Notation::Yaml, "a: &x name\n*x: 1\nb: 2\n", "b", 3);
    }

    #[test]
    fn an_anchor_that_comes_twice_is_refused() {
        let parse = |text| Source { text, notation: Notation::Yaml }.parse().err();
        let text = "a: &x 1\nb: [ &x 2, &y 3 ]\nc: *x\n";
        let error = parse(text).unwrap();
        assert_eq!(error.line, Some(2));
        assert_eq!(error.reason, "the anchor &x comes twice: give each its own name");
        assert_eq!(parse("a: &x 1\nb: &y 2\nc: *x\n# &x\nd: a&x\n"), None);
    }

    #[track_caller]
    fn check_keys(notation: Notation, text: &str, expected: &[(&str, &str)]) {
        let root = Source { text, notation }.parse().unwrap();
        let map = find(&root, "map").unwrap();
        let pairs: Vec<_> = map
            .map()
            .unwrap()
            .iter()
            .map(|entry| (entry.key.scalar().unwrap(), entry.value.scalar().unwrap()))
            .collect();
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn merge_keys_yield_to_what_is_written_out() {
        let bases = "x: &x { a: 1, b: 2 }\ny: &y { b: 3, c: 4 }\n";
        check_keys(
            Notation::Yaml,
            &format!("{bases}map: {{ <<: *x, b: 9 }}"),
            &[("b", "9"), ("a", "1")],
        );
        check_keys(
            Notation::Yaml,
            &format!("{bases}map: {{ <<: [*x, *y] }}"),
            &[("a", "1"), ("b", "2"), ("c", "4")],
        );
        check_keys(Notation::Yaml, "map: { <<: 1 }", &[("<<", "1")]);
    }

    #[test]
    fn members_with_one_name_are_all_kept() {
        let text = "{\"map\": {\"a\": 1, \"b\": 2, \"a\": 3}}";
        for notation in [Notation::Json, Notation::Yaml] {
            check_keys(notation, text, &[("a", "1"), ("b", "2"), ("a", "3")]);
        }
    }

    #[test]
    fn whole_numbers_keep_all_their_digits() {
        check_keys(
            Notation::Yaml,
            "map: { a: 18446744073709551616, b: -9, c: true, d: 007 }",
            &[("a", "18446744073709551616"), ("b", "-9"), ("c", "true"), ("d", "007")],
        );
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = "[".repeat(1000);
        assert!(Source { text: &deep, notation: Notation::Yaml }.parse().is_err());
        assert!(Source { text: &deep, notation: Notation::Json }.parse().is_err());
        let hostile = "{a: ".repeat(200_000);
        let error = Source { text: &hostile, notation: Notation::Yaml }.parse().unwrap_err();
        assert_eq!(error.reason, "more than 1000 brackets are open at once");
        assert_eq!(refuse_deep_brackets(&"[]\n".repeat(2000)), Ok(()));
        let loops = Source { text: "a: &a [ *a ]", notation: Notation::Yaml };
        assert!(loops.parse().is_err());
        let many = format!("[{}]", "1,".repeat(MAX_NODES));
        let error = Source { text: &many, notation: Notation::Yaml }.parse().unwrap_err();
        assert!(error.reason.contains("more than 100000 values"), "{error:?}");
    }
}
