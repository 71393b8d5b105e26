//! The keys of Fulcio's file, and JSON's names for them.
//!
//! JSON has Go's field names, in any case: `IssuerURL`, `SPIFFETrustDomain`. Each is YAML's name
//! (`issuer-url`, `spiffe-trust-domain`) without its hyphens, so that no table of pairs is needed.

use std::collections::HashSet;

use crate::config::node::{Node, Value};
use crate::config::reader::Table;
use crate::extensions::TABLE;

/// The top of the file.
pub(super) const TOP: Table = Table {
    section: "",
    keys: &["oidc-issuers", "meta-issuers", "ci-issuer-metadata", "define"],
    later: &[],
    strict: false,
};

/// One issuer or pattern.
pub(super) const ISSUER: Table = Table {
    section: "issuer",
    keys: &[
        "issuer-url",
        "client-id",
        "type",
        "ci-provider",
        "issuer-claim",
        "subject-domain",
        "spiffe-trust-domain",
        "challenge-claim",
        "description",
        "contact",
        "environment",
        "ca-cert",
        "skip-email-verification",
    ],
    later: &[],
    strict: false,
};

/// One entry of `ci-issuer-metadata`.
pub(super) const METADATA: Table = Table {
    section: "ci-issuer-metadata",
    keys: &["default-template-values", "extension-templates", "subject-alternative-name-template"],
    later: &[],
    strict: false,
};

/// Gives the tree of a JSON file YAML's names; yields the keys that have YAML's spelling already, which
/// Fulcio would pass over in silence.
pub(in crate::config) fn rename(root: &mut Node) -> Vec<Node> {
    let mut strays = Vec::new();
    rename_keys(root, TOP.keys, &mut strays);
    for (name, section) in members(root) {
        match name.as_str() {
            "oidc-issuers" | "meta-issuers" => {
                members(section)
                    .for_each(|(_, issuer)| rename_keys(issuer, ISSUER.keys, &mut strays));
            }
            "ci-issuer-metadata" => {
                members(section).for_each(|(_, metadata)| rename_metadata(metadata, &mut strays));
            }
            _ => {}
        }
    }
    strays
}

/// Takes the last of several members with one name, as Go's JSON does whatever their case; yields the keys
/// of the others.
pub(in crate::config) fn keep_last(node: &mut Node) -> Vec<Node> {
    let mut others = Vec::new();
    if let Value::Map(entries) = &mut node.value {
        let mut names = HashSet::new();
        for entry in std::mem::take(entries).into_iter().rev() {
            match names.insert(entry.key.scalar()) {
                true => entries.push(entry),
                false => others.push(entry.key),
            }
        }
        entries.reverse();
    }
    others.extend(node.children().flat_map(keep_last));
    others
}

fn rename_metadata(metadata: &mut Node, strays: &mut Vec<Node>) {
    let extensions: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    rename_keys(metadata, METADATA.keys, strays);
    for (name, section) in members(metadata) {
        if name == "extension-templates" {
            rename_keys(section, &extensions, strays);
        }
    }
}

fn rename_keys(map: &mut Node, names: &[&str], strays: &mut Vec<Node>) {
    let Value::Map(entries) = &mut map.value else { return };
    for entry in entries {
        let Value::Text(key) = &entry.key.value else { continue };
        let go = |name: &&&str| name.replace('-', "").eq_ignore_ascii_case(key);
        if let Some(name) = names.iter().find(go) {
            entry.key.value = Value::Text((*name).to_owned());
        } else if names.contains(&key.as_str()) {
            strays.push(entry.key.clone());
        }
    }
}

fn members(map: &mut Node) -> impl Iterator<Item = (String, &mut Node)> {
    let entries =
        if let Value::Map(entries) = &mut map.value { entries.as_mut_slice() } else { &mut [] };
    entries.iter_mut().filter_map(|entry| Some((entry.key.scalar()?, &mut entry.value)))
}
