//! The shards of a log, as they come: one that is added is served without a restart.
//!
//! ```text
//! /ct/<shard>/…              each shard of the certificate log
//! /tlog/<shard>/api/v2/…     each shard of the signature log
//! /api/v2/checkpoint, tile/… the one that takes signatures now
//! ```

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower::ServiceExt;

use crate::authority::succession::Succession;
use crate::log::Log;
use crate::log::shards::Shards;
use crate::signatures::Signatures;

use super::{envelope, log};

/// The shards, and the routes of what there was when somebody asked last.
#[derive(Clone)]
struct Served {
    shards: Shards,
    doors: Doors,
    routes: Arc<ArcSwap<Routes>>,
}

/// Makes the routes of one shard.
type Doors = Arc<dyn Fn(Log) -> Router + Send + Sync>;

struct Routes {
    of: Arc<[Log]>,
    router: Router,
}

/// Every shard of the certificate log below `/ct/<shard>`.
pub(super) fn certificates<S: Clone + Send + Sync + 'static>(
    shards: Shards,
    succession: Succession,
    scheme: &'static str,
) -> Router<S> {
    let served =
        Served::new(shards, Arc::new(move |it| log::routes(it, succession.clone(), scheme)));
    Router::new().route("/ct/{*path}", any(answer)).with_state(served)
}

/// Every shard of the signature log below `/tlog/<shard>`, and the current one where Rekor has it.
pub(super) fn signatures<S: Clone + Send + Sync + 'static>(signatures: &Signatures) -> Router<S> {
    let served = Served::new(signatures.logs.clone(), Arc::new(log::tiles));
    let clock = Arc::clone(&signatures.clock);
    let current = async move |State(served): State<Served>, request: Request| {
        let log = served.shards.at(clock.now());
        served.current(log, request).await
    };
    Router::new()
        .route("/api/v2/checkpoint", any(current.clone()))
        .route("/api/v2/tile/{*path}", any(current))
        .route("/tlog/{*path}", any(answer))
        .with_state(served)
}

impl Served {
    fn new(shards: Shards, doors: Doors) -> Self {
        let routes = Arc::new(ArcSwap::from_pointee(Routes::new(shards.all(), &doors)));
        Self { shards, doors, routes }
    }

    async fn answer(&self, request: Request) -> Response {
        let shards = self.shards.all();
        let mut routes = self.routes.load_full();
        if !Arc::ptr_eq(&routes.of, &shards) {
            routes = Arc::new(Routes::new(shards, &self.doors));
            self.routes.store(Arc::clone(&routes));
        }
        routes.router.clone().oneshot(request).await.into_response()
    }

    /// Answers for a shard under a path that is another one's next year: nothing may be kept.
    async fn current(&self, log: Option<Log>, mut request: Request) -> Response {
        let Some(uri) = log.and_then(|log| within(request.uri(), log.shard())) else {
            return envelope::not_found(request.headers().clone()).await.into_response();
        };
        *request.uri_mut() = uri;
        let mut response = self.answer(request).await;
        if response.status().is_success() {
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        response
    }
}

/// The address of the same in this shard.
fn within(uri: &Uri, shard: &str) -> Option<Uri> {
    let path = PathAndQuery::try_from(format!("/tlog/{shard}{}", uri.path())).ok()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

impl Routes {
    fn new(of: Arc<[Log]>, doors: &Doors) -> Self {
        let router =
            Router::new().fallback(async |headers: HeaderMap| envelope::not_found(headers).await);
        let router = of.iter().fold(router, |all, it| all.merge(doors(it.clone())));
        Self { of, router }
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    served.answer(request).await
}
