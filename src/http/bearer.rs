//! The token of a request that has none in its body: Fulcio's rules, quirks included.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use axum::http::request::Parts;

/// The metadata key in which Fulcio's gateway hands the token on.
pub const METADATA: &str = "oidcidentitytoken";

const SMUGGLED: HeaderName = HeaderName::from_static("grpc-metadata-oidcidentitytoken");

/// The `Authorization` header, unread.
pub struct Bearer(Option<HeaderValue>);

impl Bearer {
    /// The header without the first `Bearer ` in it, wherever that stands: a bare token works, other
    /// schemes do not. Empty when there is none.
    pub fn token(&self) -> String {
        let header = self.0.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()));
        header.map(|header| header.replacen("Bearer ", "", 1)).unwrap_or_default()
    }
}

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Upstream hands on both and then takes neither.
        let two = parts.headers.contains_key(SMUGGLED);
        Ok(Self(parts.headers.get(AUTHORIZATION).filter(|_| !two).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, token: &str) {
        assert_eq!(Bearer(Some(HeaderValue::from_str(header).unwrap())).token(), token);
    }

    #[test]
    fn only_the_first_bearer_is_dropped() {
        check("Bearer a.b.c", "a.b.c");
        check("a.b.c", "a.b.c");
        check("Bearer Bearer a.b.c", "Bearer a.b.c");
        check("bearer a.b.c", "bearer a.b.c");
        check("Basic a.b.c", "Basic a.b.c");
        check("Bearer ", "");
    }
}
