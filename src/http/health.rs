//! Alive, and able to issue: two questions, for HTTP's probes and gRPC's.
//!
//! `/healthz` answers as Fulcio's does as long as the process lives. `/readyz` asks whether an exchange
//! would succeed now: the authority's certificates hold, the log takes entries and can sign its head, and no exchange
//! failed through our own fault a moment ago. Probing signs nothing with the authority's key: anybody
//! may probe.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::{Request, Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::authority::{Authority, Failure, IssueError, Issued};
use crate::installation::shards::AHEAD;
use crate::log::LogError;
use crate::time::{Clock, Timestamp};

use super::App;
use super::answers;
use super::grpc::fulcio::ca_server::SERVICE_NAME;
use super::problem;

/// How long a failure of ours counts. Short: while unready we may see no exchange that would show us
/// well again.
const MEMORY: Duration = Duration::from_secs(15);

/// A part of us that keeps us from issuing, and how: words that strangers may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trouble {
    part: &'static str,
    reason: &'static str,
}

/// What the exchanges of late tell.
#[derive(Default)]
pub struct Health {
    last: Mutex<Option<(Timestamp, Trouble)>>,
}

impl Health {
    /// Learns from an exchange. A refusal tells nothing.
    pub fn note(&self, outcome: &Result<Issued, IssueError>, clock: &dyn Clock) {
        let news = match outcome {
            Ok(_) => None,
            Err(IssueError::Refused(_)) => return,
            Err(IssueError::Failed(failure)) => match trouble(failure) {
                Some(trouble) => Some((clock.now(), trouble)),
                None => return,
            },
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = news;
    }

    fn of_late(&self, now: Timestamp) -> Option<Trouble> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(when, _)| now.since(*when) < MEMORY).map(|(_, trouble)| trouble)
    }
}

/// What a failure says about us, if it says anything.
fn trouble(failure: &Failure) -> Option<Trouble> {
    let (part, reason) = match failure {
        // The first is an issuer's trouble; the second is a crowd, and over in a moment.
        Failure::IssuerUnreachable { .. } | Failure::Log(LogError::Full) => return None,
        Failure::Profile(_) => ("chain", "the authority's certificates do not last long enough"),
        Failure::Check(_) => ("certificate", "a certificate did not come out as it should"),
        Failure::Signer(_) => ("key", "the signing key could not be used"),
        Failure::Log(_) => ("log", "the log did not take an entry"),
    };
    Some(Trouble { part, reason })
}

async fn troubles(app: &App) -> Vec<Trouble> {
    let authority: &Authority = &app.authority;
    let now = authority.clock.now();
    let mut troubles = Vec::new();
    let issuing = authority.succession.at(now);
    if now < issuing.chain.not_before() || now >= issuing.chain.not_after() {
        let reason = "the authority's certificates are not valid by the clock of this machine";
        troubles.push(Trouble { part: "chain", reason });
    }
    match authority.logs.current(issuing.profile.not_after(now)) {
        Err(error) => troubles.push(Trouble { part: "log", reason: problem::unready(&error) }),
        Ok(log) if log.signed_head().await.is_err() => {
            troubles.push(Trouble { part: "log", reason: "the log cannot sign its head" });
        }
        Ok(_) => {}
    }
    troubles.extend(app.shared.health.of_late(now));
    troubles
}

/// What will keep us from issuing before long, or keeps us from what is not issuing.
fn warnings(app: &App) -> Vec<Trouble> {
    let authority: &Authority = &app.authority;
    let now = authority.clock.now();
    let not_after = authority.succession.at(now).profile.not_after(now);
    let covered = authority.logs.covered(not_after);
    let shard = Trouble { part: "log", reason: "the next shard of the log is missing" };
    let file = Trouble {
        part: "configuration",
        reason: "the file does not hold; what was in force before stays, and the next start fails",
    };
    let repository = Trouble {
        part: "trust files",
        reason: "the TUF repository is about to expire, or has new keys that have signed nothing yet",
    };
    let witnesses = Trouble {
        part: "witnesses",
        reason: "the newest checkpoints of the log are not cosigned; certificates are issued all the same",
    };
    let wanting = authority.logs.all().iter().any(|log| log.wants_witnesses(now));
    let stamping = app.timestamps.as_ref().map(|(timestamping, _)| timestamping.ready());
    let stamping = stamping.and_then(Result::err).map(|error| problem::unstamped(&error));
    let rows = [
        (covered <= now.plus(AHEAD), shard),
        (app.unfit.load(Ordering::Relaxed), file),
        (app.shared.trust_files.is_overdue(now), repository),
        (wanting, witnesses),
    ];
    let rows = rows.into_iter().filter_map(|(counts, trouble)| counts.then_some(trouble));
    rows.chain(stamping.map(|reason| Trouble { part: "timestamps", reason })).collect()
}

/// Fulcio's answer to `/healthz`.
pub(super) async fn alive() -> Response {
    answers::json(r#"{"status":"SERVING"}"#)
}

/// Our answer to `/readyz`.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let troubles = troubles(&app).await;
    let status = if troubles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let said = |troubles: &[Trouble]| -> Vec<Value> {
        troubles.iter().map(|t| json!({ "part": t.part, "reason": t.reason })).collect()
    };
    let body = json!({
        "ready": troubles.is_empty(),
        "reasons": said(&troubles),
        "warnings": said(&warnings(&app)),
    });
    (status, answers::json(body.to_string())).into_response()
}

/// As upstream: any service serves, and nothing else is implemented; but the authority's own service
/// serves only while it can issue.
#[async_trait]
impl health_server::Health for App {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let serves = request.get_ref().service != SERVICE_NAME || troubles(self).await.is_empty();
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(tonic::Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Never;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Never>, Status> {
        Err(Status::unimplemented("watching is not implemented; ask again instead"))
    }
}

/// The stream that there never is.
type Never = tonic::codegen::tokio_stream::Pending<Result<HealthCheckResponse, Status>>;
