//! The quirks of the service, one per test, through the library and over HTTP.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod app; // a client

mod auth;
mod endpoints;
mod faults;
mod keys;
mod limits;
mod wire;
