//! Questions asked of records: `repository=acme/app ref=refs/tags/* release`.
//!
//! A term with `=` asks one field: the value is compared whole, `*` stands for any run of characters. A
//! field is called by its name (`san`, `source-repository-ref`), and an extension also by the last words
//! of its name (`ref`, `repository`), in which case any extension that ends so will do. A term without
//! `=` is looked for inside every field, upper and lower case alike. All terms must hold.

use std::borrow::Cow;

use super::Record;
use crate::extensions::TABLE;
use crate::glob;
use crate::quote::quote;

/// The fields beside the extensions.
const FIELDS: [&str; 11] = [
    "san",
    "issuer",
    "kind",
    "serial",
    "key",
    "algorithm",
    "request",
    "rule",
    "token",
    "client",
    "index",
];
/// How many terms one search has at most.
const LIMIT: usize = 32;

/// A parsed search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// Lower case, looked for in every field.
    Word(String),
    /// A field's name and the pattern for its value.
    Field(String, String),
}

impl Terms {
    /// Parses one term a string.
    ///
    /// # Errors
    ///
    /// [`TermError::UnknownField`] for a name that no field has, [`TermError::TooMany`] beyond 32 terms.
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
}

impl Term {
    fn parse(term: &str) -> Result<Self, TermError> {
        let Some((name, pattern)) = term.split_once('=') else {
            return Ok(Self::Word(term.to_lowercase()));
        };
        let extension = || TABLE.iter().any(|row| goes_by(row.name, name));
        if FIELDS.contains(&name) || extension() {
            return Ok(Self::Field(name.to_owned(), pattern.to_owned()));
        }
        Err(TermError::UnknownField { field: quote(name).to_string() })
    }
}

impl Record {
    /// Whether all terms hold of this record.
    pub fn matches(&self, terms: &Terms) -> bool {
        terms.0.iter().all(|term| match term {
            Term::Word(word) => {
                self.fields().any(|(_, value)| value.to_lowercase().contains(word.as_str()))
            }
            Term::Field(name, pattern) => self
                .fields()
                .any(|(field, value)| goes_by(field, name) && glob::matches(pattern, &value)),
        })
    }

    /// Every field that has a value, with its name: those of [`FIELDS`], then the extensions.
    fn fields(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let fixed = [
            ("san", Some(Cow::Borrowed(self.san.as_str()))),
            ("issuer", Some(Cow::Borrowed(self.issuer.as_str()))),
            ("kind", Some(Cow::Borrowed(self.kind.as_str()))),
            ("serial", Some(Cow::Borrowed(self.serial.as_str()))),
            ("key", Some(Cow::Borrowed(self.key.as_str()))),
            ("algorithm", Some(Cow::Borrowed(self.key_algorithm))),
            ("request", Some(Cow::Borrowed(self.request_id.as_str()))),
            ("rule", self.rule.as_deref().map(Cow::Borrowed)),
            ("token", self.token_id.as_deref().map(Cow::Borrowed)),
            ("client", self.client.map(|client| Cow::Owned(client.to_string()))),
            ("index", self.index.map(|index| Cow::Owned(index.to_string()))),
        ];
        let extensions = self.extensions.iter();
        let extensions = extensions.map(|(name, value)| (*name, Cow::Borrowed(value.as_str())));
        fixed.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(extensions)
    }
}

/// Whether a field of this name is called by `asked`: the whole name, or its last words.
fn goes_by(field: &str, asked: &str) -> bool {
    match field.strip_suffix(asked) {
        Some(words) => !asked.is_empty() && (words.is_empty() || words.ends_with('-')),
        None => false,
    }
}

/// Why a search is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// No field has this name.
    #[error(
        "there is no field {field}: use {}, or the name of an extension (`source-repository-ref`, or `ref` \
         for short)",
        FIELDS.join(", ")
    )]
    UnknownField {
        /// The name, quoted.
        field: String,
    },
    /// More terms than anybody needs.
    #[error("a search has at most {LIMIT} terms")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            request_id: "5f0c".into(),
            client: Some([192, 0, 2, 7].into()),
            issuer: "https://issuer.example".into(),
            kind: "uri".into(),
            san: "https://github.com/acme/app/.github/workflows/Release.yml@refs/tags/v1".into(),
            extensions: [
                ("github-workflow-repository", "acme/app".into()),
                ("source-repository-ref", "refs/tags/v1".into()),
            ]
            .into(),
            rule: Some("release".into()),
            token_id: Some("jti-1".into()),
            serial: "3c9f".into(),
            key: "9b2e".into(),
            key_algorithm: "Ed25519",
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
        check("serial=3c9f", true);
        check("serial=3c9", false);
        check("serial=3c*", true);
        check(
            "client=192.0.2.7 token=jti-1 request=5f0c rule=release key=9b2e algorithm=Ed25519 index=7",
            true,
        );
        check("repository=acme/app ref=refs/tags/*", true);
        check("repository=acme/app ref=refs/heads/*", false);
        check("source-repository-ref=refs/tags/v1", true);
        check("san=*Release.yml@*", true);
        check("san=*release.yml@*", false);
    }

    #[test]
    fn every_named_field_can_be_asked_for() {
        let record = record();
        let names: Vec<&str> = record.fields().map(|(name, _)| name).take(FIELDS.len()).collect();
        assert_eq!(names, FIELDS);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let error = Terms::parse(["sna=x"]).unwrap_err();
        assert_eq!(error, TermError::UnknownField { field: "\"sna\"".into() });
        assert!(error.to_string().starts_with("there is no field \"sna\": use san, issuer, kind,"));
        assert_eq!(
            Terms::parse(["="]).unwrap_err(),
            TermError::UnknownField { field: "\"\"".into() }
        );
        assert_eq!(Terms::parse(["x"; 33]), Err(TermError::TooMany));
    }
}
