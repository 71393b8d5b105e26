//! The words of a record: what an index keeps of it, to find it again.
//!
//! ```text
//! san     https://github.com/acme/app    https github com acme app, and v6c1f… for the whole value
//! serial  00ff01                         ff01, which is the whole value as well
//! leaf    9b2e…                          l9b2e…
//! ```
//!
//! An index may find too much, since whatever it finds is read and compared, and never too little: what a
//! [`Clue`] of a search is made of, a record that fits has among its words.

use std::fmt::Write as _;

use super::Record;
use crate::tlog::merkle::Hash;

/// How many characters of a word count. Nobody's hash is another's for so many, and a longer word in a
/// question is cut to the same.
const CUT: usize = 16;

/// What a record that fits has among its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clue {
    /// This word.
    Word(String),
    /// A word that starts so.
    Start(String),
}

impl Clue {
    /// A word.
    pub fn word(word: &str) -> Self {
        Self::Word(cut(word))
    }

    /// The first letters of a word.
    pub fn start(letters: &str) -> Self {
        let cut = cut(letters);
        // So long, it is a whole word to the index.
        if cut.chars().count() < CUT { Self::Start(cut) } else { Self::Word(cut) }
    }

    /// The word for a leaf of the log.
    pub fn leaf(hash: &Hash) -> Self {
        Self::Word(leaf(hash))
    }

    /// A value as a whole.
    pub fn whole(value: &str) -> Self {
        Self::Word(whole(value))
    }
}

/// The runs of letters and digits in a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The letters of a word, in lower case.
pub fn lower(word: &str) -> impl Iterator<Item = char> {
    word.chars().flat_map(char::to_lowercase)
}

/// The word for a leaf of the log.
pub fn leaf(hash: &Hash) -> String {
    let mut word = "l".to_owned();
    word.extend(hash.to_string().chars().take(CUT));
    word
}

/// The words of a record, and those of its place, with blanks between.
pub fn of(record: &Record, leaf: Option<&Hash>) -> String {
    let mut values: Vec<_> = record.fields().map(|(_, value)| value).collect();
    values.sort_unstable();
    values.dedup();
    let mut found: Vec<&str> = values.iter().flat_map(|value| words(value)).collect();
    found.sort_unstable();
    found.dedup();
    let mut line = leaf.map(self::leaf).unwrap_or_default();
    for word in found {
        line.push(' ');
        push_cut(&mut line, word);
    }
    for value in values.iter().filter(|value| !is_word(value)) {
        line.push(' ');
        push_whole(&mut line, value);
    }
    line
}

/// A word as an index keeps it.
fn cut(word: &str) -> String {
    let mut cut = String::new();
    push_cut(&mut cut, word);
    cut
}

fn push_cut(line: &mut String, word: &str) {
    line.extend(lower(word).take(CUT));
}

/// What stands for a value as a whole: itself, where it is one word.
fn whole(value: &str) -> String {
    let mut whole = String::new();
    if is_word(value) {
        push_cut(&mut whole, value);
    } else {
        push_whole(&mut whole, value);
    }
    whole
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && value.chars().all(char::is_alphanumeric)
}

/// A hash of the value, FNV-1a. Whoever finds two values with one hash makes a search read more, and find
/// the same.
fn push_whole(line: &mut String, value: &str) {
    let hash = value.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let _ = write!(line, "v{:012x}", hash >> 16);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let text = "https://a.example/Ä-b_1@refs/tags/v1";
        let found: Vec<_> = words(text).map(|word| lower(word).collect::<String>()).collect();
        assert_eq!(found, ["https", "a", "example", "ä", "b", "1", "refs", "tags", "v1"]);
        assert_eq!(words("/-@").count(), 0);
    }

    #[test]
    fn a_record_has_the_words_of_every_field() {
        let record = Record {
            san: "https://A.example/b".into(),
            issuer: "https://a.example".into(),
            serial: "00ff01".into(),
            ..Record::default()
        };
        let hash = Hash([0x9b; 32]);
        let words = of(&record, Some(&hash));
        let words: Vec<_> = words.split(' ').collect();
        assert!(words.contains(&"a"), "{words:?}");
        for word in ["https", "example", "b", "issued", "ff01", "l9b9b9b9b9b9b9b9b"] {
            assert_eq!(words.iter().filter(|each| **each == word).count(), 1, "{word}: {words:?}");
        }
        assert!(words.contains(&whole("https://A.example/b").as_str()));
    }

    #[test]
    fn a_long_word_is_cut_in_question_and_index_alike() {
        let long = "0123456789abcdef0123";
        assert_eq!(cut(long), "0123456789abcdef");
        assert_eq!(Clue::word(long), Clue::Word("0123456789abcdef".into()));
        assert_eq!(Clue::start(long), Clue::Word("0123456789abcdef".into()));
        assert_eq!(Clue::start("0123"), Clue::Start("0123".into()));
        assert_eq!(Clue::whole(long), Clue::word(long));
        assert_eq!(Clue::whole("Push"), Clue::Word("push".into()));
        let Clue::Word(whole) = Clue::whole("a/b") else { panic!("a word") };
        assert!(whole.starts_with('v') && whole.len() == 13, "{whole}");
    }
}
