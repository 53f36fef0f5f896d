//! For tests of an application: what is enqueued, and what its handlers do with it.

mod drain; // a run until nothing is left to do
mod enqueued; // the events of a type
mod error;
mod idle; // until a run has nothing to do at this time
mod inline; // enqueueing that returns after the delivery
mod listing; // the events of a store, as lines for people
mod look; // what the events of a run wait for, and each change of that
mod macros; // `assert_enqueued!` and `refute_enqueued!`
mod once; // a run that makes one attempt
mod perform; // one attempt without a store of the test's
mod perform_batch; // the same of several events together
mod report; // what a run did, and what is left to do
mod search; // which events are as wanted
mod shown; // metadata without sensitive values
mod wanted; // a description of events

pub use self::drain::{drain, run_until_failed};
pub use self::enqueued::enqueued;
pub use self::error::KitError;
pub(crate) use self::idle::until_idle;
pub use self::inline::Inline;
pub use self::perform::{Change, HandlerAnswer, Performed, perform, perform_with};
pub use self::perform_batch::{perform_batch, perform_batch_with};
pub use self::report::{Drained, Waiting};
pub use self::search::Search;
pub use self::wanted::Wanted;
