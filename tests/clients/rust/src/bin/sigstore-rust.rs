//! sigstore-rust, spoken to as `tests/clients/README.md` says.

use std::error::Error;
use std::fs;
use std::path::Path;

use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::trust_root::{SigningConfig, TrustedRoot, TufConfig};
use sigstore_sign::{SigningContext, SigningServices};
use sigstore_verify::types::Bundle;
use sigstore_verify::{VerificationPolicy, Verifier};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["sign", trust, token, file, bundle] => {
            let signer = context(trust).await?.signer(IdentityToken::from_jwt(token)?);
            fs::write(bundle, signer.sign(&fs::read(file)?[..]).await?.to_json()?)?;
        }
        ["attest", trust, token, statement, bundle] => {
            let signer = context(trust).await?.signer(IdentityToken::from_jwt(token)?);
            let made = signer.sign_raw_statement(&fs::read(statement)?).await?;
            fs::write(bundle, made.to_json()?)?;
        }
        ["verify", trust, identity, issuer, file, bundle] => {
            let bundle = Bundle::from_json(&fs::read_to_string(bundle)?)?;
            let policy = VerificationPolicy::new(identity, issuer);
            let verifier = Verifier::new(&trusted_root(trust).await?)?;
            verifier.verify(&fs::read(file)?[..], &bundle, &policy)?;
        }
        _ => return Err("see tests/clients/README.md".into()),
    }
    Ok(())
}

async fn context(trust: &str) -> Outcome<SigningContext> {
    if let Some(mirror) = mirror(trust)? {
        return Ok(SigningContext::from_tuf(mirror).await?);
    }
    let config = SigningConfig::from_file(Path::new(trust).join("signing_config.json"))?;
    Ok(SigningContext::new(SigningServices::from_signing_config(&config)?))
}

async fn trusted_root(trust: &str) -> Outcome<TrustedRoot> {
    if let Some(mirror) = mirror(trust)? {
        return Ok(TrustedRoot::from_tuf(mirror).await?);
    }
    Ok(TrustedRoot::from_file(Path::new(trust).join("trusted_root.json"))?)
}

/// The TUF repository, if that is where trust comes from.
fn mirror(trust: &str) -> Outcome<Option<TufConfig>> {
    let folder = Path::new(trust);
    let Ok(url) = fs::read_to_string(folder.join("mirror")) else { return Ok(None) };
    let config = TufConfig::custom_from_file(url.trim(), folder.join("root.json"))?;
    Ok(Some(config.without_cache()))
}
