//! The presets inside the binary: `config/presets/*.yaml`, one issuer or kind of issuer each.
//!
//! ```yaml
//! name: forgejo                       # the file's name
//! urls: [ … ]                         # or `url`: issuers or patterns; none where only the user knows them
//! shared: true                        # strangers get tokens of it, too: needs `allow`
//! tenants: [ repository_owner_id ]    # claims that tell one tenant from another, where the issuer or pattern has several; the best first
//! begins: { ref: refs/ }              # claims whose every value begins so: a rule with another text fits nothing
//! needs: [ audiences ]                # keys that mayfly.yaml must give, for lack of a sensible default
//! type: ci                            # and what that type has: constants, defaults, san, extensions, …
//! audiences: [ sigstore ]
//! claims: [ actor, repo_property_* ]  # claims beside those of templates and `rules`; `*`: any
//! choices: { ref_type: [ branch, tag ] }   # claims that may have these values only
//! starts_with: { ci_config_ref_uri: "*/" } # claims that must begin so; `*` is the issuer's own host
//! hosts:                              # constant `url` of the templates, by issuer; the first row that matches
//!   - { issuer: "https://*/api/actions", url: "https://*" }
//! ```
//!
//! `title`, `source`, `example`, `rules` and `notes` are for people: `docs/presets.md` is made of them.

use std::sync::{Arc, LazyLock};

use crate::config::ConfigErrors;
use crate::config::claims::Known;
use crate::config::issuers::TYPES;
use crate::config::node::{Notation, Source};
use crate::config::provider;
use crate::config::reader::{Cursor, Report, Table};
use crate::config::trusted;
use crate::issuer::{HostRule, Kind, Provider, derive};
use crate::template::Template;

/// One preset, read.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    /// URLs and patterns; none where only the user knows it
    pub urls: Vec<String>,
    /// whether strangers get tokens of it too
    pub shared: bool,
    /// the claims that tell one of its tenants from another; the best first
    pub tenants: Vec<String>,
    /// claims whose every value begins in a certain way
    pub begins: Vec<(String, String)>,
    /// one of the types of `mayfly.yaml`
    pub kind: String,
    pub audiences: Vec<String>,
    /// keys of an issuer that `mayfly.yaml` must give
    pub needs: Vec<String>,
    pub name: String,
    /// the claim that is best for a rule
    pub claim: Option<String>,
    /// the claims that its tokens have
    pub known: Known,
    /// the templates of a preset of type `ci`
    provider: Option<Arc<Provider>>,
    /// how the constant `url` of its templates follows from the issuer's URL; empty: it is as it is
    hosts: Vec<HostRule>,
}

impl Preset {
    /// The templates for the issuer at `url`; None where the preset's type has none.
    ///
    /// # Errors
    ///
    /// A sentence when the preset does not know what an issuer of this URL builds for.
    pub fn provider(&self, url: &str) -> Result<Option<Arc<Provider>>, String> {
        let Some(provider) = &self.provider else { return Ok(None) };
        let mut provider = Provider::clone(provider);
        provider::at_home(&mut provider, url)?;
        if self.hosts.is_empty() {
            return Ok(Some(Arc::new(provider)));
        }
        let Some(host) = derive(&self.hosts, url) else {
            let forms: Vec<&str> = self.hosts.iter().map(|rule| rule.issuer.as_str()).collect();
            return Err(format!("expected a URL of the form {}", forms.join(" or ")));
        };
        provider.constants.retain(|(name, _)| name != HOST);
        provider.constants.push((HOST.to_owned(), host));
        Ok(Some(Arc::new(provider)))
    }

    /// The templates as they stand in the file; None where the preset's type has none.
    pub fn templates(&self) -> Option<&Provider> {
        self.provider.as_deref()
    }
}

/// The claim that tells the issuers of a pattern from each other.
pub(super) const ISSUER: &str = "iss";

/// The claim that every token has, and that means something else with each issuer.
const SUBJECT: &str = "sub";

/// The constant that follows from the issuer's URL.
const HOST: &str = "url";

/// Name and text of every preset, in the order in which they are listed to people; `build.rs` makes it.
const PRESETS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

const PRESET: Table = Table {
    section: "preset",
    keys: &[
        "name",
        "url",
        "urls",
        "shared",
        "tenants",
        "begins",
        "type",
        "audiences",
        "constants",
        "defaults",
        "san",
        "extensions",
        "required",
        "choices",
        "starts_with",
        "hosts",
        "claims",
        "needs",
        "title",
        "source",
        "example",
        "rules",
        "notes",
    ],
    later: &[],
    strict: true,
};

const HOSTS: Table =
    Table { section: "preset.hosts[]", keys: &["issuer", "url"], later: &[], strict: true };

/// The names of all presets.
pub(super) fn names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, _)| *name).collect()
}

/// Every preset that reads, which a test says all do; read once, however many issuers name one.
pub(super) static ALL: LazyLock<Vec<Preset>> =
    LazyLock::new(|| PRESETS.iter().filter_map(|(name, text)| parse(name, text).ok()).collect());

/// The preset whose certificates have the same SAN.
pub(super) fn nearest(provider: &Provider) -> Option<&'static Preset> {
    let makes_it = |preset: &&Preset| {
        preset.templates().is_some_and(|templates| templates.san == provider.san)
    };
    ALL.iter().find(makes_it)
}

/// The claim that rules for issuers of a kind are best made of, where no preset is named.
fn best_claim(kind: &Kind) -> &str {
    match kind {
        Kind::Email { .. } => "email",
        Kind::Kubernetes => "/kubernetes.io/namespace",
        Kind::Ci(provider) => {
            nearest(provider).and_then(|near| near.claim.as_deref()).unwrap_or("sub")
        }
        Kind::Uri { .. } | Kind::Username { .. } | Kind::Spiffe { .. } | Kind::Chainguard => "sub",
    }
}

/// Why the issuer at `url` needs rules, because of its URL or of its preset, as the end of "this issuer …".
pub(super) fn why_rules(preset: Option<&Preset>, url: Option<&str>) -> Option<&'static str> {
    let is_shared = preset.is_some_and(|preset| preset.shared);
    let by_preset = is_shared.then_some("vouches for more than one tenant");
    url.and_then(trusted::why_rules).or(by_preset)
}

/// The claims that tell one tenant of the issuer or pattern at `url` from another; the best first.
pub(super) fn tenants<'a>(
    preset: Option<&'a Preset>,
    kind: Option<&'a Kind>,
    url: &str,
) -> Vec<&'a str> {
    let near = || match kind {
        Some(Kind::Ci(provider)) => nearest(provider),
        _ => None,
    };
    match preset.or_else(near) {
        Some(preset) if !preset.tenants.is_empty() => {
            preset.tenants.iter().map(String::as_str).collect()
        }
        _ if url.contains('*') => vec![ISSUER],
        _ => vec![kind.map_or(SUBJECT, best_claim), SUBJECT],
    }
}

/// The claims that a good rule for the issuer at `url` has: whose token, and then the best of the others.
pub(super) fn advised<'a>(
    preset: Option<&'a Preset>,
    kind: Option<&'a Kind>,
    url: Option<&str>,
) -> Vec<&'a str> {
    let shared = url.filter(|url| trusted::why_rules(url).is_some());
    let tenant = shared.and_then(|url| tenants(preset, kind, url).into_iter().next());
    let claim = preset.and_then(|preset| preset.claim.as_deref());
    let best = claim.or(kind.map(best_claim)).unwrap_or(SUBJECT);
    tenant.into_iter().chain((tenant != Some(best)).then_some(best)).collect()
}

/// The preset of this name.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
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
    let kind = section.require("type")?;
    let kind =
        kind.text().filter(|name| TYPES.contains(name)).or_else(|| kind.fail("unknown type"))?;
    let rules = section.get("rules").map_or(Some(Vec::new()), provider::pairs)?;
    let provider = match kind {
        "ci" => Some(Arc::new(provider::read(&section, name)?)),
        _ => {
            section.forbid(provider::KEYS, "belongs to type ci");
            None
        }
    };
    let claims = texts("claims")?.into_iter();
    let claims = claims.chain(rules.iter().map(|(claim, _)| claim.clone()));
    Some(Preset {
        name: name.to_owned(),
        known: Known::new(
            claims.chain(provider.as_deref().map(template_claims).unwrap_or_default()),
        ),
        urls: urls?,
        shared: section.require("shared")?.flag()?,
        tenants: texts("tenants")?,
        begins: section.get("begins").map_or(Some(Vec::new()), provider::pairs)?,
        kind: kind.to_owned(),
        audiences: texts("audiences")?,
        needs: texts("needs")?,
        claim: rules.into_iter().next().map(|(claim, _)| claim),
        provider,
        hosts: section.get("hosts").map_or(Some(Vec::new()), read_hosts)?,
    })
}

/// The claims that a provider's templates read.
fn template_claims(provider: &Provider) -> Vec<String> {
    let templates = provider.san.iter().chain(provider.extensions.iter().map(|(_, text)| text));
    let names = templates.flat_map(Template::claims).map(str::to_owned);
    let names = names.chain(provider.required.iter().cloned());
    let constant = |name: &String| provider.constants.iter().any(|(known, _)| known == name);
    names.filter(|name| !constant(name)).collect()
}

fn read_hosts(cursor: &Cursor<'_>) -> Option<Vec<HostRule>> {
    let rule = |item: &Cursor<'_>| {
        let section = item.section(&HOSTS)?;
        let text = |key| section.require(key).and_then(Cursor::text).map(str::to_owned);
        Some(HostRule { issuer: text("issuer")?, url: text("url")? })
    };
    cursor.items()?.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_reads() {
        assert!(names().len() >= 20 && names().is_sorted());
        for (name, text) in PRESETS {
            parse(name, text).unwrap_or_else(|errors| panic!("{errors}"));
        }
    }

    #[test]
    fn who_has_several_tenants_says_what_tells_them_apart() {
        for preset in ALL.iter() {
            let is_open = preset.urls.iter().any(|url| trusted::why_rules(url).is_some());
            let says = !preset.tenants.is_empty();
            assert!(says || !preset.shared && !is_open, "{}", preset.name);
            for claim in &preset.tenants {
                assert_eq!(preset.known.complaint(&preset.name, claim), None);
            }
        }
    }

    #[track_caller]
    fn check_host(preset: &str, url: &str, expected: Result<&str, &str>) {
        let preset = find(preset).unwrap();
        let host = preset.provider(url).map(|provider| {
            let constants = &provider.as_ref().unwrap().constants;
            constants.iter().find(|(name, _)| name == HOST).unwrap().1.clone()
        });
        assert_eq!(host.as_deref().map_err(String::as_str), expected, "{url}");
    }

    #[test]
    fn a_forge_of_ones_own_builds_for_its_own_repositories() {
        check_host(
            "github",
            "https://token.actions.githubusercontent.com",
            Ok("https://github.com"),
        );
        check_host(
            "github",
            "https://token.actions.githubusercontent.com/acme",
            Ok("https://github.com"),
        );
        check_host(
            "github",
            "https://github.example.com/_services/token",
            Ok("https://github.example.com"),
        );
        check_host("github", "https://token.actions.acme.ghe.com", Ok("https://acme.ghe.com"));
        check_host("gitlab", "https://gitlab.example.com", Ok("https://gitlab.example.com"));
        check_host("forgejo", "https://git.example.com/api/actions", Ok("https://git.example.com"));
        check_host(
            "forgejo",
            "https://git.example.com",
            Err("expected a URL of the form https://*/api/actions"),
        );
        check_host("teamcity", "https://ci.example.com/", Ok("https://ci.example.com"));
        check_host(
            "azure",
            "https://sts.windows.net/72f988bf/",
            Ok("https://login.microsoftonline.com/72f988bf"),
        );
        check_host(
            "github",
            "https://github.example.com",
            Err(
                "expected a URL of the form https://token.actions.githubusercontent.com or https://token.actions.githubusercontent.com/* or https://token.actions.*.ghe.com or https://*/_services/token",
            ),
        );
    }
}
