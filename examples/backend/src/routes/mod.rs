//! The endpoints: one table, whose rows are in one file per family.

use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::answer::{Done, Envelope, Refusal};
use crate::auth::Sessions;
use crate::rules::Checked;
use crate::store::{Entity, Store, new_id};

pub(crate) mod account; // logging in and refreshing

pub(crate) mod batch; // several requests in one call
pub(crate) mod kept; // shared by several families

pub(crate) mod consultation; // conversations, and the messages in them
pub(crate) mod goal;
pub(crate) mod journal;
pub(crate) mod mood;

pub(crate) mod activity;
pub(crate) mod meal;
pub(crate) mod profile;
pub(crate) mod progress;
pub(crate) mod sleep;
pub(crate) mod template;
pub(crate) mod workout;

/// A row of the table: an endpoint.
#[derive(Debug)]
pub(crate) struct Route {
    /// Such as `POST /api/v1/goals/{id}/complete`; the audit and the fault rules use this name.
    pub(crate) name: &'static str,
    pub(crate) envelope: Envelope,
    pub(crate) action: Action,
}

/// The function of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// For any holder of the API key.
    Open(fn(&mut Sessions, &Visit<'_>) -> Result<Done, Refusal>),
    /// For a signed-in user.
    User(fn(&mut Store, &Visit<'_>) -> Result<Done, Refusal>),
    /// For a signed-in user: several requests of that endpoint in one call, each with a key and an
    /// answer of its own.
    Batch(&'static Route),
}

/// A call, as an endpoint sees it.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    /// The user's id; empty for open endpoints.
    pub(crate) user: &'a str,
    /// The address of the user's login.
    pub(crate) email: &'a str,
    /// The `{id}` of the path; empty if there is none.
    pub(crate) id: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) key: Option<&'a str>,
    pub(crate) seq: u64,
    pub(crate) now: DateTime<Utc>,
}

/// All endpoints.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    [
        account::ROUTES,
        mood::ROUTES,
        journal::ROUTES,
        goal::ROUTES,
        consultation::ROUTES,
        progress::ROUTES,
        sleep::ROUTES,
        meal::ROUTES,
        workout::ROUTES,
        template::ROUTES,
        activity::ROUTES,
        profile::ROUTES,
    ]
    .into_iter()
    .flatten()
}

impl Route {
    const fn user(
        name: &'static str,
        envelope: Envelope,
        action: fn(&mut Store, &Visit<'_>) -> Result<Done, Refusal>,
    ) -> Self {
        Self {
            name,
            envelope,
            action: Action::User(action),
        }
    }

    /// The method and the path of a name. The table is constant, and a test starts a service with
    /// all of it.
    pub(crate) fn method_and_path(&self) -> (Method, &'static str) {
        let (method, path) = self.name.split_once(' ').unwrap_or(("GET", self.name));
        (
            Method::from_bytes(method.as_bytes()).unwrap_or_default(),
            path,
        )
    }
}

impl Visit<'_> {
    /// The body as the endpoint's type.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Checked<T> {
        serde_json::from_slice(self.body).map_err(Refusal::invalid)
    }
}

/// An entity that requests create.
pub(crate) trait Create: Entity {
    type Draft: DeserializeOwned;

    fn create(draft: Self::Draft, id: String, visit: &Visit<'_>) -> Checked<Self>;
}

/// An entity that requests change. A refused request must not change anything.
pub(crate) trait Change: Entity {
    type Change: DeserializeOwned;

    fn change(&mut self, change: Self::Change, visit: &Visit<'_>) -> Checked;
}

/// 201 with the new entity.
fn create<E: Create>(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let id = new_id();
    let entity = E::create(visit.read()?, id.clone(), visit)?;
    let done = Done::created(&entity).about(&id);
    E::collection(store).insert(id, entity, visit);
    Ok(done)
}

/// 200 with the current state.
fn change<E: Change>(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let entity = E::collection(store).get_mut(visit.user, visit.id)?;
    entity.change(visit.read()?, visit)?;
    Ok(Done::ok(entity).about(visit.id))
}

/// 204.
fn remove<E: Entity>(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    E::collection(store).remove(visit.user, visit.id)?;
    Ok(Done::no_content().about(visit.id))
}

/// 200 with one entity.
fn read<E: Entity>(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let entity = E::collection(store).get(visit.user, visit.id)?;
    Ok(Done::ok(entity).about(visit.id))
}

/// 200 with a page of the user's entities, the oldest first: `{"items":[..],"total":n}`. All of
/// them without a `limit`.
fn list<E: Entity>(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    page(E::collection(store).of(visit.user), visit)
}

fn page<'a, E: Entity + 'a>(
    entities: impl Iterator<Item = &'a E>,
    visit: &Visit<'_>,
) -> Result<Done, Refusal> {
    let page = Page::of(visit.query)?;
    let all: Vec<&E> = entities.collect();
    let items: Vec<&E> = all
        .iter()
        .copied()
        .skip(page.offset)
        .take(page.limit)
        .collect();
    Ok(Done::new(
        StatusCode::OK,
        json!({ "items": items, "total": all.len() }),
    ))
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Page {
    limit: usize,
    offset: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            limit: usize::MAX,
            offset: 0,
        }
    }
}

impl Page {
    fn of(query: &str) -> Checked<Self> {
        let uri = axum::http::Uri::builder()
            .path_and_query(format!("/?{query}"))
            .build();
        let uri = uri.map_err(Refusal::invalid)?;
        let page = axum::extract::Query::try_from_uri(&uri).map_err(Refusal::invalid)?;
        Ok(page.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_has_a_name_of_its_own_that_is_a_method_and_a_path() {
        let mut names = BTreeSet::new();
        for route in all() {
            let (method, path) = route.method_and_path();
            assert_eq!(format!("{method} {path}"), route.name);
            assert!(axum::routing::MethodFilter::try_from(method).is_ok());
            assert!(names.insert(route.name), "{} is there twice", route.name);
        }
    }

    #[test]
    fn the_readme_has_every_collection() {
        let readme = include_str!("../../README.md");
        for route in all() {
            let (_, path) = route.method_and_path();
            let collection = path.split("/{id}").next().unwrap_or(path);
            let collection = ["/natural", "/batch", "/physical"]
                .into_iter()
                .fold(collection, |path, action| {
                    path.strip_suffix(action).unwrap_or(path)
                });
            assert!(readme.contains(collection), "{} is missing", route.name);
        }
    }
}
