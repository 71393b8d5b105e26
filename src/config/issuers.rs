//! `issuers` of `mayfly.yaml` → trusted issuers with their rules.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::algorithm::jose::Algorithm;
use crate::config::address::Address;
use crate::config::node::{Entry, Node, Value};
use crate::config::presets::{self, Preset};
use crate::config::reader::{Cursor, Section, Table};
use crate::config::rules::{Claims, Tenants};
use crate::config::trusted::{self, AUDIENCE, Trusted, file, roots};
use crate::config::{choice, kinds, provider, rules};
use crate::identity::older;
use crate::issuer::{Issuer, IssuerId, Keys, Kind};
use crate::policy::Rules;
use crate::token::VerifyingKey;

/// The keys of an issuer.
pub(super) const ISSUER: Table = Table {
    section: "issuers[]",
    keys: &[
        "preset",
        "url",
        "type",
        "audiences",
        "ca",
        "keys",
        "bearer_token_file",
        "algorithms",
        "max_token_age",
        "allow",
        "deny",
        "issuer_claim",
        "skip_email_verification",
        "subject_domain",
        "trust_domain",
        "san",
        "extensions",
        "defaults",
        "constants",
        "required",
        "choices",
        "starts_with",
        "challenge_claim",
    ],
    later: &["limit"],
    strict: true,
};

/// Where the keys of an issuer come from, when not from discovery.
pub(super) const KEYS: Table =
    Table { section: "issuers[].keys", keys: &["file", "url", "inline"], later: &[], strict: true };

/// The keys that only some types have, with the types that have them.
const MEMBERS: &[(&str, &[&str])] = &[
    ("issuer_claim", &["email"]),
    ("skip_email_verification", &["email"]),
    ("subject_domain", &["uri", "username"]),
    ("trust_domain", &["spiffe"]),
    ("san", &["ci"]),
    ("extensions", &["ci"]),
    ("defaults", &["ci"]),
    ("constants", &["ci"]),
    ("required", &["ci"]),
    ("choices", &["ci"]),
    ("starts_with", &["ci"]),
];

/// The types of issuers. Fulcio's from before it had templates are taken, too, for imported files.
pub(super) const TYPES: &[&str] =
    &["email", "uri", "username", "spiffe", "kubernetes", "chainguard", "ci"];

/// Keys that a set may have.
const MAX_KEYS: usize = 100;

/// How old a token may at most be: CI systems give them for minutes, a day is for people's.
const AGES: RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(24 * 3600);

const EXPOSED: &str = "expected https:// and one host (http:// is for this machine only)";

/// What is wrong with a pattern that [`is_wide`].
pub(super) const WIDE: &str =
    "expected a pattern without `*` in the last two labels of the host name";

/// Whether a pattern matches hosts of any domain.
///
/// Attack: who registers a domain would have an issuer under it.
pub(super) fn is_wide(address: &Address<'_>) -> bool {
    address.host.rsplit('.').take(2).any(|label| label.contains('*'))
}

/// Reads the list; files that it names are relative to `folder`.
pub(super) fn read(cursor: &Cursor<'_>, folder: &Path) -> Option<Vec<Trusted>> {
    let items = cursor.items()?;
    if items.is_empty() {
        cursor.warn("no issuers: every token will be refused");
    }
    let mut all = Vec::new();
    let mut urls = HashSet::new();
    for item in items {
        for trusted in read_issuer(&item, folder).unwrap_or_default() {
            let url = &trusted.issuer.url;
            if !urls.insert(url.clone()) {
                item.refuse(format!("issuer {url} is already in this list"));
            }
            all.push(trusted);
        }
    }
    Some(all)
}

/// One entry: several issuers where a preset has several patterns.
fn read_issuer(cursor: &Cursor<'_>, folder: &Path) -> Option<Vec<Trusted>> {
    let section = cursor.section(&ISSUER)?;
    let preset = section.get("preset").and_then(find_preset);
    for key in preset.iter().flat_map(|preset| &preset.needs) {
        section.require(key);
    }
    let urls = read_urls(&section, preset);
    let first = urls.as_ref().and_then(|urls| urls.first());
    let kind = read_kind(&section, preset, first);
    let rules = read_rules(&section, preset, first, kind.as_ref());
    let audiences = match (section.get("audiences"), preset) {
        (Some(audiences), _) => audiences.texts(),
        (None, Some(preset)) if !preset.audiences.is_empty() => Some(preset.audiences.clone()),
        (None, _) => Some(vec![AUDIENCE.to_owned()]),
    };
    let keys = read_keys(&section, first, folder);
    let roots = read_roots(&section, folder);
    let bearer_file = read_bearer(&section, first, folder);
    let algorithms = section.get("algorithms").map_or(Some(Vec::new()), read_algorithms);
    let max_age = section.get("max_token_age").map_or(Some(None), |c| c.duration(AGES).map(Some));
    let challenge =
        section.get("challenge_claim").map_or(Some(None), |cursor| cursor.text().map(Some));
    let (urls, rules, kind, audiences) = (urls?, rules?, kind?, audiences?);
    let (keys, roots, bearer_file) = (keys?, roots?, bearer_file?);
    let (algorithms, max_age, challenge) = (algorithms?, max_age?, challenge?);
    let trusted = |url| Trusted {
        issuer: Issuer {
            id: IssuerId(0),
            url,
            audiences: audiences.clone(),
            kind: kind.clone(),
            keys: keys.clone(),
            roots: roots.clone(),
            bearer_file: bearer_file.clone(),
            algorithms: algorithms.clone(),
            max_age,
            challenge_claim: challenge.map(str::to_owned),
        },
        rules: rules.clone(),
    };
    Some(urls.into_iter().map(trusted).collect())
}

fn find_preset(cursor: &Cursor<'_>) -> Option<&'static Preset> {
    let name = cursor.text()?;
    let unknown = || cursor.fail(choice::complaint(&presets::names(), name));
    presets::find(name).or_else(unknown)
}

/// Whether a preset is named that there is not: the complaint about it is enough.
fn is_unknown(section: &Section<'_>, preset: Option<&Preset>) -> bool {
    section.get("preset").is_some() && preset.is_none()
}

fn read_urls(section: &Section<'_>, preset: Option<&Preset>) -> Option<Vec<String>> {
    let Some(cursor) = section.get("url") else {
        let urls = preset.map(|preset| preset.urls.clone()).unwrap_or_default();
        if urls.is_empty() && !is_unknown(section, preset) {
            section.cursor.refuse("needs `url`, the `iss` of its tokens");
        }
        return Some(urls).filter(|urls| !urls.is_empty());
    };
    let url = cursor.text()?;
    let complaint = match Address::parse(url) {
        Err(error) => error.to_string(),
        Ok(address) if address.is_exposed() => EXPOSED.to_owned(),
        Ok(address) if is_wide(&address) => WIDE.to_owned(),
        Ok(_) => return Some(vec![url.to_owned()]),
    };
    cursor.fail(complaint)
}

fn read_rules(
    section: &Section<'_>,
    preset: Option<&Preset>,
    url: Option<&String>,
    kind: Option<&Kind>,
) -> Option<Rules> {
    let url = url.map(String::as_str);
    let open = url.filter(|url| trusted::why_rules(url).is_some());
    let claims = Claims {
        advised: presets::advised(preset, kind, url),
        tenants: open.map(|url| Tenants { url, claims: presets::tenants(preset, kind, url) }),
        preset,
    };
    let name = url.unwrap_or("issuer");
    let why = presets::why_rules(preset, url).map(|why| format!("{name} {why}"));
    rules::read(section, why.as_deref(), &claims)
}

fn read_kind(section: &Section<'_>, preset: Option<&Preset>, url: Option<&String>) -> Option<Kind> {
    let name = match (preset, section.get("type")) {
        (Some(_), Some(cursor)) => {
            return cursor.fail("the preset gives the type: leave one of them out");
        }
        (Some(preset), None) => preset.kind.as_str(),
        (None, Some(cursor)) => {
            let name = cursor.text()?;
            let types: Vec<&str> = TYPES.iter().copied().chain(older::names()).collect();
            if !types.contains(&name) {
                return cursor.fail(choice::complaint(&types, name));
            }
            name
        }
        (None, None) => {
            if !is_unknown(section, preset) {
                section.cursor.refuse("needs `preset` or `type`");
            }
            return None;
        }
    };
    for (key, types) in MEMBERS {
        if !types.contains(&name) {
            let types = types.join(" or ");
            section.forbid(&[key], &format!("belongs to type {types}, not to {name}"));
        }
    }
    let Some(preset) = preset else {
        return typed_kind(section, name, url?);
    };
    if name == "ci" {
        let why = "the preset brings its own templates: write `type: ci` instead of `preset`";
        section.forbid(provider::KEYS, why);
    }
    match preset.provider(url?) {
        Ok(Some(provider)) => Some(Kind::Ci(provider)),
        Ok(None) => typed_kind(section, name, url?),
        Err(complaint) => section.get("url").unwrap_or(&section.cursor).fail(complaint),
    }
}

fn typed_kind(section: &Section<'_>, name: &str, url: &str) -> Option<Kind> {
    let judge = |cursor: &Cursor<'_>, kind: Result<Kind, String>| {
        kind.map_err(|complaint| cursor.refuse(complaint)).ok()
    };
    match name {
        "email" => {
            let skip = section.get("skip_email_verification").map_or(Some(false), Cursor::flag)?;
            match section.get("issuer_claim") {
                Some(claim) => judge(claim, kinds::email(Some(claim.text()?), skip)),
                None => kinds::email(None, skip).ok(),
            }
        }
        "uri" => {
            let domain = section.require("subject_domain")?;
            judge(domain, kinds::uri(domain.text()?, url))
        }
        "username" => {
            let domain = section.require("subject_domain")?;
            judge(domain, kinds::username(domain.text()?, url))
        }
        "spiffe" => {
            let domain = section.require("trust_domain")?;
            if url.contains('*') {
                return domain.fail("a pattern cannot have one trust domain: write out the URL");
            }
            judge(domain, kinds::spiffe(domain.text()?))
        }
        "kubernetes" => Some(Kind::Kubernetes),
        "chainguard" => Some(Kind::Chainguard),
        "ci" => {
            let mut provider = provider::read(section, "ci")?;
            let at = section.get("starts_with").unwrap_or(&section.cursor);
            let kind = provider::at_home(&mut provider, url);
            judge(at, kind.map(|()| Kind::Ci(Arc::new(provider))))
        }
        older => older::provider(older).map(|provider| Kind::Ci(Arc::new(provider))),
    }
}

fn read_roots(section: &Section<'_>, folder: &Path) -> Option<Option<Vec<u8>>> {
    let Some(cursor) = section.get("ca") else {
        return Some(None);
    };
    let is_inline = |text: &str| text.trim_start().starts_with("-----BEGIN");
    let pem = match cursor.node.text() {
        Some(text) if is_inline(text) => text.to_owned(),
        _ => file(cursor, folder)?,
    };
    roots(pem.as_bytes()).map(Some).map_err(|complaint| cursor.refuse(complaint)).ok()
}

/// The file itself is read when keys are fetched: its token is renewed all the time.
fn read_bearer(
    section: &Section<'_>,
    url: Option<&String>,
    folder: &Path,
) -> Option<Option<PathBuf>> {
    let Some(cursor) = section.get("bearer_token_file") else {
        return Some(None);
    };
    if url.is_some_and(|url| url.contains('*')) {
        return cursor.fail("a credential is shown to one host only, and a pattern has many");
    }
    let keys = section.get("keys").and_then(|keys| keys.node.map());
    let given = ["file", "inline"];
    let given = |entry: &Entry| entry.key.text().is_some_and(|name| given.contains(&name));
    if keys.is_some_and(|keys| keys.iter().any(given)) {
        return cursor.fail("the keys are in the configuration: nobody is asked for them");
    }
    cursor.text().map(|text| Some(folder.join(text)))
}

fn read_algorithms(cursor: &Cursor<'_>) -> Option<Vec<Algorithm>> {
    let names = cursor.texts()?;
    let algorithm = |name: &String| {
        let known = Algorithm::parse(name);
        let complaint = || {
            let all: Vec<String> = Algorithm::all().map(|it| it.to_string()).collect();
            choice::complaint(&all.iter().map(String::as_str).collect::<Vec<_>>(), name)
        };
        known.or_else(|| cursor.fail(complaint()))
    };
    names.iter().map(algorithm).collect()
}

fn read_keys(section: &Section<'_>, url: Option<&String>, folder: &Path) -> Option<Keys> {
    let Some(cursor) = section.get("keys") else {
        return Some(Keys::Discovery);
    };
    if url.is_some_and(|url| url.contains('*')) {
        return cursor.fail("the issuers of a pattern have keys of their own: leave `keys` out");
    }
    let keys = cursor.section(&KEYS)?;
    match (keys.get("file"), keys.get("url"), keys.get("inline")) {
        (Some(path), None, None) => key_set(path, file(path, folder)?),
        (None, Some(url), None) => key_url(url),
        (None, None, Some(inline)) => match inline.node.text() {
            Some(text) => key_set(inline, text.to_owned()),
            None => key_set(inline, json(inline.node).unwrap_or_default().to_string()),
        },
        _ => cursor.fail("expected exactly one of file, url, inline"),
    }
}

fn key_url(cursor: &Cursor<'_>) -> Option<Keys> {
    let url = cursor.text()?;
    match Address::parse(url) {
        Ok(address) if address.is_exposed() || address.host.contains('*') => cursor.fail(EXPOSED),
        Ok(_) => Some(Keys::Url(url.to_owned())),
        Err(error) => cursor.fail(error.to_string()),
    }
}

/// A key set (RFC 7517) without secrets, and with at least one key that verifies tokens.
fn key_set(cursor: &Cursor<'_>, text: String) -> Option<Keys> {
    let set: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let keys = set.as_ref().and_then(|set| set.get("keys")).and_then(serde_json::Value::as_array);
    let Some(keys) = keys.filter(|keys| (1..=MAX_KEYS).contains(&keys.len())) else {
        return cursor.fail("expected a JSON Web Key Set: {\"keys\": [ … ]} with 1 to 100 keys");
    };
    // Attack: who may read the configuration could mint tokens.
    if keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        return cursor.fail("holds a private or symmetric key: give public keys only");
    }
    if keys.iter().filter_map(VerifyingKey::from_jwk).next().is_none() {
        return cursor.fail(
            "holds no key that can be used: expected RSA of 2048 bits or more, P-256, P-384, P-521 \
             or Ed25519",
        );
    }
    Some(Keys::Inline(text.into_bytes().into()))
}

/// The same tree as JSON; None for what JSON cannot say.
fn json(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Whole(text) => serde_json::from_str(text).ok()?,
        Value::Fraction(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        Value::Map(entries) => {
            let member = |entry: &Entry| Some((entry.key.scalar()?, json(&entry.value)?));
            let members: Option<serde_json::Map<_, _>> = entries.iter().map(member).collect();
            members?.into()
        }
        Value::Tagged => return None,
    })
}
