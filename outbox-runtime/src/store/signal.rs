//! The latch that a store's commits set and a processor waits on.

use tokio::sync::watch;

use crate::repository::Revision;

/// Counts commits that made work claimable. A count cannot be missed, as a notification could: whoever looks at it
/// later still sees that it has moved.
#[derive(Debug)]
pub(super) struct Signal(watch::Sender<u64>);

impl Signal {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn raise(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn revision(&self) -> Revision {
        Revision::new(*self.0.borrow())
    }

    /// Resolves once the count differs from `seen`.
    pub(super) async fn changed(&self, seen: Revision) -> Revision {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(|count| *count != seen.count()).await {
            Ok(count) => Revision::new(*count),
            // The sender is `self`, which outlives this call.
            Err(_) => seen,
        }
    }
}
