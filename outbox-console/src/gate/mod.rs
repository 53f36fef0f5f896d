//! Everything that a request has to pass before it sees anything.

pub(crate) mod hosts; // names of this host
pub(crate) mod logins; // failed logins
pub(crate) mod origin; // requests of other sites
pub(crate) mod sessions; // visitors who signed in
