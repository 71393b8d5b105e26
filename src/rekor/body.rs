//! The octets of an entry: what RFC 8785 makes of protobuf's JSON.
//!
//! Every text in it is a name of ours or base64, so nothing needs escaping, and members are written in
//! their order.

use std::fmt::{self, Display};

use aws_lc_rs::digest::{SHA256, digest};
use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;

use super::{Material, Scheme, Signature, Verifier};

/// `HashedRekordLogEntryV002` in its `Entry`.
pub(super) fn hashed_rekord(scheme: &Scheme, digest: &[u8], signature: &Signature) -> String {
    let (algorithm, digest) = (scheme.hash, base64(digest));
    format!(
        r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"{algorithm}","digest":"{digest}"}},"signature":{signature}}}}}}}"#
    )
}

/// `DSSELogEntryV002` in its `Entry`: the payload's hash is SHA-256 whatever the signatures'.
pub(super) fn dsse(payload: &[u8], signatures: &[Signature]) -> String {
    let digest = digest(&SHA256, payload);
    let digest = base64(digest.as_ref());
    let signatures = signatures.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"apiVersion":"0.0.2","kind":"dsse","spec":{{"dsseV002":{{"payloadHash":{{"algorithm":"SHA2_256","digest":"{digest}"}},"signatures":[{signatures}]}}}}}}"#
    )
}

/// `Signature`.
impl Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content, verifier } = self;
        write!(f, r#"{{"content":"{}","verifier":{verifier}}}"#, base64(content))
    }
}

/// `Verifier`, with the name of its algorithm whichever way it came.
impl Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = Scheme::named(&self.key_details).map_err(|_| fmt::Error)?.name;
        let (member, der) = match &self.material {
            Material::PublicKey(der) => ("publicKey", der),
            Material::Certificate(der) => ("x509Certificate", der),
        };
        let der = base64(der);
        write!(f, r#"{{"keyDetails":"{details}","{member}":{{"rawBytes":"{der}"}}}}"#)
    }
}

fn base64(octets: &[u8]) -> Base64Display<'_, 'static, base64::engine::GeneralPurpose> {
    Base64Display::new(octets, &BASE64_STANDARD)
}
