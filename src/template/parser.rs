//! The parser: by hand, one pass, with the column of whatever it cannot take.
//!
//! ```text
//! template  = { text | "{{" action "}}" }
//! action    = operand | "if" condition … [ "else" … ] "end"
//! condition = "eq" operand operand { operand } | "(" condition ")"
//! operand   = ".name" | "index" "." string | string | "(" operand ")"
//! ```

use super::{Operand, Segment, TemplateError};
use crate::quote::quote;

/// How deep `if` and parentheses may nest.
const MAX_DEPTH: usize = 16;

/// How long a template may be, in octets.
const MAX_TEMPLATE: usize = 8 * 1024;

/// Parses a template or the name of a claim.
pub(super) fn parse(text: &str) -> Result<Vec<Segment>, TemplateError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if text.len() > MAX_TEMPLATE {
        return Err(parser.error("the template is longer than 8 KiB"));
    }
    if text.trim().is_empty() {
        return Err(parser.error("the template is empty"));
    }
    if !text.contains("{{") {
        return Ok(vec![Segment::Value(Operand::Field(text.to_owned()))]);
    }
    let (segments, stop) = parser.segments()?;
    match stop {
        Stop::Text => Ok(segments),
        Stop::Else(at) => Err(parser.error_at(at, "this `else` belongs to no `if`")),
        Stop::End(at) => Err(parser.error_at(at, "this `end` belongs to no `if`")),
    }
}

/// What ended a run of segments; the number is where it stands, in octets.
enum Stop {
    Text,
    Else(usize),
    End(usize),
}

struct Parser<'a> {
    text: &'a str,
    /// Always on a character boundary.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn segments(&mut self) -> Result<(Vec<Segment>, Stop), TemplateError> {
        let mut segments = Vec::new();
        loop {
            let rest = self.rest();
            let Some(literal) = rest.find("{{").and_then(|end| rest.get(..end)) else {
                self.at = self.text.len();
                push_literal(&mut segments, rest);
                return Ok((segments, Stop::Text));
            };
            push_literal(&mut segments, literal);
            self.at += literal.len();
            let open = self.at;
            self.at += "{{".len();
            self.blanks();
            match self.peek_word() {
                "end" => {
                    self.keyword_alone("end")?;
                    return Ok((segments, Stop::End(open)));
                }
                "else" => {
                    self.keyword_alone("else")?;
                    return Ok((segments, Stop::Else(open)));
                }
                "if" => segments.push(self.conditional(open)?),
                _ => {
                    let operand = self.operand()?;
                    self.close()?;
                    segments.push(Segment::Value(operand));
                }
            }
        }
    }

    /// `if` is what comes next; `open` is where its braces began.
    fn conditional(&mut self, open: usize) -> Result<Segment, TemplateError> {
        self.enter()?;
        self.at += "if".len();
        let (left, rights) = self.condition()?;
        self.close()?;
        let (then, stop) = self.segments()?;
        let (otherwise, stop) = match stop {
            Stop::Else(_) => self.segments()?,
            Stop::End(_) | Stop::Text => (Vec::new(), stop),
        };
        self.depth -= 1;
        match stop {
            Stop::End(_) => Ok(Segment::If { left, rights, then, otherwise }),
            Stop::Else(at) => Err(self.error_at(at, "an `if` has one `else` only")),
            Stop::Text => Err(self.error_at(open, "this `if` has no `end`")),
        }
    }

    fn condition(&mut self) -> Result<(Operand, Vec<Operand>), TemplateError> {
        self.blanks();
        if self.rest().starts_with('(') {
            return self.parenthesised(Self::condition);
        }
        if self.peek_word() != "eq" {
            return Err(
                self.error("an `if` compares with `eq`, as in `{{ if eq .claim \"text\" }}`")
            );
        }
        self.at += "eq".len();
        let left = self.compared()?;
        let mut rights = vec![self.compared()?];
        while !self.at_end_of_arguments() {
            rights.push(self.operand()?);
        }
        Ok((left, rights))
    }

    fn compared(&mut self) -> Result<Operand, TemplateError> {
        if self.at_end_of_arguments() {
            return Err(self.error("`eq` needs two values to compare"));
        }
        self.operand()
    }

    fn at_end_of_arguments(&mut self) -> bool {
        self.blanks();
        self.rest().starts_with("}}") || self.rest().starts_with(')')
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        self.blanks();
        match self.rest().chars().next() {
            Some('(') => self.parenthesised(Self::operand),
            Some('.') => self.field(),
            Some('"') => self.string().map(Operand::Text),
            _ if self.peek_word() == "index" => self.index(),
            _ => Err(self.unsupported()),
        }
    }

    /// What stands between `(`, which comes next, and `)`.
    fn parenthesised<T>(
        &mut self,
        inner: fn(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        self.enter()?;
        self.at += "(".len();
        let parsed = inner(self)?;
        self.blanks();
        self.depth -= 1;
        if self.eat(")") { Ok(parsed) } else { Err(self.error("expected `)`")) }
    }

    /// `.name`
    fn field(&mut self) -> Result<Operand, TemplateError> {
        let start = self.at;
        self.at += ".".len();
        let name = self.peek_name();
        self.at += name.len();
        if name.is_empty() {
            return Err(self.error_at(start, "`.` alone is no value: name a claim, as in `.sub`"));
        }
        if self.rest().starts_with('.') {
            return Err(self.error_at(start, "claims inside claims cannot be used here"));
        }
        if self.rest().starts_with(['-', '/', ':']) {
            let advice = "such a name needs `index`, as in `{{ index . \"a-claim\" }}`";
            return Err(self.error_at(start, advice));
        }
        Ok(Operand::Field(name.to_owned()))
    }

    /// `index . "name"`
    fn index(&mut self) -> Result<Operand, TemplateError> {
        let start = self.at;
        self.at += "index".len();
        self.blanks();
        let shape = "`index` is written `index . \"claim\"`";
        if !self.eat(".") {
            return Err(self.error_at(start, shape));
        }
        self.blanks();
        if !self.rest().starts_with('"') {
            return Err(self.error_at(start, shape));
        }
        self.string().map(Operand::Index)
    }

    /// A string in double quotes; `\"` and `\\` are its only escapes.
    fn string(&mut self) -> Result<String, TemplateError> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => {
                        let reason = "the only escapes in a string are `\\\"` and `\\\\`";
                        return Err(self.error_at(start + offset, reason));
                    }
                },
                '\n' => return Err(self.error_at(start, "a string ends on the line it began")),
                other => text.push(other),
            }
        }
        Err(self.error_at(start, "this string has no closing quote"))
    }

    fn keyword_alone(&mut self, keyword: &str) -> Result<(), TemplateError> {
        self.at += keyword.len();
        self.blanks();
        if self.peek_word() == "if" {
            return Err(self.error("`else if` cannot be used: put an `if` inside the `else`"));
        }
        self.close()
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        self.blanks();
        if self.eat("}}") { Ok(()) } else { Err(self.unsupported()) }
    }

    /// Names what stands here, which is nothing we know.
    fn unsupported(&self) -> TemplateError {
        let rest = self.rest();
        let word = self.peek_word();
        let reason = match rest.chars().next() {
            None => "`{{` has no closing `}}`".into(),
            _ if rest.starts_with("}}") => "a value is missing before `}}`".into(),
            _ if rest.starts_with("/*") => "comments cannot be used".into(),
            Some('|') => "pipelines (`|`) cannot be used".into(),
            Some('$') => "variables (`$`) cannot be used".into(),
            Some('-') => "trim markers (`{{-`, `-}}`) and negative numbers cannot be used".into(),
            Some('`') => "strings stand in double quotes".into(),
            Some('0'..='9') => "numbers cannot be used: write them in double quotes".into(),
            _ if matches!(word, "if" | "eq") => {
                format!("`{word}` cannot stand here; the form is `{{{{ if eq .claim \"text\" }}}}`")
            }
            _ if !word.is_empty() => format!(
                "{} cannot be used; templates know `.claim`, `index . \"claim\"`, `if eq`, `else` \
                 and `end`",
                quote(word)
            ),
            Some(other) => format!("{} cannot stand here", quote(other.encode_utf8(&mut [0; 4]))),
        };
        self.error(&reason)
    }

    fn enter(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("the template is nested more than 16 deep"));
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// The letters, digits and underscores that come next.
    fn peek_name(&self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// The same, if it does not begin with a digit.
    fn peek_word(&self) -> &'a str {
        let name = self.peek_name();
        if name.starts_with(|c: char| c.is_ascii_digit()) { "" } else { name }
    }

    fn error(&self, reason: &str) -> TemplateError {
        self.error_at(self.at, reason)
    }

    fn error_at(&self, at: usize, reason: &str) -> TemplateError {
        let before = self.text.get(..at).unwrap_or_default();
        TemplateError { column: before.chars().count() + 1, reason: reason.to_owned() }
    }
}

fn push_literal(segments: &mut Vec<Segment>, text: &str) {
    if !text.is_empty() {
        segments.push(Segment::Value(Operand::Text(text.to_owned())));
    }
}
