//! The service that FitIQ and Lume sync with, on loopback: its endpoints, envelopes and quirks, and
//! faults on demand.
//!
//! ```
//! use backend::{Backend, Fault, FaultRule, Idempotency, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new()
//!     .idempotency(Idempotency::Honored)
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
//! A request passes through `connection` to `service`, which takes the steps of an answer in order:
//! API key, token, rate, `effect` (a fault, a replayed answer, a change), record. The endpoints are
//! in `routes`, one file per family, on the data in `store`.

mod backend; // the running service, as a handle
mod settings; // the settings

mod admin; // settings and queries at run time
mod connection; // listening, refusing and cutting connections
mod effect; // the effect of an authorized call
mod service; // authorization and recording

mod answer; // answers and their envelopes
mod audit; // stored entities and received calls
mod auth; // accounts, tokens, refresh
mod clock; // the clock
mod faults; // faults and their rules
mod limits; // rate limits
mod replay; // first answers by idempotency key
mod routes; // the endpoints, one file per family
mod rules; // validation rules
mod store; // stored entities by user

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
