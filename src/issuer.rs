//! Trusted token issuers: exact ones, then patterns in file order.
//!
//! ```text
//! https://token.actions.githubusercontent.com             exact: octet for octet
//! https://oidc.eks.*.amazonaws.com/id/*                   pattern: * is one or more of [-_A-Za-z0-9]
//! ```
//!
//! A pattern is anchored at both ends and none of its `*` crosses a `/`, a `.` or a `:`, so that it
//! cannot be met from another host.
//!
//! Spec: sigstore/fulcio, "meta issuers"; GHSA-59jp-pj84-45mr is what an unanchored one costs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::algorithm::jose::Algorithm;
use crate::extensions::Extension;
use crate::template::Template;

mod claim_path;
mod nearest;
mod patterns;

pub use claim_path::{ClaimPath, ClaimPathError};

/// The longest issuer URL that can match, in octets.
const MAX_URL: usize = 512;

/// Position of an issuer in the configuration: exact ones and patterns share one numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub usize);

/// One trusted issuer, as configured.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Where it stands in the configuration.
    pub id: IssuerId,
    /// Its URL, or a pattern in which `*` stands for one or more of `[-_A-Za-z0-9]`.
    pub url: String,
    /// At least one; the token must name one of them.
    pub audiences: Vec<String>,
    /// What its tokens say.
    pub kind: Kind,
    /// Where its keys come from.
    pub keys: Keys,
    /// Trusted for this issuer's TLS beside the system's roots; PEM.
    pub roots: Option<Vec<u8>>,
    /// The file of a bearer token that its host wants to see before it shows the keys; read whenever
    /// they are fetched.
    pub bearer_file: Option<PathBuf>,
    /// The algorithms that its tokens may be signed with; none named: all that there are.
    pub algorithms: Vec<Algorithm>,
    /// How old its tokens may be, by their `iat`, which they must then have.
    pub max_age: Option<Duration>,
    /// The claim that clients are told to sign; it decides nothing.
    pub challenge_claim: Option<String>,
}

impl Issuer {
    /// An issuer for tests, of service accounts at `url`, first in its configuration.
    #[cfg(test)]
    pub(crate) fn assumed(url: &str) -> Self {
        Self {
            id: IssuerId(0),
            url: url.to_owned(),
            audiences: vec!["sigstore".to_owned()],
            kind: Kind::Kubernetes,
            keys: Keys::Discovery,
            roots: None,
            bearer_file: None,
            algorithms: Vec::new(),
            max_age: None,
            challenge_claim: None,
        }
    }

    /// Whether its URL is a pattern.
    pub fn is_pattern(&self) -> bool {
        self.url.contains('*')
    }

    /// Whether the keys of both come from the same place in the same way.
    pub fn has_keys_of(&self, other: &Self) -> bool {
        self.url == other.url
            && self.keys == other.keys
            && self.roots == other.roots
            && self.bearer_file == other.bearer_file
    }
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// OpenID Connect discovery under the issuer's URL.
    Discovery,
    /// A key set (RFC 7517) at this URL.
    Url(String),
    /// A key set (RFC 7517) given in the configuration; JSON.
    Inline(Arc<[u8]>),
}

/// What an issuer's tokens say, and how that becomes an identity.
#[derive(Clone, Debug)]
pub enum Kind {
    /// People, by e-mail address.
    Email {
        /// The claim that stands for `iss` in the certificate (Dex: the connector behind it).
        issuer_claim: Option<ClaimPath>,
        /// `email_verified` need not be true.
        skip_verification: bool,
    },
    /// A URI in `sub`.
    Uri {
        /// The scheme, host and port that the URI must have, as a URL.
        subject_domain: String,
    },
    /// A name in `sub`.
    Username {
        /// What stands behind the `!` of the certificate's name.
        subject_domain: String,
    },
    /// A SPIFFE ID in `sub`.
    Spiffe {
        /// The trust domain that it must be of.
        trust_domain: String,
    },
    /// A Kubernetes service account.
    Kubernetes,
    /// A Chainguard identity.
    Chainguard,
    /// A job of a CI system.
    Ci(Arc<Provider>),
}

impl Kind {
    /// Its name in Fulcio's configuration file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Email { .. } => "email",
            Self::Uri { .. } => "uri",
            Self::Username { .. } => "username",
            Self::Spiffe { .. } => "spiffe",
            Self::Kubernetes => "kubernetes",
            Self::Chainguard => "chainguard-identity",
            Self::Ci(provider) => provider.older.map_or("ci-provider", |older| older.name),
        }
    }
}

/// How a CI provider's claims become SAN and extensions.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// Name and value; a claim of the same name wins (Fulcio's merge order).
    pub defaults: Vec<(String, String)>,
    /// Name and value; a claim of the same name is ignored.
    pub constants: Vec<(String, String)>,
    /// The subject alternative name, a URI.
    pub san: Option<Template>,
    /// The extensions; `issuer`, `issuer-v1` and `subject` are never taken from here.
    pub extensions: Vec<(Extension, Template)>,
    /// Claims that must be there and not empty although no template insists: those read by `index`.
    pub required: Vec<String>,
    /// Claims that may have these values only, where they are present.
    pub choices: Vec<(String, Vec<String>)>,
    /// Claims that must begin with this text, where they are present.
    pub starts_with: Vec<(String, String)>,
    /// For the types that Fulcio had before it had templates: what they check beside.
    pub older: Option<&'static Older>,
}

/// What one of Fulcio's older CI types checks and does beside its templates.
#[derive(Debug, PartialEq, Eq)]
pub struct Older {
    /// The type's name in Fulcio's configuration file.
    pub name: &'static str,
    /// Claims that must be text and not empty, whether or not a template uses them.
    pub required: &'static [&'static str],
    /// Claims that must be text where they are present.
    pub optional: &'static [&'static str],
    /// Claims that must be a whole number, and not 0.
    pub numbers: &'static [&'static str],
    /// Claims that may have these values only.
    pub choices: &'static [(&'static str, &'static [&'static str])],
    /// Extensions whose URLs are joined from path segments, in which `?` and `#` are ordinary.
    pub joined: &'static [&'static str],
    /// Whether the SAN is joined, too.
    pub san_joined: bool,
}

/// The issuers of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    exact: HashMap<String, Arc<Issuer>>,
    patterns: patterns::Patterns,
    nearest: nearest::Index,
}

impl Issuers {
    /// Takes the issuers in file order. Of two with one URL the first is found.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        let all: Vec<_> = issuers.into_iter().map(Arc::new).collect();
        let mut exact = HashMap::new();
        let mut patterns = Vec::new();
        for issuer in &all {
            if issuer.is_pattern() {
                patterns.push(Arc::clone(issuer));
            } else {
                exact.entry(issuer.url.clone()).or_insert_with(|| Arc::clone(issuer));
            }
        }
        let nearest = nearest::Index::new(&all);
        Self { all, exact, patterns: patterns::Patterns::new(patterns), nearest }
    }

    /// The issuer whose URL is `url`, else the first whose pattern it matches.
    ///
    /// Compared octet for octet; more than 512 octets match nothing.
    pub fn find(&self, url: &str) -> Option<&Arc<Issuer>> {
        if url.len() > MAX_URL {
            return None;
        }
        let exact = self.exact.get(url);
        exact.or_else(|| self.patterns.find(url))
    }

    /// The configured URL that looks most like `url`, for "did you mean"; none when nothing is near.
    pub fn nearest(&self, url: &str) -> Option<&str> {
        if url.len() > MAX_URL {
            return None;
        }
        let nearest = self.nearest.find(url).and_then(|position| self.all.get(position));
        nearest.map(|issuer| issuer.url.as_str()).filter(|nearest| *nearest != url)
    }

    /// Every issuer, in file order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.all.iter()
    }
}

/// Whether `text` as a whole matches `pattern`, whose `*` is one or more of `[-_A-Za-z0-9]`.
///
/// Going back to the last `*` is enough: what an earlier `*` could take instead, the last can take, too.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // What follows the last `*`, and the text from the octet on which that `*` may take next.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', behind)), Some((first, rest))) if is_word(*first) => {
                retry = Some((behind, rest));
                (pattern, text) = (behind, rest);
            }
            (Some((expected, behind)), Some((first, rest)))
                if expected == first && *expected != b'*' =>
            {
                (pattern, text) = (behind, rest);
            }
            _ => {
                let Some((behind, [first, rest @ ..])) = retry else { return false };
                if !is_word(*first) {
                    return false;
                }
                retry = Some((behind, rest));
                (pattern, text) = (behind, rest);
            }
        }
    }
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')
}

/// How an issuer's URL leads to the URL of what it builds for: one row of a preset's `hosts`.
///
/// `*` in `issuer` is one or more of any character; in `url` it stands for what that one matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// The issuer's URL, with one `*` at most.
    pub issuer: String,
    /// The URL that follows from it.
    pub url: String,
}

/// The URL that follows from an issuer's by the first rule that matches it, without a slash at its end.
///
/// None where no rule matches, or where the URL would still be a pattern.
pub fn derive(rules: &[HostRule], issuer: &str) -> Option<String> {
    let url = rules.iter().find_map(|rule| {
        let Some((before, after)) = rule.issuer.split_once('*') else {
            return (rule.issuer == issuer).then(|| rule.url.clone());
        };
        let host = issuer.strip_prefix(before)?.strip_suffix(after)?;
        (!host.is_empty()).then(|| rule.url.replacen('*', host, 1))
    })?;
    (!url.contains('*')).then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn issuer(id: usize, url: &str) -> Issuer {
        Issuer { id: IssuerId(id), ..Issuer::assumed(url) }
    }

    pub(super) fn issuers(urls: &[&str]) -> Issuers {
        Issuers::new(urls.iter().enumerate().map(|(id, url)| issuer(id, url)).collect())
    }

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} against {text:?}");
    }

    #[test]
    fn a_star_is_one_or_more_word_characters() {
        check(
            "https://oidc.eks.*.amazonaws.com/id/*",
            "https://oidc.eks.eu-1.amazonaws.com/id/A_9",
            true,
        );
        check("https://a/*", "https://a/", false);
        check("https://a/*", "https://a/b/c", false);
        check("https://a/*", "https://a/b.c", false);
        check("https://a/*", "https://a/ä", false);
        check("https://a/*", "https://a/b\n", false);
        check("https://a/*", "https://a/b?c", false);
        check("https://a/*/", "https://a/b/", true);
        check("https://a/*/", "https://a/b", false);
        check("*", "a", true);
        check("*", "", false);
        check("**", "a", false);
        check("**", "ab", true);
        check("a", "a", true);
        check("a", "A", false);
        check("*", "*", false);
    }

    #[test]
    fn a_star_gives_back_what_the_rest_needs() {
        check("*-x", "a-x-x", true);
        check("*-x", "-x-x", true);
        check("*-x", "-x", false);
        check("*ab*ab", "xabyab", true);
        check("*ab*ab", "xababab", true);
        check("*ab*ab.c", "xababzab.c", true);
        check("https://*-foo-*/x", "https://a-foo-foo-b/x", true);
        check("https://*-foo-*/x", "https://a-foo-/x", false);
    }

    #[test]
    fn a_pattern_is_anchored_at_both_ends() {
        let pattern = "https://container.googleapis.com/v1/projects/*";
        check(pattern, "https://container.googleapis.com/v1/projects/p", true);
        check(pattern, "https://evil/?https://container.googleapis.com/v1/projects/p", false);
        check(pattern, "https://container.googleapis.com/v1/projects/p#", false);
        check(pattern, "https://container.googleapis.com/v1/projects/p@evil", false);
    }

    /// The same question, asked of every way to cut the text.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', behind @ ..] => (1..=text.len())
                .take_while(|end| text[..*end].iter().all(|octet| is_word(*octet)))
                .any(|end| slow(behind, &text[end..])),
            [expected, behind @ ..] => text.first() == Some(expected) && slow(behind, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_trying_everything(pattern in "[ab./*]{0,8}", text in "[ab./*]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn exact_issuers_win_over_patterns_and_patterns_go_in_order() {
        let issuers = issuers(&["https://a/*", "https://a/b", "https://*/b", "https://a/b"]);
        let found = |url| issuers.find(url).map(|issuer| issuer.id.0);
        assert_eq!(found("https://a/b"), Some(1));
        assert_eq!(found("https://a/c"), Some(0));
        assert_eq!(found("https://c/b"), Some(2));
        assert_eq!(found("https://a/b/"), None);
        assert_eq!(found("HTTPS://a/b"), None);
        assert_eq!(found(""), None);
        assert_eq!(issuers.iter().count(), 4);
    }

    #[test]
    fn a_url_of_more_than_512_octets_matches_nothing() {
        let url = |length: usize| format!("https://a/{}", "x".repeat(length - 10));
        let exact = url(513);
        let issuers = issuers(&["https://a/*", &exact]);
        assert!(issuers.find(&url(512)).is_some());
        assert!(issuers.find(&url(513)).is_none());
    }

    #[test]
    fn a_pattern_is_not_its_own_match() {
        assert!(issuers(&["https://a/*"]).find("https://a/*").is_none());
    }

    #[test]
    fn hosts_follow_from_issuers() {
        let rule = |issuer: &str, url: &str| HostRule { issuer: issuer.into(), url: url.into() };
        let rules = [
            rule("https://token.actions.githubusercontent.com", "https://github.com"),
            rule("https://token.actions.githubusercontent.com/*", "https://github.com"),
            rule("https://token.actions.*.ghe.com", "https://*.ghe.com"),
            rule("https://*/_services/token", "https://*"),
        ];
        let from = |issuer| derive(&rules, issuer);
        assert_eq!(
            from("https://token.actions.githubusercontent.com").as_deref(),
            Some("https://github.com")
        );
        assert_eq!(
            from("https://token.actions.githubusercontent.com/*").as_deref(),
            Some("https://github.com")
        );
        assert_eq!(
            from("https://token.actions.octo.ghe.com").as_deref(),
            Some("https://octo.ghe.com")
        );
        assert_eq!(
            from("https://ghes.example:8443/_services/token").as_deref(),
            Some("https://ghes.example:8443")
        );
        assert_eq!(from("https://*.example/_services/token"), None);
        assert_eq!(from("https:///_services/token"), None);
        assert_eq!(from("https://elsewhere.example"), None);

        let same = [rule("*", "*")];
        assert_eq!(
            derive(&same, "https://git.example/gitlab/").as_deref(),
            Some("https://git.example/gitlab")
        );
    }
}
