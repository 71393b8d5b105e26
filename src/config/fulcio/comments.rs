//! The comments of an issuer file, each with the issuer that it stands at.

use std::collections::{HashMap, HashSet};

/// What stands behind the `#`s of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comments {
    /// The first lines of the file, down to what is no comment.
    pub head: Vec<String>,
    /// By the issuer's URL: above it, behind it, inside it.
    issuers: HashMap<String, Vec<String>>,
    /// Those of everything else, in their order.
    pub rest: Vec<String>,
}

impl Comments {
    /// Reads a YAML file in block style; `urls` are the issuers in it.
    pub fn read(text: &str, urls: &HashSet<&str>) -> Self {
        let mut reader = Reader { urls, found: Self::default(), above: Vec::new(), current: None };
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next_if(|line| line.starts_with('#')) {
            reader.found.head.push(one_line(line));
        }
        lines.for_each(|line| reader.line(line));
        reader.found.rest.append(&mut reader.above);
        reader.found
    }

    /// The comments at an issuer.
    pub fn of(&self, url: &str) -> &[String] {
        self.issuers.get(url).map_or(&[], Vec::as_slice)
    }
}

struct Reader<'a> {
    urls: &'a HashSet<&'a str>,
    found: Comments,
    /// Comments that wait for what they stand above.
    above: Vec<String>,
    /// The issuer of the lines that are indented further than this one was.
    current: Option<(&'a str, usize)>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.is_empty() {
            return;
        }
        if self.current.is_some_and(|(_, issuer)| indent <= issuer) {
            self.current = None;
        }
        let (code, comment) = split(trimmed);
        if !code.is_empty() {
            self.code(code, indent);
        }
        if let Some(comment) = comment {
            match self.current {
                Some((url, _)) => self.attach(url, vec![one_line(comment)]),
                None => self.above.push(one_line(comment)),
            }
        }
    }

    fn code(&mut self, code: &str, indent: usize) {
        let key = code.split_once(": ").map_or(code, |(key, _)| key).trim_end();
        let key = key.trim_end_matches(':').trim_matches(['"', '\'']);
        if let Some(url) = self.urls.get(key) {
            let above = std::mem::take(&mut self.above);
            self.attach(url, above);
            self.current = Some((url, indent));
        } else if self.current.is_none() && !matches!(key, "oidc-issuers" | "meta-issuers") {
            // What stands above a list of issuers stands above its first one.
            self.found.rest.append(&mut self.above);
        }
    }

    fn attach(&mut self, url: &str, mut comments: Vec<String>) {
        if !comments.is_empty() {
            self.found.issuers.entry(url.to_owned()).or_default().append(&mut comments);
        }
    }
}

/// The text on one line, wherever YAML sees the end of one.
///
/// Attack: a description with a line break in it would write keys into the file.
pub(super) fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    text.replace(is_break, " ")
}

/// A line without its comment, and the comment; a `#` between quotes is none.
fn split(line: &str) -> (&str, Option<&str>) {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => {
                let (code, comment) = line.split_at_checked(at).unwrap_or((line, ""));
                return (code.trim_end(), Some(comment));
            }
            (None, '"' | '\'') if before.is_whitespace() => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    (line.trim_end(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# head
# of the file

define:
  # of an anchor
  - &a a
# of the issuers
oidc-issuers:
  # above one
  https://one.example:   # behind one
    issuer-url: \"https://one.example#x\"  # inside one
    # at its end
  # above two
  'https://two.example':
    type: email
# of the metadata
ci-issuer-metadata:
  a: {}
";

    #[test]
    fn comments_stay_with_their_issuer() {
        let urls = HashSet::from(["https://one.example", "https://two.example"]);
        let comments = Comments::read(FILE, &urls);
        assert_eq!(comments.head, ["# head", "# of the file"]);
        assert_eq!(
            comments.of("https://one.example"),
            ["# of the issuers", "# above one", "# behind one", "# inside one", "# at its end"]
        );
        assert_eq!(comments.of("https://two.example"), ["# above two"]);
        assert_eq!(comments.of("https://three.example"), [""; 0]);
        assert_eq!(comments.rest, ["# of an anchor", "# of the metadata"]);
    }

    proptest::proptest! {
        #[test]
        fn no_comment_is_lost(lines in proptest::collection::vec("( {0,4}#[a-z ]{0,4}| {0,4}u:| {0,4}k: v)", 0..20)) {
            let comments = Comments::read(&lines.join("\n"), &HashSet::from(["u"]));
            let kept = comments.head.len() + comments.of("u").len() + comments.rest.len();
            let written = lines.iter().filter(|line| line.contains('#')).count();
            proptest::prop_assert_eq!(kept, written);
        }
    }
}
