//! SEAM: trusted token issuers: exact ones, then patterns in file order; spec/fulcio.md §3.6

use std::sync::Arc;
use crate::extensions::Extension;
use crate::template::Template;

/// Position of an issuer in the configuration: exact ones and patterns share one numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub usize);

/// One trusted issuer, as configured.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub id: IssuerId,
    /// URL, or a pattern in which `*` stands for one or more of `[-_A-Za-z0-9]`
    pub url: String,
    /// at least one; the token must name one of them
    pub audiences: Vec<String>,
    pub kind: Kind,
    pub keys: Keys,
    /// trusted for this issuer's TLS beside the system's roots, PEM
    pub roots: Option<Vec<u8>>,
    /// reported by GetConfiguration only
    pub challenge_claim: Option<String>,
}
/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// OpenID Connect discovery under the issuer's URL.
    Discovery,
    /// A key set (RFC 7517) at this URL.
    Url(String),
    /// A key set (RFC 7517) given in the configuration, JSON.
    Inline(Arc<[u8]>),
}
/// What an issuer's tokens say, and how that becomes an identity.
#[derive(Clone, Debug)]
pub enum Kind {
    Email { /// JSONPath-like path of the claim that replaces `iss` in the certificate
        issuer_claim: Option<ClaimPath>, /// `email_verified` need not be true
        skip_verification: bool },
    Uri { subject_domain: String },
    Username { subject_domain: String },
    Spiffe { trust_domain: String },
    Kubernetes,
    Chainguard,
    /// every CI provider: templates
    Ci(Arc<Provider>),
}
/// A parsed `$.a.b["c"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);
/// How a CI provider's claims become SAN and extensions.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    pub name: String,
    /// name → value; a claim of the same name wins (Fulcio's merge order)
    pub defaults: Vec<(String, String)>,
    /// name → value; a claim of the same name is ignored (`url`, `api_url`: decisions.md)
    pub constants: Vec<(String, String)>,
    pub san: Option<Template>,
    pub extensions: Vec<(Extension, Template)>,
    /// claims that must be there and not empty whether or not a template uses them (Fulcio's older types)
    pub required: Vec<String>,
}
/// The issuers of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Issuers { /* exact: HashMap<String, Arc<Issuer>>, patterns in file order */ }
impl Issuers {
    pub fn new(_issuers: Vec<Issuer>) -> Self { todo!() }
    /// Exact match first, then the first pattern. Compared octet for octet; text over 512 octets matches nothing.
    pub fn find(&self, _url: &str) -> Option<&Arc<Issuer>> { todo!() }
    /// The configured URL that looks most like `url`, for "did you mean"; None when nothing is near.
    pub fn nearest(&self, _url: &str) -> Option<&str> { todo!() }
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> { std::iter::empty() }
}
impl Issuer { /// whether `url` is a pattern
    pub fn is_pattern(&self) -> bool { self.url.contains('*') } }
