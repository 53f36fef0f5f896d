//! A shop: a service that keeps its orders in PostgreSQL, tells an HTTP partner of every order and
//! line, and a broker of every customer and every change of its stock.
//!
//! The service writes rows and events in one transaction and calls nobody. Workers, in processes of
//! their own, deliver the events. See README.md beside this package's Cargo.toml.

// The service, in the order in which a request passes through it.
pub mod domain; // entities, tables, and the transactions that change them
pub mod http; // the endpoints
pub mod outbox; // the handlers and the worker

// The other side.
pub mod partner; // a partner that misbehaves

// The one command.
pub mod demo; // starts everything, loads it, kills a worker, and compares

pub mod stop; // when a process has to end
