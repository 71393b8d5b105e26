//! The record of a refused attempt: as much as was found out before it was refused.
//!
//! What was verified by then is a fact. What the request merely said stands apart, as [`Claimed`]: whoever
//! searches for an identity must not find what a stranger wrote.

use std::borrow::Cow;

use serde_json::Value;

use super::{Caller, Claimed, Outcome, Record, TOKEN_ID};
use crate::identity::Identity;
use crate::possession::{Proof, ProvenKey};
use crate::quote::escape;
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;
use crate::token::{Claims, UnverifiedToken};

/// How many octets of a sentence or value are kept: the rest of a longer one is somebody's noise.
const MESSAGE: usize = 2048;

/// How many octets of JSON a refusal has at most where it is kept. An ordinary one, with every claim of a
/// CI provider in it, has about 2,500; the claims of one that was made up may have a hundred thousand.
pub const OCTETS: usize = 4096;

/// What is known of a request, more and more while it is looked at.
#[derive(Debug, Default)]
pub struct Known {
    /// The URL or pattern of the issuer that is configured for the token.
    configured: Option<String>,
    claimed: Claimed,
    verified: Option<Verified>,
    identity: Option<Identity>,
    key: Option<ProvenKey>,
}

/// What a token that holds says.
#[derive(Debug)]
struct Verified {
    issuer: String,
    kind: &'static str,
    subject: String,
    id: Option<String>,
}

/// Why a request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The stable word for machines.
    pub word: &'static str,
    /// The sentence.
    pub message: String,
    /// What the rules looked at, if it was they.
    pub condition: Option<Condition>,
}

/// The condition of a rule that denies a request, or of the nearest one that does not allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The rule.
    pub rule: String,
    /// The claim.
    pub claim: String,
    /// What it should look like.
    pub wanted: Option<String>,
    /// What the token has there.
    pub got: Option<String>,
}

impl Known {
    /// The token is one, and says this of itself; for its issuer, this is configured.
    pub fn read(&mut self, token: &UnverifiedToken, configured: Option<&str>) {
        self.configured = configured.map(str::to_owned);
        let subject = token.unverified_claim("sub").and_then(Value::as_str);
        self.claimed.issuer = Some(escape(token.unverified_issuer()).to_string());
        self.claimed.subject = subject.map(|subject| escape(subject).to_string());
    }

    /// The token holds.
    pub fn verified(&mut self, claims: &Claims) {
        let id = claims.get("jti").and_then(Value::as_str);
        self.verified = Some(Verified {
            issuer: claims.iss().to_owned(),
            kind: claims.issuer().kind.name(),
            subject: claims.sub().to_owned(),
            id: id.filter(|id| id.len() <= TOKEN_ID).map(str::to_owned),
        });
        self.claimed = Claimed::default();
    }

    /// Whom it names, and the key that its bearer holds, if that was shown.
    pub fn identified(&mut self, identity: &Identity, key: Option<&ProvenKey>) {
        self.identity = Some(identity.clone());
        self.key = key.cloned();
    }

    /// The issuer: the URL or pattern that is configured, and once the token is verified, its `iss`.
    pub fn issuer(&self) -> Option<&str> {
        let verified = self.verified.as_ref().map(|verified| verified.issuer.as_str());
        verified.or(self.configured.as_deref())
    }

    /// The token's `sub`, once it is verified: what nobody vouches for is in no line.
    pub fn subject(&self) -> Option<&str> {
        Some(self.verified.as_ref()?.subject.as_str())
    }

    /// The record of the attempt that `caller` made at `time`, with this token and proof, refused for this
    /// reason.
    pub fn refused(
        &self,
        (caller, time): (&Caller, Timestamp),
        (token, proof): (&str, &Proof),
        reason: Reason,
    ) -> Record {
        let Self { verified, identity, key, .. } = self;
        let mut claimed = self.claimed.clone();
        let hex = |fingerprint| Hash(fingerprint).to_string();
        if key.is_none() {
            claimed.key = proof.claimed_fingerprint().map(hex);
        }
        let Reason { word, message, condition } = reason;
        let condition = condition.map(|Condition { rule, claim, wanted, got }| {
            (Some(rule), Some(cut(claim)), wanted.map(cut), got.map(cut))
        });
        let (rule, claim, wanted, got) = condition.unwrap_or_default();
        let (issuer, kind, subject, id) = match verified {
            Some(Verified { issuer, kind, subject, id }) => {
                (issuer.clone(), *kind, Some(escape(subject).to_string()), id.clone())
            }
            None => Default::default(),
        };
        let (identity, key) = (identity.as_ref(), key.as_ref());
        let extensions = identity.into_iter().flat_map(|identity| identity.extensions().iter());
        Record {
            time,
            result: Outcome::Refused,
            reason: Some(word.to_owned()),
            message: Some(cut(message)),
            claim,
            wanted,
            got,
            request_id: caller.request_id.clone(),
            client: caller.client,
            issuer,
            kind: kind.to_owned(),
            subject,
            san: identity.map(|identity| identity.san().as_str().to_owned()).unwrap_or_default(),
            extensions: extensions
                .map(|(row, text)| (row.name().into(), text.to_owned()))
                .collect(),
            rule,
            token_id: id.or_else(|| hash(token)),
            key: key.map(|key| hex(key.fingerprint())).unwrap_or_default(),
            key_algorithm: key.map(ProvenKey::algorithm).unwrap_or_default().into(),
            claimed: Some(claimed).filter(|all| *all != Claimed::default()).map(Box::new),
            ..Record::default()
        }
    }
}

impl Record {
    /// The record, its longest texts clipped, all to one length, until it has at most [`OCTETS`] of JSON.
    pub fn clipped(&self) -> Cow<'_, Self> {
        let fits = |record: &Self| record.to_json().is_ok_and(|json| json.len() <= OCTETS);
        let mut clipped = Cow::Borrowed(self);
        let mut most = OCTETS / 2;
        while most > 0 && !fits(&clipped) {
            clipped.to_mut().texts().for_each(|text| clip(text, most));
            most /= 2;
        }
        clipped
    }

    /// Every text that a caller may have made long.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let claimed = self.claimed.iter_mut().flat_map(|it| [&mut it.issuer, &mut it.subject]);
        let given = [
            &mut self.message,
            &mut self.subject,
            &mut self.rule,
            &mut self.claim,
            &mut self.wanted,
            &mut self.got,
            &mut self.token_id,
        ];
        let given = given.into_iter().chain(claimed).filter_map(Option::as_mut);
        given.chain([&mut self.issuer, &mut self.san]).chain(self.extensions.values_mut())
    }
}

/// Cuts a text that has more than `most` octets, and says so.
fn clip(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE));
    text
}

/// The hash of a token, from which nobody has it back; none where there is no token.
fn hash(token: &str) -> Option<String> {
    let token = token.trim();
    (!token.is_empty()).then(|| format!("sha256:{}", Hash::of(&[token.as_bytes()])))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::extensions::TABLE;
    use crate::issuer::Issuer;

    const TOKEN: &str =
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2EuZXhhbXBsZSIsInN1YiI6ImFsaWNlIn0.c2ln";
    /// `SubjectPublicKeyInfo` of an Ed25519 key.
    const KEY: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00\
        01234567890123456789012345678901";

    fn record(known: &Known, token: &str) -> Record {
        let caller = Caller { request_id: "5f0c".into(), client: None };
        let proof = Proof::SignedChallenge { key: KEY.to_vec(), signature: Vec::new() };
        let message = "no".repeat(MESSAGE);
        let got = Some("y".repeat(MESSAGE + 1));
        let (rule, claim) = ("forks".to_owned(), "fork".to_owned());
        let condition = Some(Condition { rule, claim, wanted: None, got });
        let reason = Reason { word: "NO", message, condition };
        known.refused((&caller, Timestamp::from_secs(7)), (token, &proof), reason)
    }

    fn claims(id: &str) -> Claims {
        let members = json!({ "iss": "https://a.example", "sub": "alice", "jti": id });
        let issuer = Arc::new(Issuer::assumed("https://a.example"));
        Claims::assumed(issuer, members.as_object().unwrap().clone())
    }

    #[test]
    fn what_nobody_verified_is_only_claimed() {
        let mut known = Known::default();
        known.read(&UnverifiedToken::parse(TOKEN).unwrap(), None);
        let record = record(&known, TOKEN);
        let claimed = record.claimed.as_ref().unwrap();
        assert_eq!(claimed.issuer.as_deref(), Some("https://a.example"));
        assert_eq!(claimed.subject.as_deref(), Some("alice"));
        assert_eq!(claimed.key, Some(Hash::of(&[KEY]).to_string()));
        assert_eq!((record.issuer.as_str(), record.subject.as_deref()), ("", None));
        assert_eq!(record.token_id, Some(format!("sha256:{}", Hash::of(&[TOKEN.as_bytes()]))));
        assert_eq!(record.message.as_ref().map(String::len), Some(MESSAGE));
        assert!(!record.to_json().unwrap().contains("eyJ"), "the token is in the record");
    }

    #[test]
    fn what_was_verified_is_a_fact() {
        let mut known = Known::default();
        known.read(&UnverifiedToken::parse(TOKEN).unwrap(), None);
        known.verified(&claims("jti-7"));
        let record = record(&known, TOKEN);
        assert_eq!(record.issuer, "https://a.example");
        assert_eq!(record.subject.as_deref(), Some("alice"));
        assert_eq!(record.token_id.as_deref(), Some("jti-7"));
        assert_eq!(record.rule.as_deref(), Some("forks"));
        assert_eq!((record.claim.as_deref(), record.wanted), (Some("fork"), None));
        assert_eq!(record.got.map(|got| got.len()), Some(MESSAGE));
        // The key is not shown to be the caller's.
        let claimed = record.claimed.unwrap();
        assert_eq!((claimed.issuer, claimed.subject), (None, None));
        assert!(claimed.key.is_some());
    }

    /// As long as it gets, of characters that JSON writes as six.
    fn endless() -> Record {
        let text = || "\u{1}".repeat(MESSAGE);
        let some = || Some(text());
        let claimed = Claimed { issuer: some(), subject: some(), key: Some("0".repeat(64)) };
        Record {
            time: Timestamp::from_millis(253_402_207_199_999),
            duration_ms: u64::MAX,
            result: Outcome::Refused,
            reason: Some("READER_UNAUTHENTICATED".into()),
            message: some(),
            request_id: "\"".repeat(128),
            client: Some([0xffff; 8].into()),
            issuer: text(),
            kind: "chainguard-identity".into(),
            subject: some(),
            san: text(),
            extensions: TABLE.iter().map(|row| (row.name.into(), text())).collect(),
            rule: some(),
            claim: some(),
            wanted: some(),
            got: some(),
            token_id: some(),
            serial: String::new(),
            key: "0".repeat(64),
            key_algorithm: "RSA 4096".into(),
            shard: String::new(),
            index: None,
            claimed: Some(claimed.into()),
            damaged: None,
        }
    }

    #[test]
    fn the_longest_texts_are_clipped_as_far_as_it_takes() {
        let octets = |record: &Record| record.to_json().unwrap().len();
        assert!(octets(&endless()) > 50 * OCTETS);
        assert!(octets(&endless().clipped()) <= OCTETS);

        // At the bound nothing is, one octet above it the longest alone.
        let (san, rule) = ("https://a.example".to_owned(), Some("release".to_owned()));
        let mut record = Record { san, rule, message: Some(String::new()), ..Record::default() };
        record.message = Some("ä".repeat((OCTETS - octets(&record)) / 2));
        record.request_id = "x".repeat(OCTETS - octets(&record));
        assert_eq!((octets(&record), &*record.clipped()), (OCTETS, &record));
        record.request_id.push('x');
        let clipped = record.clipped().into_owned();
        let message = format!("{}…", "ä".repeat(OCTETS / 4));
        assert_eq!(clipped, Record { message: Some(message), ..record });
    }

    #[test]
    fn a_token_without_a_use_is_known_by_its_hash() {
        let mut known = Known::default();
        known.verified(&claims(&"x".repeat(TOKEN_ID + 1)));
        assert!(record(&known, TOKEN).token_id.unwrap().starts_with("sha256:"));
        assert_eq!(record(&Known::default(), " ").token_id, None);
    }
}
