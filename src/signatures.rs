//! The signature log's story: a request is checked, admitted, logged once, and answered with a proof.
//!
//! ```text
//! Request ── holds ──▶ Entry ── may be logged here ──▶ index ── signed head, proof, verified ──▶ Logged
//! ```
//!
//! Nothing of a request that is refused is logged. One that came before is answered with the entry that it
//! made then, and a proof of today.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::authority::succession::Succession;
use crate::log::LogError;
use crate::log::proofs::Unprovable;
use crate::log::shards::Shards;
use crate::log::signed::SignedHead;
use crate::reading::Reading;
use crate::record::{Attempt, Caller};
use crate::rekor::{Entry, Material, RekorError, Request, Verifier};
use crate::time::{Clock, Timestamp};
use crate::tlog::merkle::{Hash, verify_inclusion};

/// How many envelopes are checked at once; others wait.
static ENVELOPES: Semaphore = Semaphore::const_new(2);

/// How long after its end a certificate still counts: what was signed just before it may come a little
/// later.
const GRACE: Duration = Duration::from_hours(1);

/// The signature log, and who may log in it. Cloning shares it.
#[derive(Clone)]
pub struct Signatures {
    /// Read once per request.
    pub clock: Arc<dyn Clock>,
    /// Where entries go.
    pub logs: Shards,
    /// Whose signatures are taken.
    pub admits: Admission,
}

/// Whose signatures a log takes.
#[derive(Clone)]
pub enum Admission {
    /// Whoever's hold.
    Anyone,
    /// Those by keys for which a chain of this authority issued a certificate that is valid, or was an hour ago.
    Issued(Succession),
}

/// An entry in the log, proven to be there.
#[derive(Clone, Debug)]
pub struct Logged {
    /// What is logged.
    pub entry: Entry,
    /// SHA-256 of the log key's SPKI.
    pub log_id: [u8; 32],
    /// Where it stands.
    pub index: u64,
    /// A head that covers it.
    pub signed: Arc<SignedHead>,
    /// That it does.
    pub proof: Vec<Hash>,
}

impl Signatures {
    /// Logs what is requested, unless the log has it; proves that it is there.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Refused`] and [`SignatureError::Stranger`] when the request is at fault,
    /// [`SignatureError::Failed`] when we are.
    pub async fn log(&self, request: Request, caller: &Caller) -> Result<Logged, SignatureError> {
        let now = self.clock.now();
        let outcome = self.logged(request, caller, now).await;
        let (id, client) = (&caller.request_id, caller.client.map(tracing::field::display));
        match &outcome {
            Ok(Logged { entry, index, .. }) => {
                tracing::info!(
                    request = id,
                    client,
                    kind = entry.kind(),
                    index,
                    "signature logged"
                );
            }
            Err(SignatureError::Failed(error)) => {
                tracing::error!(request = id, client, %error, "a signature was not logged");
            }
            Err(refusal) => {
                tracing::info!(request = id, client, %refusal, "signature refused");
            }
        }
        outcome
    }

    async fn logged(
        &self,
        request: Request,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Logged, SignatureError> {
        // Before anything is verified that costs time: strangers are to have none of it.
        let admitted = self.admits.admitted(&request, now)?;
        let entry = checked(request).await?;
        if !entry.verifiers().iter().all(|it| admitted.contains(it)) {
            return Err(SignatureError::Stranger);
        }
        let log = self.logs.current(now)?;
        let attempt = Attempt {
            time: now,
            request_id: caller.request_id.as_str().into(),
            client: caller.client,
            kind: entry.kind().into(),
            ..Attempt::default()
        };
        let record = attempt.to_json().map_err(|error| LogError::Record(error.to_string()))?;
        let index = log.append_once(entry.body().to_vec(), record).await?;
        let signed = log.signed_head().await?;
        let proof = log.inclusion_proof(index, signed.head.size).await.map_err(unproven)?;
        let place = (index, entry.leaf_hash());
        // Whoever asked keeps this for ever: what does not hold must not leave.
        verify_inclusion(place, (signed.head.size, signed.head.root), &proof)
            .map_err(|_| LogError::Miscomputed { size: signed.head.size })?;
        Ok(Logged { entry, log_id: log.log_id(), index, signed, proof })
    }
}

/// Checks a request where that holds up nobody: envelopes are long, and several keys may be tried on them.
async fn checked(request: Request) -> Result<Entry, SignatureError> {
    if matches!(request, Request::HashedRekord { .. }) {
        return Ok(request.check()?);
    }
    let died = |error: String| SignatureError::Failed(LogError::Thread(error));
    let turn = ENVELOPES.acquire().await.map_err(|error| died(error.to_string()))?;
    let check = move || {
        // With whoever works: one who asked and went away leaves the work behind.
        let _turn = turn;
        request.check()
    };
    let checked = tokio::task::spawn_blocking(check).await;
    Ok(checked.map_err(|error| died(error.to_string()))??)
}

fn unproven(error: Unprovable) -> LogError {
    match error {
        Unprovable::Log(error) => error,
        // The head covers the entry, so these say that it does not.
        Unprovable::Beyond { size, .. }
        | Unprovable::Outside { size, .. }
        | Unprovable::Backwards { second: size, .. } => LogError::Miscomputed { size },
    }
}

impl Admission {
    /// Those verifiers of a request that may be a signer's; refuses a request that has only others.
    fn admitted(&self, request: &Request, now: Timestamp) -> Result<Vec<Verifier>, SignatureError> {
        let mut verifiers: Vec<Verifier> = request.verifiers().into_iter().cloned().collect();
        // Who sends none is told that they are missing.
        if verifiers.is_empty() {
            return Ok(verifiers);
        }
        if let Self::Issued(succession) = self {
            let chains = succession.all();
            let issuing = chains.iter().filter_map(|issuing| issuing.chain.ders().first());
            let issuing: Vec<Reading> = issuing.filter_map(|der| Reading::of(der).ok()).collect();
            verifiers.retain(|it| is_issued(&it.material, &issuing, now));
        }
        if verifiers.is_empty() { Err(SignatureError::Stranger) } else { Ok(verifiers) }
    }
}

/// Whether it is a certificate of one of these authorities, and still counts.
fn is_issued(material: &Material, issuing: &[Reading], now: Timestamp) -> bool {
    let Material::Certificate(der) = material else { return false };
    Reading::of(der).is_ok_and(|certificate| {
        let (not_before, not_after) = certificate.validity();
        let counts = not_before <= now && now <= not_after.plus(GRACE);
        counts && issuing.iter().any(|it| certificate.verify_issued_by(it).is_ok())
    })
}

/// Why a signature is not logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The request does not hold.
    #[error(transparent)]
    Refused(#[from] RekorError),
    /// It is by nobody who has a certificate of ours.
    #[error(
        "this log takes signatures with a certificate of its own authority, valid now or within the last \
         hour; this one has another, or none (signatures.from)"
    )]
    Stranger,
    /// We are at fault.
    #[error(transparent)]
    Failed(#[from] LogError),
}
