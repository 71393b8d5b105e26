//! The second half of the demo: something is signed, and verified when the certificate has long ended.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::Story;
use crate::bundle::{self, Bundle, LogEntry};
use crate::cli::CommandError;
use crate::cli::requester::Requester;
use crate::reading::Reading;
use crate::time::{Clock, SystemClock};
use crate::timestamp::request::query;
use crate::timestamping::PATH;

/// What is signed.
pub(super) const FILE: &[u8] = b"signed once, verified long after\n";

/// How much later it is verified.
const LATER: Duration = Duration::from_secs(60 * 60);

impl Story {
    /// Signs the file with the key of the certificate, has the signature stamped and logged, and makes the bundle.
    pub(super) async fn sign(
        &self,
        with: &Requester,
        leaf: &Reading,
    ) -> Result<Bundle, CommandError> {
        let signature = with.sign(FILE)?;
        let digest = digest(&SHA256, FILE).as_ref().to_vec();
        self.step("signature", "the key of the certificate signs a file")?;
        let hex: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        self.details(&[("sha-256", hex)])?;
        let stamp = self.stamp(&signature).await?;
        let entry = self.log_signature(leaf, &digest, &signature).await?;
        self.step("bundle", "signature, certificate, timestamp and log entry in one file")?;
        self.details(&[
            ("timestamp", format!("{} octets of {PATH}", stamp.len())),
            ("log entry", format!("index {} in a tree of {}", entry.index, entry.size)),
        ])?;
        let certificate = leaf.der().to_vec();
        Ok(Bundle { certificate, digest, signature, entry, timestamps: vec![stamp] })
    }

    async fn stamp(&self, signature: &[u8]) -> Result<Vec<u8>, CommandError> {
        let query = Bytes::from(query(signature));
        let answer = self.client.post_as(PATH, "application/timestamp-query", query).await?;
        match answer.status {
            200 => Ok(answer.body.to_vec()),
            _ => Err(CommandError::Failed(answer.message())),
        }
    }

    async fn log_signature(
        &self,
        leaf: &Reading,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<LogEntry, CommandError> {
        let request = json!({ "hashedRekordRequestV002": {
            "digest": STANDARD.encode(digest),
            "signature": {
                "content": STANDARD.encode(signature),
                "verifier": {
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "x509Certificate": { "rawBytes": STANDARD.encode(leaf.der()) },
                },
            },
        }});
        let answer = self.client.post("/api/v2/log/entries", request.to_string()).await?;
        match answer.status {
            201 => LogEntry::from_json(&answer.body).map_err(CommandError::failed),
            _ => Err(CommandError::Failed(answer.message())),
        }
    }

    /// Verifies the bundle, as it is written, with the served trusted root and a clock that is moved.
    pub(super) async fn verify(&self, bundle: &str, leaf: &Reading) -> Result<(), CommandError> {
        let bundle = Bundle::from_json(bundle.as_bytes()).map_err(CommandError::failed)?;
        let trust = self.client.get("/trusted_root.json").await?;
        let trust = bundle::trusted_root(&trust).map_err(CommandError::failed)?;
        let later = SystemClock.now().plus(LATER);
        let (_, ended) = leaf.validity();
        let when = format!("an hour later, {later}: the certificate ended at {ended}");
        self.step("verify", &when)?;
        let verified = bundle.verify(FILE, &trust, later).map_err(CommandError::failed)?;
        for step in verified.steps() {
            self.holds(&step)?;
        }
        let changed = FILE.to_ascii_uppercase();
        match bundle.verify(&changed, &trust, later) {
            Ok(_) => Err(CommandError::Failed("a changed file is verified".to_owned())),
            Err(refusal) => {
                self.step("changed", "the same bundle with another file")?;
                let refusal = self.out.wrap(&refusal.to_string(), 2);
                self.out.line(format_args!("  {}", self.out.style.bad(&refusal)))
            }
        }
    }
}
