//! The filter of a request as conditions on the row `e`. Every value is bound, and lists are one
//! value, so the text depends on the kinds of conditions only.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{ClaimRequest, EventTypes, Selector};
use tokio_postgres::types::ToSql;

/// A statement in the making: its text, and the values of its parameters.
#[derive(Default)]
pub(crate) struct Params(Vec<Box<dyn ToSql + Sync + Send>>);

impl Params {
    /// Adds a value and returns its placeholder.
    pub(crate) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    pub(crate) fn as_refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0
            .iter()
            .map(|value| &**value as &(dyn ToSql + Sync))
            .collect()
    }
}

/// The conditions of the request, each with `AND` before it.
pub(crate) fn conditions(request: &ClaimRequest, params: &mut Params) -> String {
    let mut all = Vec::new();
    if let Some(user_id) = request.user_id() {
        all.push(format!("e.user_id = {}", params.bind(user_id.to_owned())));
    }
    all.extend(of_types(request.event_types(), params));
    if !request.excluded_users().is_empty() {
        let users = params.bind(request.excluded_users().to_vec());
        all.push(format!("e.user_id <> ALL ({users}::text[])"));
    }
    for selector in request.included() {
        all.push(of_selector(selector, params));
    }
    for excluded in of_excluded(request.excluded(), params) {
        all.push(format!("NOT coalesce({excluded}, false)"));
    }
    all.iter()
        .map(|condition| format!(" AND {condition}"))
        .collect()
}

fn of_types(types: &EventTypes, params: &mut Params) -> Option<String> {
    match types {
        EventTypes::Only(types) => {
            let types = params.bind(types.clone());
            Some(format!("e.event_type = ANY ({types}::text[])"))
        }
        EventTypes::AllExcept(types) if types.is_empty() => None,
        EventTypes::AllExcept(types) => {
            let types = params.bind(types.clone());
            Some(format!("e.event_type <> ALL ({types}::text[])"))
        }
    }
}

/// `''` stands for an event without a destination, because no destination is empty.
fn destinations(of: &[Option<String>]) -> Vec<String> {
    of.iter()
        .map(|one| one.clone().unwrap_or_default())
        .collect()
}

fn of_selector(selector: &Selector, params: &mut Params) -> String {
    let mut all = Vec::new();
    let types = selector.of_event_types();
    all.extend(types.and_then(|types| of_types(types, params)));
    if let Some(of) = selector.of_destinations() {
        let list = params.bind(destinations(of));
        all.push(format!(
            "coalesce(e.destination, '') = ANY ({list}::text[])"
        ));
    }
    if let Some(user_id) = selector.of_user() {
        all.push(format!("e.user_id = {}", params.bind(user_id.to_owned())));
    }
    if all.is_empty() {
        return "true".to_owned();
    }
    format!("({})", all.join(" AND "))
}

/// Selectors with the same event types, so that any number of them is a few conditions.
#[derive(Default)]
struct Group {
    everything: bool,
    users: Vec<String>,
    destinations: Vec<String>,
    /// Both, side by side.
    pairs: (Vec<String>, Vec<String>),
}

/// Conditions, any of which excludes an event.
fn of_excluded(selectors: &[Selector], params: &mut Params) -> Vec<String> {
    let mut groups: BTreeMap<Option<EventTypes>, Group> = BTreeMap::new();
    let mut types = Vec::new();
    for selector in selectors {
        let (user, to) = (selector.of_user(), selector.of_destinations());
        if let (Some(EventTypes::Only(only)), None, None) = (selector.of_event_types(), user, to) {
            types.extend(only.iter().cloned());
            continue;
        }
        let group = groups
            .entry(selector.of_event_types().cloned())
            .or_default();
        match (user, to) {
            (None, None) => group.everything = true,
            (Some(user), None) => group.users.push(user.to_owned()),
            (None, Some(to)) => group.destinations.extend(destinations(to)),
            (Some(user), Some(to)) => {
                for destination in destinations(to) {
                    group.pairs.0.push(user.to_owned());
                    group.pairs.1.push(destination);
                }
            }
        }
    }
    let mut excluded = Vec::new();
    if !types.is_empty() {
        let types = params.bind(types);
        excluded.push(format!("e.event_type = ANY ({types}::text[])"));
    }
    for (types, group) in groups {
        let mut any = Vec::new();
        if group.everything {
            any.push("true".to_owned());
        }
        if !group.users.is_empty() {
            let users = params.bind(group.users);
            any.push(format!("e.user_id = ANY ({users}::text[])"));
        }
        if !group.destinations.is_empty() {
            let list = params.bind(group.destinations);
            any.push(format!(
                "coalesce(e.destination, '') = ANY ({list}::text[])"
            ));
        }
        if !group.pairs.0.is_empty() {
            let (users, list) = (params.bind(group.pairs.0), params.bind(group.pairs.1));
            any.push(format!(
                "(e.user_id, coalesce(e.destination, '')) IN \
                 (SELECT u, d FROM unnest({users}::text[], {list}::text[]) x(u, d))"
            ));
        }
        if any.is_empty() {
            continue;
        }
        let any = format!("({})", any.join(" OR "));
        let types = types.as_ref().and_then(|types| of_types(types, params));
        excluded.push(match types {
            Some(types) => format!("({types} AND {any})"),
            None => any,
        });
    }
    excluded
}

/// The end of the lease of the row `e`, by its type.
pub(crate) fn lease_end(request: &ClaimRequest, now: DateTime<Utc>, params: &mut Params) -> String {
    let end = |lease| outbox_runtime::store::kit::after(now, lease);
    let usual = params.bind(end(request.lease()));
    let own = request.own_leases();
    if own.is_empty() {
        return format!("{usual}::timestamptz");
    }
    let types: Vec<String> = own.iter().map(|(of, _)| of.clone()).collect();
    let ends: Vec<DateTime<Utc>> = own.iter().map(|(_, lease)| end(*lease)).collect();
    let (types, ends) = (params.bind(types), params.bind(ends));
    format!(
        "coalesce((SELECT l.ends FROM unnest({types}::text[], {ends}::timestamptz[]) l(of_type, ends) \
         WHERE l.of_type = e.event_type LIMIT 1), {usual}::timestamptz)"
    )
}
