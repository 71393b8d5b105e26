//! An issuer file of Fulcio's → the text of a `mayfly.yaml` that gives the same answers.
//!
//! ```yaml
//! issuers:
//!   # a comment of the original stays with its issuer
//!   - preset: github                 # where the templates of the file are those of a preset
//!     # DECIDE: …                    # shared: one of the two lines below must lose its `#`
//!     #allow: [ { repository_owner_id: "…" } ]
//!     #allow: anybody
//!   - url: https://gitlab.example.com
//!     type: ci
//!     <<: &gitlab-pipeline           # templates that several issuers share are written once
//!       san: …
//! ```

use std::collections::{HashMap, HashSet};

use crate::config::address::Address;
use crate::config::fulcio::cluster;
use crate::config::fulcio::comments::{Comments, one_line};
use crate::config::fulcio::issuers;
use crate::config::fulcio::names::TOP;
use crate::config::issuers::{WIDE, is_wide};
use crate::config::node::{Entry, Node};
use crate::config::presets::{self, Preset};
use crate::config::reader::Cursor;
use crate::config::trusted::AUDIENCE;
use crate::extensions::Extension;
use crate::issuer::{Issuer, Kind, Provider};
use crate::template::Template;

mod text;

use text::scalar;

/// What an issuer file became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The `mayfly.yaml`.
    pub text: String,
    /// What must be decided before it loads: one sentence for each issuer.
    pub decisions: Vec<String>,
    /// What is worth knowing: entries that no token can match, presets that nearly fit.
    pub notes: Vec<String>,
}

/// Writes the whole file; `text` is where its comments are.
pub(in crate::config) fn import(
    root: &Cursor<'_>,
    text: &str,
    allow_anybody: bool,
) -> Option<Imported> {
    let found = if root.node.is_null() { Vec::new() } else { issuers(&root.section(&TOP)?) };
    let urls: HashSet<&str> = found.iter().map(|(_, issuer)| issuer.url.as_str()).collect();
    let mut writer = Writer {
        metadata: member(root.node, "ci-issuer-metadata"),
        comments: Comments::read(text, &urls),
        shares: shares(&found),
        anchors: HashMap::new(),
        allow_anybody,
        made: Imported { text: String::new(), decisions: Vec::new(), notes: Vec::new() },
    };
    writer.head(found.is_empty());
    found.iter().for_each(|(cursor, issuer)| writer.issuer(cursor.node, issuer));
    writer.rest();
    Some(writer.made)
}

/// How many issuers have the templates of this name.
fn shares(found: &[(Cursor<'_>, Issuer)]) -> HashMap<String, usize> {
    let mut shares = HashMap::new();
    for (_, issuer) in found {
        if let Kind::Ci(provider) = &issuer.kind {
            *shares.entry(provider.name.clone()).or_default() += 1;
        }
    }
    shares
}

struct Writer<'a> {
    /// `ci-issuer-metadata`: templates as they are spelt.
    metadata: Option<&'a Node>,
    comments: Comments,
    shares: HashMap<String, usize>,
    /// The anchor of templates that were written already, by their name in the original.
    anchors: HashMap<String, String>,
    allow_anybody: bool,
    made: Imported,
}

impl Writer<'_> {
    fn head(&mut self, is_empty: bool) {
        for comment in &self.comments.head {
            self.made.text += &format!("{comment}\n");
        }
        if !self.comments.head.is_empty() {
            self.made.text.push('\n');
        }
        self.made.text += "\
# Made by `mayfly import fulcio`.

# The one name that clients use; left out: the listener's, on loopback
#url: https://ca.example.com
#listen: 0.0.0.0:5555
#data: data

";
        self.made.text += if is_empty { "issuers: []\n" } else { "issuers:\n" };
    }

    fn rest(&mut self) {
        if !self.comments.rest.is_empty() {
            self.made.text += "\n# Comments of the original that had no issuer to stand at:\n";
        }
        for comment in &self.comments.rest {
            self.made.text += &format!("{comment}\n");
        }
    }

    /// A line inside an issuer.
    fn line(&mut self, line: impl AsRef<str>) {
        self.made.text += &format!("    {}\n", line.as_ref());
    }

    fn issuer(&mut self, node: &Node, issuer: &Issuer) {
        let url = issuer.url.as_str();
        for comment in self.comments.of(url) {
            self.made.text += &format!("  {comment}\n");
        }
        for key in ["description", "contact", "environment"] {
            let words = member(node, key).and_then(Node::scalar).unwrap_or_default();
            for line in words.lines().filter(|line| !line.trim().is_empty()) {
                self.made.text += &format!("  # {key}: {}\n", one_line(line));
            }
        }
        match presets::ALL.iter().find(|preset| fits(preset, issuer)) {
            Some(preset) => {
                self.made.text += &format!("  - preset: {}\n", preset.name);
                if preset.urls != [url] {
                    self.line(format!("url: {}", scalar(url)));
                }
                self.audiences(issuer, &preset.audiences);
                self.common(issuer);
                self.rules(issuer, Some(preset));
            }
            None => {
                self.made.text += &format!("  - url: {}\n", scalar(url));
                self.kind(node, issuer);
                self.audiences(issuer, &[]);
                self.common(issuer);
                self.rules(issuer, None);
            }
        }
    }

    fn audiences(&mut self, issuer: &Issuer, preset: &[String]) {
        let is_default = if preset.is_empty() {
            issuer.audiences == [AUDIENCE]
        } else {
            issuer.audiences == preset
        };
        if !is_default {
            let audiences: Vec<String> = issuer.audiences.iter().map(|text| scalar(text)).collect();
            self.line(format!("audiences: [ {} ]", audiences.join(", ")));
        }
    }

    /// What an issuer of any type may have.
    fn common(&mut self, issuer: &Issuer) {
        if let Some(claim) = &issuer.challenge_claim {
            self.line(format!("challenge_claim: {}", scalar(claim)));
        }
        if cluster::is_ours(issuer) {
            return self.in_cluster(issuer);
        }
        if let Some(pem) = &issuer.roots {
            self.line("ca: |");
            let pem = String::from_utf8_lossy(pem);
            pem.trim().lines().for_each(|line| self.line(format!("  {}", line.trim())));
        }
    }

    /// What Fulcio does in a cluster, wherever this is written.
    fn in_cluster(&mut self, issuer: &Issuer) {
        let (ca, token) = (cluster::CA, cluster::TOKEN);
        self.line("# DECIDE: these two files are in the cluster alone, where Fulcio reads them. Run Mayfly there with");
        self.line("# the same volumes, or name files that it has; the token may be left out where the keys are public");
        self.line(format!("ca: {ca}"));
        self.line(format!("bearer_token_file: {token}"));
        let url = &issuer.url;
        self.made.decisions.push(format!(
            "{url} gets its CA and token from {ca} and {token}, which are in the cluster alone: run Mayfly \
             there with the same volumes, or change `ca` and `bearer_token_file`"
        ));
        if issuer.roots.is_some() {
            self.made
                .notes
                .push(format!("{url}: `ca-cert` is left out: Fulcio reads {ca} in its place"));
        }
    }

    /// The type, and what only that type has.
    fn kind(&mut self, node: &Node, issuer: &Issuer) {
        match &issuer.kind {
            Kind::Email { issuer_claim, skip_verification } => {
                self.line("type: email");
                if issuer_claim.is_some() {
                    let claim = member(node, "issuer-claim").and_then(Node::scalar);
                    self.line(format!("issuer_claim: {}", scalar(&claim.unwrap_or_default())));
                }
                if *skip_verification {
                    self.line("skip_email_verification: true");
                }
            }
            Kind::Uri { subject_domain } => self.named("uri", "subject_domain", subject_domain),
            Kind::Username { subject_domain } => {
                self.named("username", "subject_domain", subject_domain);
            }
            Kind::Spiffe { trust_domain } => self.named("spiffe", "trust_domain", trust_domain),
            Kind::Kubernetes => self.line("type: kubernetes"),
            Kind::Chainguard => self.line("type: chainguard"),
            Kind::Ci(provider) => match provider.older {
                Some(older) => self.line(format!("type: {}", older.name)),
                None => self.ci(issuer, provider),
            },
        }
    }

    fn named(&mut self, kind: &str, key: &str, value: &str) {
        self.line(format!("type: {kind}"));
        self.line(format!("{key}: {}", scalar(value)));
    }

    /// Templates: an alias where they stand above already, else written out.
    fn ci(&mut self, issuer: &Issuer, provider: &Provider) {
        self.line("type: ci");
        self.nearly(issuer, provider);
        if let Some(anchor) = self.anchors.get(&provider.name).cloned() {
            self.line(format!("<<: *{anchor}"));
            return;
        }
        let is_shared = self.shares.get(&provider.name).is_some_and(|issuers| *issuers > 1);
        let mut written = templates(provider, self.spelt(&provider.name));
        if is_shared {
            let anchor = self.anchor(&provider.name);
            self.line(format!("<<: &{anchor}"));
            self.anchors.insert(provider.name.clone(), anchor);
            written.iter_mut().for_each(|line| line.insert_str(0, "  "));
        }
        written.iter().for_each(|line| self.line(line));
    }

    /// The templates of this name as the file spells them.
    fn spelt(&self, name: &str) -> Option<&Node> {
        self.metadata.and_then(|metadata| member(metadata, name))
    }

    /// A name of letters, digits and hyphens that no other anchor has.
    fn anchor(&self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let anchor: String = name.chars().map(plain).collect();
        let is_new = |anchor: &String| !self.anchors.values().any(|other| other == anchor);
        Some(format!("ci-{anchor}"))
            .filter(is_new)
            .unwrap_or_else(|| format!("ci-{anchor}-{}", self.anchors.len()))
    }

    /// Says so where a preset makes the same SAN by other templates.
    fn nearly(&mut self, issuer: &Issuer, provider: &Provider) {
        let Some(preset) = presets::nearest(provider) else { return };
        let Some(templates) = preset.templates() else { return };
        let parts = match preset.provider(&issuer.url) {
            Ok(Some(derived)) => differences(&derived, provider).join(", "),
            Ok(None) | Err(_) => differences(templates, provider).join(", "),
        };
        let parts = if parts.is_empty() { "the form of the URL".to_owned() } else { parts };
        let note = format!("`preset: {}` differs in {parts}", preset.name);
        self.line(format!("# {note}"));
        self.made.notes.push(format!("{}: templates are written out: {note}", issuer.url));
    }

    /// Who may: nothing where the issuer is its operator's own, else what must be decided.
    fn rules(&mut self, issuer: &Issuer, preset: Option<&Preset>) {
        if Address::parse(&issuer.url).is_ok_and(|address| is_wide(&address)) {
            self.line(format!("# DECIDE: {WIDE}"));
            self.made.decisions.push(format!("{}: {WIDE}", issuer.url));
        }
        let Some(why) = presets::why_rules(preset, Some(&issuer.url)) else { return };
        if self.allow_anybody {
            return self.line("allow: anybody");
        }
        let claims = presets::advised(preset, Some(&issuer.kind), Some(&issuer.url));
        let rule = |written: &dyn Fn(&str) -> String| {
            claims.iter().map(|claim| written(claim)).collect::<Vec<_>>().join(", ")
        };
        self.line(format!("# DECIDE: this issuer {why}. Who may have a certificate?"));
        let written = rule(&|claim| format!("{}: \"…\"", scalar(claim)));
        self.line(format!("#allow: [ {{ {written} }} ]"));
        self.line("#allow: anybody");
        let (url, said) = (&issuer.url, rule(&|claim| format!("{claim}: …")));
        self.made.decisions.push(format!("{url} {why}: `allow: [ {{ {said} }} ]`, or `anybody`"));
    }
}

/// Whether a preset gives the same answers for this issuer.
fn fits(preset: &Preset, issuer: &Issuer) -> bool {
    match &issuer.kind {
        Kind::Ci(provider) => matches!(
            preset.provider(&issuer.url),
            Ok(Some(templates)) if provider.older.is_none() && differences(&templates, provider).is_empty()
        ),
        Kind::Email { issuer_claim: None, skip_verification: false } => {
            preset.kind == "email" && preset.urls.contains(&issuer.url)
        }
        Kind::Kubernetes => preset.kind == "kubernetes" && preset.urls.contains(&issuer.url),
        Kind::Email { .. }
        | Kind::Uri { .. }
        | Kind::Username { .. }
        | Kind::Spiffe { .. }
        | Kind::Chainguard => false,
    }
}

/// The keys in which templates differ.
fn differences(one: &Provider, other: &Provider) -> Vec<&'static str> {
    fn same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
        one.len() == other.len() && one.iter().all(|item| other.contains(item))
    }
    let parts = [
        ("constants", same(&one.constants, &other.constants)),
        ("defaults", same(&one.defaults, &other.defaults)),
        ("required", same(&one.required, &other.required)),
        ("choices", same(&one.choices, &other.choices)),
        ("starts_with", same(&one.starts_with, &other.starts_with)),
        ("san", one.san == other.san),
        ("extensions", same::<(Extension, Template)>(&one.extensions, &other.extensions)),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// The keys of a provider, one line each; `spelt` is its entry in `ci-issuer-metadata`.
fn templates(provider: &Provider, spelt: Option<&Node>) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, values) in [("constants", &provider.constants), ("defaults", &provider.defaults)] {
        if !values.is_empty() {
            lines.push(format!("{key}:"));
            let line =
                |(name, value): &(String, String)| format!("  {}: {}", scalar(name), scalar(value));
            lines.extend(values.iter().map(line));
        }
    }
    let text = |key| spelt.and_then(|spelt| member(spelt, key)).and_then(Node::scalar);
    let san = text("subject-alternative-name-template").unwrap_or_default();
    lines.push(format!("san: {}", scalar(&san)));
    let extensions = spelt.and_then(|spelt| member(spelt, "extension-templates"));
    let extensions = extensions.and_then(Node::map).unwrap_or_default();
    let line = |entry: &Entry| {
        let (name, template) = (entry.key.scalar()?, entry.value.scalar()?);
        let extension = Extension::named(&name)?;
        let is_read = provider.extensions.iter().any(|(read, _)| *read == extension);
        is_read.then(|| format!("  {name}: {}", scalar(&template)))
    };
    let extensions: Vec<String> = extensions.iter().filter_map(line).collect();
    if !extensions.is_empty() {
        lines.push("extensions:".to_owned());
        lines.extend(extensions);
    }
    lines
}

/// The value of a key.
fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let entries = node.map()?.iter();
    entries
        .rev()
        .find(|entry| entry.key.scalar().as_deref() == Some(name))
        .map(|entry| &entry.value)
}
