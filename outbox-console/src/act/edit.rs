//! `edit`: the priority, the due time, the attempts and the expiry of a waiting event.

use axum::response::Response;
use outbox_operate::{Edit, Moment};

use crate::page::frame::done;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

pub(crate) async fn act(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let ids = visit.query.ids().map_err(Trouble::Request)?;
    let [id] = ids[..] else {
        return Err(Trouble::Request("an event is named by its id".to_owned()));
    };
    let form = &visit.form;
    let due = form.get("due").map(Moment::parse).transpose();
    let due = due.map_err(|error| Trouble::Request(format!("the due time: {error}")))?;
    let expires = form.get("expires").map(Moment::parse).transpose();
    let expires = expires.map_err(|error| Trouble::Request(format!("the expiry: {error}")))?;
    let edit = Edit {
        priority: form.parsed("priority").map_err(Trouble::Request)?,
        due: due.map(|due| due.at(store.clock().now())),
        attempts: form.parsed("attempts").map_err(Trouble::Request)?,
        expires: expires.map(|expires| expires.at(store.clock().now())),
    };
    if edit.is_empty() {
        return Err(Trouble::Request("nothing is to be changed".to_owned()));
    }
    if let Some(reason) = edit.apply(id, &**store).await? {
        return Err(Trouble::Conflict(format!(
            "The event is unchanged: {reason}"
        )));
    }
    tracing::info!(who = ?visit.who, event = %id, edit = ?edit, "edit by the console");
    let mut query = vec![("id", id.to_string())];
    query.extend(done("edit", 1));
    Ok(respond::see_other(&visit.links.with("/event", query)))
}
