//! A promise: one enqueued event, and the conditions that its row must fulfill.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::report::Invariant;
use outbox_runtime::{
    Coalesce, EntityId, Expiry, Headers, NewEvent, Order, OutboxEvent, OutboxStatus,
};

/// An event that a process enqueued or tried to enqueue.
pub(super) struct Promise {
    pub(super) event: NewEvent,
    pub(super) label: String,
    pub(super) acknowledged: bool,
    /// A call that enqueues it had an unknown outcome.
    pub(super) unknown: bool,
    /// The store has had it.
    pub(super) seen: bool,
    pub(super) completed: bool,
    /// Its handler asked the store to complete it. If the handler was dropped meanwhile, nobody
    /// knows the answer.
    pub(super) completing: bool,
    pub(super) deleted: bool,
    /// A cancellation reported it as canceled.
    pub(super) canceled: bool,
    /// It was completed without a delivery, because its type is retired.
    pub(super) dropped: bool,
    /// A process has claimed it at least once.
    pub(super) claimed: bool,
    /// The store has taken it in, alone or by folding it into another one.
    pub(super) taken_in: bool,
    /// The headers that its attempts must have: those of the last change that it carries.
    pub(super) headers: Headers,
    /// The event that carries its change.
    pub(super) folded_into: Option<Uuid>,
    /// It was retried manually after it had expired, which removes its expiry.
    pub(super) lasts: bool,
    /// An event with its key took its place.
    pub(super) replaced: bool,
    /// The content of its first attempt. Every other attempt must have the same.
    pub(super) sent: Option<i64>,
    /// The number of attempts that must count against it.
    pub(super) attempts: u32,
    /// The number of times that the remote service accepted it.
    pub(super) accepted: u32,
    /// Its position among all events and its last seen status.
    pub(super) row: Option<(i64, OutboxStatus)>,
    /// It was a dead letter, so it may be delivered out of order.
    pub(super) was_dead: bool,
}

/// Events that wait for each other share a lane.
#[derive(PartialEq, Eq)]
pub(super) enum Lane<'a> {
    Entity(&'a str, &'a EntityId),
    User(&'a str),
    Alone(Uuid),
}

impl Promise {
    pub(super) fn new(event: NewEvent, label: String) -> Self {
        Self {
            headers: event.headers().clone(),
            event,
            label,
            acknowledged: false,
            unknown: false,
            seen: false,
            completed: false,
            completing: false,
            deleted: false,
            canceled: false,
            dropped: false,
            claimed: false,
            taken_in: false,
            folded_into: None,
            lasts: false,
            replaced: false,
            sent: None,
            attempts: 0,
            accepted: 0,
            row: None,
            was_dead: false,
        }
    }

    /// Whether the event may have this content: its own, or that of a change that folded into it.
    pub(super) fn may_have_content_of(&self, event: &OutboxEvent) -> bool {
        let own = &self.event;
        match own.coalesce() {
            Coalesce::Latest => {
                own.event_type() == event.event_type
                    && *own.entity_id() == event.entity_id
                    && own.user_id() == event.user_id
            }
            _ => own.is_same_event(event),
        }
    }

    /// The time at which it expires, if that is a time.
    pub(super) fn ends(&self) -> Option<DateTime<Utc>> {
        match self.event.expiry()? {
            Expiry::At(time) if !self.lasts => Some(time),
            _ => None,
        }
    }

    /// Whether both have the same key, of the same user.
    pub(super) fn shares_key_with(&self, other: &Self) -> bool {
        let (own, others) = (&self.event, &other.event);
        own.key().is_some() && own.key() == others.key() && own.user_id() == others.user_id()
    }

    /// Whether another event may have taken its place: it was never claimed, and is gone.
    pub(super) fn may_be_replaced(&self) -> bool {
        self.event.key().is_some()
            && self.attempts == 0
            && self.sent.is_none()
            && !self.completed
            && !self.deleted
            && self.folded_into.is_none()
    }

    /// Records the current state of its row.
    pub(super) fn record_row(&mut self, row: &OutboxEvent) {
        self.row = Some((row.seq, row.status));
        self.was_dead |= row.status == OutboxStatus::Dead;
    }

    pub(super) fn check(&mut self, row: &OutboxEvent, found: &mut impl FnMut(Invariant, String)) {
        self.record_row(row);
        let label = &self.label;
        if !self.acknowledged && !self.unknown {
            let what = format!("{label} is stored although every attempt to enqueue it failed");
            found(Invariant::NothingInvented, what);
        }
        if row.status == OutboxStatus::Completed && !self.completed {
            // Its entity was deleted before its creation was delivered.
            let cancelled =
                row.last_attempt_at.is_none() && self.event.coalesce() == Coalesce::Latest;
            if !cancelled && !self.completing {
                let what = format!("{label} is completed without a recorded outcome");
                found(Invariant::CompletedMeansDelivered, what);
            }
            self.completed = true;
        }
        let as_sent = self.sent.is_none_or(|sent| sent == row.fingerprint());
        if !self.may_have_content_of(row) || !as_sent {
            let what = format!("{label} is stored with content that was not enqueued");
            found(Invariant::SameEveryTime, what);
        }
        if row.attempt_count != self.attempts {
            let (counted, made) = (row.attempt_count, self.attempts);
            let what = format!("{label} has {counted} attempts, expected {made}");
            found(Invariant::AttemptsCounted, what);
        }
        if self.completed && row.status != OutboxStatus::Completed {
            let what = format!("{label} was delivered and is {} again", row.status);
            found(Invariant::CompletedMeansDelivered, what);
        }
        if let Some(ends) = self.ends()
            && !matches!(row.status, OutboxStatus::Completed | OutboxStatus::Dead)
            && row.next_attempt_at > ends.max(row.created_at)
            && row.last_attempt_at.is_none()
        {
            let what = format!("{label} is due after it expires");
            found(Invariant::NotAfterExpiry, what);
        }
        let leased = row.status == OutboxStatus::Processing;
        let whole = row.lease_token.is_some() == leased
            && row.lease_expires_at.is_some() == leased
            && row.completed_at.is_some() == (row.status == OutboxStatus::Completed)
            && row.dead_reason.is_some() == (row.status == OutboxStatus::Dead);
        if !whole {
            found(Invariant::RowWhole, format!("{label}: {row:?}"));
        }
    }

    /// Whether the remote service must receive this event before the other one.
    pub(super) fn must_precede(&self, other: &Self) -> bool {
        let (Some((seq, status)), Some((later, _))) = (self.row, other.row) else {
            return false;
        };
        let open = !matches!(status, OutboxStatus::Completed | OutboxStatus::Dead);
        seq < later
            && open
            && self.accepted == 0
            && !self.completed
            && !self.deleted
            && !self.was_dead
            && self.folded_into.is_none()
            && self.is_ordered_with(other)
    }

    /// Whether they are delivered in order: they share a lane, or are about the same subject under
    /// two orders.
    pub(super) fn is_ordered_with(&self, other: &Self) -> bool {
        let (own, others) = (&self.event, &other.event);
        let is_same_subject = own.order() != others.order()
            && own.event_type() == others.event_type()
            && own.entity_id() == others.entity_id()
            && own.user_id() == others.user_id();
        is_same_subject || self.lane() == other.lane()
    }

    pub(super) fn lane(&self) -> Lane<'_> {
        let event = &self.event;
        match event.order() {
            Order::User => Lane::User(event.user_id()),
            Order::None => Lane::Alone(event.id()),
            _ => Lane::Entity(event.user_id(), event.entity_id()),
        }
    }
}
