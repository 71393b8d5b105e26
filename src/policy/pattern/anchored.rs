//! Regular expressions that match a text as a whole.

use regex::{Regex, RegexBuilder};

/// Octets that a compiled expression may take.
const MAX_COMPILED: usize = 256 * 1024;

/// Octets of states that matching may remember, for one thread.
const MAX_STATES: usize = 256 * 1024;

/// A regular expression, anchored at both ends, whose `.` is any character, as that of `*` patterns is.
///
/// Attack: where `.` leaves out the newline, a claim with one in it slips through `deny: { regex: "bad.*" }`.
///
/// Matching costs no more than the text's length times the expression's, whatever either is: the crate
/// does not go back. It allocates when a thread uses the expression for the first time.
#[derive(Clone, Debug)]
pub struct Anchored {
    source: String,
    compiled: Regex,
}

/// Why text is no regular expression that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// It cannot be read.
    #[error("not a regular expression: {0}")]
    Syntax(String),
    /// It stands for more than can be kept, as `(\w{100}){100}` does.
    #[error("this regular expression is too large: repeat less, or use `*` patterns")]
    TooLarge,
}

impl Anchored {
    /// Compiles an expression as RE2 has it: no look-around, no back references.
    ///
    /// # Errors
    ///
    /// Every [`RegexError`].
    pub fn parse(source: &str) -> Result<Self, RegexError> {
        // Attack: `a)|(b` would break out of the group below. It does not compile by itself.
        compile(source)?;
        // Under `(?x)` a last `# comment` would take the anchors with it: a newline ends it, and is no
        // more than space there.
        let compiled = compile(&format!(r"\A(?:{source})\z"))
            .or_else(|_| compile(&format!("\\A(?:{source}\n)\\z")))?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    /// The expression as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether `text` as a whole matches.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

fn compile(source: &str) -> Result<Regex, RegexError> {
    let mut builder = RegexBuilder::new(source);
    builder.dot_matches_new_line(true).size_limit(MAX_COMPILED).dfa_size_limit(MAX_STATES);
    let regex = builder.build();
    regex.map_err(|error| match matches!(error, regex::Error::CompiledTooBig(_)) {
        true => RegexError::TooLarge,
        false => RegexError::Syntax(last_line(&error.to_string()).to_owned()),
    })
}

/// The last line says what is wrong; those before it draw the expression.
fn last_line(error: &str) -> &str {
    error.lines().last().map_or(error, |line| line.trim_start_matches("error: "))
}

impl PartialEq for Anchored {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Anchored {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(source: &str, text: &str, expected: bool) {
        assert_eq!(Anchored::parse(source).unwrap().matches(text), expected, "{source}");
    }

    #[test]
    fn both_ends_are_anchored() {
        check("v[0-9]+", "v12", true);
        check("v[0-9]+", "v12-rc", false);
        check("v[0-9]+", "xv12", false);
        check("a|ab", "ab", true);
        check("a|b", "xa", false);
        check("a|b", "bx", false);
        check("(?m)^a$", "a\nb", false);
        check("a", "a\n", false);
        check("", "", true);
        check("", "a", false);
        check("(?i)main", "MAIN", true);
    }

    #[track_caller]
    fn refuses(source: &str, sentence: &str) {
        assert_eq!(Anchored::parse(source).unwrap_err().to_string(), sentence);
    }

    #[test]
    fn nothing_breaks_out_of_the_anchors() {
        refuses("a)|(b", "not a regular expression: unopened group");
        refuses("a)|(?:b", "not a regular expression: unopened group");
    }

    #[test]
    fn a_dot_is_any_character_as_a_star_is() {
        check("bad.*", "bad\nword", true);
        check("bad.*", "bad\r\n", true);
        check("a.c", "a\nc", true);
        check("(?-s)a.c", "a\nc", false);
    }

    #[test]
    fn a_comment_ends_before_the_anchors() {
        for source in ["(?x)a # c", "(?x)a # )", "(?x) a | b # ", "(?x) a\n  # c\n", "(?x:a # c\n)"]
        {
            check(source, "a", true);
            check(source, "ab", false);
            check(source, "xa", false);
            check(source, "a\n", false);
        }
        check("a # c", "a # c", true);
    }

    #[test]
    fn what_cannot_be_linear_or_small_is_refused() {
        refuses(r"(a)\1", "not a regular expression: backreferences are not supported");
        let look = "look-around, including look-ahead and look-behind, is not supported";
        refuses("(?=a)", &format!("not a regular expression: {look}"));
        refuses(r"(\w{100}){100}", &RegexError::TooLarge.to_string());
        assert!(Anchored::parse(&"(".repeat(10_000)).is_err());
    }

    #[test]
    fn a_hostile_text_costs_linear_time() {
        let text = "a".repeat(60_000) + "!";
        check("(a+)+", &text, false);
        check("(a|aa)*(a|b)*", &text, false);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(source: String, text: String) {
            if let Ok(regex) = Anchored::parse(&source) {
                regex.matches(&text);
            }
        }
    }
}
