//! The claim's request: how many events, which, and in what order.

use std::time::Duration;

use super::{EventTypes, Selector};
use crate::event::OutboxEvent;

/// What a worker asks for.
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
    /// In ascending order.
    event_types: EventTypes,
    /// In ascending order.
    without_users: Vec<String>,
    turns: usize,
    turns_after: String,
    only: Vec<Selector>,
    except: Vec<Selector>,
    /// In ascending order.
    avoided_users: Vec<String>,
    order: ClaimOrder,
}

/// In what order a claim takes events. All but the usual one are for a probe, a claim of a single event that finds out whether
/// anything gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ClaimOrder {
    /// Higher priority first, then earlier due, then smaller seq.
    #[default]
    Usual,
    /// The newest of those that were never attempted; where there is none, the one whose last attempt is longest ago.
    ///
    /// A store looks at the newest 256 rows at least. Where none of them is claimable and was never attempted, it may take the
    /// last one in the usual order for the newest.
    Newest,
    /// Those that were never attempted, in the usual order; where there is none, the one whose last attempt is longest ago.
    LeastRecent,
}

impl ClaimRequest {
    /// How much metadata one claim brings, in bytes (16 MiB): it ends with the event that makes it as much, and the next claim
    /// goes on from there.
    ///
    /// A row with more than that was not [enqueued](crate::NewEvent::MAX_METADATA_BYTES) by this library. It is not loaded, and is
    /// a dead letter.
    pub const MAX_METADATA_BYTES: usize = 16 << 20;

    /// At most `limit` events of any user and type, each held for `lease`.
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

    /// Events of this type are held for `lease` instead. Default: each is held as long as the others.
    pub fn with_lease_for(mut self, event_type: impl Into<String>, lease: Duration) -> Self {
        let event_type = event_type.into();
        self.own_leases.retain(|(other, _)| *other != event_type);
        self.own_leases.push((event_type, lease));
        self
    }

    /// Only events of this user. Default: of all.
    pub fn with_user(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Only events of these types. Default: of all.
    pub fn with_event_types(mut self, mut event_types: EventTypes) -> Self {
        let (EventTypes::Only(types) | EventTypes::AllExcept(types)) = &mut event_types;
        types.sort_unstable();
        self.event_types = event_types;
        self
    }

    /// No events of these users. Default: none is left out.
    pub fn without_users(mut self, mut users: Vec<String>) -> Self {
        users.sort_unstable();
        self.without_users = users;
        self
    }

    /// Only events that this selects; given several times, those that each of them selects. Default: every event.
    pub fn only(mut self, selector: Selector) -> Self {
        self.only.push(selector);
        self
    }

    /// No events that this selects; given several times, none that any of them does. Default: none is left out.
    pub fn except(mut self, selector: Selector) -> Self {
        self.except.push(selector);
        self
    }

    /// Events of these users only where there are no others that can be claimed, whatever the order. Default: no user is avoided.
    pub fn avoiding_users(mut self, mut users: Vec<String>) -> Self {
        users.sort_unstable();
        self.avoided_users = users;
        self
    }

    /// In what order. Default: [`ClaimOrder::Usual`]. In any other there are no [turns](Self::with_turns).
    pub fn in_order(mut self, order: ClaimOrder) -> Self {
        self.order = order;
        self
    }

    /// In so many of the places users take turns: one event of each, their first in claim order, beginning with the user whose
    /// id comes next after this one, by its bytes, and going around. `""` begins with the first of them. Default: none; all places
    /// are filled in claim order.
    ///
    /// So nobody's event waits for the backlog of somebody else, however large and urgent that is. The claims in claim order come
    /// first, then those in turn, so that the next request goes on after the user of the last claim; then, where everybody had a
    /// turn and places are left, more in claim order. In a claim [of one user](Self::with_user) there are no turns.
    pub fn with_turns(mut self, places: usize, after: impl Into<String>) -> Self {
        self.turns = places;
        self.turns_after = after.into();
        self
    }

    /// At most how many events.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// For how long, unless their type has a lease of its own.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The event types that have leases of their own.
    #[must_use]
    pub fn own_leases(&self) -> &[(String, Duration)] {
        &self.own_leases
    }

    /// For how long an event of this type is held.
    #[must_use]
    pub fn lease_for(&self, event_type: &str) -> Duration {
        let own = self.own_leases.iter().find(|(own, _)| own == event_type);
        own.map_or(self.lease, |(_, lease)| *lease)
    }

    /// Of which user; `None` is all.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Of which types, in ascending order.
    #[must_use]
    pub fn event_types(&self) -> &EventTypes {
        &self.event_types
    }

    /// In how many of the places users take turns.
    #[must_use]
    pub fn turns(&self) -> usize {
        match (self.one_user(), self.order) {
            (None, ClaimOrder::Usual) => self.turns.min(self.limit),
            _ => 0,
        }
    }

    /// After whom they do.
    #[must_use]
    pub fn turns_after(&self) -> &str {
        &self.turns_after
    }

    /// Of which users not, in ascending order.
    #[must_use]
    pub fn excluded_users(&self) -> &[String] {
        &self.without_users
    }

    /// Whether this is one of the [`excluded_users`](Self::excluded_users).
    pub(crate) fn excludes(&self, user_id: &[u8]) -> bool {
        let order = |user: &String| user.as_bytes().cmp(user_id);
        self.without_users.binary_search_by(order).is_ok()
    }

    /// What an event must be, each of them.
    pub fn included(&self) -> &[Selector] {
        &self.only
    }

    /// What an event must not be, any of them.
    pub fn excluded(&self) -> &[Selector] {
        &self.except
    }

    /// Of which users only where there are no others, in ascending order.
    #[must_use]
    pub fn avoided_users(&self) -> &[String] {
        &self.avoided_users
    }

    /// In what order.
    #[must_use]
    pub fn order(&self) -> ClaimOrder {
        self.order
    }

    /// Whether events of this type are asked for; there may be many types.
    fn is_for_type(&self, event_type: &str) -> bool {
        let has = |types: &[String]| {
            let order = |one: &String| one.as_str().cmp(event_type);
            types.binary_search_by(order).is_ok()
        };
        match &self.event_types {
            EventTypes::Only(types) => has(types),
            EventTypes::AllExcept(types) => !has(types),
        }
    }

    /// A user whose events alone can be asked for, whoever says so.
    pub(crate) fn one_user(&self) -> Option<&str> {
        let of_selectors = || self.only.iter().find_map(Selector::of_user);
        self.user_id.as_deref().or_else(of_selectors)
    }

    /// Whether no event can be asked for.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_for_nothing(&self) -> bool {
        self.event_types.is_nothing()
            || self.only.iter().any(Selector::is_nothing)
            || self.except.iter().any(Selector::is_everything)
    }

    /// The same request in two parts, the second for the places that the first leaves: without those users who are to be avoided,
    /// and with them. One part where none is.
    pub(crate) fn parts(&self) -> Vec<Self> {
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

    /// Whether this event is asked for, be it claimable or not.
    #[must_use]
    pub fn matches(&self, event: &OutboxEvent) -> bool {
        let user_id = event.user_id.as_str();
        self.user_id.as_deref().is_none_or(|user| user == user_id)
            && !self.excludes(user_id.as_bytes())
            && self.is_for_type(&event.event_type)
            && self.only.iter().all(|selector| selector.selects(event))
            && !self.except.iter().any(|selector| selector.selects(event))
    }
}
