//! The `sigstore` crate, as far as it can be pointed at an authority of one's own: it asks for
//! certificates over both APIs. Its signing and verifying know the first signature-log API alone.
//!
//!     sigstore-rs v1|v2 URL TOKEN CHALLENGE FILE CHAIN
//!
//! signs FILE with the key of the certificate, verifies that by the certificate, and writes the chain.

use std::error::Error;
use std::fs;

use p256::ecdsa::{DerSignature, SigningKey, signature::Signer};
use p256::elliptic_curve::Generate;
use sigstore::crypto::{CosignVerificationKey, Signature, SigningScheme};
use sigstore::fulcio::{FulcioClient, TokenProvider};
use sigstore::oauth::IdentityToken;
use x509_cert::Certificate;
use x509_cert::builder::{Builder, RequestBuilder};
use x509_cert::der::{Encode, EncodePem, pem::LineEnding};
use x509_cert::name::Name;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [api, url, token, challenge, file, chain] = &words[..] else {
        return Err("sigstore-rs v1|v2 URL TOKEN CHALLENGE FILE CHAIN".into());
    };
    let provider = TokenProvider::Static((token.parse()?, challenge.clone()));
    let client = FulcioClient::new(url.parse()?, provider);
    let artifact = fs::read(file)?;
    let (pem, signature) = match api.as_str() {
        "v1" => v1(client, &artifact).await?,
        _ => v2(client, &IdentityToken::try_from(token.as_str())?, &artifact).await?,
    };
    // An error that it was answered, it takes for a certificate.
    let certificates = Certificate::load_pem_chain(pem.as_bytes());
    let certificates = certificates.map_err(|error| format!("{error}: {pem}"))?;
    let leaf = certificates.first().ok_or_else(|| format!("no certificate: {pem}"))?;
    let spki = leaf.tbs_certificate().subject_public_key_info().to_der()?;
    let key = CosignVerificationKey::try_from_der(&spki)?;
    key.verify_signature(Signature::Raw(&signature), &artifact)?;
    fs::write(chain, pem)?;
    Ok(())
}

/// A signed challenge; PEM comes back.
async fn v1(client: FulcioClient, artifact: &[u8]) -> Outcome<(String, Vec<u8>)> {
    let (signer, chain) = client.request_cert(SigningScheme::ECDSA_P256_SHA256_ASN1).await?;
    Ok((chain.to_string(), signer.sign(artifact)?))
}

/// A signing request; JSON comes back.
async fn v2(
    client: FulcioClient,
    token: &IdentityToken,
    artifact: &[u8],
) -> Outcome<(String, Vec<u8>)> {
    let key = SigningKey::generate();
    let request = RequestBuilder::new(Name::default())?.build::<_, DerSignature>(&key)?;
    let issued = client.request_cert_v2(request, token).await?;
    let mut chain = issued.cert.to_pem(LineEnding::LF)?;
    for certificate in &issued.chain {
        chain += &certificate.to_pem(LineEnding::LF)?;
    }
    let signature: DerSignature = key.sign(artifact);
    Ok((chain, signature.as_bytes().to_vec()))
}
