//! The options of an entity type, set by `#[outbox(..)]` on the struct.

use std::time::Duration;

use super::choices::{Charge, Coalesce, OnDead, OnExpiry, Order};
use super::event_type::{alias_fault, event_type_fault};
use super::id_kind::IdKind;

/// The default number of attempts after which an event becomes a dead letter.
pub(crate) const DEFAULT_MAX_ATTEMPTS: u32 = 5;

/// The options of an entity type, set by `#[outbox(..)]`.
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
    aliases: &'static [&'static str],
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
    expires_after: Option<Duration>,
    on_expiry: OnExpiry,
    after: &'static [&'static str],
    constant_user: Option<&'static str>,
    id_kind: IdKind,
}

impl EntityOptions {
    /// The default options for an event type.
    pub const fn new(event_type: &'static str) -> Self {
        Self {
            event_type,
            aliases: &[],
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
            expires_after: None,
            on_expiry: OnExpiry::Dead,
            after: &[],
            constant_user: None,
            id_kind: IdKind::Any,
        }
    }

    /// Sets the names that the type had before: stored events of these types are decoded and
    /// delivered as events of this entity. New events get the [`event_type`](Self::event_type).
    /// Default: none.
    pub const fn with_aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets the name shown to users. Default: the event type; the derive defaults to the struct's
    /// name as words.
    pub const fn with_display_name(mut self, display_name: &'static str) -> Self {
        self.display_name = display_name;
        self
    }

    /// Sets the priority; higher goes first. Default: 0.
    pub const fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the number of attempts after which an event becomes a dead letter. Default: 5.
    pub const fn with_max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Sets the delays between attempts. Default: the processor's.
    pub const fn with_retry(mut self, retry: &'static [Duration]) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets the timeout of one attempt. Default: the processor's.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long a worker holds an event of this type without renewing the lease. Default: the
    /// processor's.
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets which events wait for each other. Default: [`Order::Entity`].
    pub const fn with_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets how a dead letter affects the events behind it. Default: [`OnDead::Hold`].
    pub const fn with_on_dead(mut self, on_dead: OnDead) -> Self {
        self.on_dead = on_dead;
        self
    }

    /// Sets whether a newer event replaces an older one. Default: [`Coalesce::Never`].
    pub const fn with_coalesce(mut self, coalesce: Coalesce) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Sets the version of the metadata's shape that this program writes, from 1. Default: 1.
    pub const fn with_metadata_version(mut self, version: u32) -> Self {
        self.metadata_version = version;
        self
    }

    /// Sets which failures count as attempts. Default: [`Charge::Evidence`].
    pub const fn with_charge(mut self, charge: Charge) -> Self {
        self.charge = charge;
        self
    }

    /// Sets the maximum number of snoozes of an event, at least 1; the next one makes it a dead
    /// letter. Default: unlimited.
    pub const fn with_max_snoozes(mut self, max_snoozes: u32) -> Self {
        self.max_snoozes = Some(max_snoozes);
        self
    }

    /// Sets the time after which an event of this type is neither sent nor retried, from when it is
    /// enqueued. Default: none; events do not expire.
    pub const fn with_expires_after(mut self, expires_after: Duration) -> Self {
        self.expires_after = Some(expires_after);
        self
    }

    /// Sets what becomes of an expired event. Default: [`OnExpiry::Dead`].
    pub const fn with_on_expiry(mut self, on_expiry: OnExpiry) -> Self {
        self.on_expiry = on_expiry;
        self
    }

    /// Sets the event types of the entities that events of this type wait for:
    /// [`OutboxEntity::parents`](crate::OutboxEntity::parents) names the entities. Default: none.
    pub const fn with_after(mut self, after: &'static [&'static str]) -> Self {
        self.after = after;
        self
    }

    /// Names the user of every event of the type: `user_id = "shop"`. Default: the user depends on
    /// the entity or comes from the call.
    pub const fn with_constant_user(mut self, user_id: &'static str) -> Self {
        self.constant_user = Some(user_id);
        self
    }

    /// Names the kind of the ids of the type. An entity that comes [after](crate::Enqueue::after)
    /// one of this type must hold such an id: any other one is an error, at compile time where its
    /// type tells, otherwise when it is enqueued. Default: any ids. The derive sets it for strings,
    /// integers, UUIDs and tuples.
    pub const fn with_id_kind(mut self, kind: IdKind) -> Self {
        self.id_kind = kind;
        self
    }

    /// The name of the type in rows and on the wire.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The names that the type had before.
    #[must_use]
    pub const fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Every name of the type in stored events: the current one, and then its aliases.
    pub fn stored_types(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.event_type).chain(self.aliases.iter().copied())
    }

    /// Whether stored events of this type are events of the entity: it is the event type, or an
    /// alias.
    #[must_use]
    pub fn is_stored_as(&self, event_type: &str) -> bool {
        self.event_type == event_type || self.aliases.contains(&event_type)
    }

    /// The name shown to users.
    #[must_use]
    pub const fn display_name(&self) -> &'static str {
        self.display_name
    }

    /// The priority; higher goes first.
    #[must_use]
    pub const fn priority(&self) -> i32 {
        self.priority
    }

    /// The number of attempts after which an event becomes a dead letter.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The delays between attempts, if set.
    #[must_use]
    pub const fn retry(&self) -> Option<&'static [Duration]> {
        self.retry
    }

    /// The timeout of one attempt, if set.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// How long a worker holds an event without renewing the lease, if set.
    #[must_use]
    pub const fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// Which events wait for each other.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// How a dead letter affects the events behind it.
    #[must_use]
    pub const fn on_dead(&self) -> OnDead {
        self.on_dead
    }

    /// Whether a newer event replaces an older one.
    #[must_use]
    pub const fn coalesce(&self) -> Coalesce {
        self.coalesce
    }

    /// The version of the metadata's shape that this program writes.
    #[must_use]
    pub const fn metadata_version(&self) -> u32 {
        self.metadata_version
    }

    /// Which failures count as attempts.
    #[must_use]
    pub const fn charge(&self) -> Charge {
        self.charge
    }

    /// The maximum number of snoozes; `None` means unlimited.
    #[must_use]
    pub const fn max_snoozes(&self) -> Option<u32> {
        self.max_snoozes
    }

    /// The time after which an event expires, if it does.
    #[must_use]
    pub const fn expires_after(&self) -> Option<Duration> {
        self.expires_after
    }

    /// The end of an expired event.
    #[must_use]
    pub const fn on_expiry(&self) -> OnExpiry {
        self.on_expiry
    }

    /// The event types of the entities that events of this type wait for.
    #[must_use]
    pub const fn after(&self) -> &'static [&'static str] {
        self.after
    }

    /// The user of every event of the type, if that is a constant.
    #[must_use]
    pub const fn constant_user(&self) -> Option<&'static str> {
        self.constant_user
    }

    /// The kind of the ids of the type.
    #[must_use]
    pub const fn id_kind(&self) -> IdKind {
        self.id_kind
    }

    /// The first rule that the options violate, if any. The derive checks literals when it parses
    /// them; this checks values that only the compiler knows.
    pub(crate) const fn fault(&self) -> Option<&'static str> {
        const fn is(duration: Option<Duration>, limit: Duration) -> bool {
            matches!(duration, Some(duration) if duration.as_nanos() <= limit.as_nanos())
        }
        if let Some(fault) = event_type_fault(self.event_type) {
            return Some(fault);
        }
        if let Some(fault) = alias_fault(self.event_type, self.aliases) {
            return Some(fault);
        }
        match (self.timeout, self.lease, self.retry) {
            _ if self.max_attempts == 0 => Some("`max_attempts` must be at least 1"),
            _ if matches!(self.max_snoozes, Some(0)) => {
                Some("`max_snoozes` must be at least 1; omit it if events are never snoozed")
            }
            (_, _, Some([])) => Some("`retry` needs at least one delay"),
            (timeout, _, _) if is(timeout, Duration::ZERO) => {
                Some("the timeout must be longer than zero")
            }
            _ if is(self.expires_after, Duration::ZERO) => {
                Some("`expires_after` must be longer than zero")
            }
            _ if self.expires_after.is_some() && matches!(self.coalesce, Coalesce::Latest) => {
                Some("an event that expires cannot coalesce; remove `coalesce` or `expires_after`")
            }
            (_, lease, _) if is(lease, Duration::ZERO) => {
                Some("the lease must be longer than zero")
            }
            (Some(timeout), lease, _) if is(lease, timeout) => {
                Some("the timeout must be shorter than the lease")
            }
            _ => None,
        }
    }
}
