//! People, by e-mail address.
//!
//! Claims: `email`, `email_verified`; optionally one that stands for `iss` in the certificate.

use serde_json::Value;

use super::{Identity, IdentityError, San, missing, text, wrong_type};
use crate::issuer::ClaimPath;
use crate::quote::is_visible;
use crate::token::Claims;

/// The longest address, in octets: RFC 5321 §4.5.3.1.3 without the angle brackets.
const MAX_ADDRESS: usize = 254;

/// The longest issuer behind the issuer, in octets: as long as an issuer's URL may be.
const MAX_ISSUER: usize = 512;

/// The identity of an address that the issuer has verified.
pub(super) fn verified(
    claims: &Claims,
    issuer_claim: Option<&ClaimPath>,
) -> Result<Identity, IdentityError> {
    let email = text(claims, "email")?;
    if !is_verified(claims)? {
        return Err(IdentityError::EmailUnverified { email: email.to_owned() });
    }
    identity(claims, issuer_claim)
}

/// The identity of an address whose issuer is trusted without `email_verified`.
pub(super) fn unverified(
    claims: &Claims,
    issuer_claim: Option<&ClaimPath>,
) -> Result<Identity, IdentityError> {
    // Quirk: what is no answer to the question refuses even where the answer would not matter.
    is_verified(claims)?;
    identity(claims, issuer_claim)
}

fn identity(claims: &Claims, issuer_claim: Option<&ClaimPath>) -> Result<Identity, IdentityError> {
    let email = text(claims, "email")?;
    if !is_address(email) {
        return Err(IdentityError::EmailInvalid { email: email.to_owned() });
    }
    let issuer = match issuer_claim {
        Some(path) => claimed_issuer(claims, path)?,
        None => claims.iss(),
    };
    let identity = Identity::new(claims, San::Email(email.to_owned()));
    Ok(identity.issued_by(issuer).challenged_by(email))
}

/// `email_verified`: true or false, some issuers write it as text; absent is false.
pub(super) fn is_verified(claims: &Claims) -> Result<bool, IdentityError> {
    let wanted = "true or false";
    match claims.get("email_verified") {
        None => Ok(false),
        Some(Value::Bool(verified)) => Ok(*verified),
        Some(Value::String(text)) => match text.as_str() {
            "true" | "True" => Ok(true),
            "false" | "False" => Ok(false),
            other => Err(IdentityError::ClaimValue {
                name: "email_verified".to_owned(),
                wanted: wanted.to_owned(),
                value: other.to_owned(),
            }),
        },
        Some(other) => Err(wrong_type("email_verified", wanted, other)),
    }
}

/// The issuer behind the issuer: Dex names the connector that it got the person from.
fn claimed_issuer<'c>(claims: &'c Claims, path: &ClaimPath) -> Result<&'c str, IdentityError> {
    let name = path.0.join(".");
    match path.find(claims.members()) {
        Some(Value::String(issuer)) if is_issuer(issuer) => Ok(issuer),
        Some(Value::String(issuer)) if !issuer.is_empty() => Err(IdentityError::ClaimValue {
            name,
            wanted: format!("text of at most {MAX_ISSUER} octets without invisible characters"),
            value: issuer.clone(),
        }),
        None | Some(Value::Null | Value::String(_)) => Err(missing(&name)),
        Some(other) => Err(wrong_type(&name, "text", other)),
    }
}

fn is_issuer(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ISSUER && text.chars().all(is_visible)
}

/// Whether a certificate can hold `text` as an address.
fn is_address(text: &str) -> bool {
    text.is_ascii() && text.len() <= MAX_ADDRESS && looks_like_address(text)
}

/// Whether `text` is a dot-atom, `@`, and two domain labels or more, with a dot at the end or not.
/// Characters outside ASCII count as letters.
///
/// Spec: RFC 5322 §3.4.1 without quoted strings, address literals and comments; RFC 6531 §3.3.
pub(super) fn looks_like_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| is_dot_atom(local) && is_domain(domain))
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c >= '\u{a0}'
}

fn is_letter_or_digit(c: char) -> bool {
    is_letter(c) || c.is_ascii_digit()
}

fn is_dot_atom(text: &str) -> bool {
    let is_atext = |c: char| is_letter_or_digit(c) || "!#$%&'*+-/=?^_`{|}~".contains(c);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((labels, top)) = text.rsplit_once('.') else { return false };
    labels.split('.').all(|label| is_label(label, is_letter_or_digit)) && is_label(top, is_letter)
}

/// Whether a label begins and ends as it must, with letters, digits, `-`, `_`, `~` between.
fn is_label(label: &str, is_end: fn(char) -> bool) -> bool {
    label.starts_with(is_end)
        && label.ends_with(is_end)
        && label.chars().all(|c| is_letter_or_digit(c) || matches!(c, '-' | '_' | '~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(is_address(text), expected, "{text:?}");
    }

    #[test]
    fn addresses() {
        check("A@B.com", true);
        check("a@b.c", true);
        check("a.b+c@x.example.com", true);
        check("a@b_c.com", true);
        check("a@b.com.", true);
        check("a!b@c.com", true);
        check("sub|123@c.com", true);
        check("o'neil@b.com", true);
        check("a@xn--bcker-gra.example", true);
    }

    #[test]
    fn other_text() {
        for text in [
            "",
            "@",
            "a@b",
            "a@@b.com",
            "a@b@c.com",
            "a@b..com",
            "a@.b.com",
            ".a@b.com",
            "a.@b.com",
            "a..b@c.com",
            "\"a b\"@c.com",
            "\"ab\"@c.com",
            "a b@c.com",
            " a@b.com",
            "a@b.com ",
            "a@b.com\n",
            "a\n@b.com",
            "a@b.com\0",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            "a@b.c1",
            "a@-b.com",
            "a@b-.com",
            "a@b.-c.com",
            "a@b.com..",
            "ä@b.com",
            "a@bäcker.example",
            "a<b>@c.com",
            "https://a@b.com",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn letters_are_those_of_every_script() {
        assert!(looks_like_address("ä@b.com") && !is_address("ä@b.com"));
        assert!(looks_like_address("a@bäcker.example") && !is_address("a@bäcker.example"));
        assert!(!looks_like_address("a\u{85}@b.com"));
    }

    #[test]
    fn an_address_has_254_octets_at_most() {
        let address = |length: usize| format!("{}@b.com", "a".repeat(length - 6));
        check(&address(254), true);
        check(&address(255), false);
    }

    proptest! {
        #[test]
        fn an_address_is_visible_ascii(text in "[ -~]{0,3}@?\\PC{0,6}\\.com") {
            prop_assert!(!is_address(&text) || text.bytes().all(|octet| octet.is_ascii_graphic()));
        }
    }
}
