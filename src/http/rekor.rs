//! Rekor's second HTTP API, as far as it writes: a signature in, its place in the log out.
//!
//! ```text
//! POST /api/v2/log/entries
//! {"hashedRekordRequestV002":{"digest":"base64","signature":{"content":"base64",
//!    "verifier":{"x509Certificate":{"rawBytes":"base64"},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}
//! 201 {"logIndex":"1","logId":{…},"kindVersion":{…},…,"inclusionProof":{…},"canonicalizedBody":"base64"}
//! ```
//!
//! Unlike Fulcio's, Rekor's gateway refuses fields that it does not know. What is answered has every field,
//! empty ones too, which some clients insist on. Whoever sends the same again gets the entry that there is.
//!
//! Spec: rekor-tiles `api/proto/rekor/v2`; protobuf-specs, `sigstore_rekor.proto`.

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::record::Caller;
use crate::rekor::{self, Envelope, Material, RekorError, Signature, Verifier};
use crate::signatures::{Logged, SignatureError};
use crate::tlog::merkle::Hash;

use super::App;
use super::answers;
use super::body;
use super::envelope::Sender;
use super::problem::Problem;
use super::protojson::{self, Base64, Message, Named};

/// `CreateEntryRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateEntry {
    #[serde(alias = "hashed_rekord_request_v002")]
    hashed_rekord_request_v002: Option<Message<HashedRekordJson>>,
    #[serde(alias = "dsse_request_v002")]
    dsse_request_v002: Option<Message<DsseJson>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HashedRekordJson {
    digest: Option<Base64>,
    signature: Option<Message<SignatureJson>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DsseJson {
    envelope: Option<Message<EnvelopeJson>>,
    #[serde(default, deserialize_with = "protojson::few")]
    verifiers: Option<Vec<Message<VerifierJson>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignatureJson {
    content: Option<Base64>,
    verifier: Option<Message<VerifierJson>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerifierJson {
    #[serde(alias = "public_key")]
    public_key: Option<Message<BytesJson>>,
    #[serde(alias = "x509_certificate")]
    x509_certificate: Option<Message<BytesJson>>,
    #[serde(alias = "key_details")]
    key_details: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BytesJson {
    #[serde(alias = "raw_bytes")]
    raw_bytes: Option<Base64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnvelopeJson {
    payload: Option<Base64>,
    payload_type: Option<String>,
    #[serde(default, deserialize_with = "protojson::few")]
    signatures: Option<Vec<Message<EnvelopeSignatureJson>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignatureJson {
    sig: Option<Base64>,
    #[serde(rename = "keyid")]
    _keyid: Option<String>,
}

impl CreateEntry {
    /// What is asked for, as far as it is there.
    fn into_request(self) -> Result<rekor::Request, Problem> {
        match (self.hashed_rekord_request_v002, self.dsse_request_v002) {
            (Some(_), Some(_)) => Err(Problem::malformed(
                "the request has both hashedRekordRequestV002 and dsseRequestV002; send one of them",
            )),
            (None, None) => Err(RekorError::Missing("hashedRekordRequestV002").into()),
            (Some(Message(request)), None) => {
                let Message(signature) =
                    request.signature.ok_or(RekorError::Missing("signature"))?;
                let verifier =
                    signature.verifier.ok_or(RekorError::Missing("signature.verifier"))?;
                let content = octets(signature.content);
                let signature = Signature { content, verifier: verifier.0.into_verifier()? };
                Ok(rekor::Request::HashedRekord { digest: octets(request.digest), signature })
            }
            (None, Some(Message(request))) => {
                let Message(envelope) = request.envelope.ok_or(RekorError::Missing("envelope"))?;
                let verifiers = request.verifiers.unwrap_or_default().into_iter();
                let verifiers = verifiers.map(|Message(verifier)| verifier.into_verifier());
                let signatures = envelope.signatures.unwrap_or_default().into_iter();
                let envelope = Envelope {
                    payload_type: envelope.payload_type.unwrap_or_default(),
                    payload: octets(envelope.payload),
                    signatures: signatures
                        .map(|Message(signature)| octets(signature.sig))
                        .collect(),
                };
                let verifiers = verifiers.collect::<Result<_, _>>()?;
                Ok(rekor::Request::Dsse { envelope, verifiers })
            }
        }
    }
}

impl VerifierJson {
    fn into_verifier(self) -> Result<Verifier, Problem> {
        let material = match (self.public_key, self.x509_certificate) {
            (Some(_), Some(_)) => {
                return Err(Problem::malformed(
                    "the verifier has both publicKey and x509Certificate; send one of them",
                ));
            }
            (None, None) => return Err(RekorError::Missing("verifier").into()),
            (Some(Message(key)), None) => Material::PublicKey(octets(key.raw_bytes)),
            (None, Some(Message(certificate))) => {
                Material::Certificate(octets(certificate.raw_bytes))
            }
        };
        let key_details = self.key_details.map(|Named(name)| name).unwrap_or_default();
        Ok(Verifier { material, key_details })
    }
}

fn octets(field: Option<Base64>) -> Vec<u8> {
    field.map(|Base64(octets)| octets).unwrap_or_default()
}

/// A request that came as JSON and says so.
pub(super) struct Asked(rekor::Request);

impl<S: Sync> FromRequest<S> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::media_type(
                "this route takes application/json; say so in Content-Type",
            ));
        }
        let bytes = body::read(request, (body::LONGEST, Problem::too_large)).await?;
        protojson::read::<CreateEntry>(&bytes)?.into_request().map(Self)
    }
}

/// Whether a body is JSON by what its sender says; whoever says nothing sends that.
fn is_json(headers: &HeaderMap) -> bool {
    body::media_type(headers).is_none_or(|kind| kind == "application/json")
}

/// Logs a signature.
pub(super) async fn create_entry(
    State(app): State<App>,
    Sender(caller): Sender,
    Asked(request): Asked,
) -> Result<Response, Problem> {
    let logged = app.log_signature(request, &caller).await?;
    let mut response = answers::json(answer(&logged).to_string()).into_response();
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `TransparencyLogEntry`.
fn answer(logged: &Logged) -> Value {
    let Logged { entry, log_id, index, signed, proof } = logged;
    let base64 = |octets: &[u8]| BASE64_STANDARD.encode(octets);
    let index = index.to_string();
    json!({
        "logIndex": index,
        "logId": { "keyId": base64(log_id) },
        "kindVersion": { "kind": entry.kind(), "version": entry.version() },
        "integratedTime": "0",
        "inclusionPromise": null,
        "inclusionProof": {
            "logIndex": index,
            "rootHash": base64(&signed.head.root.0),
            "treeSize": signed.head.size.to_string(),
            "hashes": proof.iter().map(|Hash(hash)| base64(hash)).collect::<Vec<_>>(),
            "checkpoint": { "envelope": signed.note },
        },
        "canonicalizedBody": base64(entry.body()),
    })
}

impl App {
    /// Logs a signature, whichever door it came through.
    pub(super) async fn log_signature(
        &self,
        request: rekor::Request,
        caller: &Caller,
    ) -> Result<Logged, Problem> {
        let logging = self.signatures.log(request, caller);
        Ok(self.in_time(("logging", &caller.request_id), logging).await??)
    }
}

impl From<RekorError> for Problem {
    fn from(error: RekorError) -> Self {
        if matches!(error, RekorError::TooLong { .. }) {
            return Self::too_large(body::LONGEST).saying(error.to_string());
        }
        Self::said(error.reason(), tonic::Code::InvalidArgument, error.to_string())
    }
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Refused(error) => error.into(),
            SignatureError::Stranger => {
                let sentence = error.to_string();
                Self::said("CERTIFICATE_FOREIGN", tonic::Code::PermissionDenied, sentence)
            }
            SignatureError::Failed(error) => Self::of_log(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn json_is_what_says_so() {
        for (kind, is) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/jsonx", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_json(&headers), is, "{kind}");
        }
        assert!(is_json(&HeaderMap::new()));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(body: Vec<u8>) {
            let _ = protojson::read::<CreateEntry>(&body).map(CreateEntry::into_request);
        }
    }
}
