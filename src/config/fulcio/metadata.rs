//! `ci-issuer-metadata` → providers by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::fulcio::names::METADATA;
use crate::config::provider::{pairs, template, words};
use crate::config::reader::{Cursor, Section};
use crate::extensions::Extension;
use crate::issuer::Provider;
use crate::template::Template;

/// Defaults that no provider documents as claims. Attack: upstream lets a claim of that name replace
/// the host in every URL of the certificate.
const CONSTANTS: &[&str] = &["url", "api_url"];

/// The providers of one file; one that cannot be used is None, and was complained or warned about.
pub(super) struct Providers(HashMap<String, Option<Arc<Provider>>>);

impl Providers {
    /// Reads the map of metadata.
    pub fn read(cursor: Option<&Cursor<'_>>) -> Self {
        let members = cursor.filter(|cursor| !cursor.node.is_null()).and_then(Cursor::members);
        let provider = |(name, member): (String, Cursor<'_>)| {
            let provider = member.section(&METADATA).and_then(|section| read(&section, &name));
            (name, provider.map(Arc::new))
        };
        Self(members.into_iter().flatten().map(provider).collect())
    }

    /// The provider of this name: `None` when the file has none, `Some(None)` when it is of no use.
    pub fn find(&self, name: &str) -> Option<Option<&Arc<Provider>>> {
        self.0.get(name).map(Option::as_ref)
    }
}

fn read(section: &Section<'_>, name: &str) -> Option<Provider> {
    let values = section.get("default-template-values").map_or(Some(Vec::new()), optional_pairs);
    let extensions = section.get("extension-templates").map_or(Some(Vec::new()), extensions);
    let san = section.get("subject-alternative-name-template").map_or(Some(None), read_template);
    let Some(san) = san? else {
        let why = "has no subject-alternative-name-template: its issuers are left out";
        section.cursor.warn(why);
        return None;
    };
    let (constants, defaults) =
        values?.into_iter().partition(|(name, _)| CONSTANTS.contains(&name.as_str()));
    Some(Provider {
        name: name.to_owned(),
        defaults,
        constants,
        san: Some(san),
        extensions: extensions?,
        ..Provider::default()
    })
}

fn optional_pairs(cursor: &Cursor<'_>) -> Option<Vec<(String, String)>> {
    if cursor.node.is_null() { Some(Vec::new()) } else { pairs(cursor) }
}

/// `Some(None)`: there is nothing but white space.
fn read_template(cursor: &Cursor<'_>) -> Option<Option<Template>> {
    let text = words(cursor)?;
    if text.trim().is_empty() {
        return Some(None);
    }
    template(cursor, &text).map(Some)
}

fn extensions(cursor: &Cursor<'_>) -> Option<Vec<(Extension, Template)>> {
    if cursor.node.is_null() {
        return Some(Vec::new());
    }
    let mut extensions = Vec::new();
    let mut sound = true;
    for (name, member) in cursor.members()? {
        let Some(template) = read_template(&member) else {
            sound = false;
            continue;
        };
        // Quirk: upstream checks the syntax of these two and takes the token's own values.
        if matches!(name.as_str(), "issuer" | "subject") {
            continue;
        }
        match Extension::named(&name).filter(|_| name != "issuer-v1") {
            Some(extension) => extensions.extend(template.map(|template| (extension, template))),
            None => member.warn("unknown extension, ignored"),
        }
    }
    sound.then_some(extensions)
}
