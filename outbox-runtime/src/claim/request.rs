//! The claim request: the number of events, the filter and the order.

use std::time::Duration;

use super::{EventTypes, Selector};
use crate::event::OutboxEvent;

/// A worker's request for events.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::store::{ClaimRequest, EventTypes};
///
/// let request = ClaimRequest::new(10, Duration::from_secs(60))
///     .with_lease_for("upload", Duration::from_secs(600))
///     .with_user("user-1")
///     .with_event_types(EventTypes::Only(vec!["moodEntry".into()]));
/// assert_eq!(request.limit(), 10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct ClaimRequest {
    limit: usize,
    lease: Duration,
    own_leases: Vec<(String, Duration)>,
    user_id: Option<String>,
    /// Sorted.
    event_types: EventTypes,
    /// Sorted.
    without_users: Vec<String>,
    turns: usize,
    turns_after: String,
    only: Vec<Selector>,
    except: Vec<Selector>,
    /// Sorted.
    avoided_users: Vec<String>,
    order: ClaimOrder,
}

/// The order in which a claim takes events. Every order except the usual one is for a probe: a
/// claim of a single event that finds out whether the service is reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ClaimOrder {
    /// Highest priority first, then earliest due time, then smallest `seq`.
    #[default]
    Usual,
    /// The newest event that was never attempted; if there is none, the event with the oldest last
    /// attempt.
    ///
    /// A store looks at the newest 256 rows at least. If none of them is claimable and never
    /// attempted, it may substitute the last such event in the usual order.
    Newest,
    /// Events that were never attempted, in the usual order; if there are none, the event with the
    /// oldest last attempt.
    LeastRecent,
}

impl ClaimRequest {
    /// The amount of metadata in one claim, in bytes (16 MiB). A claim ends with the event that
    /// reaches it, and the next claim continues from there.
    ///
    /// A row with more metadata was not [enqueued](crate::NewEvent::MAX_METADATA_BYTES) by this
    /// library. It is not loaded and becomes a dead letter.
    pub const MAX_METADATA_BYTES: usize = 16 << 20;

    /// Requests at most `limit` events of any user and type, each leased for `lease`.
    pub fn new(limit: usize, lease: Duration) -> Self {
        Self {
            limit,
            lease,
            own_leases: Vec::new(),
            user_id: None,
            event_types: EventTypes::AllExcept(Vec::new()),
            without_users: Vec::new(),
            turns: 0,
            turns_after: String::new(),
            only: Vec::new(),
            except: Vec::new(),
            avoided_users: Vec::new(),
            order: ClaimOrder::Usual,
        }
    }

    /// Leases events of this type for `lease` instead. Default: the lease of the request.
    pub fn with_lease_for(mut self, event_type: impl Into<String>, lease: Duration) -> Self {
        let event_type = event_type.into();
        self.own_leases.retain(|(other, _)| *other != event_type);
        self.own_leases.push((event_type, lease));
        self
    }

    /// Only events of this user. Default: all users.
    pub fn with_user(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Only events of these types. Default: all types.
    pub fn with_event_types(mut self, mut event_types: EventTypes) -> Self {
        let (EventTypes::Only(types) | EventTypes::AllExcept(types)) = &mut event_types;
        types.sort_unstable();
        self.event_types = event_types;
        self
    }

    /// No events of these users. Default: no user is excluded.
    pub fn without_users(mut self, mut users: Vec<String>) -> Self {
        users.sort_unstable();
        self.without_users = users;
        self
    }

    /// Only events that match this selector. Several calls are combined with AND. Default: every
    /// event.
    pub fn only(mut self, selector: Selector) -> Self {
        self.only.push(selector);
        self
    }

    /// No events that match this selector. An event that matches any of several selectors is
    /// excluded. Default: none.
    pub fn except(mut self, selector: Selector) -> Self {
        self.except.push(selector);
        self
    }

    /// Takes events of these users only if no other events are claimable, regardless of the order.
    /// Default: no user is avoided.
    pub fn avoiding_users(mut self, mut users: Vec<String>) -> Self {
        users.sort_unstable();
        self.avoided_users = users;
        self
    }

    /// Sets the order. Default: [`ClaimOrder::Usual`]. Other orders have no
    /// [turns](Self::with_turns).
    pub fn in_order(mut self, order: ClaimOrder) -> Self {
        self.order = order;
        self
    }

    /// Fills this many of the places round-robin by user: one event per user, the first in claim
    /// order, starting with the user id that follows `after` in byte order, and wrapping around.
    /// `""` starts with the first user. Default: 0; all places are filled in claim order.
    ///
    /// Turns prevent starvation: no user waits behind the backlog of another, however large and
    /// urgent. The result lists the events in claim order first and the turns after them, so the
    /// next request continues after the user of the last claim. If every user had a turn and places
    /// remain, more events in claim order follow. A claim [of one user](Self::with_user) has no
    /// turns.
    pub fn with_turns(mut self, places: usize, after: impl Into<String>) -> Self {
        self.turns = places;
        self.turns_after = after.into();
        self
    }

    /// The maximum number of events.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The lease, unless an event's type has its own.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The event types with their own leases.
    #[must_use]
    pub fn own_leases(&self) -> &[(String, Duration)] {
        &self.own_leases
    }

    /// The lease for an event of this type.
    #[must_use]
    pub fn lease_for(&self, event_type: &str) -> Duration {
        let own = self.own_leases.iter().find(|(own, _)| own == event_type);
        own.map_or(self.lease, |(_, lease)| *lease)
    }

    /// The only user; `None` means all users.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// The event types, sorted.
    #[must_use]
    pub fn event_types(&self) -> &EventTypes {
        &self.event_types
    }

    /// The number of places that are filled round-robin by user.
    #[must_use]
    pub fn turns(&self) -> usize {
        match (self.one_user(), self.order) {
            (None, ClaimOrder::Usual) => self.turns.min(self.limit),
            _ => 0,
        }
    }

    /// The user id after which the turns start.
    #[must_use]
    pub fn turns_after(&self) -> &str {
        &self.turns_after
    }

    /// The excluded users, sorted.
    #[must_use]
    pub fn excluded_users(&self) -> &[String] {
        &self.without_users
    }

    /// Whether `user_id` is one of the [`excluded_users`](Self::excluded_users).
    pub(crate) fn excludes(&self, user_id: &[u8]) -> bool {
        let order = |user: &String| user.as_bytes().cmp(user_id);
        self.without_users.binary_search_by(order).is_ok()
    }

    /// The selectors that an event must match, all of them.
    pub fn included(&self) -> &[Selector] {
        &self.only
    }

    /// The selectors that an event must not match, any of them.
    pub fn excluded(&self) -> &[Selector] {
        &self.except
    }

    /// The users whose events are taken only if there are no others, sorted.
    #[must_use]
    pub fn avoided_users(&self) -> &[String] {
        &self.avoided_users
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> ClaimOrder {
        self.order
    }

    /// Whether the request includes this event type. A binary search, as there may be many types.
    fn includes_type(&self, event_type: &str) -> bool {
        let has = |types: &[String]| {
            let order = |one: &String| one.as_str().cmp(event_type);
            types.binary_search_by(order).is_ok()
        };
        match &self.event_types {
            EventTypes::Only(types) => has(types),
            EventTypes::AllExcept(types) => !has(types),
        }
    }

    /// The only user whose events can match, by `user_id` or by a selector.
    pub(crate) fn one_user(&self) -> Option<&str> {
        let of_selectors = || self.only.iter().find_map(Selector::of_user);
        self.user_id.as_deref().or_else(of_selectors)
    }

    /// Whether no event can match.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_for_nothing(&self) -> bool {
        self.event_types.is_nothing()
            || self.only.iter().any(Selector::is_nothing)
            || self.except.iter().any(Selector::is_everything)
    }

    /// Splits the request in two, the second for the places that the first leaves: without the
    /// avoided users, and with them. One part if no user is avoided.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        if self.avoided_users.is_empty() {
            return vec![self.clone()];
        }
        let mut all = self.clone();
        let avoided = std::mem::take(&mut all.avoided_users);
        let mut others = all.clone();
        others.without_users.extend(avoided);
        others.without_users.sort_unstable();
        vec![others, all]
    }

    /// Whether the event matches, claimable or not.
    #[must_use]
    pub fn matches(&self, event: &OutboxEvent) -> bool {
        let user_id = event.user_id.as_str();
        self.user_id.as_deref().is_none_or(|user| user == user_id)
            && !self.excludes(user_id.as_bytes())
            && self.includes_type(&event.event_type)
            && self.only.iter().all(|selector| selector.selects(event))
            && !self.except.iter().any(|selector| selector.selects(event))
    }
}
