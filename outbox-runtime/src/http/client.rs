//! What there is to know from reqwest: whether somebody else answered, and what it means that nobody did.

use reqwest::{Method, RequestBuilder, Response, Url};
use thiserror::Error;

use super::{HttpError, Meaning, Policy};
use crate::error::LACKS_TLS;
use crate::event::Operation;
use crate::handler::{Delivery, DeliveryError, Scope};

/// As [`check`](super::check), for an answer of reqwest; and whether it is an answer to what was sent. `method` and `url` are
/// those of the request.
///
/// A client that follows redirects, as reqwest's does unless it is told otherwise, answers a `POST` with what a `GET` of a
/// login page was answered, or with the page of a hotel's network: a success, and nothing was delivered. So an answer from
/// another URL is [`Unavailable`](Delivery::Unavailable), whatever its status, and says so. Fragments and credentials in a
/// URL make no difference.
///
/// What this cannot see is a redirect to the URL that was asked, which turns the `POST` into a `GET` of the same: reqwest
/// does not tell. Build the client with `redirect::Policy::none()`; then each redirect is an answer of its own.
///
/// # Errors
///
/// [`HttpError`], which says what the runtime does about it.
///
/// # Examples
///
/// ```
/// use outbox_runtime::http::check_response;
/// use outbox_runtime::{HandlerError, Operation};
/// use reqwest::{Client, Method, Url};
///
/// async fn handler(client: &Client, url: Url) -> Result<(), HandlerError> {
///     let response = client.delete(url.clone()).send().await?;
///     check_response(&response, &Method::DELETE, &url, Operation::Delete)?;
///     Ok(())
/// }
/// ```
pub fn check_response(
    response: &Response,
    method: &Method,
    url: &Url,
    operation: Operation,
) -> Result<(), HttpError> {
    Policy::new().check_response(response, method, url, operation)
}

/// Sends a request and [checks](check_response) the answer: the response is there only where it is a success, and one to this
/// request.
///
/// # Errors
///
/// [`SendError`], which says what the runtime does about it.
///
/// # Cancel safety
///
/// Dropping the future leaves open whether the service took the request; the same idempotency key, asked again, tells.
///
/// # Examples
///
/// ```
/// use outbox_runtime::http::send;
/// use outbox_runtime::{HandlerError, Operation};
///
/// async fn handler(client: &reqwest::Client, body: String) -> Result<(), HandlerError> {
///     let request = client.post("https://api.example.com/goals").body(body);
///     send(request, Operation::Create).await?;
///     Ok(())
/// }
/// ```
pub async fn send(request: RequestBuilder, operation: Operation) -> Result<Response, SendError> {
    Policy::new().send(request, operation).await
}

/// A request that was not accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no answer. The URL, which may hold secrets, is taken out of the error.
    #[error("the request was not answered")]
    Unanswered(#[source] reqwest::Error),
    /// The answer is no success.
    #[error(transparent)]
    Refused(HttpError),
}

impl Policy {
    /// As the function [`check_response`], by this policy. That an answer is another URL's comes before what its status means.
    ///
    /// # Errors
    ///
    /// As of [`check_response`].
    pub fn check_response(
        &self,
        response: &Response,
        method: &Method,
        url: &Url,
        operation: Operation,
    ) -> Result<(), HttpError> {
        let status = response.status();
        if has_url(response) && bare(response.url()) != bare(url) {
            let (sent_to, answered_by) = (host_of(url), host_of(response.url()));
            return Err(HttpError::redirected(status, method, sent_to, answered_by));
        }
        self.check(status, response.headers(), operation)
    }

    /// As the function [`send`], by this policy.
    ///
    /// # Errors
    ///
    /// As of [`send`].
    ///
    /// # Cancel safety
    ///
    /// As of [`send`].
    pub async fn send(
        &self,
        request: RequestBuilder,
        operation: Operation,
    ) -> Result<Response, SendError> {
        let unanswered = |error: reqwest::Error| SendError::Unanswered(error.without_url());
        let (client, request) = request.build_split();
        let request = request.map_err(unanswered)?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let response = client.execute(request).await.map_err(unanswered)?;
        self.check_response(&response, &method, &url, operation)
            .map_err(SendError::Refused)?;
        Ok(response)
    }
}

/// The URL as far as a server sees it.
fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    // These fail for URLs that cannot have them, and so have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Whether anybody knows which URL answered: a response that was made from parts has a host that does not exist.
fn has_url(response: &Response) -> bool {
    response.url().host_str() != Some("no.url.provided.local")
}

/// The host as it is told in messages, with a port that is not the usual one.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

impl DeliveryError for SendError {
    fn delivery(&self) -> Delivery {
        match self {
            Self::Unanswered(error) => error.delivery(),
            Self::Refused(error) => error.delivery(),
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Unanswered(error) => error.scope(),
            Self::Refused(error) => error.scope(),
        }
    }
}

/// What it means that there is no answer, or that it is of no use.
///
/// | | |
/// |---|---|
/// | no connection: no route, no name, refused, a TLS handshake that failed, `connect_timeout` | [`Offline`](Delivery::Offline) |
/// | no answer in time: `timeout`, `read_timeout` | [`Unavailable`](Delivery::Unavailable) |
/// | a connection that ended before or within the answer | [`Unavailable`](Delivery::Unavailable) |
/// | too many redirects | [`Unavailable`](Delivery::Unavailable) |
/// | `error_for_status` | as [`check`](super::check) says, without headers and as of an update |
/// | an answer that came and cannot be read | [`Retry`](Delivery::Retry): the service may have accepted the delivery, and the same idempotency key, asked again, tells |
/// | the request could not be built | [`Permanent`](Delivery::Permanent): the next one would be the same |
/// | `https`, and reqwest was built without TLS | [`Permanent`](Delivery::Permanent) |
///
/// # Set a `connect_timeout`
///
/// A network that swallows packets is known to be gone only where `connect_timeout` ended the wait. With `timeout` alone,
/// nobody can tell a connection that did not come about from a service that is slow; the answer is `Unavailable` then, not
/// `Offline`. Neither uses up an attempt while nothing else gets through.
///
/// # `error_for_status` knows too little
///
/// It counts as a success what is neither 4xx nor 5xx: a 302, a 304, a 101, a 999. Use [`send`] or
/// [`check_response`] in its place.
///
/// # The URL
///
/// may hold secrets. A [`HandlerError`](crate::HandlerError) takes it out of the error that it is made of, and leaves it
/// out of the text of the errors that caused it. What an error of the application writes into its own text is its
/// own: with thiserror's `#[error(transparent)]` or `{0}`, wrap `error.without_url()`.
impl DeliveryError for reqwest::Error {
    fn delivery(&self) -> Delivery {
        if self.is_connect() {
            match lacks_tls(self) {
                true => Delivery::Permanent,
                false => Delivery::Offline,
            }
        } else if let Some(status) = self.status() {
            // A success is no error; whoever made one of it wants to see it again.
            let meaning = Meaning::of(status, Operation::Update, false);
            let again = Delivery::Retry { after: None };
            meaning.delivery(None).unwrap_or(again)
        } else if self.is_builder() {
            Delivery::Permanent
        } else if self.is_timeout() || self.is_request() || self.is_redirect() || broke(self) {
            Delivery::Unavailable { after: None }
        } else {
            Delivery::Retry { after: None }
        }
    }
}

/// The connection ended while the answer was read. What came whole and is not what was expected is something else: JSON of
/// another form, or a compression that is none.
fn broke(error: &reqwest::Error) -> bool {
    let is_unreadable = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        cause.is::<serde_json::Error>()
            || io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData)
    };
    error.is_body() || error.is_decode() && !causes(error).any(is_unreadable)
}

/// The client was asked for `https` and has nothing to speak it with. It says so in words alone.
fn lacks_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.to_string() == LACKS_TLS)
}

fn causes<'a>(
    error: &'a reqwest::Error,
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}
