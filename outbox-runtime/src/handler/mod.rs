//! Handlers, and the routing of events to them.

mod answer; // a handler's answer
mod answer_class; // the same as layers see it
mod batch; // several events for one call
mod batching; // how many, and how long they are gathered
mod delivery_error; // errors of applications as answers
pub(crate) mod derived; // the runtime part of #[derive(DeliveryError)]
mod function; // functions as handlers
mod layer; // code around every attempt
mod routes; // the handler of each entity of a set
mod set; // typed handlers
mod untyped; // handlers of untyped events

pub use self::answer::{Delivery, HandlerError, Scope};
pub use self::answer_class::{Answer, AnswerClass};
pub(crate) use self::batch::{Answers, NO_ANSWER};
pub use self::batch::{Batch, BatchHandlerFn};
pub use self::batching::{BatchOrder, Batching};
pub use self::delivery_error::{DeliveryError, HandlerResult};
pub use self::function::HandlerFn;
pub(crate) use self::layer::Layered;
pub use self::layer::{Layer, Next, NextBatch};
pub use self::set::{HandlerSet, IntoHandlerSet, SharedHandlers};
pub use self::untyped::OutboxEventHandler;
