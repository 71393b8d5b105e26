//! Tokens that choose how they are verified.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mayfly::pem;
use serde_json::{Value, json};

use crate::support::issuer::{Alg, Endpoint};

use super::bench::{ALICE, Answer, Bench, ask, coded, mail, parts, whole};
use super::keys::rsa_spki;
use super::{Expect, Row};

#[tokio::test(flavor = "multi_thread")]
async fn who_chooses_how_to_be_verified_is_withstood() {
    super::withstand(rows()).await;
}

pub fn rows() -> Vec<Row> {
    use Expect::{Issued, TokenRefused};
    vec![
        Row::ask("AL-001a", TokenRefused, "\"none\" is not supported", |bench| {
            let claims = whole(mail(&bench.issuer, "/mail"));
            ask(&format!("{}.", unsigned(&json!({ "alg": "none" }), &claims)), ALICE)
        }),
        Row::ask("AL-003a", TokenRefused, "\"HS256\" is not supported", |bench| {
            let jwks = bench.issuer.jwks();
            let key = jwks["keys"].as_array().expect("keys").iter().find(|key| key["kty"] == "RSA");
            let number = |name: &str| {
                let number = key.expect("an RSA key")[name].as_str().expect("a number");
                URL_SAFE_NO_PAD.decode(number).expect("base64url")
            };
            let spki = pem::encode("PUBLIC KEY", &rsa_spki(&number("n"), &number("e")));
            hashed(bench, "rsa", spki.as_bytes())
        }),
        Row::ask("AL-006", TokenRefused, "does not verify", |bench| {
            let token = bench.token(mail(&bench.issuer, "/mail"));
            let [header, claims, _] = parts(&token);
            ask(&format!("{header}.{claims}.{}", coded([0; 64])), ALICE)
        }),
        Row::ask("AL-011", TokenRefused, "header has \"jwk\"", |bench| {
            let mut key = p256(&bench.twin.jwks());
            key.as_object_mut().expect("a key").remove("kid");
            let header = json!({ "kid": null, "jwk": key });
            ask(&bench.twin.sign(Alg::Es256, header, whole(mail(&bench.issuer, "/mail"))), ALICE)
        }),
        Row::ask("AL-015a", TokenRefused, "\"HS256\" is not supported", |bench| {
            hashed(bench, "../../../../../../dev/null", b"")
        }),
        Row::course("AL-019", TokenRefused, "no ES256 key with the id", |bench| {
            Box::pin(unknown_keys(bench))
        }),
        Row::course("AL-020", TokenRefused, "does not verify", |bench| {
            Box::pin(each_others_key(bench))
        }),
        Row::ask("AL-047", Issued, "", |bench| {
            ask(&bench.token(mail(&bench.issuer, "/m/fresh")), ALICE)
        }),
    ]
}

/// Header and claims.
fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", coded(header.to_string()), coded(claims.to_string()))
}

/// A request with a token by HS256 under `secret`.
fn hashed(bench: &Bench, id: &str, secret: &[u8]) -> Value {
    let header = json!({ "alg": "HS256", "kid": id });
    let text = unsigned(&header, &whole(mail(&bench.issuer, "/mail")));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    ask(&format!("{text}.{}", coded(tag)), ALICE)
}

fn p256(jwks: &Value) -> Value {
    let keys = jwks["keys"].as_array().expect("keys");
    keys.iter().find(|key| key["crv"] == "P-256").expect("a key").clone()
}

/// Two hundred tokens, each by a key that nobody has heard of: the key set is not asked for each time.
async fn unknown_keys(bench: &Bench) -> Answer {
    let asked = bench.issuer.requests(Endpoint::Keys);
    let mut last = None;
    for attempt in 0..200 {
        let header = json!({ "kid": format!("unknown-{attempt}") });
        let token = bench.issuer.sign(Alg::Es256, header, whole(mail(&bench.issuer, "/mail")));
        let answer = bench.post(&ask(&token, ALICE)).await;
        assert!(Expect::TokenRefused.allows(answer.status), "AL-019: {attempt}: {answer:?}");
        last = Some(answer);
    }
    let asked = bench.issuer.requests(Endpoint::Keys) - asked;
    assert!(asked <= 20, "AL-019: asked {asked} times");
    last.expect("an answer")
}

/// Two issuers whose keys have one id, each with a token that the other one signed.
async fn each_others_key(bench: &Bench) -> Answer {
    let (one, two) = (&bench.issuer, &bench.twin);
    assert_eq!(p256(&one.jwks())["kid"], p256(&two.jwks())["kid"], "AL-020: one id");
    let crossed = one.sign(Alg::Es256, json!({}), whole(mail(two, "/mail")));
    let answer = bench.post(&ask(&crossed, ALICE)).await;
    assert!(Expect::TokenRefused.allows(answer.status), "AL-020: {answer:?}");
    let crossed = two.sign(Alg::Es256, json!({}), whole(mail(one, "/mail")));
    bench.post(&ask(&crossed, ALICE)).await
}
