//! A call to the service.

use outbox_runtime::{Event, Operation, OutboxEntity};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use uuid::Uuid;

use super::{ApiError, Service};
use crate::ids::RemoteId;

/// One request, mostly on behalf of an event: its user, its operation and its idempotency key.
#[derive(Debug, Clone)]
#[must_use = "a call is made by `Api::send`"]
pub struct Call {
    method: Method,
    segments: Vec<String>,
    user_id: String,
    operation: Operation,
    key: Option<Uuid>,
    body: Option<Vec<u8>>,
}

impl Call {
    /// `method` on `path`, such as `/api/v1/progress`.
    pub fn new<E: OutboxEntity>(event: &Event<E>, method: Method, path: &str) -> Self {
        let mut call = Self::of_user(&event.user_id, method, event.operation, path);
        call.key = Some(event.idempotency_key());
        call
    }

    /// `GET` of `path` in the name of a user: for no event, and so without a key.
    pub fn get(user_id: &str, path: &str) -> Self {
        Self::of_user(user_id, Method::GET, Operation::Update, path)
    }

    /// `POST` on `path` of new entries of a user's events, each with its key in the body.
    pub fn post_each(user_id: &str, path: &str) -> Self {
        Self::of_user(user_id, Method::POST, Operation::Create, path)
    }

    fn of_user(user_id: &str, method: Method, operation: Operation, path: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        Self {
            method,
            segments: segments.map(str::to_owned).collect(),
            user_id: user_id.to_owned(),
            operation,
            key: None,
            body: None,
        }
    }

    /// `POST` on `path`.
    pub fn post<E: OutboxEntity>(event: &Event<E>, path: &str) -> Self {
        Self::new(event, Method::POST, path)
    }

    /// `PUT` on `path`.
    pub fn put<E: OutboxEntity>(event: &Event<E>, path: &str) -> Self {
        Self::new(event, Method::PUT, path)
    }

    /// `PATCH` on `path`.
    pub fn patch<E: OutboxEntity>(event: &Event<E>, path: &str) -> Self {
        Self::new(event, Method::PATCH, path)
    }

    /// `DELETE` of the entity `id` under `path`, whatever the event's operation: 404 is what was
    /// wanted.
    ///
    /// Without the event's key: the call is idempotent, and the key may be needed for the next
    /// call.
    pub fn delete<E: OutboxEntity>(event: &Event<E>, path: &str, id: &RemoteId) -> Self {
        let mut call = Self::new(event, Method::DELETE, path).at(id);
        call.operation = Operation::Delete;
        call.key = None;
        call
    }

    /// Goes on to the entity `id` below the path. Only an id of the service fits.
    pub fn at(mut self, id: &RemoteId) -> Self {
        self.segments.push(id.as_str().to_owned());
        self
    }

    /// Goes on to `segment` below the path.
    pub fn then(mut self, segment: &str) -> Self {
        self.segments.push(segment.to_owned());
        self
    }

    /// With a body.
    ///
    /// # Errors
    ///
    /// [`ApiError::Unsendable`] where it cannot be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, ApiError> {
        self.body = Some(serde_json::to_vec(body).map_err(ApiError::unsendable)?);
        Ok(self)
    }

    pub(super) fn user_id(&self) -> &str {
        &self.user_id
    }

    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    pub(super) fn into_request(self, service: &Service) -> Result<RequestBuilder, ApiError> {
        // The empty segment and the dots mean something else in a path than an id.
        if self
            .segments
            .iter()
            .any(|s| matches!(s.as_str(), "" | "." | ".."))
        {
            return Err(ApiError::unsendable("an id that is not valid in a path"));
        }
        let segments = self.segments.iter().map(String::as_str);
        let mut request = service.request(self.method, segments);
        if let Some(key) = self.key {
            request = request.header("Idempotency-Key", key.to_string());
        }
        Ok(match self.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            None => request,
        })
    }
}
