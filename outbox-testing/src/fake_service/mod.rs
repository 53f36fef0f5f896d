//! A service on loopback that answers by script and records what it is sent.

mod connection; // one request and its answer
mod held_time; // paused time that stands still while the service is asked
mod http; // HTTP/1.1 as bytes
mod reply; // an answer
mod request; // a recorded request
mod server; // the listening thread and its connections
mod state; // what the connections share

use std::io;
use std::net::SocketAddr;

use outbox_runtime::OutboxEventHandler;

use self::held_time::HeldTime;
pub use self::reply::Reply;
pub use self::request::Received;
use self::server::Server;

/// An HTTP server on loopback for a test: it answers by script and records the requests.
///
/// It speaks HTTP/1.1 without TLS, at [`url`](Self::url). Each request gets the next
/// [`Reply`] of the script; when the script is over, each gets the reply that
/// [`otherwise`](Self::otherwise) sets, by default 200 without a body. It runs on threads of its
/// own, so it answers even while the test's runtime is busy.
///
/// The guide: [testing](https://docs.rs/outbox-guide/latest/outbox_guide/testing/).
///
/// # Limits
///
/// It serves 64 connections at the same time and keeps 10,000 requests; a head has at most 64 KiB
/// and a body 16 MiB. More is refused with 503, 507, 431 or 413.
///
/// # Paused time
///
/// Tokio's paused time jumps ahead while a client waits for an answer from outside of the runtime,
/// so a time limit may be over before the answer is there. Under
/// `#[tokio::test(start_paused = true)]`, wrap the handlers in
/// [`holding_time`](Self::holding_time).
///
/// # Drop
///
/// Dropping it closes all connections and ends its threads.
///
/// # Examples
///
/// ```
/// use std::io::{Read as _, Write as _};
/// use outbox_testing::{FakeService, Reply};
///
/// # fn main() -> std::io::Result<()> {
/// let service = FakeService::start()?;
/// service.reply(Reply::status(503).header("retry-after", "1"));
///
/// // A client of the application's, here without a library:
/// let mut client = std::net::TcpStream::connect(service.address())?;
/// client.write_all(b"PUT /goals/7 HTTP/1.1\r\nidempotency-key: k1\r\ncontent-length: 4\r\n\r\nSwim")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 503"));
///
/// let received = service.received();
/// assert_eq!((received[0].method.as_str(), received[0].path.as_str()), ("PUT", "/goals/7"));
/// assert_eq!(received[0].header("Idempotency-Key"), Some("k1"));
/// assert_eq!(received[0].text(), "Swim");
/// # Ok(())
/// # }
/// ```
///
/// A script of several replies:
///
/// ```
/// use outbox_testing::{FakeService, Reply};
///
/// # fn main() -> std::io::Result<()> {
/// let service = FakeService::start()?;
/// service.reply(Reply::status(500)).reply(Reply::ok()).otherwise(Reply::status(404));
/// assert_eq!(service.replies_left(), 2);
///
/// let base_url = service.url(); // for the client of the application
/// assert!(base_url.starts_with("http://127.0.0.1:"));
///
/// service.clear(); // for the next part of the test
/// assert_eq!((service.replies_left(), service.received().len()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FakeService {
    server: Server,
}

impl FakeService {
    /// Starts a service on a free port of loopback.
    ///
    /// # Errors
    ///
    /// If no port can be bound or no thread started.
    pub fn start() -> io::Result<Self> {
        let server = Server::start()?;
        Ok(Self { server })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address as a URL, without a slash at the end: `http://127.0.0.1:49152`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Adds a reply to the end of the script. Returns the service, for the next one.
    #[allow(
        clippy::must_use_candidate,
        reason = "it returns the service for the next call"
    )]
    pub fn reply(&self, reply: Reply) -> &Self {
        self.server.state().add(reply);
        self
    }

    /// Sets the reply to every request after the script. Default: 200 without a body.
    #[allow(
        clippy::must_use_candidate,
        reason = "it returns the service for the next call"
    )]
    pub fn otherwise(&self, reply: Reply) -> &Self {
        self.server.state().set_otherwise(reply);
        self
    }

    /// The requests so far, in the order in which they arrived completely.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.server.state().received()
    }

    /// The number of replies that are left in the script.
    #[must_use]
    pub fn replies_left(&self) -> usize {
        self.server.state().replies_left()
    }

    /// Forgets the requests so far and the rest of the script.
    pub fn clear(&self) {
        self.server.state().clear();
    }

    /// The handlers, for a test with tokio's paused time: it stands still while one of them runs,
    /// except while a request to this service gets a reply that [hangs](Reply::hang) or is
    /// [late](Reply::after). So a time limit is over only where the script says so. Register the
    /// result with [`handler`](outbox_runtime::ProcessorBuilder::handler).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use outbox_runtime::prelude::*;
    /// use outbox_runtime::HandlerSet;
    /// use outbox_testing::{FakeService, HandlerAnswer, Reply, perform};
    /// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    ///
    /// #[derive(OutboxEntity)]
    /// #[outbox(event_type = "goal", timeout = "20s")]
    /// struct Goal {
    ///     #[outbox(entity_id)]
    ///     id: i64,
    ///     #[outbox(user_id)]
    ///     user_id: String,
    /// }
    ///
    /// #[tokio::main(flavor = "current_thread", start_paused = true)] // as `#[tokio::test(..)]`
    /// async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let service = FakeService::start()?;
    ///     let address = service.address();
    ///     let handlers = HandlerSet::new().with(move |_: Event<Goal>| async move {
    ///         let mut stream = tokio::net::TcpStream::connect(address).await.or_retry()?;
    ///         stream.write_all(b"PUT /goals/7 HTTP/1.1\r\n\r\n").await.or_retry()?;
    ///         stream.read_to_end(&mut Vec::new()).await.or_retry()?;
    ///         Ok(())
    ///     });
    ///     let handlers = service.holding_time(handlers);
    ///     let goal = Goal { id: 7, user_id: "user-1".into() };
    ///     assert!(perform(handlers.clone(), &goal).await?.is_delivered());
    ///
    ///     service.reply(Reply::hang());
    ///     let performed = perform(handlers, &goal).await?;
    ///     assert_eq!(performed.answer, HandlerAnswer::TimedOut); // without waiting 20 s
    ///     Ok(())
    /// }
    /// ```
    pub fn holding_time<H: OutboxEventHandler>(
        &self,
        handlers: H,
    ) -> impl OutboxEventHandler + Clone + use<H> {
        HeldTime::new(handlers, self.server.state().late())
    }
}
