//! The state that all requests share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use outbox_runtime::Clock;
use tokio::sync::Semaphore;

use crate::figures::Figures;
use crate::gate::logins::Logins;
use crate::gate::sessions::Sessions;
use crate::live::Live;
use crate::settings::Settings;
use crate::stores::Stores;
use crate::turns::Turns;

/// The pages that are made at the same time. However many visitors there are, they wait for each
/// other, and leave the application its reads and its processors.
const PAGES: usize = 1;
/// The acts, and thorough checks, at the same time.
const ACTS: usize = 2;

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) stores: Arc<Stores>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sessions: Sessions,
    pub(crate) logins: Logins,
    pub(crate) live: Arc<Live>,
    pub(crate) figures: Arc<Figures>,
    /// A place for each page that is made.
    pub(crate) pages: Turns,
    /// A place for each act.
    pub(crate) acts: Turns,
    /// A place for the one thorough check.
    pub(crate) check: Semaphore,
}

impl App {
    pub(crate) fn new(settings: Settings, stores: Stores, live: Arc<Live>) -> Self {
        let clock = stores.clock();
        Self {
            figures: Arc::new(Figures::new(&clock)),
            clock,
            stores: Arc::new(stores),
            sessions: Sessions::new(),
            logins: Logins::default(),
            live,
            pages: Turns::new(PAGES),
            acts: Turns::new(ACTS),
            check: Semaphore::new(1),
            settings,
        }
    }

    /// The steady time that sessions and logins go by.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }
}

/// The address that a request came from, where the server tells it.
pub(crate) fn address(parts: &Parts) -> Option<IpAddr> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(address)| address.ip())
}
