//! The running service, as a handle.

use std::io;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admin;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::connection::Gate;
use crate::faults::FaultRule;
use crate::service::Service;
use crate::settings::Settings;

/// A service that runs until it is stopped or dropped.
#[derive(Debug)]
#[must_use = "a service that is dropped ends"]
pub struct Backend {
    control: Arc<Control>,
    admin: Gate,
    stop: DropGuard,
}

/// The controls of a running service, for its handle and `/admin`.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) service: Arc<Service>,
    gate: Gate,
}

/// The service cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on 127.0.0.1:{port}; choose another port, or 0 for any that is free")]
pub struct StartError {
    port: u16,
    source: io::Error,
}

impl Backend {
    /// Starts a service on 127.0.0.1, in the caller's tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] if a port is unavailable.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let gate = bind(settings.port, &stop).await?;
        let admin = bind(settings.admin_port, &stop).await?;
        let service = Arc::new(Service::new(settings));
        let control = Arc::new(Control { service, gate });
        control.go_online().await?;
        let opened = admin.open(admin::router(&control)).await;
        opened.map_err(|source| StartError {
            port: admin.address().port(),
            source,
        })?;
        Ok(Self {
            control,
            admin,
            stop: guard,
        })
    }

    /// The base URL of the endpoints and of `/admin`: `http://127.0.0.1:4000`, without a trailing
    /// slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.control.gate.address())
    }

    /// The URL of `/admin` that stays available while the service is offline.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin.address())
    }

    /// The stored entities, and every call in order.
    #[must_use]
    pub fn audit(&self) -> Audit {
        self.control.service.audit()
    }

    /// Clears the calls and the counters, not the entities. Call numbers continue.
    pub fn reset_audit(&self) {
        self.control.service.reset_audit();
    }

    /// The service's clock, which can be moved.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.control.service.clock()
    }

    /// Breaks all connections and refuses new ones until [`go_online`](Self::go_online).
    ///
    /// # Cancel safety
    ///
    /// If the future was polled, the service goes offline even if it is dropped.
    pub async fn go_offline(&self) {
        self.control.go_offline().await;
    }

    /// Accepts connections again, at the same address.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the port cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// The service is online or not; call it again.
    pub async fn go_online(&self) -> Result<(), StartError> {
        self.control.go_online().await
    }

    /// Replaces the faults of the settings. Calls are counted from 1 again.
    pub fn set_faults(&self, rules: impl IntoIterator<Item = FaultRule>) {
        self.control.service.set_faults(rules.into_iter().collect());
    }

    /// Expires every access token: 401 until the app refreshes.
    pub fn expire_tokens(&self) {
        self.control.service.expire_tokens();
    }

    /// Ends every session: 401 even for a refresh, until the user logs in.
    pub fn revoke_sessions(&self) {
        self.control.service.revoke_sessions();
    }

    /// Answers pending requests for at most five seconds, and ends.
    ///
    /// # Cancel safety
    ///
    /// The service ends even if the future is dropped.
    pub async fn stop(self) {
        drop(self.stop);
        tokio::join!(self.control.gate.drain(), self.admin.drain());
    }
}

impl Control {
    pub(crate) async fn go_offline(&self) {
        if self.gate.close().await {
            self.service.record_outage();
        }
    }

    pub(crate) async fn go_online(self: &Arc<Self>) -> Result<(), StartError> {
        let router = self.service.router().merge(admin::router(self));
        let opened = self.gate.open(router).await;
        opened.map_err(|source| StartError {
            port: self.gate.address().port(),
            source,
        })
    }

    pub(crate) async fn is_online(&self) -> bool {
        self.gate.is_open().await
    }
}

async fn bind(port: u16, stop: &CancellationToken) -> Result<Gate, StartError> {
    let bound = Gate::bind(port, stop.clone()).await;
    bound.map_err(|source| StartError { port, source })
}
