//! A router on a thread of its own.

use std::future::IntoFuture;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use tokio::sync::oneshot;

/// A server that is gone, with all of its connections, when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves the router at this address, with port 0 at any free one, which is returned.
    pub(crate) fn start(at: SocketAddr, router: Router) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(at).expect("a free port");
        listener.set_nonblocking(true).expect("no blocking");
        let at = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the port");
                let service = router.into_make_service_with_connect_info::<SocketAddr>();
                tokio::select! {
                    served = axum::serve(listener, service).into_future() => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
            // The runtime is dropped here, with every open connection.
        });
        let served = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        (served, at)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
