//! Routes: the handler for each event, with its retry schedule, timeout, and lease.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::evidence::Node;
pub(super) use super::handler_index::HandlerIndex;
use super::settings::Settings;
use crate::claim::{EventTypes, Selector};
use crate::entity::{Charge, EntityOptions, OnExpiry, Retired, Retirement};
use crate::error::BuildError;
use crate::handler::{Batching, OutboxEventHandler};
use crate::retry::RetryPolicy;

/// The registered handlers.
pub(super) struct Routes {
    handlers: Vec<Registered>,
    /// The types that no handler takes any more.
    retired: Vec<Retired>,
    /// The handler of each event type seen so far. For untyped handlers, this is the only way to
    /// know their types.
    seen: Mutex<BTreeMap<String, HandlerIndex>>,
}

/// The maximum number of types to remember. Beyond it, events of a paused handler may be claimed
/// and given back.
const MAX_SEEN: usize = 1_024;

struct Registered {
    handler: Arc<dyn OutboxEventHandler>,
    entities: Vec<EntityOptions>,
    /// How the events of each of these entities are delivered together.
    batchings: Vec<Option<Batching>>,
}

/// The handler for an event, and the settings of its attempts.
pub(super) struct Route {
    pub(super) index: HandlerIndex,
    pub(super) handler: Arc<dyn OutboxEventHandler>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    /// Whether every failure is charged, regardless of evidence.
    pub(super) is_always_charged: bool,
    pub(super) max_snoozes: Option<u32>,
    /// The end of an event that expired.
    pub(super) on_expiry: OnExpiry,
    /// How its events are delivered together; `None`: one at a time.
    pub(super) batching: Option<Batching>,
}

impl Registered {
    fn new(handler: Arc<dyn OutboxEventHandler>) -> Self {
        let entities = handler.entities();
        let types = entities.iter().map(EntityOptions::event_type);
        let batchings = types.map(|of| batching(&*handler, of)).collect();
        Self {
            handler,
            entities,
            batchings,
        }
    }

    /// The place of a type among those that the handler names.
    fn place(&self, event_type: &str) -> Option<usize> {
        let mut named = self.entities.iter();
        named.position(|options| options.is_stored_as(event_type))
    }

    /// How the events of a type are delivered together.
    fn batching(&self, event_type: &str, place: Option<usize>) -> Option<Batching> {
        match place {
            Some(place) => self.batchings.get(place).copied().flatten(),
            None if self.entities.is_empty() => {
                batching(&*self.handler, event_type).filter(|it| it.fault().is_none())
            }
            None => None,
        }
    }

    /// Whether this handler takes the type. This calls application code, whose panic must not end
    /// the run; after a panic the event has no handler.
    fn takes(&self, event_type: &str) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.handler.can_handle(event_type))).unwrap_or(false)
    }
}

/// Asks a handler. This calls application code, whose panic must not end the run; after a panic
/// each event is delivered alone.
fn batching(handler: &dyn OutboxEventHandler, event_type: &str) -> Option<Batching> {
    catch_unwind(AssertUnwindSafe(|| handler.batching(event_type))).unwrap_or(None)
}

impl Routes {
    pub(super) fn new(handlers: Vec<Arc<dyn OutboxEventHandler>>) -> Result<Self, BuildError> {
        if handlers.is_empty() {
            return Err(BuildError::NoHandler);
        }
        let retired: Vec<Retired> = handlers
            .iter()
            .flat_map(super::super::handler::OutboxEventHandler::retired)
            .collect();
        let handlers: Vec<Registered> = handlers.into_iter().map(Registered::new).collect();
        let routes = Self {
            handlers,
            retired,
            seen: Mutex::default(),
        };
        for registered in &routes.handlers {
            for (options, batching) in registered.entities.iter().zip(&registered.batchings) {
                let fault = |it: &Batching| it.fault().or_else(|| it.fault_of(options));
                if let Some(fault) = batching.as_ref().and_then(fault) {
                    let event_type = options.event_type().to_owned();
                    return Err(BuildError::Batching { event_type, fault });
                }
            }
        }
        let mut seen = HashSet::new();
        for event_type in routes.retired.iter().map(Retired::event_type) {
            if routes.is_taken(event_type) || !seen.insert(event_type) {
                return Err(BuildError::RetiredAndTaken {
                    event_type: event_type.to_owned(),
                });
            }
        }
        for event_type in routes.entities().flat_map(EntityOptions::stored_types) {
            let takers = routes
                .handlers
                .iter()
                .filter(|registered| registered.takes(event_type))
                .count();
            let is_denied = |registered: &Registered| {
                let mut named = registered.entities.iter();
                named.any(|options| options.is_stored_as(event_type))
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

    /// The options of all event types that handlers name.
    pub(super) fn entities(&self) -> impl Iterator<Item = &EntityOptions> {
        self.handlers
            .iter()
            .flat_map(|registered| &registered.entities)
    }

    /// The event types with leases of their own.
    pub(super) fn own_leases(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let own = self
            .entities()
            .filter_map(|options| Some((options, options.lease()?)));
        own.flat_map(|(options, lease)| {
            let types = options.stored_types();
            types.map(move |event_type| (event_type, lease))
        })
    }

    /// The fate of events of this type, if it is retired.
    pub(super) fn retirement(&self, event_type: &str) -> Option<Retirement> {
        let mut retired = self.retired.iter();
        let found = retired.find(|retired| retired.event_type() == event_type)?;
        Some(found.policy())
    }

    /// The retired types whose events are left alone, or those whose events are settled.
    fn retired(&self, are_held: bool) -> impl Iterator<Item = String> {
        let retired = self.retired.iter();
        retired
            .filter(move |retired| (retired.policy() == Retirement::Hold) == are_held)
            .map(|retired| retired.event_type().to_owned())
    }

    /// The retired types whose events are left alone.
    pub(super) fn held_types(&self) -> Vec<String> {
        self.retired(true).collect()
    }

    /// The types whose events a run of these handlers settles. `None`: any type, except those that
    /// it holds.
    pub(super) fn announced_types(&self) -> Option<Vec<String>> {
        let mut types = self.names(|_| true);
        types.extend(self.retired(false));
        (!self.is_any_untyped()).then_some(types)
    }

    pub(super) fn route(&self, event_type: &str, settings: &Settings) -> Option<Route> {
        let (index, registered) = self
            .handlers
            .iter()
            .enumerate()
            .find(|(_, registered)| registered.takes(event_type))?;
        self.remember(event_type, index);
        let place = registered.place(event_type);
        let options = place.and_then(|place| registered.entities.get(place));
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
            on_expiry: options.map_or(OnExpiry::Dead, EntityOptions::on_expiry),
            batching: registered.batching(event_type, place),
        })
    }

    fn remember(&self, event_type: &str, index: HandlerIndex) {
        let seen = &mut *self.seen();
        if !seen.contains_key(event_type) && seen.len() < MAX_SEEN {
            seen.insert(event_type.to_owned(), index);
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, HandlerIndex>> {
        // No change can panic halfway, so a poisoned lock holds valid data.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The known event types of a handler set: those that it names, and those seen so far.
    pub(super) fn known_types(&self, index: HandlerIndex) -> Vec<String> {
        let named = self
            .handlers
            .get(index)
            .map(|registered| &registered.entities);
        let named = named.into_iter().flatten();
        let mut types: BTreeSet<String> = named
            .flat_map(EntityOptions::stored_types)
            .map(str::to_owned)
            .collect();
        let seen = self.seen();
        let seen = seen.iter().filter(|(_, taker)| **taker == index);
        types.extend(seen.map(|(event_type, _)| event_type.clone()));
        types.into_iter().collect()
    }

    /// The types to claim: those with a handler, except `unhandled`.
    pub(super) fn claimable(&self, unhandled: &BTreeSet<String>) -> EventTypes {
        if self.is_any_untyped() {
            let held = self.retired(true);
            EventTypes::AllExcept(unhandled.iter().cloned().chain(held).collect())
        } else {
            let mut named = self.names(|_| true);
            named.extend(self.retired(false));
            // A type that a handler names but does not take would be claimed again and again.
            named.retain(|event_type| !unhandled.contains(event_type));
            EventTypes::Only(named)
        }
    }

    /// Whether some handler does not name its types.
    pub(super) fn is_any_untyped(&self) -> bool {
        self.handlers.iter().any(|it| it.entities.is_empty())
    }

    /// Whether some handler takes this type.
    pub(super) fn is_taken(&self, event_type: &str) -> bool {
        self.handlers.iter().any(|it| it.takes(event_type))
    }

    /// The types named by the handlers that `which` picks.
    fn names(&self, which: impl Fn(HandlerIndex) -> bool) -> Vec<String> {
        let handlers = self.handlers.iter().enumerate();
        handlers
            .filter(|(index, _)| which(*index))
            .flat_map(|(_, registered)| &registered.entities)
            .flat_map(EntityOptions::stored_types)
            .map(str::to_owned)
            .collect()
    }

    /// The types that a handler set takes.
    fn types_of(&self, set: HandlerIndex) -> EventTypes {
        let is_untyped = |registered: &Registered| registered.entities.is_empty();
        if self.handlers.get(set).is_some_and(is_untyped) {
            // The types of an untyped handler are unknown until an event arrives: exclude those of
            // the other handlers.
            let others = (0..self.handlers.len()).filter(|index| *index != set);
            EventTypes::AllExcept(others.flat_map(|index| self.known_types(index)).collect())
        } else {
            EventTypes::Only(self.names(|index| index == set))
        }
    }

    /// Selects the events of a node.
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
            Node::Limited(destination) => selector.destination(destination.as_deref()),
        }
    }

    /// Selects the events of each of these nodes, except users' credentials.
    pub(super) fn selectors(&self, nodes: &[Node]) -> Vec<Selector> {
        let nodes = nodes
            .iter()
            .filter(|node| !matches!(node, Node::Credentials(_)));
        nodes.map(|node| self.selector(node)).collect()
    }
}
