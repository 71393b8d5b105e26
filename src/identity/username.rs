//! A name in `sub`, written `sub!domain` in the certificate.

use super::{Identity, IdentityError, San, email};
use crate::token::Claims;

/// The identity of a user of `domain`.
pub(super) fn identity(claims: &Claims, domain: &str) -> Result<Identity, IdentityError> {
    let subject = claims.sub();
    if email::looks_like_address(subject) {
        return Err(IdentityError::SubjectIsEmail { subject: subject.to_owned() });
    }
    // Attack: "alice!good.example" at another domain would read as Alice's of good.example.
    if subject.contains('!') || subject.chars().any(char::is_control) || subject.trim().is_empty() {
        let wanted = "a user name: not blank, without `!` and without control characters";
        return Err(IdentityError::SubjectInvalid { subject: subject.to_owned(), wanted });
    }
    Ok(Identity::new(claims, San::Username(format!("{subject}!{domain}"))))
}
