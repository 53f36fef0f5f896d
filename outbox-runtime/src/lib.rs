//! A typed outbox: every local change reaches the remote service, in order, however often the network, the process
//! or the service fails.
//!
//! An app saves an entity and enqueues the event of its change **in one transaction of its own database**. A
//! [`Processor`] delivers the events: by priority, in order per entity, under one idempotency key, with leases, retries and
//! dead letters.
//!
//! # Examples
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
//!         println!("sending {:?}", event.metadata().title);
//!         Ok(())
//!     })
//!     .build()?
//!     .start("user-1");
//!
//! let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
//! goal.enqueue_sync().on(&store).await?;
//! assert!(running.flush(7, std::time::Duration::from_secs(5)).await?.is_delivered());
//! running.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! The modules in the order in which an event flows through them:
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
//!
//! | to | use |
//! |---|---|
//! | annotate what is sent | [`derive(OutboxEntity)`](macro@OutboxEntity), [`derive(OutboxEvents)`](macro@OutboxEvents) |
//! | enqueue | `enqueue_create`, `enqueue_update`, `enqueue_delete` and [`Enqueue::on`]: a store, or your own connection; [`enqueue_all`]: many at once |
//! | store | `SqliteStore` (feature `sqlite`), [`MemoryStore`], or anything that is an [`OutboxRepository`] |
//! | deliver | [`Processor`], and a [`Running`] handle |
//! | answer | [`HandlerError`]: what to do about a delivery that failed; [`derive(DeliveryError)`](macro@DeliveryError) |
//! | change what events carry | `version` and `upcast` of the derive, and the wire lock of `outbox-testing` that reminds of them |
//! | look | [`OutboxStatistics`], [`Running::explain`], [`OutboxRepository`]'s listings |
//! | move in from another outbox | the crate `outbox-import`: Core Data and SwiftData stores, plain tables |
//! | tidy up | [`DeadLetters`]: list, export, try again, discard |
#![cfg_attr(docsrs, feature(doc_cfg))]

// The nouns, in the order of the data's flow.
mod claim; // one worker's hold on one event
mod enqueue; // the door in: an event on its way into a transaction
mod entity; // a thing whose every change must be told
mod event; // the event, a row as a value
mod handler; // who delivers, and what they may answer
mod metadata; // what an event carries, typed
mod outage; // what is not sent because nobody gets through
mod outcome; // what becomes of an attempt: the state machine
mod repository; // what every store promises
mod statistics; // what is in the outbox, and why

// The machinery.
mod dead_letters; // what was given up
mod processor; // carries a row from claim to outcome
pub mod store; // memory, SQLite; what authors of stores need

// What all of them use.
mod cancel; // a flag that is set once
mod clock;
mod error;
mod fnv; // hashes that stores keep
mod redaction; // what nobody is to see
mod retry;
mod waiting; // where nobody may wait
mod wire; // the serde form of an event

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;

pub use crate::clock::Clock;
pub use crate::dead_letters::{DeadLetters, Discard, ExportError};
pub use crate::enqueue::{Enqueue, Enqueued, EventSink, NewEvent, enqueue_all};
pub use crate::entity::{Charge, Coalesce, EntityId, OnDead, Order, OutboxEntity};
pub use crate::error::{BuildError, EnqueueError, StoreError, StoreErrorKind, TransactionError};
pub use crate::event::{
    DeadReason, Event, Operation, OutboxEvent, OutboxStatus, Refusal, RefusalClass,
};
pub use crate::handler::{
    Delivery, DeliveryError, HandlerError, HandlerResult, HandlerSet, OutboxEventHandler, Scope,
};
pub use crate::metadata::{DecodeError, RawMetadata};
pub use crate::outage::{Outage, OutageExtent};
pub use crate::processor::{
    EventRef, Flushed, Health, Processor, ProcessorBuilder, Rejections, Running, SignOut,
    SignedOut, Stopped, Trouble, TroubleKind,
};
pub use crate::repository::OutboxRepository;
pub use crate::retry::RetryPolicy;
pub use crate::statistics::{Explanation, OutboxStatistics, WaitsFor};
pub use crate::store::MemoryStore;
#[cfg(feature = "sqlite")]
pub use crate::store::{Durability, SqliteStore};
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
/// A variant that does not say what to do does not compile:
///
/// ```compile_fail
/// #[derive(Debug, thiserror::Error, outbox_runtime::DeliveryError)]
/// enum SyncError {
///     #[error("server said {0}")]
///     Server(u16), // `Server` does not say what to do about a delivery that failed so
/// }
/// ```
pub use outbox_macros::DeliveryError;
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
/// let metadata = MoodEntryMetadata { valence: 0.5 }; // what a handler gets
/// # drop(metadata);
/// # Ok::<(), EnqueueError>(())
/// ```
///
/// Metadata that changes its shape gets the next version, and keeps the struct of each version before:
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
pub use outbox_macros::OutboxEntity;
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)] #[outbox(event_type = "moodEntry")]
/// # pub struct MoodEntry { #[outbox(entity_id)] pub id: i64, #[outbox(user_id)] pub user_id: String }
/// # #[derive(OutboxEntity)] #[outbox(event_type = "goal")]
/// # pub struct Goal { #[outbox(entity_id)] pub id: i64, #[outbox(user_id)] pub user_id: String }
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
pub use outbox_macros::OutboxEvents;
/// The driver of [`SqliteStore`], for applications that have no version of their own.
#[cfg(feature = "sqlite")]
pub use rusqlite;

#[cfg(feature = "http")]
pub mod http;
pub mod support; // what the derives implement, and what signatures mention

/// What an application that uses the derives needs in scope.
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
    #[cfg(feature = "sqlite")]
    pub use crate::SqliteStore;
    // For its methods, such as `clock`; its name is `store::OutboxQueue`.
    pub use crate::store::OutboxQueue as _;
    pub use crate::{
        Coalesce, DeliveryError, Enqueue, EnqueueError, EntityId, Event, EventSink, HandlerError,
        HandlerResult, MemoryStore, OnDead, Operation, Order, OutboxEntity, OutboxEvent,
        OutboxEventHandler, OutboxEvents, OutboxRepository, OutboxStatistics, OutboxStatus,
        Processor, Running, async_trait,
    };
}

/// The README's code compiles and runs.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/field-types.md")]
struct FieldTypes;

/// So does that of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/credentials.md")]
struct Credentials;

#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../../docs/guide/http.md")]
struct Http;
