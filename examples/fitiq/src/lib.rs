//! A fitness app that writes locally and delivers everything through the outbox.
//!
//! The modules in the order in which a change passes through them:
//!
//! ```text
//!  entities ── repository ──▶ [ one transaction: entity + event ] ──▶ sync ──▶ the service
//!     seed, migrate, commands ──┘                                       └── remote ids ──▶ repository
//! ```

pub mod entities; // the entities
pub mod repository; // writes an entity and its event together

pub mod migrate; // the import from the older version
pub mod restore; // the restore from the service
pub mod seed; // generated data

mod events; // the event set
mod sync; // the handlers

mod app; // the assembled app
pub mod commands; // the command line

pub use app::App;
pub use events::{FitiqEvent, FitiqEventHandler};
pub use sync::FitiqSync;
