//! Which handler gets an event, with what retry schedule, timeout and lease.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::evidence::Node;
pub(super) use super::handler_index::HandlerIndex;
use super::settings::Settings;
use crate::claim::{EventTypes, Selector};
use crate::entity::{Charge, EntityOptions};
use crate::error::BuildError;
use crate::handler::OutboxEventHandler;
use crate::retry::RetryPolicy;

/// The registered handlers.
pub(super) struct Routes {
    handlers: Vec<Registered>,
    /// Which handler takes an event type that was met, by the type. An untyped handler's types are known only so.
    met: Mutex<BTreeMap<String, HandlerIndex>>,
}

/// At most so many types are remembered. Of more, a paused handler's events may be claimed and given back.
const MOST_MET: usize = 1_024;

struct Registered {
    handler: Arc<dyn OutboxEventHandler>,
    entities: Vec<EntityOptions>,
}

/// Where an event goes.
pub(super) struct Route {
    pub(super) index: HandlerIndex,
    pub(super) handler: Arc<dyn OutboxEventHandler>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    /// Whether its failures count whatever becomes of others.
    pub(super) is_always_charged: bool,
    pub(super) max_snoozes: Option<u32>,
}

impl Registered {
    /// Asks the application, whose panic must not end the run: such an event has no handler.
    fn takes(&self, event_type: &str) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.handler.can_handle(event_type))).unwrap_or(false)
    }
}

impl Routes {
    pub(super) fn new(handlers: Vec<Arc<dyn OutboxEventHandler>>) -> Result<Self, BuildError> {
        if handlers.is_empty() {
            return Err(BuildError::NoHandler);
        }
        let handlers: Vec<Registered> = handlers
            .into_iter()
            .map(|handler| Registered {
                entities: handler.entities(),
                handler,
            })
            .collect();
        let routes = Self {
            handlers,
            met: Mutex::default(),
        };
        let mut seen = HashSet::new();
        for event_type in routes.entities().map(EntityOptions::event_type) {
            let takers = routes
                .handlers
                .iter()
                .filter(|registered| registered.takes(event_type))
                .count();
            let is_denied = |registered: &Registered| {
                let mut named = registered.entities.iter();
                named.any(|options| options.event_type() == event_type)
                    && !registered.takes(event_type)
            };
            if routes.handlers.iter().any(is_denied) {
                return Err(BuildError::DeniedByItsHandler {
                    event_type: event_type.to_owned(),
                });
            }
            if takers > 1 || !seen.insert(event_type) {
                return Err(BuildError::DuplicateHandler {
                    event_type: event_type.to_owned(),
                });
            }
        }
        Ok(routes)
    }

    /// Every event type that some handler names.
    pub(super) fn entities(&self) -> impl Iterator<Item = &EntityOptions> {
        self.handlers
            .iter()
            .flat_map(|registered| &registered.entities)
    }

    /// The event types that have leases of their own.
    pub(super) fn own_leases(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.entities()
            .filter_map(|options| Some((options.event_type(), options.lease()?)))
    }

    pub(super) fn route(&self, event_type: &str, settings: &Settings) -> Option<Route> {
        let (index, registered) = self
            .handlers
            .iter()
            .enumerate()
            .find(|(_, registered)| registered.takes(event_type))?;
        self.remember(event_type, index);
        let options = registered
            .entities
            .iter()
            .find(|options| options.event_type() == event_type);
        let retry = options.and_then(EntityOptions::retry);
        Some(Route {
            index,
            handler: Arc::clone(&registered.handler),
            retry: retry.map_or_else(
                || settings.retry.clone(),
                |schedule| settings.retry.with_schedule(schedule),
            ),
            timeout: options
                .and_then(EntityOptions::timeout)
                .unwrap_or(settings.timeout),
            is_always_charged: settings.charge == Charge::Always
                || options.is_some_and(|options| options.charge() == Charge::Always),
            max_snoozes: options.and_then(EntityOptions::max_snoozes),
        })
    }

    fn remember(&self, event_type: &str, index: HandlerIndex) {
        let met = &mut *self.met();
        if !met.contains_key(event_type) && met.len() < MOST_MET {
            met.insert(event_type.to_owned(), index);
        }
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<String, HandlerIndex>> {
        // Nothing can panic half way through a change.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event types of a handler set, as far as they are known: those that it names, and those that were met.
    pub(super) fn known_types(&self, index: HandlerIndex) -> Vec<String> {
        let named = self
            .handlers
            .get(index)
            .map(|registered| &registered.entities);
        let named = named.into_iter().flatten();
        let mut types: BTreeSet<String> = named
            .map(|options| options.event_type().to_owned())
            .collect();
        let met = self.met();
        let met = met.iter().filter(|(_, taker)| **taker == index);
        types.extend(met.map(|(event_type, _)| event_type.clone()));
        types.into_iter().collect()
    }

    /// What may be claimed: no type without a handler, and none of `unhandled`.
    pub(super) fn claimable(&self, unhandled: &BTreeSet<String>) -> EventTypes {
        if self.is_any_untyped() {
            EventTypes::AllExcept(unhandled.iter().cloned().collect())
        } else {
            let mut named = self.names(|_| true);
            // What a handler names and then does not take would be claimed again and again.
            named.retain(|event_type| !unhandled.contains(event_type));
            EventTypes::Only(named)
        }
    }

    /// Whether some handler does not name the types that it takes.
    pub(super) fn is_any_untyped(&self) -> bool {
        self.handlers.iter().any(|it| it.entities.is_empty())
    }

    /// Whether some handler takes this type.
    pub(super) fn is_taken(&self, event_type: &str) -> bool {
        self.handlers.iter().any(|it| it.takes(event_type))
    }

    /// The types that the handlers name that `which` picks.
    fn names(&self, which: impl Fn(HandlerIndex) -> bool) -> Vec<String> {
        let handlers = self.handlers.iter().enumerate();
        handlers
            .filter(|(index, _)| which(*index))
            .flat_map(|(_, registered)| &registered.entities)
            .map(|options| options.event_type().to_owned())
            .collect()
    }

    /// What one handler set takes.
    fn types_of(&self, set: HandlerIndex) -> EventTypes {
        let is_untyped = |registered: &Registered| registered.entities.is_empty();
        if self.handlers.get(set).is_some_and(is_untyped) {
            // It takes what it takes: which, is known only when an event is there.
            let others = (0..self.handlers.len()).filter(|index| *index != set);
            EventTypes::AllExcept(others.flat_map(|index| self.known_types(index)).collect())
        } else {
            EventTypes::Only(self.names(|index| index == set))
        }
    }

    /// Selects a part of all work.
    pub(super) fn selector(&self, node: &Node) -> Selector {
        let selector = Selector::new();
        match node {
            Node::All => selector,
            Node::Set(set) => selector.event_types(self.types_of(*set)),
            Node::Destination(set, destination) => selector
                .event_types(self.types_of(*set))
                .destination(destination.as_deref()),
            Node::Endpoint(_, destination, event_type) => selector
                .event_types(EventTypes::Only(vec![event_type.clone()]))
                .destination(destination.as_deref()),
            Node::User(set, user) => selector.event_types(self.types_of(*set)).user(user),
            Node::Credentials(user) => selector.user(user),
        }
    }

    /// Selects each of these parts, but for users' credentials.
    pub(super) fn selectors(&self, nodes: &[Node]) -> Vec<Selector> {
        let nodes = nodes
            .iter()
            .filter(|node| !matches!(node, Node::Credentials(_)));
        nodes.map(|node| self.selector(node)).collect()
    }
}
