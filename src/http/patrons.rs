//! Who was just issued a certificate: by address, for those doors that serve nobody else.
//!
//! Nothing of it is kept when the process ends: who comes back just then is told to ask for a certificate
//! first.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moka::future::Cache;

use crate::config::Patrons;

use super::envelope::Sender;
use super::problem::Problem;
use super::rate::subscriber;

/// How long after a certificate its holder may come.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many addresses are remembered.
const ADDRESSES: u64 = 1 << 16;

/// The addresses to which a certificate was issued in the last hour. Cloning shares them.
#[derive(Clone)]
pub struct Issued(Cache<IpAddr, ()>);

impl Default for Issued {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(ADDRESSES).time_to_live(HOUR).build())
    }
}

impl Issued {
    /// A certificate was issued to `client`.
    pub async fn note(&self, client: Option<IpAddr>) {
        if let Some(client) = client {
            self.0.insert(subscriber(client), ()).await;
        }
    }

    fn knows(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.0.contains_key(&subscriber(client)))
    }
}

/// Whose requests a door takes. Cloning shares it.
#[derive(Clone)]
pub struct Welcome {
    /// The key of the configuration that says it.
    key: &'static str,
    /// None: anyone's.
    issued: Option<Issued>,
}

impl Welcome {
    /// Whose timestamps are, by `timestamps.from`.
    pub fn to_timestamps(patrons: Patrons, is_local: bool, issued: &Issued) -> Self {
        let issued = (!patrons.are_all(is_local)).then(|| issued.clone());
        Self { key: "timestamps.from", issued }
    }
}

/// Lets through whoever is welcome.
pub(super) async fn guard(
    State(welcome): State<Welcome>,
    request: Request,
    next: Next,
) -> Response {
    let Sender(caller) = Sender::of(request.extensions());
    match &welcome.issued {
        Some(issued) if !issued.knows(caller.client) => {
            Problem::stranger(welcome.key).into_response()
        }
        _ => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_those_to_whom_a_certificate_was_issued_are_known() {
        let issued = Issued::default();
        let address = |text: &str| Some(text.parse().unwrap());
        issued.note(address("192.0.2.1")).await;
        issued.note(address("2001:db8::1")).await;
        issued.note(None).await;
        assert!(issued.knows(address("::ffff:192.0.2.1")));
        assert!(issued.knows(address("2001:db8::2")));
        assert!(!issued.knows(address("192.0.2.2")));
        assert!(!issued.knows(None));
    }
}
