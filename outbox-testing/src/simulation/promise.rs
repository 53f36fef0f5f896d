//! A promise: one event that was enqueued, and what must be so of its row.

use uuid::Uuid;

use super::report::Invariant;
use outbox_runtime::NewEvent;
use outbox_runtime::{Coalesce, EntityId, Order};
use outbox_runtime::{OutboxEvent, OutboxStatus};

/// An event that somebody enqueued, or tried to.
pub(super) struct Promise {
    pub(super) event: NewEvent,
    pub(super) label: String,
    pub(super) acknowledged: bool,
    /// A try was answered with an unknown outcome.
    pub(super) unknown: bool,
    /// It was in the store once.
    pub(super) seen: bool,
    pub(super) completed: bool,
    pub(super) deleted: bool,
    /// The event that carries its change.
    pub(super) folded_into: Option<Uuid>,
    /// What its first attempt was about: no other may be about anything else.
    pub(super) sent: Option<i64>,
    /// How many attempts must count against it.
    pub(super) attempts: u32,
    /// How often the remote service took it.
    pub(super) accepted: u32,
    /// Where it stands among all events, and in which state it was last seen.
    pub(super) row: Option<(i64, OutboxStatus)>,
    /// It was a dead letter once, so that it may come out of order.
    pub(super) was_dead: bool,
}

/// Those who wait for each other.
#[derive(PartialEq, Eq)]
pub(super) enum Lane<'a> {
    Entity(&'a str, &'a EntityId),
    User(&'a str),
    Alone(Uuid),
}

impl Promise {
    pub(super) fn new(event: NewEvent, label: String) -> Self {
        Self {
            event,
            label,
            acknowledged: false,
            unknown: false,
            seen: false,
            completed: false,
            deleted: false,
            folded_into: None,
            sent: None,
            attempts: 0,
            accepted: 0,
            row: None,
            was_dead: false,
        }
    }

    /// Whether its content may be this: its own, or that of a change that was folded into it.
    pub(super) fn may_be(&self, event: &OutboxEvent) -> bool {
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

    /// So its row is now.
    pub(super) fn is(&mut self, row: &OutboxEvent) {
        self.row = Some((row.seq, row.status));
        self.was_dead |= row.status == OutboxStatus::Dead;
    }

    pub(super) fn check(&mut self, row: &OutboxEvent, found: &mut impl FnMut(Invariant, String)) {
        self.is(row);
        let label = &self.label;
        if !self.acknowledged && !self.unknown {
            let what = format!("{label} is stored although every try has failed");
            found(Invariant::NothingInvented, what);
        }
        if row.status == OutboxStatus::Completed && !self.completed {
            // Its entity was deleted before anybody was told that it is new.
            let cancelled =
                row.last_attempt_at.is_none() && self.event.coalesce() == Coalesce::Latest;
            if !cancelled {
                let what = format!("{label} is completed, and nobody has reported that");
                found(Invariant::CompletedMeansDelivered, what);
            }
            self.completed = true;
        }
        let as_sent = self.sent.is_none_or(|sent| sent == row.fingerprint());
        if !self.may_be(row) || !as_sent {
            let what = format!("{label} is stored with other content than was enqueued");
            found(Invariant::SameEveryTime, what);
        }
        if row.attempt_count != self.attempts {
            let (counted, made) = (row.attempt_count, self.attempts);
            let what = format!("{label} has {counted} attempts; it should be {made}");
            found(Invariant::AttemptsCounted, what);
        }
        if self.completed && row.status != OutboxStatus::Completed {
            let what = format!("{label} was delivered and is {} again", row.status);
            found(Invariant::CompletedMeansDelivered, what);
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

    /// Whether it is before the other in their order, and the remote service should have it before.
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
            && self.goes_with(other)
    }

    /// Whether they go one after the other: in one lane, or about the same in the lanes of two
    /// orders.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        let (own, others) = (&self.event, &other.event);
        let is_kin = own.order() != others.order()
            && own.event_type() == others.event_type()
            && own.entity_id() == others.entity_id()
            && own.user_id() == others.user_id();
        is_kin || self.lane() == other.lane()
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
