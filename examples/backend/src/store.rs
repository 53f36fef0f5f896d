//! The stored entities: a collection per kind, each entity with its owner.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::answer::Refusal;
use crate::audit::Held;
use crate::routes::Visit;
use crate::routes::{
    activity::Snapshot, consultation::Consultation, consultation::Message, goal::Goal,
    journal::JournalEntry, meal::MealLog, mood::MoodEntry, profile::Profile,
    progress::ProgressEntry, sleep::SleepSession, template::WorkoutTemplate, workout::Workout,
};

/// A kind of stored entity.
pub(crate) trait Entity: Serialize + Sized {
    /// The name of its collection in the audit.
    const COLLECTION: &'static str;
    /// The name in errors.
    const NOUN: &'static str;
    /// The answer to a user who requests another user's entity.
    const STRANGER: Stranger;

    /// The collection.
    fn collection(store: &mut Store) -> &mut Collection<Self>;
}

/// The answer to a request for another user's entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// 403
    Forbidden,
    /// 404
    NotFound,
}

/// All collections.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) moods: Collection<MoodEntry>,
    pub(crate) journal: Collection<JournalEntry>,
    pub(crate) goals: Collection<Goal>,
    pub(crate) consultations: Collection<Consultation>,
    pub(crate) messages: Collection<Message>,
    pub(crate) progress: Collection<ProgressEntry>,
    pub(crate) sleep: Collection<SleepSession>,
    pub(crate) meals: Collection<MealLog>,
    pub(crate) workouts: Collection<Workout>,
    pub(crate) templates: Collection<WorkoutTemplate>,
    pub(crate) snapshots: Collection<Snapshot>,
    pub(crate) profiles: Collection<Profile>,
}

/// The entities of one kind in order of creation.
#[derive(Debug)]
pub(crate) struct Collection<E> {
    records: BTreeMap<u64, Record<E>>,
    places: HashMap<String, u64>,
    next: u64,
}

#[derive(Debug)]
struct Record<E> {
    id: String,
    owner: String,
    key: Option<String>,
    created_by: u64,
    entity: E,
}

impl<E> Default for Collection<E> {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
        }
    }
}

/// A new id: a UUID in lower case.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().hyphenated().to_string()
}

impl<E: Entity> Collection<E> {
    /// Stores a new entity.
    pub(crate) fn insert(&mut self, id: String, entity: E, visit: &Visit<'_>) {
        let place = self.next;
        self.next += 1;
        self.places.insert(id.clone(), place);
        let record = Record {
            id,
            owner: visit.user.to_owned(),
            key: visit.key.map(str::to_owned),
            created_by: visit.seq,
            entity,
        };
        self.records.insert(place, record);
    }

    /// An entity by the exact id of the service.
    pub(crate) fn get(&self, user: &str, id: &str) -> Result<&E, Refusal> {
        let place = self.place(user, id)?;
        let record = self.records.get(&place);
        record
            .map(|record| &record.entity)
            .ok_or_else(|| Refusal::not_found(E::NOUN))
    }

    /// The same, mutable.
    pub(crate) fn get_mut(&mut self, user: &str, id: &str) -> Result<&mut E, Refusal> {
        let place = self.place(user, id)?;
        let record = self.records.get_mut(&place);
        record
            .map(|record| &mut record.entity)
            .ok_or_else(|| Refusal::not_found(E::NOUN))
    }

    pub(crate) fn remove(&mut self, user: &str, id: &str) -> Result<(), Refusal> {
        let place = self.place(user, id)?;
        self.records.remove(&place);
        self.places.remove(id);
        Ok(())
    }

    /// Removes the dependents of a deleted entity.
    pub(crate) fn retain(&mut self, keep: impl Fn(&E) -> bool) {
        self.records.retain(|_, record| keep(&record.entity));
        self.places
            .retain(|_, place| self.records.contains_key(place));
    }

    /// The entities of a user.
    pub(crate) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a E> {
        let records = self
            .records
            .values()
            .filter(move |record| record.owner == user);
        records.map(|record| &record.entity)
    }

    fn place(&self, user: &str, id: &str) -> Result<u64, Refusal> {
        let place = self.places.get(id).copied();
        let owner = place
            .and_then(|place| self.records.get(&place))
            .map(|record| record.owner.as_str());
        match (place, owner) {
            (Some(place), Some(owner)) if owner == user => Ok(place),
            (Some(_), Some(_)) if E::STRANGER == Stranger::Forbidden => Err(Refusal::new(
                axum::http::StatusCode::FORBIDDEN,
                "you do not have access to this resource",
            )),
            _ => Err(Refusal::not_found(E::NOUN)),
        }
    }

    fn held(&self) -> (String, Vec<Held>) {
        let held = self.records.values().map(|record| Held {
            id: record.id.clone(),
            owner: record.owner.clone(),
            key: record.key.clone(),
            created_by: record.created_by,
            entity: serde_json::to_value(&record.entity).unwrap_or(Value::Null),
        });
        (E::COLLECTION.to_owned(), held.collect())
    }
}

impl Store {
    /// All entities by collection.
    pub(crate) fn held(&self) -> BTreeMap<String, Vec<Held>> {
        BTreeMap::from([
            self.moods.held(),
            self.journal.held(),
            self.goals.held(),
            self.consultations.held(),
            self.messages.held(),
            self.progress.held(),
            self.sleep.held(),
            self.meals.held(),
            self.workouts.held(),
            self.templates.held(),
            self.snapshots.held(),
            self.profiles.held(),
        ])
    }
}
