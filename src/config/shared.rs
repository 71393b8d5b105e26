//! Issuers that are known to serve more than one tenant, as data: `config/shared-issuers.yaml`.
//!
//! A token of such an issuer proves that *somebody* uses the service.

use std::sync::LazyLock;

use crate::config::address::Address;
use crate::config::node::{Notation, Source};
use crate::config::reader::{Cursor, Report, Table};

const TEXT: &str = include_str!("../../config/shared-issuers.yaml");

const TABLE: Table =
    Table { section: "", keys: &["hosts", "roots", "paths"], later: &[], strict: true };

/// What the file says; none where it could not be read, which a test excludes.
static SHARED: LazyLock<Option<Shared>> = LazyLock::new(|| Shared::parse(TEXT));

struct Shared {
    /// Hosts whose every issuer is shared.
    hosts: Vec<String>,
    /// Hosts that are shared as they stand, while a path below belongs to one organisation.
    roots: Vec<String>,
    /// How the path of an issuer begins that is shared on whatever host.
    paths: Vec<String>,
}

/// Whether strangers get tokens from the issuer at this address.
pub(super) fn is_shared(address: &Address<'_>) -> bool {
    // Attack: a list that nobody could read must not make everybody an issuer's own tenant.
    SHARED.as_ref().is_none_or(|shared| shared.holds(address))
}

impl Shared {
    fn parse(text: &str) -> Option<Self> {
        let file = "shared-issuers.yaml";
        let source = Source { text, notation: Notation::Yaml };
        let root = crate::config::parse(file, source).ok()?;
        let report = Report::new(file, source);
        let section = Cursor::root(&report, &root).section(&TABLE)?;
        let texts = |key| section.require(key).and_then(Cursor::texts);
        let (hosts, roots, paths) = (texts("hosts")?, texts("roots")?, texts("paths")?);
        report.finish().ok().map(|_| Self { hosts, roots, paths })
    }

    fn holds(&self, address: &Address<'_>) -> bool {
        let among =
            |hosts: &[String]| hosts.iter().any(|host| host.eq_ignore_ascii_case(address.host));
        among(&self.hosts)
            || (among(&self.roots) && address.path.trim_matches('/').is_empty())
            || self.paths.iter().any(|path| address.path.starts_with(path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads() {
        assert!(SHARED.is_some());
        assert!(Shared::parse("hosts: [a]\nroots: [b]\n").is_none());
        assert!(Shared::parse("hosts: [a]\nroots: [b]\npaths: [/c]\nmore: 1\n").is_none());
    }

    #[track_caller]
    fn check(url: &str, expected: bool) {
        assert_eq!(is_shared(&Address::parse(url).unwrap()), expected, "{url}");
    }

    #[test]
    fn knows_the_host_and_not_its_neighbours() {
        check("https://gitlab.com", true);
        check("https://GitLab.com:443/", true);
        check("https://gitlab.com.example.com", false);
        check("https://gitlab.example.com", false);
        check("https://codeberg.org/api/actions", true);
    }

    #[test]
    fn an_organisations_own_path_is_not_shared() {
        check("https://token.actions.githubusercontent.com", true);
        check("https://token.actions.githubusercontent.com/", true);
        check("https://token.actions.githubusercontent.com/acme", false);
        check("https://oidc.circleci.com/org/3e34", false);
        check("https://login.microsoftonline.com/3e34/v2.0", false);
        check("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", true);
    }
}
