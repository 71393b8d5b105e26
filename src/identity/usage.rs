//! Which claims an identity is made of, and what each becomes: for people who ask why.

use crate::issuer::{ClaimPath, Kind, Provider};

/// A claim that an identity is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its name, or a JSON Pointer that leads to it.
    pub claim: String,
    /// What it becomes: [`NAME`], [`CHALLENGE`], [`NEEDED`] or the name of an extension.
    pub becomes: Vec<&'static str>,
    /// What stands for it where the token does not have it.
    pub default: Option<String>,
}

/// It is part of the subject alternative name.
pub const NAME: &str = "SAN";
/// Its signature proves possession of the key.
pub const CHALLENGE: &str = "challenge";
/// It must be there, or of a certain form, and stands nowhere.
pub const NEEDED: &str = "needed";

/// The claims that identities of this kind are made of, in the order in which they are first read.
pub fn usages(kind: &Kind) -> Vec<Usage> {
    let mut all = Usages::default();
    all.add("iss", "issuer");
    all.add("sub", "subject");
    match kind {
        Kind::Email { issuer_claim, .. } => {
            all.add("email", NAME);
            all.add("email", CHALLENGE);
            all.add("email_verified", NEEDED);
            if let Some(path) = issuer_claim {
                all.add(&pointer(path), "issuer");
            }
        }
        Kind::Uri { .. } | Kind::Username { .. } | Kind::Spiffe { .. } => all.subject(),
        Kind::Kubernetes => {
            all.add("/kubernetes.io/namespace", NAME);
            all.add("/kubernetes.io/serviceaccount/name", NAME);
            all.add("sub", CHALLENGE);
        }
        Kind::Chainguard => {
            all.subject();
            all.add("email", CHALLENGE);
            all.add("email_verified", NEEDED);
        }
        Kind::Ci(provider) => all.provider(provider),
    }
    all.0
}

#[derive(Default)]
struct Usages(Vec<Usage>);

impl Usages {
    fn add(&mut self, claim: &str, becomes: &'static str) {
        match self.0.iter_mut().find(|usage| usage.claim == claim) {
            Some(usage) if usage.becomes.contains(&becomes) => {}
            Some(usage) => usage.becomes.push(becomes),
            None => self.0.push(Usage {
                claim: claim.to_owned(),
                becomes: vec![becomes],
                default: None,
            }),
        }
    }

    fn subject(&mut self) {
        self.add("sub", NAME);
        self.add("sub", CHALLENGE);
    }

    fn provider(&mut self, provider: &Provider) {
        self.add("sub", CHALLENGE);
        let is_claim = |name: &str| !provider.constants.iter().any(|(known, _)| known == name);
        let san = provider.san.iter().map(|template| (NAME, template));
        let extensions = provider.extensions.iter().map(|(extension, t)| (extension.name(), t));
        for (becomes, template) in san.chain(extensions) {
            let claims = template.claims().into_iter().filter(|name| is_claim(name));
            claims.for_each(|claim| self.add(claim, becomes));
        }
        let required = provider.required.iter().map(String::as_str);
        let older = provider.older.iter().flat_map(|older| {
            let choices = older.choices.iter().map(|(name, _)| *name);
            older.required.iter().chain(older.numbers).copied().chain(choices)
        });
        let choices = provider.choices.iter().map(|(name, _)| name.as_str());
        let checked = choices.chain(provider.starts_with.iter().map(|(name, _)| name.as_str()));
        for claim in required.chain(older).chain(checked).filter(|name| is_claim(name)) {
            self.add(claim, NEEDED);
        }
        for (claim, default) in &provider.defaults {
            if let Some(usage) = self.0.iter_mut().find(|usage| usage.claim == *claim) {
                usage.default = Some(default.clone());
            }
        }
    }
}

/// A path as the JSON Pointer that leads to the same place.
fn pointer(path: &ClaimPath) -> String {
    path.0.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::Extension;
    use crate::template::Template;

    #[track_caller]
    fn check(kind: &Kind, expected: &[(&str, &[&str])]) {
        let usages = usages(kind);
        let found: Vec<_> =
            usages.iter().map(|usage| (usage.claim.as_str(), usage.becomes.as_slice())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_subject_may_be_everything() {
        let kind = Kind::Username { subject_domain: "example.com".to_owned() };
        check(&kind, &[("iss", &["issuer"]), ("sub", &["subject", NAME, CHALLENGE])]);
    }

    #[test]
    fn the_issuer_behind_the_issuer_is_found_by_pointer() {
        let issuer_claim = Some(ClaimPath::parse("$.a[\"b/c\"]").unwrap());
        check(
            &Kind::Email { issuer_claim, skip_verification: false },
            &[
                ("iss", &["issuer"]),
                ("sub", &["subject"]),
                ("email", &[NAME, CHALLENGE]),
                ("email_verified", &[NEEDED]),
                ("/a/b~1c", &["issuer"]),
            ],
        );
    }

    #[test]
    fn what_is_configured_is_no_claim() {
        let provider = Provider {
            constants: vec![("url".to_owned(), "https://ci.example".to_owned())],
            defaults: vec![("branch".to_owned(), "main".to_owned())],
            san: Some(Template::parse("{{ .url }}/{{ .project }}").unwrap()),
            extensions: vec![(
                Extension::named("source-repository-ref").unwrap(),
                Template::parse("{{ .project }}@{{ .branch }}").unwrap(),
            )],
            required: vec!["job".to_owned()],
            ..Provider::default()
        };
        let kind = Kind::Ci(provider.into());
        check(
            &kind,
            &[
                ("iss", &["issuer"]),
                ("sub", &["subject", CHALLENGE]),
                ("project", &[NAME, "source-repository-ref"]),
                ("branch", &["source-repository-ref"]),
                ("job", &[NEEDED]),
            ],
        );
        assert_eq!(usages(&kind)[3].default.as_deref(), Some("main"));
    }
}
