//! Users with a backlog.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use outbox_operate::cut;
use outbox_runtime::store::kit::before;
use outbox_runtime::{OutboxEvent, UserCounts};

use super::frame::Frame;
use super::when::When;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The users that are shown: those with most undelivered events.
const USERS: usize = 100;

#[derive(Template)]
#[template(path = "users.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    is_complete: bool,
}

struct Row {
    name: String,
    href: String,
    undelivered: u64,
    dead: u64,
    oldest: Option<When>,
    is_stale: bool,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let breakdown = visit.app.figures.breakdown(store).await?;
    let now = store.clock().now();
    let stale = before(now, OutboxEvent::STALE_AFTER);
    let row = |user: &UserCounts| Row {
        name: cut(&user.user_id, 80),
        href: visit.links.with("/events", [("user", &user.user_id)]),
        undelivered: user.undelivered,
        dead: user.dead,
        oldest: user.oldest.map(|at| When::of(at, now)),
        is_stale: user.oldest.is_some_and(|at| at < stale),
    };
    let page = Page {
        frame: Frame::of(visit, "Users"),
        rows: breakdown.users.iter().take(USERS).map(row).collect(),
        is_complete: breakdown.is_complete,
    };
    respond::page(StatusCode::OK, &page)
}
