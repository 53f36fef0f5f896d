//! What an application sets.

use std::fmt;
use std::sync::Arc;

use axum::http::request::Parts;
use outbox_operate::{Hidden, Outbox};

use crate::gate::hosts::Hosts;
use crate::secret::Secrets;

/// A question about a request.
pub(crate) type Check = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// The name of the person behind a request.
pub(crate) type Naming = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

/// Which visitors may change something.
#[derive(Clone)]
pub(crate) enum Writers {
    Nobody,
    Everybody,
    Those(Check),
}

pub(crate) struct Settings {
    /// Where the console is for a browser, if it cannot be seen from the request.
    pub(crate) prefix: Option<String>,
    pub(crate) hosts: Hosts,
    pub(crate) secrets: Secrets,
    /// Lets visitors in without a secret.
    pub(crate) allowed: Option<Check>,
    pub(crate) writers: Writers,
    pub(crate) naming: Option<Naming>,
    pub(crate) hidden: Hidden,
    pub(crate) is_https: bool,
    pub(crate) outbox: Outbox,
    /// The name in the head of every page.
    pub(crate) name: String,
    /// The live streams at the same time.
    pub(crate) streams: usize,
}

impl Settings {
    /// Closed.
    pub(crate) fn new() -> Self {
        Self {
            prefix: None,
            hosts: Hosts::Loopback,
            secrets: Secrets::default(),
            allowed: None,
            writers: Writers::Nobody,
            naming: None,
            hidden: Hidden::All,
            is_https: false,
            outbox: Outbox::Unnamed,
            name: "outbox".to_owned(),
            streams: 32,
        }
    }

    /// Whether somebody can get in.
    pub(crate) fn has_way_in(&self) -> bool {
        !self.secrets.is_empty() || self.allowed.is_some()
    }

    pub(crate) fn may_write(&self, request: &Parts) -> bool {
        match &self.writers {
            Writers::Nobody => false,
            Writers::Everybody => true,
            Writers::Those(check) => check(request),
        }
    }
}

/// Without the secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("prefix", &self.prefix)
            .field("hosts", &self.hosts)
            .field("outbox", &self.outbox)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
