//! Errors as responses.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::domain::ShopError;

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure(ShopError);

impl From<ShopError> for Failure {
    fn from(error: ShopError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            ShopError::Invalid(_) | ShopError::UnknownSku(_) | ShopError::UnknownCustomer(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ShopError::UnknownOrder(_) => StatusCode::NOT_FOUND,
            ShopError::OutOfStock(_) | ShopError::WrongStatus(_) => StatusCode::CONFLICT,
            ShopError::NoConnection(_) => StatusCode::SERVICE_UNAVAILABLE,
            ShopError::Database(_) | ShopError::Outbox(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            // For the operator; a client learns no details of the database.
            eprintln!("{}", chain(&self.0));
        }
        (status, self.0.to_string()).into_response()
    }
}

/// The error and its causes on one line.
fn chain(error: &ShopError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
