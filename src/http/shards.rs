//! The shards of the log below `/ct/`, as they come: one that is added is served without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower::ServiceExt;

use crate::authority::succession::{Chains, Succession};
use crate::log::Log;
use crate::log::shards::Shards;

use super::{envelope, log};

/// The shards, and the routes of what there was when somebody asked last.
#[derive(Clone)]
struct Served {
    shards: Shards,
    succession: Succession,
    scheme: &'static str,
    routes: Arc<ArcSwap<Routes>>,
}

struct Routes {
    of: (Arc<[Log]>, Arc<Chains>),
    router: Router,
}

/// Every shard below `/ct/<shard>`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    shards: Shards,
    succession: Succession,
    scheme: &'static str,
) -> Router<S> {
    let routes = Routes::new((shards.all(), succession.all()), scheme);
    let routes = Arc::new(ArcSwap::from_pointee(routes));
    Router::new().route("/ct/{*path}", any(answer)).with_state(Served {
        shards,
        succession,
        scheme,
        routes,
    })
}

impl Routes {
    fn new(of: (Arc<[Log]>, Arc<Chains>), scheme: &'static str) -> Self {
        let (logs, chains) = &of;
        let router =
            Router::new().fallback(async |headers: HeaderMap| envelope::not_found(headers).await);
        let router =
            logs.iter().fold(router, |all, it| all.merge(log::routes(it.clone(), chains, scheme)));
        Self { of, router }
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let (shards, chains) = (served.shards.all(), served.succession.all());
    let mut routes = served.routes.load_full();
    if !Arc::ptr_eq(&routes.of.0, &shards) || !Arc::ptr_eq(&routes.of.1, &chains) {
        routes = Arc::new(Routes::new((shards, chains), served.scheme));
        served.routes.store(Arc::clone(&routes));
    }
    routes.router.clone().oneshot(request).await.into_response()
}
