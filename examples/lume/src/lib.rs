//! Lume, a mood journal that works offline: entities and outbox share one SQLite file, so that a
//! change and its event exist together or not at all.
//!
//! | | |
//! |---|---|
//! | [`entities`] | what the app is about, and the set of events that it sends |
//! | [`db`] | its tables, and changes of them: entity and event in one transaction |
//! | [`sync`] | what each event means to the service; restoring from there |
//! | [`v6`], [`migrate`] | what the app's sixth version wrote, and how it becomes the seventh's |
//! | [`make_v6()`] | stores as the sixth version left them, to try the migration on |
//! | [`seed`] | some days of a life, to look at |
//! | [`cli`] | the command line: the only place that puts the others together |

// A change, from the user to the service.
pub mod db;
pub mod entities;
pub mod sync;

// From the old app to this one.
pub mod migrate;
pub mod v6;

// To try things out.
mod make_v6;
pub mod seed;

pub mod cli;

pub use self::make_v6::{Made, MakeError, V6Options, make_v6};
