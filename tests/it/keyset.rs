//! Issuers as they are on bad days: what their keys cost, how long they last, and where we never go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mayfly::issuer::{Issuer, IssuerId, Issuers, Keys, Kind};
use mayfly::keyset::address::ResolveError;
use mayfly::keyset::fetch::FetchError;
use mayfly::keyset::{Keyset, KeysetError, Limits, SetupError};
use mayfly::time::Timestamp;
use mayfly::token::json::JsonError;
use mayfly::token::{Claims, TokenError, UnverifiedToken};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::issuer::{Alg, Endpoint, FakeIssuer, Fault, MIDNIGHT};
use crate::support::patience::until;

mod bearer;
mod proxy;
mod successor;

const HOUR: Duration = Duration::from_secs(3600);

/// Nothing is asked twice within a test, and a loaded machine has time.
fn patient() -> Limits {
    Limits {
        deadline: Duration::from_secs(60),
        fresh: HOUR,
        stale: 2 * HOUR,
        failed: HOUR,
        refetch: HOUR,
        ..Limits::default()
    }
}

fn trusting(fake: &FakeIssuer, url: &str) -> Issuer {
    let roots = Some(fake.ca_pem().as_bytes().to_vec()).filter(|pem| !pem.is_empty());
    Issuer {
        id: IssuerId(0),
        url: url.to_owned(),
        audiences: vec!["sigstore".to_owned()],
        kind: Kind::Kubernetes,
        keys: Keys::Discovery,
        roots,
        bearer_file: None,
        algorithms: Vec::new(),
        max_age: None,
        challenge_claim: None,
    }
}

fn keyset(issuers: impl IntoIterator<Item = Issuer>, limits: Limits) -> Keyset {
    let numbered = issuers.into_iter().enumerate();
    let issuers = numbered.map(|(id, issuer)| Issuer { id: IssuerId(id), ..issuer }).collect();
    Keyset::with_limits(Issuers::new(issuers), limits).unwrap()
}

fn keyset_of(fake: &FakeIssuer, limits: Limits) -> Keyset {
    keyset([trusting(fake, &fake.url())], limits)
}

async fn verify(keyset: &Keyset, token: &str) -> Result<Claims, KeysetError> {
    let token = UnverifiedToken::parse(token).unwrap();
    keyset.verify(token, Timestamp::from_secs(MIDNIGHT)).await
}

/// What becomes of a good token while the issuer is as it is.
async fn cause(keyset: &Keyset, token: &str) -> FetchError {
    match verify(keyset, token).await {
        Err(KeysetError::Unreachable { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn asked(fake: &FakeIssuer, discovery: usize, keys: usize) {
    let requests = [Endpoint::Discovery, Endpoint::Keys].map(|endpoint| fake.requests(endpoint));
    assert_eq!(requests, [discovery, keys]);
}

#[tokio::test]
async fn every_algorithm_verifies_with_and_without_a_key_id() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, patient());
    for alg in Alg::ALL {
        for header in [json!({}), json!({ "kid": null })] {
            let token = fake.sign(alg, header, fake.claims(json!({ "sub": alg.name() })));
            assert_eq!(verify(&keyset, &token).await.unwrap().sub(), alg.name());
        }
    }
    asked(&fake, 1, 1);
}

#[tokio::test]
async fn a_hundred_first_tokens_cost_one_fetch() {
    let fake = Arc::new(FakeIssuer::start().await);
    let keyset = Arc::new(keyset_of(&fake, patient()));
    fake.fail(Endpoint::Discovery, Fault::Silent);
    let started = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let token = fake.token(json!({ "sub": format!("{number}") }));
        let (keyset, started) = (Arc::clone(&keyset), Arc::clone(&started));
        tasks.spawn(async move {
            started.fetch_add(1, Ordering::SeqCst);
            verify(&keyset, &token).await.unwrap();
        });
    }
    until("all wait for one answer", async || {
        started.load(Ordering::SeqCst) == 100 && fake.requests(Endpoint::Discovery) > 0
    })
    .await;
    fake.heal();
    assert_eq!(tasks.join_all().await.len(), 100);
    asked(&fake, 1, 1);
}

#[tokio::test]
async fn who_asked_may_go_away() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, patient());
    fake.fail(Endpoint::Discovery, Fault::Silent);
    let token = fake.token(json!({}));
    let arrived = until("it is asked", async || fake.requests(Endpoint::Discovery) > 0);
    tokio::select! {
        outcome = verify(&keyset, &token) => panic!("{outcome:?}"),
        () = arrived => {}
    }
    fake.heal();
    verify(&keyset, &token).await.unwrap();
    asked(&fake, 1, 1);
}

#[tokio::test]
async fn keys_serve_while_their_issuer_is_down() {
    let fake = FakeIssuer::start().await;
    let limits = Limits { fresh: Duration::ZERO, failed: Duration::ZERO, ..patient() };
    let keyset = keyset_of(&fake, limits);
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    fake.fail(Endpoint::Discovery, Fault::HangUp);
    // Each asks again behind the scenes, unless somebody is asking already.
    until("it is asked again", async || {
        verify(&keyset, &fake.token(json!({}))).await.unwrap();
        fake.requests(Endpoint::Discovery) >= 5
    })
    .await;
}

#[tokio::test]
async fn keys_do_not_serve_for_ever() {
    let fake = FakeIssuer::start().await;
    let none = Duration::ZERO;
    let keyset = keyset_of(&fake, Limits { fresh: none, stale: none, failed: none, ..patient() });
    fake.fail(Endpoint::Discovery, Fault::Status(503));
    let token = fake.token(json!({}));
    assert!(matches!(cause(&keyset, &token).await, FetchError::Status { status: 503, .. }));
    assert!(matches!(cause(&keyset, &token).await, FetchError::Status { status: 503, .. }));
    asked(&fake, 2, 0);
}

#[tokio::test]
async fn a_failure_is_remembered() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, patient());
    fake.fail(Endpoint::Keys, Fault::Status(500));
    for _ in 0..20 {
        let expected = FetchError::Status { url: format!("{}/keys", fake.url()), status: 500 };
        assert_eq!(cause(&keyset, &fake.token(json!({}))).await, expected);
    }
    asked(&fake, 1, 1);
}

#[tokio::test]
async fn a_failure_is_forgotten() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, Limits { failed: Duration::ZERO, ..patient() });
    fake.fail(Endpoint::Keys, Fault::Status(500));
    cause(&keyset, &fake.token(json!({}))).await;
    fake.heal();
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_forgeries_asks_nobody() {
    let (fake, forger) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let keyset = keyset_of(&fake, patient());
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    for number in 0..200 {
        let claims = fake.claims(json!({}));
        let unknown =
            forger.sign(Alg::Es256, json!({ "kid": format!("{number}") }), claims.clone());
        let error = verify(&keyset, &unknown).await.unwrap_err();
        assert!(matches!(error, KeysetError::Token(TokenError::NoSuchKey { .. })), "{error:?}");
        let error = verify(&keyset, &forger.sign(Alg::Es256, json!({}), claims)).await.unwrap_err();
        let expected = TokenError::SignatureInvalid { issuer: fake.url() };
        assert_eq!(error, KeysetError::Token(expected));
    }
    asked(&fake, 1, 1);
    assert_eq!(forger.connections(), 0);
}

#[tokio::test]
async fn new_keys_work_at_once_and_old_ones_no_longer() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, Limits { refetch: Duration::ZERO, ..patient() });
    let old = fake.token(json!({}));
    verify(&keyset, &old).await.unwrap();
    fake.rotate();
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    asked(&fake, 2, 2);
    let error = verify(&keyset, &old).await.unwrap_err();
    assert!(matches!(error, KeysetError::Token(TokenError::NoSuchKey { .. })), "{error:?}");
}

#[tokio::test]
async fn new_keys_work_at_once_where_tokens_name_none() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, Limits { refetch: Duration::ZERO, ..patient() });
    let nameless = || fake.sign(Alg::Es256, json!({ "kid": null }), fake.claims(json!({})));
    verify(&keyset, &nameless()).await.unwrap();
    fake.rotate();
    verify(&keyset, &nameless()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_of_an_issuer_that_is_down_is_not_the_tokens_fault() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset_of(&fake, Limits { refetch: Duration::ZERO, ..patient() });
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    fake.rotate();
    fake.fail(Endpoint::Discovery, Fault::Status(502));
    let token = fake.token(json!({}));
    assert!(matches!(cause(&keyset, &token).await, FetchError::Status { status: 502, .. }));
}

/// With this fault, a token is refused for this reason; the issuer then heals, and is trusted again.
async fn check(fake: &FakeIssuer, endpoint: Endpoint, fault: Fault, expected: FetchError) {
    let deadline = match fault {
        Fault::Silent | Fault::Trickle => Duration::from_millis(300),
        _ => Duration::from_secs(60),
    };
    let limits = Limits { deadline, failed: Duration::ZERO, ..patient() };
    let keyset = keyset_of(fake, limits);
    fake.fail(endpoint, fault);
    assert_eq!(cause(&keyset, &fake.token(json!({}))).await, expected);
    fake.heal();
}

#[tokio::test]
async fn every_fault_has_its_name_and_ends_in_time() {
    let fake = FakeIssuer::start().await;
    let paths =
        [(Endpoint::Discovery, "/.well-known/openid-configuration"), (Endpoint::Keys, "/keys")];
    for (endpoint, path) in paths {
        let url = format!("{}{path}", fake.url());
        let status = |status| FetchError::Status { url: url.clone(), status };
        let not_json = |fault| FetchError::NotJson { url: url.clone(), fault };
        let body = |text: &str| Fault::Body(text.to_owned());
        check(&fake, endpoint, Fault::Silent, FetchError::TimedOut).await;
        check(&fake, endpoint, Fault::Trickle, FetchError::TimedOut).await;
        check(&fake, endpoint, Fault::HangUp, FetchError::Broken).await;
        check(&fake, endpoint, Fault::Status(404), status(404)).await;
        check(&fake, endpoint, Fault::Status(204), status(204)).await;
        check(&fake, endpoint, Fault::Huge, FetchError::TooLarge(url.clone())).await;
        check(&fake, endpoint, Fault::Compressed, FetchError::Encoded(url.clone())).await;
        check(&fake, endpoint, body("[]"), not_json(JsonError::NotAnObject)).await;
        let twice = body(r#"{"keys":[],"keys":[],"issuer":1}"#);
        let duplicate = JsonError::DuplicateMember("keys".to_owned());
        check(&fake, endpoint, twice, not_json(duplicate)).await;
        let member = if endpoint == Endpoint::Keys { "keys" } else { "issuer" };
        let missing = FetchError::Member { url: url.clone(), member };
        check(&fake, endpoint, body(r#"{"keys":7,"issuer":["x"]}"#), missing).await;
    }
}

#[tokio::test]
async fn redirects_stay_on_their_origin() {
    let (fake, canary) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let (url, keys) = (fake.url(), format!("{}/keys", fake.url()));
    let elsewhere = [
        format!("{}/keys", canary.url()),
        format!("//{}/keys", canary.url().trim_start_matches("https://")),
        keys.replace("https://", "http://"),
        fake.url_at("127.0.0.1") + "/keys",
        "keys".to_owned(),
        String::new(),
    ];
    for to in elsewhere {
        let refused = FetchError::Redirect(keys.clone());
        check(&fake, Endpoint::Keys, Fault::Redirect(to), refused).await;
    }
    assert_eq!(canary.connections(), 0);

    let followed =
        FetchError::Member { url: url + "/.well-known/openid-configuration", member: "issuer" };
    let here = [keys.clone(), "/keys".to_owned()];
    for to in here {
        check(&fake, Endpoint::Discovery, Fault::Redirect(to), followed.clone()).await;
    }
    let before = fake.requests(Endpoint::Keys);
    check(&fake, Endpoint::Keys, Fault::Redirect("/keys".to_owned()), FetchError::Redirect(keys))
        .await;
    assert_eq!(fake.requests(Endpoint::Keys), before + 4);
}

fn discovery(issuer: &str, jwks_uri: &str) -> Fault {
    Fault::Body(json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
}

#[tokio::test]
async fn a_discovery_document_is_its_issuers_to_the_octet() {
    let fake = FakeIssuer::start().await;
    let url = fake.url();
    for said in [format!("{url}/"), url.to_uppercase(), fake.url_at("127.0.0.1"), String::new()] {
        let fault = discovery(&said, &format!("{url}/keys"));
        check(&fake, Endpoint::Discovery, fault, FetchError::OtherIssuer(said)).await;
    }
}

#[tokio::test]
async fn an_issuer_may_end_in_a_slash() {
    let fake = FakeIssuer::start().await;
    let url = fake.url() + "/";
    fake.fail(Endpoint::Discovery, discovery(&url, &format!("{url}keys")));
    let keyset = keyset([trusting(&fake, &url)], patient());
    verify(&keyset, &fake.token(json!({ "iss": url }))).await.unwrap();
}

#[tokio::test]
async fn keys_are_fetched_from_https_urls_only() {
    let fake = FakeIssuer::start().await;
    let urls = [
        "http://example.com/keys",
        "http://localhost/keys",
        "http://127.0.0.1:9/keys",
        "ftp://localhost/keys",
        "file:///etc/passwd",
        "https://user@localhost/keys",
        "/keys",
        "",
    ];
    for url in urls {
        let expected = FetchError::Url(url.to_owned());
        check(&fake, Endpoint::Discovery, discovery(&fake.url(), url), expected).await;
    }
}

#[tokio::test]
async fn plain_http_is_for_loopback() {
    let fake = FakeIssuer::start_plain().await;
    verify(&keyset_of(&fake, patient()), &fake.token(json!({}))).await.unwrap();
    for url in ["http://example.com", "http://10.0.0.1", "http://localhost.example.com", "example"]
    {
        let refused = Keyset::new(Issuers::new(vec![trusting(&fake, url)])).err().unwrap();
        assert!(matches!(refused, SetupError::Url { .. }), "{refused}");
    }
}

#[tokio::test]
async fn nobody_at_home_is_said_so() {
    let fake = FakeIssuer::start().await;
    let (token, keyset) = (fake.token(json!({})), keyset_of(&fake, patient()));
    let url = fake.url();
    drop(fake);
    // The listener closes when its task is gone.
    let address = url.trim_start_matches("https://");
    until("the port is closed", async || TcpStream::connect(address).await.is_err()).await;
    let error = verify(&keyset, &token).await.unwrap_err();
    let expected = format!(
        "issuer {url} does not answer (connection refused); this is not the token's fault, try again"
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn tls_is_checked() {
    let (fake, other) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let stranger = Issuer { roots: None, ..trusting(&fake, &fake.url()) };
    let wrong_ca = trusting(&other, &fake.url());
    let wrong_name = trusting(&fake, &fake.url_at("127.0.0.1"));
    for issuer in [stranger, wrong_ca, wrong_name] {
        let token = fake.token(json!({ "iss": issuer.url }));
        let cause = cause(&keyset([issuer], patient()), &token).await;
        let FetchError::Tls(cause) = cause else { panic!("{cause}") };
        assert!(cause.contains("invalid peer certificate"), "{cause}");
    }
    asked(&fake, 0, 0);
}

#[tokio::test]
async fn link_local_addresses_are_never_reached() {
    let fake = FakeIssuer::start().await;
    let metadata = [
        ("https://169.254.169.254", "169.254.169.254"),
        ("https://[::ffff:169.254.169.254]", "::ffff:169.254.169.254"),
        ("https://[fe80::1]", "fe80::1"),
        ("https://[fd00:ec2::254]", "fd00:ec2::254"),
        ("https://0.0.0.0", "0.0.0.0"),
    ];
    for (url, address) in metadata {
        let token = fake.token(json!({ "iss": url }));
        let expected = ResolveError::OutOfReach(address.parse().unwrap()).into();
        assert_eq!(cause(&keyset([trusting(&fake, url)], patient()), &token).await, expected);
    }
    for url in ["https://2852039166", "https://0xa9fea9fe", "https://169.16689662"] {
        let token = fake.token(json!({ "iss": url }));
        let no_name = FetchError::Tls("invalid dns name".to_owned());
        assert_eq!(cause(&keyset([trusting(&fake, url)], patient()), &token).await, no_name);
    }
    let fault = discovery(&fake.url(), "https://169.254.169.254/keys");
    let expected = ResolveError::OutOfReach("169.254.169.254".parse().unwrap()).into();
    check(&fake, Endpoint::Discovery, fault, expected).await;
}

#[tokio::test]
async fn a_host_that_others_choose_is_not_on_our_network() {
    let fake = FakeIssuer::start().await;
    let named = fake.url();
    let pattern = named.replace("localhost", "local*");
    let token = fake.token(json!({}));
    let keyset = keyset([trusting(&fake, &pattern)], patient());
    assert!(matches!(
        cause(&keyset, &token).await,
        FetchError::Resolve(ResolveError::OutOfReach(address)) if address.is_loopback()
    ));
    assert_eq!(fake.connections(), 0);
}

#[tokio::test]
async fn a_name_without_address_is_said_so() {
    let fake = FakeIssuer::start().await;
    let url = "https://nowhere.invalid";
    let token = fake.token(json!({ "iss": url }));
    let cause = cause(&keyset([trusting(&fake, url)], patient()), &token).await;
    assert_eq!(cause, ResolveError::NoAddress.into());
}

#[tokio::test]
async fn issuers_that_match_a_pattern_have_keys_of_their_own() {
    let fake = FakeIssuer::start().await;
    let keyset = keyset([trusting(&fake, &format!("{}/m/*", fake.url()))], patient());
    for (tenant, fetches) in [("a", 1), ("b", 2), ("a", 2), ("b", 2)] {
        let iss = format!("{}/m/{tenant}", fake.url());
        let claims = verify(&keyset, &fake.token(json!({ "iss": iss }))).await.unwrap();
        assert_eq!((claims.iss(), claims.issuer().is_pattern()), (iss.as_str(), true));
        asked(&fake, fetches, fetches);
    }
}

#[tokio::test]
async fn issuers_that_match_a_pattern_keep_their_keys_at_home() {
    let (fake, canary) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let keyset = keyset(
        [trusting(&fake, &format!("{}/m/*", fake.url()))],
        Limits { failed: Duration::ZERO, ..patient() },
    );
    let iss = format!("{}/m/a", fake.url());
    for keys in [format!("{}/keys", canary.url()), fake.url_at("127.0.0.1") + "/m/a/keys"] {
        fake.fail(Endpoint::Discovery, discovery(&iss, &keys));
        let token = fake.token(json!({ "iss": iss }));
        assert_eq!(cause(&keyset, &token).await, FetchError::ForeignKeys(keys));
    }
    assert_eq!((canary.connections(), fake.requests(Endpoint::Keys)), (0, 0));
}

#[tokio::test]
async fn an_issuer_that_is_named_may_keep_its_keys_elsewhere() {
    let (fake, other) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let both = format!("{}{}", fake.ca_pem(), other.ca_pem());
    let issuer = Issuer { roots: Some(both.into_bytes()), ..trusting(&fake, &fake.url()) };
    fake.fail(Endpoint::Discovery, discovery(&fake.url(), &format!("{}/keys", other.url())));
    let token = other.sign(Alg::Es256, json!({}), fake.claims(json!({})));
    verify(&keyset([issuer], patient()), &token).await.unwrap();
    asked(&other, 0, 1);
}

#[tokio::test]
async fn fetches_for_patterns_are_few_and_leave_room_for_others() {
    let (fake, named) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let limits = Limits { fetches: 5, wildcard_fetches: 4, wildcard_queue: 8, ..patient() };
    let tenants = |fake: &FakeIssuer| trusting(fake, &format!("{}/m/*", fake.url()));
    let issuers = [tenants(&fake), trusting(&named, &named.url()), tenants(&named)];
    let keyset = Arc::new(keyset(issuers, limits));
    fake.fail(Endpoint::Discovery, Fault::Silent);
    let mut tasks = JoinSet::new();
    for tenant in 0..20 {
        let token = fake.token(json!({ "iss": format!("{}/m/{tenant}", fake.url()) }));
        let keyset = Arc::clone(&keyset);
        tasks.spawn(async move { verify(&keyset, &token).await });
    }
    for _ in 0..16 {
        let turned_away = tasks.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(
            matches!(turned_away, KeysetError::Unreachable { cause: FetchError::Busy, .. }),
            "{turned_away}"
        );
    }
    verify(&keyset, &named.token(json!({}))).await.unwrap();
    let elsewhere = named.token(json!({ "iss": format!("{}/m/a", named.url()) }));
    verify(&keyset, &elsewhere).await.unwrap();
    assert!(fake.requests(Endpoint::Discovery) <= 2);
    fake.heal();
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
}

/// A hundred exchanges for one issuer that is silent: how many are turned away, and that others are not.
async fn those_who_wait(pattern: &str, path: fn(usize) -> String, limits: Limits, places: usize) {
    let (fake, named) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let slow = trusting(&fake, &format!("{}{pattern}", fake.url()));
    let keyset = Arc::new(keyset([slow, trusting(&named, &named.url())], limits));
    fake.fail(Endpoint::Discovery, Fault::Silent);
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let iss = format!("{}{}", fake.url(), path(number));
        let (keyset, token) = (Arc::clone(&keyset), fake.token(json!({ "iss": iss })));
        tasks.spawn(async move { verify(&keyset, &token).await });
    }
    for _ in 0..100 - places {
        let turned_away = tasks.join_next().await.unwrap().unwrap().unwrap_err();
        let busy = matches!(turned_away, KeysetError::Unreachable { cause: FetchError::Busy, .. });
        assert!(busy, "{turned_away}");
    }
    verify(&keyset, &named.token(json!({}))).await.unwrap();
    fake.heal();
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn few_wait_for_one_issuer_and_the_others_are_not_kept_waiting() {
    let one = Limits { waiters: 5, ..patient() };
    those_who_wait("", |_| String::new(), one, 5).await;
    let all = Limits { wildcard_line: 7, ..patient() };
    those_who_wait("/m/*", |number| format!("/m/{}", number % 20), all, 7).await;
}

#[test]
fn those_who_wait_leave_places_for_other_exchanges() {
    let limits = Limits::default();
    assert!(limits.waiters < limits.line);
    assert!(limits.line + limits.wildcard_line <= 1024 * 2 / 3);
}

#[tokio::test]
async fn keys_of_patterns_are_forgotten_beyond_the_bound() {
    let fake = FakeIssuer::start().await;
    let pattern = trusting(&fake, &format!("{}/m/*", fake.url()));
    let keyset = keyset([pattern], Limits { wildcard_keys: 12, ..patient() });
    // The cache evicts now and then, not at each insertion: enough of them, and again.
    for tenant in (0..100).chain(0..100) {
        let token = fake.token(json!({ "iss": format!("{}/m/{tenant}", fake.url()) }));
        verify(&keyset, &token).await.unwrap();
    }
    assert!(fake.requests(Endpoint::Keys) > 150);
}

#[test]
fn nobody_waits_for_long() {
    let limits = Limits::default();
    assert!(limits.deadline <= Duration::from_secs(5));
    assert!(limits.failed <= Duration::from_secs(30));
    assert!(limits.refetch >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_unknown_issuer_is_told_which_are_near() {
    let (fake, canary) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let keyset = keyset_of(&fake, patient());
    let error = verify(&keyset, &fake.token(json!({ "iss": fake.url() + "/" }))).await.unwrap_err();
    let expected = format!("issuer \"{0}/\" is not configured; did you mean {0}?", fake.url());
    assert_eq!(error.to_string(), expected);
    let error = verify(&keyset, &fake.token(json!({ "iss": "x\ny" }))).await.unwrap_err();
    assert_eq!(error.to_string(), "issuer \"x\\ny\" is not configured");
    let bait = format!("{}/?{}", canary.url(), fake.url());
    let error = verify(&keyset, &fake.token(json!({ "iss": bait }))).await.unwrap_err();
    assert!(matches!(error, KeysetError::UnknownIssuer { .. }), "{error}");
    assert_eq!((fake.connections(), canary.connections()), (0, 0));
}

#[tokio::test]
async fn issuers_do_not_sign_for_each_other() {
    let (one, two) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let issuers = [trusting(&one, &one.url()), trusting(&two, &two.url())];
    let keyset = keyset(issuers, patient());
    for (honest, forger) in [(&one, &two), (&two, &one)] {
        verify(&keyset, &honest.token(json!({}))).await.unwrap();
        let forged = forger.sign(Alg::Es256, json!({}), honest.claims(json!({})));
        let expected = TokenError::SignatureInvalid { issuer: honest.url() };
        assert_eq!(verify(&keyset, &forged).await.unwrap_err(), KeysetError::Token(expected));
    }
}

#[tokio::test]
async fn a_key_set_may_have_a_url_or_stand_in_the_configuration() {
    let fake = FakeIssuer::start().await;
    let there = Issuer {
        keys: Keys::Url(format!("{}/elsewhere/keys", fake.url())),
        ..trusting(&fake, "https://there.example")
    };
    let shared = Issuer { url: "https://*.example/x".to_owned(), ..there.clone() };
    let here = Issuer {
        keys: Keys::Inline(fake.jwks().to_string().into_bytes().into()),
        ..trusting(&fake, "https://here.example")
    };
    let keyset = keyset([there, here, shared], patient());
    verify(&keyset, &fake.token(json!({ "iss": "https://here.example" }))).await.unwrap();
    asked(&fake, 0, 0);
    for iss in ["https://there.example", "https://there.example"] {
        verify(&keyset, &fake.token(json!({ "iss": iss }))).await.unwrap();
    }
    asked(&fake, 0, 1);
    for iss in ["https://a.example/x", "https://b.example/x"] {
        verify(&keyset, &fake.token(json!({ "iss": iss }))).await.unwrap();
    }
    asked(&fake, 0, 2);
}

#[tokio::test]
async fn odd_keys_are_skipped_and_a_hundred_are_enough() {
    let fake = FakeIssuer::start().await;
    let mut set = fake.jwks();
    let keys = set["keys"].as_array_mut().unwrap();
    let odd = [json!(null), json!({ "kty": "EC", "kid": 7 }), json!({ "kty": "oct", "k": "AA" })];
    keys.splice(0..0, odd);
    keys.resize(100, json!({ "kty": "RSA" }));
    fake.fail(Endpoint::Keys, Fault::Body(set.to_string()));
    verify(&keyset_of(&fake, patient()), &fake.token(json!({}))).await.unwrap();

    set["keys"].as_array_mut().unwrap().push(Value::Null);
    let expected = FetchError::TooLarge(format!("{}/keys", fake.url()));
    check(&fake, Endpoint::Keys, Fault::Body(set.to_string()), expected).await;
}

#[tokio::test]
async fn what_is_configured_must_be_usable() {
    let fake = FakeIssuer::start().await;
    let good = trusting(&fake, "https://a.example");
    let refused = |issuer| Keyset::new(Issuers::new(vec![issuer])).err().unwrap();
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let issuer = Issuer { roots: Some(pem.into()), ..good.clone() };
        assert_eq!(refused(issuer), SetupError::Roots { issuer: good.url.clone() });
    }
    for set in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#] {
        let issuer = Issuer { keys: Keys::Inline(set.as_bytes().into()), ..good.clone() };
        assert_eq!(refused(issuer), SetupError::KeySet { issuer: good.url.clone() });
    }
    let issuer = Issuer { keys: Keys::Url("http://a.example/keys".to_owned()), ..good.clone() };
    assert!(matches!(refused(issuer), SetupError::Url { .. }));
}
