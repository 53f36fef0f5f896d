//! Answers, and the headers that all of them have.

use askama::Template;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::trouble::Trouble;

/// Only our own script and style, requests and forms to ourselves, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `same-origin`, as a browser sends `Origin: null` with the forms of a page without any referrer.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Keeps windows of other sites from holding on to ours.
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Sets the headers of every answer, refusals included. Browsers heed one of them only where they
/// trust the connection, and complain elsewhere.
pub(crate) fn seal(response: &mut Response, is_trusted: bool) {
    if is_trusted {
        let own = HeaderValue::from_static("same-origin");
        response.headers_mut().insert(OPENER, own);
    }
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
}

/// A page.
pub(crate) fn page(status: StatusCode, page: &impl Template) -> Result<Response, Trouble> {
    let html = page.render()?;
    Ok(typed(status, "text/html; charset=utf-8", html))
}

/// One line, for programs, and where no page can be made.
pub(crate) fn line(status: StatusCode, text: &str) -> Response {
    typed(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

pub(crate) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Sends a browser on to another page, after a form.
pub(crate) fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => line(StatusCode::BAD_REQUEST, "no such page"),
    }
}
