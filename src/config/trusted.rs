//! Issuers with their rules, gathered from either file, and what both files share about them.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::address::Address;
use crate::config::reader::Cursor;
use crate::config::{IssuerSummary, shared};
use crate::issuer::{Issuer, IssuerId, Issuers, Kind};
use crate::policy::{Allow, Policy, Rule, Rules};

/// The audience of tokens where nothing else is said.
pub(super) const AUDIENCE: &str = "sigstore";

/// An issuer and who of it may have a certificate.
pub(super) struct Trusted {
    pub issuer: Issuer,
    pub rules: Rules,
}

/// Numbers the issuers in the order of the file, and pairs each with its rules.
pub(super) fn assemble(trusted: Vec<Trusted>) -> (Issuers, Policy, Vec<IssuerSummary>) {
    let summaries = trusted.iter().map(summary).collect();
    let number = |(i, trusted): (usize, Trusted)| {
        (Issuer { id: IssuerId(i), ..trusted.issuer }, trusted.rules)
    };
    let (issuers, rules) = trusted.into_iter().enumerate().map(number).unzip();
    (Issuers::new(issuers), Policy::new(rules), summaries)
}

/// Why an issuer needs rules, as the end of "this issuer …"; None when it is its operator's own.
pub(super) fn why_rules(url: &str) -> Option<&'static str> {
    if url.contains('*') {
        return Some("is a pattern, and vouches for everybody who gets an issuer under it");
    }
    let shared = Address::parse(url).is_ok_and(|address| shared::is_shared(&address));
    shared.then_some("vouches for the whole world")
}

/// Reads PEM certificates for an issuer's TLS.
///
/// # Errors
///
/// A sentence when there is none, or one cannot be read.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<u8>, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "expected PEM certificates, got broken PEM")?;
        store.add(certificate).map_err(|_| "expected PEM certificates, got one that is broken")?;
    }
    if store.is_empty() {
        return Err("expected PEM certificates, got none".to_owned());
    }
    Ok(pem.to_vec())
}

/// The text of a file that a key names; complains when there is none.
pub(super) fn file(cursor: &Cursor<'_>, folder: &Path) -> Option<String> {
    cursor.read(&folder.join(cursor.text()?))
}

fn summary(trusted: &Trusted) -> IssuerSummary {
    let Trusted { issuer, rules } = trusted;
    IssuerSummary {
        url: issuer.url.clone(),
        kind: kind(&issuer.kind),
        audiences: issuer.audiences.clone(),
        who: who(rules),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Email { .. } => "email".to_owned(),
        Kind::Uri { .. } => "uri".to_owned(),
        Kind::Username { .. } => "username".to_owned(),
        Kind::Spiffe { .. } => "spiffe".to_owned(),
        Kind::Kubernetes => "kubernetes".to_owned(),
        Kind::Chainguard => "chainguard".to_owned(),
        Kind::Ci(provider) if provider.name == "ci" => "ci".to_owned(),
        Kind::Ci(provider) => format!("ci ({})", provider.name),
    }
}

fn who(rules: &Rules) -> String {
    let allowed = match &rules.allow {
        Allow::Anybody => "anybody".to_owned(),
        Allow::Rules(rules) => count(rules, "rule"),
    };
    match rules.deny.len() {
        0 => allowed,
        _ => format!("{allowed}, {}", count(&rules.deny, "denial")),
    }
}

/// `1 rule`, `2 rules (release, main)`.
fn count(rules: &[Rule], noun: &str) -> String {
    let plural = if rules.len() == 1 { "" } else { "s" };
    let names: Vec<&str> = rules.iter().filter_map(|rule| rule.name.as_deref()).collect();
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    format!("{} {noun}{plural}{names}", rules.len())
}
