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
//! A new key of `#[outbox(..)]` is an edit in each of them, in this order, and a case in `tests/ui`.
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
mod model; // what a valid input is
mod parameters; // what a generic input passes on to a part of it
mod words; // names split into words, for people and for method names

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct with named fields an outbox entity: a thing whose every change is told to a remote service.
///
/// Generates the `OutboxEntity` impl, the struct `<Name>Metadata` of what an event carries, whose fields are as visible as those of the
/// entity, and the methods
/// `enqueue_sync`, `enqueue_update` and `enqueue_delete`.
///
/// `enqueue_create` is another name of `enqueue_sync`: both tell of an entity that is new.
///
/// # On the struct
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `event_type = "moodEntry"` | the name of the type in rows and on the wire | required |
/// | `priority = 5` | higher goes first, among entities; may be negative | `0` |
/// | `display_name = "Mood"` | what people call such an entity | the struct's name in words |
/// | `destination = self.host` | where its events are delivered to; an expression on `self`, evaluated when a change is enqueued: a string or an `Option` of one | where all events of the handler set go |
/// | `max_attempts = 5` | with how many attempts an event becomes a dead letter | `5` |
/// | `max_snoozes = 20` | how often a handler may put an event off; the next time it is a dead letter | no limit |
/// | `charge = "evidence"` | which failures count: those that there is `evidence` are the event's own, or `always` each | `evidence` |
/// | `retry = ["1s", "5s", "2m"]` | the delays between attempts | the processor's |
/// | `timeout = "30s"` | how long one attempt may take | the processor's |
/// | `lease = "2m"` | how long a worker holds an event without being heard of; longer than the timeout | the processor's |
/// | `order = "entity"` | which events wait for each other: those of one `entity`, of one `user`, or `none` | `entity` |
/// | `on_dead = "hold"` | what a dead letter means for those behind it: `hold` them back, or `skip` it | `hold` |
/// | `coalesce = "latest"` | a change takes the place of one that nobody has tried to deliver; needs `snapshot` | off |
/// | `snapshot` | the whole entity is the metadata; it must be `Serialize` and `Deserialize` | off |
/// | `metadata = "MoodChange"` | the name of the struct of what an event carries, where the module has a type of that name already | the struct's name and `Metadata` |
/// | `version = 2` | the version of the metadata's shape, to be raised with every change of it | `1` |
/// | `upcast(1 = V1, ..)` | as what rows of each older version are read; `From<V1>` makes the metadata of it | none |
/// | `crate = ::outbox_runtime` | where the runtime is, for crates that re-export it | `::outbox_runtime` |
///
/// A duration is a whole number and one of the units `ms`, `s`, `m`, `h`, `d`.
///
/// Wherever a literal stands, the path of a constant may: `event_type = names::MOOD`, `timeout = TIMEOUT`,
/// `retry = ["1s", SLOW]`, `order = Order::User`, `event_type = <Mood as Named>::NAME`. Durations are `std::time::Duration`s then, the list of them a `&'static [Duration]`.
///
/// # On fields
///
/// | `#[outbox(..)]` | meaning | how many |
/// |---|---|---|
/// | `entity_id` | which entity it is: `Uuid`, `i64`, `String` or `Into<EntityId>` | one |
/// | `user_id` | whose it is: a string, a `Uuid` or `AsUserId` | one |
/// | `metadata` | what the handler needs to know, written as JSON | any |
/// | `sensitive` | beside `metadata`, or with `snapshot`: kept out of `Debug` and of messages about failures | any |
///
/// A metadata field keeps its `#[serde(..)]` attributes, and a `#[serde(rename_all = "..")]` of the struct counts for
/// the metadata too, whether or not serde's own derives are on the struct.
///
/// With `sensitive` fields the derive writes `Debug` of the entity itself, without their values: leave it out of your own derives then.
/// A `#[derive(Debug)]` beside it does not compile.
///
/// # Credentials
///
/// The lint `outbox::credentials_in_metadata` refuses ids, metadata and snapshots with a type in them that says by its name that
/// it holds a secret: `SecretString`, `SecretBox`, `SecretSlice`, `Secret`, `SecretVec` and `SecretBytes` of secrecy and its
/// like, and `Zeroizing`, also within an `Option`, a `Vec` or a tuple. A row is no place for what opens an account: the handler takes
/// it from the session. A field of a snapshot that has `#[serde(skip)]` is not stored, and may be of any type.
///
/// # Parameters
///
/// The struct may have type and const parameters, with bounds and where-clauses; it may not borrow. Its metadata struct
/// has those parameters that the metadata fields use, and where the entity is enqueued, each of them must be a
/// `MetadataValue`: `Serialize + DeserializeOwned + Send + Sync + 'static`.
#[proc_macro_derive(OutboxEntity, attributes(outbox, serde))]
pub fn derive_outbox_entity(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::outbox_entity(&input).into()
}

/// Makes an enum the closed set of what an application sends.
///
/// Each variant holds one `Event<YourEntity>`. For an enum `LumeEvent` it generates:
///
/// - `LumeEvent::EVENT_TYPES`, `LumeEvent::decode(record)` and `LumeEvent::handled_by(handler)`;
/// - `impl EventSet for LumeEvent`, which the wire lock of `outbox-testing` reads: its test fails when the metadata's
///   shape changed without a new `version`;
/// - the trait `LumeEventHandler` with one method a variant, named after it in snake case, to be implemented with
///   plain `async fn`. A method that is left out does not compile;
/// - the enum `LumeEventMetadata`, the metadata of any event of the set, with `Generic` for types outside of it.
///
/// Two entities with one event type in a set do not compile.
///
/// # On the enum
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `crate = ::outbox_runtime` | where the runtime is, for crates that re-export it | `::outbox_runtime` |
#[proc_macro_derive(OutboxEvents, attributes(outbox))]
pub fn derive_outbox_events(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::outbox_events(&input).into()
}

/// Makes an error type say what the runtime does about it, so that `?` works on it in handlers.
///
/// Generates the impl of the trait `DeliveryError`. Every variant carries exactly one of these, and a struct as a whole:
///
/// | `#[outbox(..)]` | the attempt | then |
/// |---|---|---|
/// | `retry` | counts | again, after the retry schedule's delay |
/// | `retry(after = wait)` | counts | the same, but not before what the field `wait` says |
/// | `permanent` | counts | dead letter |
/// | `unavailable` | is given back | the destination pauses and is probed |
/// | `unavailable(after = wait)` | is given back | the same, but not before what the field `wait` says |
/// | `offline` | is given back | the destination pauses and is probed |
/// | `unauthenticated` | is given back | the user's work pauses until credentials were refreshed |
/// | `rate_limited(after = wait)` | is given back | the destination pauses for that long |
/// | `obsolete` | counts | completed: the remote service does not want it any more |
/// | `snooze(after = wait)` | is given back | again after that long |
/// | `transparent` | | what the only field says, which is a `DeliveryError` itself |
///
/// `wait` is a field of the same variant, `0` the first of a tuple variant; its type is `std::time::Duration`, and may
/// be `Option<Duration>` for `retry` and `unavailable`.
///
/// `unavailable`, `offline` and `rate_limited` are about the event's destination. In their parentheses stands whom they are
/// about instead:
///
/// | | |
/// |---|---|
/// | `scope = "user"` | the event's user alone: `rate_limited(after = wait, scope = "user")` |
/// | `scope = "destination"` | the default |
/// | `destination = host` | another destination than the event's, which the field `host` names; its type is `AsRef<str>` |
///
/// # On the type
///
/// | `#[outbox(..)]` | meaning | default |
/// |---|---|---|
/// | `crate = ::outbox_runtime` | where the runtime is, for crates that re-export it | `::outbox_runtime` |
#[proc_macro_derive(DeliveryError, attributes(outbox))]
pub fn derive_delivery_error(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::delivery_error(&input).into()
}
