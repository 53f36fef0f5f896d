//! The state that all requests share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use outbox_runtime::Clock;
use tokio::sync::Semaphore;

use crate::gate::logins::Logins;
use crate::gate::sessions::Sessions;
use crate::live::Live;
use crate::pace::Pace;
use crate::settings::Settings;
use crate::stores::Stores;

/// The pages that are made at the same time. The application's own reads wait behind no more than
/// these, however many visitors there are.
const PAGES: usize = 2;

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) stores: Arc<Stores>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sessions: Sessions,
    pub(crate) logins: Logins,
    pub(crate) live: Arc<Live>,
    pub(crate) pace: Arc<Pace>,
    /// A place for each page that is made.
    pub(crate) pages: Semaphore,
    /// A place for the one thorough check.
    pub(crate) check: Semaphore,
}

impl App {
    pub(crate) fn new(settings: Settings, stores: Stores, live: Arc<Live>) -> Self {
        Self {
            clock: stores.clock(),
            stores: Arc::new(stores),
            sessions: Sessions::new(),
            logins: Logins::default(),
            live,
            pace: Arc::default(),
            pages: Semaphore::new(PAGES),
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
