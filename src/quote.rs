//! A caller's text inside a sentence of ours.
//!
//! Whatever comes out of a token or a request and goes into an error message passes through
//! [`quote`]: cut at 200 characters, control characters escaped, in double quotes.

use std::fmt::{self, Write as _};

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
        f.write_str("\"")?;
        cut(f, self.0, &['\''])?;
        f.write_str("\"")
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
        cut(f, self.0, &['\'', '"'])
    }
}

/// Writes no more than [`LIMIT`] characters of `text`, escaped as Rust does but for `plain` ones.
fn cut(f: &mut fmt::Formatter<'_>, text: &str, plain: &[char]) -> fmt::Result {
    let mut characters = text.chars();
    for c in characters.by_ref().take(LIMIT) {
        match plain.contains(&c) {
            true => f.write_char(c)?,
            false => write!(f, "{}", c.escape_debug())?,
        }
    }
    f.write_str(if characters.next().is_some() { "…" } else { "" })
}

/// Yields `text` whole, with what cannot be seen escaped and nothing else: for lines that sentences of
/// ours are in, and for values that nobody may see cut.
pub fn visible(text: &str) -> Visible<'_> {
    Visible(text)
}

/// What [`visible`] yields; [`fmt::Display`] writes it.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(&'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match is_visible(c) {
            true => f.write_char(c),
            false => write!(f, "{}", c.escape_default()),
        })
    }
}

/// Yields JSON text of the same value, in which a string has nothing that cannot be seen: JSON alone escapes
/// neither U+007F nor what is beyond ASCII, which moves the cursor as well.
pub fn json(text: &str) -> Json<'_> {
    Json(text)
}

/// What [`json`] yields; [`fmt::Display`] writes it.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line end is between strings, never in one.
        self.0.chars().try_for_each(|c| match c == '\n' || is_visible(c) {
            true => f.write_char(c),
            false => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|u| write!(f, "\\u{u:04x}")),
        })
    }
}

/// Whether a reader sees a character where it stands: neither control, format nor direction mark, nor a
/// space other than the plain one. Combining marks are seen.
pub fn is_visible(c: char) -> bool {
    // What std prints, these are blank or vanish in what they follow.
    let is_blank = matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    );
    // A mark alone is escaped although it can be seen, so it stands behind a letter.
    let is_printed = || ['a', c].iter().collect::<String>().escape_debug().count() == 2;
    matches!(c, ' '..='~') || !is_blank && is_printed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_not_visible() {
        for c in " aÄ\u{301}\u{939}\u{93f}漢'\"\\".chars() {
            assert!(is_visible(c), "{c:?}");
        }
        for c in "\n\0\u{85}\u{a0}\u{ad}\u{200b}\u{200f}\u{202e}\u{2028}\u{2066}\u{3000}\u{3164}\u{feff}\u{fe0f}\u{e0041}".chars() {
            assert!(!is_visible(c), "{c:?}");
        }
    }

    #[test]
    fn what_is_visible_stays_as_it_is() {
        let text = format!("o'brien \"\\n\" Ä漢e\u{301}{}", "x".repeat(300));
        assert_eq!(visible(&text).to_string(), text);
        let hidden = "a\u{1b}[31m\n\u{202e}\u{2800}\u{a0}";
        assert_eq!(visible(hidden).to_string(), "a\\u{1b}[31m\\n\\u{202e}\\u{2800}\\u{a0}");
    }

    #[test]
    fn json_has_the_same_value_and_nothing_that_cannot_be_seen() {
        let value = serde_json::json!({ "a": "\u{1b}[\u{7f}\u{9b}31m\n\u{202e}\u{e0041}Ä漢\"\\" });
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = json(&text).to_string();
            assert!(
                shown.contains("\\u001b[\\u007f\\u009b31m\\n\\u202e\\udb40\\udc41Ä漢"),
                "{shown}"
            );
            assert!(shown.chars().all(|c| c == '\n' || is_visible(c)), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }

    #[test]
    fn escapes_and_cuts() {
        assert_eq!(quote("main").to_string(), "\"main\"");
        assert_eq!(quote("a\nb\u{202e}'\"").to_string(), "\"a\\nb\\u{202e}'\\\"\"");
        assert_eq!(escape("a\nb\u{202e}'\"").to_string(), "a\\nb\\u{202e}'\"");
        assert_eq!(escape(&"x".repeat(201)).to_string(), format!("{}…", "x".repeat(200)));
        assert_eq!(quote(&"x".repeat(201)).to_string(), format!("\"{}…\"", "x".repeat(200)));
    }
}
