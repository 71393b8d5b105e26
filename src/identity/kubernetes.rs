//! A Kubernetes service account: claim `kubernetes.io`, an object.
//!
//! ```text
//! { "kubernetes.io": { "namespace": "builds", "serviceaccount": { "name": "signer" } } }
//!   → https://kubernetes.io/namespaces/builds/serviceaccounts/signer
//! ```

use serde_json::Value;

use super::{Identity, IdentityError, San, missing, optional_text, wrong_type};
use crate::token::Claims;

const CLAIM: &str = "kubernetes.io";

/// The longest name of a namespace, in octets: RFC 1123 §2.1.
const MAX_LABEL: usize = 63;

/// The longest name of a service account, in octets.
const MAX_NAME: usize = 253;

/// The identity of a service account.
pub(super) fn identity(claims: &Claims) -> Result<Identity, IdentityError> {
    let kubernetes = claims.get(CLAIM).filter(|claim| !claim.is_null());
    let kubernetes = object(kubernetes, CLAIM)?;
    let account = kubernetes.get("serviceaccount").filter(|account| !account.is_null());
    let account = object(account, "kubernetes.io.serviceaccount")?;

    let namespace = name(kubernetes.get("namespace"), "kubernetes.io.namespace", is_label)?;
    let account = name(account.get("name"), "kubernetes.io.serviceaccount.name", is_subdomain)?;
    let uri = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}");
    Ok(Identity::new(claims, San::Uri(uri)))
}

fn object<'c>(
    value: Option<&'c Value>,
    path: &str,
) -> Result<&'c serde_json::Map<String, Value>, IdentityError> {
    let value = value.ok_or_else(|| missing(path))?;
    value.as_object().ok_or_else(|| wrong_type(path, "an object", value))
}

fn name<'c>(
    value: Option<&'c Value>,
    path: &str,
    is_name: fn(&str) -> bool,
) -> Result<&'c str, IdentityError> {
    let text = optional_text(value, path)?.ok_or_else(|| missing(path))?;
    // Attack: with a `/` in it, one namespace could write the name of an account in another.
    if is_name(text) {
        return Ok(text);
    }
    Err(IdentityError::ClaimValue {
        name: path.to_owned(),
        wanted: "a Kubernetes name (lower-case letters, digits, `-`)".to_owned(),
        value: text.to_owned(),
    })
}

/// Whether `text` is a DNS label in lower case.
fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_labels(text) && !text.contains('.')
}

/// Whether `text` is DNS labels in lower case with dots between.
fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_NAME && is_labels(text)
}

fn is_labels(text: &str) -> bool {
    let is_end = |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    text.split('.').map(str::as_bytes).all(|label| {
        label.first().is_some_and(is_end)
            && label.last().is_some_and(is_end)
            && label.iter().all(|octet| is_end(octet) || *octet == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_labels_and_accounts_may_have_dots() {
        assert!(is_label("builds-2") && is_subdomain("builds-2"));
        assert!(!is_label("a.b") && is_subdomain("a.b"));
        for text in
            ["", "A", "a_b", "-a", "a-", "a/b", "a b", "ä", "a..b", ".a", "a.", "a\n", "a.-b"]
        {
            assert!(!is_label(text) && !is_subdomain(text), "{text:?}");
        }
        assert!(is_label(&"a".repeat(63)) && !is_label(&"a".repeat(64)));
        assert!(is_subdomain(&"a".repeat(253)) && !is_subdomain(&"a".repeat(254)));
    }
}
