//! Why there is no certificate, said to callers: one row for every error.
//!
//! The tables in `table` are the whole mapping. They have no arm for "everything else", so that a new
//! variant anywhere stops the build here until it has a row. Over HTTP a problem is the JSON object of
//! gRPC's HTTP gateway, which Fulcio's clients print as it stands:
//!
//! ```text
//! {"code":3,"message":"…","details":[
//!   {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TOKEN_EXPIRED","domain":"mayfly",
//!    "metadata":{"claim":"exp","got":"2026-01-01T00:00:18Z"}},
//!   {"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"…","servingData":""}]}
//! ```
//!
//! Over gRPC the same two details travel in `grpc-status-details-bin` as a `google.rpc.Status`.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use tonic::Code;

use crate::authority::{IssueError, Refusal};
use crate::config::Denials;
use crate::log::LogError;
use crate::timestamping::StampError;

use super::RequestId;

mod metadata;
mod open;
mod reading;
mod rpc;
mod table;
mod timestamp;

use metadata::Metadata;
use table::{LATER, NEVER, Row, SOON, failed, refused};

/// What `ErrorInfo.domain` says: whose reasons these are.
const DOMAIN: &str = "mayfly";

/// A refusal or a failure on its way out, by whichever door.
#[derive(Clone, Debug)]
pub struct Problem {
    reason: &'static str,
    code: Code,
    status: StatusCode,
    message: Message,
    metadata: Metadata,
    retry_after: Option<Duration>,
    closes: bool,
}

/// The sentence for the person who reads the CI log.
#[derive(Clone, Debug)]
enum Message {
    /// It stands.
    Said(String),
    /// Our fault: what happened, in words that tell nothing of our insides; the request id follows.
    Ours(&'static str),
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        let metadata = Metadata::of(&error);
        let problem = match error {
            IssueError::Refused(refusal) => {
                Self::row(refused(&refusal), Message::Said(refusal.to_string()))
            }
            IssueError::Failed(failure) => {
                let (row, message) = failed(&failure);
                Self::row(row, message)
            }
        };
        Self { metadata, ..problem }
    }
}

impl Problem {
    /// An exchange's error, with as much of the rules as callers may know.
    pub fn of(error: IssueError, denials: Denials) -> Self {
        let hidden =
            denials == Denials::Brief && matches!(error, IssueError::Refused(Refusal::Policy(_)));
        let problem = Self::from(error);
        if !hidden {
            return problem;
        }
        let message = Message::Said("this identity may not have a certificate here".to_owned());
        Self { message, metadata: problem.metadata.without_rules(), ..problem }
    }
}

/// Problems that arise at the door, before or instead of an exchange.
impl Problem {
    fn row(Row(reason, code, retry_after): Row, message: Message) -> Self {
        let (status, metadata) = (status(code), Metadata::default());
        Self { reason, code, status, message, metadata, retry_after, closes: false }
    }

    /// A caller's fault, in the words of whoever knows the rule.
    pub fn said(reason: &'static str, code: Code, sentence: impl Into<String>) -> Self {
        Self::row(Row(reason, code, NEVER), Message::Said(sentence.into()))
    }

    /// The body is not what the route takes.
    pub fn malformed(sentence: impl Into<String>) -> Self {
        Self::said("REQUEST_MALFORMED", Code::InvalidArgument, sentence)
    }

    /// The body is longer than Fulcio's routes take: upstream's answer.
    pub fn body_too_large() -> Self {
        let sentence = "request body too large: these routes take 4 MiB";
        Self::said("REQUEST_TOO_LARGE", Code::InvalidArgument, sentence).closing()
    }

    /// The body did not arrive in time.
    pub fn body_too_slow() -> Self {
        let sentence = "the request body did not arrive in time";
        Self::said("REQUEST_TIMEOUT", Code::DeadlineExceeded, sentence)
            .with_status(StatusCode::REQUEST_TIMEOUT)
            .closing()
    }

    /// The body broke off.
    pub fn body_broken() -> Self {
        Self::malformed("the request body broke off").closing()
    }

    /// No such path.
    pub fn not_found() -> Self {
        Self::said("NOT_FOUND", Code::NotFound, "Not Found: there is nothing at this path")
    }

    /// No such gRPC service.
    pub fn no_such_service() -> Self {
        Self::said("NOT_FOUND", Code::Unimplemented, "there is no such gRPC service here")
    }

    /// Another method, on one of Fulcio's routes: upstream's answer.
    pub fn method_not_implemented() -> Self {
        Self::said("METHOD_NOT_ALLOWED", Code::Unimplemented, "Method Not Allowed")
    }

    /// Another method, on one of our own routes.
    pub fn method_not_allowed() -> Self {
        Self::method_not_implemented().with_status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// More exchanges under way than we take at once.
    pub fn overloaded() -> Self {
        Self::row(
            Row("OVERLOADED", Code::Unavailable, SOON),
            Message::Ours("more requests are under way than this instance takes at once"),
        )
    }

    /// The exchange took longer than anybody waits.
    pub fn too_slow() -> Self {
        Self::row(
            Row("TOO_SLOW", Code::Unavailable, LATER),
            Message::Ours("the answer was not ready in time"),
        )
    }

    /// The log does not answer.
    pub fn log_unreadable() -> Self {
        let what = "the log cannot be read at the moment";
        Self::row(Row("LOG_UNAVAILABLE", Code::Unavailable, SOON), Message::Ours(what))
    }

    /// A defect of ours ended the request.
    pub fn defect() -> Self {
        Self::row(
            Row("INTERNAL", Code::Internal, NEVER),
            Message::Ours("a defect in the server ended this request"),
        )
    }

    /// The same, with another sentence.
    pub fn saying(self, sentence: impl Into<String>) -> Self {
        Self { message: Message::Said(sentence.into()), ..self }
    }

    fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn closing(self) -> Self {
        Self { closes: true, ..self }
    }
}

impl Problem {
    /// The stable word for machines, `TOKEN_EXPIRED`.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The sentence as the caller reads it.
    fn sentence(&self, id: &RequestId) -> String {
        match &self.message {
            Message::Said(sentence) => sentence.clone(),
            Message::Ours(what) => {
                format!("{what}; this is not your fault, try again; request id {id}")
            }
        }
    }

    /// The JSON object that says it.
    pub fn body(&self, id: &RequestId) -> String {
        let metadata: serde_json::Map<String, serde_json::Value> =
            self.metadata.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        serde_json::json!({
            "code": self.code as i32,
            "message": self.sentence(id),
            "details": [
                {
                    "@type": rpc::ErrorInfo::URL,
                    "reason": self.reason,
                    "domain": DOMAIN,
                    "metadata": metadata,
                },
                { "@type": rpc::RequestInfo::URL, "requestId": id.as_str(), "servingData": "" },
            ],
        })
        .to_string()
    }

    /// The gRPC status.
    pub fn status(&self, id: &RequestId) -> tonic::Status {
        let sentence = self.sentence(id);
        let details = rpc::Status::encode(
            self.code as i32,
            &sentence,
            rpc::ErrorInfo::new(self.reason, DOMAIN, self.metadata.iter()),
            rpc::RequestInfo::new(id.as_str()),
        );
        let mut status = tonic::Status::with_details(self.code, sentence, details);
        if let Some(after) = self.retry_after {
            status.metadata_mut().insert("retry-after", after.as_secs().into());
        }
        status
    }
}

/// Status and headers, and the problem itself in the extensions: the outermost layer, which knows the
/// request id, writes the body.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Attack: a cache may keep a 404 or a 405 that says nothing of it, and what is not there yet may be
        // there a moment later.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The HTTP status of a code, as gRPC's gateway maps them.
fn status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Why nothing is stamped, in words for strangers.
pub fn unstamped(error: &StampError) -> &'static str {
    timestamp::unstamped(error).1
}

/// Why the log takes no entries, in words for strangers.
pub fn unready(error: &LogError) -> &'static str {
    table::log(error).1
}

#[cfg(test)]
mod tests {
    use crate::authority::Failure;
    use crate::certificate::profile::ProfileError;
    use crate::policy::PolicyError;
    use crate::signer::SignerError;
    use crate::time::Timestamp;
    use crate::token::TokenError;

    use super::*;

    const SECRET: &str = "slot 3: PIN 1234";

    #[track_caller]
    fn check(error: IssueError, reason: &str, status: u16, code: Code) -> String {
        let problem = Problem::from(error);
        assert_eq!((problem.reason, problem.status.as_u16()), (reason, status));
        assert_eq!(problem.code, code);
        let id = RequestId::none();
        let body: serde_json::Value = serde_json::from_str(&problem.body(&id)).unwrap();
        assert_eq!(body["code"], code as i32);
        assert_eq!(body["message"], problem.status(&id).message());
        assert!(!body.to_string().contains(SECRET), "{body}");
        body["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn refusals_say_what_their_stage_says() {
        let refused = |refusal: Refusal| (refusal.to_string(), IssueError::Refused(refusal));
        let (said, error) = refused(Refusal::Token(TokenError::Empty));
        assert_eq!(check(error, "TOKEN_MISSING", 400, Code::InvalidArgument), said);
        let (said, error) = refused(Refusal::IssuerUnknown {
            issuer: "x".into(),
            sentence: "issuer x is not configured".into(),
        });
        assert_eq!(check(error, "ISSUER_UNKNOWN", 400, Code::InvalidArgument), said);
    }

    #[test]
    fn failures_keep_their_cause_to_themselves() {
        let ours = |failure, reason, status, code| {
            let said = check(IssueError::Failed(failure), reason, status, code);
            assert!(said.contains("; this is not your fault, try again; request id "), "{said}");
        };
        let signer = || SignerError(SECRET.to_owned());
        let unavailable = Code::Unavailable;
        ours(Failure::Signer(signer()), "SIGNER_UNAVAILABLE", 503, unavailable);
        ours(Failure::Log(LogError::Signer(signer())), "LOG_UNAVAILABLE", 503, unavailable);
        ours(Failure::Log(LogError::Record(SECRET.into())), "LOG_UNAVAILABLE", 503, unavailable);
        ours(Failure::Log(LogError::Damaged(SECRET.into())), "LOG_DAMAGED", 503, unavailable);
        ours(Failure::Log(LogError::Full), "LOG_FULL", 503, unavailable);
        ours(Failure::Log(LogError::Closed), "SHUTTING_DOWN", 503, unavailable);
        let expired = ProfileError::AuthorityExpired { not_after: Timestamp::from_secs(0) };
        ours(Failure::Profile(expired), "AUTHORITY_EXPIRED", 503, unavailable);
    }

    #[test]
    fn an_issuer_that_is_down_is_nobodys_fault_here() {
        let error = IssueError::Failed(Failure::IssuerUnreachable {
            issuer: "x".into(),
            trouble: "connection refused",
            sentence: SECRET.to_owned(),
        });
        let sentence = check(error, "ISSUER_UNREACHABLE", 503, Code::Unavailable);
        assert_eq!(
            sentence,
            "issuer x does not answer (connection refused); this is not the token's fault, try again"
        );
    }

    #[test]
    fn where_denials_are_brief_nothing_is_said_of_the_rules() {
        let denied = || {
            IssueError::Refused(Refusal::Policy(PolicyError::Denied {
                issuer: "https://a.example".to_owned(),
                rule: "\"no-forks\"".to_owned(),
                why: None,
                claim: "event_name".to_owned(),
                got: "pull_request_target".to_owned(),
            }))
        };
        let id = RequestId::none();
        let full = Problem::of(denied(), Denials::Full).body(&id);
        assert!(full.contains("no-forks") && full.contains("pull_request_target"), "{full}");
        let brief = Problem::of(denied(), Denials::Brief);
        let status = brief.status(&id);
        assert_eq!(status.message(), "this identity may not have a certificate here");
        assert!(!String::from_utf8_lossy(status.details()).contains("no-forks"));
        let body: serde_json::Value = serde_json::from_str(&brief.body(&id)).unwrap();
        let info = &body["details"][0];
        assert_eq!((&body["code"], &info["reason"]), (&7.into(), &"DENIED_BY_RULE".into()));
        assert_eq!(info["metadata"], serde_json::json!({ "issuer": "https://a.example" }));
        let other = IssueError::Refused(Refusal::Token(TokenError::Empty));
        assert!(Problem::of(other, Denials::Brief).body(&id).contains("there is no token"));
    }

    #[test]
    fn both_doors_give_the_same_metadata() {
        let missing = IssueError::Refused(Refusal::Token(TokenError::ClaimMissing("exp")));
        let problem = Problem::from(missing);
        let id = RequestId::none();
        let body: serde_json::Value = serde_json::from_str(&problem.body(&id)).unwrap();
        assert_eq!(body["details"][0]["metadata"], serde_json::json!({ "claim": "exp" }));
        let info = rpc::ErrorInfo::of_details(problem.status(&id).details()).unwrap();
        assert_eq!(info.metadata(), &[("claim".to_owned(), "exp".to_owned())].into());
    }
}
