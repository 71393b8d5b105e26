//! A rendered text → the URI of a certificate, written as Fulcio writes it, unless it would share it.
//!
//! Fulcio passes URLs through Go's `net/url`, which escapes what a path may not contain, but keeps a
//! path that is a good one already. So two texts can become one URL:
//!
//! ```text
//! https://github.com/o/r/a b        → https://github.com/o/r/a%20b
//! https://github.com/o/r/a%20b      → the same, so this one is refused
//! https://github.com/o/r/a@main#    → …/a@main, which belongs to branch "main": refused
//! ```
//!
//! Its older types join URLs from path segments: `?` and `#` are then ordinary characters of the
//! path, and `//`, `.` and `..` are cleaned away; here they are refused.
//!
//! Spec: Go 1.26 `net/url`, `URL.EscapedPath`, `URL.EscapedFragment`, `URL.JoinPath`, `URL.String`.

use std::borrow::Cow;

use super::uri::are_escapes_whole;

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It contains a control character.
    #[error("contains a control character")]
    Control,
    /// It has no scheme in lower case.
    #[error("does not begin with a scheme such as https://")]
    Scheme,
    /// Its host is missing, or has a user before it, or characters that no host has.
    #[error("has no plain host name")]
    Host,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("has a `%` without two hexadecimal digits behind it")]
    Escape,
    /// It contains characters that are neither ASCII nor escaped.
    #[error("has a character outside ASCII where it cannot be escaped")]
    NotAscii,
    /// Fulcio would write another text as the same URL.
    #[error(
        "another identity would share: it has an escape, or an end, that stands for something else"
    )]
    Shared,
    /// A path has an empty segment, `.` or `..`.
    #[error("has `//`, `.` or `..` in its path")]
    Unclean,
}

/// A part of a URL, with its own list of characters that need no escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `?` and `#` end it.
    Path,
    /// `?` and `#` belong to it.
    JoinedPath,
    Fragment,
}

/// Writes a whole URL, with query and fragment if it has them.
pub(super) fn whole(text: &str) -> Result<String, UrlError> {
    let (scheme, rest) = split_scheme(text)?;
    let (rest, fragment) = match rest.split_once('#') {
        Some((_, "")) => return Err(UrlError::Shared),
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (rest, None),
    };
    let query_at = rest.find('?').unwrap_or(rest.len());
    let (rest, query) = rest.split_at_checked(query_at).ok_or(UrlError::Host)?;
    if !query.is_ascii() {
        return Err(UrlError::NotAscii);
    }
    let mut url = String::with_capacity(text.len());
    url.push_str(scheme);
    url.push(':');
    if rest.starts_with('/') {
        let (authority, path) = split_authority(rest)?;
        url.push_str("//");
        url.push_str(authority);
        url.push_str(&escape(path, Part::Path)?);
    } else {
        url.push_str(opaque(rest)?);
    }
    url.push_str(query);
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(&escape(fragment, Part::Fragment)?);
    }
    Ok(url)
}

/// Writes a URL whose path was joined from segments.
pub(super) fn joined(text: &str) -> Result<String, UrlError> {
    let (scheme, rest) = split_scheme(text)?;
    let (authority, path) = split_authority(rest)?;
    let segments = path.strip_prefix('/').unwrap_or(path);
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    if !path.is_empty() && segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(UrlError::Unclean);
    }
    Ok(format!("{scheme}://{authority}{}", escape(path, Part::JoinedPath)?))
}

/// The scheme, and what is behind its colon. Upper case is refused: Go would fold it.
fn split_scheme(text: &str) -> Result<(&str, &str), UrlError> {
    if text.chars().any(char::is_control) {
        return Err(UrlError::Control);
    }
    let (scheme, rest) = text.split_once(':').ok_or(UrlError::Scheme)?;
    let is_inner = |octet: u8| {
        octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'+' | b'-' | b'.')
    };
    let sound =
        scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(is_inner);
    if sound { Ok((scheme, rest)) } else { Err(UrlError::Scheme) }
}

/// `//host:port` off the front, and the path behind it, empty or beginning with a slash.
fn split_authority(text: &str) -> Result<(&str, &str), UrlError> {
    let text = text.strip_prefix("//").ok_or(UrlError::Host)?;
    let end = text.find('/').unwrap_or(text.len());
    let (authority, path) = text.split_at_checked(end).ok_or(UrlError::Host)?;
    if is_authority(authority) { Ok((authority, path)) } else { Err(UrlError::Host) }
}

/// Whether `text` is a host name or address, with a port or not. No user, no escapes.
fn is_authority(text: &str) -> bool {
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let is_address = |octet: u8| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.');
    let (sound, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, port)) => (!address.is_empty() && address.bytes().all(is_address), port),
        None => {
            let (name, port) =
                text.split_at_checked(text.find(':').unwrap_or(text.len())).unwrap_or((text, ""));
            (!name.is_empty() && name.bytes().all(is_name), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or("0");
    let has_port = port.is_empty() || port.starts_with(':');
    sound && has_port && !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// What is behind the scheme of a URL such as `urn:a:b`: kept as it is.
fn opaque(text: &str) -> Result<&str, UrlError> {
    match text {
        "" => Err(UrlError::Host),
        _ if !text.is_ascii() => Err(UrlError::NotAscii),
        _ => Ok(text),
    }
}

/// Escapes a part as Go does, or refuses it where a plainer text becomes the same.
fn escape(text: &str, part: Part) -> Result<Cow<'_, str>, UrlError> {
    if !are_escapes_whole(text) {
        return Err(UrlError::Escape);
    }
    let kept = text.bytes().all(|octet| part.keeps(octet));
    match (kept, text.contains('%')) {
        (true, false) => Ok(Cow::Borrowed(text)),
        (false, false) => Ok(Cow::Owned(part.escaped(text.as_bytes()))),
        // What is not kept is unescaped first and escaped afresh: "a b%41" becomes "a%20bA".
        (false, true) => Err(UrlError::Shared),
        (true, true) if part.has_plain_twin(text) => Err(UrlError::Shared),
        (true, true) => Ok(Cow::Borrowed(text)),
    }
}

impl Part {
    /// Whether Go leaves an octet alone in a part in which it leaves all octets alone.
    fn keeps(self, octet: u8) -> bool {
        !self.escapes(octet) || b"!$&'()*+,;=:@[]%".contains(&octet)
    }

    /// Whether Go escapes an octet in a part that it escapes afresh.
    fn escapes(self, octet: u8) -> bool {
        match octet {
            b'-' | b'_' | b'.' | b'~' => false,
            b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => false,
            b'?' | b'!' | b'(' | b')' | b'*' => self != Self::Fragment,
            _ => !octet.is_ascii_alphanumeric(),
        }
    }

    fn escaped(self, octets: &[u8]) -> String {
        let mut text = String::with_capacity(octets.len());
        for octet in octets {
            if self.escapes(*octet) {
                text.push_str(&format!("%{octet:02X}"));
            } else {
                text.push(char::from(*octet));
            }
        }
        text
    }

    /// Whether a text without escapes becomes `escaped`, too.
    fn has_plain_twin(self, escaped: &str) -> bool {
        let Ok(plain) = String::from_utf8(unescape(escaped.as_bytes())) else { return false };
        let ends_the_part = self == Self::Path && plain.contains(['?', '#']);
        let possible = !ends_the_part && !plain.contains('%') && !plain.contains(char::is_control);
        possible
            && !plain.bytes().all(|octet| self.keeps(octet))
            && self.escaped(plain.as_bytes()) == escaped
    }
}

/// Undoes escapes, which must be whole.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let digit =
            |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escape = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low, behind))
            }
            _ => None,
        };
        let (octet, behind) = escape.unwrap_or((*first, behind));
        octets.push(octet);
        rest = behind;
    }
    octets
}

#[cfg(test)]
mod tests;
