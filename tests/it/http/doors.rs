//! The texts, run against an authority; and the door that text cannot knock at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mayfly::algorithm::SignatureAlgorithm;
use mayfly::cli::verify::{self, VerifyArgs, check_served};
use mayfly::config::{Patrons, Readers};
use mayfly::http::grpc::fulcio::create_signing_certificate_request::Key;
use mayfly::http::grpc::fulcio::signing_certificate::Certificate;
use mayfly::http::grpc::fulcio::{
    Configuration, CreateSigningCertificateRequest, Credentials, GetConfigurationRequest,
    GetTrustBundleRequest, PublicKey, PublicKeyRequest, SigningCertificate, TrustBundle,
    credentials,
};
use mayfly::http::server::Limits;
use mayfly::http::tls::Tls;
use mayfly::http::{Access, App, router};
use mayfly::signer::{Boxed, Signer, SignerError};
use mayfly::time::Timestamp;
use mayfly::tlog::merkle::Hash;
use mayfly::trust::Material;
use prost::Message;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::issuer::{Endpoint, FakeIssuer, Fault, MIDNIGHT};
use crate::support::patience::until;

use super::authority::TestAuthority;
use super::files::Files;
use super::wire::{Answer, Running};
use super::{grpc, script};

const CREATE: &str = "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
const BUNDLE: &str = "/dev.sigstore.fulcio.v2.CA/GetTrustBundle";
const CONFIGURATION: &str = "/dev.sigstore.fulcio.v2.CA/GetConfiguration";
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// An authority on a port, and the issuer that it trusts.
pub struct Test {
    issuer: FakeIssuer,
    pub authority: TestAuthority,
    pub server: Running,
}

pub async fn start() -> Test {
    start_with(|signer| signer, None).await
}

async fn start_with(signer: fn(Arc<dyn Signer>) -> Arc<dyn Signer>, tls: Option<Tls>) -> Test {
    let issuer = FakeIssuer::start().await;
    let authority = TestAuthority::trusting(&issuer, signer);
    let app = App::new(Arc::clone(&authority.authority), &Material::default());
    let app = app.with_timestamps(Arc::clone(&authority.timestamping), (Patrons::Anyone, false));
    let readers = Access::to_log(&Readers::Anyone, false);
    let app = app.with_access(readers, Access::to_records(&Readers::Anyone, false));
    let server = Running::start_with(router(app), tls, Limits::default()).await;
    Test { issuer, authority, server }
}

impl Test {
    /// A request for a certificate that is granted, over HTTP.
    pub fn signing_request(&self) -> String {
        let caller = Caller::of(&self.issuer);
        caller.signing_request(&caller.token, "a")
    }

    /// Asks for a certificate by gRPC.
    async fn create(
        &self,
        request: Request<CreateSigningCertificateRequest>,
    ) -> Result<tonic::Response<SigningCertificate>, Status> {
        grpc::call(self.server.address, None, CREATE, request).await
    }

    /// Asks for the health of a service.
    async fn health(&self, service: &str) -> ServingStatus {
        let request = Request::new(HealthCheckRequest { service: service.to_owned() });
        let answer: Result<tonic::Response<HealthCheckResponse>, Status> =
            grpc::call(self.server.address, None, CHECK, request).await;
        answer.unwrap().into_inner().status()
    }
}

/// Somebody with a token, a key, and the proof that it is theirs.
struct Caller {
    token: String,
    key_pem: String,
    /// The SHA-256 of the key, in hexadecimal.
    fingerprint: String,
    proof: Vec<u8>,
}

impl Caller {
    fn of(issuer: &FakeIssuer) -> Self {
        let random = SystemRandom::new();
        let scheme = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::generate(scheme).unwrap();
        let proof = pair.sign(&random, b"alice@example.com").unwrap();
        let spki = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
        let body = STANDARD.encode(spki.as_ref());
        Self {
            token: issuer.token(alice()),
            key_pem: format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"),
            fingerprint: Hash::of(&[spki.as_ref()]).to_string(),
            proof: proof.as_ref().to_vec(),
        }
    }

    /// A request for a certificate under this id, over HTTP, with another token.
    fn signing_request(&self, token: &str, id: &str) -> String {
        let mut key = json!({ "publicKey": { "content": self.key_pem } });
        key["proofOfPossession"] = json!(STANDARD.encode(&self.proof));
        let credentials = json!({ "oidcIdentityToken": token });
        let body = json!({ "credentials": credentials, "publicKeyRequest": key }).to_string();
        let head =
            format!("POST /api/v2/signingCert HTTP/1.1\r\nhost: test\r\nx-request-id: {id}\r\n");
        head + &format!("content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn request(&self) -> CreateSigningCertificateRequest {
        let token = credentials::Credentials::OidcIdentityToken(self.token.clone());
        let public_key = PublicKey { algorithm: 0, content: self.key_pem.clone() };
        let proof_of_possession = self.proof.clone();
        let key = PublicKeyRequest { public_key: Some(public_key), proof_of_possession };
        CreateSigningCertificateRequest {
            credentials: Some(Credentials { credentials: Some(token) }),
            key: Some(Key::PublicKeyRequest(key)),
        }
    }
}

fn alice() -> serde_json::Value {
    json!({ "sub": "alice", "email": "alice@example.com", "email_verified": true })
}

async fn run(name: &str) {
    let test = start().await;
    run_on(&test, &Caller::of(&test.issuer), name).await;
    assert_eq!(test.server.ended().await, 0);
}

async fn run_on(test: &Test, caller: &Caller, name: &str) {
    let with = |name: &str, value: &str| {
        let mut claims = alice();
        claims[name] = json!(value);
        test.issuer.token(claims)
    };
    let defined = [
        ("issuer", test.issuer.url()),
        ("token", caller.token.clone()),
        ("key", caller.key_pem.replace('\n', "\\n")),
        ("key64", STANDARD.encode(&caller.key_pem)),
        ("proof", STANDARD.encode(&caller.proof)),
        ("expired", test.issuer.token_at(MIDNIGHT - 700, alice())),
        ("foreign", with("iss", &format!("{}/", test.issuer.url()))),
        ("elsewhere", with("aud", "vault")),
        ("key_fingerprint", caller.fingerprint.clone()),
        ("fingerprint", Hash::of(&[&test.authority.chain().ders()[0]]).to_string()),
    ];
    script::run(name, &defined, &test.server).await;
}

#[tokio::test]
async fn routes() {
    run("routes.txt").await;
}

#[tokio::test]
async fn timestamps() {
    run("timestamps.txt").await;
}

#[tokio::test]
async fn requests() {
    run("requests.txt").await;
}

#[tokio::test]
async fn envelope() {
    run("envelope.txt").await;
}

#[tokio::test]
async fn limits() {
    run("limits.txt").await;
}

#[tokio::test]
async fn issued() {
    run("issued.txt").await;
}

/// Two certificates and two refusals in turn, a second between, under the ids a, b, c, d.
#[tokio::test(flavor = "multi_thread")]
async fn records() {
    let test = start().await;
    let caller = Caller::of(&test.issuer);
    let expired = test.issuer.token_at(MIDNIGHT - 700, alice());
    for (second, (id, token)) in (0..).zip([
        ("a", &caller.token),
        ("b", &expired),
        ("c", &caller.token),
        ("d", &String::new()),
    ]) {
        test.authority.clock.set(Timestamp::from_secs(MIDNIGHT + second));
        let request = caller.signing_request(token, id);
        let answer = test.server.ask(request.as_bytes()).await;
        assert_eq!(answer.status == 200, id == "a" || id == "c", "{id}: {}", answer.text());
    }
    // They are kept by a thread of its own.
    let kept = || test.authority.authority.recorder.refusals().and_then(|all| all.end().ok());
    until("the refusals are kept", async || kept() == Some(3)).await;
    run_on(&test, &caller, "records.txt").await;
    assert_eq!(test.server.ended().await, 0);
}

#[tokio::test]
async fn what_nobody_may_read_is_shut() {
    let test = start().await;
    let app = || App::new(Arc::clone(&test.authority.authority), &Material::default());
    let server = Running::start(router(app())).await;
    script::run("shut.txt", &[], &server).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("readers.token");
    std::fs::write(&file, "s3cret-of-the-auditor\n").unwrap();
    let readers = Readers::Token(file.clone());
    let access = (Access::to_log(&readers, true), Access::to_records(&readers, true));
    let server = Running::start(router(app().with_access(access.0, access.1))).await;
    let fingerprint = Hash::of(&[&test.authority.chain().ders()[0]]).to_string();
    script::run("token.txt", &[("fingerprint", fingerprint)], &server).await;

    let key = folder.path().join("log.der");
    std::fs::write(&key, test.authority.authority.logs.all()[0].public_key()).unwrap();
    let mut args = VerifyArgs {
        log: format!("http://{}/ct/2026", server.address),
        key: Some(key),
        state: Some(folder.path().join("state.json")),
        token_file: None,
        tree_only: false,
        json: false,
    };
    let error = verify::run(&args, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.ends_with("give it with --token-file FILE"), "{error}");
    args.token_file = Some(file);
    verify::run(&args, &mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn the_log() {
    run("log.txt").await;
}

#[tokio::test]
async fn what_the_log_serves_holds_from_inside_and_from_outside() {
    let test = start().await;
    let caller = Caller::of(&test.issuer);
    let log = &test.authority.authority.logs.all()[0];
    let empty = check_served(log, None).await.unwrap();
    for _ in 0..3 {
        test.create(Request::new(caller.request())).await.unwrap();
    }
    let verdict = check_served(log, Some(empty.head)).await.unwrap();
    assert_eq!((verdict.head.size, verdict.issuers, verdict.unchecked), (3, 2, 0));

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("log.der");
    std::fs::write(&key, log.public_key()).unwrap();
    let args = VerifyArgs {
        log: format!("http://{}/ct/2026", test.server.address),
        key: Some(key),
        state: Some(folder.path().join("state.json")),
        token_file: None,
        tree_only: false,
        json: false,
    };
    let mut report = Vec::new();
    verify::run(&args, &mut report).await.unwrap();
    let report = String::from_utf8(report).unwrap();
    assert!(report.starts_with("test/ct/2026 holds\n  entries  3 "), "{report}");
}

#[tokio::test]
async fn an_endless_upload_gets_an_answer_and_is_not_kept() {
    let test = start().await;
    let (mut read, mut write) = test.server.connect().await.into_split();
    let upload = tokio::spawn(async move {
        let head = "POST /api/v2/signingCert HTTP/1.1\r\nhost: test\r\n\
            transfer-encoding: chunked\r\n\r\n";
        write.write_all(head.as_bytes()).await.unwrap();
        let chunk = [b"10000\r\n", &vec![b' '; 0x10000][..], b"\r\n"].concat();
        let mut sent = 0;
        while sent < 300 << 20 && write.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
    });
    let answer = Answer::read(&mut read).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("request body too large"));
    upload.await.unwrap();
}

#[track_caller]
fn check_chain(certificate: SigningCertificate) {
    let Some(Certificate::SignedCertificateEmbeddedSct(embedded)) = certificate.certificate else {
        panic!("the SCT is not in the certificate")
    };
    let certificates = embedded.chain.unwrap().certificates;
    assert_eq!(certificates.len(), 3);
    for pem in certificates {
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
        assert!(pem.ends_with("-----END CERTIFICATE-----"), "{pem}");
    }
}

#[tokio::test]
async fn grpc_issues() {
    let test = start().await;
    let caller = Caller::of(&test.issuer);
    let answer = test.create(Request::new(caller.request())).await.unwrap();
    assert!(answer.metadata().get("x-request-id").is_some());
    check_chain(answer.into_inner());
}

#[tokio::test]
async fn grpc_takes_the_one_token_among_the_metadata() {
    let test = start().await;
    let caller = Caller::of(&test.issuer);
    let request = |tokens: usize| {
        let message = CreateSigningCertificateRequest { credentials: None, ..caller.request() };
        let mut request = Request::new(message);
        for _ in 0..tokens {
            request.metadata_mut().append("oidcidentitytoken", caller.token.parse().unwrap());
        }
        request
    };
    check_chain(test.create(request(1)).await.unwrap().into_inner());
    for tokens in [0, 2] {
        let status = test.create(request(tokens)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
}

#[tokio::test]
async fn grpc_issues_over_tls() {
    let files = Files::new();
    let root = Files::renew(&files.paths);
    let test = start_with(|signer| signer, Some(Tls::open(&files.paths).unwrap())).await;
    let request = Request::new(Caller::of(&test.issuer).request());
    let answer = grpc::call(test.server.address, Some(&root), CREATE, request).await;
    check_chain(answer.unwrap().into_inner());
}

#[tokio::test]
async fn grpc_says_what_may_be_trusted() {
    let Test { authority, server, .. } = start().await;
    let request = Request::new(GetTrustBundleRequest {});
    let bundle: TrustBundle =
        grpc::call(server.address, None, BUNDLE, request).await.unwrap().into_inner();
    assert_eq!(bundle.chains.len(), 1);
    assert_eq!(bundle.chains[0].certificates, authority.chain().pems());

    let request = Request::new(GetConfigurationRequest {});
    let configuration: Configuration =
        grpc::call(server.address, None, CONFIGURATION, request).await.unwrap().into_inner();
    assert_eq!(configuration.issuers.len(), 1);
    assert_eq!(configuration.issuers[0].audience, "sigstore");
}

/// `google.rpc.Status` as a client decodes it.
#[derive(Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

#[derive(Message)]
struct Detail {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[tokio::test]
async fn grpc_says_why_not() {
    let test = start().await;
    let message = Caller::of(&test.issuer).request();
    let message = CreateSigningCertificateRequest { credentials: None, ..message };
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-request-id", "run-7".parse().unwrap());
    let status = test.create(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let details = Details::decode(status.details()).unwrap();
    assert_eq!((details.code, details.message.as_str()), (3, status.message()));
    let [info, request] = &details.details[..] else { panic!("{details:?}") };
    assert_eq!(info.url, "type.googleapis.com/google.rpc.ErrorInfo");
    // The two first fields: reason and domain.
    assert_eq!(info.value, b"\x0a\x0dTOKEN_MISSING\x12\x06mayfly");
    assert_eq!(request.url, "type.googleapis.com/google.rpc.RequestInfo");
    assert_eq!(request.value, b"\x0a\x05run-7");
}

#[tokio::test]
async fn grpc_messages_over_4_mib_are_refused() {
    let test = start().await;
    let mut message = Caller::of(&test.issuer).request();
    message.key = Some(Key::CertificateSigningRequest(vec![b'x'; 5 << 20]));
    let status = test.create(Request::new(message)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}

/// A signer whose device is gone as long as `GONE` says so.
struct Device(Arc<dyn Signer>);

static GONE: AtomicBool = AtomicBool::new(false);

impl Signer for Device {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, Result<Vec<u8>, SignerError>> {
        if GONE.load(Ordering::SeqCst) {
            return Box::pin(async { Err(SignerError("slot 3: PIN 1234 is wrong".to_owned())) });
        }
        self.0.sign(message)
    }
}

#[tokio::test]
async fn our_own_failures_are_ours_and_tell_nothing_of_our_insides() {
    const AUTHORITY: &str = "dev.sigstore.fulcio.v2.CA";
    let test = start_with(|signer| Arc::new(Device(signer)), None).await;
    let caller = Caller::of(&test.issuer);
    assert_eq!(test.server.get("/readyz").await.status, 200);
    assert_eq!(test.health(AUTHORITY).await, ServingStatus::Serving);

    GONE.store(true, Ordering::SeqCst);
    let status = test.create(Request::new(caller.request())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().contains("this is not your fault, try again; request id "),
        "{status}"
    );
    assert!(!status.message().contains("PIN"), "{status}");

    let ready = test.server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(r#""part":"key""#), "{}", ready.text());
    assert!(!ready.text().contains("PIN"), "{}", ready.text());
    assert_eq!(test.health(AUTHORITY).await, ServingStatus::NotServing);
    assert_eq!(test.health("").await, ServingStatus::Serving);
    assert_eq!(test.server.get("/healthz").await.status, 200);

    // Nobody asks an unready instance for certificates: it must not wait for one to be well again.
    test.authority.clock.set(Timestamp::from_secs(MIDNIGHT + 60));
    assert_eq!(test.server.get("/readyz").await.status, 200);

    test.create(Request::new(caller.request())).await.unwrap_err();
    assert_eq!(test.server.get("/readyz").await.status, 503);
    GONE.store(false, Ordering::SeqCst);
    check_chain(test.create(Request::new(caller.request())).await.unwrap().into_inner());
    assert_eq!(test.server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn an_authority_that_has_expired_is_not_ready() {
    let test = start().await;
    test.authority.clock.set(test.authority.chain().not_after());
    let ready = test.server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains(r#""part":"chain""#), "{}", ready.text());
}

#[tokio::test]
async fn an_issuer_that_is_down_is_503_and_leaves_us_ready() {
    let test = start().await;
    test.issuer.fail(Endpoint::Discovery, Fault::HangUp);
    let request = Request::new(Caller::of(&test.issuer).request());
    let status = test.create(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("this is not the token's fault"), "{status}");
    assert_eq!(test.server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn exchanges_over_the_bound_are_told_to_come_again() {
    let test = start().await;
    let app =
        App::new(Arc::clone(&test.authority.authority), &Material::default()).with_exchanges(1);
    let server = Running::start(router(app)).await;
    let caller = Caller::of(&test.issuer);
    test.issuer.fail(Endpoint::Keys, Fault::Silent);
    let first = grpc::call(server.address, None, CREATE, Request::new(caller.request()));
    let first = tokio::spawn(first);
    until("the keys are asked for", async || test.issuer.requests(Endpoint::Keys) > 0).await;

    let request = b"POST /api/v2/signingCert HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\
        connection: close\r\n\r\n";
    let second = server.ask(request).await;
    assert_eq!((second.status, second.header("retry-after")), (503, Some("1")));
    assert!(second.text().contains("OVERLOADED"), "{}", second.text());

    test.issuer.heal();
    check_chain(first.await.unwrap().unwrap().into_inner());
    assert_eq!(server.ask(request).await.status, 400);
}

#[tokio::test]
async fn a_call_under_way_finishes_after_the_end() {
    let mut test = start().await;
    let caller = Caller::of(&test.issuer);
    test.issuer.fail(Endpoint::Keys, Fault::Silent);
    let call = grpc::call(test.server.address, None, CREATE, Request::new(caller.request()));
    let call = tokio::spawn(call);
    until("the keys are asked for", async || test.issuer.requests(Endpoint::Keys) > 0).await;
    test.server.tell_to_end();
    test.issuer.heal();
    check_chain(call.await.unwrap().unwrap().into_inner());
    assert_eq!(test.server.ended().await, 0);
}
