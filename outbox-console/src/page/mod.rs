//! The screens: each a function from a visit to a page.

pub(crate) mod dead; // dead letters by error
pub(crate) mod event; // one event
pub(crate) mod events; // a listing
pub(crate) mod frame; // the parts that all pages have
pub(crate) mod login; // signing in
pub(crate) mod maintenance; // findings, clean-up
pub(crate) mod overview; // counts
pub(crate) mod pauses; // pauses
pub(crate) mod processes; // processes with their runs
pub(crate) mod trouble; // reasons for no page
pub(crate) mod types; // types and handlers
pub(crate) mod users; // users with a backlog
pub(crate) mod when; // times
