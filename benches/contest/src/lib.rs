//! The workloads of the benchmark's comparison with other queues.
//!
//! Every contestant is a program of its own: it implements [`Queue`], its `main` calls [`main`],
//! and the loops that are measured are the same code for all of them. The program takes one
//! [`Order`] as arguments and prints one line of JSON, its [`Figures`].

use std::path::Path;

use clap::Parser as _;

mod countdown; // waits until every event was handled
mod figures; // the printed line
mod mood; // the payload
mod order; // the arguments
mod run; // the measured loops
mod stopwatch; // the only module that reads the time

pub use self::countdown::Countdown;
pub use self::figures::{Figures, percentile};
pub use self::mood::Mood;
pub use self::order::{Handlers, Order, Workload};
pub use self::run::run;
pub use self::stopwatch::{Stopwatch, pause, within};

/// A queue under measurement, with its handlers.
pub trait Queue: Sized + Send + Sync + 'static {
    /// An event as an application has it, made before the measurement starts.
    type Event: Send + Sync + 'static;

    /// Running handlers.
    type Handlers: Send;

    /// Converts an event. Serializing it is part of what is measured, so it stays a value here.
    fn event(mood: Mood) -> Self::Event;

    /// Opens the queue in this directory, or the database at this address, creating what is missing,
    /// for up to `handlers` handlers at a time.
    fn open(folder: &Path, handlers: usize) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// Enqueues one event and returns once it is committed.
    fn enqueue(&self, event: Self::Event) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Enqueues events in one commit and returns once they are committed.
    fn enqueue_all(
        &self,
        events: Vec<Self::Event>,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Starts the handlers, which pass each payload, decoded, to `handle`.
    fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> impl Future<Output = anyhow::Result<Self::Handlers>> + Send;

    /// Stops the handlers and returns once their last outcome is committed.
    fn stop(&self, handlers: Self::Handlers) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Counts the events that are not completed.
    fn left(&self) -> impl Future<Output = anyhow::Result<usize>> + Send;

    /// Closes every file and connection.
    fn close(self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Body of a contestant's `main`: runs the order in the arguments and prints its figures.
///
/// # Errors
///
/// The queue fails or loses events.
pub fn main<Q: Queue>() -> anyhow::Result<()> {
    let order = Order::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(run::<Q>(&order))?;
    println!("{}", figures.to_json()?);
    Ok(())
}
