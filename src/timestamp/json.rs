//! A request in the JSON of sigstore's timestamp authority.
//!
//! ```text
//! { "artifactHash": "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", "hashAlgorithm": "sha256",
//!   "nonce": 7, "certificates": true, "tsaPolicyOID": "1.3.6.1.4.1.57264.2" }
//! ```
//!
//! The first two are needed. A nonce is a whole number of any length.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigInt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{HASHES, POLICY, Request, RequestError};
use crate::asn1;
use crate::quote::{escape, quote};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(borrow)]
    nonce: Option<&'a RawValue>,
    certificates: Option<bool>,
    #[serde(rename = "tsaPolicyOID")]
    policy: Option<String>,
}

/// Reads a request.
pub(super) fn read(text: &[u8]) -> Result<Request, RequestError> {
    let body: Body<'_> = serde_json::from_slice(text)
        .map_err(|error| RequestError::Json(escape(&error.to_string()).to_string()))?;
    let name = body.hash_algorithm.to_ascii_lowercase();
    let Some(hash) = HASHES.iter().find(|hash| hash.name == name) else {
        return Err(RequestError::Hash(quote(&body.hash_algorithm).to_string()));
    };
    let digest = STANDARD.decode(&body.artifact_hash);
    let digest = digest.map_err(|_| RequestError::Json("artifactHash is no base64".to_owned()))?;
    hash.check(&digest)?;
    let foreign = |policy: &String| !policy.is_empty() && *policy != POLICY.to_string();
    if let Some(policy) = body.policy.filter(foreign) {
        return Err(RequestError::Policy(policy));
    }
    let mut imprint = Vec::with_capacity(96);
    asn1::nested(&mut imprint, asn1::SEQUENCE, |imprint| {
        asn1::nested(imprint, asn1::SEQUENCE, |algorithm| {
            asn1::value(algorithm, asn1::OBJECT_IDENTIFIER, hash.oid.as_bytes());
        });
        asn1::value(imprint, asn1::OCTET_STRING, &digest);
    });
    Ok(Request {
        imprint,
        nonce: body.nonce.map(nonce).transpose()?,
        wants_certificate: body.certificates.unwrap_or_default(),
    })
}

/// DER `INTEGER`.
fn nonce(text: &RawValue) -> Result<Vec<u8>, RequestError> {
    let number: BigInt = text.get().parse().map_err(|_| {
        RequestError::Json(format!("nonce is {}, not a whole number", quote(text.get())))
    })?;
    let mut der = Vec::new();
    asn1::value(&mut der, asn1::INTEGER, &number.to_signed_bytes_be());
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Decode;
    use der::asn1::Int;

    /// SHA-256 of nothing.
    const DIGEST: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn body(rest: &str) -> String {
        format!("{{\"artifactHash\": \"{DIGEST}\", \"hashAlgorithm\": \"sha256\"{rest}}}")
    }

    #[track_caller]
    fn bite(text: &str, expected: &RequestError) {
        assert_eq!(&read(text.as_bytes()).unwrap_err(), expected);
    }

    #[track_caller]
    fn bite_form(text: &str, expected: &str) {
        match read(text.as_bytes()) {
            Err(RequestError::Json(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_what_is_asked() {
        let request = read(body("").as_bytes()).unwrap();
        assert_eq!((request.nonce, request.wants_certificate), (None, false));
        let rest = ", \"nonce\": 18446744073709551616, \"certificates\": true, \
                    \"tsaPolicyOID\": \"1.3.6.1.4.1.57264.2\", \"other\": [1]";
        let request = read(body(rest).as_bytes()).unwrap();
        let nonce = request.nonce.unwrap();
        assert_eq!(Int::from_der(&nonce).unwrap().as_bytes(), b"\x01\0\0\0\0\0\0\0\0");
        assert!(request.wants_certificate);
        let upper = body("").replace("sha256", "SHA256");
        assert_eq!(read(upper.as_bytes()).unwrap().imprint, request.imprint);
    }

    /// The imprint reads as one of a request in DER.
    #[test]
    fn both_forms_say_the_same() {
        let request = read(body(", \"nonce\": -129").as_bytes()).unwrap();
        let mut der = Vec::new();
        asn1::nested(&mut der, asn1::SEQUENCE, |der| {
            asn1::value(der, asn1::INTEGER, &[1]);
            der.extend_from_slice(&request.imprint);
            der.extend_from_slice(request.nonce.as_ref().unwrap());
        });
        assert_eq!(Request::from_der(&der), Ok(request));
    }

    #[test]
    fn each_rule_bites() {
        let weak = body("").replace("sha256", "sha1");
        bite(&weak, &RequestError::Hash("\"sha1\"".into()));
        let length = RequestError::DigestLength { hash: "sha512", expected: 64, got: 32 };
        bite(&body("").replace("sha256", "sha512"), &length);
        let policy = body(", \"tsaPolicyOID\": \"1.2.3.4\"");
        bite(&policy, &RequestError::Policy("1.2.3.4".into()));
        bite_form(&body(", \"nonce\": 1.5"), "not a whole number");
        bite_form(&body(", \"nonce\": \"7\""), "not a whole number");
        bite_form(&body("").replace('=', ""), "artifactHash is no base64");
        bite_form(&body(", \"nonce\": 1, \"nonce\": 2"), "duplicate field");
        bite_form("{\"hashAlgorithm\": \"sha256\"}", "missing field `artifactHash`");
        bite_form("{}x", "missing field");
        bite_form("", "EOF");
    }
}
