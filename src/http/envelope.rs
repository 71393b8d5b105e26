//! What every request and every answer carries: an id, a sender, and a way out of a panic.
//!
//! The outermost layer. It alone knows the request id, so it alone writes the body of a [`Problem`].

use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::record::Caller;

use super::App;
use super::problem::Problem;

/// The header that carries the request id, both ways.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A quirk of tonic's: a message that is too long is out of range to it, which we never say. To Go,
/// and so to Fulcio, it exhausts a resource.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OUT_OF_RANGE: &str = "11";
const RESOURCE_EXHAUSTED: HeaderValue = HeaderValue::from_static("8");

/// The longest id that we take from a caller.
const LONGEST_ID: usize = 128;

/// Tells one request from all others, in the answer, the log line and the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text: visible ASCII, at most 128 characters.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id of a request that never got one.
    pub(super) const fn none() -> Self {
        Self(HeaderValue::from_static("none"))
    }

    /// The caller's own id, if there is exactly one and it can stand in a log line as it is.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let (Some(id), None) = (values.next(), values.next()) else { return None };
        let sane =
            (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        sane.then(|| Self(id.clone()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes request ids that nobody had before: who runs, and a count.
pub(super) struct RequestIds {
    run: u64,
    count: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        // An id must be new, not secret: a hasher's random seed tells the runs apart.
        Self { run: RandomState::new().build_hasher().finish(), count: AtomicU64::new(0) }
    }
}

impl RequestIds {
    fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016x}-{count:x}", self.run);
        HeaderValue::try_from(id).map_or(RequestId::none(), RequestId)
    }
}

/// The address at the other end of the connection; the server puts it into the extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Who sent a request, for the log line and the record.
pub struct Sender(pub Caller);

impl Sender {
    /// The sender that the layers outside left in the extensions.
    pub fn of(extensions: &Extensions) -> Self {
        let id = extensions.get::<RequestId>();
        let client = extensions.get::<Peer>().map(|peer| peer.0);
        let request_id = id.map(|id| id.as_str().to_owned()).unwrap_or_default();
        Self(Caller { request_id, client })
    }
}

impl<S: Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Gives the request its id, and the answer too; a panic inside becomes an answer.
pub(super) async fn wrap(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers()).unwrap_or_else(|| app.shared.ids.next());
    let grpc = is_grpc(request.headers());
    request.extensions_mut().insert(id.clone());
    let (parts, body) = request.into_parts();
    let (body, share) = app.shared.room.receive(body);
    let request = Request::from_parts(parts, body);

    let inside = Guarded(Box::pin(next.run(request))).await;
    let mut response = inside.unwrap_or_else(|Panicked| {
        tracing::error!(request = id.as_str(), "a defect ended the request");
        Problem::defect().into_response()
    });
    if let Some(problem) = share.problem() {
        response = problem.into_response();
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        tracing::debug!(request = id.as_str(), reason = problem.reason(), "not served");
        response = tell(&problem, response, (grpc, &id));
    }
    let headers = response.headers_mut();
    if grpc && headers.get(GRPC_STATUS).is_some_and(|status| status == OUT_OF_RANGE) {
        headers.insert(GRPC_STATUS, RESOURCE_EXHAUSTED);
    }
    headers.insert(X_REQUEST_ID, id.0);
    response
}

/// The answer that tells `problem`: `bare`, which has its status and no body yet, or over gRPC another one.
fn tell(problem: &Problem, mut bare: Response, (grpc, id): (bool, &RequestId)) -> Response {
    if grpc {
        return problem.status(id).into_http();
    }
    bare.headers_mut().remove(CONTENT_LENGTH);
    *bare.body_mut() = problem.body(id).into();
    bare
}

/// The answer in the place of `response`, for which there is no room.
pub(super) fn overloaded(response: &Response) -> Response {
    let id = response.headers().get(X_REQUEST_ID).cloned();
    let id = id.map_or(RequestId::none(), RequestId);
    let problem = Problem::overloaded();
    let bare = problem.clone().into_response();
    let mut answer = tell(&problem, bare, (is_grpc(response.headers()), &id));
    answer.headers_mut().insert(X_REQUEST_ID, id.0);
    answer
}

/// The answer where there is no route.
pub(super) async fn not_found(headers: HeaderMap) -> Problem {
    if is_grpc(&headers) { Problem::no_such_service() } else { Problem::not_found() }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A future whose panic is a value: one request's defect must not take the connection, on which
/// others may be under way, or the process.
struct Guarded<F>(Pin<Box<F>>);

struct Panicked;

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ids: &[&[u8]], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
        }
        assert_eq!(RequestId::of(&headers).as_ref().map(RequestId::as_str), expected);
    }

    #[test]
    fn a_callers_id_is_kept_if_it_is_sane() {
        check(&[b"run/7#a"], Some("run/7#a"));
        check(&[&[b'x'; 128]], Some(&"x".repeat(128)));
        check(&[&[b'x'; 129]], None);
        check(&[b""], None);
        check(&[b"a b"], None);
        check(&[b"\xff"], None);
        check(&[b"a", b"b"], None);
        check(&[], None);
    }

    #[test]
    fn our_own_ids_are_sane_and_differ() {
        let ids = RequestIds::default();
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a, b);
        check(&[a.as_str().as_bytes()], Some(a.as_str()));
    }

    #[tokio::test]
    async fn a_panic_is_a_value() {
        let outcome = Guarded(Box::pin(async { panic!("the test wants it so") })).await;
        assert!(matches!(outcome, Err::<(), _>(Panicked)));
    }
}
