//! The shards of the log below `/ct/`, as they come: one that is added is served without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower::ServiceExt;

use crate::certificate::Chain;
use crate::log::Log;
use crate::log::shards::Shards;

use super::{envelope, log};

/// The shards, and the routes of those that there were when somebody asked last.
#[derive(Clone)]
struct Served {
    shards: Shards,
    chain: Arc<Chain>,
    scheme: &'static str,
    routes: Arc<ArcSwap<Routes>>,
}

struct Routes {
    of: Arc<[Log]>,
    router: Router,
}

/// Every shard below `/ct/<shard>`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    shards: Shards,
    chain: Arc<Chain>,
    scheme: &'static str,
) -> Router<S> {
    let routes = Routes::new(shards.all(), &chain, scheme);
    let routes = Arc::new(ArcSwap::from_pointee(routes));
    Router::new().route("/ct/{*path}", any(answer)).with_state(Served {
        shards,
        chain,
        scheme,
        routes,
    })
}

impl Routes {
    fn new(of: Arc<[Log]>, chain: &Chain, scheme: &'static str) -> Self {
        let router =
            Router::new().fallback(async |headers: HeaderMap| envelope::not_found(headers).await);
        let router =
            of.iter().fold(router, |all, it| all.merge(log::routes(it.clone(), chain, scheme)));
        Self { of, router }
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let shards = served.shards.all();
    let mut routes = served.routes.load_full();
    if !Arc::ptr_eq(&routes.of, &shards) {
        routes = Arc::new(Routes::new(shards, &served.chain, served.scheme));
        served.routes.store(Arc::clone(&routes));
    }
    routes.router.clone().oneshot(request).await.into_response()
}
