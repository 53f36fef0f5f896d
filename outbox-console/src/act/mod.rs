//! Changes: each a function from a form to the page that comes after it.

pub(crate) mod bulk; // retry, discard
pub(crate) mod cleanup; // completed events
pub(crate) mod edit; // a waiting event
pub(crate) mod pausing; // pause, resume
