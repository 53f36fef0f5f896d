//! What the service holds: a collection for each kind of entity, each entity with its owner.

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

/// A kind of thing that is held.
pub(crate) trait Entity: Serialize + Sized {
    /// What its collection is called in the audit.
    const COLLECTION: &'static str;
    /// What one is called in errors.
    const NOUN: &'static str;
    /// What somebody is told who asks for that of another user.
    const STRANGER: Stranger;

    /// Its collection.
    fn collection(store: &mut Store) -> &mut Collection<Self>;
}

/// What somebody is told who asks for what another user owns.
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

/// The entities of one kind, in the order in which they were made.
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

/// An id for something new: a UUID in lower case.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().hyphenated().to_string()
}

impl<E: Entity> Collection<E> {
    /// Takes in what a call has made.
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

    /// One entity, by the id exactly as the service wrote it.
    pub(crate) fn get(&self, user: &str, id: &str) -> Result<&E, Refusal> {
        let place = self.place(user, id)?;
        let record = self.records.get(&place);
        record
            .map(|record| &record.entity)
            .ok_or_else(|| Refusal::not_found(E::NOUN))
    }

    /// The same, to change it.
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

    /// Drops what belonged to something that is gone.
    pub(crate) fn retain(&mut self, keep: impl Fn(&E) -> bool) {
        self.records.retain(|_, record| keep(&record.entity));
        self.places
            .retain(|_, place| self.records.contains_key(place));
    }

    /// Those of a user.
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
    /// Everything, by collection.
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
