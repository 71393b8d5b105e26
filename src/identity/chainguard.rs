//! A Chainguard identity: the issuer's URL with `sub` as path.

use serde_json::{Map, Value};

use super::{Identity, IdentityError, San, email, optional_text, url, wrong_type};
use crate::token::Claims;

/// The identity of a Chainguard subject; the challenge is `email` where there is one.
pub(super) fn identity(claims: &Claims) -> Result<Identity, IdentityError> {
    check_actor(claims.get("act"))?;
    check_internal(claims.get("internal"))?;

    let text = format!("{}/{}", claims.iss().trim_end_matches('/'), clean(claims.sub())?);
    let uri = url::joined(&text).map_err(|error| IdentityError::Url { url: text, error })?;
    let identity = Identity::new(claims, San::Uri(uri));

    let Some(email) = optional_text(claims.get("email"), "email")? else { return Ok(identity) };
    if email::is_verified(claims)? {
        return Ok(identity.challenged_by(email));
    }
    Err(IdentityError::EmailUnverified { email: email.to_owned() })
}

/// The path that Fulcio makes of `sub`: without empty segments, `.` and `..`.
///
/// Quirk: subjects that differ in those alone share a name; extension .24 keeps them apart.
/// Attack: a `..` more than there are segments before it would climb into the issuer's own path.
fn clean(subject: &str) -> Result<String, IdentityError> {
    let wanted = "a path below its issuer";
    let invalid = || IdentityError::SubjectInvalid { subject: subject.to_owned(), wanted };
    let mut segments = Vec::new();
    for segment in subject.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop().ok_or_else(invalid)?),
            name => segments.push(name),
        }
    }
    let end = if subject.ends_with('/') { "/" } else { "" };
    if segments.is_empty() { Err(invalid()) } else { Ok(segments.join("/") + end) }
}

/// `act`: who acts for whom, an object of texts.
fn check_actor(actor: Option<&Value>) -> Result<(), IdentityError> {
    for (name, value) in object(actor, "act")?.into_iter().flatten() {
        optional_text(Some(value), &format!("act.{name}"))?;
    }
    Ok(())
}

/// `internal.service-principal`: a text.
fn check_internal(internal: Option<&Value>) -> Result<(), IdentityError> {
    let principal =
        object(internal, "internal")?.and_then(|object| object.get("service-principal"));
    optional_text(principal, "internal.service-principal").map(drop)
}

fn object<'c>(
    value: Option<&'c Value>,
    name: &str,
) -> Result<Option<&'c Map<String, Value>>, IdentityError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(other) => Err(wrong_type(name, "an object", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subject: &str, expected: Option<&str>) {
        assert_eq!(clean(subject).ok().as_deref(), expected, "{subject}");
    }

    #[test]
    fn subjects_stay_below_their_issuer() {
        check("0123/abcd", Some("0123/abcd"));
        check("a//b/../c", Some("a/c"));
        check("/a/./b/", Some("a/b/"));
        check("..", None);
        check("a/../..", None);
        check("a/../../b", None);
        check("a/..", None);
        check("/", None);
        check(".", None);
    }
}
