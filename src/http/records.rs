//! `/api/records`: what was issued and what was refused, for whoever reviews it.
//!
//! ```text
//! GET /api/records?repository=acme/app&ref=refs/tags/*&since=24h     filters, as `log search` has them
//!                 &q=word                                            words of any field
//!                 &result=refused&limit=1000&cursor=1f-3
//! GET /api/records/17, /api/records/2026/17                          one entry: of today's shard, of that one
//! ```
//!
//! Newest first. A page is JSON (`records`, and `next`, the cursor), or JSON lines or CSV where `Accept`
//! prefers those; then `Link` leads on. A page may be short, even empty, and lead on: how much is read for
//! one is bounded.

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LINK};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::explorer::{ExplorerError, Page, Question};
use crate::quote;
use crate::record::Record;
use crate::record::csv;
use crate::record::search::Search;
use crate::time::Timestamp;

use super::App;
use super::problem::Problem;

/// How many records a page has where nothing is said, and at most.
const LIMIT: usize = 100;
const MOST: usize = 1000;

/// The routes of the records.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/api/records", get(list))
        .route("/api/records/{index}", get(one))
        .route("/api/records/{shard}/{index}", get(one_of))
}

async fn list(
    State(app): State<App>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    (uri, headers): (Uri, HeaderMap),
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::query_invalid(error.body_text()))?;
    let question = question(&query, app.authority.clock.now())?;
    let page = app.explorer.ask(question).await.map_err(unreadable)?;
    let mut response = Form::of(&headers).response(&page);
    response.headers_mut().extend(page.next.and_then(|next| link(&uri, &next.to_string())));
    Ok(response)
}

async fn one(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(index) = path.map_err(|_| no_index())?;
    record(&app, None, &index).await
}

async fn one_of(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((shard, index)) = path.map_err(|_| no_index())?;
    record(&app, Some(&shard), &index).await
}

async fn record(app: &App, shard: Option<&str>, index: &str) -> Result<Response, Problem> {
    let index = number(index).ok_or_else(no_index)?;
    let now = app.authority.clock.now();
    let record = app.explorer.record(shard, index, now).await.map_err(unreadable)?;
    let record = record.ok_or_else(Problem::no_record)?;
    Ok(answer("application/json", json(&record)))
}

/// A number in its one form, so that an entry has one address: no sign, no zeros before it.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

fn no_index() -> Problem {
    Problem::query_invalid(
        "/api/records/ takes the position of an entry in the log, a number; for a request id or a serial \
         number ask /api/records?request= or ?serial=",
    )
}

fn unreadable(error: ExplorerError) -> Problem {
    if error == ExplorerError::Busy {
        return Problem::overloaded();
    }
    tracing::error!(%error, "the records cannot be read");
    Problem::records_unreadable()
}

/// What a query asks.
fn question(query: &[(String, String)], now: Timestamp) -> Result<Question, Problem> {
    let mut question = Question { limit: LIMIT, ..Question::default() };
    let mut terms = Vec::new();
    for (name, value) in query {
        match name.as_str() {
            "limit" => question.limit = limit(value)?,
            "cursor" => {
                let cursor = value.parse();
                let cursor = cursor.map_err(|error| Problem::query_invalid(format!("{error}")))?;
                question.cursor = Some(cursor);
            }
            "format" => {
                return Err(Problem::query_invalid(
                    "there is no parameter format; Accept says how the page is written: \
                     application/json, application/x-ndjson or text/csv",
                ));
            }
            "q" => terms.extend(value.split_whitespace().map(str::to_owned)),
            _ => terms.push(format!("{name}={value}")),
        }
    }
    let search = Search::parse(terms.iter().map(String::as_str), now);
    question.search = search.map_err(|error| Problem::query_invalid(error.to_string()))?;
    Ok(question)
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = number(text).and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| Problem::query_invalid(format!("limit is a number from 1 to {MOST}")))
}

/// The header that leads to the next page: the same query with another cursor.
fn link(uri: &Uri, cursor: &str) -> Option<(axum::http::HeaderName, HeaderValue)> {
    let query = uri.query().unwrap_or_default().split('&');
    let kept = query.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query = kept.map(|pair| format!("{pair}&")).collect::<String>();
    let link = format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path());
    Some((LINK, HeaderValue::from_str(&link).ok()?))
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
    Csv,
}

impl Form {
    /// The first that `Accept` names; JSON where it names none of them.
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let kinds = accepted.flat_map(|value| value.split(','));
        let mut forms = kinds.filter_map(|kind| match kind.split(';').next()?.trim() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/jsonl" => Some(Self::Lines),
            "text/csv" => Some(Self::Csv),
            _ => None,
        });
        forms.next().unwrap_or(Self::Json)
    }

    fn response(self, page: &Page) -> Response {
        #[derive(Serialize)]
        struct Object<'a> {
            records: &'a [Record],
            next: Option<String>,
        }
        match self {
            Self::Json => {
                let next = page.next.map(|next| next.to_string());
                answer("application/json", json(&Object { records: &page.records, next }))
            }
            Self::Lines => {
                let lines = page.records.iter().map(|record| json(record) + "\n");
                answer("application/x-ndjson", lines.collect())
            }
            Self::Csv => {
                let table = csv::table(&page.records, str::to_owned);
                answer("text/csv; charset=utf-8; header=present", table)
            }
        }
    }
}

/// Text and numbers alone: there is nothing in it that JSON does not have. It may end on a terminal.
fn json(value: &impl Serialize) -> String {
    quote::json(&serde_json::to_string(value).unwrap_or_default()).to_string()
}

fn answer(media_type: &'static str, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_too_many_before_him_is_told_to_come_again() {
        let response = unreadable(ExplorerError::Busy).into_response();
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
    }

    #[test]
    fn the_next_page_is_asked_as_the_first_was() {
        for (uri, expected) in [
            ("/api/records", "</api/records?cursor=1f-3>; rel=\"next\""),
            (
                "/api/records?q=a%2Fb&cursor=2-2&limit=5",
                "</api/records?q=a%2Fb&limit=5&cursor=1f-3>; rel=\"next\"",
            ),
        ] {
            let (_, value) = link(&uri.parse().unwrap(), "1f-3").unwrap();
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn the_first_form_that_is_known_counts() {
        for (accept, form) in [
            ("*/*", Form::Json),
            ("text/html, text/csv;q=0.9", Form::Csv),
            ("application/x-ndjson", Form::Lines),
            ("application/json, text/csv", Form::Json),
        ] {
            let headers = [(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
            assert_eq!(Form::of(&headers), form, "{accept}");
        }
    }
}
