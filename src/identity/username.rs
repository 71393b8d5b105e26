//! A name in `sub`, written `sub!domain` in the certificate.

use super::{Identity, IdentityError, San, email};
use crate::quote::is_visible;
use crate::token::Claims;

/// The identity of a user of `domain`.
pub(super) fn identity(claims: &Claims, domain: &str) -> Result<Identity, IdentityError> {
    let subject = claims.sub();
    if email::looks_like_address(subject) {
        return Err(IdentityError::SubjectIsEmail { subject: subject.to_owned() });
    }
    // Attack: "alice!good.example" at another domain would read as Alice's of good.example, and "alice "
    // or "alice\u{200b}" as Alice's of this one.
    let is_spaced = subject.trim() != subject;
    if subject.contains('!') || is_spaced || !subject.chars().all(is_visible) {
        let wanted =
            "a user name: without `!`, invisible characters, or a space at the beginning or end";
        return Err(IdentityError::SubjectInvalid { subject: subject.to_owned(), wanted });
    }
    Ok(Identity::new(claims, San::Username(format!("{subject}!{domain}"))))
}
