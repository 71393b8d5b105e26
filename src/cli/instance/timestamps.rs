//! The timestamp authority of an instance.

use std::sync::Arc;

use super::{Instance, random_serials};
use crate::cli::CommandError;
use crate::cli::calendar::Calendar;
use crate::installation::timestamps;
use crate::time::Clock;
use crate::timestamping::Timestamping;
use crate::timestamping::watch::Watch;

impl Instance {
    /// One that signs as long as `clock` stands up to the logs of `calendar` and to NTP servers; never, where
    /// all is only read.
    pub(super) fn timestamping(
        &self,
        clock: &Arc<dyn Clock>,
        calendar: &Calendar,
    ) -> Result<Timestamping, CommandError> {
        let mut keys = self.installation.timestamps.clone();
        match calendar.is_read_only() {
            true => keys.iter_mut().for_each(|key| key.signer = None),
            false => timestamps::check(&keys, clock.now()).map_err(CommandError::failed)?,
        }
        let logs = vec![calendar.logs().clone(), calendar.signatures().clone()];
        let watch = Watch::new(logs, self.config.timestamps.ntp.clone());
        Ok(Timestamping::new(&keys, (Arc::clone(clock), random_serials()), watch))
    }
}
