//! A fitness app that writes locally and delivers everything by way of the outbox.
//!
//! The modules in the order in which a change goes through them:
//!
//! ```text
//!  entities ── repository ──▶ [ one transaction: entity + event ] ──▶ sync ──▶ the service
//!     seed, migrate, commands ──┘                                       └── remote ids ──▶ repository
//! ```

pub mod entities; // what the app is about
pub mod repository; // an entity and its event are written together

pub mod migrate; // from the app's older version
pub mod restore; // from the service
pub mod seed; // from nowhere: a year of data

mod events; // the closed set of what is sent
mod sync; // the handlers

mod app; // all of that, put together
pub mod commands; // what can be typed

pub use app::App;
pub use events::{FitiqEvent, FitiqEventHandler};
pub use sync::FitiqSync;
