//! Fulcio's gRPC API, Rekor's, and gRPC's own health service, by path on the port that serves HTTP.

use axum::Router;
use axum::routing::post;
use tonic::{Request, Response, Status, async_trait};

use crate::authority;
use crate::possession::Proof;

use super::App;
use super::bearer::METADATA;
use super::body;
use super::envelope::{RequestId, Sender};

pub mod fulcio;
pub mod rekor;

use fulcio::ca_server::{Ca, CaServer};
use fulcio::create_signing_certificate_request::Key;
use fulcio::credentials::Credentials;
use fulcio::signing_certificate::Certificate;
use fulcio::{
    Configuration, CreateSigningCertificateRequest, GetConfigurationRequest, GetTrustBundleRequest,
    SigningCertificate, SigningCertificateEmbeddedSct, TrustBundle,
};

/// The gRPC services, by path.
pub(super) fn routes(app: &App) -> Router<App> {
    let authority = CaServer::new(app.clone()).max_decoding_message_size(body::LONGEST);
    let health = tonic_health::pb::health_server::HealthServer::new(app.clone());
    Router::new()
        .route_service("/dev.sigstore.fulcio.v2.CA/{method}", authority)
        .route_service("/grpc.health.v1.Health/{method}", health)
}

/// Rekor's, which takes a signature.
pub(super) fn signatures() -> Router<App> {
    Router::new().route(rekor::CREATE_ENTRY, post(rekor::create_entry))
}

#[async_trait]
impl Ca for App {
    async fn create_signing_certificate(
        &self,
        request: Request<CreateSigningCertificateRequest>,
    ) -> Result<Response<SigningCertificate>, Status> {
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or(RequestId::none());
        let issued = self.issue(exchange(request)).await.map_err(|problem| problem.status(&id))?;
        let chain = Some(self.shared.answers.grpc(&issued));
        let embedded = SigningCertificateEmbeddedSct { chain };
        let certificate = Some(Certificate::SignedCertificateEmbeddedSct(embedded));
        Ok(Response::new(SigningCertificate { certificate }))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<GetTrustBundleRequest>,
    ) -> Result<Response<TrustBundle>, Status> {
        Ok(Response::new(self.shared.answers.bundle().grpc.clone()))
    }

    async fn get_configuration(
        &self,
        _: Request<GetConfigurationRequest>,
    ) -> Result<Response<Configuration>, Status> {
        Ok(Response::new(self.shared.answers.configuration(&self.authority).grpc.clone()))
    }
}

/// The token in the message, or else the only one in the metadata.
fn exchange(request: Request<CreateSigningCertificateRequest>) -> authority::Request {
    let (metadata, extensions, message) = request.into_parts();
    let Sender(caller) = Sender::of(&extensions);
    let token = match message.credentials.and_then(|credentials| credentials.credentials) {
        Some(Credentials::OidcIdentityToken(token)) if !token.is_empty() => token,
        Some(Credentials::OidcIdentityToken(_)) | None => {
            let mut values = metadata.get_all(METADATA).iter();
            match (values.next(), values.next()) {
                (Some(token), None) => String::from_utf8_lossy(token.as_bytes()).into_owned(),
                _ => String::new(),
            }
        }
    };
    authority::Request { token, proof: proof(message.key), caller }
}

fn proof(key: Option<Key>) -> Proof {
    match key {
        Some(Key::CertificateSigningRequest(csr)) => Proof::Csr(csr),
        Some(Key::PublicKeyRequest(request)) => Proof::SignedChallenge {
            key: request.public_key.map(|key| key.content.into_bytes()).unwrap_or_default(),
            signature: request.proof_of_possession,
        },
        None => Proof::SignedChallenge { key: Vec::new(), signature: Vec::new() },
    }
}
