//! Outages in virtual time: the real processor on a manual clock, a remote service that refuses as a [`scenario`] says,
//! and a table of what became of the events.
//!
//! A [`Scene`] is what is enqueued and what is refused when; running it gives a [`Course`], every call with its time. A
//! scenario makes a scene for each [`Case`] (class of refusal, concurrency, users, store) and compares the course with the
//! bounds that the evidence rule promises. A week of probes takes less than a second on a store in memory.

mod case; // the class of refusal, the concurrency, the users and the store of a row
mod course; // what happened: each call with its time, and the rows in the end
mod process; // a processor on a runtime of its own, which runs until it waits for the clock
pub mod scenario; // the scenarios, each with its bounds
mod scene; // what is enqueued and refused when, and how it is run
pub mod table; // all rows, run side by side and printed
mod watched; // a store that knows how many of its calls are under way
mod world; // the remote service

pub use self::case::{Case, Class, StoreKind};
pub use self::course::{Call, Course};
pub use self::scene::{Arrival, Scene};
pub use self::world::Ask;
