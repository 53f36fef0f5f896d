//! Listening on loopback, refusing, and cutting connections.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The time for connections to end when the service stops.
const GRACE: Duration = Duration::from_secs(5);
const BACKLOG: u32 = 1024;

/// A port that can be closed and reopened, and stays reserved meanwhile.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    /// Bound but never listening, so that no one else gets the port while it is closed.
    _anchor: TcpSocket,
    /// `None` while closed.
    phase: Mutex<Option<Phase>>,
    connections: TaskTracker,
    stop: CancellationToken,
}

/// The time from opening to closing.
#[derive(Debug)]
struct Phase {
    cut: CancellationToken,
    accepting: JoinHandle<()>,
}

/// A connection, as a handler sees it.
#[derive(Debug, Clone)]
pub(crate) struct Line(CancellationToken);

impl Gate {
    /// Reserves a closed port. Cancelling `stop` closes it for good.
    pub(crate) async fn bind(port: u16, stop: CancellationToken) -> io::Result<Self> {
        if port != 0 {
            // A shared port could silently be shared with another service of the same user.
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        }
        let anchor = socket(port)?;
        Ok(Self {
            address: anchor.local_addr()?,
            _anchor: anchor,
            phase: Mutex::new(None),
            connections: TaskTracker::new(),
            stop,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens the port, unless it is open.
    pub(crate) async fn open(&self, router: Router) -> io::Result<()> {
        let mut phase = self.phase.lock().await;
        if phase.is_none() {
            let listener = socket(self.address.port())?.listen(BACKLOG)?;
            let cut = CancellationToken::new();
            let accepting = accept(
                listener,
                router,
                cut.clone(),
                self.stop.clone(),
                self.connections.clone(),
            );
            *phase = Some(Phase {
                cut,
                accepting: tokio::spawn(accepting),
            });
        }
        Ok(())
    }

    /// Breaks all connections, and refuses new ones when it returns. `false` if it was closed
    /// already.
    pub(crate) async fn close(&self) -> bool {
        let Some(phase) = self.phase.lock().await.take() else {
            return false;
        };
        phase.cut.cancel();
        // The token ends it; it has no result.
        let _ = phase.accepting.await;
        true
    }

    pub(crate) async fn is_open(&self) -> bool {
        self.phase.lock().await.is_some()
    }

    /// Waits for connections to end after `stop` was cancelled, and cuts the rest.
    pub(crate) async fn drain(&self) {
        self.connections.close();
        if bounded(self.connections.wait()).await.is_none() {
            self.close().await;
        }
    }
}

impl Line {
    /// Closes the connection without an answer. It never returns, because its caller ends with it.
    pub(crate) async fn cut(&self) -> ! {
        self.0.cancel();
        match std::future::pending::<Infallible>().await {}
    }
}

fn socket(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

async fn accept(
    listener: TcpListener,
    router: Router,
    cut: CancellationToken,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = cut.cancelled() => return,
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Ignore a connection that failed before it was accepted.
        if let Ok((stream, _)) = accepted {
            let line = Line(cut.child_token());
            connections.spawn(converse(stream, router.clone(), line, stop.clone()));
        }
    }
}

/// One connection, until its end or until it is cut.
async fn converse(stream: TcpStream, router: Router, line: Line, stop: CancellationToken) {
    // Send small answers at once, if possible.
    let _ = stream.set_nodelay(true);
    let cut = line.0.clone();
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(line.clone());
        let answer = hyper::service::Service::call(&router, request);
        async move { answer.await as Result<Response<Body>, Infallible> }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            () = cut.cancelled() => return,
            // A failed connection has no one to report to.
            _ = connection.as_mut() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the grace is real time; no clock of the outbox governs the service"
)]
async fn bounded<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(GRACE, future).await.ok()
}
