//! The door: Fulcio's two HTTP APIs and its gRPC API on one port.
//!
//! Three doors (`v1`, `v2`, [`grpc`]), each thin: they make the same [`authority::Request`] of what
//! came and say the same [`Issued`] in their own words. `problem` says why there is nothing to say.
//! [`server`] owns the sockets: what may connect, how long it may take, how it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::authority;
use crate::authority::{Authority, IssueError, Issued};
use crate::config::{Denials, Patrons, Readers};
use crate::explorer::Explorer;
use crate::log::shards::Shards;
use crate::signatures::{Admission, Signatures};
use crate::timestamping::Timestamping;

mod access;
mod answers;
mod bearer;
mod body;
mod budget;
mod cors;
mod envelope;
pub mod grpc;
mod health;
pub mod log;
mod metrics;
mod patrons;
mod problem;
mod protojson;
pub mod rate;
mod records;
mod rekor;
mod room;
pub mod server;
mod shards;
mod timestamp;
pub mod tls;
pub mod trust;
mod v1;
mod v2;

pub use access::Access;
pub use envelope::Peer;

use answers::Answers;
use envelope::{RequestId, RequestIds};
use health::Health;
use patrons::Welcome;
use problem::Problem;
use rate::Rate;
use room::Room;
use trust::TrustFiles;

/// How many exchanges may be under way at once; the next one is told to come again.
const EXCHANGES: usize = 1024;

/// How long an exchange may take: longer than an issuer's keys may take to fetch, shorter than
/// clients wait.
const EXCHANGE: Duration = Duration::from_secs(20);

/// What every route shares. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    /// The authority behind the doors.
    pub authority: Arc<Authority>,
    signatures: Signatures,
    shared: Arc<Shared>,
    exchanges: Arc<Semaphore>,
    patience: Duration,
    denials: Denials,
    scheme: &'static str,
    unfit: Arc<AtomicBool>,
    explorer: Explorer,
    timestamps: Option<(Arc<Timestamping>, Welcome)>,
    log_access: Access,
    records_access: Access,
    rate: Option<Arc<Rate>>,
}

struct Shared {
    trust_files: TrustFiles,
    answers: Answers,
    health: Health,
    ids: RequestIds,
    room: Room,
    issued: patrons::Issued,
}

impl App {
    /// The doors of `authority`; what never changes is formatted here, once. `trust_files` say what
    /// verifiers and signers need.
    pub fn new(authority: Arc<Authority>, trust_files: impl Into<TrustFiles>) -> Self {
        let shared = Shared {
            trust_files: trust_files.into(),
            answers: Answers::new(&authority),
            health: Health::default(),
            ids: RequestIds::default(),
            room: Room::default(),
            issued: patrons::Issued::default(),
        };
        let exchanges = Arc::new(Semaphore::new(EXCHANGES));
        let explorer = Explorer::new(authority.logs.clone(), authority.recorder.clone());
        let (clock, logs) = (Arc::clone(&authority.clock), Shards::new(Vec::new()));
        let signatures = Signatures { clock, logs, admits: Admission::Anyone };
        Self {
            authority,
            signatures,
            rate: None,
            shared: Arc::new(shared),
            exchanges,
            patience: EXCHANGE,
            denials: Denials::Full,
            scheme: "https",
            unfit: Arc::default(),
            explorer,
            timestamps: None,
            log_access: Access::to_log(&Readers::Nobody, false),
            records_access: Access::to_records(&Readers::Nobody, false),
        }
    }

    /// The same doors, at this address: `https`, unless it says otherwise.
    pub fn with_url(self, url: &str) -> Self {
        let scheme = if url.starts_with("http://") { "http" } else { "https" };
        Self { scheme, ..self }
    }

    /// The same doors, telling who asks after our health whether the configuration on the disk is unfit.
    pub fn with_unfit(self, unfit: Arc<AtomicBool>) -> Self {
        Self { unfit, ..self }
    }

    /// The same doors, with a log for signatures; `rate` is how often one address may come with one.
    pub fn with_signatures(self, signatures: Signatures, rate: Option<Rate>) -> Self {
        Self { signatures, rate: rate.map(Arc::new), ..self }
    }

    /// The same doors, with the log open to some, and the records to others; to nobody until then.
    pub fn with_access(self, log_access: Access, records_access: Access) -> Self {
        Self { log_access, records_access, ..self }
    }

    /// The same doors, with one for timestamps: for `patrons`, at an instance for this machine alone or not.
    pub fn with_timestamps(
        self,
        timestamping: Arc<Timestamping>,
        (patrons, is_local): (Patrons, bool),
    ) -> Self {
        let welcome = Welcome::to_timestamps(patrons, is_local, &self.shared.issued);
        Self { timestamps: Some((timestamping, welcome)), ..self }
    }

    /// The same doors, with another bound to the exchanges that may be under way at once.
    pub fn with_exchanges(mut self, exchanges: usize) -> Self {
        self.exchanges = Arc::new(Semaphore::new(exchanges));
        self
    }

    /// The same doors, with another bound to the time that an exchange may take.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same doors, saying so much of the rules to those whom they refuse.
    pub fn with_denials(self, denials: Denials) -> Self {
        Self { denials, ..self }
    }

    /// Exchanges a request for a certificate, whichever door it came through.
    ///
    /// # Errors
    ///
    /// A [`Problem`]: the authority's error, or that we are too busy or too slow.
    async fn issue(&self, request: authority::Request) -> Result<Issued, Problem> {
        let (id, client) = (request.caller.request_id.clone(), request.caller.client);
        let outcome = self.in_time(("the exchange", &id), self.authority.issue(request)).await?;
        self.shared.health.note(&outcome, self.authority.clock.as_ref());
        if outcome.is_ok() {
            self.shared.issued.note(client).await;
        }
        outcome.map_err(|error| Problem::of(error, self.denials))
    }

    /// Does `work` for the request `id` if there is a place for it, and while anybody waits.
    async fn in_time<T>(
        &self,
        (what, id): (&str, &str),
        work: impl Future<Output = T>,
    ) -> Result<T, Problem> {
        let _place = self.exchanges.try_acquire().map_err(|_| Problem::overloaded())?;
        tokio::time::timeout(self.patience, work).await.map_err(|_| {
            tracing::error!(request = id, "{what} took too long and was given up");
            Problem::too_slow()
        })
    }
}

/// The stable word for machines that answers give for an error, `TOKEN_EXPIRED`.
pub fn reason(error: &IssueError) -> &'static str {
    Problem::from(error.clone()).reason()
}

/// Every route of the port.
pub fn router(app: App) -> Router {
    let guarded = |access: &Access| from_fn_with_state(access.clone(), access::guard);
    let Authority { logs, succession, .. } = app.authority.as_ref();
    let log = shards::certificates(logs.clone(), succession.clone(), app.scheme)
        .merge(shards::signatures(&app.signatures));
    let timestamps = app.timestamps.clone().map(timestamp::routes).unwrap_or_default();
    let routes = Router::new()
        .merge(fulcio())
        .merge(timestamps)
        .merge(signatures(app.rate.clone()))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .merge(log.layer(guarded(&app.log_access)))
        .merge(records::routes().layer(guarded(&app.records_access)))
        .merge(trust::routes(app.shared.trust_files.clone()))
        .merge(grpc::routes(&app))
        .fallback(envelope::not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), envelope::wrap))
        .with_state(app);
    // A quirk of clients: a base URL that ends in a slash makes some ask for `//api/v2/signingCert`.
    Router::new().fallback_service(routes.map_request(single_slashes))
}

/// Fulcio's HTTP routes, with upstream's answer to wrong methods and to other origins.
fn fulcio() -> Router<App> {
    use body::{fulcio_get, fulcio_post};
    Router::new()
        .route("/api/v2/signingCert", fulcio_post(v2::signing_cert))
        .route("/api/v2/trustBundle", fulcio_get(v2::trust_bundle))
        .route("/api/v2/configuration", fulcio_get(v2::configuration))
        .route("/api/v1/signingCert", fulcio_post(v1::signing_cert))
        .route("/api/v1/rootCert", fulcio_get(v1::root_cert))
        .route("/healthz", fulcio_get(health::alive))
        .route_layer(from_fn(cors::answer))
}

/// Where signatures are logged, over HTTP and gRPC.
fn signatures(rate: Option<Arc<Rate>>) -> Router<App> {
    let rest = Router::new()
        .route("/api/v2/log/entries", post(rekor::create_entry).fallback(wrong_method))
        .route_layer(from_fn(cors::answer));
    let routes = rest.merge(grpc::signatures());
    match rate {
        Some(rate) => routes.route_layer(from_fn_with_state(rate, rate::guard)),
        None => routes,
    }
}

async fn wrong_method() -> Problem {
    Problem::method_not_allowed()
}

/// Takes runs of slashes in the path of an API for one. Only there: a tile by two paths would be two
/// tiles to a cache.
fn single_slashes(mut request: Request) -> Request {
    if request.uri().path().contains("//")
        && let Some(uri) = squeezed(request.uri())
        && uri.path().starts_with("/api")
    {
        *request.uri_mut() = uri;
    }
    request
}

fn squeezed(uri: &Uri) -> Option<Uri> {
    let mut path = String::with_capacity(uri.path().len());
    for c in uri.path().chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(uri: &str, expected: &str) {
        let request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
        assert_eq!(single_slashes(request).uri().to_string(), expected);
    }

    #[test]
    fn runs_of_slashes_are_one() {
        check("/api/v2/signingCert", "/api/v2/signingCert");
        check("//api/v2/signingCert", "/api/v2/signingCert");
        check("/api///v2//signingCert/?a=//b", "/api/v2/signingCert/?a=//b");
        check("http://h//api", "http://h/api");
        check("/ct/2026/tile//0/000", "/ct/2026/tile//0/000");
        check("*", "*");
    }

    proptest! {
        #[test]
        fn any_path_stays_a_path(path in "(/|[!-~]){0,20}") {
            if let Ok(uri) = format!("/{path}").parse::<Uri>() {
                let once = squeezed(&uri).unwrap();
                prop_assert!(!once.path().contains("//"));
                prop_assert_eq!(once.query(), uri.query());
                prop_assert_eq!(squeezed(&once), Some(once));
            }
        }
    }
}
