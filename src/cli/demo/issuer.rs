//! The demo's CI system: a real OpenID Connect issuer on loopback that gives anybody a token.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cli::CommandError;
use crate::time::Clock;

/// A pretend CI system that says it is GitHub Actions, run by nobody.
pub struct Issuer {
    /// Its address, which is also its `iss`.
    pub url: String,
    key: EncodingKey,
    jwk: Value,
    clock: Arc<dyn Clock>,
}

impl Issuer {
    /// Starts serving on a free port of 127.0.0.1, for as long as the runtime lives.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when there is no port or no key to be had.
    pub async fn start(clock: Arc<dyn Clock>) -> Result<Arc<Self>, CommandError> {
        let unspecified = |_| CommandError::Failed("no key for the pretend CI system".to_owned());
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(unspecified)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .map_err(CommandError::failed)?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any_port).await.map_err(CommandError::failed)?;
        let address = listener.local_addr().map_err(CommandError::failed)?;
        let issuer = Arc::new(Self {
            url: format!("http://{address}"),
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwk: jwk(pair.public_key().as_ref()),
            clock,
        });
        let server = axum::serve(listener, routes(Arc::clone(&issuer)));
        tokio::spawn(async move { server.await });
        Ok(issuer)
    }

    /// The claims of one push to the main branch, good for five minutes from now.
    pub fn claims(&self) -> Value {
        let now = self.clock.now().as_secs();
        let commit = "5b0f1c8e2a7d4936f0c1b2a39485d6e7f8091a2b";
        json!({
            "iss": self.url, "aud": "sigstore",
            "iat": now, "nbf": now, "exp": now + 300,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "repository": "acme/app", "repository_id": "1296269",
            "repository_owner": "acme", "repository_owner_id": "9919",
            "repository_visibility": "private",
            "ref": "refs/heads/main", "sha": commit,
            "workflow": "release", "event_name": "push",
            "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
            "workflow_sha": commit,
            "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
            "job_workflow_sha": commit,
            "runner_environment": "github-hosted",
            "run_id": "4242", "run_attempt": "1",
            "jti": format!("demo-{now}"),
        })
    }

    /// A token that says `claims`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when the key does not sign.
    pub fn token(&self, claims: &Value) -> Result<String, CommandError> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("demo".to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).map_err(CommandError::failed)
    }
}

fn routes(issuer: Arc<Issuer>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route(
            "/jwks",
            get(async |State(issuer): State<Arc<Issuer>>| {
                Json(json!({ "keys": [issuer.jwk.clone()] }))
            }),
        )
        .route(
            "/token",
            get(async |State(issuer): State<Arc<Issuer>>| {
                issuer.token(&issuer.claims()).unwrap_or_default()
            }),
        )
        .with_state(issuer)
}

async fn discovery(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    Json(json!({
        "issuer": issuer.url,
        "jwks_uri": format!("{}/jwks", issuer.url),
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

/// A P-256 public key (uncompressed point, SEC 1) as a JWK (RFC 7518 §6.2).
fn jwk(point: &[u8]) -> Value {
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at_checked(32).unwrap_or_default();
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "demo",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    })
}
