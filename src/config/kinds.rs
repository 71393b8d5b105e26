//! What the types of issuers demand of their own keys, for both files: sentences, not error codes.

use crate::config::address::{Address, same_domain};
use crate::issuer::{ClaimPath, Kind};
use crate::quote::quote;

/// An issuer of e-mail addresses; `issuer_claim` is a path such as `$.federated_claims.connector_id`.
pub(super) fn email(issuer_claim: Option<&str>, skip_verification: bool) -> Result<Kind, String> {
    let issuer_claim = issuer_claim.map(ClaimPath::parse).transpose();
    let issuer_claim = issuer_claim.map_err(|error| error.to_string())?;
    Ok(Kind::Email { issuer_claim, skip_verification })
}

/// An issuer whose subjects are URIs below `subject_domain`, `https://users.example.com`.
///
/// Spec: Fulcio demands equal schemes and equal last two labels.
pub(super) fn uri(subject_domain: &str, issuer: &str) -> Result<Kind, String> {
    let domain = Address::parse(subject_domain).map_err(|error| error.to_string())?;
    let address = Address::parse(issuer).map_err(|error| error.to_string())?;
    if domain.scheme != address.scheme {
        return Err(format!("expected the scheme of the issuer, {issuer}"));
    }
    within(domain.host, address.host)?;
    Ok(Kind::Uri { subject_domain: subject_domain.to_owned() })
}

/// An issuer whose subjects are user names at `subject_domain`, `users.example.com`.
pub(super) fn username(subject_domain: &str, issuer: &str) -> Result<Kind, String> {
    if subject_domain.contains("://") {
        return Err("expected a bare domain such as example.com, got a URL".to_owned());
    }
    let address = Address::parse(issuer).map_err(|error| error.to_string())?;
    let bare = Address::parse(&format!("https://{subject_domain}"))
        .is_ok_and(|domain| domain.host == subject_domain);
    if !bare {
        return Err("expected a bare domain such as example.com".to_owned());
    }
    within(subject_domain, address.host)?;
    Ok(Kind::Username { subject_domain: subject_domain.to_owned() })
}

/// An issuer of SPIFFE ids; a whole id is reduced to its trust domain.
///
/// Spec: SPIFFE ID §2.1.
pub(super) fn spiffe(trust_domain: &str) -> Result<Kind, String> {
    let id = trust_domain.strip_prefix("spiffe://");
    let domain = id.map_or(trust_domain, |id| id.split('/').next().unwrap_or(id));
    let fits = |octet: u8| {
        octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'.' | b'_')
    };
    if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(fits) {
        return Err(format!(
            "expected a trust domain of a-z, 0-9, `-`, `.`, `_` such as example.org, got {}",
            quote(trust_domain)
        ));
    }
    Ok(Kind::Spiffe { trust_domain: domain.to_owned() })
}

// Attack: without this an issuer could be set up to name people of a domain that is not its own.
fn within(domain: &str, issuer: &str) -> Result<(), String> {
    if domain.contains('*') {
        return Err(format!("expected one domain, got {}", quote(domain)));
    }
    if same_domain(domain, issuer) {
        return Ok(());
    }
    Err(format!(
        "expected a domain that shares its last two labels with the issuer's host {issuer}, got {}",
        quote(domain)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Result<Kind, String>, fails: Option<&str>) {
        assert_eq!(kind.map(|_| ()).err().as_deref(), fails);
    }

    #[test]
    fn subjects_belong_to_the_issuers_own_domain() {
        check(uri("https://users.example.com", "https://idp.example.com"), None);
        check(
            uri("http://users.example.com", "https://idp.example.com"),
            Some("expected the scheme of the issuer, https://idp.example.com"),
        );
        check(
            uri("users.example.com", "https://idp.example.com"),
            Some("expected a URL that begins with https://"),
        );
        check(
            uri("https://example.org", "https://idp.example.com"),
            Some(
                "expected a domain that shares its last two labels with the issuer's host idp.example.com, got \"example.org\"",
            ),
        );
        check(username("example.com", "https://idp.example.com"), None);
        check(username("127.0.0.1", "http://127.0.0.1:4000/username"), None);
        check(
            username("https://example.com", "https://idp.example.com"),
            Some("expected a bare domain such as example.com, got a URL"),
        );
        check(
            username("*.example.com", "https://idp.example.com"),
            Some("expected one domain, got \"*.example.com\""),
        );
        check(
            username("example.com/x", "https://idp.example.com"),
            Some("expected a bare domain such as example.com"),
        );
    }

    #[test]
    fn a_trust_domain_is_lower_case() {
        check(spiffe("example.org"), None);
        assert!(matches!(
            spiffe("spiffe://example.org/ns/a"),
            Ok(Kind::Spiffe { trust_domain }) if trust_domain == "example.org"
        ));
        for bad in ["", "Example.org", "a/b", "spiffe:///x", "spiffe://"] {
            assert!(spiffe(bad).is_err(), "{bad}");
        }
    }
}
