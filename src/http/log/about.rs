//! `log.v3.json`: the log as lists of logs describe it.
//!
//! Spec: <https://www.gstatic.com/ct/log_list/v3/log_list_schema.json>, with what operators publish
//! beside it: <https://c2sp.org/static-ct-api>, Sunlight's `log.v3.json`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::log::Log;
use crate::time::Timestamp;

/// How long an entry may take into the tree, in seconds. Here it is there before its SCT is handed out;
/// this is the least that static logs state.
const MERGE_DELAY: u32 = 60;

/// The body of `log.v3.json`. `scheme` is that of the log's address, `since` when its first entry may
/// be from.
pub(super) fn log_v3(log: &Log, scheme: &str, since: Timestamp) -> String {
    let url = format!("{scheme}://{}/", log.origin());
    json!({
        "description": format!("Mayfly {}", log.origin()),
        "friendly_name": log.origin(),
        "submission_url": url,
        "monitoring_url": url,
        "log_id": BASE64_STANDARD.encode(log.log_id()),
        "key": BASE64_STANDARD.encode(log.public_key()),
        "mmd": MERGE_DELAY,
        "mmd_seconds": MERGE_DELAY,
        "log_spec": "static-ct-api",
        "tls_only": scheme == "https",
        "status": "usable",
        "status_timestamp": since.to_string(),
        "log_software": { "name": "mayfly", "version": env!("CARGO_PKG_VERSION") },
    })
    .to_string()
}
