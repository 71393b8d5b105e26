//! Claims → [`Identity`]: the name, the extensions and the challenge, by issuer kind.
//!
//! Names are injective: no two subjects of an issuer get one SAN. Where Fulcio's way of writing a URL
//! folds two claims into one, the claim that is written plainly has the SAN and the other is refused.
//! (Chainguard's subjects are the exception: their paths are cleaned as Fulcio cleans them.)
//!
//! Spec: sigstore/fulcio, `pkg/identity/*`.

use serde_json::Value;

use crate::extensions::{Extension, Extensions};
use crate::issuer::Kind;
use crate::quote::quote;
use crate::template::MAX_RENDERED;
use crate::token::Claims;

mod chainguard;
mod ci;
mod email;
mod kubernetes;
pub mod older;
mod spiffe;
mod uri;
mod url;
pub mod usage;
mod username;

pub use url::UrlError;

/// Octets of the name. The longest references of Git have 255; a path and a host come on top.
const MAX_SAN: usize = 2 * 1024;

/// Octets of one extension's text.
const MAX_EXTENSION: usize = MAX_RENDERED;

/// Octets of the name and all extensions' texts. With key, authority and encoding a certificate stays
/// below 16 KiB.
///
/// Attack: each claim of a token may stand in several extensions, and every certificate is kept for ever.
const MAX_TEXTS: usize = 12 * 1024;

/// What a sentence calls the name.
const SAN: &str = "subject alternative name";

/// Who asks, as the certificate will say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    san: San,
    extensions: Extensions,
    challenge: Challenge,
}

/// The one subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// An rfc822Name; ASCII.
    Email(String),
    /// A uniformResourceIdentifier; ASCII.
    Uri(String),
    /// `sub!domain`, an otherName of type 1.3.6.1.4.1.57264.1.7.
    Username(String),
}

impl San {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Uri(text) | Self::Username(text) => text,
        }
    }
}

/// The text whose signature proves possession of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// The text, byte for byte as the token has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A challenge that no token vouches for, to test proofs; real ones come out of an [`Identity`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Identity {
    /// Makes an identity of what a verified token says.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] names the claim that is missing, or cannot stand in a certificate.
    pub fn from_claims(claims: &Claims) -> Result<Self, IdentityError> {
        let identity = match &claims.issuer().kind {
            Kind::Email { issuer_claim, skip_verification: false } => {
                email::verified(claims, issuer_claim.as_ref())
            }
            Kind::Email { issuer_claim, skip_verification: true } => {
                email::unverified(claims, issuer_claim.as_ref())
            }
            Kind::Uri { subject_domain } => uri::identity(claims, subject_domain),
            Kind::Username { subject_domain } => username::identity(claims, subject_domain),
            Kind::Spiffe { trust_domain } => spiffe::identity(claims, trust_domain),
            Kind::Kubernetes => kubernetes::identity(claims),
            Kind::Chainguard => chainguard::identity(claims),
            Kind::Ci(provider) => ci::identity(claims, provider),
        }?;
        identity.check_lengths()?;
        Ok(identity)
    }

    /// The name.
    pub fn san(&self) -> &San {
        &self.san
    }

    /// The extensions; issuer and subject are always among them.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What the caller must have signed.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Whether a certificate holds all of this.
    fn check_lengths(&self) -> Result<(), IdentityError> {
        let extensions = self.extensions.iter().map(|(e, text)| (e.name(), text, MAX_EXTENSION));
        let texts = std::iter::once((SAN, self.san.as_str(), MAX_SAN)).chain(extensions);
        let mut total = 0;
        for (part, text, limit) in texts {
            if text.len() > limit {
                return Err(IdentityError::TooLong { part, limit });
            }
            total += text.len();
        }
        match total {
            0..=MAX_TEXTS => Ok(()),
            _ => Err(IdentityError::TooLarge { limit: MAX_TEXTS }),
        }
    }

    /// What most kinds have: `iss` and `sub` as extensions, `sub` as challenge.
    fn new(claims: &Claims, san: San) -> Self {
        let mut extensions = Extensions::default();
        extensions.set(Extension::SUBJECT, claims.sub().to_owned());
        Self { san, extensions, challenge: Challenge::new(claims.sub()) }.issued_by(claims.iss())
    }

    fn issued_by(mut self, issuer: &str) -> Self {
        self.extensions.set(Extension::ISSUER_V1, issuer.to_owned());
        self.extensions.set(Extension::ISSUER, issuer.to_owned());
        self
    }

    fn challenged_by(mut self, challenge: &str) -> Self {
        self.challenge = Challenge::new(challenge);
        self
    }
}

/// Why a token's claims make no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A claim is absent, null or empty.
    #[error("the token has no claim {}, which certificates for this issuer need", quote(name))]
    ClaimMissing {
        /// The claim.
        name: String,
    },
    /// A claim has another JSON type than it must have.
    #[error("claim {} must be {wanted}; the token has {found}", quote(name))]
    ClaimType {
        /// The claim.
        name: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A claim has a value that cannot be used.
    #[error("claim {} must be {wanted}; the token has {}", quote(name), quote(value))]
    ClaimValue {
        /// The claim.
        name: String,
        /// What it must be.
        wanted: String,
        /// What it is.
        value: String,
    },
    /// The issuer does not vouch for the address.
    #[error("the issuer has not verified that {} belongs to this person", quote(email))]
    EmailUnverified {
        /// The address.
        email: String,
    },
    /// The address is none, or longer than 254 octets, or not ASCII.
    #[error("{} is not an e-mail address that a certificate can hold", quote(email))]
    EmailInvalid {
        /// The address.
        email: String,
    },
    /// A certificate for another kind of subject must not look like one for an address.
    #[error("the subject {} is an e-mail address, which this issuer may not name", quote(subject))]
    SubjectIsEmail {
        /// `sub`.
        subject: String,
    },
    /// `sub` does not have the form that this kind of issuer gives it.
    #[error("the subject {} is not {wanted}", quote(subject))]
    SubjectInvalid {
        /// `sub`.
        subject: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// `sub` belongs to a domain that this issuer does not speak for.
    #[error(
        "the subject {} is not of {domain}, which is all that this issuer may name",
        quote(subject)
    )]
    SubjectForeign {
        /// `sub`.
        subject: String,
        /// The configured domain.
        domain: String,
    },
    /// The claims make a text that is too long.
    #[error(
        "the claims make a {part} of more than {limit} octets, which is the most that a certificate takes"
    )]
    TooLong {
        /// The extension, or that it is the name.
        part: &'static str,
        /// How many octets it may have.
        limit: usize,
    },
    /// The claims make texts that are too long together.
    #[error(
        "the claims make a subject alternative name and extensions of more than {limit} octets together, which is the \
         most that a certificate takes"
    )]
    TooLarge {
        /// How many octets they may have.
        limit: usize,
    },
    /// The templates make no name.
    #[error(
        "the claims make an empty subject alternative name; the templates of {} need another claim",
        quote(provider)
    )]
    SanEmpty {
        /// The provider, as configured.
        provider: String,
    },
    /// The templates make a URL that cannot stand in a certificate.
    #[error("the claims make the URL {}, which {error}", quote(url))]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        error: UrlError,
    },
}

/// A claim that must be text and not empty.
fn text<'c>(claims: &'c Claims, name: &str) -> Result<&'c str, IdentityError> {
    optional_text(claims.get(name), name)?.ok_or_else(|| missing(name))
}

/// A value that must be text where it is present; null and the empty string count as absent.
fn optional_text<'c>(
    value: Option<&'c Value>,
    name: &str,
) -> Result<Option<&'c str>, IdentityError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(wrong_type(name, "text", other)),
    }
}

fn missing(name: &str) -> IdentityError {
    IdentityError::ClaimMissing { name: name.to_owned() }
}

fn wrong_type(name: &str, wanted: &'static str, value: &Value) -> IdentityError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number that is not whole or too large",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    IdentityError::ClaimType { name: name.to_owned(), wanted, found }
}

#[cfg(test)]
mod tests;
