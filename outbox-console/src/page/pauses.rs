//! The pauses in effect, and the forms that set and lift them.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use outbox_operate::clean;
use outbox_runtime::Paused;

use super::frame::Frame;
use super::when::When;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "pauses.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    scope: String,
    since: When,
    until: Option<When>,
    by: String,
    because: String,
    /// Where the pause is lifted.
    resume: String,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let pauses = visit.app.figures.pauses(store).await?;
    let now = store.clock().now();
    let row = |paused: &Paused| {
        let text = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            clean(text).into_owned()
        };
        let scope = &paused.scope;
        Row {
            scope: clean(&scope.to_string()).into_owned(),
            since: When::of(paused.since, now),
            until: paused.until.map(|until| When::of(until, now)),
            by: text(&paused.by),
            because: text(&paused.because),
            resume: visit
                .links
                .with("/resume", [("scope", scope.kind()), ("name", scope.name())]),
        }
    };
    let page = Page {
        frame: Frame::of(visit, "Pauses"),
        rows: pauses.iter().map(row).collect(),
    };
    respond::page(StatusCode::OK, &page)
}
