//! Fulcio's first HTTP API: JSON in, PEM out, the token in the `Authorization` header alone.
//!
//! ```text
//! POST /api/v1/signingCert
//! {"publicKey":{"content":"base64 of PEM or DER"},"signedEmailAddress":"base64"}
//! 201 -----BEGIN CERTIFICATE-----…
//! ```

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::authority::{IssueError, Request};
use crate::possession::{PossessionError, Proof};

use super::App;
use super::answers;
use super::bearer::Bearer;
use super::body::Json;
use super::envelope::Sender;
use super::problem::Problem;
use super::protojson::{Base64, Message};

/// `CreateSigningCertificateRequest` of version 1: three fields, none excluding another.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    public_key: Option<Message<PublicKey>>,
    signed_email_address: Option<Base64>,
    certificate_signing_request: Option<Base64>,
}

#[derive(Debug, Default, Deserialize)]
struct PublicKey {
    #[serde(rename = "algorithm")]
    _algorithm: Option<String>,
    content: Option<Base64>,
}

/// Exchanges a token and a proof of possession for a certificate.
pub(super) async fn signing_cert(
    State(app): State<App>,
    Sender(caller): Sender,
    bearer: Bearer,
    Json(request): Json<CreateRequest>,
) -> Result<Response, Problem> {
    let proof = proof(request)?;
    let issued = app.issue(Request { token: bearer.token(), proof, caller }).await?;
    let chain = answers::pem(app.shared.answers.v1(&issued));
    Ok((StatusCode::CREATED, chain).into_response())
}

/// A signing request wins over a key that stands beside it.
fn proof(request: CreateRequest) -> Result<Proof, Problem> {
    if let Some(Base64(csr)) = request.certificate_signing_request.filter(|csr| !csr.0.is_empty()) {
        return Ok(Proof::Csr(csr));
    }
    // A quirk of upstream's: this is said before the token is looked at.
    let missing = IssueError::from(PossessionError::KeyMissing);
    let Message(key) = request.public_key.ok_or(missing)?;
    let Base64(key) = key.content.unwrap_or_default();
    let Base64(signature) = request.signed_email_address.unwrap_or_default();
    Ok(Proof::SignedChallenge { key, signature })
}

/// Yields the whole chain, for all that the route's name says.
pub(super) async fn root_cert(State(app): State<App>) -> Response {
    answers::pem(app.shared.answers.bundle().pem.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protojson::read;
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<Proof>) {
        assert_eq!(proof(read::<CreateRequest>(body.as_bytes()).unwrap()).ok(), expected);
    }

    #[test]
    fn a_signing_request_wins() {
        let key =
            r#""publicKey":{"algorithm":"ecdsa","content":"YQ=="},"signedEmailAddress":"Yg==""#;
        let signed = Proof::SignedChallenge { key: b"a".to_vec(), signature: b"b".to_vec() };
        check(&format!("{{{key}}}"), Some(signed.clone()));
        check(&format!(r#"{{{key},"certificateSigningRequest":null}}"#), Some(signed.clone()));
        check(&format!(r#"{{{key},"certificateSigningRequest":""}}"#), Some(signed));
        check(
            &format!(r#"{{{key},"certificateSigningRequest":"Yw"}}"#),
            Some(Proof::Csr(b"c".to_vec())),
        );
        check("{}", None);
        check(r#"{"signedEmailAddress":"Yg=="}"#, None);
    }

    proptest! {
        #[test]
        fn never_panics(body: Vec<u8>) {
            let _ = read::<CreateRequest>(&body);
        }
    }
}
