//! The first entry of a log that begins with one of its own.
//!
//! The proof of the only entry of a tree is empty, which some clients take for none at all; so nobody's
//! entry is to be the first. It is sequenced as all others are, before anybody else has the store.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::boot::{self, Wanted};
use super::scrub::Damage;
use super::sequencer::{Pending, Sequencer};
use super::{Form, LogError, State};
use crate::store::{Epoch, Store};
use crate::time::{Clock, Timestamp};

/// Logs `entry` in a store of octets that was just made, at the time `now`.
///
/// # Errors
///
/// As [`super::Log::open`], and those of appending.
pub fn begin(
    store: Arc<dyn Store>,
    entry: Vec<u8>,
    epoch: Epoch,
    now: Timestamp,
) -> Result<(), LogError> {
    let owner = store.owner().clone();
    let wanted = Wanted { owner: &owner, form: Form::Octets, now, mark: None };
    let tree = boot::check(store.as_ref(), wanted)?;
    store.begin(tree.head, epoch)?;
    let (sender, queue) = sync_channel(1);
    let (answer, mut answered) = oneshot::channel();
    let pending = Pending { entry: Box::new(entry), record: "{}".into(), answer };
    sender.send(pending).map_err(|_| LogError::Died)?;
    drop(sender);
    let sequencer = Sequencer {
        store,
        epoch,
        mark: None,
        form: Form::Octets,
        clock: Arc::new(At(now)),
        queue,
        published: Arc::new(ArcSwap::from_pointee(tree.head)),
        tree,
        damage: Damage::default(),
        scrub: None,
        state: watch::Sender::new(State::Open),
    };
    sequencer.run();
    answered.try_recv().map_err(|_| LogError::Died)?.map(drop)
}

/// A clock for one entry.
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}
