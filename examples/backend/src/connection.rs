//! Listening on loopback, refusing to, and cutting connections.

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

/// How long connections have to end by themselves when the service stops.
const GRACE: Duration = Duration::from_secs(5);
const BACKLOG: u32 = 1024;

/// A port of this machine's that can be closed and opened again, and stays ours meanwhile.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    /// Bound and never listening: nobody else is given the port while it is closed.
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
    /// A port that is ours, and closed. When `stop` is cancelled it closes for good.
    pub(crate) async fn bind(port: u16, stop: CancellationToken) -> io::Result<Self> {
        if port != 0 {
            // Sockets that share a port would share it with another service of the same user too, and nobody would know.
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

    /// Lets connections in. Nothing happens where it is open.
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

    /// Breaks all connections, and refuses new ones from when it returns. `false` where it was closed already.
    pub(crate) async fn close(&self) -> bool {
        let Some(phase) = self.phase.lock().await.take() else {
            return false;
        };
        phase.cut.cancel();
        // It ends by the token, and has nothing to tell.
        let _ = phase.accepting.await;
        true
    }

    pub(crate) async fn is_open(&self) -> bool {
        self.phase.lock().await.is_some()
    }

    /// Waits for connections to end after `stop` was cancelled, and cuts those that do not.
    pub(crate) async fn drain(&self) {
        self.connections.close();
        if bounded(self.connections.wait()).await.is_none() {
            self.close().await;
        }
    }
}

impl Line {
    /// Closes the connection without a word: nothing of an answer is sent. It never returns, as its caller goes with it.
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
        // A connection that failed before it was ours is its caller's matter.
        if let Ok((stream, _)) = accepted {
            let line = Line(cut.child_token());
            connections.spawn(converse(stream, router.clone(), line, stop.clone()));
        }
    }
}

/// One connection, until its end or until it is cut.
async fn converse(stream: TcpStream, router: Router, line: Line, stop: CancellationToken) {
    // Small answers go out at once. Where that cannot be had they go out all the same.
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
            // What fails here is the connection: there is nobody left to tell.
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
