//! The authority: a token and a proof go in, a logged certificate comes out.
//!
//! [`Authority::issue`] is the whole story; everything above this module is a step of it, and
//! everything below only carries requests to it. Whose fault an error is stands in its type:
//! [`Refusal`] is the caller's, [`Failure`] is ours, and the `From` impls below are the policy.

use std::sync::Arc;

use arc_swap::ArcSwap;

pub mod explanation;
mod reason;
pub mod succession;

use crate::certificate::check::{CheckError, CheckedTbs};
use crate::certificate::profile::ProfileError;
use crate::certificate::tbs::CtExtension;
use crate::certificate::{Certificate, Chain, Serial};
use crate::explorer::recorder::Recorder;
use crate::identity::{Identity, IdentityError};
use crate::keyset::{Keyset, KeysetError};
use crate::log::LogError;
use crate::log::shards::Shards;
use crate::policy::{Judgement, Policy, PolicyError};
use crate::possession::{PossessionError, Proof};
use crate::quote::escape;
use crate::record::refused::Known;
use crate::record::{Attempt, Caller};
use crate::signer::SignerError;
use crate::time::{Clock, Timestamp};
use crate::token::{TokenError, UnverifiedToken};
use succession::{Issuing, Succession};

/// What a caller sends, by whichever door.
#[derive(Clone, Debug)]
pub struct Request {
    /// The compact JWS; empty when the caller sent none.
    pub token: String,
    /// The key and the proof that the caller holds it.
    pub proof: Proof,
    /// Who sends it, for the log line and the record.
    pub caller: Caller,
}

/// A certificate whose entry is durable in the log.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, with its SCT embedded.
    pub certificate: Certificate,
    /// The authority's chain: issuing certificate first, root last.
    pub chain: Arc<Chain>,
    /// Where its entry stands in the log.
    pub index: u64,
    /// Its serial number.
    pub serial: Serial,
    /// Its subject alternative name, as text.
    pub san: String,
}

/// Yields a serial number nobody had before: 159 random bits, or a count in tests.
pub type Serials = Arc<dyn Fn() -> Serial + Send + Sync>;

/// Whom an authority trusts: replaced as a whole, while requests under way keep the one they began with.
pub struct Trust {
    /// The trusted issuers and their keys.
    pub keyset: Keyset,
    /// Who may have a certificate.
    pub policy: Policy,
}

/// A certificate authority with its logs.
pub struct Authority {
    /// Read once per request.
    pub clock: Arc<dyn Clock>,
    /// Where serial numbers come from.
    pub serials: Serials,
    /// Whom it trusts, at present.
    pub trust: ArcSwap<Trust>,
    /// What it issues by, now and later.
    pub succession: Succession,
    /// Where every certificate is logged before it leaves.
    pub logs: Shards,
    /// Who keeps what is refused.
    pub recorder: Recorder,
}

impl Authority {
    /// Exchanges a token and a proof of possession for a certificate, durable in the log.
    ///
    /// # Errors
    ///
    /// [`IssueError::Refused`] when the request is at fault, [`IssueError::Failed`] when we are.
    pub async fn issue(&self, request: Request) -> Result<Issued, IssueError> {
        let (now, mut known) = (self.clock.now(), Known::default());
        let outcome = self.exchange(&request, now, &mut known).await;
        let (issuer, subject) = (shown(known.issuer()), shown(known.subject()));
        let Caller { request_id: id, client } = &request.caller;
        let client = client.map(tracing::field::display);
        match &outcome {
            Ok(Issued { san, index, serial, .. }) => {
                tracing::info!(request = id, client, san, index, %serial, "issued");
            }
            Err(IssueError::Refused(refusal)) => {
                let reason = refusal.reason();
                tracing::info!(request = id, client, issuer, subject, reason, %refusal, "refused");
                let (from, sent) = ((&request.caller, now), (&*request.token, &request.proof));
                self.recorder.keep(known.refused(from, sent, refusal.into()));
            }
            Err(IssueError::Failed(failure)) => {
                tracing::error!(request = id, client, issuer, subject, %failure, "failed");
            }
        }
        outcome
    }

    async fn exchange(
        &self,
        request: &Request,
        now: Timestamp,
        known: &mut Known,
    ) -> Result<Issued, IssueError> {
        let trust = self.trust.load_full();
        let (keyset, policy) = (&trust.keyset, &trust.policy);

        let judgement = judge((keyset, policy), &request.token, now, known).await?;
        let key = request.proof.verify(judgement.identity().challenge());
        if key.is_err() || judgement.decision().is_err() {
            known.identified(judgement.identity(), key.as_ref().ok());
        }
        let grant = judgement.grant(key?)?;

        let (issuing, serial) = (self.succession.at(now), (self.serials)());
        let tbs = issuing.profile.certificate(&grant, serial, now)?;
        // A precertificate is a promise: none is signed that could not be logged.
        let log = self.logs.current(tbs.not_after())?;
        let precertificate = issuing.sign(tbs.check(CtExtension::Poison)?).await?;
        let attempt = Attempt::issued(&request.caller, &grant, now);
        let sct = log.append(tbs.entry(&precertificate), attempt).await?;
        let index = sct.leaf_index;
        let certificate = issuing.sign(tbs.check(CtExtension::Scts(&[sct]))?).await?;

        let (chain, san) = (Arc::clone(&issuing.chain), grant.identity().san().as_str().to_owned());
        Ok(Issued { certificate, chain, index, serial, san })
    }
}

impl Issuing {
    /// Signs what was checked, and nothing else: `CheckedTbs` is spent by it.
    async fn sign(&self, tbs: CheckedTbs) -> Result<Certificate, SignerError> {
        let signature = self.signer.sign(tbs.der()).await?;
        Ok(Certificate::assemble(tbs, self.signer.algorithm(), &signature))
    }
}

fn shown(text: Option<&str>) -> Option<impl tracing::Value> {
    text.map(|text| tracing::field::display(escape(text)))
}

/// Token → claims → identity → decision: all that can be told before anybody holds a key. Whose token it
/// is becomes `known` on the way.
///
/// # Errors
///
/// As [`Authority::issue`], but for the policy's no: that stands in the judgement.
pub async fn judge(
    (keyset, policy): (&Keyset, &Policy),
    token: &str,
    now: Timestamp,
    known: &mut Known,
) -> Result<Judgement, IssueError> {
    let token = UnverifiedToken::parse(token)?;
    let issuer = keyset.issuers().find(token.unverified_issuer());
    known.read(&token, issuer.map(|issuer| issuer.url.as_str()));
    let claims = keyset.verify(token, now).await?;
    known.verified(&claims);
    let identity = Identity::from_claims(&claims)?;
    Ok(policy.judge(claims, identity))
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The request is at fault; its sender is told why.
    #[error(transparent)]
    Refused(Refusal),
    /// We are at fault; the sender gets a fixed sentence, the operator the cause.
    #[error(transparent)]
    Failed(Failure),
}

/// The caller's fault. No variant can hold an error of a backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token does not hold.
    #[error(transparent)]
    Token(TokenError),
    /// Nobody here trusts the token's issuer.
    #[error("{sentence}")]
    IssuerUnknown {
        /// `iss`, as the caller wrote it.
        issuer: String,
        /// Who it is and who may be meant; quoted, cut.
        sentence: String,
    },
    /// The claims make no identity.
    #[error(transparent)]
    Identity(IdentityError),
    /// The key or the proof of possession does not hold.
    #[error(transparent)]
    Possession(PossessionError),
    /// The rules say no.
    #[error(transparent)]
    Policy(PolicyError),
}

/// Our fault, or at least not the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The token's issuer cannot be asked for its keys.
    #[error("{sentence}")]
    IssuerUnreachable {
        /// Its URL.
        issuer: String,
        /// The trouble in a word that anybody may read.
        trouble: &'static str,
        /// Who does not answer, and why, for the operator alone.
        sentence: String,
    },
    /// The authority cannot issue at this time.
    #[error(transparent)]
    Profile(ProfileError),
    /// What we were about to sign is not what we meant to sign.
    #[error(transparent)]
    Check(CheckError),
    /// The signing key cannot be used.
    #[error(transparent)]
    Signer(SignerError),
    /// The log did not take the entry.
    #[error(transparent)]
    Log(LogError),
}

impl From<KeysetError> for IssueError {
    fn from(error: KeysetError) -> Self {
        match error {
            KeysetError::Token(token) => Self::Refused(Refusal::Token(token)),
            KeysetError::UnknownIssuer { ref issuer, .. } => {
                let (issuer, sentence) = (issuer.clone(), error.to_string());
                Self::Refused(Refusal::IssuerUnknown { issuer, sentence })
            }
            KeysetError::Unreachable { ref issuer, ref cause } => {
                let (issuer, sentence) = (issuer.clone(), error.to_string());
                let trouble = cause.trouble();
                Self::Failed(Failure::IssuerUnreachable { issuer, trouble, sentence })
            }
        }
    }
}

/// Whose fault each stage's error is: one line a stage.
macro_rules! fault {
    ($($error:ty => $side:ident($kind:ident::$variant:ident);)*) => {$(
        impl From<$error> for IssueError {
            fn from(error: $error) -> Self {
                Self::$side($kind::$variant(error))
            }
        }
    )*};
}

fault! {
    TokenError      => Refused(Refusal::Token);
    IdentityError   => Refused(Refusal::Identity);
    PossessionError => Refused(Refusal::Possession);
    PolicyError     => Refused(Refusal::Policy);
    ProfileError    => Failed(Failure::Profile);
    CheckError      => Failed(Failure::Check);
    SignerError     => Failed(Failure::Signer);
    LogError        => Failed(Failure::Log);
}
