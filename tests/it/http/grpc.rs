//! A client of the gRPC services: hyper's HTTP/2 below, the server's own messages above.

use std::net::SocketAddr;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Sends one message; over TLS where there is a `root` to trust.
pub async fn call<Q, A>(
    server: SocketAddr,
    root: Option<&CertificateDer<'static>>,
    path: &'static str,
    request: Request<Q>,
) -> Result<tonic::Response<A>, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(root.cloned());
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http2().build();
    let scheme = if root.is_some() { "https" } else { "http" };
    let origin = format!("{scheme}://localhost:{}", server.port());
    unary(connector, &origin, path, request).await
}

async fn unary<C, Q, A>(
    connector: C,
    origin: &str,
    path: &'static str,
    request: Request<Q>,
) -> Result<tonic::Response<A>, Status>
where
    C: Connect + Clone + Send + Sync + 'static,
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    let mut client = tonic::client::Grpc::with_origin(client, origin.parse().unwrap());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    client.unary(request, PathAndQuery::from_static(path), codec).await
}
