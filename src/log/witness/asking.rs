//! One witness, asked about one round after the other.
//!
//! It is asked once in two seconds at most, about the newest round then, until it has cosigned that; and
//! less and less often while it does not answer well.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Pace, Round, show};
use crate::keyset::fetch::FetchError;
use crate::log::proofs::Unprovable;
use crate::log::{Log, LogError};
use crate::quote::quote;
use crate::store::Head;
use crate::tlog::cosignature::CosignatureError;
use crate::tlog::policy;
use crate::witness::{Answer, AskError, Witness};

/// What is known of one witness.
pub(super) struct Asking {
    log: Log,
    place: usize,
    witness: policy::Witness,
    address: Witness,
    pace: Pace,
    /// The size of the newest checkpoint that it has cosigned.
    known: u64,
    /// The head of the round that it has cosigned.
    done: Option<Head>,
    /// How many answers in a row were no cosignatures.
    misses: u32,
    /// What was said of it last: once.
    trouble: Option<String>,
}

impl Asking {
    /// Nothing yet of a witness of `log`: its place in the policy, what that says of it, and how it is asked.
    pub fn of(
        log: &Log,
        (place, witness, address): (usize, &policy::Witness, Witness),
        pace: Pace,
    ) -> Self {
        let (log, witness) = (log.clone(), witness.clone());
        let (known, done, misses, trouble) = Default::default();
        Self { log, place, witness, address, pace, known, done, misses, trouble }
    }

    /// Asks about the newest round, for ever.
    pub async fn run(mut self, mut rounds: watch::Receiver<Option<Arc<Round>>>) {
        loop {
            let round = rounds.wait_for(|round| self.is_for(round.as_deref())).await;
            let Some(round) = round.ok().and_then(|round| round.clone()) else { return };
            match self.ask(&round).await {
                Ok(true) => self.recover(round.signed.head),
                Ok(false) => self.misses = self.misses.saturating_add(1),
                Err(trouble) => self.miss(&trouble).await,
            }
            sleep(self.rest()).await;
        }
    }

    /// Whether it has not cosigned this round, and what it has cosigned goes before it.
    fn is_for(&self, round: Option<&Round>) -> bool {
        let head = round.map(|round| round.signed.head);
        head.is_some_and(|head| self.done != Some(head) && head.size >= self.known)
    }

    /// Asks once; yields whether it has cosigned.
    async fn ask(&mut self, round: &Arc<Round>) -> Result<bool, Trouble> {
        let proof = self.log.consistency_proof(self.known, round.signed.head.size).await?;
        let note = &round.signed.note;
        let answer = self.address.add_checkpoint(self.known, &proof, note);
        match self.in_time(answer).await? {
            Answer::Signed(signatures) => {
                let line = self.witness.cosigner.verify(&round.text, &signatures)?;
                if let Some(cosigned) = self.log.shared.cosigned.get() {
                    cosigned.add(round, self.place, line);
                }
                Ok(true)
            }
            Answer::Knows(seen) => self.learn(seen).map(|()| false),
        }
    }

    /// Takes its word for what it has seen, if that may be true.
    fn learn(&mut self, seen: u64) -> Result<(), Trouble> {
        // Anybody may have shown it what this log has published.
        let size = self.log.head().size;
        if seen > size {
            return Err(Trouble::Ahead { seen, size });
        }
        if seen == self.known {
            return Err(Trouble::Same(seen));
        }
        self.known = seen;
        Ok(())
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, AskError> {
        timeout(self.pace.answer, answer).await.unwrap_or(Err(FetchError::TimedOut.into()))
    }

    fn recover(&mut self, head: Head) {
        if self.trouble.take().is_some() {
            let (name, origin) = (quote(&self.witness.name), self.log.origin());
            tracing::info!("the witness {name} cosigns the log {origin} again");
        }
        (self.known, self.done, self.misses) = (head.size, Some(head), 0);
    }

    /// Says what is wrong, once; and has it show what it has seen, if that may be wrong with us.
    async fn miss(&mut self, trouble: &Trouble) {
        self.misses = self.misses.saturating_add(1);
        let text = trouble.to_string();
        if self.trouble.as_ref() != Some(&text) {
            let (name, origin) = (quote(&self.witness.name), self.log.origin());
            tracing::warn!("the witness {name} does not cosign the log {origin}: {text}");
        }
        self.trouble = Some(text);
        if matches!(trouble, Trouble::Ahead { .. } | Trouble::Ask(AskError::Inconsistent)) {
            self.look().await;
        }
    }

    /// Ends the taking of entries, if the witness can show that this log has signed another history.
    async fn look(&self) {
        let keys = &self.log.shared.keys;
        let shown = show(&self.address, self.log.origin(), (keys, &self.witness.name));
        let Ok(Ok(shown)) = timeout(self.pace.answer, shown).await else { return };
        // Read after it was shown: whatever we have published is in it.
        let head = self.log.head();
        let checked = self.log.read(move |store| Ok(shown.check(store, head))).await;
        if let Ok(Err(found @ LogError::Witness(_))) = checked {
            self.log.shared.damage.note(found);
        }
    }

    /// How long until it is asked again: longer each time that it did not cosign.
    fn rest(&self) -> Duration {
        let Pace { every, longest, .. } = self.pace;
        let doubled = 1_u32.checked_shl(self.misses.saturating_sub(1)).unwrap_or(u32::MAX);
        every.saturating_mul(doubled).min(longest)
    }
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
    #[error(transparent)]
    Proof(#[from] Unprovable),
    /// What it says is no proof; what it shows may be.
    #[error(
        "it says that it has seen {seen} entries, and there are {size}: it is wrong, or an old copy of the database was put back"
    )]
    Ahead { seen: u64, size: u64 },
    #[error("it says that it knows another size than {0}, and that this is {0}")]
    Same(u64),
}
