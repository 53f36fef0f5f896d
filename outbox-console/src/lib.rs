//! A web console for an outbox: what waits, what failed and why, the processes that work on it, and
//! what is wrong; with retries, discards, edits and pauses for those who may. A
//! [`Router`](axum::Router) to nest in an application, over any store; the command `outbox serve`
//! serves it for a file or a server.
//!
//! # Examples
//!
//! ```no_run
//! use outbox_runtime::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let token = outbox_console::Console::random_token();
//! let mut console = outbox_console::router(MemoryStore::new()).token(&token);
//! let streams = console.streams();
//! let app = axum::Router::new().nest_service("/outbox", console.into_router());
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! println!("http://{}/outbox/login?token={token}", listener.local_addr()?);
//! axum::serve(listener, app)
//!     .with_graceful_shutdown(async move {
//!         // Wait for a signal here.
//!         streams.end();
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Closed by default
//!
//! * Nobody gets in unless the application sets a [`token`](Console::token), a
//!   [`password`](Console::password), or a [check](Console::allow_if) of its own.
//! * Nobody changes anything unless it says who may: [`operator_if`](Console::operator_if) or
//!   [`writable`](Console::writable). Each change is a line of `tracing` at the level `INFO` under
//!   the target `outbox_console`, with who did it.
//! * It answers only under names of this machine, or under those [named](Console::hosts).
//! * Forms carry a token of their session, and those of other sites are refused; secrets are
//!   compared in constant time, and failed logins are limited.
//! * Pages run no script but their own, load nothing from elsewhere, and are in no frame or cache.
//! * Values of payloads are [hidden](Console::show_payload_except).
//!
//! Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that failed logins are
//! counted by address, and the log has it.
#![forbid(unsafe_code)]

mod act; // changes
mod app; // the state of all requests
mod asset; // script and style
mod console; // what an application sets up
mod figures; // figures that are read once for all visitors
mod fingerprint; // errors that are alike
mod gate; // what requests have to pass
mod link; // addresses
mod live; // server-sent events
mod pace; // the rate of deliveries
mod page; // screens
mod query; // fields of queries and forms
mod respond; // answers and their headers
mod route; // from a request to its screen
mod secret; // random bytes and comparisons
mod settings; // what an application sets
mod shared; // values that are read once for all who ask
mod stores; // the store
mod tree; // payloads
mod trouble; // why there is no page
mod turns; // whose page is made next
mod visit; // a request that was let in

pub use self::console::{Console, LiveStreams, router, router_opening};

// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
