//! A SPIFFE ID in `sub`, byte for byte.
//!
//! Spec: SPIFFE ID §2.

use super::{Identity, IdentityError, San};
use crate::token::Claims;

/// The longest SPIFFE ID, in octets: SPIFFE ID §2.3.
const MAX_ID: usize = 2048;

/// The identity of a workload of `trust_domain`.
pub(super) fn identity(claims: &Claims, trust_domain: &str) -> Result<Identity, IdentityError> {
    let subject = claims.sub();
    let Some(domain) = trust_domain_of(subject) else {
        let wanted = "a SPIFFE ID, as in spiffe://example.org/ns/builds/sa/signer";
        return Err(IdentityError::SubjectInvalid { subject: subject.to_owned(), wanted });
    };
    if domain != trust_domain {
        let domain = format!("trust domain {trust_domain}");
        return Err(IdentityError::SubjectForeign { subject: subject.to_owned(), domain });
    }
    Ok(Identity::new(claims, San::Uri(subject.to_owned())))
}

/// The trust domain of a SPIFFE ID; none when it is no such ID.
fn trust_domain_of(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("spiffe://").filter(|_| id.len() <= MAX_ID)?;
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(d, path)| (d, Some(path)));
    let is_domain = |octet: u8| {
        octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'.' | b'_')
    };
    let is_path = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_path);
    let sound = !domain.is_empty()
        && domain.bytes().all(is_domain)
        && path.is_none_or(|path| path.split('/').all(is_segment));
    sound.then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, domain: Option<&str>) {
        assert_eq!(trust_domain_of(id), domain, "{id}");
    }

    #[test]
    fn ids() {
        check("spiffe://example.org/ns/b_1/sa/A.b", Some("example.org"));
        check("spiffe://example.org", Some("example.org"));
        check("spiffe://a_b-1/x", Some("a_b-1"));
        check("spiffe://example.org/...", Some("example.org"));
    }

    #[test]
    fn other_text() {
        for text in [
            "",
            "spiffe://",
            "spiffe:///x",
            "SPIFFE://example.org",
            "https://example.org",
            "spiffe:/a",
            "spiffe://Example.org",
            "spiffe://example.org/",
            "spiffe://example.org//a",
            "spiffe://example.org/a/",
            "spiffe://example.org/./a",
            "spiffe://example.org/a/..",
            "spiffe://example.org:80/a",
            "spiffe://u@example.org/a",
            "spiffe://example.org?a",
            "spiffe://example.org/a#b",
            "spiffe://example.org/a%20b",
            "spiffe://example.org/ä",
            "spiffe://example.org/a\n",
            " spiffe://example.org",
        ] {
            check(text, None);
        }
        check(&format!("spiffe://a/{}", "x".repeat(2037)), Some("a"));
        check(&format!("spiffe://a/{}", "x".repeat(2038)), None);
    }
}
