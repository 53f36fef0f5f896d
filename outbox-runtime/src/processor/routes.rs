//! Which handler gets an event, with what retry schedule, timeout and lease.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
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
}

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
        let routes = Self { handlers };
        let mut seen = HashSet::new();
        for event_type in routes.entities().map(EntityOptions::event_type) {
            let takers = routes
                .handlers
                .iter()
                .filter(|registered| registered.handler.can_handle(event_type))
                .count();
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

    /// What may be claimed: no type without a handler, none of a handler that `paused` names, and none of `unhandled`.
    pub(super) fn claimable(
        &self,
        paused: &dyn Fn(HandlerIndex) -> bool,
        unhandled: &[String],
    ) -> EventTypes {
        let names = |wanted: bool| {
            self.handlers
                .iter()
                .enumerate()
                .filter(move |(index, _)| paused(*index) == wanted)
                .flat_map(|(_, registered)| &registered.entities)
                .map(|options| options.event_type().to_owned())
                .collect::<Vec<_>>()
        };
        // A handler that names no types takes what it takes: which, is known only when an event is there.
        let is_open = |(index, registered): (usize, &Registered)| {
            registered.entities.is_empty() && !paused(index)
        };
        if self.handlers.iter().enumerate().any(is_open) {
            let mut left_out = names(true);
            left_out.extend_from_slice(unhandled);
            EventTypes::AllExcept(left_out)
        } else {
            EventTypes::Only(names(false))
        }
    }
}
