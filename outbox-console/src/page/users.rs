//! Users with a backlog.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use outbox_operate::{Breakdown, OfUser, cut};

use super::frame::Frame;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The undelivered and dead events that are counted: the oldest.
pub(super) const SAMPLE: usize = 5_000;
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
    stale: u64,
    dead: u64,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let breakdown = Breakdown::of(store.clone(), None, SAMPLE, USERS).await?;
    let row = |user: &OfUser| Row {
        name: cut(&user.user_id, 80),
        href: visit.links.with("/events", [("user", &user.user_id)]),
        undelivered: user.undelivered,
        stale: user.stale,
        dead: user.dead,
    };
    let page = Page {
        frame: Frame::of(visit, "Users"),
        rows: breakdown.users.iter().map(row).collect(),
        is_complete: breakdown.is_complete,
    };
    respond::page(StatusCode::OK, &page)
}
