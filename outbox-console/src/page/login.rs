//! Signing in.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use crate::link::{Links, encoded};
use crate::respond;

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'t> {
    links: &'t Links,
    action: String,
    text: Option<&'t str>,
}

/// The form, with a text on what was wrong before. `next` is the page to go on to.
pub(crate) fn form(
    status: StatusCode,
    links: &Links,
    next: Option<&str>,
    text: Option<&str>,
) -> Response {
    let query = next.map(|next| encoded([("next", next)]));
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let page = Page {
        links,
        action: format!("{}{query}", links.to("/login")),
        text,
    };
    let made = respond::page(status, &page);
    made.unwrap_or_else(|_| respond::line(status, "sign in at /login"))
}
