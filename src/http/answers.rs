//! What every caller gets alike: the chain, the trust bundle, the trusted issuers. Formatted once, for all
//! three doors: at the start, and again whenever there is another chain, or others are trusted.
//!
//! The answers to a signing request differ in their first certificate only; the rest is kept as text.
//! A quirk of upstream's: certificates end in a newline in the trust bundle, and do not when signed.

use std::iter::{once, repeat};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::authority::succession::{Chains, Succession};
use crate::authority::{Authority, Issued, Trust};
use crate::certificate::Chain;
use crate::issuer::{Issuer, Kind};

use super::grpc::fulcio::{CertificateChain, Configuration, OidcIssuer, TrustBundle, oidc_issuer};

/// Everything that stays the same from one request to the next.
pub struct Answers {
    succession: Succession,
    bundle: ArcSwap<Bundle>,
    described: ArcSwap<Described>,
}

/// The authority's chains in all notations, and whose they are.
pub struct Bundle {
    of: Weak<Chains>,
    rests: Vec<(Arc<Chain>, Arc<Rest>)>,
    /// Version 2's trust bundle, JSON.
    pub json: Bytes,
    /// Version 1's trust bundle, PEM: the chain that began first, then what the later ones have more.
    pub pem: Bytes,
    /// gRPC's trust bundle.
    pub grpc: TrustBundle,
}

/// What follows a certificate that was issued by a chain.
struct Rest {
    /// PEM, one certificate each, without the last newline.
    chain: Vec<String>,
    /// In version 2: JSON.
    v2: String,
    /// In version 1: PEM.
    v1: String,
}

impl Rest {
    fn new(chain: &Chain) -> Self {
        let chain: Vec<String> = chain.pems().iter().map(|pem| pem.trim().to_owned()).collect();
        let v2: String = chain.iter().map(|pem| format!(",{}", Value::from(&**pem))).collect();
        Self { v2: v2 + "]}}}", v1: chain.iter().map(|pem| format!("\n{pem}")).collect(), chain }
    }
}

impl Bundle {
    fn new(chains: &Arc<Chains>) -> Self {
        let rests = chains
            .iter()
            .map(|issuing| (Arc::clone(&issuing.chain), Arc::new(Rest::new(&issuing.chain))));
        let pems: Vec<&[String]> = chains.iter().map(|issuing| issuing.chain.pems()).collect();
        let json: Vec<Value> = pems.iter().map(|pems| json!({ "certificates": pems })).collect();
        let mut distinct: Vec<&str> = Vec::new();
        for pem in pems.iter().copied().flatten() {
            if !distinct.contains(&&**pem) {
                distinct.push(pem);
            }
        }
        let grpc = pems.iter().map(|pems| CertificateChain { certificates: pems.to_vec() });
        Self {
            of: Arc::downgrade(chains),
            rests: rests.collect(),
            json: json!({ "chains": json }).to_string().into(),
            pem: distinct.join("\n").trim().to_owned().into(),
            grpc: TrustBundle { chains: grpc.collect() },
        }
    }
}

/// The trusted issuers in both notations, and whose they are.
pub struct Described {
    of: Weak<Trust>,
    /// Version 2's configuration, JSON.
    pub json: Bytes,
    /// gRPC's configuration.
    pub grpc: Configuration,
}

impl Described {
    fn new(trust: &Arc<Trust>) -> Self {
        let issuers = trust.keyset.issuers().iter().map(|issuer| describe(issuer)).collect();
        let grpc = Configuration { issuers };
        let json = configuration_json(&grpc).to_string().into();
        Self { of: Arc::downgrade(trust), json, grpc }
    }
}

const V2_START: &str = r#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":["#;

impl Answers {
    /// The answers of an authority.
    pub fn new(authority: &Authority) -> Self {
        let succession = authority.succession.clone();
        Self {
            bundle: ArcSwap::from_pointee(Bundle::new(&succession.all())),
            succession,
            described: ArcSwap::from_pointee(Described::new(&authority.trust.load_full())),
        }
    }

    /// The chains that the authority issues by.
    pub fn bundle(&self) -> Arc<Bundle> {
        let chains = self.succession.all();
        let known = self.bundle.load_full();
        // A weak pointer keeps the place from being used again: the same place is the same chains.
        if known.of.as_ptr() == Arc::as_ptr(&chains) {
            return known;
        }
        let bundle = Arc::new(Bundle::new(&chains));
        self.bundle.store(Arc::clone(&bundle));
        bundle
    }

    /// What follows the certificate.
    fn rest(&self, issued: &Issued) -> Arc<Rest> {
        let bundle = self.bundle();
        let known = bundle.rests.iter().find(|(chain, _)| Arc::ptr_eq(chain, &issued.chain));
        known.map_or_else(|| Arc::new(Rest::new(&issued.chain)), |(_, rest)| Arc::clone(rest))
    }

    /// The issuers that `authority` trusts at present.
    pub fn configuration(&self, authority: &Authority) -> Arc<Described> {
        let trust = authority.trust.load_full();
        let known = self.described.load_full();
        // As above.
        if known.of.as_ptr() == Arc::as_ptr(&trust) {
            return known;
        }
        let described = Arc::new(Described::new(&trust));
        self.described.store(Arc::clone(&described));
        described
    }

    /// Version 2's answer to a signing request, JSON.
    pub fn v2(&self, issued: &Issued) -> String {
        let (pem, rest) = (issued.certificate.pem(), &self.rest(issued).v2);
        // Room for the escapes: at most one in 32 characters is a line's end.
        let room = V2_START.len() + pem.len() + pem.len() / 32 + rest.len() + 2;
        let mut json = String::with_capacity(room);
        json.push_str(V2_START);
        // Nothing else in PEM needs an escape.
        for (line, mark) in pem.trim().split('\n').zip(once("\"").chain(repeat("\\n"))) {
            json.push_str(mark);
            json.push_str(line);
        }
        json.push('"');
        json.push_str(rest);
        json
    }

    /// Version 1's answer to a signing request: PEM, without the last newline.
    pub fn v1(&self, issued: &Issued) -> String {
        [issued.certificate.pem().trim(), &self.rest(issued).v1].concat()
    }

    /// gRPC's answer to a signing request: PEM, without the last newlines.
    pub fn grpc(&self, issued: &Issued) -> CertificateChain {
        let leaf = issued.certificate.pem().trim().to_owned();
        let certificates =
            std::iter::once(leaf).chain(self.rest(issued).chain.iter().cloned()).collect();
        CertificateChain { certificates }
    }
}

/// A body that is JSON.
pub fn json(body: impl Into<axum::body::Body>) -> Response {
    typed("application/json", body)
}

/// A body that is a chain of certificates, PEM.
pub fn pem(body: impl Into<axum::body::Body>) -> Response {
    typed("application/pem-certificate-chain", body)
}

fn typed(kind: &'static str, body: impl Into<axum::body::Body>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], body.into()).into_response()
}

/// An issuer as Fulcio describes it: the secrets and the certificates of its configuration left out.
fn describe(issuer: &Issuer) -> OidcIssuer {
    let url = issuer.url.clone();
    let name = if issuer.is_pattern() {
        oidc_issuer::Issuer::WildcardIssuerUrl(url)
    } else {
        oidc_issuer::Issuer::IssuerUrl(url)
    };
    let kind = Particulars::of(&issuer.kind);
    OidcIssuer {
        issuer: Some(name),
        audience: issuer.audiences.first().cloned().unwrap_or_default(),
        challenge_claim: issuer
            .challenge_claim
            .clone()
            .unwrap_or_else(|| kind.challenge.to_owned()),
        spiffe_trust_domain: kind.trust_domain.to_owned(),
        issuer_type: issuer.kind.name().to_owned(),
        subject_domain: kind.subject_domain.to_owned(),
        skip_email_verification: kind.skip_verification,
    }
}

/// What Fulcio tells of some kinds and not of others.
struct Particulars<'a> {
    challenge: &'static str,
    subject_domain: &'a str,
    trust_domain: &'a str,
    skip_verification: bool,
}

impl<'a> Particulars<'a> {
    fn of(kind: &'a Kind) -> Self {
        let none = Self {
            challenge: "sub",
            subject_domain: "",
            trust_domain: "",
            skip_verification: false,
        };
        match kind {
            Kind::Email { skip_verification, .. } => {
                Self { challenge: "email", skip_verification: *skip_verification, ..none }
            }
            Kind::Uri { subject_domain } | Kind::Username { subject_domain } => {
                Self { subject_domain, ..none }
            }
            Kind::Spiffe { trust_domain } => Self { trust_domain, ..none },
            Kind::Kubernetes | Kind::Chainguard | Kind::Ci(_) => none,
        }
    }
}

/// protojson of the configuration, with the fields that are empty.
fn configuration_json(configuration: &Configuration) -> Value {
    let issuers: Vec<Value> = configuration.issuers.iter().map(issuer_json).collect();
    json!({ "issuers": issuers })
}

fn issuer_json(issuer: &OidcIssuer) -> Value {
    let mut object = json!({
        "audience": issuer.audience,
        "challengeClaim": issuer.challenge_claim,
        "spiffeTrustDomain": issuer.spiffe_trust_domain,
        "issuerType": issuer.issuer_type,
        "subjectDomain": issuer.subject_domain,
        "skipEmailVerification": issuer.skip_email_verification,
    });
    let (name, url) = match &issuer.issuer {
        Some(oidc_issuer::Issuer::WildcardIssuerUrl(url)) => ("wildcardIssuerUrl", url),
        Some(oidc_issuer::Issuer::IssuerUrl(url)) => ("issuerUrl", url),
        None => return object,
    };
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), Value::from(url.as_str()));
    }
    object
}
