//! The promises of the shop, on a PostgreSQL server of their own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker; // what a message means to the stream
mod endpoints; // requests and responses
mod partner; // what a response of the partner means for an event
mod poison; // an order that is refused
mod scene; // databases, shops and workers
mod transactions; // rows and events together
