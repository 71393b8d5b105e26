//! The signature log of an instance: who may log what, and how often.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Instance, Running};
use crate::cli::CommandError;
use crate::http::rate::Rate;
use crate::log::shards::Shards;
use crate::reading::Reading;
use crate::signatures::{Admission, Signatures};
use crate::time::Clock;

impl Instance {
    /// Who may log what.
    pub(super) fn signatures(
        &self,
        clock: &Arc<dyn Clock>,
        logs: &Shards,
    ) -> Result<Signatures, CommandError> {
        let admits = match self.config.signatures.is_issued(self.config.is_local()) {
            false => Admission::Anyone,
            true => {
                let issuing = self.chain().ders().first().map(Vec::as_slice).unwrap_or_default();
                let issuing = Reading::of(issuing).map_err(CommandError::failed)?;
                Admission::Issued(Arc::new(issuing))
            }
        };
        Ok(Signatures { clock: Arc::clone(clock), logs: logs.clone(), admits })
    }
}

impl Running {
    /// How often one address may come with a signature: on this machine alone as often as it likes.
    pub(super) fn rate(&self) -> Option<Rate> {
        let [requests, seconds] = [100, 10].map(NonZeroU32::new);
        let rate =
            requests.zip(seconds).map(|(requests, seconds)| Rate::per_second(requests, seconds));
        rate.filter(|_| !self.config.is_local())
    }
}
