//! A URI in `sub`, byte for byte, of the configured scheme, host and port.
//!
//! Spec: RFC 3986.

use super::{Identity, IdentityError, San};
use crate::token::Claims;

/// The identity that `sub` names; `subject_domain` is a URL such as `https://users.example.com`.
pub(super) fn identity(claims: &Claims, subject_domain: &str) -> Result<Identity, IdentityError> {
    let subject = claims.sub().to_owned();
    let domain = origin(subject_domain).unwrap_or(subject_domain);
    // Attack: "https://good.example@evil.example" has another host than it seems to have. So scheme,
    // host and port are one text, and where it ends the authority must end.
    let behind = subject
        .strip_prefix(domain)
        .filter(|behind| behind.is_empty() || behind.starts_with(['/', '?', '#']));
    match behind {
        None => Err(IdentityError::SubjectForeign { subject, domain: domain.to_owned() }),
        Some(behind) if !is_behind_authority(behind) => {
            let wanted = "a URI as RFC 3986 has it (other characters than its own are written %XX)";
            Err(IdentityError::SubjectInvalid { subject, wanted })
        }
        Some(_) => Ok(Identity::new(claims, San::Uri(subject))),
    }
}

/// Scheme and authority of a URL, as written.
fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + "://".len();
    let length = url.get(start..)?.find(['/', '?', '#']);
    length.map_or(Some(url), |length| url.get(..start + length))
}

/// Whether `text` can stand behind a URI's authority: its path, query and fragment.
fn is_behind_authority(text: &str) -> bool {
    let is_plain =
        |octet: u8| octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%#".contains(&octet);
    text.bytes().all(is_plain)
        && are_escapes_whole(text)
        && text.matches('#').count() <= 1
        // Quirk: Go reads ".../u#" as ".../u", and a verifier would take one for the other.
        && !text.ends_with('#')
}

/// Whether two hexadecimal digits follow each `%`.
pub(super) fn are_escapes_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|behind| {
        let digits = behind.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(is_behind_authority(text), expected, "{text:?}");
    }

    #[test]
    fn paths_queries_and_fragments() {
        check("", true);
        check("/..//b/%41%c3?x=1&y=/#z?", true);
        check("?a", true);
        check("#a", true);
        check("/b#", false);
        check("/b#c#d", false);
        check("/b c", false);
        check("/[b]", false);
        check("/ä", false);
        check("/b\n", false);
        check("/%", false);
        check("/%4", false);
        check("/%4g", false);
        check("/%g4", false);
        check("/\"", false);
        check("/\\", false);
    }

    #[test]
    fn origins() {
        assert_eq!(origin("https://a:1/b@c"), Some("https://a:1"));
        assert_eq!(origin("https://u@a?b"), Some("https://u@a"));
        assert_eq!(origin("https://a#b"), Some("https://a"));
        assert_eq!(origin("https://a"), Some("https://a"));
        assert_eq!(origin("a/b"), None);
    }
}
