//! Issuers that nobody trusts, and trusted ones that lead elsewhere.

use crate::support::issuer::{Alg, Endpoint, Fault};

use serde_json::{Value, json};

use super::bench::{ALICE, Answer, Bench, ask, mail, whole, with, without};
use super::{Expect, Row};

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_for_himself_is_withstood() {
    super::withstand(rows()).await;
}

pub fn rows() -> Vec<Row> {
    use Expect::{TokenRefused, Unavailable};
    vec![
        Row::ask("IS-001", TokenRefused, "is not configured", |bench| {
            by(bench, bench.canary_url())
        }),
        Row::ask("IS-002", TokenRefused, "is not configured", |bench| {
            by(bench, bench.issuer.url() + "/mail/")
        }),
        Row::ask("IS-013a", TokenRefused, "no claim \"iss\"", |bench| {
            let claims = without(whole(mail(&bench.issuer, "/mail")), "iss");
            ask(&bench.issuer.sign(Alg::Es256, json!({}), claims), ALICE)
        }),
        Row::ask("IS-014", TokenRefused, "is not configured", |bench| {
            let pattern = bench.issuer.url() + "/m/x";
            by(bench, format!("{}/?{pattern}", bench.canary_url()))
        }),
        Row::course("DC-003", Unavailable, "does not answer", |bench| {
            Box::pin(fails(bench, Fault::Silent, "/m/mute"))
        }),
        Row::course("DC-009", Unavailable, "its answer is not usable", |bench| {
            let elsewhere = Fault::Redirect(bench.canary_url() + "/");
            Box::pin(fails(bench, elsewhere, "/m/elsewhere"))
        }),
    ]
}

/// A request with a token that `issuer` is said to have issued.
fn by(bench: &Bench, issuer: String) -> Value {
    ask(&bench.token(with(mail(&bench.issuer, "/mail"), "iss", issuer)), ALICE)
}

/// A good token of an issuer at `path` whose discovery document cannot be had.
async fn fails(bench: &Bench, fault: Fault, path: &str) -> Answer {
    let asked = bench.faulty.requests(Endpoint::Discovery);
    bench.faulty.fail(Endpoint::Discovery, fault);
    let claims = whole(mail(&bench.faulty, path));
    let token = bench.faulty.sign(Alg::Es256, json!({}), claims);
    let answer = bench.post(&ask(&token, ALICE)).await;
    assert!(bench.faulty.requests(Endpoint::Discovery) > asked, "{path}: it was never asked");
    bench.faulty.heal();
    answer
}
