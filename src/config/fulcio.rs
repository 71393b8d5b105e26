//! Fulcio's issuer file, as it is: `oidc-issuers`, `meta-issuers`, `ci-issuer-metadata`.
//!
//! JSON is tried first, then YAML, as upstream does; the two have different names for the same keys.
//! The tree of a JSON file gets YAML's names before it is read, so that there is one reader.
//!
//! Upstream loads entries that no token can ever match. They are left out here, with a warning that
//! says why.
//!
//! Spec: sigstore/fulcio, `pkg/config/config.go`.

use std::path::Path;
use std::sync::Arc;

use crate::config::address::Address;
use crate::config::fulcio::metadata::Providers;
use crate::config::fulcio::names::{ISSUER, TOP};
use crate::config::node::{Node, Notation};
use crate::config::provider::words;
use crate::config::reader::{Cursor, Section};
use crate::config::trusted::{Trusted, roots, why_rules};
use crate::config::{Config, Overrides, choice, kinds, mayfly};
use crate::identity::older;
use crate::issuer::{Issuer, IssuerId, Keys, Kind};
use crate::policy::{Allow, Rules};
use crate::quote::quote;

mod cluster;
mod comments;
mod import;
mod metadata;
mod names;

pub use crate::config::fulcio::import::Imported;
pub(super) use crate::config::fulcio::import::import;
pub(super) use crate::config::fulcio::names::{keep_last, rename};

/// Whether the text is JSON; what is neither is read as YAML, whose complaint it gets.
pub(super) fn notation(text: &str) -> Notation {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Notation::Json,
        Err(_) => Notation::Yaml,
    }
}

/// Complains about keys of a JSON file that are spelt as YAML's.
pub(super) fn refuse_strays(root: &Cursor<'_>, strays: &[Node]) {
    for key in strays {
        root.at(key).refuse(
            "in a JSON file Fulcio knows keys such as OIDCIssuers and IssuerURL only, and passes over \
             this one: write it so, or save the file as YAML",
        );
    }
}

/// What becomes of members of a JSON file that stand there twice. Go takes the last one in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// So do we, aloud.
    Warned,
    /// Nothing is written of a file that says two things.
    Refused,
}

impl Repeated {
    /// Says so of each member that does not count.
    pub fn tell(self, root: &Cursor<'_>, keys: &[Node]) {
        for key in keys {
            let key = root.at(key);
            match self {
                Self::Warned => key.warn("stands here twice: as in Fulcio, the last one counts"),
                Self::Refused => key.refuse(
                    "stands here twice, and Fulcio takes the last one: leave the others out",
                ),
            }
        }
    }
}

/// Reads the whole file.
pub(super) fn read(root: &Cursor<'_>, overrides: &Overrides) -> Option<Config> {
    if root.node.is_null() {
        root.warn("no issuers: every token will be refused");
        return mayfly::around(root, Vec::new(), overrides);
    }
    let mut found = issuers(&root.section(&TOP)?);
    for (cursor, issuer) in found.iter_mut().filter(|(_, issuer)| cluster::is_ours(issuer)) {
        cluster::equip(issuer, cursor, Path::new("/"))?;
    }
    if !overrides.allow_anybody {
        refuse_shared(root, &found);
    }
    let anybody = Rules { allow: Allow::Anybody, deny: Vec::new() };
    let trusted = found.into_iter().map(|(_, issuer)| Trusted { issuer, rules: anybody.clone() });
    mayfly::around(root, trusted.collect(), overrides)
}

/// Whether this is a `mayfly.yaml`: upstream ignores keys that it does not know, and would find no issuer.
pub(super) fn is_ours(root: &Cursor<'_>) -> bool {
    let keys = root.node.map().into_iter().flatten().filter_map(|entry| entry.key.text());
    keys.into_iter().any(|key| key == "issuers")
}

/// The issuers that a token can match, fixed ones first, each with its place in the file.
fn issuers<'a>(section: &Section<'a>) -> Vec<(Cursor<'a>, Issuer)> {
    let providers = Providers::read(section.get("ci-issuer-metadata"));
    let fixed = read_issuers(section.get("oidc-issuers"), Map::Fixed, &providers);
    let patterns = read_issuers(section.get("meta-issuers"), Map::Patterns, &providers);
    fixed.into_iter().chain(patterns).collect()
}

/// Complains once about what is missing, and then of each issuer that is why.
fn refuse_shared(root: &Cursor<'_>, found: &[(Cursor<'_>, Issuer)]) {
    let shared =
        found.iter().filter_map(|(cursor, issuer)| Some((cursor, why_rules(&issuer.url)?)));
    if shared.clone().next().is_some() {
        root.refuse(
            "issuers that vouch for strangers need rules, which this file cannot have: write the \
             issuers in a mayfly.yaml with `allow`, or start with --allow-anybody",
        );
    }
    shared.for_each(|(cursor, why)| cursor.refuse(why));
}

/// The types of issuers beside the older ones, by Fulcio's names.
const TYPES: &[&str] =
    &["email", "uri", "username", "spiffe", "kubernetes", "chainguard-identity", "ci-provider"];

/// The two maps of issuers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Map {
    Fixed,
    Patterns,
}

/// Reads a map of issuers; those that cannot be used are left out.
fn read_issuers<'a>(
    cursor: Option<&Cursor<'a>>,
    map: Map,
    providers: &Providers,
) -> Vec<(Cursor<'a>, Issuer)> {
    let members = cursor.filter(|cursor| !cursor.node.is_null()).and_then(Cursor::members);
    let issuer = |(url, member): (String, Cursor<'a>)| {
        let section = member.section(&ISSUER)?;
        let issuer = Entry { url: &url, map, section: &section, providers }.read()?;
        Some((member, issuer))
    };
    members.into_iter().flatten().filter_map(issuer).collect()
}

/// One issuer or pattern as it stands in the file.
struct Entry<'a> {
    url: &'a str,
    map: Map,
    section: &'a Section<'a>,
    providers: &'a Providers,
}

impl Entry<'_> {
    /// The issuer; None after a complaint, or after a warning that no token can match it.
    fn read(&self) -> Option<Issuer> {
        let roots = self.roots();
        let kind = self.kind();
        let audience = self.word("client-id");
        let challenge_claim = self.word("challenge-claim");
        let usable = self.is_usable();
        let (roots, kind, audience) = (roots?, kind?, audience?);
        if !usable? {
            return None;
        }
        Some(Issuer {
            id: IssuerId(0),
            url: self.url.to_owned(),
            audiences: vec![audience],
            kind,
            keys: Keys::Discovery,
            roots,
            bearer_file: None,
            algorithms: Vec::new(),
            max_age: None,
            challenge_claim: challenge_claim.filter(|claim| !claim.is_empty()),
        })
    }

    /// The text of a key, empty when it is not there.
    fn word(&self, key: &str) -> Option<String> {
        self.section.get(key).map_or_else(|| Some(String::new()), words)
    }

    fn refuse<T>(&self, key: &str, complaint: &str) -> Option<T> {
        self.section.get(key).unwrap_or(&self.section.cursor).refuse(complaint);
        None
    }

    /// Says that upstream loads this entry and no token can match it.
    fn unused<T>(&self, why: &str) -> Option<T> {
        self.section.cursor.warn(format!("is never used: {why}"));
        None
    }

    fn is_usable(&self) -> Option<bool> {
        if self.word("client-id")?.is_empty() {
            return self.unused("it has no client-id, and every token has an audience");
        }
        if self.map == Map::Fixed {
            let issuer_url = self.word("issuer-url")?;
            if issuer_url != self.url {
                return self.unused("its issuer-url is not the key that it stands under");
            }
            if self.url.contains('*') {
                return self.unused("patterns belong under meta-issuers");
            }
        }
        match Address::parse(self.url) {
            Err(error) => self.unused(&error.to_string()),
            Ok(address) if address.is_exposed() => {
                self.unused("its keys would cross the network over http://")
            }
            Ok(_) => Some(true),
        }
    }

    fn roots(&self) -> Option<Option<Vec<u8>>> {
        let pem = self.word("ca-cert")?;
        if pem.is_empty() {
            return Some(None);
        }
        match roots(pem.as_bytes()) {
            Ok(roots) => Some(Some(roots)),
            Err(complaint) => self.refuse("ca-cert", &complaint),
        }
    }

    fn kind(&self) -> Option<Kind> {
        let name = self.word("type")?;
        let claim = self.word("issuer-claim")?;
        if !claim.is_empty() && name != "email" {
            match self.map {
                Map::Fixed => return self.refuse("issuer-claim", "belongs to type email"),
                Map::Patterns => {
                    self.section.cursor.warn("issuer-claim belongs to type email, ignored")
                }
            }
        }
        match name.as_str() {
            "email" => self.email(&claim),
            "uri" => self.judge("subject-domain", kinds::uri),
            "username" => self.judge("subject-domain", kinds::username),
            "spiffe" if self.map == Map::Patterns => self.refuse(
                "type",
                "a pattern cannot be of type spiffe: it has no trust domain of its own",
            ),
            "spiffe" => self.judge("spiffe-trust-domain", |domain, _| kinds::spiffe(domain)),
            "kubernetes" => Some(Kind::Kubernetes),
            "chainguard-identity" => Some(Kind::Chainguard),
            "ci-provider" => self.ci(),
            _ => match older::provider(&name) {
                Some(provider) => Some(Kind::Ci(Arc::new(provider))),
                None => self.unknown(&name),
            },
        }
    }

    fn email(&self, claim: &str) -> Option<Kind> {
        let skip = self.section.get("skip-email-verification").map_or(Some(false), flag)?;
        match kinds::email((!claim.is_empty()).then_some(claim), skip) {
            Ok(kind) => Some(kind),
            Err(complaint) => self.refuse("issuer-claim", &complaint),
        }
    }

    fn judge(
        &self,
        key: &str,
        kind: impl FnOnce(&str, &str) -> Result<Kind, String>,
    ) -> Option<Kind> {
        let domain = self.word(key)?;
        if domain.is_empty() {
            return self.refuse(key, &format!("needs `{key}`"));
        }
        match kind(&domain, self.url) {
            Ok(kind) => Some(kind),
            Err(complaint) => self.refuse(key, &complaint),
        }
    }

    fn ci(&self) -> Option<Kind> {
        let name = self.word("ci-provider")?;
        match self.providers.find(&name) {
            Some(provider) => provider.map(|provider| Kind::Ci(Arc::clone(provider))),
            None => {
                let name = quote(&name);
                self.unused(&format!("ci-issuer-metadata has no entry {name}, its ci-provider"))
            }
        }
    }

    fn unknown(&self, name: &str) -> Option<Kind> {
        let types: Vec<&str> = TYPES.iter().copied().chain(older::names()).collect();
        let why = choice::complaint(&types, name);
        if self.word("challenge-claim")?.is_empty() {
            self.refuse("type", &why)
        } else {
            self.unused(&why)
        }
    }
}

/// A boolean of YAML 1.1, as Go reads it: `yes` and `on` are true.
fn flag(cursor: &Cursor<'_>) -> Option<bool> {
    if cursor.node.is_null() {
        return Some(false);
    }
    match cursor.node.text().unwrap_or_default() {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => cursor.flag(),
    }
}
