//! Outages in virtual time: the real processor on a manual clock, a remote service that refuses
//! calls as a [`scenario`] says, and a table of the results.
//!
//! A [`Scene`] says what is enqueued and refused at which time; running it yields a [`Course`],
//! which has every call with its time. A scenario makes a scene for each [`Case`] (class of
//! refusal, concurrency, users, store) and compares the course with the bounds that the evidence
//! rule promises. A week of probes takes less than a second on the in-memory store.

mod case; // class of refusal, concurrency, users and store of a row
mod course; // results: each call with its time, and the final rows
mod process; // a processor on its own runtime, run until it waits for the clock
pub mod scenario; // scenarios, each with its bounds
mod scene; // the timetable of enqueued events and refusals, and its runner
pub mod table; // all rows, run in parallel and printed
mod watched; // a store that counts its calls in progress
mod world; // the remote service

pub use self::case::{Case, Class, StoreKind};
pub use self::course::{Call, Course};
pub use self::scene::{Arrival, Scene};
pub use self::world::Ask;
