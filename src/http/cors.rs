//! Other origins' scripts: what Fulcio's gateway lets them do.
//!
//! Any origin may GET, POST and HEAD with the headers that need no asking. `Authorization` is not
//! among them: scripts put their token into the body of version 2.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];
const HEADERS: [&str; 3] = ["accept", "content-type", "x-requested-with"];
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Answers a preflight; marks every other answer as open to all origins.
pub async fn answer(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return (StatusCode::NO_CONTENT, preflight(headers)).into_response();
    }
    let open = headers.contains_key(ORIGIN) && METHODS.contains(&request.method().as_str());
    let mut response = next.run(request).await;
    response.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
    if open {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    }
    response
}

/// The headers of a preflight's answer: an answer without leave is a refusal.
fn preflight(asked: &HeaderMap) -> HeaderMap {
    let mut answer = HeaderMap::new();
    answer.insert(
        VARY,
        HeaderValue::from_static(
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ),
    );
    let method = asked
        .get(ACCESS_CONTROL_REQUEST_METHOD)
        .filter(|method| method.to_str().is_ok_and(|method| METHODS.contains(&method)));
    let Some(method) = method.filter(|_| asked.contains_key(ORIGIN)) else { return answer };
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
    if !wanted.is_none_or(are_allowed) {
        return answer;
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(wanted) = wanted {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer
}

fn are_allowed(wanted: &HeaderValue) -> bool {
    wanted.to_str().is_ok_and(|names| {
        let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.all(|name| HEADERS.iter().any(|allowed| name.eq_ignore_ascii_case(allowed)))
    })
}
