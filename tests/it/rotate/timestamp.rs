//! The next key of the timestamp authority, beside a running server.

use super::*;

impl Bench {
    /// The chain by which timestamps are signed at present: DER.
    async fn certchain(&self) -> Vec<Vec<u8>> {
        let chain = Client::new(&self.url()).get("/api/v1/timestamp/certchain").await.unwrap();
        let chain = String::from_utf8(chain.to_vec()).unwrap();
        let blocks = chain.split_inclusive("-----END CERTIFICATE-----\n");
        blocks.filter(|block| !block.is_empty()).map(caller::der).collect()
    }

    /// A timestamp with the certificate of its key: DER.
    async fn stamp(&self) -> Vec<u8> {
        let request = json!({
            "artifactHash": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "hashAlgorithm": "sha256",
            "certificates": true,
        });
        let client = Client::new(&self.url());
        let answer = client.post("/api/v1/timestamp", request.to_string()).await.unwrap();
        assert!(answer.status < 300, "{}", answer.message());
        answer.body.to_vec()
    }
}

fn states(calendar: &Value) -> Vec<&str> {
    let chains = calendar["chains"].as_array().unwrap().iter();
    chains.map(|chain| chain["state"].as_str().unwrap()).collect()
}

fn holds(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

/// The next chain is published, signs when it begins, and the one before stays in the trust files.
#[tokio::test(flavor = "multi_thread")]
async fn the_timestamp_authority_is_taken_over_while_it_serves() {
    let bench = Bench::new().await;
    let mut server = Server::start(&bench.source());
    let now = || SystemClock.now();
    let old = bench.certchain().await;
    let dry = bench.json(&["rotate", "timestamp", "--dry-run", "--json"]);
    assert_eq!((&dry["made"], states(&dry)), (&Value::Null, vec!["signing"]));
    let text = bench.run(&["rotate", "timestamp", "--dry-run"]);
    assert!(
        text.contains("signing") && text.contains("one that is made now takes over on"),
        "{text}"
    );

    let made = bench.json(&["rotate", "timestamp", "--ahead", "10s", "--json"]);
    assert_eq!(states(&made), ["signing", "next"]);
    let key = PathBuf::from(made["made"].as_str().unwrap()).with_extension("key");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    // While one waits for its time there is no other.
    let again = bench.output(&["rotate", "timestamp"]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(1) && said.contains("wait until it has"), "{said}");

    // Published, and not used.
    let published =
        bench.root_comes_to(&server, |root| of(root, "timestampAuthorities") == 2).await;
    let begins = published["timestampAuthorities"][1]["validFor"]["start"].as_str().unwrap();
    assert_eq!(begins, made["next"]["start"]);
    assert!(published["timestampAuthorities"][0]["validFor"]["end"].is_null());
    let turn = async {
        loop {
            let before = now();
            let (stamp, chain) = (bench.stamp().await, bench.certchain().await);
            if !holds(&stamp, &old[0]) {
                return (stamp, chain);
            }
            assert!(before.to_string().as_str() <= begins, "{before}");
        }
    };
    let (stamp, new) = tokio::time::timeout(PATIENCE, turn).await.expect("it takes over");
    assert!(holds(&stamp, &new[0]) && new.iter().all(|one| !old.contains(one)));

    // Verifiers are told until when the old one counts.
    let ended = |root: &Value| root["timestampAuthorities"][0]["validFor"]["end"].is_string();
    let root = bench.root_comes_to(&server, ended).await;
    assert_eq!(root["timestampAuthorities"][1], published["timestampAuthorities"][1]);
    server.kill();

    // The key that signs nothing any more is not needed; the one that signs is.
    let dry = bench.json(&["rotate", "timestamp", "--dry-run", "--json"]);
    assert_eq!(states(&dry), ["taken over", "signing"]);
    let key = |at: usize| {
        let file = PathBuf::from(dry["chains"][at]["file"].as_str().unwrap());
        file.with_extension("key")
    };
    std::fs::remove_file(key(0)).unwrap();
    let mut server = Server::start(&bench.source());
    assert!(holds(&bench.stamp().await, &new[0]));
    assert_eq!(bench.root().await["timestampAuthorities"], root["timestampAuthorities"]);
    server.kill();
    std::fs::remove_file(key(1)).unwrap();
    let said = String::from_utf8(bench.output(&["serve"]).stderr).unwrap();
    assert!(said.contains("the key that signs timestamps is missing"), "{said}");
}

/// A chain whose key is not there would sign nothing in its time: it is not taken up, which is said once.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_its_key_is_not_taken_up() {
    let bench = Bench::new().await;
    bench.init();
    let made = bench.json(&["rotate", "timestamp", "--ahead", "1h", "--json"]);
    let chain = PathBuf::from(made["made"].as_str().unwrap());
    let key = chain.with_extension("key");
    let [away, key_away] = ["away.pem", "away.key"].map(|name| bench.path(name));
    std::fs::rename(&chain, &away).unwrap();
    std::fs::rename(&key, &key_away).unwrap();
    let server = Server::start(&bench.source());
    std::fs::rename(&away, &chain).unwrap();
    server.hang_up();
    const MISSING: &str = "the key that signs timestamps is missing";
    server.comes_to_say(MISSING);
    // Two looks more: what the second one finds, it finds after the first one has ended.
    for looks in 1..=2 {
        bench.run(&["rotate", "authority", "--ahead", "0s"]);
        server.hang_up();
        server.comes_to_tell("another chain", |said| {
            (said.matches("the authority has a new chain").count() == looks).then_some(())
        });
    }
    assert_eq!(server.said().matches(MISSING).count(), 1, "{}", server.said());
    assert_eq!(of(&bench.root().await, "timestampAuthorities"), 1);
    std::fs::rename(&key_away, &key).unwrap();
    bench.root_comes_to(&server, |root| of(root, "timestampAuthorities") == 2).await;
}
