//! A router on a runtime of its own, whose port can be closed and opened again.

use std::net::{SocketAddr, TcpListener};

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, JoinSet};

/// A server that is gone, with all of its connections, when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    address: SocketAddr,
    runtime: Option<Runtime>,
    task: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves the router at this address, with port 0 at any free one.
    pub(crate) fn start(at: SocketAddr, router: Router) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut served = Self {
            address: at,
            runtime: Some(runtime),
            task: None,
        };
        served.open(router);
        served
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens the port.
    pub(crate) fn open(&mut self, router: Router) {
        let listener = TcpListener::bind(self.address).expect("a free port");
        listener.set_nonblocking(true).expect("no blocking");
        self.address = listener.local_addr().expect("its address");
        let runtime = self.runtime.as_ref();
        self.task = runtime.map(|runtime| runtime.spawn(serve(listener, router)));
    }

    /// Closes the port and ends all connections. What the router does besides goes on.
    pub(crate) async fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test ends within another runtime, which must not block.
            runtime.shutdown_background();
        }
    }
}

/// Answers until it is dropped.
async fn serve(listener: TcpListener, router: Router) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the port");
    // Dropped with this function, it ends its tasks.
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = listener.accept().await.expect("a connection");
        let router = router.clone().layer(Extension(ConnectInfo(peer)));
        let service = TowerToHyperService::new(router);
        connections.spawn(async move {
            // A browser ends connections as it likes.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}
