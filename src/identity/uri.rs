//! A URI in `sub`, byte for byte, of the configured scheme, host and port.
//!
//! Spec: RFC 3986.

use super::{Identity, IdentityError, San};
use crate::token::Claims;

/// The identity that `sub` names; `subject_domain` is a URL such as `https://users.example.com`.
pub(super) fn identity(claims: &Claims, subject_domain: &str) -> Result<Identity, IdentityError> {
    let subject = claims.sub();
    if !is_uri(subject) {
        let wanted = "a URI as RFC 3986 has it (other characters than its own are written %XX)";
        return Err(IdentityError::SubjectInvalid { subject: subject.to_owned(), wanted });
    }
    // Attack: "https://good.example@evil.example" has another host than it seems to have, so scheme
    // and authority are compared as text, with whatever user or port stands in it.
    if origin(subject).is_none() || origin(subject) != origin(subject_domain) {
        let domain = origin(subject_domain).map_or_else(
            || subject_domain.to_owned(),
            |(scheme, host)| format!("{scheme}://{host}"),
        );
        return Err(IdentityError::SubjectForeign { subject: subject.to_owned(), domain });
    }
    Ok(Identity::new(claims, San::Uri(subject.to_owned())))
}

/// Scheme and authority of a URL, as written.
fn origin(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.get(..end).filter(|authority| !authority.is_empty()).map(|authority| (scheme, authority))
}

/// Whether `text` has the characters of a URI, each escape whole and one fragment at most.
fn is_uri(text: &str) -> bool {
    let (address, fragment) = match text.split_once('#') {
        // Quirk: Go reads "…/u#" as "…/u", and a verifier would take one for the other.
        Some((_, "")) => return false,
        Some((address, fragment)) => (address, fragment),
        None => (text, ""),
    };
    let is_plain =
        |octet: u8| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&octet);
    let authority = origin(address).map_or("", |(_, authority)| authority);
    let behind = address.len() - address.find(authority).unwrap_or(0) - authority.len();
    let (front, path) = address.split_at_checked(address.len() - behind).unwrap_or((address, ""));
    front.bytes().all(|octet| is_plain(octet) || matches!(octet, b'[' | b']'))
        && path.bytes().chain(fragment.bytes()).all(is_plain)
        && are_escapes_whole(text)
}

/// Whether two hexadecimal digits follow each `%`.
pub(super) fn are_escapes_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|behind| {
        let mut digits = behind.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.next().is_some() && digits.next().is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(is_uri(text), expected, "{text:?}");
    }

    #[test]
    fn uris() {
        check("https://a.example", true);
        check("https://[::1]:8/x", true);
        check("https://a/..//b/%41%c3?x=1&y=/#z?", true);
        check("https://a/b#", false);
        check("https://a/b#c#d", false);
        check("https://a/b c", false);
        check("https://a/[b]", false);
        check("https://a/ä", false);
        check("https://a/b\n", false);
        check("https://a/%", false);
        check("https://a/%4", false);
        check("https://a/%4g", false);
        check("https://a/%g4", false);
        check("https://a/\"", false);
        check("https://a/\\", false);
    }

    #[test]
    fn origins() {
        assert_eq!(origin("https://a:1/b@c"), Some(("https", "a:1")));
        assert_eq!(origin("https://u@a?b"), Some(("https", "u@a")));
        assert_eq!(origin("https://a#b"), Some(("https", "a")));
        assert_eq!(origin("https:///b"), None);
        assert_eq!(origin("a/b"), None);
    }
}
