//! The HTTP client of the commands that talk to an instance.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::CertificateError;

use super::CommandError;

/// No answer that a command asks for is longer.
const LIMIT: usize = 16 << 20;
/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks one instance; `https` with the system's roots, or `http`.
pub struct Client {
    hyper: Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
}

/// What came back.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The sentence of an answer that is an error.
    pub fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = body.get("message").and_then(serde_json::Value::as_str).map(str::to_owned);
        message.unwrap_or_else(|| format!("status {}, and no message", self.status))
    }
}

impl Client {
    /// A client of the instance at `url`.
    pub fn new(url: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self {
            hyper: Hyper::builder(TokioExecutor::new()).build(connector),
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// The instance's address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Fetches `path`, which begins with a slash; anything but 200 is an error.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] says which address did not answer, or with what.
    pub async fn get(&self, path: &str) -> Result<Bytes, CommandError> {
        let answer = self.send(Request::get(self.uri(path)?), Bytes::new()).await?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(CommandError::Failed(format!("{}{path} answers {status}", self.url))),
        }
    }

    /// Posts `json` to `path`, whatever the answer's status.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when there is no answer.
    pub async fn post(&self, path: &str, json: String) -> Result<Answer, CommandError> {
        self.post_as(path, "application/json", Bytes::from(json)).await
    }

    /// Posts a body of another media type to `path`, whatever the answer's status.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when there is no answer.
    pub async fn post_as(
        &self,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Answer, CommandError> {
        self.send(Request::post(self.uri(path)?).header("content-type", kind), body).await
    }

    fn uri(&self, path: &str) -> Result<Uri, CommandError> {
        format!("{}{path}", self.url)
            .parse()
            .map_err(|_| CommandError::Usage(format!("{} is no URL", self.url)))
    }

    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<Answer, CommandError> {
        let request = request.body(Full::new(body)).map_err(CommandError::failed)?;
        let uri = request.uri().clone();
        let unreachable = |cause: String| CommandError::Failed(format!("{uri}: {cause}"));
        let exchange = async {
            let response = self.hyper.request(request).await.map_err(|e| root_cause(&e))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LIMIT).collect().await;
            let body = body.map_err(|e| e.to_string())?.to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
}

/// The innermost cause, which is the one that names the refused connection or the bad certificate.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // An I/O error does not count what it wraps as its cause.
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = wrapped.map_or_else(
        || cause.downcast_ref::<rustls::Error>(),
        |wrapped| wrapped.downcast_ref::<rustls::Error>(),
    );
    match tls {
        Some(rustls::Error::InvalidCertificate(error)) => certificate_problem(error),
        _ => cause.to_string(),
    }
}

/// Why the server's certificate is not taken, in words.
fn certificate_problem(error: &CertificateError) -> String {
    if *error == CertificateError::UnknownIssuer {
        return "its TLS certificate is from a CA that this system does not trust".to_owned();
    }
    // webpki's own errors come in a box whose only window is `Debug`.
    if format!("{error:?}").contains("CaUsedAsEndEntity") {
        return "its TLS certificate is marked as a CA's; a server needs one with basicConstraints CA:FALSE".to_owned();
    }
    format!("its TLS certificate cannot be used: {error}")
}
