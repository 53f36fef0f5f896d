//! The parts that the apps FitIQ and Lume share besides the outbox.
//!
//! | item | purpose |
//! |---|---|
//! | [`LocalId`], [`RemoteId`], [`UserId`] | three kinds of ids that do not mix |
//! | [`Session`] | signing in, tokens on disk, one refresh at a time |
//! | [`Api`], [`Call`], [`Answer`] | one request under the event's key, and its result |
//! | [`ApiError`] | the delivery class of every failure |
//! | [`Pace`] | a self-imposed limit of calls per second |
//! | [`cli`] | the shared commands: `sign-in`, `sync`, `status`, `explain`, `sign-out` |
//!
//! There is no queue, no retry and no timer here: all of that is in `outbox_runtime`.

mod api; // calls to the service
mod ids; // local, remote and user ids
mod session; // the session

pub mod cli; // the command line

pub use crate::api::{
    Answer, Api, ApiError, Call, Pace, Said, Service, ServiceError, ServiceUrl, Unread,
};
pub use crate::ids::{InvalidId, LocalId, RemoteId, UserId};
pub use crate::session::{Session, SessionError};

/// Compiles what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
