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
        let keys = &self.installation.timestamps;
        let logs = vec![calendar.logs().clone(), calendar.signatures().clone()];
        let watch = Watch::new(logs, self.config.timestamps.ntp.clone());
        let timestamping = Timestamping::new(keys, (Arc::clone(clock), random_serials()), watch);
        if calendar.is_read_only() {
            return Ok(timestamping.read_only());
        }
        timestamps::check(keys, clock.now()).map_err(CommandError::failed)?;
        Ok(timestamping)
    }
}
