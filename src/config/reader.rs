//! Reading a tree of [`Node`]s key by key, with every complaint collected and none fatal.
//!
//! A [`Cursor`] is a node together with the path that leads to it (`issuers[0].allow[1].ref`). Its
//! methods yield what was asked for, or complain and yield `None`; the reader goes on, so that one run
//! shows everything that is wrong.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::config::files::{self, Files};
use crate::config::node::{At, Entry, Node, Source, Value};
use crate::config::{ConfigError, ConfigErrors};
use crate::quote::quote;

/// Complaints, or warnings, shown in one run: each costs a pass over the text, and a file of the wrong
/// kind altogether would fill the screen.
const MAX_ERRORS: usize = 100;

/// What is wrong with one file, and what is odd.
pub(super) struct Report<'a> {
    file: &'a str,
    source: Source<'a>,
    complaints: RefCell<Vec<Complaint>>,
    warnings: RefCell<Vec<Complaint>>,
    files: RefCell<Files>,
}

struct Complaint {
    at: At,
    key: String,
    message: String,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, source: Source<'a>) -> Self {
        let (complaints, warnings) = (RefCell::default(), RefCell::default());
        Self { file, source, complaints, warnings, files: RefCell::default() }
    }

    /// The files that were read beside this one.
    pub fn files(&self) -> Files {
        self.files.borrow().clone()
    }

    /// The warnings, when there is no complaint; the complaints in the order of the file otherwise.
    pub fn finish(self) -> Result<Vec<String>, ConfigErrors> {
        let mut complaints = self.complaints.take();
        if complaints.is_empty() {
            let warnings = self.places(&self.warnings.borrow());
            return Ok(warnings.iter().map(ConfigError::to_string).collect());
        }
        complaints.sort_by_key(|complaint| complaint.at);
        Err(ConfigErrors(self.places(&complaints)))
    }

    /// The first [`MAX_ERRORS`] with their lines, and how many there are beyond.
    fn places(&self, complaints: &[Complaint]) -> Vec<ConfigError> {
        let shown = complaints.iter().take(MAX_ERRORS).map(|complaint| self.place(complaint));
        let more = complaints.len().checked_sub(MAX_ERRORS).filter(|more| *more > 0);
        let more = more.map(|more| ConfigError {
            file: self.file.to_owned(),
            line: None,
            key: String::new(),
            message: format!("and {more} more"),
        });
        shown.chain(more).collect()
    }

    fn place(&self, complaint: &Complaint) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: self.source.line(complaint.at),
            key: complaint.key.clone(),
            message: complaint.message.clone(),
        }
    }
}

/// The keys of one kind of map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where it stands: `tls`, `issuers[]`; empty at the top of the file.
    pub section: &'static str,
    /// The keys it may have.
    pub keys: &'static [&'static str],
    /// Keys that are promised, and refused until they do something.
    pub later: &'static [&'static str],
    /// Whether other keys are refused; Fulcio ignores them, and we warn.
    pub strict: bool,
}

/// A node and the path that leads to it.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    report: &'a Report<'a>,
    pub node: &'a Node,
    pub path: String,
}

impl<'a> Cursor<'a> {
    pub fn root(report: &'a Report<'a>, node: &'a Node) -> Self {
        Self { report, node, path: String::new() }
    }

    /// Another node of the same file, a key: its text is its path.
    pub fn at<'b>(&'b self, key: &'b Node) -> Cursor<'b> {
        Cursor { report: self.report, node: key, path: key.scalar().unwrap_or_default() }
    }

    /// Complains about this node.
    pub fn refuse(&self, message: impl Into<String>) {
        self.report.complaints.borrow_mut().push(self.complaint(message.into()));
    }

    /// Notes something that is odd and harmless.
    pub fn warn(&self, message: impl Into<String>) {
        self.report.warnings.borrow_mut().push(self.complaint(message.into()));
    }

    /// The text of a file that this node stands for, which is noted; complains when there is none.
    pub fn read(&self, path: &Path) -> Option<String> {
        match files::read(path) {
            Ok((text, stamp)) => {
                self.report.files.borrow_mut().insert(path, stamp);
                Some(text)
            }
            Err(reason) => self.fail(format!("{}: {reason}", path.display())),
        }
    }

    fn complaint(&self, message: String) -> Complaint {
        Complaint { at: self.node.at, key: self.path.clone(), message }
    }

    /// Complains, and yields nothing.
    pub fn fail<T>(&self, message: impl Into<String>) -> Option<T> {
        self.refuse(message);
        None
    }

    /// Complains that this is something else than what was expected, and yields nothing.
    pub fn expected<T>(&self, what: &str) -> Option<T> {
        self.fail(format!("expected {what}, got {}", self.node.kind()))
    }

    /// Text that is not empty.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.fail("expected text, got empty text")
            }
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Whole(_) | Value::Fraction(_) => {
                self.fail(format!("expected text, got {}: put it in quotes", self.node.kind()))
            }
            Value::Null | Value::List(_) | Value::Map(_) | Value::Tagged => self.expected("text"),
        }
    }

    /// One text, or a list of at least one.
    pub fn texts(&self) -> Option<Vec<String>> {
        if self.node.map().is_some() || self.node.is_null() {
            return self.expected("text or a list of texts");
        }
        if self.node.list().is_none() {
            return self.text().map(|text| vec![text.to_owned()]);
        }
        let items = self.items()?;
        if items.is_empty() {
            return self.fail("expected text or a list of texts, got an empty list");
        }
        let texts: Vec<_> = items.iter().map(|item| item.text().map(str::to_owned)).collect();
        texts.into_iter().collect()
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        if let Value::Bool(value) = self.node.value {
            return Some(value);
        }
        self.expected("true or false")
    }

    /// A duration within bounds: a whole number and `s`, `m`, `h` or `d`.
    pub fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let (Value::Whole(text) | Value::Text(text)) = &self.node.value else {
            return self.expected("a duration such as 90s or 10m");
        };
        let Some(duration) = parse_duration(text) else {
            let got = quote(text);
            return self.fail(format!("expected a duration such as 90s or 10m, got {got}"));
        };
        if !bounds.contains(&duration) {
            let (least, most) = (bounds.start().as_secs(), bounds.end().as_secs());
            return self.fail(format!("expected a duration from {least}s to {most}s, got {text}"));
        }
        Some(duration)
    }

    /// The items of a list.
    pub fn items(&self) -> Option<Vec<Self>> {
        let Some(items) = self.node.list() else {
            return self.expected("a list");
        };
        let item = |(i, node)| Self { node, path: format!("{}[{i}]", self.path), ..self.clone() };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The members of a map whose keys are free; complains about keys that stand there twice.
    pub fn members(&self) -> Option<Vec<(String, Self)>> {
        let Some(entries) = self.node.map() else {
            return self.expected("a map");
        };
        let mut members: Vec<(String, Self)> = Vec::new();
        let mut names = HashSet::new();
        for Entry { key, value } in entries {
            let Some(name) = key.scalar() else {
                let key = Self { node: key, ..self.clone() };
                key.refuse(format!("expected text as a key, got {}", key.node.kind()));
                continue;
            };
            let member = Self { node: value, path: join(&self.path, &name), ..self.clone() };
            if names.insert(name.clone()) {
                members.push((name, member));
            } else {
                member.refuse("stands here twice");
            }
        }
        Some(members)
    }

    /// The members of a map whose keys a table lists.
    pub fn section(&self, table: &Table) -> Option<Section<'a>> {
        let mut members = self.members()?;
        members.retain(|(name, member)| {
            let known = table.keys.contains(&name.as_str());
            if table.later.contains(&name.as_str()) {
                member.refuse("not supported yet");
            } else if !known && table.strict {
                member.refuse(format!("unknown key; known here: {}", table.keys.join(", ")));
            } else if !known {
                member.warn("unknown key, ignored");
            }
            known
        });
        Some(Section { cursor: self.clone(), members })
    }
}

/// A map whose keys are known.
pub(super) struct Section<'a> {
    pub cursor: Cursor<'a>,
    members: Vec<(String, Cursor<'a>)>,
}

impl<'a> Section<'a> {
    /// The value of a key, if it is there.
    pub fn get(&self, name: &str) -> Option<&Cursor<'a>> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The value of a key that must be there; complains about the map otherwise.
    pub fn require(&self, name: &str) -> Option<&Cursor<'a>> {
        let value = self.get(name);
        if value.is_none() {
            self.cursor.refuse(format!("needs `{name}`"));
        }
        value
    }

    /// Complains about each of `names` that is there.
    pub fn forbid(&self, names: &[&str], why: &str) {
        for name in names {
            if let Some(value) = self.get(name) {
                value.refuse(why);
            }
        }
    }
}

/// `90s`, `10m`, `1h`; `0` needs no unit.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let digits = text.get(..text.len().checked_sub(1)?)?;
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    let number: u64 = if plain { digits.parse().ok()? } else { return None };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// `parent.key`, or `parent["odd/key"]`.
fn join(parent: &str, key: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
    match (parent, !key.is_empty() && key.bytes().all(plain)) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{}]", quote(key)),
    }
}
