//! Tokens that are none.

use serde_json::json;

use crate::support::issuer::Alg;

use super::bench::{ALICE, ask, coded, decoded, mail, parts, whole, with};
use super::{Expect, Row};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_withstood() {
    super::withstand(rows()).await;
}

pub fn rows() -> Vec<Row> {
    use Expect::{Refused, TokenRefused};
    vec![
        Row::ask("JW-001", TokenRefused, "there is no token", |_| ask("", ALICE)),
        Row::ask("JW-004", TokenRefused, "two dots", |bench| {
            let token = bench.token(mail(&bench.issuer, "/mail"));
            let [header, claims, _] = parts(&token);
            ask(&format!("{header}.{claims}"), ALICE)
        }),
        Row::ask("JW-007", Refused, "3900000 octets", |_| ask(&".".repeat(3_900_000), ALICE))
            .within(48),
        Row::ask("JW-019", TokenRefused, "not UTF-8", |bench| {
            let claims = whole(mail(&bench.issuer, "/mail")).to_string();
            let (before, after) = claims.split_once("alice@").expect("an address");
            let octets = [before.as_bytes(), b"ali\xff\xfece@", after.as_bytes()].concat();
            ask(&bench.token_of(&octets), "ali\u{fffd}\u{fffd}ce@hostile.test")
        }),
        Row::ask("JW-024", Refused, "octets; at most", |bench| {
            let nested = [&b"{\"z\":"[..], &[b'['; 1_000_000]].concat();
            ask(&bench.token_of(&nested), ALICE)
        }),
        Row::ask("JW-025", TokenRefused, "\"iss\" twice", |bench| {
            let claims = whole(mail(&bench.issuer, "/twin")).to_string();
            let first = bench.issuer.url() + "/mail";
            let rest = claims.strip_prefix('{').expect("an object");
            ask(&bench.token_of(format!("{{\"iss\":{:?},{rest}", first).as_bytes()), ALICE)
        }),
        Row::ask("JW-041", TokenRefused, "crit", |bench| {
            let claims = whole(mail(&bench.issuer, "/mail"));
            let header = json!({ "crit": ["exp-policy"], "exp-policy": 1 });
            ask(&bench.issuer.sign(Alg::Es256, header, claims), ALICE)
        }),
        Row::ask("JW-046", TokenRefused, "does not verify", |bench| {
            let claims = mail(&bench.issuer, "/mail");
            let token = bench.token(with(claims, "email", "mallory@hostile.test"));
            let [header, claims, signature] = parts(&token);
            let claims = decoded(claims).replace("mallory@", "alice@");
            ask(&format!("{header}.{}.{signature}", coded(claims)), ALICE)
        }),
    ]
}
