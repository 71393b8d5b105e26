//! CI jobs: a provider's templates turn claims into SAN and extensions.
//!
//! ```text
//! { "job_workflow_ref": "acme/app/.github/workflows/ci.yml@refs/heads/main", "run_id": "7", … }
//!   → SAN https://github.com/acme/app/.github/workflows/ci.yml@refs/heads/main
//!     .21 https://github.com/acme/app/actions/runs/7/attempts/1   …
//! ```

use std::borrow::Cow;

use serde_json::Value;

use super::{
    Identity, IdentityError, MAX_EXTENSION, MAX_SAN, SAN, San, missing, older, url, wrong_type,
};
use crate::extensions::Extension;
use crate::issuer::Provider;
use crate::template::{RenderError, Template};
use crate::token::Claims;
use crate::token::number::Digits;

/// The identity of a job.
pub(super) fn identity(claims: &Claims, provider: &Provider) -> Result<Identity, IdentityError> {
    for name in &provider.required {
        let value = value(claims, provider, name)?;
        value.filter(|value| !value.is_empty()).ok_or_else(|| missing(name))?;
    }
    if let Some(older) = provider.older {
        older::check(claims, older)?;
    }
    check_values(claims, provider)?;
    let mut identity = Identity::new(claims, San::Uri(san(claims, provider)?));
    for (extension, template) in &provider.extensions {
        if from_the_token(*extension) {
            continue;
        }
        let text = render(claims, provider, template, (extension.name(), MAX_EXTENSION))?;
        let is_joined =
            provider.older.is_some_and(|older| older.joined.contains(&extension.name()));
        let text = if is_joined { join(text)? } else { text };
        identity.extensions.set(*extension, text);
    }
    Ok(identity)
}

/// Checks the claims of which not every value will do.
///
/// Attack: a template's `else` takes whatever it was not written for, and a claim that begins a URL
/// chooses its host.
fn check_values(claims: &Claims, provider: &Provider) -> Result<(), IdentityError> {
    let refused = |name: &String, wanted: String, value: Cow<'_, str>| {
        Err(IdentityError::ClaimValue { name: name.clone(), wanted, value: value.into_owned() })
    };
    for (name, choices) in &provider.choices {
        let Some(value) = value(claims, provider, name)? else { continue };
        if !choices.iter().any(|choice| *choice == value) {
            return refused(name, choices.join(" or "), value);
        }
    }
    for (name, beginning) in &provider.starts_with {
        let Some(value) = value(claims, provider, name)? else { continue };
        if !value.starts_with(beginning.as_str()) {
            return refused(name, format!("text that begins with {beginning}"), value);
        }
    }
    Ok(())
}

fn san(claims: &Claims, provider: &Provider) -> Result<String, IdentityError> {
    let text = match &provider.san {
        Some(template) => render(claims, provider, template, (SAN, MAX_SAN))?,
        None => String::new(),
    };
    if text.trim().is_empty() {
        return Err(IdentityError::SanEmpty { provider: provider.name.clone() });
    }
    if provider.older.is_some_and(|older| older.san_joined) {
        return join(text);
    }
    url::whole(&text).map_err(|error| IdentityError::Url { url: text, error })
}

fn join(text: String) -> Result<String, IdentityError> {
    url::joined(&text).map_err(|error| IdentityError::Url { url: text, error })
}

/// Whether an extension says what the token says, whatever a template says.
fn from_the_token(extension: Extension) -> bool {
    [Extension::ISSUER_V1, Extension::ISSUER, Extension::SUBJECT].contains(&extension)
}

/// Renders the text of a part of the certificate; `part` is its name and the octets that it may have.
fn render(
    claims: &Claims,
    provider: &Provider,
    template: &Template,
    (part, limit): (&'static str, usize),
) -> Result<String, IdentityError> {
    template.render(&mut |name| value(claims, provider, name)).map_err(|error| match error {
        RenderError::Missing(name) => missing(&name),
        RenderError::TooLong => IdentityError::TooLong { part, limit },
        RenderError::Lookup(error) => error,
    })
}

/// What a template reads under a name: a constant, else a claim, else a default.
///
/// Attack: Fulcio lets claims win over everything it is configured with, so a token with a claim
/// `url` chooses the host in its own certificate. What no provider documents as a claim is a constant.
fn value<'v>(
    claims: &'v Claims,
    provider: &'v Provider,
    name: &str,
) -> Result<Option<Cow<'v, str>>, IdentityError> {
    let named = |pairs: &'v [(String, String)]| {
        pairs.iter().find(|(known, _)| known == name).map(|(_, text)| Cow::Borrowed(text.as_str()))
    };
    if let Some(constant) = named(&provider.constants) {
        return Ok(Some(constant));
    }
    let claim = claims.get(name).map(|claim| claim_text(name, claim)).transpose()?.flatten();
    Ok(claim.or_else(|| named(&provider.defaults)))
}

/// A claim as text; null and the empty string count as absent.
fn claim_text<'c>(name: &str, claim: &'c Value) -> Result<Option<Cow<'c, str>>, IdentityError> {
    let text = match claim {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text.as_str())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Number(number) => match Digits::of(number) {
            digits if digits.is_whole() => Some(Cow::Owned(digits.as_str().to_owned())),
            _ => return Err(unusable(name, claim)),
        },
        Value::Array(_) | Value::Object(_) => return Err(unusable(name, claim)),
    };
    Ok(text.filter(|text| !text.is_empty()))
}

fn unusable(name: &str, claim: &Value) -> IdentityError {
    wrong_type(name, "text, a whole number or a boolean", claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<Option<&str>, &'static str>) {
        let claim: Value = serde_json::from_str(json).unwrap();
        let expected = expected.map_err(|found| IdentityError::ClaimType {
            name: "c".to_owned(),
            wanted: "text, a whole number or a boolean",
            found,
        });
        assert_eq!(claim_text("c", &claim), expected.map(|text| text.map(Cow::Borrowed)), "{json}");
    }

    #[test]
    fn claims_as_text() {
        check("\"a\"", Ok(Some("a")));
        check("\"\"", Ok(None));
        check("null", Ok(None));
        check("true", Ok(Some("true")));
        check("false", Ok(Some("false")));
        check("0", Ok(Some("0")));
        check("-3", Ok(Some("-3")));
        check("1.0", Ok(Some("1")));
        check("-0.0", Ok(Some("0")));
        check("1e3", Ok(Some("1000")));
        check("18446744073709551615", Ok(Some("18446744073709551615")));
        check("9007199254740993", Ok(Some("9007199254740993")));
        check("9007199254740992.0", Ok(Some("9007199254740992")));
        check("1.5", Err("a number that is not whole or too large"));
        check("1e300", Err("a number that is not whole or too large"));
        check("123456789012345678901", Err("a number that is not whole or too large"));
        check("[]", Err("an array"));
        check("{}", Err("an object"));
    }
}
