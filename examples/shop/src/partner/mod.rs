//! The partner: a small HTTP service on loopback that keeps orders and their lines, and misbehaves.
//!
//! | | |
//! |---|---|
//! | `PUT /orders/{id}` | 200; 422 if the total is above its limit |
//! | `PUT /orders/{id}/lines/{line}` | 200; 409 as long as it does not know the order |
//!
//! Both take the header `Idempotency-Key`. A key that was accepted is answered again and changes
//! nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::routing::put;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

mod api; // requests and responses
mod faults; // when it misbehaves, and how
mod ledger; // the records that it holds

pub use self::faults::Faults;
pub use self::ledger::{Accepted, Item, Ledger};

/// A running partner.
#[derive(Debug)]
pub struct Partner {
    address: SocketAddr,
    service: Arc<Service>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// The state that all requests share.
#[derive(Debug)]
struct Service {
    faults: Faults,
    ledger: Mutex<Ledger>,
}

impl Service {
    /// A panic cannot leave the ledger half-changed.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Partner {
    /// Starts a partner on this port of the loopback interface; 0 means any free port.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn start(port: u16, faults: Faults) -> anyhow::Result<Self> {
        let service = Arc::new(Service {
            faults,
            ledger: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .context("the partner cannot listen")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new()
            .route("/orders/{id}", put(api::put_order))
            .route("/orders/{id}/lines/{line}", put(api::put_line))
            .with_state(Arc::clone(&service));
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            // A message and a dropped sender both mean stop.
            let _ = stopped.await;
        });
        Ok(Self {
            address,
            service,
            stop,
            task: tokio::spawn(async move { serving.await }),
        })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A copy of its books.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.service.ledger().clone()
    }

    /// Answers the requests that have arrived, and ends.
    ///
    /// # Errors
    ///
    /// If it failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        // It may have ended already.
        let _ = self.stop.send(());
        self.task.await?.context("the partner failed")
    }
}
