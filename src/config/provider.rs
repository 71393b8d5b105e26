//! The templates of a CI provider → [`Provider`]: a preset's, and those of `type: ci`.

use crate::config::reader::{Cursor, Section};
use crate::extensions::Extension;
use crate::issuer::Provider;
use crate::quote::quote;
use crate::template::Template;

/// The keys that make a provider.
pub(super) const KEYS: &[&str] =
    &["constants", "defaults", "san", "extensions", "required", "choices", "starts_with"];

/// Reads the keys of [`KEYS`].
pub(super) fn read(section: &Section<'_>, name: &str) -> Option<Provider> {
    let list = |key| section.get(key).map_or(Some(Vec::new()), pairs);
    let constants = list("constants");
    let defaults = list("defaults");
    let san =
        section.require("san").and_then(|san| san.text().and_then(|text| template(san, text)));
    let extensions = section.get("extensions").map_or(Some(Vec::new()), extensions);
    let required = section.get("required").map_or(Some(Vec::new()), Cursor::texts);
    let choices = section
        .get("choices")
        .map_or(Some(Vec::new()), |cursor| each(cursor, |member| member.texts()));
    let starts_with = section
        .get("starts_with")
        .map_or(Some(Vec::new()), |cursor| each(cursor, |member| member.text().map(str::to_owned)));
    let (constants, defaults, choices) = (constants?, defaults?, choices?);
    warn_of_choices(section, "constants", &constants, &choices);
    warn_of_choices(section, "defaults", &defaults, &choices);
    Some(Provider {
        name: name.to_owned(),
        constants,
        defaults,
        san: Some(san?),
        extensions: extensions?,
        required: required?,
        choices,
        starts_with: starts_with?,
        older: None,
    })
}

/// Warns of a text of ours that our own `choices` refuse wherever it stands for a claim.
fn warn_of_choices(
    section: &Section<'_>,
    key: &str,
    texts: &[(String, String)],
    choices: &[(String, Vec<String>)],
) {
    let Some(cursor) = section.get(key) else { return };
    for (name, text) in texts {
        let choices = choices.iter().find(|(known, _)| known == name).map(|(_, choices)| choices);
        if choices.is_some_and(|choices| !choices.contains(text)) {
            let (name, text) = (quote(name), quote(text));
            cursor.warn(format!(
                "{text} stands for {name}, and `choices` does not have it: tokens are refused for it"
            ));
        }
    }
}

/// Writes the issuer's host where `starts_with` has a `*`.
///
/// # Errors
///
/// A sentence when the issuer is a pattern, which has many.
pub(super) fn at_home(provider: &mut Provider, issuer: &str) -> Result<(), String> {
    let (_, host) = issuer.split_once("://").unwrap_or(("", issuer));
    let host = host.split('/').next().unwrap_or(host);
    for (_, beginning) in provider.starts_with.iter_mut().filter(|(_, text)| text.contains('*')) {
        if host.contains('*') {
            return Err(
                "`*` in `starts_with` is the issuer's host, and a pattern has many".to_owned()
            );
        }
        *beginning = beginning.replace('*', host);
    }
    Ok(())
}

/// A map of names to text, empty text included.
pub(super) fn pairs(cursor: &Cursor<'_>) -> Option<Vec<(String, String)>> {
    each(cursor, words)
}

/// A map of names to what `read` makes of their values.
fn each<T>(
    cursor: &Cursor<'_>,
    read: impl Fn(&Cursor<'_>) -> Option<T>,
) -> Option<Vec<(String, T)>> {
    let members = cursor.members()?;
    let pair = |(name, member): (String, Cursor<'_>)| Some((name, read(&member)?));
    let pairs: Vec<Option<_>> = members.into_iter().map(pair).collect();
    pairs.into_iter().collect()
}

/// Text as Go's YAML reads it: numbers and booleans as they are spelt, nothing as empty.
pub(super) fn words(cursor: &Cursor<'_>) -> Option<String> {
    if cursor.node.is_null() {
        return Some(String::new());
    }
    cursor.node.scalar().or_else(|| cursor.expected("text"))
}

/// Parses a template; complains with the column.
pub(super) fn template(cursor: &Cursor<'_>, text: &str) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(error) => cursor.fail(format!("not a template: {error}")),
    }
}

fn extensions(cursor: &Cursor<'_>) -> Option<Vec<(Extension, Template)>> {
    let read = |(name, member): (String, Cursor<'_>)| {
        let extension = extension(&member, &name);
        let template = member.text().and_then(|text| template(&member, text));
        extension.zip(template)
    };
    let extensions: Vec<Option<_>> = cursor.members()?.into_iter().map(read).collect();
    extensions.into_iter().collect()
}

fn extension(cursor: &Cursor<'_>, name: &str) -> Option<Extension> {
    if FROM_THE_TOKEN.contains(&name) {
        return cursor.fail("comes from the token itself and cannot be written here");
    }
    let extension = Extension::named(name);
    if extension.is_none() {
        cursor.refuse("unknown extension; expected a name such as source-repository-uri");
    }
    extension
}

/// Extensions that no template makes.
pub(super) const FROM_THE_TOKEN: &[&str] = &["issuer", "issuer-v1", "subject"];
