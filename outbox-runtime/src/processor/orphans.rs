//! The question which stored event types nobody handles.

use std::sync::Arc;

use super::running::Running;
use super::unhandled_types::UnhandledTypes;
use crate::error::{StoreError, StoreErrorKind};

impl Running {
    /// Returns the stored event types that nobody handles, as this run found them when it started:
    /// after a type was renamed without an alias, or removed without a retirement.
    ///
    /// The run looks once, in its first round, at the 2,000 oldest undelivered and dead events of
    /// all users ([`breakdown`](crate::OutboxRepository::breakdown)), and leaves out types for
    /// which another run is [announced](crate::OutboxRepository::announce). It also logs what it
    /// finds, at the level `WARN` and the target `outbox_runtime::unhandled_types`; types that are
    /// held are logged there at `INFO`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call), if the
    /// store could not be read three times; `Closed` if the run ended before it could look.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{prelude::*, MemoryStore, NewEvent, Processor};
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "moodEntry")]
    /// # struct MoodEntry { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// store.create_event(NewEvent::new("mood_entry", 7, "user-1", Operation::Update)).await?;
    /// let processor = Processor::builder(store).handle::<MoodEntry>(|_| async { Ok(()) }).build()?;
    /// let running = processor.start("user-1");
    /// let unhandled = running.unhandled_types().await?;
    /// assert_eq!(unhandled.types[0].event_type, "mood_entry");
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unhandled_types(&self) -> Result<Arc<UnhandledTypes>, StoreError> {
        let mut orphans = self.inner.orphans.clone();
        let looked = orphans.wait_for(Option::is_some).await;
        let looked = looked.ok().and_then(|looked| looked.clone());
        looked.unwrap_or_else(|| {
            Err(StoreError::new(
                StoreErrorKind::Closed,
                "unhandled_types",
                "the run ended before it could look at the store",
            ))
        })
    }
}
