//! What is refused at the door, before or instead of an exchange.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::{Full, Limited};
use mayfly::http::App;
use mayfly::trust::Material;

use crate::support::authority::Parts;
use crate::support::signer::Mishap;

use super::Ask;

/// Where certificates are to be had.
pub const SIGN: &str = "/api/v2/signingCert";

const CASE: &str = "github/push";

/// An HTTP request, each part open to change.
struct Sent {
    method: Method,
    path: &'static str,
    body: String,
    /// After how many octets the body breaks off.
    breaks: usize,
}

impl Sent {
    /// The golden one.
    fn golden() -> Self {
        let body = super::message(&Ask::golden(CASE).request()).to_string();
        Self { method: Method::POST, path: SIGN, body, breaks: usize::MAX }
    }

    fn request(self) -> Request<Body> {
        let body = Limited::new(Full::from(self.body), self.breaks);
        let request = Request::builder().method(self.method).uri(self.path);
        request.body(Body::new(body)).expect("a request")
    }
}

/// A request with one thing changed, and what it is answered.
struct Knock {
    at: &'static Location<'static>,
    change: fn(&mut Sent),
    status: u16,
    reason: &'static str,
    /// Words of the sentence.
    says: &'static str,
}

#[track_caller]
fn knock(change: fn(&mut Sent), status: u16, reason: &'static str, says: &'static str) -> Knock {
    Knock { at: Location::caller(), change, status, reason, says }
}

#[track_caller]
fn malformed(change: fn(&mut Sent), says: &'static str) -> Knock {
    knock(change, 400, "REQUEST_MALFORMED", says)
}

fn knocks() -> Vec<Knock> {
    vec![
        malformed(|sent| sent.body.insert(0, '!'), "not JSON"),
        malformed(|sent| sent.body = "[]".to_owned(), "expected an object"),
        malformed(|sent| sent.body.truncate(9), "breaks off in the middle"),
        malformed(|sent| sent.breaks = 3, "the request body broke off"),
        malformed(|sent| add(sent, r#""certificateSigningRequest":"YQ==""#), "send one of them"),
        malformed(|sent| add(sent, r#""credentials":{}"#), "duplicate field `credentials`"),
        knock(
            |sent| sent.body.push_str(&" ".repeat(4 << 20)),
            400,
            "REQUEST_TOO_LARGE",
            "request body too large",
        ),
        knock(|sent| sent.method = Method::PUT, 501, "METHOD_NOT_ALLOWED", "Method Not Allowed"),
        knock(|sent| sent.path = "/readyz", 405, "METHOD_NOT_ALLOWED", "Method Not Allowed"),
        knock(|sent| sent.path = "/api/v3/signingCert", 404, "NOT_FOUND", "nothing at this path"),
        // Version 1 calls it otherwise, and looks for it first.
        knock(|sent| sent.path = "/api/v1/signingCert", 400, "KEY_MISSING", "no public key"),
        knock(|sent| sent.body = "{}".to_owned(), 400, "TOKEN_MISSING", "there is no token"),
    ]
}

/// Adds a member to the message.
fn add(sent: &mut Sent, member: &str) {
    sent.body = sent.body.replacen('{', &format!("{{{member},"), 1);
}

#[tokio::test]
async fn knocks_at_the_door() {
    for Knock { at, change, status, reason, says } in knocks() {
        let authority = Arc::new(Parts::golden().open());
        let app = App::new(Arc::clone(&authority), &Material::default());
        let mut sent = Sent::golden();
        change(&mut sent);
        let answer = super::answer(&app, sent.request()).await;
        assert_eq!((answer.status, answer.reason.as_str()), (status, reason), "{at}: {answer:?}");
        assert!(answer.message.contains(says), "{at}: {answer:?}");
        assert_eq!(authority.logs.size(), 0, "{at}");
        assert_eq!(super::answer(&app, Sent::golden().request()).await.status, 200, "{at}");
        super::issued(&authority, &Ask::golden(CASE).request(), at).await;
    }
}

/// A good request that meets us at a bad time.
struct Strain {
    at: &'static Location<'static>,
    begin: fn(App, &Parts) -> App,
    status: u16,
    reason: &'static str,
}

#[track_caller]
fn strain(begin: fn(App, &Parts) -> App, status: u16, reason: &'static str) -> Strain {
    Strain { at: Location::caller(), begin, status, reason }
}

fn strains() -> Vec<Strain> {
    vec![
        strain(|app, _| app.with_exchanges(0), 503, "OVERLOADED"),
        strain(
            |app, parts| {
                parts.signer.fail(Mishap::Hangs);
                app.with_patience(Duration::from_millis(1))
            },
            503,
            "TOO_SLOW",
        ),
        strain(
            |app, parts| {
                parts.signer.fail(Mishap::Panics);
                app
            },
            500,
            "INTERNAL",
        ),
    ]
}

#[tokio::test]
async fn strains_at_the_door() {
    for Strain { at, begin, status, reason } in strains() {
        let parts = Parts::golden();
        let authority = Arc::new(parts.open());
        let app = begin(App::new(Arc::clone(&authority), &Material::default()), &parts);
        let answer = super::answer(&app, Sent::golden().request()).await;
        assert_eq!((answer.status, answer.reason.as_str()), (status, reason), "{at}: {answer:?}");
        assert!(
            answer.message.contains("; this is not your fault, try again; request id "),
            "{at}"
        );
        assert_eq!(authority.logs.size(), 0, "{at}");
        parts.signer.heal();
        super::issued(&authority, &Ask::golden(CASE).request(), at).await;
    }
}

/// The reasons that all of these are given.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    let knocks = knocks().into_iter().map(|knock| knock.reason);
    knocks.chain(strains().into_iter().map(|strain| strain.reason))
}
