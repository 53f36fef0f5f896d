//! # outbox-runtime
//!
//! A typed transactional outbox: every local change reaches the remote service, in order per
//! entity, however often the network, the process or the service fails.
//!
//! An application saves an entity and enqueues an event about the change **in one transaction of
//! its own database**. A [`Processor`] delivers the events in the background, with leases, retries
//! and dead letters, and sends each under one idempotency key. It is made for offline-first apps on
//! the desktop, mobile and the edge, and for services that need an outbox next to their tables.
//!
//! # Highlights
//!
//! 1. **Atomic**: an event exists if and only if the transaction that enqueued it committed.
//!
//! 2. **At least once, under one key**: every attempt carries the same idempotency key, and an
//!    event is completed only if its handler succeeded under a valid lease. (With coalescing, a
//!    create and a delete may cancel out before either is sent.)
//!
//! 3. **In order per user and entity**, whatever the priorities. A poisoned entity never blocks
//!    another, and a processor that serves all users gives each of them a turn.
//!
//! 4. **Outages create no dead letters**: while nothing gets through, failed attempts are given
//!    back, and a circuit breaker sends one probe at a time.
//!
//! 5. **Checked by the compiler**: derives generate the events and their handler trait. A missing
//!    handler, or an error without a delivery class, does not compile.
//!
//! 6. **Observable**: [`Running::explain`] tells what an entity waits for, and [`DeadLetters`]
//!    lists, exports, retries and discards the events that were given up.
//!
//! 7. **Never idle-spinning**: no query runs while there is nothing to do.
//!
//! # Examples
//!
//! Annotate a type, register a handler and enqueue a change:
//!
//! ```
//! use outbox_runtime::prelude::*;
//!
//! #[derive(OutboxEntity)]
//! #[outbox(event_type = "goal", priority = 5)]
//! struct Goal {
//!     #[outbox(entity_id)]
//!     id: i64,
//!     #[outbox(user_id)]
//!     user_id: String,
//!     #[outbox(metadata)]
//!     title: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new(); // or SqliteStore::open("app.db").await?
//! let running = Processor::builder(store.clone())
//!     .handle::<Goal>(|event| async move {
//!         println!("PUT {:?}, key {}", event.metadata().title, event.idempotency_key());
//!         Ok(())
//!     })
//!     .build()?
//!     .start("user-1");
//!
//! let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
//! goal.enqueue_create().on(&store).await?;
//! assert!(running.flush(7, std::time::Duration::from_secs(5)).await?.is_delivered());
//! running.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Your transaction
//!
//! Save the entity and enqueue its event together: both are committed, or neither.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use outbox_runtime::prelude::*;
//! # #[derive(OutboxEntity)]
//! # #[outbox(event_type = "goal")]
//! # struct Goal {
//! #     #[outbox(entity_id)]
//! #     id: i64,
//! #     #[outbox(user_id)]
//! #     user_id: String,
//! #     #[outbox(metadata)]
//! #     title: String,
//! # }
//! # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
//! # let store = SqliteStore::open_in_memory().await?;
//! # store
//! #     .transaction(|tx| Ok(tx.execute_batch("CREATE TABLE goal (id INTEGER, title TEXT)")?))
//! #     .await?;
//! store
//!     .transaction(move |tx| {
//!         tx.execute("INSERT INTO goal VALUES (?1, ?2)", (goal.id, &goal.title))?;
//!         Ok(goal.enqueue_create().on(tx)?)
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! An application with a connection of its own passes its `rusqlite` transaction, savepoint or
//! connection to [`Enqueue::on`] instead. `outbox-sqlx` makes it take transactions of sqlx, and
//! `outbox-diesel` connections of diesel: name the package once, as in `use outbox_sqlx as _;`. The
//! guide has [sea-orm and pools][drivers], and [an axum service][axum]. For another driver,
//! implement [`EventSink`].
//!
//! # Answers of a handler
//!
//! A handler that fails also says what to do about it: retry, give up, wait for the network or for
//! new credentials, pause for a rate limit. See [`HandlerError`] for all answers, and
//! [`derive(DeliveryError)`](macro@DeliveryError) to classify your own error type.
//!
//! ```
//! use std::time::Duration;
//! use outbox_runtime::HandlerError;
//!
//! fn classify(status: u16) -> Result<(), HandlerError> {
//!     match status {
//!         200..=299 => Ok(()),
//!         401 => Err(HandlerError::unauthenticated()),
//!         429 => Err(HandlerError::rate_limited(Duration::from_secs(30))),
//!         502..=504 => Err(HandlerError::unavailable(format!("HTTP {status}"))),
//!         500..=599 => Err(HandlerError::retry(format!("HTTP {status}"))),
//!         _ => Err(HandlerError::permanent(format!("HTTP {status}"))),
//!     }
//! }
//! # assert!(classify(503).is_err());
//! ```
//!
//! # Available stores
//!
//! * SQLite: `SqliteStore`, in the file that holds the application's own tables
//! * PostgreSQL: `PostgresStore` in the crate `outbox-postgres`, for many workers on many machines
//! * Memory: [`MemoryStore`], for tests
//! * Your own: implement [`OutboxRepository`]; `outbox_testing::conformance!` tests it
//!
//! # Features
//!
//! | feature | default | enables |
//! |---|---|---|
//! | `sqlite` | yes | `SqliteStore`, and enqueueing on a `rusqlite` connection |
//! | `bundled` | yes | builds SQLite instead of linking the system's (3.51.3 or newer) |
//! | `http` | no | the module `http`: the meaning of HTTP responses for deliveries |
//! | `reqwest` | no | `?` on `reqwest::Error`, and sending with reqwest; enables `http` |
//! | `metrics` | no | counters, histograms and gauges through the facade of the crate `metrics` |
//! | `opentelemetry` | no | traces: enqueueing takes the current span's context, and deliveries continue its trace |
//! | `pace` | no | `ProcessorBuilder::pace`: how often a call to a destination may begin |
//! | `testing` | no | checks that enqueued metadata can be read back, as debug builds do |
//!
//! # Where to find what
//!
//! | task | API |
//! |---|---|
//! | annotate a type | [`derive(OutboxEntity)`](macro@OutboxEntity) |
//! | define the set of all events | [`derive(OutboxEvents)`](macro@OutboxEvents) |
//! | enqueue | `enqueue_create`, `enqueue_update`, `enqueue_delete`; [`Enqueue::on`] |
//! | enqueue a batch | [`enqueue_all`] |
//! | deliver | [`Processor`], [`Running`] |
//! | save what the service answered in the commit that completes the event | [`OutboxEvent::complete_on`] |
//! | classify a failure | [`HandlerError`], [`derive(DeliveryError)`](macro@DeliveryError) |
//! | change the metadata of an entity | `version` and `upcast` of the derive |
//! | rename or retire an event type | `alias` of the derive, `retired` of the set; [`Running::unhandled_types`] |
//! | identify an entity by several values | a tuple, [`EntityId::composite`](enum@EntityId); [`derive(EntityId)`](macro@EntityId) |
//! | monitor | [`OutboxStatistics`], [`Running::health`], [`Running::explain`], [`Running::outcomes`] |
//! | replace what waits, cancel, let events expire | [`Enqueue::key`], [`Cancel`], [`Enqueue::expires_at`] |
//! | give events headers | [`Enqueue::header`], [`OutboxEvent::headers`] |
//! | send events on to a broker | [`OutboxEvent::cloud_event`] |
//! | trace from the request to the delivery | [`TraceContext`], [`Enqueue::trace_context`] |
//! | hold events back | [`Pause`], [`OutboxRepository::pause`] |
//! | clean up | [`DeadLetters`] |
//!
//! Related crates: `outbox-testing` has a manual clock, fault injection, the store conformance
//! suite and the wire lock, which detects an unversioned change of metadata. `outbox-postgres` is
//! the store on PostgreSQL; `outbox-sqlx` and `outbox-diesel` enqueue in transactions of these
//! libraries. `outbox-cli` is the command `outbox`, and `outbox-console` the same in a browser.
//! `outbox-import` migrates Core Data, SwiftData and plain-table outboxes.
//!
//! # Guide
//!
//! [The guide](https://docs.rs/outbox-guide) has its code compiled and run with all other tests:
//!
//! | page | subject |
//! |---|---|
//! | [start] | a first outbox, over HTTP |
//! | [network] | what happens when the network fails |
//! | [lanes] | events, lanes and order |
//! | [idempotency] | what the service must do |
//! | [outages] | whose fault a failure is |
//! | [drivers] | sqlx, diesel, sea-orm, and pools of rusqlite |
//! | [axum] | an axum service on sqlx |
//! | [testing] | testing an application |
//! | [operating] | one user's changes are not sent; pauses, processes, health |
//! | [waits] | what an event waits for |
//! | [watching] | outcomes, metrics, traces and logs |
//! | [tools] | the command, the console and the metrics |
//! | [settings] | every setting with its default |
//! | [errors] | every error with cause and cure |
//! | [all pages] | tasks, references, and pages for those who come from another outbox |
//!
//! [start]: https://docs.rs/outbox-guide/latest/outbox_guide/start/
//! [network]: https://docs.rs/outbox-guide/latest/outbox_guide/network/
//! [lanes]: https://docs.rs/outbox-guide/latest/outbox_guide/lanes/
//! [idempotency]: https://docs.rs/outbox-guide/latest/outbox_guide/idempotency/
//! [outages]: https://docs.rs/outbox-guide/latest/outbox_guide/outages/
//! [drivers]: https://docs.rs/outbox-guide/latest/outbox_guide/drivers/
//! [axum]: https://docs.rs/outbox-guide/latest/outbox_guide/axum/
//! [testing]: https://docs.rs/outbox-guide/latest/outbox_guide/testing/
//! [operating]: https://docs.rs/outbox-guide/latest/outbox_guide/operating/
//! [waits]: https://docs.rs/outbox-guide/latest/outbox_guide/waits/
//! [watching]: https://docs.rs/outbox-guide/latest/outbox_guide/watching/
//! [tools]: https://docs.rs/outbox-guide/latest/outbox_guide/tools/
//! [settings]: https://docs.rs/outbox-guide/latest/outbox_guide/settings/
//! [errors]: https://docs.rs/outbox-guide/latest/outbox_guide/errors/
//! [all pages]: https://docs.rs/outbox-guide
//!
//! # How an event flows
//!
//! ```text
//!  your struct ── entity ── metadata ── enqueue ──▶ [ your transaction ]
//!                                                          │
//!                                                        event
//!                                                          ▼
//!                 statistics ◀──────────────────────── repository ◀── store: memory, sqlite
//!                                                          │ claim          ▲
//!                                                          ▼                │ settle
//!                                                      processor ──▶ handler ──▶ outcome
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

// The domain, in the order of the data flow.
mod cancellation; // taking back changes that were not claimed
mod claim; // a worker's lease on an event
mod completion; // an event completed in a transaction of its handler
mod enqueue; // from an entity to an event in a transaction
mod entity; // application types whose changes are delivered
mod event; // a row of the outbox as a value
mod handler; // delivery code of the application, and its answers
mod headers; // names and values beside the metadata
mod history; // past attempts of an event
mod metadata; // the typed payload of an event
mod outage; // open circuit breakers
mod outcome; // the state machine of an event
mod pause; // events held back by an operator
mod presence; // the processes that work on a store
mod repository; // the contract of a store
mod statistics; // counts and explanations
mod trace; // the trace that an event belongs to

// The machinery.
mod cloud_event; // the envelope for relays
mod dead_letters; // listing, retrying and discarding
mod processor; // from a claim to an outcome
pub mod store; // memory, SQLite, and the items for authors of stores

// Shared by all.
mod cancel; // a one-shot cancellation flag
mod clock;
mod error;
mod fnv; // hashes that stores keep
mod meter; // metrics
mod redaction; // removal of sensitive values from messages
mod retry; // the back-off between attempts
mod waiting; // deadlock prevention inside a store's transaction
mod wire; // the serde form of an event

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;

pub use crate::cancellation::{Cancel, Canceled};
pub use crate::clock::Clock;
pub use crate::cloud_event::{AttributeValue, CloudEvent, CloudEventError, HttpContent};
pub use crate::completion::{CompletionSink, SupersedingSink};
pub use crate::dead_letters::{DeadLetters, Discard, ExportError};
pub use crate::enqueue::{Enqueue, Enqueued, EventSink, Expiry, NewEvent, OnSameKey, enqueue_all};
pub use crate::entity::{
    Charge, Coalesce, EntityId, OnDead, OnExpiry, Order, OutboxEntity, Parent,
};
pub use crate::error::{
    BuildError, CompleteError, EnqueueError, StoreError, StoreErrorKind, TransactionError,
};
pub use crate::event::{
    DeadReason, Event, Operation, OutboxEvent, OutboxStatus, Refusal, RefusalClass,
};
pub use crate::handler::{
    Answer, AnswerClass, Batch, BatchOrder, Batching, Delivery, DeliveryError, HandlerError,
    HandlerResult, HandlerSet, Layer, Next, NextBatch, OutboxEventHandler, Scope,
};
pub use crate::headers::{Headers, HeadersError};
pub use crate::history::{AttemptOutcome, PastAttempt};
pub use crate::metadata::{DecodeError, RawMetadata};
pub use crate::outage::{Outage, OutageExtent};
pub use crate::pause::{Pause, PauseScope, Paused};
#[cfg(feature = "pace")]
pub use crate::processor::Pace;
pub use crate::processor::{
    EventRef, Flushed, Health, Outcomes, Processor, ProcessorBuilder, Rejections, RunOutcome,
    Running, SignOut, SignedOut, Stopped, Trouble, TroubleKind, UnhandledTypes,
};
pub use crate::repository::{EventFilter, OutboxRepository};
pub use crate::retry::RetryPolicy;
pub use crate::statistics::{
    Breakdown, Explanation, OutboxStatistics, TypeCounts, UserCounts, WaitsFor,
};
pub use crate::store::MemoryStore;
#[cfg(feature = "sqlite")]
pub use crate::store::{Durability, SqliteStore};
pub use crate::trace::{TraceContext, TraceContextError};
/// For implementing [`OutboxEventHandler`] and [`OutboxRepository`].
pub use async_trait::async_trait;
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::prelude::*;
///
/// #[derive(Debug, thiserror::Error, DeliveryError)]
/// enum SyncError {
///     #[error("no connection")]
///     #[outbox(offline)]
///     NoConnection,
///     #[error("slow down")]
///     #[outbox(rate_limited(after = wait))]
///     Throttled { wait: Duration },
///     #[error("server said {0}")]
///     #[outbox(retry)]
///     Server(u16),
///     #[error("rejected: {0}")]
///     #[outbox(permanent)]
///     Rejected(String),
///     #[error(transparent)]
///     #[outbox(transparent)]
///     Login(#[from] LoginError),
/// }
///
/// #[derive(Debug, thiserror::Error, DeliveryError)]
/// #[error("logged out")]
/// #[outbox(unauthenticated)]
/// struct LoginError;
///
/// fn log_in() -> Result<(), LoginError> {
///     Err(LoginError)
/// }
///
/// fn send() -> Result<(), SyncError> {
///     Ok(log_in()?)
/// }
///
/// async fn handler() -> Result<(), HandlerError> {
///     Ok(send()?)
/// }
///
/// # use outbox_runtime::Delivery;
/// assert_eq!(send().unwrap_err().delivery(), Delivery::Unauthenticated);
/// ```
///
/// A variant without a delivery class does not compile:
///
/// ```compile_fail
/// #[derive(Debug, thiserror::Error, outbox_runtime::DeliveryError)]
/// enum SyncError {
///     #[error("server said {0}")]
///     Server(u16), // error: `Server` has no delivery class
/// }
/// ```
pub use outbox_macros::DeliveryError;
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use uuid::Uuid;
///
/// #[derive(Clone, EntityId)]
/// struct OrderId(Uuid);
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "orderLine", entity_id = (self.order, self.line))]
/// struct OrderLine {
///     order: OrderId,
///     line: u32,
///     #[outbox(user_id)]
///     tenant: String,
/// }
///
/// let line = OrderLine { order: OrderId(Uuid::nil()), line: 2, tenant: "acme".into() };
/// let event = line.enqueue_create().into_event()?;
/// assert_eq!(event.entity_id().to_string(), "00000000-0000-0000-0000-000000000000:2");
/// # Ok::<(), EnqueueError>(())
/// ```
pub use outbox_macros::EntityId;
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "moodEntry", priority = 5, retry = ["1s", "30s", "10m"], timeout = "20s")]
/// pub struct MoodEntry {
///     #[outbox(entity_id)]
///     pub id: i64,
///     #[outbox(user_id)]
///     pub user_id: String,
///     #[outbox(metadata)]
///     pub valence: f64,
///     pub notes: Option<String>, // stays on this device
/// }
///
/// let mood = MoodEntry { id: 7, user_id: "user-1".into(), valence: 0.5, notes: None };
/// let event = mood.enqueue_update().priority(9).into_event()?;
/// assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"valence":0.5}"#));
/// let metadata = MoodEntryMetadata { valence: 0.5 }; // the type that a handler receives
/// # drop(metadata);
/// # Ok::<(), EnqueueError>(())
/// ```
///
/// If the shape of the metadata changes, increment the version and keep the struct of each older
/// version:
///
/// ```
/// use outbox_runtime::prelude::*;
///
/// #[derive(serde::Deserialize)]
/// struct GoalMetadataV1 {
///     name: String,
/// }
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal", version = 2, upcast(1 = GoalMetadataV1))]
/// pub struct Goal {
///     #[outbox(entity_id)]
///     pub id: i64,
///     #[outbox(user_id)]
///     pub user_id: String,
///     #[outbox(metadata)]
///     pub title: String,
///     #[outbox(metadata)]
///     pub target: Option<f64>,
/// }
///
/// impl From<GoalMetadataV1> for GoalMetadata {
///     fn from(old: GoalMetadataV1) -> Self {
///         Self { title: old.name, target: None }
///     }
/// }
/// ```
///
/// The guide: [attributes](https://docs.rs/outbox-guide/latest/outbox_guide/attributes/).
pub use outbox_macros::OutboxEntity;
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # pub struct MoodEntry {
/// #     #[outbox(entity_id)]
/// #     pub id: i64,
/// #     #[outbox(user_id)]
/// #     pub user_id: String,
/// # }
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # pub struct Goal {
/// #     #[outbox(entity_id)]
/// #     pub id: i64,
/// #     #[outbox(user_id)]
/// #     pub user_id: String,
/// # }
///
/// #[derive(OutboxEvents)]
/// pub enum LumeEvent {
///     MoodEntry(Event<MoodEntry>),
///     Goal(Event<Goal>),
/// }
///
/// struct LumeSync;
///
/// impl LumeEventHandler for LumeSync {
///     async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
///         println!("sending mood {}", event.entity_id);
///         Ok(())
///     }
///
///     async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
///         println!("sending goal {}", event.entity_id);
///         Ok(())
///     }
/// }
///
/// assert_eq!(LumeEvent::EVENT_TYPES, ["moodEntry", "goal"]);
/// let handlers = LumeEvent::handled_by(LumeSync);
/// assert!(handlers.can_handle("goal"));
/// ```
///
/// The guide: [attributes](https://docs.rs/outbox-guide/latest/outbox_guide/attributes/).
pub use outbox_macros::OutboxEvents;
/// The driver of [`SqliteStore`], re-exported for applications that do not depend on it directly.
#[cfg(feature = "sqlite")]
pub use rusqlite;

#[cfg(feature = "http")]
pub mod http;
pub mod support; // what the derives implement, and what signatures mention

/// The imports of an application that uses the derives.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "moodEntry")]
/// struct MoodEntry {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
/// ```
pub mod prelude {
    #[cfg(feature = "pace")]
    pub use crate::Pace;
    #[cfg(feature = "sqlite")]
    pub use crate::SqliteStore;
    // For its methods, such as `clock`; its name is `store::OutboxQueue`.
    pub use crate::store::OutboxQueue as _;
    pub use crate::{
        Batch, Coalesce, DeliveryError, Enqueue, EnqueueError, EntityId, Event, EventSink,
        HandlerError, HandlerResult, Layer, MemoryStore, Next, OnDead, Operation, Order,
        OutboxEntity, OutboxEvent, OutboxEventHandler, OutboxEvents, OutboxRepository,
        OutboxStatistics, OutboxStatus, Processor, Running, async_trait,
    };
}

// The README's code compiles and runs.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;
