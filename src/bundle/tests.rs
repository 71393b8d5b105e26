//! Bundles of real clients, and what breaks them.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const CASES: &str = include_str!("../../tests/vectors/bundles/cases.jsonl");
const ROOTS: &str = include_str!("../../tests/vectors/bundles/roots.jsonl");
const FILE: &[u8] = include_bytes!("../../tests/vectors/bundles/artifact");

/// 2030-01-01T00:00:00Z: every certificate has long ended.
const LATER: Timestamp = Timestamp::from_secs(1_893_456_000);

/// Why those of the conformance suite do not hold that must not, and the one that we do not read.
const REFUSED: [(&str, &str); 15] = [
    ("rekor2-checkpoint-missing-log-signature_fail", "a signature line of the note must be"),
    ("rekor2-checkpoint-missing-origin_fail", "the second line of the checkpoint"),
    ("rekor2-checkpoint-missing-root-hash_fail", "the third line of the checkpoint"),
    ("rekor2-checkpoint-missing-size_fail", "the second line of the checkpoint"),
    ("rekor2-checkpoint-no-matching-signature_fail", "not signed by the given log key"),
    ("rekor2-dsse-happy-path", "attestations (dsseEnvelope) are not verified"),
    ("rekor2-no-inclusion-proof_fail", "missing field `inclusionProof`"),
    ("rekor2-no-timestamp_fail", "has no timestamp"),
    ("rekor2-timestamp-outside-trust-root-tsa-validity_fail", "does not trust its authority at"),
    ("rekor2-timestamp-outside-tsa-cert-validity_fail", "chain holds from 2025-08-07T15:29:08Z"),
    ("rekor2-timestamp-payload-mismatch_fail", "of something else"),
    ("rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", "by another authority"),
    ("rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail", "by another authority"),
    ("rekor2-timestamp-with-incorrect-time_fail", "Invalid symbol 10"),
    ("trust-root-tlog-missing-validity-start_fail", "has no signature log of that id"),
];

fn cases() -> impl Iterator<Item = Value> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn root(case: &Value) -> Material {
    let line = usize::try_from(case["root"].as_u64().unwrap()).unwrap();
    trusted_root(ROOTS.lines().nth(line).unwrap().as_bytes()).unwrap()
}

/// What becomes of a bundle: nothing where it holds, else the sentence.
fn refusal(bundle: &Value, trust: &Material) -> Option<String> {
    match Bundle::from_json(bundle.to_string().as_bytes()) {
        Err(error) => Some(error.to_string()),
        Ok(bundle) => bundle.verify(FILE, trust, LATER).err().map(|error| error.to_string()),
    }
}

#[test]
fn bundles_of_the_conformance_suite() {
    for case in cases() {
        let id = case["id"].as_str().unwrap();
        let refusal = refusal(&case["bundle"], &root(&case));
        match REFUSED.iter().find(|row| row.0 == id) {
            None => assert_eq!(refusal, None, "{id}"),
            Some((_, why)) => {
                assert!(refusal.as_ref().is_some_and(|it| it.contains(why)), "{id}: {refusal:?}");
            }
        }
    }
    let unread = "rekor2-dsse-happy-path";
    assert!(REFUSED.iter().all(|(id, _)| id.ends_with("_fail") || *id == unread));
    assert_eq!(cases().count() - REFUSED.len(), 11);
}

fn good() -> (Bundle, Material) {
    let case = cases().find(|case| case["id"] == "rekor2-happy-path").unwrap();
    (Bundle::from_json(case["bundle"].to_string().as_bytes()).unwrap(), root(&case))
}

#[test]
fn says_when_by_whom_and_where() {
    let (bundle, trust) = good();
    let verified = bundle.verify(FILE, &trust, LATER).unwrap();
    assert_eq!(verified.time.to_string(), "2025-06-12T12:02:20Z");
    assert_eq!(verified.certificate.der(), bundle.certificate);
    assert_eq!(verified.index, bundle.entry.index);
    assert!(verified.steps()[4].contains(&verified.log));
}

#[test]
fn it_is_by_one_signer_alone() {
    let (bundle, trust) = good();
    let verified = bundle.verify(FILE, &trust, LATER).unwrap();
    let [identity] = <[String; 1]>::try_from(verified.certificate.sans()).unwrap();
    let issuer = "https://token.actions.githubusercontent.com";
    assert_eq!(verified.is_by(&identity, issuer), Ok(()));
    let wanted = "mallory".to_owned();
    let other = Stranger::Identity { got: identity.clone(), wanted: wanted.clone() };
    assert_eq!(verified.is_by(&wanted, issuer), Err(other));
    let other = Stranger::Issuer { got: issuer.to_owned(), wanted: wanted.clone() };
    assert_eq!(verified.is_by(&identity, &wanted), Err(other));
}

#[test]
fn what_is_written_is_read_again() {
    let (bundle, _) = good();
    let json = bundle.json().unwrap();
    assert_eq!(Bundle::from_json(json.as_bytes()), Ok(bundle));
    assert!(json.contains(r#""algorithm":"SHA2_256""#), "{json}");
}

#[track_caller]
fn bite(change: impl FnOnce(&mut Bundle, &mut Material), expected: &Unverified) {
    let (mut bundle, mut trust) = good();
    change(&mut bundle, &mut trust);
    assert_eq!(&bundle.verify(FILE, &trust, LATER).map(drop).unwrap_err(), expected);
}

#[test]
fn each_rule_of_the_certificate_bites() {
    use Unverified::{Certificate, NoAuthority, Signature};
    bite(|it, _| it.certificate.clear(), &Certificate(ReadingError::Unreadable));
    bite(|_, trust| trust.certificate_authorities.clear(), &NoAuthority);
    let ended = Timestamp::from_secs(1_700_000_000);
    let end = |trust: &mut Material| {
        trust.certificate_authorities.iter_mut().for_each(|it| it.until = Some(ended));
    };
    bite(|_, trust| end(trust), &NoAuthority);
    bite(|_, trust| trust.certificate_logs.clear(), &Unverified::UnknownLog("certificate"));
    let swap = |trust: &mut Material| {
        let key = trust.signature_logs[0].public_key.clone();
        trust.certificate_logs.iter_mut().for_each(|it| it.public_key.clone_from(&key));
    };
    bite(|_, trust| swap(trust), &Certificate(ReadingError::Sct));
    bite(|it, _| it.digest[0] ^= 1, &Signature(RekorError::Signature));
    // The names are called issuerAltName, which is not known: critical all the same.
    let rename = |it: &mut Bundle| {
        let names = b"\x06\x03\x55\x1d\x11\x01\x01\xff";
        let at = it.certificate.windows(names.len()).position(|window| window == names);
        it.certificate[at.unwrap() + 4] = 0x12;
    };
    let oid = ObjectIdentifier::new_unwrap("2.5.29.18");
    bite(|it, _| rename(it), &Unverified::UnknownCritical(oid));
    // The issuing certificate: it did not issue itself, and signs no code.
    let (bundle, trust) = good();
    let authority = trust.certificate_authorities.last().unwrap().certificates[0].clone();
    let authority = Bundle { certificate: authority, ..bundle };
    let error = authority.verify(FILE, &trust, LATER).unwrap_err();
    assert_eq!(error, Unverified::Purpose);
}

#[test]
fn each_rule_of_the_timestamp_bites() {
    use Unverified::{NoTimestamp, Timestamp as Stamp};
    bite(|it, _| it.timestamps.clear(), &NoTimestamp);
    bite(|_, trust| trust.timestamp_authorities.clear(), &NoTimestamp);
    bite(|it, _| it.signature.push(0), &Stamp(ReplyError::OtherMessage));
    let cut = |trust: &mut Material| {
        trust.timestamp_authorities.iter_mut().for_each(|it| it.certificates.truncate(1));
    };
    let rootless = timestamp::ChainError::Rootless;
    bite(|_, trust| cut(trust), &Unverified::TimestampChain(rootless));
    let (bundle, trust) = good();
    let time = Timestamp::from_secs(1_749_729_740);
    let now = Timestamp::from_secs(1_749_729_739);
    let early = bundle.verify(FILE, &trust, now).unwrap_err();
    assert_eq!(early, Unverified::Future { time, now });
    assert!(bundle.verify(FILE, &trust, time).is_ok());
}

#[test]
fn each_rule_of_the_log_bites() {
    let kind = |version: &str| ("hashedrekord".to_owned(), version.to_owned());
    let (of, version) = kind("0.0.1");
    let old = Unverified::Kind { kind: of, version };
    bite(|it, _| it.entry.kind = kind("0.0.1"), &old);
    bite(|it, _| it.entry.body.push(b' '), &Unverified::OtherEntry);
    bite(|_, trust| trust.signature_logs.clear(), &Unverified::UnknownLog("signature"));
    bite(|it, _| it.entry.log_id[0] ^= 1, &Unverified::UnknownLog("signature"));
    bite(|it, _| it.entry.size += 1, &Unverified::OtherTree);
    bite(|it, _| it.entry.root.0[0] ^= 1, &Unverified::OtherTree);
    bite(|it, _| it.entry.index ^= 1, &Unverified::Inclusion(ProofError::Root));
    bite(|it, _| it.entry.checkpoint.clear(), &Unverified::Note(NoteError::Unsigned));
    let wanted = "https://log.example.com".to_owned();
    let move_it = |trust: &mut Material| {
        trust.signature_logs.iter_mut().for_each(|log| log.url.clone_from(&wanted));
    };
    let (bundle, _) = good();
    let got = bundle.entry.checkpoint.lines().next().unwrap().to_owned();
    let origin = Unverified::Origin { got, wanted: wanted.clone() };
    bite(|_, trust| move_it(trust), &origin);
}

#[test]
fn another_file_is_refused() {
    let (bundle, trust) = good();
    let error = bundle.verify(b"another", &trust, LATER).unwrap_err();
    assert_eq!(error, Unverified::OtherFile);
}

#[track_caller]
fn bite_form(change: impl FnOnce(&mut Value), expected: &BundleError) {
    let case = cases().find(|case| case["id"] == "rekor2-happy-path").unwrap();
    let mut bundle = case["bundle"].clone();
    change(&mut bundle);
    assert_eq!(&Bundle::from_json(bundle.to_string().as_bytes()).unwrap_err(), expected);
}

/// Only version 0.2 has the certificate as the first of a chain.
#[test]
fn the_older_form_is_read_too() {
    let case = cases().find(|case| case["id"] == "rekor2-happy-path").unwrap();
    let wanted = Bundle::from_json(case["bundle"].to_string().as_bytes()).unwrap();
    let chained = |media_type: &str| {
        let mut bundle = case["bundle"].clone();
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material.insert(
            "x509CertificateChain".to_owned(),
            json!({ "certificates": [certificate, { "rawBytes": "" }] }),
        );
        bundle["mediaType"] = media_type.into();
        Bundle::from_json(bundle.to_string().as_bytes())
    };
    let read = chained("application/vnd.dev.sigstore.bundle+json;version=0.2").unwrap();
    assert_eq!((read.certificate, read.signature), (wanted.certificate, wanted.signature));
    let newer = chained("application/vnd.dev.sigstore.bundle.v0.3+json");
    assert_eq!(newer.err(), Some(BundleError::NoCertificate));
}

#[test]
fn each_rule_of_the_form_bites() {
    let older = "application/vnd.dev.sigstore.bundle+json;version=0.1";
    bite_form(|it| it["mediaType"] = older.into(), &BundleError::MediaType(older.to_owned()));
    bite_form(|it| it["messageSignature"] = Value::Null, &BundleError::NoMessage);
    let material = "verificationMaterial";
    bite_form(|it| it[material]["certificate"] = Value::Null, &BundleError::NoCertificate);
    bite_form(|it| it[material]["tlogEntries"] = json!([]), &BundleError::Entries);
    let twice = |it: &mut Value| {
        let entries = it[material]["tlogEntries"].as_array_mut().unwrap();
        entries.push(entries[0].clone());
    };
    bite_form(twice, &BundleError::Entries);
    let many = |it: &mut Value| {
        let stamps = &mut it[material]["timestampVerificationData"]["rfc3161Timestamps"];
        *stamps = vec![stamps[0].clone(); 9].into();
    };
    bite_form(many, &BundleError::Timestamps(9));
    let entry = |it: &mut Value, pointer: &str, value: Value| {
        *it[material]["tlogEntries"][0].pointer_mut(pointer).unwrap() = value;
    };
    bite_form(|it| entry(it, "/logIndex", "7".into()), &BundleError::Index);
    bite_form(|it| entry(it, "/inclusionProof/rootHash", "AAAA".into()), &BundleError::Hash);
    let long = " ".repeat((1 << 20) + 1);
    assert_eq!(Bundle::from_json(long.as_bytes()), Err(BundleError::TooLong));
}

#[test]
fn our_own_trusted_root_is_read_as_it_was_written() {
    let (_, trust) = good();
    let written = trust.trusted_root();
    let read = trusted_root(written.to_string().as_bytes()).unwrap();
    assert_eq!(read.trusted_root(), written);
    let other = json!({ "mediaType": "text/plain" }).to_string();
    assert_eq!(
        trusted_root(other.as_bytes()).unwrap_err(),
        RootError::MediaType("text/plain".into())
    );
    assert!(matches!(trusted_root(b"{}"), Err(RootError::Form(_))));
}

proptest! {
    #[test]
    fn never_panics(at in 0..8_000_usize, octet: u8, bytes: Vec<u8>) {
        let (bundle, trust) = good();
        let mut json = bundle.json().unwrap().into_bytes();
        if let Some(place) = json.get_mut(at) {
            *place = octet;
        }
        if let Ok(bundle) = Bundle::from_json(&json) {
            let _ = bundle.verify(FILE, &trust, LATER);
        }
        let _ = Bundle::from_json(&bytes);
        let _ = LogEntry::from_json(&bytes);
        let _ = trusted_root(&bytes);
    }
}
