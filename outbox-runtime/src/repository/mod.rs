//! The repository: what a store promises, whatever it stores in.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::claim::{Claim, Lease};
use crate::enqueue::NewEvent;
use crate::entity::{EntityId, Order};
use crate::error::{EnqueueError, StoreError};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::outcome::Settled;
use crate::statistics::{Explanation, OutboxStatistics};

mod queue; // what a processor asks of a store
mod shared; // a store behind a pointer

pub use self::queue::{Exchange, OutboxQueue, Rescued, Revision};

/// Where events are kept: the port that every store implements. What a processor asks of it is [`OutboxQueue`].
///
/// Applications use a store's own methods and a [`Processor`](crate::Processor); this trait is for those who write a
/// store, and for tools. `outbox_testing::conformance!` emits one named test per promise below.
///
/// # Contract
///
/// 1. **Durable when acknowledged.** A method that returned `Ok` has taken effect for good. One that returned an
///    error has not, unless the error says [`outcome_unknown`](StoreError::outcome_unknown).
/// 2. **Idempotent by id.** An event whose id is there with the same content is not written again; with other content
///    it is [`EnqueueError::Conflict`] and the first is kept. What counts is what was first enqueued under the id,
///    whatever was folded into that event later, or it into another, as long as the event that carries it is there.
/// 3. **Ordered by lane.** [`claim`](OutboxQueue::claim) hands out only the first undelivered event of
///    each lane, whatever the priorities. [`Order`](crate::Order) tells which events are one: those
///    of an entity of a user, those of a user, or each alone. Events of types with different orders
///    do not wait for each other. Where a type has another order than it had, those of an entity
///    that were enqueued under the one go before those that were enqueued later under the other. A
///    dead event holds back those behind it, unless its [`OnDead`](crate::OnDead) says that they go
///    on.
/// 4. **Exclusive.** At most one unexpired lease an event. A claim counts the attempt in the same transaction.
/// 5. **Fenced.** [`settle`](OutboxQueue::settle), [`extend`](OutboxQueue::extend) and the `mark_as_*` pair write only where the lease
///    token is the row's. All but `extend` ask besides that the lease has not expired.
/// 6. **Nothing sticks.** What [`rescue`](OutboxQueue::rescue) finds with an expired lease can be claimed again, or is dead
///    when that happened in `max_attempts` attempts in a row. The attempt is given back, and a crash is counted.
/// 7. **One row's damage is its own.** A row that cannot be read never fails a call that concerns others: `claim` makes
///    it a dead letter, and lists show what can be read of it.
/// 8. **Folded only unseen.** An event that [coalesces](crate::Coalesce) is folded into the newest of its lane where
///    [`NewEvent::folded_into`] says so, in the transaction that enqueues it: never into one that was ever claimed.
/// 9. **Wakes.** After a commit that made work claimable, [`changed`](OutboxQueue::changed) resolves.
///
/// Few methods have defaults, on purpose: a default that a wrapper forgets to forward is a wrong answer. Those that have one
/// are merely slower without being forwarded.
///
/// Listings are in claim order (priority, due time, seq) where they concern waiting events, in `seq` order otherwise.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store of events",
    label = "not an `OutboxRepository`",
    note = "pass a store by value: `store.clone()` is another handle on the same one"
)]
pub trait OutboxRepository: OutboxQueue {
    // Events come in.

    /// Enqueues an event in a transaction of its own and returns its row, or that of the event it was folded into.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`]: a broken rule, a conflict, or storage.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped after its first poll the event may have been written; enqueueing it again is harmless.
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError>;

    // Events are read. `user_id: None` means all users, `limit: None` no limit.

    /// The events that could be claimed now, or later when they are due: pending or failed, in claim order.
    async fn fetch_pending_events(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError>;

    /// The events of one status.
    ///
    /// Whoever lists one status after the other while somebody delivers may miss an event that goes
    /// from one to the next in between, and may see it twice: [`statistics`](Self::statistics) and
    /// [`fetch_events_for_entity`](Self::fetch_events_for_entity) tell how things are at one
    /// moment.
    async fn fetch_events(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError>;

    /// One event.
    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError>;

    /// The events of one entity, oldest first; `event_type: None` means all types.
    async fn fetch_events_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError>;

    // Single events are changed by hand.

    /// Writes the fields that may be edited while an event waits: `priority`, `max_attempts`, `next_attempt_at`,
    /// `metadata` and `metadata_version`. All others are taken as a check: they must be as they are in the store. Each edit is the
    /// next [`revision`](OutboxEvent::revision), so that of two edits of one revision the second is refused.
    ///
    /// The count of attempts is compared with `max_attempts` after an attempt: an event that waits with as many attempts as
    /// `max_attempts` allows, or more, is attempted once more, and is dead if that fails.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` where the event is being processed or completed, where `max_attempts` is 0, or where another
    /// field differs: the message names it. An event that changed since it was read is fetched and edited again.
    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError>;

    /// Claims one event by hand, for `lease`, if it is first of its lane and due.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Conflict` where it is leased, finished, not due, or behind another event of its lane.
    async fn mark_as_processing(
        &self,
        id: Uuid,
        lease: std::time::Duration,
    ) -> Result<Claim, StoreError>;

    /// Records a delivery under a lease.
    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError>;

    /// Records a failure under a lease: failed, due after the default retry schedule's delay, or dead when the
    /// attempts are used up.
    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError>;

    /// Makes failed and dead events pending again, due now, with all their attempts, and forgets their deferrals, snoozes, crashes
    /// and last refusal. Others are left alone. Returns how many it were.
    ///
    /// A dead event that was [skipped](crate::OnDead::Skip) comes out of order then, after what was delivered without it:
    /// it goes before those of its lane that were enqueued later and are still undelivered, as soon as no handler has one.
    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError>;

    /// Makes all events of one user those of another, keeping their order by `seq`: for a user who began without an account
    /// and now has one. Metadata stays as it is, also where it names the user. Returns how many it were.
    ///
    /// # Errors
    ///
    /// `Conflict` where a handler has one of them: [sign the user out](crate::Running::sign_out) first. `InvalidArgument` where
    /// `to` cannot be a user id.
    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError>;

    // Events go. A deleted event that was the first of its lane lets the next one go.

    /// Deletes events that were completed before `older_than`. Returns how many.
    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError>;

    /// When the first of the completed events was completed: what tells when there is something to delete.
    ///
    /// Default: asked of [`fetch_events`](Self::fetch_events), whose first completed event was rarely completed much later.
    async fn oldest_completed(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let first = self
            .fetch_events(OutboxStatus::Completed, None, Some(1))
            .await?;
        Ok(first.first().and_then(|event| event.completed_at))
    }

    /// Deletes one event, in whatever state it is. Returns whether it was there.
    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError>;

    /// Deletes those of these events that are dead, and leaves the others alone. Returns how many it were.
    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError>;

    /// Deletes those of these events that are in the store just as they were seen, all in one transaction. Returns how many.
    ///
    /// For whoever reads events, does something with what was read (writes it to a file, asks somebody), and then deletes
    /// them: what was changed, attempted or folded into since stays. With [`DeleteUnit::Lane`] so does all of its lane, and
    /// the lane that another event came into, so that no change stays without what it builds on.
    ///
    /// Default: one event after the other, each looked at and then deleted. That is right where nobody else writes; a store
    /// that others write to as well looks and deletes in one transaction.
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

    /// Deletes all events of these entities. Returns how many.
    async fn delete_events_for_entities(
        &self,
        entity_ids: &[EntityId],
        user_id: Option<&str>,
    ) -> Result<u64, StoreError>;

    /// Deletes all events of a user. Returns how many.
    async fn delete_all_events_for_user(&self, user_id: &str) -> Result<u64, StoreError>;

    // Questions.

    /// How many events stand where.
    ///
    /// What it costs is the store's own: `SqliteStore` answers for all users, and for a user whose events are not mixed
    /// with those of others, in a time that hardly grows with the number of events, but that each event is looked at once
    /// by the first who asks after it was enqueued; for one among others by indices, in proportion to
    /// the undelivered, dead and completed events of all.
    async fn statistics(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError>;

    /// The events that have been pending for longer than [`OutboxEvent::STALE_AFTER`], oldest first.
    async fn stale_events(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError>;

    /// The entities whose deletion the remote service was not told yet, dead letters included, in `seq` order.
    ///
    /// Who restores entities from the service must leave these out, or what the user has deleted comes back.
    async fn pending_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError>;

    /// The types of the events that wait for their delivery, each once, in ascending order: so a
    /// worker that cannot name the types that it takes can ask about all of them at once. Types of
    /// which all events are with handlers or dead may be among them.
    ///
    /// Default: found by listing all that waits.
    async fn event_types(&self) -> Result<Vec<String>, StoreError> {
        let waiting = self.fetch_pending_events(None, None).await?;
        let types: BTreeSet<String> = waiting.into_iter().map(|event| event.event_type).collect();
        Ok(types.into_iter().collect())
    }

    /// What the first undelivered event of an entity waits for, as far as the store knows. A dead event that was
    /// [skipped](crate::OnDead::Skip) is undelivered; it is the first where nothing else is left.
    async fn explain(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError>;

    // Files.

    /// Finishes what was asked before and lets go of every file, so that the operating system may freeze the process. Later
    /// calls are answered with `Suspended`. Suspending twice is once. A store without files
    /// answers the same.
    ///
    /// # Errors
    ///
    /// `Closed` where the store was closed for good.
    async fn suspend(&self) -> Result<(), StoreError>;

    /// Takes up work again after [`suspend`](Self::suspend). Does nothing where the store is not suspended.
    ///
    /// # Errors
    ///
    /// Those of opening the store.
    async fn resume(&self) -> Result<(), StoreError>;
}

/// What goes or stays together in [`OutboxRepository::delete_seen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeleteUnit {
    /// Each event for itself.
    Event,
    /// The undelivered events that wait for each other: those of an entity of a user, or of a user ([`Order`]).
    Lane,
}

/// Whether every undelivered event that may be in the lane of this one is as it was seen.
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

/// An entity whose deletion was not delivered yet: see [`OutboxRepository::pending_deletes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PendingDelete {
    /// Whose it was.
    pub user_id: String,
    /// What it was.
    pub event_type: String,
    /// Which it was.
    pub entity_id: EntityId,
}

impl PendingDelete {
    /// For stores.
    #[must_use]
    pub fn new(user_id: String, event_type: String, entity_id: EntityId) -> Self {
        Self {
            user_id,
            event_type,
            entity_id,
        }
    }
}

/// Trait objects must stay possible: a processor holds its store as one.
const _: fn(&dyn OutboxRepository) -> &dyn OutboxQueue = |repository| repository;
