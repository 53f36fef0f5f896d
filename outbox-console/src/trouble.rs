//! Why a request gets no page.

use axum::http::StatusCode;
use outbox_operate::clean;
use outbox_runtime::StoreError;
use outbox_runtime::store::BoxError;

/// The reason, which has a status and a text for people.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The store failed.
    Store(StoreError),
    /// The store cannot be opened.
    Opening(BoxError),
    /// The request makes no sense.
    Request(String),
    /// There is no such thing.
    Missing(String),
    /// The visitor may not do that.
    Forbidden(&'static str),
    /// It changed, or another request is at it.
    Conflict(String),
    /// A page could not be made.
    Page,
}

impl Trouble {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Store(_) | Self::Opening(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Page => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text for the visitor, without characters that hide or turn others.
    pub(crate) fn text(&self) -> String {
        let text = match self {
            Self::Store(error) => format!("The outbox cannot be read or changed: {error}"),
            Self::Opening(error) => format!("The outbox cannot be opened: {error}"),
            Self::Request(text) | Self::Missing(text) | Self::Conflict(text) => text.clone(),
            Self::Forbidden(text) => (*text).to_owned(),
            Self::Page => "The page cannot be made.".to_owned(),
        };
        clean(&text).into_owned()
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<askama::Error> for Trouble {
    fn from(_: askama::Error) -> Self {
        Self::Page
    }
}
