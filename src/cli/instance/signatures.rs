//! The signature log of an instance: who may log what, and how often.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::{Instance, Running};
use crate::cli::calendar::Calendar;
use crate::http::rate::Rate;
use crate::signatures::{Admission, Signatures};
use crate::time::Clock;

impl Instance {
    /// Who may log what.
    pub(super) fn signatures(&self, clock: &Arc<dyn Clock>, calendar: &Calendar) -> Signatures {
        let admits = match self.config.signatures.are_all(self.config.is_local()) {
            true => Admission::Anyone,
            false => Admission::Issued(calendar.succession().clone()),
        };
        Signatures { clock: Arc::clone(clock), logs: calendar.signatures().clone(), admits }
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
