//! `cleanup`: deletes old completed events, after the number was shown.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use outbox_operate::{count_completed, duration};
use outbox_runtime::store::kit::before;

use crate::page::frame::{Frame, done};
use crate::page::when::When;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The completed events that are read to count.
const MOST: usize = 20_000;

#[derive(Template)]
#[template(path = "cleanup.html")]
struct Page {
    frame: Frame,
    count: u64,
    is_all: bool,
    before: When,
    action: String,
    back: String,
}

/// Counts, and asks for confirmation.
pub(crate) async fn ask(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let age = visit.query.get("older").unwrap_or("7d");
    let age = duration(age).map_err(|error| Trouble::Request(format!("the age: {error}")))?;
    let now = store.clock().now();
    let limit = before(now, age);
    let (count, is_all) = count_completed(store.clone(), limit, MOST, |_| {}).await?;
    let page = Page {
        frame: Frame::of(visit, "Delete completed events").still(),
        count,
        is_all,
        before: When::of(limit, now),
        // The time, not the age: what was counted is not older by the time that it is confirmed.
        action: visit
            .links
            .with("/cleanup", [("before", limit.to_rfc3339())]),
        back: visit.links.to("/maintenance"),
    };
    respond::page(StatusCode::OK, &page)
}

pub(crate) async fn act(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let limit: Option<DateTime<Utc>> = visit.query.parsed("before").map_err(Trouble::Request)?;
    let limit = limit.ok_or_else(|| Trouble::Request("the time is missing".to_owned()))?;
    // A time of the future would take what is completed meanwhile.
    let limit = limit.min(store.clock().now());
    let deleted = store.delete_completed_events(limit).await?;
    tracing::info!(who = ?visit.who, before = %limit, deleted, "cleanup by the console");
    let query = done("cleanup", deleted);
    Ok(respond::see_other(&visit.links.with("/maintenance", query)))
}
