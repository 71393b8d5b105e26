//! How many questions are looked into at once, and how many wait: one may read thousands of entries, and
//! who asks many must hold up neither the log nor those who ask one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many are looked into at once: the tiles have threads of their own.
const AT_WORK: usize = 2;
/// How many wait, and how long.
const WAITING: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

/// Where questions wait for their turn. Cloning shares it.
#[derive(Clone)]
pub(super) struct Desk {
    places: Arc<Semaphore>,
    work: Arc<Semaphore>,
    patience: Duration,
}

/// A turn, which lasts until its last clone is gone.
///
/// Attack: whoever asks and goes away leaves a thread that reads on. It has a clone, so that the next one's
/// turn comes when it has ended.
#[derive(Clone)]
pub(super) struct Turn {
    _both: Arc<[OwnedSemaphorePermit; 2]>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (places, work) = (semaphore(AT_WORK + WAITING), semaphore(AT_WORK));
        Self { places, work, patience: PATIENCE }
    }

    /// Waits for a turn; none where too many wait already, or it does not come in time.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let work = timeout(self.patience, Arc::clone(&self.work).acquire_owned()).await;
        Some(Turn { _both: Arc::new([place, work.ok()?.ok()?]) })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_waiting(turn: Pin<&mut impl Future<Output = Option<Turn>>>) -> bool {
        turn.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let desk = Desk::new();
        let turns = [desk.turn().await.unwrap(), desk.turn().await.unwrap()];
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(desk.turn())).collect();
        assert!(waiting.iter_mut().all(|turn| is_waiting(turn.as_mut())));
        assert!(desk.turn().await.is_none());

        // A clone keeps a turn.
        let [one, other] = turns;
        let clone = one.clone();
        drop(one);
        assert!(is_waiting(waiting[0].as_mut()));
        drop(clone);
        let next = waiting.remove(0).await.unwrap();
        waiting.push(Box::pin(desk.turn()));
        assert!(waiting.last_mut().is_some_and(|turn| is_waiting(turn.as_mut())));
        assert!(desk.turn().await.is_none());
        // Who goes away leaves the place to others.
        drop(waiting.pop());
        assert!(is_waiting(Box::pin(desk.turn()).as_mut()));
        drop(other);
        for turn in waiting {
            assert!(turn.await.is_some());
        }
        drop(next);
    }

    #[tokio::test]
    async fn nobody_waits_for_long() {
        let desk = Desk { patience: Duration::ZERO, ..Desk::new() };
        let turns = [desk.turn().await.unwrap(), desk.turn().await.unwrap()];
        assert!(desk.turn().await.is_none());
        drop(turns);
        assert!(desk.turn().await.is_some());
    }
}
