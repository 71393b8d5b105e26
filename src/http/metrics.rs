//! `/metrics`: what will end, and how large the logs are, as Prometheus reads it.
//!
//! Nothing in it is about anybody who asks, and nothing in it grows but by shards: a handful of lines.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::log::shards::Shards;
use crate::time::Timestamp;

use super::App;

/// Answers `/metrics`.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let now = app.authority.clock.now();
    let chain = &app.authority.succession.at(now).chain;
    let ends = [("authority", Some(chain.not_after())), ("tuf", app.shared.trust_files.overdue())];
    let logs = [("ct", &app.authority.logs), ("tlog", &app.signatures.logs)];
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4"), (CACHE_CONTROL, "no-store")];
    (headers, text(&ends, &logs)).into_response()
}

/// The lines: `ends` says what ends when, or is about to if nobody signs it anew.
fn text(ends: &[(&str, Option<Timestamp>)], logs: &[(&str, &Shards)]) -> String {
    let mut text = "# HELP mayfly_expiry_timestamp_seconds When this ends: the issuing chain, or what the TUF \
                    repository has signed, less the time that it takes to sign it anew.\n\
                    # TYPE mayfly_expiry_timestamp_seconds gauge\n"
        .to_owned();
    for (what, end) in ends {
        if let Some(end) = end {
            text +=
                &format!("mayfly_expiry_timestamp_seconds{{of=\"{what}\"}} {}\n", end.as_secs());
        }
    }
    text += "# HELP mayfly_log_entries How many entries a shard of a log has.\n\
             # TYPE mayfly_log_entries gauge\n";
    for (log, shards) in logs {
        for shard in shards.all().iter() {
            let (name, size) = (shard.shard(), shard.head().size);
            text += &format!("mayfly_log_entries{{log=\"{log}\",shard=\"{name}\"}} {size}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_that_is_known_has_a_line() {
        let ends = [("authority", Some(Timestamp::from_secs(7))), ("tuf", None)];
        let text = text(&ends, &[("ct", &Shards::new(Vec::new()))]);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["mayfly_expiry_timestamp_seconds{of=\"authority\"} 7"]);
    }
}
