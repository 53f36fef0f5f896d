//! The page of a request that got no other.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::frame::Frame;
use crate::respond;
use crate::trouble::Trouble;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "trouble.html")]
struct Page {
    frame: Frame,
    text: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'t> {
    style: String,
    text: &'t str,
}

pub(crate) fn show(visit: &Visit, trouble: &Trouble) -> Response {
    let page = Page {
        frame: Frame::of(visit, "Not shown").still(),
        text: trouble.text(),
    };
    let status = trouble.status();
    let made = respond::page(status, &page);
    made.unwrap_or_else(|_| respond::line(status, &page.text))
}

/// The page of a request that was not let in. It tells nothing about the outbox.
pub(crate) fn refuse(status: StatusCode, style: String, text: &str) -> Response {
    let made = respond::page(status, &Refusal { style, text });
    made.unwrap_or_else(|_| respond::line(status, text))
}
