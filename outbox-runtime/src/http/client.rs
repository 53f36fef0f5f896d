//! Responses and errors of reqwest: detection of followed redirects, and the meaning of a missing
//! response.

use reqwest::{Method, RequestBuilder, Response, Url};
use thiserror::Error;

use super::{HttpError, Meaning, Policy};
use crate::error::LACKS_TLS;
use crate::event::Operation;
use crate::handler::{Delivery, DeliveryError, Scope};

/// Like [`check`](super::check), for a reqwest response, and also checks that it answers the
/// request that was sent. `method` and `url` are those of the request.
///
/// A client that follows redirects, reqwest's default, answers a `POST` with the response to a
/// `GET` of a login page or of a captive portal: a success although nothing was delivered. A
/// response from another URL is therefore [`Unavailable`](Delivery::Unavailable), whatever its
/// status, and the error says so. Fragments and credentials in URLs are ignored.
///
/// A redirect to the same URL, which turns the `POST` into a `GET`, is not detected because reqwest
/// does not report it. Build the client with `redirect::Policy::none()`; each redirect is then a
/// response of its own.
///
/// # Errors
///
/// [`HttpError`], which determines the runtime's reaction.
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

/// Sends a request and [checks](check_response) the response. Returns the response only if it is a
/// success and answers this request.
///
/// # Errors
///
/// [`SendError`], which determines the runtime's reaction.
///
/// # Cancel safety
///
/// If the future is dropped, the service may or may not have received the request; sending it again
/// with the same idempotency key is safe.
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

/// A request that the service did not accept.
///
/// # Examples
///
/// ```
/// use outbox_runtime::http::{SendError, send};
/// use outbox_runtime::{HandlerError, Operation};
///
/// async fn handler(request: reqwest::RequestBuilder) -> Result<(), HandlerError> {
///     match send(request, Operation::Update).await {
///         // The service has a newer version of the entity, which counts.
///         Err(SendError::Refused(error)) if error.status() == 412 => Ok(()),
///         answer => Ok(answer.map(drop)?),
///     }
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// No response arrived. The URL is removed from the error because it may contain secrets.
    #[error("no response to the request")]
    Unanswered(#[source] reqwest::Error),
    /// The response is not a success.
    #[error(transparent)]
    Refused(HttpError),
}

impl Policy {
    /// Like the function [`check_response`], with this policy. A response from another URL is
    /// reported before its status is considered. See [`check_response`] for an example.
    ///
    /// # Errors
    ///
    /// See [`check_response`].
    pub fn check_response(
        &self,
        response: &Response,
        method: &Method,
        url: &Url,
        operation: Operation,
    ) -> Result<(), HttpError> {
        let status = response.status();
        if has_url(response) && as_sent(response.url()) != as_sent(url) {
            let (sent_to, answered_by) = (host_of(url), host_of(response.url()));
            return Err(HttpError::redirected(status, method, sent_to, answered_by));
        }
        self.check(status, response.headers(), operation)
    }

    /// Like the function [`send`], with this policy.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::http::{Meaning, Policy};
    /// use outbox_runtime::{HandlerError, Operation};
    ///
    /// async fn handler(request: reqwest::RequestBuilder) -> Result<(), HandlerError> {
    ///     let policy = Policy::new().means([409], Meaning::Delivered);
    ///     policy.send(request, Operation::Create).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`send`].
    ///
    /// # Cancel safety
    ///
    /// See [`send`].
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

/// The URL as the server sees it.
fn as_sent(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    // These fail for URLs that cannot have credentials, which therefore have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Whether the URL that answered is known. A response built from parts has a placeholder host.
fn has_url(response: &Response) -> bool {
    response.url().host_str() != Some("no.url.provided.local")
}

/// The host as shown in messages, with the port unless it is the default.
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

/// The reaction to a missing or unusable response.
///
/// | failure | delivery |
/// |---|---|
/// | no route, unknown host, refused, failed TLS handshake, `connect_timeout` | [`Offline`] |
/// | no response in time: `timeout`, `read_timeout` | [`Unavailable`] |
/// | the connection ended before or within the response | [`Unavailable`] |
/// | too many redirects | [`Unavailable`] |
/// | `error_for_status` | as [`check`](super::check), without headers, for an update |
/// | the response arrived and cannot be decoded | [`Retry`]; the service may have accepted it |
/// | the request could not be built | [`Permanent`]: the next one would fail, too |
/// | `https`, and reqwest is built without TLS | [`Permanent`] |
///
/// [`Offline`]: Delivery::Offline
/// [`Unavailable`]: Delivery::Unavailable
/// [`Retry`]: Delivery::Retry
/// [`Permanent`]: Delivery::Permanent
///
/// # Set a `connect_timeout`
///
/// A network that drops packets is recognized as offline only if `connect_timeout` ends the wait.
/// With `timeout` alone, a connection that was never established cannot be told from a slow
/// service, and the result is `Unavailable` instead of `Offline`. Neither uses up an attempt while
/// nothing else gets through.
///
/// # Avoid `error_for_status`
///
/// It treats every status except 4xx and 5xx as a success: a 302, a 304, a 101, a 999. Use [`send`]
/// or [`check_response`] instead.
///
/// # Secrets in URLs
///
/// A URL may contain secrets. A [`HandlerError`](crate::HandlerError) removes it from its cause and
/// from the text of the cause's sources. It cannot remove a URL that an application's error writes
/// into its own text: with thiserror's `#[error(transparent)]` or `{0}`, wrap
/// `error.without_url()`.
impl DeliveryError for reqwest::Error {
    fn delivery(&self) -> Delivery {
        if self.is_connect() {
            match lacks_tls(self) {
                true => Delivery::Permanent,
                false => Delivery::Offline,
            }
        } else if let Some(status) = self.status() {
            // A success is not an error. If the application made one of it, retry.
            let meaning = Meaning::of(status, Operation::Update, false);
            let again = Delivery::Retry { after: None };
            meaning.delivery(None).unwrap_or(again)
        } else if self.is_builder() {
            Delivery::Permanent
        } else if self.is_timeout()
            || self.is_request()
            || self.is_redirect()
            || connection_broke(self)
        {
            Delivery::Unavailable { after: None }
        } else {
            Delivery::Retry { after: None }
        }
    }
}

/// Whether the connection ended while the response was read. A complete response that cannot be
/// decoded (JSON of another shape, invalid compression) is a different error.
fn connection_broke(error: &reqwest::Error) -> bool {
    let is_unreadable = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        cause.is::<serde_json::Error>()
            || io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData)
    };
    error.is_body() || error.is_decode() && !causes(error).any(is_unreadable)
}

/// Whether `https` was requested from a client without TLS. Only the text of the error says so.
fn lacks_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.to_string() == LACKS_TLS)
}

fn causes<'a>(
    error: &'a reqwest::Error,
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}
