//! Answers of endpoints, and their envelopes.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The envelope of a family of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// `{"data":{..}}`, `{"error":{"message":"..","code":".."}}`
    Plain,
    /// `{"success":true,"data":{..}}`, `{"success":false,"data":null,"error":{"message":".."}}`
    Goals,
    /// `{"success":true,"data":{..}}`, `{"success":false,"error":".."}`; its 404 is the common one.
    Consultations,
}

/// A success.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: StatusCode,
    /// `None`: no body.
    pub(crate) data: Option<Value>,
    /// The id of the created or addressed entity.
    pub(crate) entity: Option<String>,
}

/// A failure.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Replaces the message in the envelope of consultations.
    pub(crate) details: Option<Value>,
    pub(crate) retry_after: Option<Duration>,
}

/// An answer as sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<String>,
    retry_after: Option<u64>,
}

impl Done {
    /// A status with a body. Values without a JSON form become `null`; no entity has any.
    pub(crate) fn new(status: StatusCode, data: impl Serialize) -> Self {
        let data = serde_json::to_value(data).unwrap_or(Value::Null);
        Self {
            status,
            data: Some(data),
            entity: None,
        }
    }

    pub(crate) fn ok(data: impl Serialize) -> Self {
        Self::new(StatusCode::OK, data)
    }

    pub(crate) fn created(data: impl Serialize) -> Self {
        Self::new(StatusCode::CREATED, data)
    }

    pub(crate) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            data: None,
            entity: None,
        }
    }

    pub(crate) fn about(mut self, entity: &str) -> Self {
        self.entity = Some(entity.to_owned());
        self
    }
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            details: None,
            retry_after: None,
        }
    }

    /// An invalid request.
    pub(crate) fn invalid(problem: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("validation error: {problem}"),
        )
    }

    pub(crate) fn not_found(noun: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{noun} not found"))
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// With `Retry-After`, in whole seconds, rounded up.
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded")
        }
    }

    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    fn code(&self) -> String {
        match self.status {
            StatusCode::BAD_REQUEST => "VALIDATION_ERROR".to_owned(),
            other => other
                .canonical_reason()
                .unwrap_or("UNKNOWN")
                .to_uppercase()
                .replace([' ', '-'], "_"),
        }
    }
}

impl Envelope {
    pub(crate) fn done(self, done: Done) -> Answer {
        let body = done.data.map(|data| match self {
            Self::Plain => json!({ "data": data }),
            Self::Goals | Self::Consultations => json!({ "success": true, "data": data }),
        });
        Answer {
            status: done.status,
            body: body.map(|body| body.to_string()),
            retry_after: None,
        }
    }

    pub(crate) fn refused(self, refusal: &Refusal, with_code: bool) -> Answer {
        let message = &refusal.message;
        let body = match self {
            Self::Consultations if refusal.status != StatusCode::NOT_FOUND => {
                let error = refusal.details.clone().unwrap_or_else(|| json!(message));
                json!({ "success": false, "error": error })
            }
            Self::Goals => {
                json!({ "success": false, "data": null, "error": { "message": message } })
            }
            Self::Plain | Self::Consultations if with_code => {
                json!({ "error": { "message": message, "code": refusal.code() } })
            }
            Self::Plain | Self::Consultations => json!({ "error": { "message": message } }),
        };
        Answer {
            status: refusal.status,
            body: Some(body.to_string()),
            retry_after: refusal.retry_after.map(whole_seconds),
        }
    }
}

impl Answer {
    /// The same with a truncated body. `None` if there is no body, or for an error.
    pub(crate) fn garbled(&self) -> Option<Self> {
        let body = self.body.as_ref().filter(|_| self.status.is_success())?;
        let middle = (0..=body.len() / 2)
            .rev()
            .find(|at| body.is_char_boundary(*at))?;
        Some(Self {
            body: body.get(..middle).map(str::to_owned),
            ..self.clone()
        })
    }

    /// The same as an item of another answer: the fields of its envelope, and its status.
    pub(crate) fn as_item(&self) -> Value {
        let body = self.body.as_deref();
        let body = body.and_then(|body| serde_json::from_str(body).ok());
        let mut fields: Map<String, Value> = body.unwrap_or_default();
        fields.insert("status".to_owned(), self.status.as_u16().into());
        Value::Object(fields)
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(body) = self.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = body.into();
        }
        response
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
