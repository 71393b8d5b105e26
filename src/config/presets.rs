//! The presets inside the binary: `config/presets/*.yaml`, one issuer or kind of issuer each.

use std::sync::Arc;

use crate::config::ConfigErrors;
use crate::config::node::{Notation, Source};
use crate::config::provider;
use crate::config::reader::{Cursor, Report, Table};
use crate::issuer::Provider;

/// One preset, read.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    /// URLs and patterns; empty where only the user knows it
    pub urls: Vec<String>,
    /// whether strangers get tokens of it too
    pub shared: bool,
    /// one of the types of `mayfly.yaml`
    pub kind: String,
    pub audiences: Vec<String>,
    /// the templates of a preset of type `ci`
    pub provider: Option<Arc<Provider>>,
}

/// Name and text of every preset, in the order in which they are listed to people.
const PRESETS: &[(&str, &str)] = &[];

const PRESET: Table = Table {
    section: "preset",
    keys: &[
        "name",
        "url",
        "urls",
        "shared",
        "type",
        "audiences",
        "constants",
        "defaults",
        "san",
        "extensions",
        "hosts",
    ],
    later: &[],
    strict: true,
};

/// The names of all presets.
pub(super) fn names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, _)| *name).collect()
}

/// Reads the preset of this name.
pub(super) fn find(name: &str) -> Option<Result<Preset, ConfigErrors>> {
    let (name, text) = PRESETS.iter().find(|(known, _)| *known == name)?;
    Some(parse(name, text))
}

fn parse(name: &str, text: &str) -> Result<Preset, ConfigErrors> {
    let file = format!("preset {name}");
    let source = Source { text, notation: Notation::Yaml };
    let root = crate::config::parse(&file, source)?;
    let report = Report::new(&file, source);
    let preset = read(&Cursor::root(&report, &root), name);
    report.finish()?;
    preset.ok_or_else(|| crate::config::whole(&file, None, "is no preset"))
}

fn read(cursor: &Cursor<'_>, name: &str) -> Option<Preset> {
    let section = cursor.section(&PRESET)?;
    let named = section.require("name")?;
    if named.text()? != name {
        named.refuse(format!("expected {name}"));
    }
    let texts = |key| section.get(key).map_or(Some(Vec::new()), Cursor::texts);
    let urls = if section.get("url").is_some() { texts("url") } else { texts("urls") };
    let kind = section.require("type")?.text()?.to_owned();
    let provider = match kind.as_str() {
        "ci" => Some(Arc::new(provider::read(&section, name)?)),
        _ => {
            section.forbid(provider::KEYS, "belongs to type ci");
            None
        }
    };
    Some(Preset {
        urls: urls?,
        shared: section.require("shared")?.flag()?,
        kind,
        audiences: texts("audiences")?,
        provider,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_reads() {
        for name in names() {
            match find(name) {
                Some(Ok(_)) => {}
                Some(Err(errors)) => panic!("{errors}"),
                None => panic!("{name} is not found by its own name"),
            }
        }
    }

    #[test]
    fn every_file_is_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut table: Vec<String> = names().iter().map(|name| format!("{name}.yaml")).collect();
        files.sort();
        table.sort();
        assert_eq!(table, files);
    }
}
