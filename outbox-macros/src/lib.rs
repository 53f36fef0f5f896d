//! The derive macros of `outbox-runtime`, which re-exports them. Do not depend on this crate.
//!
//! # Layout
//!
//! The modules in the order in which an input passes through them, in one direction:
//!
//! ```text
//!  tokens ─▶ attr ─▶ check ─▶ model ─▶ expand ─▶ tokens
//!              └───────┴──▶ diag: every mistake of an input is reported in one run
//! ```
//!
//! A new key of `#[outbox(..)]` is an edit in each of them, in this order, and a case in
//! `tests/ui`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod attr; // the grammar of #[outbox(..)]
mod check; // the rules between attributes
mod diag; // all errors of one input
mod expand; // the generated code
mod model; // valid input
mod parameters; // the parameters that a part of a generic input needs
mod words; // names split into words, for people and for method names

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `OutboxEntity` for a struct with named fields: every change of such an entity is
/// delivered to a remote service.
///
/// Generates the `OutboxEntity` impl, the struct `<Name>Metadata` with the payload of an event,
/// whose fields are as visible as those of the entity, and the methods `enqueue_create`,
/// `enqueue_update` and `enqueue_delete`.
///
/// `enqueue_sync` is another name for `enqueue_create`.
///
/// # On the struct
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `event_type = "moodEntry"` | the name of the type in rows and on the wire | required |
/// | `alias = ["mood_entry"]` | names that the type had before: stored events of these types are this entity's | none |
/// | `entity_id = (self.tenant, self.number)` | an id that is no field: an expression on `self`, a string, or a tuple of them | the marked field |
/// | `user_id = "shop"` | a user that is no field: a string, a constant, an expression on `self`, or a tuple of them | the marked field; without one, the call: `.for_user(..)` |
/// | `priority = 5` | higher goes first, among entities; may be negative | `0` |
/// | `display_name = "Mood"` | the name of the entity for people | the struct's name in words |
/// | `destination = self.host` | the destination of its events: an expression on `self`, a string or an `Option` of one, evaluated at enqueue | the handler set's |
/// | `max_attempts = 5` | the number of failed attempts that makes an event a dead letter | `5` |
/// | `max_snoozes = 20` | the number of snoozes after which the next one makes a dead letter | no limit |
/// | `charge = "evidence"` | which failures count: those with `evidence` against the event, or `always` all | `evidence` |
/// | `retry = ["1s", "5s", "2m"]` | the delays between attempts | the processor's |
/// | `timeout = "30s"` | the longest duration of an attempt | the processor's |
/// | `lease = "2m"` | how long a silent worker holds an event; longer than the timeout | the processor's |
/// | `order = "entity"` | which events wait for each other: those of one `entity`, of one `user`, or `none` | `entity` |
/// | `on_dead = "hold"` | whether a dead letter will `hold` back its successors, or they `skip` it | `hold` |
/// | `coalesce = "latest"` | a change replaces an older one without attempts; needs `snapshot` | off |
/// | `expires_after = "7d"` | the time after which an event is neither sent nor retried, from when it is enqueued | it never expires |
/// | `on_expiry = "dead"` | whether an expired event is a `dead` letter or `drop`ped | `dead` |
/// | `snapshot` | the whole entity is the metadata; it must be `Serialize` and `Deserialize` | off |
/// | `metadata = "MoodChange"` | the name of the metadata struct, if the default is taken | the struct's name and `Metadata` |
/// | `version = 2` | the version of the metadata's shape; raise it with every change | `1` |
/// | `upcast(1 = V1, ..)` | the type of each older version's rows; the metadata implements `From<V1>` | none |
/// | `crate = ::outbox_runtime` | the path of the runtime, for crates that re-export it | `::outbox_runtime` |
///
/// A duration is a whole number with a unit: `ms`, `s`, `m`, `h` or `d`.
///
/// The path of a constant may replace any literal: `event_type = names::MOOD`, `timeout = TIMEOUT`,
/// `retry = ["1s", SLOW]`, `order = Order::User`, `event_type = <Mood as Named>::NAME`. A constant
/// duration is a `std::time::Duration`, a constant list of them a `&'static [Duration]`.
///
/// # On fields
///
/// | `#[outbox(..)]` | meaning | how many |
/// |---|---|---|
/// | `entity_id` | the entity's id: `Uuid`, `i64`, `String`, a tuple of these, or `Into<EntityId>` | one, or none with `entity_id = ..` |
/// | `user_id` | the owner's id: a string, a `Uuid` or `AsUserId` | one, or none |
/// | `metadata` | part of the payload, written as JSON | any |
/// | `after = Journal` | the id of another entity, or an `Option` of one: each event waits until the creation of that entity was delivered | any |
/// | `sensitive` | with `metadata` or `snapshot`: hidden from `Debug` and from failure messages | any |
///
/// Of an entity without `user_id`, each change takes its user from the call, and cannot be enqueued
/// without one: `order.enqueue_create().for_user(&session.user).on(&tx)`.
///
/// A metadata field keeps its `#[serde(..)]` attributes, and a `#[serde(rename_all = "..")]` of the
/// struct applies to the metadata too, whether or not serde's own derives are on the struct.
///
/// With `sensitive` fields the derive writes `Debug` of the entity itself, without their values. A
/// `#[derive(Debug)]` beside it does not compile.
///
/// # Credentials
///
/// The lint `outbox::credentials_in_metadata` refuses ids, metadata and snapshots that contain a
/// type whose name says that it holds a secret: `SecretString`, `SecretBox`, `SecretSlice`,
/// `Secret`, `SecretVec` and `SecretBytes` of secrecy and similar crates, and `Zeroizing`, also
/// inside an `Option`, a `Vec` or a tuple. Credentials do not belong in a row: the handler takes
/// them from the session. A snapshot field with `#[serde(skip)]` is not stored and may have any
/// type.
///
/// # Parameters
///
/// The struct may have type and const parameters, with bounds and where-clauses; it may not borrow.
/// Its metadata struct has those parameters that the metadata fields use. Where the entity is
/// enqueued, each of them must be a `MetadataValue`:
/// `Serialize + DeserializeOwned + Send + Sync + 'static`.
#[proc_macro_derive(OutboxEntity, attributes(outbox, serde))]
pub fn derive_outbox_entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::outbox_entity(&input).into()
}

/// Derives the closed set of an application's events from an enum.
///
/// Each variant holds one `Event<YourEntity>`. For an enum `LumeEvent` it generates:
///
/// - `LumeEvent::EVENT_TYPES`, `LumeEvent::decode(record)` and `LumeEvent::handled_by(handler)`;
/// - `impl EventSet for LumeEvent`, which the wire lock of `outbox-testing` reads: its test fails
///   when the shape of the metadata changes without a new `version`;
/// - the trait `LumeEventHandler` with one method per variant, named after it in snake case, to be
///   implemented with plain `async fn`. A missing method does not compile;
/// - the enum `LumeEventMetadata`, the metadata of any event of the set, with `Generic` for types
///   outside of it.
///
/// Two entities of a set with one event type do not compile, nor does an alias that belongs to two.
///
/// # On the enum
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `retired("legacyType" = drop)` | types that are no longer delivered: their stored events are completed (`drop`), become dead letters (`dead`) or stay where they are (`hold`) | none |
/// | `crate = ::outbox_runtime` | the path of the runtime, for crates that re-export it | `::outbox_runtime` |
///
/// # On variants
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `batch = 100` | the handler's method gets a `Batch<Event<YourEntity>>` of at most so many events | one event |
/// | `within = "2s"` | how long a batch that is not full waits for more events, at most 60 s | it does not wait |
/// | `batch_bytes = 65_536` | the largest size of the metadata of a batch, in bytes | 1 MiB |
/// | `batch_order = "keep"` | a batch has several events of a lane, in order, and a failure holds back what follows; with `"first"`, only the first of each lane | `"first"` |
///
/// An entity with `charge = "always"` or `max_attempts = 1` cannot have batches, and one with
/// `order = "user"` only those that keep the order.
#[proc_macro_derive(OutboxEvents, attributes(outbox))]
pub fn derive_outbox_events(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::outbox_events(&input).into()
}

/// Makes a newtype an id: `struct OrderId(Uuid);`.
///
/// Generates `From<OrderId>` and `From<&OrderId>` for `EntityId`, and `AsUserId`, so that the type
/// can be the `entity_id` of an entity, its `user_id`, and a part of an id of several parts. The
/// struct has one field, whose type is an id itself; a `PhantomData` beside it does not count. To
/// be the type of an `#[outbox(entity_id)]` field it must also be `Clone`.
///
/// # On the struct
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `crate = ::outbox_runtime` | the path of the runtime, for crates that re-export it | `::outbox_runtime` |
#[proc_macro_derive(EntityId, attributes(outbox))]
pub fn derive_entity_id(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::entity_id(&input).into()
}

/// Derives the delivery class of an error, so that `?` works on it in handlers.
///
/// Generates the impl of the trait `DeliveryError`. Every variant, or the struct as a whole, has
/// exactly one class:
///
/// | `#[outbox(..)]` | the attempt | then |
/// |---|---|---|
/// | `retry` | counts | retried after the retry schedule's delay |
/// | `retry(after = wait)` | counts | the same, but no earlier than `wait` |
/// | `permanent` | counts | dead letter |
/// | `unavailable` | is given back | the destination pauses and is probed |
/// | `unavailable(after = wait)` | is given back | the same, but no earlier than `wait` |
/// | `offline` | is given back | the destination pauses and is probed |
/// | `unauthenticated` | is given back | the user's work pauses until the credentials are refreshed |
/// | `rate_limited(after = wait)` | is given back | the destination pauses for that long |
/// | `obsolete` | counts | completed: the service no longer needs it |
/// | `snooze(after = wait)` | is given back | retried after that long |
/// | `transparent` | | the class of the only field, a `DeliveryError` itself |
///
/// `wait` is a field of the same variant, `0` the first of a tuple variant. Its type is
/// `std::time::Duration`, or `Option<Duration>` for `retry` and `unavailable`.
///
/// `unavailable`, `offline` and `rate_limited` apply to the event's destination. Their parentheses
/// may change the scope:
///
/// | key | scope |
/// |---|---|
/// | `scope = "user"` | the event's user alone: `rate_limited(after = wait, scope = "user")` |
/// | `scope = "destination"` | the default |
/// | `destination = host` | the destination that the field `host` names; its type is `AsRef<str>` |
///
/// # On the type
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `crate = ::outbox_runtime` | the path of the runtime, for crates that re-export it | `::outbox_runtime` |
#[proc_macro_derive(DeliveryError, attributes(outbox))]
pub fn derive_delivery_error(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::delivery_error(&input).into()
}
