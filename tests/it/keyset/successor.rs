//! One set of issuers after another: which keys stay, and which must not.

use mayfly::config::Proxy;

use super::*;

fn after(keyset: &Keyset, issuers: impl IntoIterator<Item = Issuer>) -> Keyset {
    let numbered = issuers.into_iter().enumerate();
    let issuers = numbered.map(|(id, issuer)| Issuer { id: IssuerId(id), ..issuer }).collect();
    keyset.successor(&Proxy::None, Issuers::new(issuers)).unwrap()
}

/// `https://localhost:<port>/*/x`: the host is named, the path is not.
fn pattern(fake: &FakeIssuer) -> Issuer {
    trusting(fake, &format!("{}/*/x", fake.url()))
}

fn member(fake: &FakeIssuer) -> String {
    fake.token(json!({ "iss": format!("{}/m/x", fake.url()) }))
}

#[tokio::test]
async fn keys_stay_with_issuers_whose_keys_come_from_where_they_came_from() {
    let fake = FakeIssuer::start().await;
    let first = keyset([trusting(&fake, &fake.url()), pattern(&fake)], patient());
    verify(&first, &fake.token(json!({}))).await.unwrap();
    verify(&first, &member(&fake)).await.unwrap();
    asked(&fake, 2, 2);
    // Another order, another audience, and a stranger before them.
    let audiences = vec!["mayfly".to_owned()];
    let stranger = trusting(&fake, "https://stranger.example");
    let named = Issuer { audiences, ..trusting(&fake, &fake.url()) };
    let second = after(&first, [stranger, pattern(&fake), named]);
    verify(&second, &fake.token(json!({ "aud": "mayfly" }))).await.unwrap();
    verify(&second, &member(&fake)).await.unwrap();
    asked(&fake, 2, 2);
    let error = verify(&second, &fake.token(json!({}))).await.unwrap_err();
    assert!(matches!(error, KeysetError::Token(TokenError::AudienceMismatch { .. })), "{error}");
}

#[tokio::test]
async fn keys_that_came_another_way_do_not_count() {
    let (fake, other) = (FakeIssuer::start().await, FakeIssuer::start().await);
    let first = keyset([trusting(&fake, &fake.url()), pattern(&fake)], patient());
    verify(&first, &fake.token(json!({}))).await.unwrap();
    verify(&first, &member(&fake)).await.unwrap();
    let other_ca = |issuer| Issuer { roots: Some(other.ca_pem().into()), ..issuer };
    let second = after(&first, [other_ca(trusting(&fake, &fake.url())), other_ca(pattern(&fake))]);
    for token in [fake.token(json!({})), member(&fake)] {
        assert!(matches!(cause(&second, &token).await, FetchError::Tls(_)));
    }
    // A request that began before goes on as it began.
    verify(&first, &fake.token(json!({}))).await.unwrap();
    verify(&first, &member(&fake)).await.unwrap();
}

#[tokio::test]
async fn who_is_gone_is_unknown_and_comes_back_without_keys() {
    let fake = FakeIssuer::start().await;
    let first = keyset_of(&fake, patient());
    verify(&first, &fake.token(json!({}))).await.unwrap();
    let second = after(&first, []);
    let error = verify(&second, &fake.token(json!({}))).await.unwrap_err();
    assert!(matches!(error, KeysetError::UnknownIssuer { .. }), "{error}");
    let third = after(&second, [trusting(&fake, &fake.url())]);
    verify(&third, &fake.token(json!({}))).await.unwrap();
    asked(&fake, 2, 2);
}
