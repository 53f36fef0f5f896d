//! Which handler gets an event, with what retry schedule, timeout and lease.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::builder::Settings;
use crate::claim::EventTypes;
use crate::entity::EntityOptions;
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

/// Which of the registered handlers; what a rate limit pauses.
pub(super) type HandlerIndex = usize;

/// Where an event goes.
pub(super) struct Route {
    pub(super) index: HandlerIndex,
    pub(super) handler: Arc<dyn OutboxEventHandler>,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
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

    /// What may be claimed: no type without a handler, none of a handler that `paused` names, and none of `unhandled`.
    pub(super) fn claimable(
        &self,
        paused: &dyn Fn(HandlerIndex) -> bool,
        unhandled: &[String],
    ) -> EventTypes {
        let of =
            |wanted: bool| (0..self.handlers.len()).filter(move |index| paused(*index) == wanted);
        // A handler that names no types takes what it takes: which, is known only when an event is there.
        let is_open = |index: HandlerIndex| self.handlers[index].entities.is_empty();
        if of(false).any(is_open) {
            let paused = of(true).flat_map(|index| self.known_types(index));
            EventTypes::AllExcept(paused.chain(unhandled.iter().cloned()).collect())
        } else {
            let named = of(false).flat_map(|index| &self.handlers[index].entities);
            let named = named.map(EntityOptions::event_type);
            // What a handler names and then does not take would be claimed again and again.
            let is_handled = |event_type: &&str| !unhandled.iter().any(|known| known == event_type);
            EventTypes::Only(named.filter(is_handled).map(str::to_owned).collect())
        }
    }
}
