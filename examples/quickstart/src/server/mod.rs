//! The remote service: a real HTTP server on loopback that behaves as badly as real ones do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::ledger::Ledger;
use self::sessions::Sessions;

mod api; // requests in, answers out
mod faults; // when it misbehaves, and how
mod jsonl; // files that only grow
pub(crate) mod ledger; // received requests and accepted changes
mod sessions; // authentication

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// The state shared by all requests.
#[derive(Debug)]
struct Service {
    ledger: Mutex<Ledger>,
    sessions: Mutex<Sessions>,
}

impl Server {
    /// Continues from the files of earlier runs, on a free port.
    pub(crate) async fn start(received: &Path, accepted: &Path) -> anyhow::Result<Self> {
        let service = Arc::new(Service {
            ledger: Mutex::new(Ledger::open(received, accepted)?),
            sessions: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, router(service)).with_graceful_shutdown(async {
            // A message and a dropped sender both mean stop.
            let _ = stopped.await;
        });
        Ok(Self {
            address,
            stop,
            task: tokio::spawn(async move { serve.await }),
        })
    }

    /// The address.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers pending requests, and ends.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // Ignore a server that has ended already.
        let _ = self.stop.send(());
        self.task.await?.context("the server failed")
    }
}

fn router(service: Arc<Service>) -> Router {
    const ENTRIES: &str = "/api/v1/wellness/mood-entries";
    let entry = axum::routing::put(api::update).delete(api::delete);
    Router::new()
        .route(ENTRIES, post(api::create))
        .route(&format!("{ENTRIES}/{{id}}"), entry)
        .route("/api/v1/auth/login", post(api::log_in))
        .route("/api/v1/auth/refresh", post(api::refresh))
        .with_state(service)
}

impl Service {
    /// A ledger whose writer panicked matches its files, because the state changes after they do.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
