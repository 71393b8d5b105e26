//! Questions asked of records: `repository=acme/app ref=refs/tags/* since=24h release`.
//!
//! - A term with `=` asks one field: the value is compared whole, `*` stands for any run of characters. A
//!   field is called by its name (`san`, `source-repository-ref`), and an extension also by the last words
//!   of its name (`ref`, `repository`), in which case any extension that ends so will do.
//! - A term without `=` is looked for in every field, upper and lower case alike, as whole words: runs of
//!   letters and digits, several of them side by side (`acme/app`). `*` at its end stands for the rest of
//!   the last word.
//! - `since=` and `until=` take an age (`24h`, `7d`), a day or a moment (RFC 3339).
//! - `repository` and `owner` are found by the path of their URLs, too: `acme/app` of
//!   `https://gitlab.com/acme/app`.
//! - Serial numbers and keys are found in whatever way they are written, a `reason` in either case.
//!
//! All terms must hold.

use std::borrow::Cow;

use super::field::{self, FIELDS};
use super::serial;
use super::times::{self, End};
use super::words::{Clue, lower, words};
use super::{Outcome, Record};
use crate::glob;
use crate::quote::quote;
use crate::time::Timestamp;

/// Octets of a key's fingerprint.
const FINGERPRINT: usize = 32;
/// How many terms one search has at most.
const LIMIT: usize = 32;
/// How many clues an index is given: more would not find less.
const CLUES: usize = 64;

/// A parsed search: terms, and between which times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// What must hold of a record beside its time.
    pub terms: Terms,
    /// The earliest.
    pub since: Timestamp,
    /// The latest.
    pub until: Timestamp,
}

/// Finds everything.
impl Default for Search {
    fn default() -> Self {
        let (since, until) = (Timestamp::default(), Timestamp::from_millis(u64::MAX));
        Self { terms: Terms::default(), since, until }
    }
}

impl Search {
    /// Parses one term a string, as of `now`.
    ///
    /// # Errors
    ///
    /// As [`Terms::parse`]; [`TermError::Time`] for a time that is none.
    pub fn parse<'a>(
        terms: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<Self, TermError> {
        let mut search = Self::default();
        let mut rest = Vec::new();
        for term in terms {
            let time = |text, end| {
                let time = times::parse(text, end, now);
                time.ok_or_else(|| TermError::Time { term: quote(term).to_string() })
            };
            match term.split_once('=') {
                Some(("since", text)) => search.since = search.since.max(time(text, End::First)?),
                Some(("until", text)) => search.until = search.until.min(time(text, End::Last)?),
                _ => rest.push(term),
            }
        }
        search.terms = Terms::parse(rest)?;
        Ok(search)
    }

    /// Whether it finds this record.
    pub fn finds(&self, record: &Record) -> bool {
        (self.since..=self.until).contains(&record.time) && record.matches(&self.terms)
    }

    /// Whether it could find anything that ended so.
    pub fn admits(&self, result: Outcome) -> bool {
        self.terms.0.iter().all(|term| match term {
            Term::Field(name, pattern) if name == "result" => glob::matches(pattern, result.name()),
            Term::Field(..) | Term::Words { .. } => true,
        })
    }
}

/// Parsed terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// Words side by side in a field, in lower case.
    Words {
        words: Vec<String>,
        /// Whether the last one may go on.
        open: bool,
        /// The serial number that the term may be.
        serial: Option<String>,
    },
    /// A field's name and the pattern for its value.
    Field(String, String),
}

impl Terms {
    /// Parses one term a string.
    ///
    /// # Errors
    ///
    /// [`TermError::UnknownField`] for a name that no field has, [`TermError::NoWord`] and
    /// [`TermError::Star`] for words that are none, [`TermError::TooMany`] beyond 32 terms.
    pub fn parse<'a>(terms: impl IntoIterator<Item = &'a str>) -> Result<Self, TermError> {
        let mut parsed = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            if parsed.len() == LIMIT {
                return Err(TermError::TooMany);
            }
            parsed.push(Term::parse(term)?);
        }
        Ok(Self(parsed))
    }

    /// What the words of a record that fits have among them: of every row one.
    pub fn clues(&self) -> Vec<Vec<Clue>> {
        let clues = self.0.iter().flat_map(Term::clues);
        clues.take(CLUES).collect()
    }
}

impl Term {
    fn parse(term: &str) -> Result<Self, TermError> {
        let Some((name, pattern)) = term.split_once('=') else { return Self::free(term) };
        if !field::exists(name) {
            let (field, meant) = (quote(name).to_string(), field::meant(name));
            return Err(TermError::UnknownField { field, meant });
        }
        let spelled = field::spelled(name, pattern);
        let pattern =
            spelled.ok_or_else(|| TermError::UnknownResult { term: quote(term).to_string() })?;
        Ok(Self::Field(name.to_owned(), pattern))
    }

    fn free(term: &str) -> Result<Self, TermError> {
        let number = serial::spelled(term);
        if number.is_some() && term.contains(':') {
            // No serial number has so many octets.
            let field = if term.split(':').count() == FINGERPRINT { "key" } else { "serial" };
            return Self::parse(&format!("{field}={term}"));
        }
        let text = term.strip_suffix('*').unwrap_or(term);
        if text.contains('*') {
            return Err(TermError::Star { term: quote(term).to_string() });
        }
        let words: Vec<String> = words(text).map(|word| lower(word).collect()).collect();
        if words.is_empty() {
            return Err(TermError::NoWord { term: quote(term).to_string() });
        }
        let open = text.len() < term.len() && text.ends_with(char::is_alphanumeric);
        Ok(Self::Words { words, open, serial: number })
    }

    fn clues(&self) -> Vec<Vec<Clue>> {
        match self {
            Self::Words { words, open, serial } => {
                let last = words.len() - 1;
                let clue = |(place, word): (usize, &String)| {
                    let clue =
                        if *open && place == last { Clue::start(word) } else { Clue::word(word) };
                    let number = serial.iter().map(|number| Clue::word(number));
                    std::iter::once(clue).chain(number).collect()
                };
                words.iter().enumerate().map(clue).collect()
            }
            Self::Field(name, pattern) => {
                pattern_clues(name, pattern).into_iter().map(|c| vec![c]).collect()
            }
        }
    }
}

/// What the words of a value have among them that fits `pattern` by the name that is asked for.
///
/// Where a path within the value will do, the value as a whole is unknown; the words of the path are its.
/// A word that touches a star may go on there: at its end it is the start of a word, at its front it is
/// nothing that an index can look for.
fn pattern_clues(name: &str, pattern: &str) -> Vec<Clue> {
    if !pattern.contains('*') && !field::has_path(name) {
        return vec![Clue::whole(pattern)];
    }
    let mut clues = Vec::new();
    let last = pattern.split('*').count() - 1;
    for (place, piece) in pattern.split('*').enumerate() {
        let mut found: Vec<&str> = words(piece).collect();
        let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        if place > 0 && joins(piece.chars().next()) {
            found.remove(0);
        }
        if place < last && joins(piece.chars().last()) {
            clues.extend(found.pop().map(Clue::start));
        }
        clues.extend(found.into_iter().map(Clue::word));
    }
    clues
}

impl Record {
    /// Whether all terms hold of this record.
    pub fn matches(&self, terms: &Terms) -> bool {
        terms.0.iter().all(|term| match term {
            Term::Words { words, open, serial } => self.fields().any(|(field, value)| {
                let is_number = field == "serial" && serial.as_deref() == Some(&*value);
                is_number || has_words(&value, words, *open)
            }),
            Term::Field(name, pattern) => {
                self.fields().any(|(field, value)| field::fits((field, &value), (name, pattern)))
            }
        })
    }

    /// Every field that has a value, with its name: those of [`FIELDS`], then the extensions.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        fn given(text: &str) -> Option<Cow<'_, str>> {
            Some(text).filter(|text| !text.is_empty()).map(Cow::Borrowed)
        }
        let claimed = self.claimed.as_ref();
        let fixed = [
            ("result", Some(Cow::Borrowed(self.result.name()))),
            ("reason", self.reason.as_deref().map(Cow::Borrowed)),
            ("message", self.message.as_deref().map(Cow::Borrowed)),
            ("san", given(&self.san)),
            ("subject", self.subject.as_deref().map(Cow::Borrowed)),
            ("issuer", given(&self.issuer)),
            ("kind", given(&self.kind)),
            ("serial", given(&self.serial).map(|serial| Cow::Owned(serial::bare(&serial)))),
            ("key", given(&self.key)),
            ("algorithm", given(&self.key_algorithm)),
            ("request", given(&self.request_id)),
            ("rule", self.rule.as_deref().map(Cow::Borrowed)),
            ("claim", self.claim.as_deref().map(Cow::Borrowed)),
            ("wanted", self.wanted.as_deref().map(Cow::Borrowed)),
            ("got", self.got.as_deref().map(Cow::Borrowed)),
            ("token", self.token_id.as_deref().map(Cow::Borrowed)),
            ("client", self.client.map(|client| Cow::Owned(client.to_string()))),
            ("index", self.index.map(|index| Cow::Owned(index.to_string()))),
            ("claimed.issuer", claimed.and_then(|all| all.issuer.as_deref()).map(Cow::Borrowed)),
            ("claimed.subject", claimed.and_then(|all| all.subject.as_deref()).map(Cow::Borrowed)),
            ("claimed.key", claimed.and_then(|all| all.key.as_deref()).map(Cow::Borrowed)),
        ];
        let extensions = self.extensions.iter();
        let extensions = extensions.map(|(name, value)| (&**name, Cow::Borrowed(value.as_str())));
        fixed.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(extensions)
    }
}

/// Whether `value` has these words side by side, the last one going on if it is `open`.
fn has_words(value: &str, asked: &[String], open: bool) -> bool {
    let found: Vec<&str> = words(value).collect();
    let last = asked.len().saturating_sub(1);
    found.windows(asked.len().max(1)).any(|found| {
        found.iter().zip(asked).enumerate().all(|(place, (word, asked))| {
            let mut letters = lower(word);
            let begins = asked.chars().all(|c| letters.next() == Some(c));
            begins && (open && place == last || letters.next().is_none())
        })
    })
}

/// Why a search is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// No field has this name.
    #[error(
        "there is no field {field}{}Use {}, or the name of an extension (`source-repository-ref`, or `ref` \
         for short)",
        meant.map(|meant| format!("; did you mean {meant}? ")).unwrap_or(". ".to_owned()),
        FIELDS.join(", ")
    )]
    UnknownField {
        /// The name, quoted.
        field: String,
        /// The name that is near it.
        meant: Option<&'static str>,
    },
    /// No attempt ends so.
    #[error("{term}: a result is issued or refused")]
    UnknownResult {
        /// The term, quoted.
        term: String,
    },
    /// More terms than anybody needs.
    #[error("a search has at most {LIMIT} terms")]
    TooMany,
    /// Nothing to look for.
    #[error("{term} has no letter or digit to look for; FIELD=*text* looks for any characters")]
    NoWord {
        /// The term, quoted.
        term: String,
    },
    /// A star where it cannot be.
    #[error(
        "{term}: a word may end in a star and have it nowhere else; FIELD=*text* looks inside of words"
    )]
    Star {
        /// The term, quoted.
        term: String,
    },
    /// No time.
    #[error(
        "{term}: expected an age (since=24h, s, m, h or d), a day (until=2026-01-31) or a moment \
         (since=2026-01-31T12:00:00Z)"
    )]
    Time {
        /// The term, quoted.
        term: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Claimed;
    use super::*;

    fn record() -> Record {
        let claimed = Claimed {
            issuer: Some("https://other.example".into()),
            subject: Some("mallory".into()),
            key: Some("77aa".into()),
        };
        Record {
            result: Outcome::Refused,
            reason: Some("DENIED_BY_RULE".into()),
            message: Some("no rule allows this".into()),
            subject: Some("repo:acme/app".into()),
            claimed: Some(Box::new(claimed)),
            request_id: "5f0c".into(),
            client: Some([192, 0, 2, 7].into()),
            issuer: "https://issuer.example".into(),
            kind: "uri".into(),
            san: "https://github.com/acme/app/.github/workflows/Release.yml@refs/tags/v1".into(),
            extensions: [
                ("github-workflow-repository".into(), "acme/app".into()),
                ("source-repository-ref".into(), "refs/tags/v1".into()),
                ("source-repository-uri".into(), "https://gitlab.com/acme/lib".into()),
                ("source-repository-owner-uri".into(), "https://gitlab.com/acme".into()),
            ]
            .into(),
            rule: Some("release".into()),
            claim: Some("ref".into()),
            wanted: Some("refs/tags/v*".into()),
            got: Some("refs/heads/dev".into()),
            token_id: Some("jti-1".into()),
            serial: "00ff9f".into(),
            key: "9b2e".into(),
            key_algorithm: "Ed25519".into(),
            index: Some(7),
            ..Record::default()
        }
    }

    #[track_caller]
    fn check(search: &str, expected: bool) {
        let terms = Terms::parse(search.split(' ')).unwrap();
        assert_eq!(record().matches(&terms), expected, "{search}");
    }

    #[test]
    fn a_search_holds_when_all_its_terms_do() {
        check("", true);
        check("acme", true);
        check("ACME/APP release.yml", true);
        check("acme nowhere", false);
        check(
            "client=192.0.2.7 token=jti-1 request=5f0c rule=release key=9b2e algorithm=Ed25519 index=7",
            true,
        );
        check("repository=acme/app ref=refs/tags/*", true);
        check("repository=acme/app ref=refs/heads/*", false);
        check("source-repository-ref=refs/tags/v1", true);
        check("san=*Release.yml@*", true);
        check("san=*release.yml@*", false);
        check("result=refused reason=DENIED* subject=repo:acme/app", true);
        check("result=issued", false);
        check("repository=acme/lib owner=acme result=REFUSED reason=denied_by_rule", true);
        check("repository=lib", false);
        check("claim=ref wanted=refs/tags/* got=refs/heads/dev", true);
        check("key=9B:2E claimed.key=77:AA", true);
    }

    #[test]
    fn words_are_whole_and_side_by_side() {
        check("acm", false);
        check("acm*", true);
        check("cme*", false);
        check("acme/ap", false);
        check("acme/ap*", true);
        check("acm*", true);
        check("app/acme", false);
        check("acme/*", true);
        check("workflows@release", true);
        check("acme/github", false);
    }

    #[test]
    fn a_serial_number_is_found_however_it_is_written() {
        for serial in ["00ff9f", "ff9f", "FF9F", "0000ff9f", "00:ff:9f", "ff9*", "*9f"] {
            check(&format!("serial={serial}"), true);
        }
        check("serial=ff9", false);
        check("serial=ff9f0", false);
        for word in ["00ff9f", "ff9f", "0000FF9F", "00:00:ff:9f", "ff9*"] {
            check(word, true);
        }
        check("f9f", false);
    }

    #[test]
    fn a_fingerprint_is_a_key_with_colons_too() {
        let terms = Terms::parse([["AB"; FINGERPRINT].join(":").as_str()]).unwrap();
        let of = |key: String| Record { key, ..Record::default() };
        assert!(of("ab".repeat(FINGERPRINT)).matches(&terms));
        assert!(!of("ac".repeat(FINGERPRINT)).matches(&terms));
    }

    #[test]
    fn what_nobody_verified_is_no_fact() {
        check("mallory", true);
        check("subject=mallory", false);
        check("claimed.subject=mallory claimed.issuer=https://other.example", true);
        check("issuer=https://other.example", false);
        check("key=77aa", false);
        check("claimed.key=77aa", true);
    }

    #[test]
    fn times_are_a_range() {
        let now = Timestamp::from_secs(1_000_000);
        let at = |seconds| Record { time: Timestamp::from_secs(seconds), ..record() };
        for terms in [["since=1h", "since=7d"], ["since=7d", "since=1h"]] {
            let search = Search::parse(terms, now).unwrap();
            assert!(search.finds(&at(1_000_000 - 3600)));
            assert!(!search.finds(&at(1_000_000 - 3601)));
        }
        let search = Search::parse(["until=1h", "acme"], now).unwrap();
        assert!(search.finds(&at(1_000_000 - 3600)));
        assert!(!search.finds(&at(1_000_000 - 3599)));
        let error = Search::parse(["since=yesterday"], now).unwrap_err();
        assert!(error.to_string().starts_with("\"since=yesterday\": expected an age"), "{error}");
    }

    #[test]
    fn a_search_knows_which_ends_it_admits() {
        for (term, issued, refused) in [
            ("acme", true, true),
            ("result=refused", false, true),
            ("result=issued", true, false),
            ("result=*", true, true),
        ] {
            let search = Search::parse([term], Timestamp::default()).unwrap();
            assert_eq!(search.admits(Outcome::Issued), issued, "{term}");
            assert_eq!(search.admits(Outcome::Refused), refused, "{term}");
        }
    }

    #[test]
    fn a_word_that_is_none_is_refused() {
        let error = |term: &str| Terms::parse([term]).unwrap_err().to_string();
        assert!(error("/").starts_with("\"/\" has no letter or digit"), "{}", error("/"));
        assert!(error("*").starts_with("\"*\" has no letter or digit"), "{}", error("*"));
        assert!(error("a*b").starts_with("\"a*b\": a word may end in a star"), "{}", error("a*b"));
    }

    #[test]
    fn every_named_field_can_be_asked_for() {
        let record = record();
        let names: Vec<&str> = record.fields().map(|(name, _)| name).take(FIELDS.len()).collect();
        assert_eq!(names, FIELDS);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let error = |term| Terms::parse([term]).unwrap_err().to_string();
        for (term, expected) in [
            ("rul=x", "there is no field \"rul\"; did you mean rule? Use result, reason, message,"),
            (
                "event_name=push",
                "there is no field \"event_name\"; did you mean build-trigger? Use",
            ),
            ("nonsense=x", "there is no field \"nonsense\". Use result, reason, message,"),
            ("=", "there is no field \"\". Use"),
            ("result=ok", "\"result=ok\": a result is issued or refused"),
        ] {
            assert!(error(term).starts_with(expected), "{}", error(term));
        }
        assert_eq!(Terms::parse(["x"; 33]), Err(TermError::TooMany));
    }

    proptest! {
        /// Whatever a search finds has what an index is asked for.
        #[test]
        fn what_matches_is_among_the_candidates(
            (san, rule) in ("[aA0 /.*:ßΣİ]{0,12}", "[abé0/-]{0,20}"),
            (serial, key) in ("(00)?[0-9a-f]{2,20}", "[0-9a-f]{12,40}"),
            subject in prop::option::of("[ab0é/]{0,4}"),
            terms in prop::collection::vec(
                "(san=|rule=|serial=|key=|subject=|repository=|)([aA0ab/.:*ßΣİé-]{0,6}|[0-9a-f]{2,20}\\*?)", 0..3),
            path in "[aAß0/.-]{0,12}",
            (from, length) in (0..20_usize, 0..20_usize),
            style in 0..8,
        ) {
            let uri = format!("https://a.example/{path}");
            let extensions = [("source-repository-uri".into(), uri)].into();
            let record =
                Record { san, rule: Some(rule), serial, key, subject, extensions, ..Record::default() };
            // A random term seldom fits: one is cut out of the record.
            let part = |text: &str| text.chars().skip(from).take(length).collect::<String>();
            let own = match style {
                0 => part(&record.san),
                1 => format!("{}*", part(&record.key)),
                2 => format!("san=*{}*", part(&record.san)),
                3 => format!("serial=00{}*", part(&record.serial)),
                4 => format!("repository={path}"),
                5 => format!("repository=*{}*", part(&path)),
                6 => format!("key={}", record.key.to_uppercase()),
                _ => format!("00{}", record.serial.to_uppercase()),
            };
            let all = terms.iter().map(String::as_str).chain([own.as_str()]);
            for terms in [Terms::parse([own.as_str()]), Terms::parse(all)].into_iter().flatten() {
                if record.matches(&terms) {
                    let words = super::super::words::of(&record, None);
                    let has = |clue: &Clue| words.split(' ').any(|word| match clue {
                        Clue::Word(asked) => word == asked,
                        Clue::Start(asked) => word.starts_with(asked.as_str()),
                    });
                    for any in terms.clues() {
                        prop_assert!(any.iter().any(has), "{any:?} of {terms:?} in {words}");
                    }
                }
            }
        }
    }
}
