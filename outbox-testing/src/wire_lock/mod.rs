//! The wire lock: a test that the shape of metadata changes only together with its version.
//!
//! Rows outlive the program that wrote them. A field that is renamed today makes dead letters of what a device enqueued
//! yesterday, and no compiler sees it. `outbox.lock`, a file beside `Cargo.toml` that is checked in, has the shape of
//! each event's metadata by set and version, and one test compares:
//!
//! ```
//! use outbox_runtime::prelude::*;
//! # #[derive(OutboxEntity)]
//! # #[outbox(event_type = "moodEntry")]
//! # struct MoodEntry { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] valence: f64 }
//!
//! #[derive(OutboxEvents)]
//! enum LumeEvent {
//!     MoodEntry(Event<MoodEntry>),
//! }
//!
//! fn the_wire_stays_as_it_is() {
//!     outbox_testing::assert_wire_lock::<LumeEvent>(); // in a #[test]
//! }
//! ```
//!
//! Where a shape changed and its version did not, the test fails and says in what:
//!
//! ```text
//! moodEntry v2: labels[]: string → integer(i64)
//! ```
//!
//! `OUTBOX_LOCK=update cargo test` writes the file. Several sets, and several tests at once, share one; each
//! set has its own entries. A set that was renamed or moved takes its entries along with the next update.
//!
//! [`check`] and [`update`] do the same with a [`WireLockError`] instead of a panic, and in any folder.
//!
//! Beside the shapes the file has what keeps the events of a type in order: its `order`, and what
//! its ids are (UUIDs, integers, texts). Where one of these changed, the test says what that means
//! for rows that wait, and an update accepts it.
//!
//! # What is not seen
//!
//! A shape is found from what `Deserialize` asks for, without any code of its own for a type. So it does not tell
//!
//! - how a type is written, where that differs from how it is read: `skip_serializing_if`, `rename(serialize = ..)`, a
//!   `Serialize` by hand;
//! - what is inside of a value that its type looks at before it decides: `serde_json::Value`, untagged enums, the content
//!   of enums that are tagged by a field, and what `#[serde(flatten)]` brings in. Of these only the kinds of JSON that
//!   are taken are compared (`any(integer|string)`), the tag with the names of the variants, and the fields that are
//!   missed;
//! - rules within a form: strings are told apart as any text, UUID, date-time, date, time, decimal number, integer, URL
//!   and IP address, and everything else is `constrained`; ranges of numbers, lengths of lists and unknown fields that
//!   are refused are not seen;
//! - whether a field may be absent, where the others are not to be had (`constrained` ones and those of recursive types):
//!   an `Option` counts as one that may, everything else as one that may not;
//! - that a name of a variant is an alias: it counts as a variant;
//! - what an id is that serde does not read: of such a type the name alone is compared; nor what
//!   the ids of an entity are that is written by hand, unless it says so with
//!   [`inspect_id_type`](outbox_runtime::OutboxEntity::inspect_id_type).
//!
//! What stands behind the key of a map or an element of a tuple that takes none of the samples is not seen at all. [`EventShapes::unseen`]
//! has the paths, and the assertion prints them as warnings.
//!
//! A set whose variants depend on features has one file, so that its test is to be run with those that are released.

mod difference; // where two shapes differ
mod error; // what a check finds
mod event; // the shapes of an event, by version
mod explore; // from what a type asks for to its shape
mod file; // outbox.lock
mod id_type; // what ids are
mod lock; // a set of events against the file
mod probe; // which values a type takes
mod shape; // what metadata looks like
mod trace; // what a type asks for

pub use self::difference::Difference;
pub use self::error::{Finding, WireLockError};
pub use self::event::EventShapes;
pub use self::id_type::EntityIdType;
pub use self::lock::{FILE_NAME, assert_in, assert_wire_lock, check, check_or_update, update};
pub use self::shape::Shape;
