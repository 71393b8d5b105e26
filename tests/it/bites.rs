//! Bites: one for every reason to refuse. Each starts from a golden that passes, changes one thing, and
//! meets exactly the error that this must be, as a value and as the answer carries it.
//!
//! After each the untouched request is issued, so that nothing else can have been the reason; and the
//! refused one has left nothing in the log. [`complete`] holds the tables to the enums in `src/`: a
//! variant, or a reason, that no bite meets fails by name.

use std::panic::Location;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use mayfly::authority::{Authority, Failure, IssueError, Request};
use mayfly::http::{App, router};
use mayfly::possession::Proof;
use mayfly::record::Caller;
use mayfly::trust::Material;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::authority::{Parts, golden};
use crate::support::caller;
use crate::support::patience::soon;
use crate::support::signer::FaultySigner;

mod complete;
mod door;
mod identity;
mod ours;
mod policy;
mod possession;
mod token;

/// What a caller sends, each part open to change.
struct Ask {
    header: Value,
    claims: Value,
    /// What becomes of the claims' JSON before it is signed.
    text: fn(String) -> Vec<u8>,
    /// What becomes of the token when it is signed.
    token: fn(String) -> String,
    /// Takes the place of the caller's signed challenge.
    proof: Option<Proof>,
}

impl Ask {
    /// The golden of `case`: `github/push`.
    fn golden(case: &str) -> Self {
        Self {
            header: caller::header(),
            claims: caller::claims(&golden(case)),
            text: String::into_bytes,
            token: |token| token,
            proof: None,
        }
    }

    fn request(self) -> Request {
        let claims = (self.text)(self.claims.to_string());
        Request {
            token: (self.token)(caller::token(&self.header, &claims)),
            proof: self.proof.unwrap_or_else(|| caller::proof(&self.claims)),
            caller: Caller::default(),
        }
    }
}

/// The one thing that is changed.
enum Change {
    /// What is sent.
    Ask(fn(&mut Ask)),
    /// Whom it is sent to.
    World(fn(&mut Parts)),
}

/// What it must end in.
struct Outcome {
    error: IssueError,
    status: u16,
    reason: &'static str,
    /// How many entries each attempt leaves in the log.
    logged: u64,
}

impl Outcome {
    fn new(error: impl Into<IssueError>, status: u16, reason: &'static str) -> Self {
        Self { error: error.into(), status, reason, logged: 0 }
    }

    /// Whether the caller reads the error's own sentence: theirs is the fault, or nobody's here.
    fn is_said(&self) -> bool {
        matches!(
            self.error,
            IssueError::Refused(_) | IssueError::Failed(Failure::IssuerUnreachable { .. })
        )
    }
}

/// A golden, one thing changed, and what it must end in.
struct Bite {
    at: &'static Location<'static>,
    case: &'static str,
    change: Change,
    outcome: Outcome,
}

impl Bite {
    #[track_caller]
    fn ask(case: &'static str, change: fn(&mut Ask), outcome: Outcome) -> Self {
        Self { at: Location::caller(), case, change: Change::Ask(change), outcome }
    }

    #[track_caller]
    fn world(case: &'static str, change: fn(&mut Parts), outcome: Outcome) -> Self {
        Self { at: Location::caller(), case, change: Change::World(change), outcome }
    }

    async fn check(&self) {
        let untouched = Parts::golden();
        let good = Ask::golden(self.case).request();
        let authority = match &self.change {
            Change::Ask(change) => {
                let mut ask = Ask::golden(self.case);
                change(&mut ask);
                let authority = Arc::new(untouched.open());
                refused(&authority, &ask.request(), &self.outcome, self.at).await;
                authority
            }
            Change::World(change) => {
                let store = Arc::clone(&untouched.store);
                let mut touched = Parts { store, ..Parts::golden() };
                change(&mut touched);
                refused(&Arc::new(touched.open()), &good, &self.outcome, self.at).await;
                Arc::new(untouched.open())
            }
        };
        issued(&authority, &good, self.at).await;
    }
}

/// Every bite of a table bites.
async fn check(bites: Vec<Bite>) {
    for bite in &bites {
        bite.check().await;
    }
}

/// Both the authority and its door refuse `request`, for this reason and no other.
async fn refused(
    authority: &Arc<Authority>,
    request: &Request,
    outcome: &Outcome,
    at: &Location<'_>,
) {
    let before = authority.logs.size();
    let error = soon("an answer", authority.issue(request.clone())).await.err();
    assert_eq!(error.as_ref(), Some(&outcome.error), "{at}");
    refused_at_the_door(
        &App::new(Arc::clone(authority), &Material::default()),
        request,
        outcome,
        at,
    )
    .await;
    assert_eq!(authority.logs.size() - before, 2 * outcome.logged, "{at}: what is logged");
}

/// The door alone refuses it, and says so in the words that it must use, and in no others.
async fn refused_at_the_door(app: &App, request: &Request, outcome: &Outcome, at: &Location<'_>) {
    let answer = answer(app, sent(request)).await;
    assert_eq!((answer.status, answer.reason.as_str()), (outcome.status, outcome.reason), "{at}");
    let (message, error) = (&answer.message, outcome.error.to_string());
    if outcome.is_said() {
        assert_eq!(*message, error, "{at}");
    } else {
        assert!(message.contains("; this is not your fault, try again; request id "), "{at}");
        assert!(!message.contains(&error) && !message.contains(FaultySigner::SECRET), "{at}");
    }
    let signature = request.token.rsplit('.').next().unwrap_or_default();
    assert!(signature.len() < 40 || !message.contains(signature), "{at}: repeats the token");
}

/// The authority issues, and its door does, and both certificates are in the log.
async fn issued(authority: &Arc<Authority>, request: &Request, at: &Location<'_>) {
    let before = authority.logs.size();
    if let Err(error) = soon("an answer", authority.issue(request.clone())).await {
        panic!("{at}: the untouched request is refused: {error}");
    }
    let app = App::new(Arc::clone(authority), &Material::default());
    let answer = answer(&app, sent(request)).await;
    assert_eq!(answer.status, 200, "{at}: {}", answer.message);
    assert_eq!(authority.logs.size(), before + 2, "{at}: what is logged");
}

fn sent(request: &Request) -> axum::http::Request<Body> {
    let body = message(request).to_string();
    axum::http::Request::post(door::SIGN).body(body.into()).expect("a request")
}

/// A request as Fulcio's second API has it.
fn message(request: &Request) -> Value {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("keys are sent as text");
    let (member, proof) = match &request.proof {
        Proof::Csr(csr) => ("certificateSigningRequest", json!(STANDARD.encode(csr))),
        Proof::SignedChallenge { key, signature } => (
            "publicKeyRequest",
            json!({
                "publicKey": { "content": text(key) },
                "proofOfPossession": STANDARD.encode(signature),
            }),
        ),
    };
    json!({ "credentials": { "oidcIdentityToken": request.token }, member: proof })
}

/// What a caller reads.
#[derive(Debug)]
struct Answer {
    status: u16,
    reason: String,
    message: String,
}

async fn answer(app: &App, request: axum::http::Request<Body>) -> Answer {
    let Ok(response) = soon("an answer", router(app.clone()).oneshot(request)).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Answer { status, reason: text(&body["details"][0]["reason"]), message: text(&body["message"]) }
}
