//! `log.v3.json`: the log as lists of logs describe it.
//!
//! Spec: <https://www.gstatic.com/ct/log_list/v3/log_list_schema.json>, with what operators publish
//! beside it: <https://c2sp.org/static-ct-api>, Sunlight's `log.v3.json`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::log::Log;
use crate::store::Head;
use crate::time::Timestamp;

/// How long an entry may take into the tree, in seconds. Here it is there before its SCT is handed out;
/// this is the least that static logs state.
const MERGE_DELAY: u32 = 60;

/// The body of `log.v3.json`. `scheme` is that of the log's address, `since` when the authority begins.
pub(super) fn log_v3(log: &Log, scheme: &str, since: Timestamp) -> Value {
    let url = format!("{scheme}://{}/", log.origin());
    let window = log.window();
    let over = log.is_over();
    let (status, since) =
        if over { ("readonly", window.end) } else { ("usable", since.max(window.start)) };
    let mut about = json!({
        "description": format!("Mayfly {}", log.origin()),
        "friendly_name": log.origin(),
        "submission_url": url,
        "monitoring_url": url,
        "temporal_interval": {
            "start_inclusive": window.start.to_string(),
            "end_exclusive": window.end.to_string(),
        },
        "log_id": BASE64_STANDARD.encode(log.log_id()),
        "key": BASE64_STANDARD.encode(log.public_key()),
        "mmd": MERGE_DELAY,
        "mmd_seconds": MERGE_DELAY,
        "log_spec": "static-ct-api",
        "tls_only": scheme == "https",
        "status": status,
        "status_timestamp": since.to_string(),
        "log_software": { "name": "mayfly", "version": env!("CARGO_PKG_VERSION") },
    });
    if let (true, Some(members)) = (over, about.as_object_mut()) {
        let Head { size, root, timestamp, .. } = log.head();
        let head = json!({
            "sha256_root_hash": BASE64_STANDARD.encode(root),
            "tree_size": size,
            "timestamp": timestamp.as_millis(),
        });
        members.insert("final_tree_head".to_owned(), head);
    }
    about
}
