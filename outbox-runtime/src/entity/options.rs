//! What `#[outbox(..)]` on the struct says about an entity type.

use std::time::Duration;

/// With how many attempts an event becomes a dead letter, unless its entity says otherwise.
pub(crate) const DEFAULT_MAX_ATTEMPTS: u32 = 5;

/// The longest user id, entity id, event type and destination, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// What `#[outbox(..)]` says about an entity type.
///
/// # Examples
///
/// ```
/// use outbox_runtime::support::EntityOptions;
///
/// const OPTIONS: EntityOptions = EntityOptions::new("moodEntry").with_priority(5);
/// assert_eq!(OPTIONS.max_attempts(), 5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct EntityOptions {
    event_type: &'static str,
    display_name: &'static str,
    priority: i32,
    max_attempts: u32,
    retry: Option<&'static [Duration]>,
    timeout: Option<Duration>,
    lease: Option<Duration>,
    order: Order,
    on_dead: OnDead,
    coalesce: Coalesce,
    metadata_version: u32,
    charge: Charge,
    max_snoozes: Option<u32>,
}

/// Which failures count against an event: `#[outbox(charge = "..")]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Charge {
    /// Those for which there is evidence that they are its own: others like it get through. While nobody gets through, attempts
    /// are given back, so that an outage makes no dead letters.
    #[default]
    Evidence,
    /// Each. For a type whose events must not be tried more often than `max_attempts` says,
    /// whatever the service's state. What is [rejected](crate::HandlerError::permanent) is a dead
    /// letter at once, as ever, also while all that is sent is rejected.
    Always,
}

/// Which events wait for each other: `#[outbox(order = "..")]`.
///
/// Those that do stand in one *lane*, and go one at a time, as they were enqueued. Events of types with different orders
/// do not wait for each other, whatever they are about.
///
/// An event keeps the order that it was enqueued with. Where an update of the application changes
/// the order of a type, an event that is enqueued after it waits for those of its type and entity
/// that wait from before, and goes by the new order otherwise: with `"user"`, an older event of
/// another entity may still be sent after it. A warning in the log tells when one of the older is
/// delivered, and the wire lock of `outbox-testing` when the order changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// Those about one entity of one user are delivered one after the other, as they were enqueued.
    #[default]
    Entity,
    /// Those of one user are, whatever entities they are about.
    User,
    /// None: each is delivered as soon as it can be, beside others about the same entity and out of order after a retry.
    None,
}

/// What a dead letter means for the events that come after it in its order: `#[outbox(on_dead = "..")]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnDead {
    /// They wait until it is retried or discarded.
    #[default]
    Hold,
    /// They go on without it. When it is retried later, it is sent out of order: before those that still wait behind it,
    /// and never beside one that a handler has.
    Skip,
}

/// Whether a newer event about an entity takes the place of one that nobody has tried to deliver:
/// `#[outbox(coalesce = "..")]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Coalesce {
    /// Every change is delivered.
    #[default]
    Never,
    /// Only the latest state is: a change folds into the newest event of its type about the entity, unless that was
    /// claimed before.
    ///
    /// | waiting | and then | becomes |
    /// |---|---|---|
    /// | create | update | create with the new content |
    /// | create | delete | nothing, where the remote service cannot know it; else two events |
    /// | update | update | update with the new content |
    /// | update | delete | delete |
    ///
    /// Any other pair is two events: what is created again after a delete is created again.
    ///
    /// A creation and its deletion cancel out only where the store knows that no event about the entity was ever attempted
    /// and that none is left to be sent: an application may enqueue a second creation of what the service has. What was
    /// attempted and cleaned up since is remembered. In doubt (after an import, or for a user whose events became those of
    /// another) both are sent.
    ///
    /// The waiting event keeps its id, and so its idempotency key, its place and its time of enqueueing; it has the higher
    /// priority, the earlier due time and the larger number of attempts of the two. Nothing is folded over an event
    /// that stands between the two in their [order](Order), of whatever type, as that would change the order, nothing into
    /// an event with another destination, and nothing into one that was ever claimed, even if it was given back: the remote service may have seen it under its key.
    ///
    /// Enqueueing an event again after an unknown outcome stays harmless: the store remembers what was enqueued under
    /// each id, as long as it has the event that carries it.
    ///
    /// The metadata must be the entity's whole state, as `#[outbox(snapshot)]` guarantees.
    Latest,
}

impl EntityOptions {
    /// The defaults for an event type.
    pub const fn new(event_type: &'static str) -> Self {
        Self {
            event_type,
            display_name: event_type,
            priority: 0,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            retry: None,
            timeout: None,
            lease: None,
            order: Order::Entity,
            on_dead: OnDead::Hold,
            coalesce: Coalesce::Never,
            metadata_version: 1,
            charge: Charge::Evidence,
            max_snoozes: None,
        }
    }

    /// What people call such an entity. Default: the event type; the derive's default is the struct's name in words.
    pub const fn with_display_name(mut self, display_name: &'static str) -> Self {
        self.display_name = display_name;
        self
    }

    /// Higher goes first. Default: 0.
    pub const fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// With how many attempts an event becomes a dead letter. Default: 5.
    pub const fn with_max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The delays between attempts. Default: the processor's.
    pub const fn with_retry(mut self, retry: &'static [Duration]) -> Self {
        self.retry = Some(retry);
        self
    }

    /// How long one attempt may take. Default: the processor's.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a worker holds an event of this type without being heard of. Default: the processor's.
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Which events wait for each other. Default: [`Order::Entity`].
    pub const fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// What a dead letter means for the events behind it. Default: [`OnDead::Hold`].
    pub const fn with_on_dead(mut self, on_dead: OnDead) -> Self {
        self.on_dead = on_dead;
        self
    }

    /// Whether a newer event takes the place of an older one. Default: [`Coalesce::Never`].
    pub const fn with_coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Which version of the metadata's shape this program writes, from 1. Default: 1.
    pub const fn with_metadata_version(mut self, version: u32) -> Self {
        self.metadata_version = version;
        self
    }

    /// Which failures count against an event. Default: [`Charge::Evidence`].
    pub const fn with_charge(mut self, charge: Charge) -> Self {
        self.charge = charge;
        self
    }

    /// How often an event may be snoozed, at least once: the next snooze after so many makes it a dead letter. Default: as often
    /// as its handler likes.
    pub const fn with_max_snoozes(mut self, max_snoozes: u32) -> Self {
        self.max_snoozes = Some(max_snoozes);
        self
    }

    /// The name of the type in rows and on the wire.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// What people call such an entity.
    #[must_use]
    pub const fn display_name(&self) -> &'static str {
        self.display_name
    }

    /// Higher goes first.
    #[must_use]
    pub const fn priority(&self) -> i32 {
        self.priority
    }

    /// With how many attempts an event becomes a dead letter.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The delays between attempts, where the entity has its own.
    #[must_use]
    pub const fn retry(&self) -> Option<&'static [Duration]> {
        self.retry
    }

    /// How long one attempt may take, where the entity says so.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How long a worker holds an event without being heard of, where the entity says so.
    #[must_use]
    pub const fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// Which events wait for each other.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// What a dead letter means for the events behind it.
    #[must_use]
    pub const fn on_dead(&self) -> OnDead {
        self.on_dead
    }

    /// Whether a newer event takes the place of an older one.
    #[must_use]
    pub const fn coalesce(&self) -> Coalesce {
        self.coalesce
    }

    /// Which version of the metadata's shape this program writes.
    #[must_use]
    pub const fn metadata_version(&self) -> u32 {
        self.metadata_version
    }

    /// Which failures count against an event.
    #[must_use]
    pub const fn charge(&self) -> Charge {
        self.charge
    }

    /// How often an event may be snoozed; `None` is as often as its handler likes.
    #[must_use]
    pub const fn max_snoozes(&self) -> Option<u32> {
        self.max_snoozes
    }

    /// Which rule the options break, if any. The derive holds literals to the same rules as it reads them; this is for
    /// what only the compiler knows.
    pub(crate) const fn fault(&self) -> Option<&'static str> {
        const fn is(duration: Option<Duration>, limit: Duration) -> bool {
            matches!(duration, Some(duration) if duration.as_nanos() <= limit.as_nanos())
        }
        if let Some(fault) = event_type_fault(self.event_type.as_bytes()) {
            return Some(fault);
        }
        match (self.timeout, self.lease, self.retry) {
            _ if self.max_attempts == 0 => Some("an event needs at least 1 attempt"),
            _ if matches!(self.max_snoozes, Some(0)) => {
                Some("`max_snoozes` is at least 1; an event that is never snoozed needs no limit")
            }
            (_, _, Some([])) => Some("`retry` needs at least one delay"),
            (timeout, _, _) if is(timeout, Duration::ZERO) => Some("a timeout is longer than zero"),
            (_, lease, _) if is(lease, Duration::ZERO) => Some("a lease is longer than zero"),
            (Some(timeout), lease, _) if is(lease, timeout) => {
                Some("the timeout must be shorter than the lease")
            }
            _ => None,
        }
    }
}

const fn event_type_fault(name: &[u8]) -> Option<&'static str> {
    match name {
        [] => return Some("the event type is empty"),
        b"generic" => return Some("`generic` is the tag of metadata whose type is in no set"),
        _ if name.len() > MAX_KEY_BYTES => {
            return Some("an event type has at most 255 bytes");
        }
        _ => {}
    }
    // No iterators in constants. In UTF-8 the control characters are these, and C2 80 to C2 9F.
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let control = match (first, after) {
            (0..0x20 | 0x7f, _) => true,
            (0xc2, [second, ..]) => *second < 0xa0,
            _ => false,
        };
        if control {
            return Some("the event type has a control character");
        }
        rest = after;
    }
    None
}
