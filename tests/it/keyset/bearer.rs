//! A credential for an issuer that shows its keys to those who have one.

use std::fs;
use std::path::Path;

use mayfly::keyset::BearerError;

use super::*;

fn with_bearer(fake: &FakeIssuer, file: &Path) -> Issuer {
    Issuer { bearer_file: Some(file.to_owned()), ..trusting(fake, &fake.url()) }
}

fn bearer(token: &str) -> Option<String> {
    Some(format!("Bearer {token}"))
}

#[tokio::test]
async fn it_is_read_for_each_fetch() {
    let fake = FakeIssuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let limits = Limits { refetch: Duration::ZERO, ..patient() };
    let keyset = keyset([with_bearer(&fake, &file)], limits);
    fs::write(&file, "one\n").unwrap();
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    assert_eq!(fake.credentials(), [bearer("one"), bearer("one")]);
    fs::write(&file, "two").unwrap();
    fake.rotate();
    verify(&keyset, &fake.token(json!({}))).await.unwrap();
    assert_eq!(fake.credentials()[2..], [bearer("two"), bearer("two")]);
}

#[tokio::test]
async fn it_is_shown_to_no_other_host_and_over_no_redirect() {
    let (fake, other) = (FakeIssuer::start_plain().await, FakeIssuer::start_plain().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "secret").unwrap();

    fake.fail(Endpoint::Discovery, discovery(&fake.url(), &format!("{}/keys", other.url())));
    cause_or_not(&keyset([with_bearer(&fake, &file)], patient()), &fake).await;
    assert_eq!(other.credentials(), [None]);

    fake.heal();
    let seen = fake.credentials().len();
    fake.fail(Endpoint::Keys, Fault::Redirect("/m/keys".to_owned()));
    cause_or_not(&keyset([with_bearer(&fake, &file)], patient()), &fake).await;
    let shown = &fake.credentials()[seen..];
    assert_eq!(shown[..3], [bearer("secret"), bearer("secret"), None]);

    // Where the keys have a URL of their own, its host is the one.
    let keys = Keys::Url(format!("{}/keys", other.url()));
    let issuer = Issuer { keys, ..with_bearer(&fake, &file) };
    cause_or_not(&keyset([issuer], patient()), &fake).await;
    assert_eq!(other.credentials()[1..], [bearer("secret")]);
}

/// Has the keys fetched, whatever comes of it.
async fn cause_or_not(keyset: &Keyset, fake: &FakeIssuer) {
    let _ = verify(keyset, &fake.token(json!({}))).await;
}

/// What strangers read when it cannot be read.
const OURS: &str = "the credential that this authority has for it cannot be read";

#[tokio::test]
async fn without_it_nobody_is_asked() {
    let fake = FakeIssuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let refusal = async || {
        let keyset = keyset([with_bearer(&fake, &file)], patient());
        match cause(&keyset, &fake.token(json!({}))).await {
            error @ FetchError::Bearer(_) if error.trouble() != OURS => {
                panic!("{}", error.trouble())
            }
            FetchError::Bearer(BearerError { reason, .. }) => reason,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refusal().await, "No such file or directory (os error 2)");
    for text in ["", " \n", "two words", "two\nlines", "tab\tbed", &"x".repeat(70_000)] {
        fs::write(&file, text).unwrap();
        assert_eq!(refusal().await, "it holds no token");
    }
    fs::write(&file, b"\xff").unwrap();
    assert_eq!(refusal().await, "it holds no token");
    assert_eq!(fake.connections(), 0);
}

#[tokio::test]
async fn a_pattern_has_none() {
    let fake = FakeIssuer::start().await;
    let issuer = Issuer {
        url: "https://*.example.com".to_owned(),
        ..with_bearer(&fake, Path::new("token"))
    };
    let refused = Keyset::new(Issuers::new(vec![issuer])).err().unwrap();
    assert!(matches!(refused, SetupError::Bearer { .. }), "{refused}");
}
