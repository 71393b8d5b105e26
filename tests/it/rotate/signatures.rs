//! The next shard of the signature log, made by hand.

use super::*;

#[tokio::test]
async fn the_next_shard_of_the_signature_log_is_made_by_hand() {
    let bench = Bench::new().await;
    bench.init();
    let tlog = bench.path("data/tlog");
    let this = SystemClock.now().year();
    let [this, next] = [this, this + 1].map(|year| year.to_string());
    // In December there is the next one from the beginning.
    for name in names(&tlog).into_iter().filter(|name| name.starts_with(&next)) {
        std::fs::remove_file(tlog.join(name)).unwrap();
    }
    let shards = |told: &Value| told["signatures"]["shards"].as_array().unwrap().clone();
    let dry = bench.json(&["rotate", "signatures", "--dry-run", "--json"]);
    assert_eq!(dry["made"], Value::Null);
    assert_eq!(shards(&dry).len(), 1);
    assert_eq!(shards(&dry)[0]["state"], json!("open"));
    assert_eq!(dry["signatures"]["next"]["start"], json!(format!("{next}-01-01T00:00:00Z")));
    // Both commands show the calendar of both logs.
    for command in ["signatures", "log"] {
        let text = bench.run(&["rotate", command, "--dry-run"]);
        for wanted in
            [&format!("tlog/{this} "), &format!("ct/{this} "), "rotate log", "rotate signatures"]
        {
            assert!(text.contains(wanted), "{text}");
        }
    }
    // What is overdue is due now, which is a moment later each time.
    let log = bench.json(&["rotate", "log", "--dry-run", "--json"]);
    assert_eq!((shards(&log), &log["certificates"]), (shards(&dry), &dry["certificates"]));

    let made = bench.json(&["rotate", "signatures", "--json"]);
    assert_eq!(made["made"], json!(next));
    assert_eq!(made["certificates"], dry["certificates"], "that log has none more");
    let shard = &shards(&made)[1];
    // A new one begins with one entry.
    assert_eq!((&shard["state"], &shard["entries"]), (&json!("next"), &json!(1)));
    let again = bench.json(&["rotate", "signatures", "--json"]);
    assert_eq!((&again["made"], shards(&again)), (&Value::Null, shards(&made)));
    let root = bench.json(&["trust", "show", "--json"]);
    let urls: Vec<_> =
        root["tlogs"].as_array().unwrap().iter().map(|log| &log["baseUrl"]).collect();
    let expected = [this, next].map(|name| json!(format!("{}/tlog/{name}", bench.url())));
    assert_eq!(urls, expected.each_ref());
}
