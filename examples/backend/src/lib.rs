//! The service that FitIQ and Lume sync with, on loopback: its endpoints, envelopes and quirks, and faults to order.
//!
//! ```
//! use backend::{Backend, Fault, FaultRule, Idempotency, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new()
//!     .idempotency(Idempotency::Honoured)
//!     .fault(FaultRule::nth(Fault::Drop, 3).on("POST /api/v1/progress"));
//! let backend = Backend::start(settings).await?;
//! println!("{}", backend.url());
//! // .. an app syncs, and then:
//! assert_eq!(backend.audit().held("progress").count(), 0);
//! backend.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! A request goes through [`Backend`]'s `connection` to `service`, which takes the steps of an answer in order: key, token, rate,
//! what `effect` makes of it (a fault, an answer given again, a change), record. What an endpoint does is in `routes`, a file a
//! family, on what `store` holds.

mod backend; // the running service, as a handle
mod settings; // what can be switched before it starts

mod admin; // what can be switched and asked while it runs
mod connection; // listening, refusing and cutting connections
mod effect; // what a call leads to that was let in
mod service; // who is let in, and the record of it

mod answer; // what an endpoint says, and the envelopes it goes out in
mod audit; // what is held and what was called
mod auth; // accounts, tokens, refresh
mod clock; // what time the service has
mod faults; // what goes wrong, and when
mod limits; // how many calls a user may make
mod replay; // first answers by idempotency key
mod routes; // the endpoints, a file a family
mod rules; // what a request must be like
mod store; // what is held, by user

pub use audit::{Audit, Call, Held};
pub use auth::Accounts;
pub use backend::{Backend, StartError};
pub use clock::Clock;
pub use faults::{Fault, FaultRule, FaultSyntaxError};
pub use settings::{ErrorCodes, Idempotency, Settings};

/// Compiles what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
