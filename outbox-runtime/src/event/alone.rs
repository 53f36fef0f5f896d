//! Events that are sent alone.

use super::OutboxEvent;

impl OutboxEvent {
    /// Whether the event is a batch of its own, which waits for no other. One whose process died
    /// may be why: with others it would take them along each time, until all of them are dead. And
    /// one with a single attempt is not attempted again for lack of evidence, which others should
    /// not pay for.
    pub(crate) fn is_sent_alone(&self) -> bool {
        self.crashes > 0 || self.max_attempts == 1
    }
}
