//! `dev.sigstore.fulcio.v2.CA` as sigstore-java calls it: HTTP/2 over TLS, messages encoded by hand.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const METHOD: &str = "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";

/// `PublicKeyAlgorithm.ECDSA`
const ECDSA: [u8; 2] = [0x08, 2];

/// What came back: the trailers' status, their sentence, and the chain in PEM.
#[derive(Debug)]
pub struct Answer {
    pub status: String,
    pub message: String,
    pub certificates: Vec<String>,
}

/// Encodes `CreateSigningCertificateRequest`.
pub fn request(token: &str, public_key_pem: &str, proof: &[u8]) -> Vec<u8> {
    let credentials = field(1, token.as_bytes());
    let public_key = [&ECDSA[..], &field(2, public_key_pem.as_bytes())].concat();
    let key_request = [field(1, &public_key), field(2, proof)].concat();
    [field(1, &credentials), field(2, &key_request)].concat()
}

/// Sends one message to the authority at `url`, with sigstore-java's headers.
pub async fn call(url: &str, tls_ca: &str, message: &[u8]) -> Answer {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&[0], &length[..], message].concat();
    let request = Request::post(format!("{url}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "sigstoreJavaClient/2.2.0 grpc-java-netty/1.x")
        .header("grpc-accept-encoding", "gzip")
        .header("grpc-timeout", "60S")
        .body(Full::new(Bytes::from(frame)))
        .unwrap();
    let client = client(tls_ca);
    within_patience(async { answer(client.request(request).await.unwrap()).await }).await
}

/// Fetches a path of the instance at `url`.
pub async fn get(url: &str, tls_ca: &str, path: &str) -> Bytes {
    let request = Request::get(format!("{url}{path}")).body(Full::default()).unwrap();
    let client = client(tls_ca);
    within_patience(async {
        let response = client.request(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.into_body().collect().await.unwrap().to_bytes()
    })
    .await
}

/// Gives an answer as long as sigstore-java does.
async fn within_patience<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), answer).await.expect("an answer within 60 s")
}

async fn answer(response: Response<hyper::body::Incoming>) -> Answer {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    // An answer without a message has its trailers among the headers.
    let trailers = body.trailers().cloned().unwrap_or(headers);
    let trailer = |name| trailers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let frame = body.to_bytes();
    Answer {
        status: trailer("grpc-status"),
        message: trailer("grpc-message").replace("%20", " "),
        certificates: frame.get(5..).map_or_else(Vec::new, certificates),
    }
}

/// Decodes `SigningCertificate`: member 2 (embedded SCT), in it the chain, in that the PEMs.
fn certificates(message: &[u8]) -> Vec<String> {
    let members = fields(message);
    let [(2, embedded)] = members[..] else { panic!("one member, the second: {members:?}") };
    let (_, chain) = fields(embedded)[0];
    let pem = |(_, bytes): (u8, &[u8])| String::from_utf8(bytes.to_vec()).unwrap();
    fields(chain).into_iter().map(pem).collect()
}

fn client(
    tls_ca: &str,
) -> Client<
    hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>,
    Full<Bytes>,
> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(tls_ca.as_bytes()).unwrap()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http2().build();
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

/// Encodes a length-delimited field of Protocol Buffers.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        encoded.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    encoded.push(length as u8);
    encoded.extend(bytes);
    encoded
}

/// Decodes a message that has length-delimited fields and nothing else.
fn fields(mut message: &[u8]) -> Vec<(u8, &[u8])> {
    let mut fields = Vec::new();
    while let [tag, rest @ ..] = message {
        assert_eq!(tag & 7, 2, "length-delimited");
        let octets = rest.iter().take_while(|octet| **octet > 0x7f).count() + 1;
        let (length, rest) = rest.split_at(octets);
        let length = length.iter().rev().fold(0, |sum, octet| sum << 7 | usize::from(octet & 0x7f));
        let (bytes, rest) = rest.split_at(length);
        fields.push((tag >> 3, bytes));
        message = rest;
    }
    fields
}

#[test]
fn a_message_is_encoded_as_sigstore_java_encodes_it() {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/tests/vectors/client-requests/sigstore-java.json");
    let recorded: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = |pointer| recorded.pointer(pointer).unwrap().as_str().unwrap();
    let proof = STANDARD.decode(text("/message/publicKeyRequest/proofOfPossession")).unwrap();
    let token = text("/message/credentials/oidcIdentityToken");
    let key = text("/message/publicKeyRequest/publicKey/content");
    assert_eq!(STANDARD.encode(request(token, key, &proof)), text("/message_base64"));
}
