//! `mayfly verify`: whether a bundle is the signature of a file, by whom it should be.

use std::path::{Path, PathBuf};

use super::CommandError;
use super::out::Out;
use crate::bundle::{self, Bundle};
use crate::time::{Clock, SystemClock};

/// Verify the signature of a file by its bundle, and nothing but a trusted root
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  mayfly verify file.sigstore.json file --trusted-root trusted_root.json \\\n    \
    --certificate-identity alice@example.com --certificate-oidc-issuer https://idp.example.com"
)]
pub struct Args {
    /// The bundle, as cosign and others write it
    bundle: PathBuf,
    /// What was signed
    file: PathBuf,
    /// Who must have signed: the certificate's subject alternative name
    #[arg(long, value_name = "NAME")]
    certificate_identity: String,
    /// Who must have vouched for the signer
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: String,
    /// Whom to trust, as `trust export` writes it
    #[arg(long, value_name = "FILE")]
    trusted_root: PathBuf,
}

/// Runs `mayfly verify`.
///
/// # Errors
///
/// [`CommandError::Failed`] says what does not hold; [`CommandError::Usage`] which file cannot be read.
pub fn run(args: &Args) -> Result<(), CommandError> {
    let at = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| CommandError::Usage(at(path, &error)));
    let trust = bundle::trusted_root(&read(&args.trusted_root)?)
        .map_err(|error| CommandError::Usage(at(&args.trusted_root, &error)))?;
    let file = read(&args.file)?;
    let no = |error: &dyn std::fmt::Display| CommandError::Failed(at(&args.bundle, error));
    let bundle = Bundle::from_json(&read(&args.bundle)?).map_err(|error| no(&error))?;
    let verified = bundle.verify(&file, &trust, SystemClock.now()).map_err(|error| no(&error))?;
    verified
        .is_by(&args.certificate_identity, &args.certificate_oidc_issuer)
        .map_err(|error| no(&error))?;
    let out = Out::stdout();
    let signer = format!(
        "it was made by {}, for whom {} vouched",
        args.certificate_identity, args.certificate_oidc_issuer
    );
    for step in verified.steps().into_iter().chain([signer]) {
        out.line(format_args!("{} {step}", out.style.good("✓")))?;
    }
    Ok(())
}
