//! One issuer's discovery document and key set, over HTTPS.
//!
//! ```text
//! GET https://a.example/.well-known/openid-configuration   {"issuer":"https://a.example","jwks_uri":"https://a.example/keys"}
//! GET https://a.example/keys                               {"keys":[{"kty":"EC",…},…]}
//! ```
//!
//! Whatever answers may be hostile: what it says has a size, stays on its origin, and leads nowhere
//! that [`Reach`] does not allow. The time it has is the caller's to limit.
//!
//! Spec: OpenID Connect Discovery 1.0 §4, RFC 7517 §5.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::InvalidDnsNameError;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::config::Proxy;
use crate::keyset::address::{Reach, ResolveError, Resolver};
use crate::keyset::bearer::{Bearer, BearerError};
use crate::keyset::supply::SetupError;
use crate::keyset::tunnel::{Connector, ProxyError};
use crate::quote::quote;
use crate::token::VerifyingKey;
use crate::token::json::{self, JsonError};

/// Octets of an answer that are read.
const LIMIT: usize = 1 << 20;
/// Keys of a set that are read; a set with more is refused.
const KEYS: usize = 100;
/// Redirects that are followed, on the same origin.
const REDIRECTS: usize = 3;
const AGENT: &str = concat!("mayfly/", env!("CARGO_PKG_VERSION"));

/// Why an issuer's keys could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It took longer than it may.
    #[error("no complete answer in time")]
    TimedOut,
    /// Too many issuers are being asked already.
    #[error("too many issuers are being asked at once")]
    Busy,
    /// Its name resolves to nothing that we connect to.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No connection.
    #[error("{0}")]
    Connect(io::ErrorKind),
    /// No connection through the proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The credential that it wants cannot be read.
    #[error(transparent)]
    Bearer(#[from] BearerError),
    /// No TLS, or not with a certificate that we trust.
    #[error("TLS: {}", quote(.0))]
    Tls(String),
    /// The connection ended early, or does not speak HTTP.
    #[error("the answer broke off or is not HTTP")]
    Broken,
    /// Another status than 200.
    #[error("{} answered with status {status}", quote(.url))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A redirect to another origin, or one too many.
    #[error("{} redirects to where we do not follow", quote(.0))]
    Redirect(String),
    /// A body over 1 MiB, or a set with too many keys.
    #[error("the answer of {} is too large", quote(.0))]
    TooLarge(String),
    /// A compressed body, although none was asked for.
    #[error("the answer of {} is compressed", quote(.0))]
    Encoded(String),
    /// Not the JSON we read.
    #[error("the answer of {} {fault}", quote(.url))]
    NotJson {
        /// What was asked for.
        url: String,
        /// The rule it breaks.
        fault: JsonError,
    },
    /// A member that must be there.
    #[error("the answer of {} has no \"{member}\"", quote(.url))]
    Member {
        /// What was asked for.
        url: String,
        /// What is missing, or of another type.
        member: &'static str,
    },
    /// The discovery document is another issuer's.
    #[error("its discovery document is for issuer {}", quote(.0))]
    OtherIssuer(String),
    /// A URL that is not https (or http on loopback), or has a user in it.
    #[error("{} is not an https URL that we fetch", quote(.0))]
    Url(String),
    /// A wildcard issuer whose keys are on another origin.
    #[error("its keys are elsewhere ({}), which only an issuer configured by name may do", quote(.0))]
    ForeignKeys(String),
}

impl FetchError {
    /// The trouble in a word for strangers: what stands where on our network, and what it said, is for
    /// the operator.
    pub fn trouble(&self) -> &'static str {
        match self {
            Self::TimedOut | Self::Connect(io::ErrorKind::TimedOut) => "no answer in time",
            Self::Busy => "too many wait for its keys already",
            Self::Connect(io::ErrorKind::ConnectionRefused) => "connection refused",
            Self::Resolve(_) | Self::Connect(_) | Self::Proxy(_) => "no connection",
            Self::Tls(_) => "TLS failed",
            Self::Status { status: 404 | 410, .. } => "its keys are not found",
            Self::Status { .. } => "it answered with an error",
            Self::Bearer(_) => "the credential that this authority has for it cannot be read",
            Self::Broken
            | Self::Redirect(_)
            | Self::TooLarge(_)
            | Self::Encoded(_)
            | Self::NotJson { .. }
            | Self::Member { .. }
            | Self::OtherIssuer(_)
            | Self::Url(_)
            | Self::ForeignKeys(_) => "its answer is not usable",
        }
    }
}

/// Fetches documents for configured issuers. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    reach: Reach,
    connector: Connector,
    bearer: Option<Arc<Bearer>>,
}

impl Fetcher {
    /// A fetcher that trusts `roots`, and connects within `reach` or through `proxy`. Nothing of the
    /// environment changes where it connects.
    ///
    /// # Errors
    /// [`SetupError::Tls`], when the crypto library cannot do TLS at all.
    pub fn new(roots: Arc<RootCertStore>, reach: Reach, proxy: &Proxy) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = Connector::new(reach, proxy);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector.clone());
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(std::time::Duration::from_secs(5))
            .pool_max_idle_per_host(1)
            .build(https);
        Ok(Self { client, reach, connector, bearer: None })
    }

    /// The same fetcher with a credential.
    #[must_use]
    pub fn with_bearer(self, bearer: Option<Bearer>) -> Self {
        Self { bearer: bearer.map(Arc::new), ..self }
    }

    /// Whether it has a credential.
    pub fn has_bearer(&self) -> bool {
        self.bearer.is_some()
    }

    /// The addresses that `url` may be asked at; none where a proxy is asked instead.
    ///
    /// # Errors
    /// [`FetchError::Resolve`].
    pub async fn addresses(&self, url: &Uri) -> Result<Vec<IpAddr>, FetchError> {
        if let Some(address) = literal(url) {
            let refused = ResolveError::OutOfReach(address);
            return if self.reach.allows(address) {
                Ok(vec![address])
            } else {
                Err(refused.into())
            };
        }
        if self.connector.is_proxied(url) {
            return Ok(Vec::new());
        }
        let found = Resolver(self.reach).resolve(url.host().unwrap_or_default()).await?;
        Ok(found.map(|address| address.ip()).collect())
    }

    /// Where the keys of `issuer` are, by its discovery document; `origin` says where they may be.
    ///
    /// # Errors
    /// Every [`FetchError`] but [`FetchError::TimedOut`] and [`FetchError::Busy`].
    pub async fn discover(&self, issuer: &str, origin: Origin) -> Result<Uri, FetchError> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = parse(&format!("{base}/.well-known/openid-configuration"))?;
        let document = self.object(&url).await?;
        key_set_url(&document, issuer, &url, origin)
    }

    /// The keys of the set at `url`.
    ///
    /// # Errors
    /// As [`Self::discover`].
    pub async fn keys(&self, url: &Uri) -> Result<Keys, FetchError> {
        let members = self.object(url).await?;
        keys(&members, &url.to_string())
    }

    async fn object(&self, url: &Uri) -> Result<serde_json::Map<String, Value>, FetchError> {
        let body = self.get(url).await?;
        json::parse_object(&body)
            .map_err(|fault| FetchError::NotJson { url: url.to_string(), fault })
    }

    async fn get(&self, url: &Uri) -> Result<Bytes, FetchError> {
        let mut at = url.clone();
        let mut credential = self.credential(url).await?;
        for _ in 0..=REDIRECTS {
            // Taken: a credential is for what is configured, not for where a redirect leads.
            let response = self.ask(&at, credential.take()).await?;
            if !response.status().is_redirection() {
                return read(&at, response).await;
            }
            let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let next = location.and_then(|to| follow(&at, to));
            at = next.ok_or_else(|| FetchError::Redirect(at.to_string()))?;
        }
        Err(FetchError::Redirect(url.to_string()))
    }

    /// What to show at `url`, if that is where the credential belongs.
    async fn credential(&self, url: &Uri) -> Result<Option<HeaderValue>, FetchError> {
        match self.bearer.as_ref().filter(|bearer| same_origin(&bearer.origin, url)) {
            Some(bearer) => Ok(Some(bearer.read().await?)),
            None => Ok(None),
        }
    }

    async fn ask(
        &self,
        url: &Uri,
        credential: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::get(url)
            .header(ACCEPT, "application/json")
            .body(Full::default())
            .map_err(|_| FetchError::Url(url.to_string()))?;
        if let Some(credential) = credential {
            request.headers_mut().insert(AUTHORIZATION, credential);
        }
        self.send(request).await
    }

    /// What `request` is answered, whatever its status; no redirect is followed. Of the body at most `limit`
    /// octets are taken.
    ///
    /// # Errors
    /// Those of a connection, [`FetchError::TooLarge`], [`FetchError::Encoded`].
    pub async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let url = request.uri().clone();
        let response = self.send(request).await?;
        Ok((response.status(), body(&url, response, limit).await?))
    }

    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, FetchError> {
        // Quirk: hyper's connector asks no resolver about a host that is an address already.
        match literal(request.uri()) {
            Some(address) if !self.reach.allows(address) => {
                return Err(ResolveError::OutOfReach(address).into());
            }
            Some(_) | None => {}
        }
        let headers = request.headers_mut();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        self.client.request(request).await.map_err(|error| cause(&error))
    }
}

/// Where an issuer's keys may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Wherever its discovery document says.
    Any,
    /// On the issuer's own origin: it is one of many that match a pattern.
    Own,
}

/// An issuer's keys, in its order.
pub type Keys = Arc<[Arc<VerifyingKey>]>;

/// Where the discovery document of `issuer`, found at `url`, says that its keys are.
fn key_set_url(
    document: &serde_json::Map<String, Value>,
    issuer: &str,
    url: &Uri,
    origin: Origin,
) -> Result<Uri, FetchError> {
    let member = |member| {
        let text = document.get(member).and_then(Value::as_str);
        text.ok_or_else(|| FetchError::Member { url: url.to_string(), member })
    };
    let said = member("issuer")?;
    if said != issuer {
        return Err(FetchError::OtherIssuer(said.to_owned()));
    }
    let keys = parse(member("jwks_uri")?)?;
    // Attack: an issuer out there that has us ask, and believe, what listens on our own loopback.
    if url.scheme() == Some(&Scheme::HTTPS) && keys.scheme() != Some(&Scheme::HTTPS) {
        return Err(FetchError::Url(keys.to_string()));
    }
    if origin == Origin::Own && !same_origin(&keys, url) {
        return Err(FetchError::ForeignKeys(keys.to_string()));
    }
    Ok(keys)
}

/// The keys of a key set (RFC 7517 §5) that is fetched from, or configured at, `place`. Odd keys are
/// skipped.
///
/// # Errors
/// [`FetchError::Member`], [`FetchError::TooLarge`].
pub fn keys(set: &serde_json::Map<String, Value>, place: &str) -> Result<Keys, FetchError> {
    let missing = || FetchError::Member { url: place.to_owned(), member: "keys" };
    let members = set.get("keys").and_then(Value::as_array).ok_or_else(missing)?;
    if members.len() > KEYS {
        return Err(FetchError::TooLarge(place.to_owned()));
    }
    Ok(members.iter().filter_map(VerifyingKey::from_jwk).map(Arc::new).collect())
}

/// Reads a URL that we may fetch: https, or http on loopback; no user.
///
/// # Errors
/// [`FetchError::Url`].
pub fn parse(url: &str) -> Result<Uri, FetchError> {
    let refused = || FetchError::Url(url.to_owned());
    let parsed: Uri = url.parse().map_err(|_| refused())?;
    let authority = parsed.authority().ok_or_else(refused)?;
    let secure = match parsed.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(&parsed),
        Some(_) | None => false,
    };
    match secure && !authority.as_str().contains('@') {
        true => Ok(parsed),
        false => Err(refused()),
    }
}

fn is_loopback(url: &Uri) -> bool {
    match literal(url) {
        Some(address) => address.is_loopback(),
        None => url.host() == Some("localhost"),
    }
}

/// The host, if it is an address.
fn literal(url: &Uri) -> Option<IpAddr> {
    let host = url.host()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |url: &Uri| {
        let scheme = url.scheme_str().map(str::to_owned);
        let port = url.port_u16().or(match scheme.as_deref() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            Some(_) | None => None,
        });
        (scheme, url.host().map(str::to_ascii_lowercase), port)
    };
    origin(one) == origin(other)
}

/// Where a redirect from `at` leads, if that is on the same origin.
fn follow(at: &Uri, location: &str) -> Option<Uri> {
    // Attack: `//elsewhere/path` begins with a slash and is another host.
    let absolute = match location.starts_with('/') && !location.starts_with("//") {
        true => format!("{}://{}{location}", at.scheme_str()?, at.authority()?),
        false => location.to_owned(),
    };
    parse(&absolute).ok().filter(|next| same_origin(at, next))
}

async fn read(url: &Uri, response: Response<Incoming>) -> Result<Bytes, FetchError> {
    if response.status() != StatusCode::OK {
        let status = response.status().as_u16();
        return Err(FetchError::Status { url: url.to_string(), status });
    }
    body(url, response, LIMIT).await
}

/// The body of an answer, if it has at most `limit` octets.
async fn body(url: &Uri, response: Response<Incoming>, limit: usize) -> Result<Bytes, FetchError> {
    let (head, body) = response.into_parts();
    if head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(FetchError::Encoded(url.to_string()));
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge(url.to_string())),
        Err(_) => Err(FetchError::Broken),
    }
}

/// What is at the bottom of a client's error.
fn cause(error: &(dyn Error + 'static)) -> FetchError {
    if let Some(error) = error.downcast_ref::<ResolveError>() {
        return FetchError::Resolve(*error);
    }
    if let Some(error) = error.downcast_ref::<ProxyError>() {
        return FetchError::Proxy(error.clone());
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return FetchError::Tls(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<InvalidDnsNameError>() {
        return FetchError::Tls(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // Quirk: an `io::Error` that wraps another is not that error's parent, but speaks for it.
        let wrapped = error.get_ref().map(|inner| cause(inner));
        return match wrapped {
            None | Some(FetchError::Broken) => FetchError::Connect(error.kind()),
            Some(cause) => cause,
        };
    }
    error.source().map_or(FetchError::Broken, cause)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::token::json;

    const ISSUER: &str = "https://idp.example.com";

    /// A string that is none of ours, or one that is, or is nearly.
    fn text() -> impl Strategy<Value = String> {
        let known = [
            "https://idp.example.com",
            "https://idp.example.com/keys",
            "http://127.0.0.1/k",
            "https://evil.example/k",
            "keys",
            "RSA",
            "EC",
            "OKP",
            "P-256",
            "Ed25519",
            "AQAB",
            "sig",
        ];
        prop_oneof![
            proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
            any::<String>()
        ]
    }

    /// JSON that an issuer could send in place of a discovery document or a key set.
    fn document() -> impl Strategy<Value = Value> {
        let names =
            ["issuer", "jwks_uri", "keys", "kty", "crv", "n", "e", "x", "y", "kid", "alg", "use"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, move |inner| {
            let name = proptest::sample::select(names.to_vec()).prop_map(str::to_owned);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::hash_map(name, inner, 0..8).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_document_is_too_much(document in document()) {
            let url = parse(&format!("{ISSUER}/.well-known/openid-configuration")).unwrap();
            let Some(members) = document.as_object() else { return Ok(()) };
            for origin in [Origin::Own, Origin::Any] {
                if let Ok(keys) = key_set_url(members, ISSUER, &url, origin) {
                    prop_assert_eq!(keys.scheme(), Some(&Scheme::HTTPS));
                    prop_assert!(origin == Origin::Any || same_origin(&keys, &url));
                }
            }
            let _ = super::keys(members, ISSUER);
        }

        #[test]
        fn no_octets_are_too_much(octets: Vec<u8>) {
            if let Ok(members) = json::parse_object(&octets) {
                let _ = super::keys(&members, ISSUER);
            }
        }
    }
}
