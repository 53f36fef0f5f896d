//! `pause` and `resume`.

use axum::response::Response;
use outbox_operate::Moment;
use outbox_runtime::{Pause, PauseScope, StoreErrorKind};

use crate::page::frame::done;
use crate::query::Pairs;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// Sets a pause of the scope in the form.
pub(crate) async fn pause(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let form = &visit.form;
    let mut pause = Pause::new(scope(form)?).by(&visit.who);
    if let Some(because) = form.get("because") {
        pause = pause.because(because);
    }
    if let Some(until) = form.get("until") {
        let until = Moment::parse(until);
        let until = until.map_err(|error| Trouble::Request(format!("the end: {error}")))?;
        pause = pause.until(until.at(store.clock().now()));
    }
    match store.pause(&pause).await {
        Err(error) if error.kind() == StoreErrorKind::InvalidArgument => {
            return Err(Trouble::Request(error.to_string()));
        }
        paused => paused?,
    }
    tracing::info!(who = ?visit.who, scope = ?pause.scope(), "pause by the console");
    Ok(after(visit, "pause", 1))
}

/// Lifts the pause of the scope in the query.
pub(crate) async fn resume(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let scope = scope(&visit.query)?;
    let was_paused = store.unpause(&scope).await?;
    tracing::info!(who = ?visit.who, scope = ?scope, was_paused, "resume by the console");
    Ok(after(visit, "resume", u64::from(was_paused)))
}

fn scope(pairs: &Pairs) -> Result<PauseScope, Trouble> {
    let kind = pairs.get("scope").unwrap_or_default();
    let name = pairs.get("name").unwrap_or_default();
    let scope = PauseScope::from_parts(kind, name);
    let scope = scope.filter(|scope| *scope == PauseScope::Everything || !name.is_empty());
    scope.ok_or_else(|| Trouble::Request("a pause is of everything, or has a name".to_owned()))
}

fn after(visit: &Visit, act: &'static str, count: u64) -> Response {
    respond::see_other(&visit.links.with("/pauses", done(act, count)))
}
