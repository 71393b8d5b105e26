//! A token issuer that is a real server on loopback, with real keys and faults on demand.
//!
//! ```ignore
//! let issuer = FakeIssuer::start().await;             // HTTPS, certificate by its own CA
//! issuer.url();                                       // https://localhost:41234
//! issuer.ca_pem();                                    // for `Issuer::roots`
//! issuer.token(json!({ "sub": "alice" }));            // ES256, for "sigstore", valid at MIDNIGHT
//! issuer.fail(Endpoint::Keys, Fault::Silent);         // until `heal`
//! issuer.requests(Endpoint::Keys);                    // how often the key set was asked for
//! ```
//!
//! Under every path there lives another issuer with the same keys (`https://localhost:41234/m/x` has
//! its discovery document at `/m/x/.well-known/openid-configuration` and its keys at `/m/x/keys`), so
//! one server plays all the issuers that match a pattern.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature as lc;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// 2026-01-01T00:00:00Z, in seconds: where tests' clocks stand, and when [`FakeIssuer::token`] issues.
pub const MIDNIGHT: u64 = 1_767_225_600;
/// Seconds that a token holds unless its claims say otherwise.
const LIFETIME: u64 = 600;
/// Octets of a [`Fault::Huge`] answer.
const HUGE: usize = 8 << 20;

/// What an issuer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `…/.well-known/openid-configuration`
    Discovery,
    /// `…/keys`
    Keys,
}

/// What goes wrong at an endpoint.
#[derive(Clone, Debug)]
pub enum Fault {
    /// No answer until [`FakeIssuer::heal`]; those who still wait then get a good one.
    Silent,
    /// The connection is closed.
    HangUp,
    /// This status, and no body.
    Status(u16),
    /// 302 to this place.
    Redirect(String),
    /// 8 MiB of spaces, then what was asked for.
    Huge,
    /// A header, one octet of the body, and never another one.
    Trickle,
    /// This body instead.
    Body(String),
    /// A body that says it is compressed.
    Compressed,
}

/// The algorithms that tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alg {
    Rs256,
    Ps256,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// A token issuer; it ends when dropped.
pub struct FakeIssuer {
    scheme: &'static str,
    address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    base: String,
    keys: Mutex<Arc<Keys>>,
    faults: watch::Sender<Vec<(Endpoint, Fault)>>,
    connections: AtomicUsize,
    discoveries: AtomicUsize,
    key_sets: AtomicUsize,
    credentials: Mutex<Vec<Option<String>>>,
}

impl FakeIssuer {
    /// An issuer at `https://localhost:<port>`.
    pub async fn start() -> Self {
        let (ca_pem, config) = tls();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::launch("https", ca_pem, Some(acceptor)).await
    }

    /// An issuer at `http://localhost:<port>`.
    pub async fn start_plain() -> Self {
        Self::launch("http", String::new(), None).await
    }

    async fn launch(scheme: &'static str, ca_pem: String, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            base: format!("{scheme}://localhost:{}", address.port()),
            keys: Mutex::new(Arc::new(Keys::generate(1))),
            faults: watch::Sender::new(Vec::new()),
            connections: AtomicUsize::new(0),
            discoveries: AtomicUsize::new(0),
            key_sets: AtomicUsize::new(0),
            credentials: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, tls, Arc::clone(&shared)));
        Self { scheme, address, ca_pem, shared, server }
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.shared.base.clone()
    }

    /// The same server by another name: `https://<host>:<port>`.
    pub fn url_at(&self, host: &str) -> String {
        format!("{}://{host}:{}", self.scheme, self.address.port())
    }

    /// The certificate of the CA that its TLS certificate is from; empty for [`Self::start_plain`].
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The key set that it publishes now.
    pub fn jwks(&self) -> Value {
        self.keys().jwks()
    }

    /// An ES256 token at [`MIDNIGHT`]. What `claims` leave out is added: `iss`, `aud` ("sigstore"),
    /// `sub`, `iat`, `nbf` and `exp` (ten minutes).
    pub fn token(&self, claims: Value) -> String {
        self.token_at(MIDNIGHT, claims)
    }

    /// The same, issued at `now` (seconds since 1970).
    pub fn token_at(&self, now: u64, claims: Value) -> String {
        self.sign(Alg::Es256, json!({}), self.claims_at(now, claims))
    }

    /// The claims of [`Self::token`].
    pub fn claims(&self, claims: Value) -> Value {
        self.claims_at(MIDNIGHT, claims)
    }

    fn claims_at(&self, now: u64, claims: Value) -> Value {
        let defaults = json!({
            "iss": self.url(), "aud": "sigstore", "sub": "somebody",
            "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        overlay(defaults, claims)
    }

    /// Signs exactly these `claims`; `header` replaces or adds to `alg`, `kid` and `typ`, and a null in
    /// it removes a member.
    pub fn sign(&self, alg: Alg, header: Value, claims: Value) -> String {
        self.sign_raw(alg, header, claims.to_string().as_bytes())
    }

    /// The same with claims that need not be JSON.
    pub fn sign_raw(&self, alg: Alg, header: Value, claims: &[u8]) -> String {
        let keys = self.keys();
        let defaults = json!({ "alg": alg.name(), "kid": keys.id(alg), "typ": "JWT" });
        let mut header = overlay(defaults, header);
        if let Some(members) = header.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        let [header, claims] =
            [header.to_string().as_bytes(), claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(keys.sign(alg, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// Replaces every key but the RSA one by a fresh one with another id.
    pub fn rotate(&self) {
        let mut keys = self.shared.keys.lock().unwrap();
        *keys = Arc::new(Keys::generate(keys.generation + 1));
    }

    /// Lets `endpoint` fail from now on.
    pub fn fail(&self, endpoint: Endpoint, fault: Fault) {
        self.shared.faults.send_modify(|faults| {
            faults.retain(|(at, _)| *at != endpoint);
            faults.push((endpoint, fault));
        });
    }

    /// Ends every fault, and answers those who wait.
    pub fn heal(&self) {
        self.shared.faults.send_modify(Vec::clear);
    }

    /// How many requests `endpoint` has had.
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.shared.counter(endpoint).load(Ordering::SeqCst)
    }

    /// How many connections were made, whether or not a request came.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The `Authorization` of each request so far, whatever it asked for.
    pub fn credentials(&self) -> Vec<Option<String>> {
        self.shared.credentials.lock().unwrap().clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.shared.keys.lock().unwrap())
    }
}

impl Drop for FakeIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn overlay(mut below: Value, above: Value) -> Value {
    if let (Some(below), Value::Object(above)) = (below.as_object_mut(), above) {
        below.extend(above);
    }
    below
}

impl Shared {
    fn counter(&self, endpoint: Endpoint) -> &AtomicUsize {
        match endpoint {
            Endpoint::Discovery => &self.discoveries,
            Endpoint::Keys => &self.key_sets,
        }
    }

    fn fault(&self, endpoint: Endpoint) -> Option<Fault> {
        let faults = self.faults.borrow();
        faults.iter().find(|(at, _)| *at == endpoint).map(|(_, fault)| fault.clone())
    }

    /// Waits until `endpoint` is not [`Fault::Silent`].
    async fn speaks(&self, endpoint: Endpoint) {
        let silent =
            |fault: &(Endpoint, Fault)| matches!(fault, (at, Fault::Silent) if *at == endpoint);
        let mut faults = self.faults.subscribe();
        let _ = faults.wait_for(|faults| !faults.iter().any(silent)).await;
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let builder = auto::Builder::new(TokioExecutor::new());
    // A client that goes away, or does not trust us, is no fault of the test's.
    match tls {
        None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
        Some(tls) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        }
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, std::io::Error> {
    let path = request.uri().path();
    let asked = [
        (Endpoint::Discovery, path.strip_suffix("/.well-known/openid-configuration")),
        (Endpoint::Keys, path.strip_suffix("/keys")),
    ];
    let asked = asked.into_iter().find_map(|(endpoint, under)| Some((endpoint, under?.to_owned())));
    let Some((endpoint, under)) = asked else { return Ok(empty(404)) };
    let credential = request.headers().get("authorization");
    let credential = credential.map(|value| value.to_str().unwrap().to_owned());
    shared.credentials.lock().unwrap().push(credential);
    shared.counter(endpoint).fetch_add(1, Ordering::SeqCst);
    shared.speaks(endpoint).await;
    let good = document(endpoint, &under, &shared).to_string();
    Ok(match shared.fault(endpoint) {
        None | Some(Fault::Silent) => whole(good),
        Some(Fault::HangUp) => return Err(std::io::Error::other("hung up")),
        Some(Fault::Status(status)) => empty(status),
        Some(Fault::Redirect(to)) => {
            let mut response = empty(302);
            response.headers_mut().insert("location", to.parse().unwrap());
            response
        }
        Some(Fault::Huge) => whole(" ".repeat(HUGE) + &good),
        Some(Fault::Trickle) => Response::new(Trickle(false).boxed()),
        Some(Fault::Body(body)) => whole(body),
        Some(Fault::Compressed) => {
            let mut response = whole(good);
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            response
        }
    })
}

fn document(endpoint: Endpoint, under: &str, shared: &Shared) -> Value {
    let issuer = format!("{}{under}", shared.base);
    match endpoint {
        Endpoint::Keys => shared.keys.lock().unwrap().jwks(),
        Endpoint::Discovery => json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/keys"),
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }),
    }
}

fn empty(status: u16) -> Response<Body> {
    let mut response = whole(String::new());
    *response.status_mut() = status.try_into().unwrap();
    response
}

fn whole(body: String) -> Response<Body> {
    Response::new(Full::new(Bytes::from(body)).boxed())
}

/// One octet, then nothing for ever.
struct Trickle(bool);

impl hyper::body::Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{")))))
    }
}

/// A CA that nobody trusts, and a server with its certificate for `localhost`, and for a name that only a
/// proxy could resolve.
fn tls() -> (String, ServerConfig) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "FakeIssuer CA");
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(["localhost".to_owned(), "idp.test".to_owned()])
        .unwrap()
        .signed_by(&key, &rcgen::Issuer::new(ca, ca_key))
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (ca_pem, config)
}

/// One key for each algorithm.
struct Keys {
    generation: usize,
    es256: lc::EcdsaKeyPair,
    es384: lc::EcdsaKeyPair,
    es512: lc::EcdsaKeyPair,
    eddsa: lc::Ed25519KeyPair,
}

/// The RSA key of all issuers: making one takes long.
static RSA: LazyLock<lc::RsaKeyPair> =
    LazyLock::new(|| lc::RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

impl Alg {
    /// Its JOSE name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::Es512, Self::EdDsa];
}

impl Keys {
    fn generate(generation: usize) -> Self {
        Self {
            generation,
            es256: lc::EcdsaKeyPair::generate(&lc::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            es384: lc::EcdsaKeyPair::generate(&lc::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            es512: lc::EcdsaKeyPair::generate(&lc::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap(),
            eddsa: lc::Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn id(&self, alg: Alg) -> String {
        match alg {
            Alg::Rs256 | Alg::Ps256 => "rsa".to_owned(),
            Alg::Es256 | Alg::Es384 | Alg::Es512 | Alg::EdDsa => {
                format!("{}-{}", alg.name(), self.generation)
            }
        }
    }

    fn sign(&self, alg: Alg, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match alg {
            Alg::Rs256 => rsa_signature(&lc::RSA_PKCS1_SHA256, message),
            Alg::Ps256 => rsa_signature(&lc::RSA_PSS_SHA256, message),
            Alg::Es256 => self.es256.sign(&random, message).unwrap().as_ref().to_vec(),
            Alg::Es384 => self.es384.sign(&random, message).unwrap().as_ref().to_vec(),
            Alg::Es512 => self.es512.sign(&random, message).unwrap().as_ref().to_vec(),
            Alg::EdDsa => self.eddsa.sign(message).as_ref().to_vec(),
        }
    }

    fn jwks(&self) -> Value {
        let rsa = RSA.public_key();
        let [n, e] = [rsa.modulus(), rsa.exponent()]
            .map(|number| URL_SAFE_NO_PAD.encode(number.big_endian_without_leading_zero()));
        let x = URL_SAFE_NO_PAD.encode(self.eddsa.public_key().as_ref());
        json!({ "keys": [
            { "kty": "RSA", "kid": self.id(Alg::Rs256), "use": "sig", "n": n, "e": e },
            ec_jwk("P-256", self.id(Alg::Es256), self.es256.public_key().as_ref()),
            ec_jwk("P-384", self.id(Alg::Es384), self.es384.public_key().as_ref()),
            ec_jwk("P-521", self.id(Alg::Es512), self.es512.public_key().as_ref()),
            { "kty": "OKP", "crv": "Ed25519", "kid": self.id(Alg::EdDsa), "use": "sig", "x": x },
        ] })
    }
}

fn rsa_signature(encoding: &'static dyn lc::RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; RSA.public_modulus_len()];
    RSA.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// `point` is uncompressed: 4, x, y.
fn ec_jwk(curve: &str, id: String, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    json!({ "kty": "EC", "crv": curve, "kid": id, "use": "sig", "x": x, "y": y })
}
