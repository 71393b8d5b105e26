//! `/metrics`: what will end, as Prometheus reads it.
//!
//! Anybody may ask, and so it says nothing of what is issued, not even how much: that is for those who may read
//! the logs.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::time::Timestamp;

use super::App;

/// Answers `/metrics`.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let now = app.authority.clock.now();
    let chain = &app.authority.succession.at(now).chain;
    let ends = [("authority", Some(chain.not_after())), ("tuf", app.shared.trust_files.overdue())];
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4"), (CACHE_CONTROL, "no-store")];
    (headers, text(&ends)).into_response()
}

/// The lines: what ends when, or is about to if nobody signs it anew; what is not known has none.
fn text(ends: &[(&str, Option<Timestamp>)]) -> String {
    let mut text = "# HELP mayfly_expiry_timestamp_seconds When this ends: the issuing chain, or what the TUF \
                    repository has signed, less the time that it takes to sign it anew.\n\
                    # TYPE mayfly_expiry_timestamp_seconds gauge\n"
        .to_owned();
    for (of, end) in ends.iter().filter_map(|(of, end)| Some((of, end.as_ref()?))) {
        text += &format!("mayfly_expiry_timestamp_seconds{{of=\"{of}\"}} {}\n", end.as_secs());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_that_is_known_has_a_line() {
        let text = text(&[("authority", Some(Timestamp::from_secs(7))), ("tuf", None)]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["mayfly_expiry_timestamp_seconds{of=\"authority\"} 7"]);
    }
}
