//! `retry` and `discard`: of ids, or of all events that a filter selects.
//!
//! The page that asks for confirmation counts the events; its form names the last event and a
//! digest of the ids. The act counts again, and does nothing unless the digest is the same: it
//! changes exactly the events that were counted.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use outbox_operate::{Deed, PAGE, Pages, reason_or_state};
use outbox_runtime::store::PageKey;
use outbox_runtime::{OutboxEvent, OutboxStatus};
use uuid::Uuid;

use crate::link::encoded;
use crate::page::frame::{Frame, done};
use crate::query::Filter;
use crate::respond;
use crate::secret::{digest, hex};
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The events that one act changes.
const MOST: usize = 100_000;
/// The ids that a query names.
const IDS: usize = 200;

#[derive(Template)]
#[template(path = "confirm.html")]
struct Page {
    frame: Frame,
    text: Option<String>,
    question: String,
    counts: Vec<(&'static str, u64)>,
    has_more: bool,
    most: usize,
    /// Where the form is sent; without, there is nothing to do.
    action: Option<String>,
    verb: String,
    is_final: bool,
    back: String,
}

/// The events that a visitor names.
enum Selection {
    Ids(Vec<Uuid>),
    Filter(Filter),
}

/// The events that were found.
#[derive(Default)]
struct Counted {
    ids: Vec<Uuid>,
    by_reason: BTreeMap<&'static str, u64>,
    /// The last `seq` of the listing: events that are enqueued later do not count.
    until: Option<i64>,
    has_more: bool,
}

/// Asks for confirmation.
pub(crate) async fn ask(deed: Deed, visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let selection = selection(deed, visit)?;
    let counted = count(deed, &selection, None, store).await?;
    confirm(deed, visit, &selection, &counted, None)
}

/// Does it, if nothing has changed since it was confirmed.
pub(crate) async fn act(deed: Deed, visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let selection = selection(deed, visit)?;
    let until = visit.query.parsed("until").map_err(Trouble::Request)?;
    let counted = count(deed, &selection, until, store).await?;
    if visit.query.get("set") != Some(counted.digest().as_str()) {
        let text = "The events have changed since they were counted. Nothing was done.";
        return confirm(deed, visit, &selection, &counted, Some(text.to_owned()));
    }
    let mut changed = 0;
    for ids in counted.ids.chunks(PAGE) {
        changed += deed.on(&**store, ids).await?;
    }
    tracing::info!(
        who = ?visit.who,
        selection = ?selection.pairs(),
        counted = counted.ids.len(),
        changed,
        "{} by the console", deed.verb(),
    );
    let mut query: Vec<(&str, String)> = match &selection {
        Selection::Filter(filter) => filter.pairs(),
        Selection::Ids(_) if deed == Deed::Retry => selection.pairs(),
        Selection::Ids(_) => Vec::new(),
    };
    query.extend(done(deed.verb(), changed));
    let page = match &selection {
        Selection::Ids(ids) if ids.len() == 1 && deed == Deed::Retry => "/event",
        _ => "/events",
    };
    Ok(respond::see_other(&visit.links.with(page, query)))
}

fn selection(deed: Deed, visit: &Visit) -> Result<Selection, Trouble> {
    let ids = visit.query.ids().map_err(Trouble::Request)?;
    let mut filter = Filter::read(&visit.query).map_err(Trouble::Request)?;
    if ids.is_empty() {
        let mut selected = filter.selected();
        let restricted = deed.restrict(&mut selected);
        restricted.map_err(|error| Trouble::Request(error.to_string()))?;
        filter.states = selected.statuses;
        return Ok(Selection::Filter(filter));
    }
    if filter != Filter::default() {
        let text = "either ids or a filter select events, not both";
        return Err(Trouble::Request(text.to_owned()));
    }
    match ids.len() > IDS {
        true => Err(Trouble::Request(format!("at most {IDS} ids at once"))),
        false => Ok(Selection::Ids(ids)),
    }
}

impl Selection {
    /// As a query that selects the same.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Ids(ids) => ids.iter().map(|id| ("id", id.to_string())).collect(),
            Self::Filter(filter) => filter.pairs(),
        }
    }
}

impl Counted {
    fn add(&mut self, event: &OutboxEvent) {
        self.ids.push(event.id);
        *self.by_reason.entry(reason_or_state(event)).or_default() += 1;
    }

    /// A digest of the ids in their order.
    fn digest(&self) -> String {
        let ids: Vec<&[u8]> = self.ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        hex(&digest(&ids)[..16])
    }
}

/// Finds the events, page by page: each is a short transaction.
async fn count(
    deed: Deed,
    selection: &Selection,
    until: Option<i64>,
    store: &Store,
) -> Result<Counted, Trouble> {
    let mut counted = Counted {
        until,
        ..Counted::default()
    };
    let filter = match selection {
        Selection::Filter(filter) => filter.selected(),
        Selection::Ids(ids) => {
            for id in ids {
                let event = store.fetch_event(*id).await?;
                let fits = |event: &OutboxEvent| deed.states().contains(&event.status);
                if let Some(event) = event.filter(fits) {
                    counted.add(&event);
                }
            }
            return Ok(counted);
        }
    };
    let from = until.map(|until| PageKey::new(i64::MIN, until));
    let mut pages = Pages::new(store.clone(), filter)
        .starting_at(from)
        .limit(MOST);
    while let Some(events) = pages.step().await? {
        events.iter().for_each(|event| counted.add(event));
        let listed = pages.position().map(PageKey::until);
        let last = events.last().map(|event| event.seq);
        counted.until = until.or(listed).or(counted.until).or(last);
    }
    counted.has_more = !pages.has_ended();
    Ok(counted)
}

fn confirm(
    deed: Deed,
    visit: &Visit,
    selection: &Selection,
    counted: &Counted,
    text: Option<String>,
) -> Result<Response, Trouble> {
    let count = counted.ids.len();
    let events = if count == 1 { "event" } else { "events" };
    let mut query = selection.pairs();
    let back = match selection {
        Selection::Filter(filter) => visit.links.with("/events", filter.pairs()),
        Selection::Ids(_) => visit.links.with("/event", query.iter().take(1).cloned()),
    };
    query.push(("set", counted.digest()));
    query.extend(counted.until.map(|until| ("until", until.to_string())));
    let verb = match deed {
        Deed::Retry => "Retry",
        Deed::Discard => "Discard",
    };
    let action = format!("{}?{}", visit.links.to(&visit.path), encoded(query));
    let status = match text {
        Some(_) => StatusCode::CONFLICT,
        None => StatusCode::OK,
    };
    let title = match deed {
        Deed::Retry => "Retry events",
        Deed::Discard => "Discard dead letters",
    };
    let states: Vec<&str> = deed
        .states()
        .iter()
        .map(|state: &OutboxStatus| state.as_str())
        .collect();
    let page = Page {
        frame: Frame::of(visit, title).still(),
        text,
        question: match count {
            0 => format!("No event that is {} is selected.", states.join(" or ")),
            _ => format!("{verb} {count} {events}?"),
        },
        counts: counted
            .by_reason
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect(),
        has_more: counted.has_more,
        most: MOST,
        action: (count > 0).then_some(action),
        verb: format!("{verb} {count} {events}"),
        is_final: deed == Deed::Discard,
        back,
    };
    respond::page(status, &page)
}
