//! Fulcio's second HTTP API: JSON in, JSON out.
//!
//! ```text
//! POST /api/v2/signingCert
//! {"credentials":{"oidcIdentityToken":"…"},
//!  "publicKeyRequest":{"publicKey":{"content":"-----BEGIN PUBLIC KEY-----…"},"proofOfPossession":"base64"}}
//! 200 {"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----…",…]}}}
//! ```

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::authority::Request;
use crate::possession::Proof;

use super::App;
use super::answers;
use super::bearer::Bearer;
use super::body::Json;
use super::envelope::Sender;
use super::problem::Problem;
use super::protojson::{Base64, Ignored, Message};

/// `CreateSigningCertificateRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRequest {
    credentials: Option<Message<Credentials>>,
    #[serde(alias = "public_key_request")]
    public_key_request: Option<Message<PublicKeyRequest>>,
    #[serde(alias = "certificate_signing_request")]
    certificate_signing_request: Option<Base64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    #[serde(alias = "oidc_identity_token")]
    oidc_identity_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    #[serde(alias = "public_key")]
    public_key: Option<Message<PublicKey>>,
    #[serde(alias = "proof_of_possession")]
    proof_of_possession: Option<Base64>,
}

#[derive(Debug, Default, Deserialize)]
struct PublicKey {
    #[serde(rename = "algorithm")]
    _algorithm: Option<Ignored>,
    content: Option<String>,
}

/// Exchanges a token and a proof of possession for a certificate.
pub(super) async fn signing_cert(
    State(app): State<App>,
    Sender(caller): Sender,
    bearer: Bearer,
    Json(request): Json<CreateRequest>,
) -> Result<Response, Problem> {
    let proof = proof(request.public_key_request, request.certificate_signing_request)?;
    let token = request.credentials.and_then(|Message(c)| c.oidc_identity_token);
    let token = token.filter(|token| !token.is_empty()).unwrap_or_else(|| bearer.token());
    let issued = app.issue(Request { token, proof, caller }).await?;
    Ok(answers::json(app.shared.answers.v2(&issued)))
}

/// The members of the one oneof. Without any, the key is missing, which is said once the token held.
fn proof(key: Option<Message<PublicKeyRequest>>, csr: Option<Base64>) -> Result<Proof, Problem> {
    match (key, csr) {
        (Some(_), Some(_)) => Err(Problem::malformed(
            "the request has both publicKeyRequest and certificateSigningRequest; send one of them",
        )),
        (None, Some(Base64(csr))) => Ok(Proof::Csr(csr)),
        (key, None) => {
            let Message(key) = key.unwrap_or_default();
            let content = key.public_key.and_then(|Message(key)| key.content).unwrap_or_default();
            let Base64(signature) = key.proof_of_possession.unwrap_or_default();
            Ok(Proof::SignedChallenge { key: content.into_bytes(), signature })
        }
    }
}

/// Yields the chains that certificates end in.
pub(super) async fn trust_bundle(State(app): State<App>) -> Response {
    answers::json(app.shared.answers.bundle().json.clone())
}

/// Yields the token issuers that are trusted.
pub(super) async fn configuration(State(app): State<App>) -> Response {
    answers::json(app.shared.answers.configuration(&app.authority).json.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::protojson::read;
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<Proof>) {
        let request = read::<CreateRequest>(body.as_bytes()).unwrap();
        let proof = proof(request.public_key_request, request.certificate_signing_request);
        assert_eq!(proof.ok(), expected);
    }

    fn signed(key: &str, signature: &str) -> Option<Proof> {
        let (key, signature) = (key.as_bytes().to_vec(), signature.as_bytes().to_vec());
        Some(Proof::SignedChallenge { key, signature })
    }

    #[test]
    fn reads_the_oneof() {
        let key = r#""publicKeyRequest":{"publicKey":{"algorithm":"RSA","content":"PEM"},"proofOfPossession":"YQ=="}"#;
        let snake =
            r#""public_key_request":{"public_key":{"content":"PEM"},"proof_of_possession":"YQ"}"#;
        check(&format!("{{{key}}}"), signed("PEM", "a"));
        check(&format!("{{{snake}}}"), signed("PEM", "a"));
        check(&format!(r#"{{{key},"certificateSigningRequest":null}}"#), signed("PEM", "a"));
        check(r#"{"certificateSigningRequest":"YQ=="}"#, Some(Proof::Csr(b"a".to_vec())));
        check(r#"{"certificate_signing_request":""}"#, Some(Proof::Csr(vec![])));
        check("{}", signed("", ""));
        check(r#"{"publicKeyRequest":{}}"#, signed("", ""));
        check(&format!(r#"{{{key},"certificateSigningRequest":"YQ=="}}"#), None);
    }

    proptest! {
        #[test]
        fn never_panics(body: Vec<u8>) {
            let _ = read::<CreateRequest>(&body);
        }
    }
}
