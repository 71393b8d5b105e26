//! Connections to issuers: straight, or through a proxy's CONNECT where one is configured.
//!
//! Behind a proxy the address that we look at is the proxy's: it resolves the issuer's name, and where
//! that leads is for the proxy to restrict.
//!
//! Spec: RFC 9110 §9.3.6.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::config::Proxy;
use crate::keyset::address::{Reach, Resolver};

/// Connects to issuers.
#[derive(Clone, Debug)]
pub struct Connector {
    straight: HttpConnector<Resolver>,
    /// To the proxy: the configuration names it, so it may be in a private network.
    proxy: HttpConnector<Resolver>,
    rules: Arc<Matcher>,
}

impl Connector {
    /// Connects within `reach`, or through `proxy`.
    pub fn new(reach: Reach, proxy: &Proxy) -> Self {
        let connector = |reach| {
            let mut http = HttpConnector::new_with_resolver(Resolver(reach));
            http.enforce_http(false);
            http
        };
        let rules = match proxy {
            Proxy::None => Matcher::builder().build(),
            Proxy::Url { url, except } => {
                Matcher::builder().https(url.as_str()).no(except.as_str()).build()
            }
        };
        Self {
            straight: connector(reach),
            proxy: connector(Reach::Private),
            rules: Arc::new(rules),
        }
    }

    /// Whether connections to `url` go through the proxy.
    pub fn is_proxied(&self, url: &Uri) -> bool {
        self.rules.intercept(url).is_some()
    }
}

/// Why there is no connection through a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proxy {proxy}: {reason}")]
pub struct ProxyError {
    /// Its host and port: nothing secret.
    pub proxy: String,
    /// What it did.
    pub reason: String,
}

type Connection = TokioIo<TcpStream>;
type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.straight.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.rules.intercept(&to) else {
            let connecting = self.straight.call(to);
            return Box::pin(async move { connecting.await.map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.proxy.clone());
        if let Some(secret) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(secret.clone());
        }
        let name = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
        let connecting = tunnel.call(to);
        Box::pin(async move { connecting.await.map_err(|error| explain(name, &error).into()) })
    }
}

/// The words at the bottom of what went wrong.
///
/// Quirk: the type of the tunnel's own errors has no name outside its crate.
fn explain(proxy: String, error: &(dyn Error + 'static)) -> ProxyError {
    let mut bottom = error;
    while let Some(below) = bottom.source() {
        bottom = below;
    }
    let words = bottom.to_string();
    let reason = words.strip_prefix("tunnel error: ").unwrap_or(&words).to_owned();
    ProxyError { proxy, reason }
}
