//! What the apps FitIQ and Lume share besides the outbox.
//!
//! | | |
//! |---|---|
//! | [`LocalId`], [`RemoteId`], [`UserId`] | three kinds of ids that cannot stand in for each other |
//! | [`Session`] | signing in, tokens on disk, one refresh at a time |
//! | [`Api`], [`Call`], [`Answer`] | one request to the service under the event's key, and what came back |
//! | [`ApiError`] | what the outbox does about an answer that is none of the good ones |
//! | [`Pace`] | so many requests a second, of one's own accord |
//! | [`cli`] | the commands that both apps have: `sign-in`, `sync`, `status`, `explain`, `sign-out` |
//!
//! There is no queue, no retry and no timer here: that is all `outbox_runtime`'s.

mod api; // a call and its answer
mod ids; // whose, which, and which there
mod session; // who is signed in

pub mod cli; // what is typed, and what is told

pub use crate::api::{
    Answer, Api, ApiError, Call, Pace, Said, Service, ServiceError, ServiceUrl, Unread,
};
pub use crate::ids::{InvalidId, LocalId, RemoteId, UserId};
pub use crate::session::{Session, SessionError};

/// Compiles what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
