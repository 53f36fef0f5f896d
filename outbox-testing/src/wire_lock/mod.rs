//! The wire lock: a test that the shape of metadata changes only together with its version.
//!
//! Rows outlive the program that wrote them. Renaming a field today turns events that a device
//! enqueued yesterday into dead letters, and no compiler notices. The file `outbox.lock`, checked
//! in beside `Cargo.toml`, records the shape of each event's metadata by set and version, and one
//! test compares it:
//!
//! ```
//! use outbox_runtime::prelude::*;
//! # #[derive(OutboxEntity)]
//! # #[outbox(event_type = "moodEntry")]
//! # struct MoodEntry {
//! #     #[outbox(entity_id)] id: i64,
//! #     #[outbox(user_id)] user_id: String,
//! #     #[outbox(metadata)] valence: f64,
//! # }
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
//! If a shape changed without its version, the test fails and names the difference:
//!
//! ```text
//! moodEntry v2: labels[]: string → integer(i64)
//! ```
//!
//! `OUTBOX_LOCK=update cargo test` writes the file. Several sets, and several tests running at
//! once, share one file; each set has its own entries. When a set was renamed or moved, the next
//! update moves its entries along.
//!
//! [`check`] and [`update`] do the same in any folder, and return a [`WireLockError`] instead of
//! panicking.
//!
//! Besides the shapes, the file records what determines the order of a type's events: its `order`,
//! and the type of its ids (UUIDs, integers, texts). If one of these changed, the test explains the
//! effect on waiting rows, and an update accepts the change.
//!
//! A renamed event type keeps its entry: rows of an alias are read as the entity that has it, so
//! its shapes must stay those of the entry until the version is raised. A retired type keeps its
//! entry, too. If the alias or the retirement is removed later, the test reports the type.
//!
//! # Limitations
//!
//! A shape is derived from the requests of `Deserialize`, without any code specific to the type.
//! Therefore it does not show
//!
//! - how a type is written, if that differs from how it is read: `skip_serializing_if`,
//!   `rename(serialize = ..)`, a manual `Serialize`;
//! - the inside of values that their type inspects before it decides: `serde_json::Value`, untagged
//!   enums, the content of enums that are tagged by a field, and the fields that
//!   `#[serde(flatten)]` brings in. Only the accepted JSON kinds (`any(integer|string)`), the tag
//!   with the names of the variants, and the missing fields are compared for these;
//! - rules within a form: strings are classified as any text, UUID, date-time, date, time, decimal
//!   number, integer, URL or IP address, and everything else is `constrained`; ranges of numbers,
//!   lengths of lists and rejected unknown fields are not shown;
//! - whether a field may be absent, if no sample of the other fields is accepted (`constrained`
//!   fields and fields of recursive types): an `Option` counts as optional, everything else as
//!   required;
//! - that a name of a variant is an alias: it counts as a variant;
//! - the type of an id that serde cannot read: only the type's name is compared; nor the id type of
//!   a manually written entity, unless it implements
//!   [`inspect_id_type`](outbox_runtime::OutboxEntity::inspect_id_type).
//!
//! Values behind a map key or a tuple element that accepts none of the samples are not shown at
//! all. [`EventShapes::unseen`] lists their paths, and the assertion prints them as warnings.
//!
//! If a set's variants depend on features, there is still one file: run its test with the features
//! that are released.

mod compare; // the events of a set and those of the file
mod difference; // differences between two shapes
mod error; // findings and errors of a check
mod event; // the shapes of an event, by version
mod explore; // deriving the shape of a type
mod file; // outbox.lock
mod id_type; // the type of an entity's ids
mod lock; // comparing a set of events with the file
mod probe; // the values that a type accepts
mod shape; // the shape of metadata
mod trace; // the requests of a type

pub use self::difference::Difference;
pub use self::error::{Finding, WireLockError};
pub use self::event::EventShapes;
pub use self::id_type::EntityIdType;
pub use self::lock::{FILE_NAME, assert_in, assert_wire_lock, check, check_or_update, update};
pub use self::shape::Shape;
