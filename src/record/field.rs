//! The fields that a search may ask for: their names, and how their values are written.

use super::Outcome;
use super::serial;
use crate::extensions::TABLE;
use crate::glob;
use crate::typo::distance;

/// The fields beside the extensions.
pub(super) const FIELDS: [&str; 21] = [
    "result",
    "reason",
    "message",
    "san",
    "subject",
    "issuer",
    "kind",
    "serial",
    "key",
    "algorithm",
    "request",
    "rule",
    "claim",
    "wanted",
    "got",
    "token",
    "client",
    "index",
    "claimed.issuer",
    "claimed.subject",
    "claimed.key",
];
/// Short names, and the extension whose path they find as well: what follows scheme and host.
const PATHS: [(&str, &str); 2] =
    [("repository", "source-repository-uri"), ("owner", "source-repository-owner-uri")];
/// What fields are called elsewhere: in tokens, and in answers of this program.
const ALIASES: [(&str, &str); 12] = [
    ("email", "san"),
    ("event_name", "build-trigger"),
    ("id", "request"),
    ("ip", "client"),
    ("iss", "issuer"),
    ("job_workflow_ref", "build-signer-uri"),
    ("jti", "token"),
    ("project_path", "repository"),
    ("repo", "repository"),
    ("repository_owner", "owner"),
    ("request_id", "request"),
    ("sub", "subject"),
];
/// Letters of a name among which one may be wrong.
const SOUND: usize = 3;

/// Whether there is a field that is called so.
pub(super) fn exists(name: &str) -> bool {
    FIELDS.contains(&name)
        || has_path(name)
        || TABLE.iter().any(|extension| goes_by(extension.name, name))
}

/// Whether a field of this name is called by `asked`: the whole name, or its last words.
pub(super) fn goes_by(field: &str, asked: &str) -> bool {
    match field.strip_suffix(asked) {
        Some(words) => !asked.is_empty() && (words.is_empty() || words.ends_with('-')),
        None => false,
    }
}

/// Whether fields called by this name may be found by a part of their value.
pub(super) fn has_path(asked: &str) -> bool {
    PATHS.iter().any(|(short, _)| *short == asked)
}

/// Whether a field with this value is what `asked` and the pattern, as [`spelled`], ask for.
pub(super) fn fits((field, value): (&str, &str), (asked, pattern): (&str, &str)) -> bool {
    let path = || {
        let (_, rest) = value.split_once("://").filter(|_| PATHS.contains(&(asked, field)))?;
        Some(rest.split_once('/')?.1)
    };
    goes_by(field, asked) && glob::matches(pattern, value)
        || path().is_some_and(|path| glob::matches(pattern, path))
}

/// The pattern as records spell values of that field; none where no value can be so.
pub(super) fn spelled(name: &str, pattern: &str) -> Option<String> {
    let pattern = match name {
        "serial" => serial::bare(pattern),
        "key" | "claimed.key" => pattern.replace(':', "").to_ascii_lowercase(),
        "reason" => pattern.to_ascii_uppercase(),
        "result" => {
            let result = pattern.to_ascii_lowercase();
            let ends = [Outcome::Issued, Outcome::Refused];
            ends.iter().find(|end| glob::matches(&result, end.name()))?;
            result
        }
        _ => pattern.to_owned(),
    };
    Some(pattern)
}

/// The field that somebody may have meant by a name that none has.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let folded = name.to_ascii_lowercase();
    if let Some((_, field)) = ALIASES.iter().find(|(alias, _)| *alias == folded) {
        return Some(field);
    }
    let dashed = folded.replace('_', "-");
    let near = names().filter_map(|known| Some((distance(known, &dashed)?, known)));
    let near = near.filter(|(distance, _)| *distance <= dashed.len() / SOUND);
    near.min().map(|(_, known)| known)
}

/// Every name that a field may be called by.
fn names() -> impl Iterator<Item = &'static str> {
    let suffixes = |name: &'static str| {
        let ends = name.match_indices('-').filter_map(move |(at, _)| name.get(at + 1..));
        std::iter::once(name).chain(ends)
    };
    let paths = PATHS.iter().map(|(short, _)| *short);
    FIELDS.into_iter().chain(paths).chain(TABLE.iter().flat_map(move |row| suffixes(row.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_also_the_path_of_its_url() {
        let uri = |value| ("source-repository-uri", value);
        for (field, asked, expected) in [
            (uri("https://gitlab.com/acme/app"), ("repository", "acme/app"), true),
            (uri("https://gitlab.com/acme/app"), ("repository", "acme/*"), true),
            (uri("https://gitlab.com/acme/app"), ("repository", "app"), false),
            (uri("https://gitlab.com/acme/app"), ("repository", "*"), true),
            (uri("https://gitlab.com/acme/app"), ("uri", "acme/app"), false),
            (uri("https://gitlab.com"), ("repository", "*"), false),
            (uri("acme/app"), ("repository", "acme/app"), false),
            (("source-repository-owner-uri", "https://gitlab.com/acme"), ("owner", "acme"), true),
            (("build-config-uri", "https://gitlab.com/acme/app"), ("repository", "*"), false),
            (("github-workflow-repository", "acme/app"), ("repository", "acme/app"), true),
        ] {
            assert_eq!(fits(field, asked), expected, "{field:?} {asked:?}");
        }
    }

    #[test]
    fn what_was_meant_is_an_alias_or_a_typo_away() {
        for (name, expected) in [
            ("event_name", Some("build-trigger")),
            ("repo", Some("repository")),
            ("repository_owner", Some("owner")),
            ("Request_ID", Some("request")),
            ("reasn", Some("reason")),
            ("source_repository_ref", Some("source-repository-ref")),
            ("enviroment", Some("environment")),
            ("", None),
            ("x", None),
            ("nonsense", None),
        ] {
            assert_eq!(meant(name), expected, "{name}");
            assert!(expected.is_none_or(exists), "{name}");
        }
        for (alias, field) in ALIASES {
            assert!(!exists(alias) && exists(field), "{alias}");
        }
    }
}
