//! A caller's text inside a sentence of ours.
//!
//! Whatever comes out of a token or a request and goes into an error message passes through
//! [`quote`]: cut at 200 characters, control characters escaped, in double quotes.

use std::fmt;

/// How many characters of a caller's text a sentence repeats.
const LIMIT: usize = 200;

/// Yields `text` in double quotes, cut at 200 characters (`…` marks the cut), with control characters,
/// quotes, backslashes and invisible direction marks escaped as Rust does (`\n`, `\u{202e}`).
pub fn quote(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// What [`quote`] yields; [`fmt::Display`] writes it.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        f.write_str("\"")?;
        for c in characters.by_ref().take(LIMIT) {
            // `escape_debug` also escapes the apostrophe, which needs none here.
            match c {
                '\'' => f.write_str("'")?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        f.write_str(if characters.next().is_some() { "…\"" } else { "\"" })
    }
}

/// Yields `text` as [`quote`] does, but with no quotes around it and none of its own escaped: for places
/// that hold one text and nothing else.
pub fn escape(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// What [`escape`] yields; [`fmt::Display`] writes it.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for c in characters.by_ref().take(LIMIT) {
            match c {
                '\'' | '"' => write!(f, "{c}")?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        f.write_str(if characters.next().is_some() { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_cuts() {
        assert_eq!(quote("main").to_string(), "\"main\"");
        assert_eq!(quote("a\nb\u{202e}'\"").to_string(), "\"a\\nb\\u{202e}'\\\"\"");
        assert_eq!(escape("a\nb\u{202e}'\"").to_string(), "a\\nb\\u{202e}'\"");
        assert_eq!(escape(&"x".repeat(201)).to_string(), format!("{}…", "x".repeat(200)));
        assert_eq!(quote(&"x".repeat(201)).to_string(), format!("\"{}…\"", "x".repeat(200)));
    }
}
