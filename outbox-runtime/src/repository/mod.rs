//! The repository: the promises of a store, whatever its storage.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::cancellation::{Cancel, Canceled};
use crate::claim::{Claim, Lease};
use crate::completion::Completion;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{EntityId, Order};
use crate::error::{CompleteError, EnqueueError, StoreError};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::history::PastAttempt;
use crate::outcome::Settled;
use crate::pause::{Pause, PauseScope, Paused};
use crate::presence::{Announcement, StoreProcess};
use crate::statistics::{
    Breakdown, BreakdownCounter, CheckDepth, Explanation, Finding, OutboxStatistics, Repaired,
};

mod deleting; // units of deletion, and deletions that wait
mod page; // listings by pages
mod queue; // the part of a store that a processor uses
mod shared; // the traits for `Arc<R>`

pub use self::deleting::{DeleteUnit, PendingDelete};
pub use self::page::{EventFilter, Page, PageKey};
pub use self::queue::{Exchange, OutboxQueue, Rescued, Revision};

/// The storage of events: the port that every store implements. [`OutboxQueue`] is the part that a
/// processor uses.
///
/// Applications use a store's own methods and a [`Processor`](crate::Processor); this trait is for
/// authors of stores and of tools. `outbox_testing::conformance!` emits one named test per promise
/// below.
///
/// # Contract
///
/// 1. **Durable when acknowledged.** A method that returned `Ok` has taken effect for good. A
///    method that returned an error has not, unless the error says
///    [`outcome_unknown`](StoreError::outcome_unknown).
/// 2. **Idempotent by id.** An event whose id is already in the store with the same content is not
///    written again; with different content it is refused with [`EnqueueError::Conflict`] and the
///    first is kept. The content compared is that first enqueued under the id, whatever was folded
///    into that event later, and also where that event was folded into another, as long as the
///    event that carries it exists.
/// 3. **Ordered by lane.** [`claim`](OutboxQueue::claim) hands out only the first undelivered event
///    of each lane, whatever the priorities. [`Order`](crate::Order) defines the lane: the events
///    of an entity of a user, the events of a user, or each event alone. Events of types with
///    different orders do not wait for each other. After a type changes its order, the events of an
///    entity that were enqueued under the old order go before the events of that entity that were
///    enqueued later under the new one. A dead event blocks the events behind it, unless its
///    [`OnDead`](crate::OnDead) lets them pass.
/// 4. **Exclusive.** An event has at most one unexpired lease. A claim counts the attempt in the
///    same transaction.
/// 5. **Fenced.** [`settle`](OutboxQueue::settle), [`extend`](OutboxQueue::extend) and the
///    `mark_as_*` pair write only if the lease token matches that of the row. All except `extend`
///    also require that the lease has not expired.
/// 6. **Nothing sticks.** An event that [`rescue`](OutboxQueue::rescue) finds with an expired lease
///    can be claimed again, or is dead if that happened in `max_attempts` attempts in a row. The
///    attempt is given back and a crash is counted.
/// 7. **One row's damage is its own.** A row that cannot be read never fails a call that concerns
///    other rows: `claim` makes it a dead letter, and lists show its readable fields.
/// 8. **Folded only unseen.** An event that [coalesces](crate::Coalesce) is folded into the newest
///    event of its lane where [`NewEvent::folded_into`] says so, in the transaction that enqueues
///    it, and never into an event that was ever claimed.
/// 9. **Wakes.** After a commit that made work claimable, [`changed`](OutboxQueue::changed)
///    resolves.
/// 10. **Steered.** A claim takes no event that a [pause](OutboxRepository::pause) holds back, and
///     [`next_due`](OutboxQueue::next_due) names the end of a pause.
/// 11. **Traced.** The [trace context](OutboxEvent::trace_context) of an event stays with it and
///     cannot be edited. It is no content: a known event from another span is still the same. A
///     fold takes that of the newer event.
/// 12. **Completed by the handler.** An event that
///     [`complete_event`](OutboxRepository::complete_event) or a
///     [`CompletionSink`](crate::CompletionSink) completed under a lease stays completed.
///     [`settle`](OutboxQueue::settle) answers
///     [`AlreadyCompleted`](crate::store::Settled::AlreadyCompleted) for that lease, once, and
///     [`extend`](OutboxQueue::extend) renews it until then, for a day at least.
///
/// 13. **Replaced only unseen.** An event with a [key](crate::Enqueue::key) takes the place of the
///     unclaimed events of its user with the same key, or is not enqueued beside them
///     ([`OnSameKey`](crate::OnSameKey)), in the transaction that enqueues it; never of one that
///     was ever claimed. The event in whose place another is counts as folded into it. A creation
///     that replaces one of its entity [takes over](crate::store::kit::takes_place) its `seq` and
///     its `created_at`, so that what waits for the one waits for the other.
/// 14. **Not kept waiting beyond its end.** An event that
///     [expires](OutboxEvent::expires_at) is due then at the latest, and a claim hands it out, so
///     that its worker ends it. One that is dead for that reason blocks no other.
/// 15. **Parents first.** An event with [parents](OutboxEvent::parents) is claimed only when no
///     creation of one holds it back ([`creates`](crate::store::kit::creates),
///     [`holds_back`](crate::store::kit::holds_back)), of those that were enqueued before it and
///     stored when its place was decided, by the first claim at the latest. Whatever ends a
///     creation frees the events that waited for it, for good: the retry of a dead one does not
///     hold them back again. Until then a waiting event is pending, and blocks the events behind
///     it.
/// 16. **Headed.** The [headers](OutboxEvent::headers) of an event stay with it and cannot be
///     edited. They are content: a known event with other headers is refused. A fold takes those of
///     the newer event. Headers that break a rule of [`Headers`](crate::Headers) are refused.
/// 17. **One holder.** [`follow`](OutboxQueue::follow) is the only way to lease a second event of a
///     lane, and only the holder of the first can. No event of a lane is claimed while another one
///     of it is leased, whatever became of those before it.
///
/// Few methods have defaults, on purpose: a default that a wrapper forgets to forward would be a
/// wrong answer. The existing defaults are merely slower than the methods they stand in for.
///
/// Listings of waiting events are in claim order (priority, due time, seq), all others in `seq`
/// order.
///
/// # Errors
///
/// A method without a section of its own fails with a [`StoreError`] of the
/// [kinds](crate::StoreErrorKind#kinds-by-call) of reading or writing.
///
/// # Examples
///
/// Reading, for a screen of an application or a tool:
///
/// ```
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository, OutboxStatus};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
/// let event = store.create_event(event).await?;
///
/// let user = Some("user-1");
/// assert_eq!(store.fetch_event(event.id).await?, Some(event));
/// assert_eq!(store.fetch_events(OutboxStatus::Pending, user, Some(20)).await?.len(), 1);
/// assert_eq!(store.fetch_pending_events(user, None).await?.len(), 1);
/// assert_eq!(store.fetch_events_for_entity(&7.into(), None, user).await?.len(), 1);
/// assert_eq!(store.event_types().await?, ["goal"]);
///
/// assert_eq!(store.statistics(user).await?.pending_count, 1);
/// assert!(store.stale_events(user).await?.is_empty());
/// assert!(store.oldest_due().await?.is_some());
/// assert_eq!(store.oldest_completed().await?, None);
/// assert_eq!(store.processes().await?, []);
/// # Ok(())
/// # }
/// ```
///
/// Changing and deleting:
///
/// ```
/// use outbox_runtime::store::OutboxQueue as _; // for `clock`
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # for id in 1..=3 {
/// #     store.create_event(NewEvent::new("goal", id, "guest", Operation::Update)).await?;
/// # }
/// // A guest now has an account.
/// assert_eq!(store.reassign_user("guest", "user-1").await?, 3);
///
/// // An administrator sends one event first.
/// let mut event = store.fetch_pending_events(None, Some(1)).await?.remove(0);
/// event.priority = 100;
/// store.update_event(&event).await?;
/// assert_eq!(store.reset_for_retry(&[event.id]).await?, 0); // it has not failed
///
/// // Two entities are removed, with everything that was to be sent about them; then the account.
/// assert!(store.delete_event(event.id).await?);
/// store.delete_events_for_entities(&[2.into()], Some("user-1")).await?;
/// assert_eq!(store.delete_all_events_for_user("user-1").await?, 1);
/// assert_eq!(store.discard(&[event.id]).await?, 0); // only dead letters
/// store.delete_completed_events(store.clock().now()).await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store of events",
    label = "not an `OutboxRepository`",
    note = "pass a store by value: `store.clone()` is another handle on the same one"
)]
pub trait OutboxRepository: OutboxQueue {
    // Enqueue.

    /// Enqueues an event in its own transaction and returns its row, or the row of the event that
    /// it was folded into.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`]: a broken rule, a conflict, or storage.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the event may have been written; enqueueing
    /// it again is harmless.
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError>;

    // Read. `user_id: None` means all users, `limit: None` no limit.

    /// Returns the pending and failed events, due or not, in claim order.
    async fn fetch_pending_events(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError>;

    /// Returns the events of one status.
    ///
    /// A caller that lists several statuses during delivery may miss an event that changes its
    /// status in between, or see it twice; [`statistics`](Self::statistics) and
    /// [`fetch_events_for_entity`](Self::fetch_events_for_entity) each show a single moment.
    async fn fetch_events(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError>;

    /// Returns one event.
    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError>;

    /// Returns the events of one entity, oldest first; `event_type: None` means all types.
    async fn fetch_events_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError>;

    /// Returns the past attempts of an event, the oldest first: of those that failed, were deferred
    /// or crashed the last [20](PastAttempt::MAX_KEPT), and deliveries only from a store that is
    /// set to keep them. Attempts that were given back are left out. The history ends with the
    /// event; nothing is returned for an unknown id.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, StoreError};
    /// # async fn show(store: &dyn OutboxRepository, event_id: uuid::Uuid) -> Result<(), StoreError> {
    /// for attempt in store.attempts(event_id).await? {
    ///     println!("{} {}: {:?}", attempt.began_at, attempt.outcome, attempt.message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn attempts(&self, id: Uuid) -> Result<Vec<PastAttempt>, StoreError>;

    /// Returns the next events that the filter selects, in `seq` order: at most `limit`, or one if
    /// that is 0. The first page has no key; each page has the key of the next, and the last has
    /// none. A page also ends after the event with which its metadata reaches
    /// [`Page::MAX_METADATA_BYTES`], so that a listing takes the same memory whatever the events.
    ///
    /// Each page is a snapshot of its own and reads a bounded number of rows, so a listing of any
    /// length delays no commit and no clean-up. A page may have fewer events than `limit` although
    /// others follow. Each event is listed at most once, and events enqueued after the first page
    /// are not.
    ///
    /// The default reads all events for each page.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{EventFilter, MemoryStore, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let page = MemoryStore::new().page(&EventFilter::default(), None, 500).await?;
    /// assert!(page.events.is_empty() && page.next.is_none());
    /// # Ok(())
    /// # }
    /// ```
    async fn page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut all = Vec::new();
        for status in OutboxStatus::ALL {
            if filter.takes(*status) {
                let user_id = filter.user_id.as_deref();
                all.append(&mut self.fetch_events(*status, user_id, None).await?);
            }
        }
        Ok(Page::of(all, filter, from, limit))
    }

    // Change single events manually.

    /// Writes the fields that may be edited while an event waits: `priority`, `max_attempts`,
    /// `next_attempt_at`, `expires_at`, `metadata` and `metadata_version`. All other fields
    /// are a check: they must equal those in the store. Each edit increments the
    /// [`revision`](OutboxEvent::revision), so the second of two edits of the same revision is
    /// refused.
    ///
    /// The attempt count is compared with `max_attempts` after an attempt: a waiting event with
    /// `max_attempts` attempts or more is attempted once more, and is dead if that fails.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` if the event is being processed or completed, if `max_attempts` is 0,
    /// or if another field differs, which the message names. If the event changed since it was
    /// read, fetch and edit it again.
    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError>;

    /// Claims one event manually, for `lease`, if it is due and the first of its lane.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` if the event is leased, finished, not due, or behind another event of
    /// its lane.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository, OutboxStatus};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// let event = store.create_event(event).await?;
    ///
    /// let claim = store.mark_as_processing(event.id, Duration::from_secs(60)).await?;
    /// store.mark_as_failed(&claim.lease, "HTTP 500").await?;
    /// let failed = store.fetch_event(event.id).await?;
    /// assert!(failed.is_some_and(|event| event.status == OutboxStatus::Failed));
    /// # Ok(())
    /// # }
    /// ```
    async fn mark_as_processing(
        &self,
        id: Uuid,
        lease: std::time::Duration,
    ) -> Result<Claim, StoreError>;

    /// Records a delivery under a lease.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// let event = store.create_event(event).await?;
    /// let claim = store.mark_as_processing(event.id, Duration::from_secs(60)).await?;
    /// store.mark_as_completed(&claim.lease).await?; // as a tool does that delivers by itself
    /// assert_eq!(store.statistics(None).await?.completed_count, 1);
    /// # Ok(())
    /// # }
    /// ```
    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError>;

    /// Records a failure under a lease: the event is failed and due after the delay of the default
    /// retry schedule, or dead if its attempts are used up. See
    /// [`mark_as_processing`](Self::mark_as_processing) for an example.
    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError>;

    /// Completes a claimed event before its handler answers, and enqueues `next`, if there is one,
    /// in the same transaction: the store's counterpart of
    /// [`complete_on`](OutboxEvent::complete_on) and [`supersede_on`](OutboxEvent::supersede_on).
    /// Returns what became of `next`. Completing it again under the same lease changes nothing,
    /// except that the first `next` under it is enqueued; with another `next`, the answer is what
    /// became of the first.
    ///
    /// # Errors
    ///
    /// [`CompleteError::LeaseLost`] if the lease is not the current one or has ended;
    /// [`CompleteError::Next`] if `next` is refused. Then neither is written.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, both may have been written.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::store::Completion;
    /// use outbox_runtime::{Enqueued, MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let event = NewEvent::new("goal", 7, "user-1", Operation::Create);
    /// let event = store.create_event(event).await?;
    /// let claim = store.mark_as_processing(event.id, Duration::from_secs(60)).await?;
    ///
    /// let photo = NewEvent::new("photo", 8, "user-1", Operation::Create);
    /// let next = store.complete_event(Completion::new(claim.lease), Some(photo)).await?;
    /// assert!(matches!(next, Some(Enqueued::New(_))));
    /// # Ok(())
    /// # }
    /// ```
    async fn complete_event(
        &self,
        completion: Completion,
        next: Option<NewEvent>,
    ) -> Result<Option<Enqueued>, CompleteError>;

    /// Makes failed and dead events pending again, due now, with all their attempts, and clears
    /// their deferrals, snoozes, crashes and last refusal, and a time of expiry that has passed.
    /// Other events are unchanged. Returns the number of events reset.
    ///
    /// A dead event that was [skipped](crate::OnDead::Skip) is then delivered out of order, after
    /// the later events that were delivered without it; it goes before the later events of its lane
    /// that are still undelivered, as soon as no handler has one of them.
    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError>;

    /// Moves all events of one user to another, keeping their order by `seq`, for a user who began
    /// without an account and now has one. Metadata is unchanged, even if it names the user.
    /// Returns the number of events moved.
    ///
    /// # Errors
    ///
    /// `Conflict` if a handler has one of the events: [sign the user out](crate::Running::sign_out)
    /// first. `InvalidArgument` if `to` is not a valid user id.
    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError>;

    // Delete. Deleting the first event of a lane unblocks the next one.

    /// Deletes events that were completed before `older_than`. Returns the number of events
    /// deleted.
    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError>;

    /// Returns the earliest completion time of the events in the store, which tells when the next
    /// clean-up has something to delete.
    ///
    /// The default uses the first completed event of [`fetch_events`](Self::fetch_events), which
    /// was rarely completed much later.
    async fn oldest_completed(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let first = self
            .fetch_events(OutboxStatus::Completed, None, Some(1))
            .await?;
        Ok(first.first().and_then(|event| event.completed_at))
    }

    /// Deletes one event, whatever its state. Returns whether it existed.
    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError>;

    /// Deletes the dead ones among these events and keeps the others. Returns the number of events
    /// deleted.
    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError>;

    /// Deletes the events that are in the store exactly as they were seen, all in one transaction.
    /// Returns the number of events deleted.
    ///
    /// This is for callers that read events, use them (write them to a file, ask the user), and
    /// then delete them: an event that was changed, attempted or folded into since then stays. With
    /// [`DeleteUnit::Lane`], so does the rest of its lane, and a lane that gained another event, so
    /// that no change stays without the changes that it builds on.
    ///
    /// The default checks and deletes the events one at a time. That is correct only without other
    /// writers; a store with other writers checks and deletes in one transaction.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::store::DeleteUnit;
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// store.create_event(NewEvent::new("goal", 7, "user-1", Operation::Update)).await?;
    ///
    /// let seen = store.fetch_pending_events(Some("user-1"), None).await?;
    /// println!("{}", serde_json::to_string(&seen)?); // a copy; then delete exactly these
    /// assert_eq!(store.delete_seen(&seen, DeleteUnit::Lane).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    async fn delete_seen(&self, seen: &[OutboxEvent], unit: DeleteUnit) -> Result<u64, StoreError> {
        let mut doomed = Vec::new();
        for event in seen {
            if self.fetch_event(event.id).await?.as_ref() != Some(event) {
                continue;
            }
            let is_alone = unit == DeleteUnit::Event || event.order == Order::None;
            if is_alone || !event.is_open() || lane_was_seen(self, event, seen).await? {
                doomed.push(event.id);
            }
        }
        let mut count = 0;
        for id in doomed {
            count += u64::from(self.delete_event(id).await?);
        }
        Ok(count)
    }

    /// Deletes all events of these entities. Returns the number of events deleted.
    async fn delete_events_for_entities(
        &self,
        entity_ids: &[EntityId],
        user_id: Option<&str>,
    ) -> Result<u64, StoreError>;

    /// Deletes the events that the cancellation selects and that were never claimed, all in one
    /// transaction, and tells which others it selects.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{Cancel, MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// store.create_event(NewEvent::new("goal", 7, "user-1", Operation::Delete)).await?;
    /// let answer = store.cancel(&Cancel::entity("user-1", 7)).await?; // "Undo"
    /// assert_eq!(answer.canceled.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    async fn cancel(&self, cancel: &Cancel) -> Result<Canceled, StoreError>;

    /// Deletes all events of a user. Returns the number of events deleted.
    async fn delete_all_events_for_user(&self, user_id: &str) -> Result<u64, StoreError>;

    // Query.

    /// Counts events by state.
    ///
    /// The cost depends on the store: `SqliteStore` answers for all users, and for a user whose
    /// events are not mixed with those of others, in a time that hardly grows with the number of
    /// events, except that the first query after an event was enqueued reads that event once; for
    /// one user among others it uses indices, in proportion to the undelivered, dead and completed
    /// events of all users.
    async fn statistics(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError>;

    /// Counts undelivered and dead events by type and user: the oldest `most` of them. It reads a
    /// bounded number of rows, so it may end earlier; [`Breakdown::is_complete`] tells whether all
    /// were counted.
    ///
    /// The default reads whole events by pages.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, StoreError};
    /// # async fn show(store: &dyn OutboxRepository) -> Result<(), StoreError> {
    /// let breakdown = store.breakdown(None, 10_000).await?;
    /// for counts in &breakdown.types {
    ///     println!("{}: {} dead", counts.event_type, counts.dead);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn breakdown(&self, user_id: Option<&str>, most: usize) -> Result<Breakdown, StoreError> {
        let mut filter = EventFilter::undelivered_or_dead();
        filter.user_id = user_id.map(str::to_owned);
        let mut counter = BreakdownCounter::default();
        let mut from = None;
        let mut left = most;
        loop {
            // With one more than is counted, the last page tells whether others follow.
            let page = self.page(&filter, from, left.saturating_add(1)).await?;
            let others = page.events.len() > left;
            for event in page.events.iter().take(left) {
                let (event_type, user) = (&event.event_type, &event.user_id);
                counter.add(event_type, user, event.status, 1, event.created_at);
            }
            left = left.saturating_sub(page.events.len());
            from = page.next;
            if others || from.is_none() {
                return Ok(counter.finish(!others));
            }
        }
    }

    /// Returns the earliest due time of the events that are first in their lanes and that no
    /// handler has, dead letters aside: how long the outbox is behind, or, in the future, when it
    /// has work. Pauses change nothing. `None` if there is no such event.
    ///
    /// Stores look at an index, once per priority, from the highest on; of more than 1,000
    /// priorities the others may be left out.
    async fn oldest_due(&self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Returns the events that have been pending for longer than [`OutboxEvent::STALE_AFTER`],
    /// oldest first.
    async fn stale_events(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError>;

    /// Returns the entities whose deletion is not delivered yet, dead letters included, in `seq`
    /// order.
    ///
    /// An application that restores entities from the service must leave these out, or entities
    /// that the user deleted come back.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// store.create_event(NewEvent::new("goal", 7, "user-1", Operation::Delete)).await?;
    ///
    /// // Of what the service still has, what the user has deleted here is left out.
    /// let deleted = store.pending_deletes(Some("user-1")).await?;
    /// let remote = [6, 7, 8];
    /// let restored = remote.into_iter().filter(|id| deleted.iter().all(|it| it.entity_id != (*id).into()));
    /// assert_eq!(restored.collect::<Vec<_>>(), [6, 8]);
    /// # Ok(())
    /// # }
    /// ```
    async fn pending_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError>;

    /// Returns the types of the events that wait for delivery, each once, in ascending order, so
    /// that a worker that cannot name the types it takes can ask about all of them at once. Types
    /// whose events are all with handlers or dead may be included.
    ///
    /// The default lists all waiting events.
    async fn event_types(&self) -> Result<Vec<String>, StoreError> {
        let waiting = self.fetch_pending_events(None, None).await?;
        let types: BTreeSet<String> = waiting.into_iter().map(|event| event.event_type).collect();
        Ok(types.into_iter().collect())
    }

    /// Explains what the first undelivered event of an entity waits for, as far as the store knows.
    /// A dead event that was [skipped](crate::OnDead::Skip) counts as undelivered; it is the first
    /// only if no other undelivered event is left. An event that waits for a parent waits for
    /// whatever that one waits for, a pause among them. The text tells when an event expired that
    /// waits for others, and the key of an event that may be replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, StoreError};
    /// # async fn why(store: &dyn OutboxRepository) -> Result<(), StoreError> {
    /// println!("{}", store.explain(&"goal-7".into(), Some("user-1")).await?);
    /// # Ok(())
    /// # }
    /// ```
    async fn explain(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError>;

    // Steer.

    /// Holds events back: no [`claim`](OutboxQueue::claim) takes events of the pause's scope, until
    /// the pause ends by itself or is [lifted](Self::unpause). Every processor of every process
    /// obeys at its next claim. An event that a handler has is finished normally, and
    /// [`mark_as_processing`](Self::mark_as_processing) takes paused events as well.
    ///
    /// A pause replaces an earlier one of the same scope. Several pauses add up: an event is held
    /// back while any of them covers it. Enqueueing continues.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if a name or the reason breaks a rule, or if the end of the pause has
    /// passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{MemoryStore, OutboxRepository, Pause, PauseScope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// store.pause(&Pause::everything().because("deployment").by("ada")).await?;
    /// assert_eq!(store.paused().await?[0].scope, PauseScope::Everything);
    /// assert!(store.unpause(&PauseScope::Everything).await?);
    /// # Ok(())
    /// # }
    /// ```
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError>;

    /// Lifts the pause of this scope: its events can be claimed again at once. Returns whether such
    /// a pause was in effect. See [`pause`](Self::pause) for an example.
    async fn unpause(&self, scope: &PauseScope) -> Result<bool, StoreError>;

    /// Returns the pauses in effect, in the order of their scopes. See [`pause`](Self::pause) for
    /// an example.
    async fn paused(&self) -> Result<Vec<Paused>, StoreError>;

    // Processes.

    /// Records that a run of this process works on the store, for tools that list
    /// [`processes`](Self::processes). A processor announces each run when it starts. Announcing a
    /// run again replaces its announcement. For stores.
    async fn announce(&self, run: &Announcement) -> Result<(), StoreError>;

    /// Forgets an announced run, which has ended. Does nothing if there is none with this id. For
    /// stores.
    async fn withdraw(&self, run_id: Uuid) -> Result<(), StoreError>;

    /// Returns the processes that have announced a run or hold events, and whether each is alive.
    ///
    /// No process reports regularly that it is alive: the answer is found when it is asked for, by
    /// asking the operating system or the database. A process that is gone is forgotten some time
    /// after it holds no more leases.
    async fn processes(&self) -> Result<Vec<StoreProcess>, StoreError>;

    // Check.

    /// Looks for what is wrong with the store: settings, tables, leases, clocks, and whatever it
    /// keeps twice. Writes nothing. A store that keeps nothing twice, and nothing that another
    /// program can damage, finds nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::store::CheckDepth;
    /// use outbox_runtime::{MemoryStore, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// for finding in store.check(CheckDepth::Full).await? {
    ///     println!("{:?}: {}", finding.severity, finding.message);
    /// }
    /// store.repair().await?; // what can be mended without risk
    /// # Ok(())
    /// # }
    /// ```
    async fn check(&self, depth: CheckDepth) -> Result<Vec<Finding>, StoreError>;

    /// Mends what can be mended without risk: the findings of [`check`](Self::check) whose remedy
    /// is [`Repair`](crate::store::Remedy::Repair).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, StoreError};
    /// # async fn mend(store: &dyn OutboxRepository) -> Result<(), StoreError> {
    /// println!("{:?}", store.repair().await?);
    /// # Ok(())
    /// # }
    /// ```
    async fn repair(&self) -> Result<Repaired, StoreError>;

    // Files.

    /// Finishes earlier calls and closes every file, so that the operating system may freeze the
    /// process. Later calls fail with `Suspended`. Suspending again changes nothing. A store
    /// without files answers the same.
    ///
    /// # Errors
    ///
    /// `Closed` if the store was closed for good.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{MemoryStore, OutboxRepository, StoreErrorKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// store.suspend().await?; // stop or suspend its runs first
    /// let error = store.statistics(None).await.err();
    /// assert!(error.is_some_and(|error| error.kind() == StoreErrorKind::Suspended));
    /// store.resume().await?;
    /// assert_eq!(store.statistics(None).await?.total_events, 0);
    /// # Ok(())
    /// # }
    /// ```
    async fn suspend(&self) -> Result<(), StoreError>;

    /// Resumes work after [`suspend`](Self::suspend). Does nothing if the store is not suspended.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of opening](crate::StoreErrorKind#kinds-by-call).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, StoreError};
    /// # async fn on_foreground(store: &dyn OutboxRepository) -> Result<(), StoreError> {
    /// store.resume().await?;
    /// # Ok(())
    /// # }
    /// ```
    async fn resume(&self) -> Result<(), StoreError>;
}

/// The trait must stay object safe: a processor holds its store as a trait object.
const _: fn(&dyn OutboxRepository) -> &dyn OutboxQueue = |repository| repository;

/// Whether every undelivered event that may be in the lane of this one is unchanged since it was
/// seen.
async fn lane_was_seen<R: OutboxRepository + ?Sized>(
    repository: &R,
    event: &OutboxEvent,
    seen: &[OutboxEvent],
) -> Result<bool, StoreError> {
    let user_id = Some(event.user_id.as_str());
    for status in OutboxStatus::ALL {
        if *status == OutboxStatus::Completed {
            continue;
        }
        let mut there = repository.fetch_events(*status, user_id, None).await?;
        there.retain(|other| {
            other.is_open()
                && other.order == event.order
                && (event.order == Order::User || other.entity_id == event.entity_id)
        });
        if there.iter().any(|other| !seen.contains(other)) {
            return Ok(false);
        }
    }
    Ok(true)
}
