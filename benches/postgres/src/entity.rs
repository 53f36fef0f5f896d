//! The enqueued entity, and the columns that the floor writes for it.

use std::hash::{DefaultHasher, Hash, Hasher};

use outbox_contest::Mood;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The entity of every measurement.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = 5)]
pub(crate) struct MoodEntry {
    #[outbox(entity_id)]
    pub(crate) id: Uuid,
    #[outbox(user_id)]
    pub(crate) user_id: String,
    #[outbox(metadata)]
    pub(crate) valence: f64,
    #[outbox(metadata)]
    pub(crate) labels: Vec<String>,
}

/// The number of users whose entities are enqueued.
const USERS: usize = 97;

impl MoodEntry {
    /// An event of an entity of its own.
    pub(crate) fn new(number: usize) -> Self {
        let user_id = format!("user-{}", number % USERS);
        Self {
            user_id,
            ..Self::from(Mood::new(number))
        }
    }

    /// An event of the lane with this number, which is one entity.
    pub(crate) fn of_lane(number: usize, lane: usize) -> Self {
        // No id is nil.
        let lane = lane as u64 + 1;
        let id = Uuid::from_u64_pair(lane.wrapping_mul(0x9e37_79b9_7f4a_7c15), lane);
        Self {
            id,
            user_id: format!("user-{}", lane % USERS as u64),
            ..Self::from(Mood::new(number))
        }
    }

    /// This many events with this many of each lane. The lanes come in turns, as they do when many
    /// entities change at the same time.
    pub(crate) fn many(count: usize, per_lane: usize) -> impl Iterator<Item = Self> {
        let lanes = count.div_ceil(per_lane.max(1)).max(1);
        (0..count).map(move |number| match per_lane {
            0 | 1 => Self::new(number),
            _ => Self::of_lane(number, number % lanes),
        })
    }
}

impl From<Mood> for MoodEntry {
    fn from(mood: Mood) -> Self {
        Self {
            id: mood.id,
            user_id: mood.user_id,
            valence: mood.valence,
            labels: mood.labels,
        }
    }
}

/// The payload that a handler received, if its entity has an id like those of [`Mood`].
pub(crate) fn mood(event: &Event<MoodEntry>) -> Option<Mood> {
    let metadata = event.metadata();
    Some(Mood {
        id: event.entity_id.as_uuid()?,
        user_id: event.user_id.clone(),
        valence: metadata.valence,
        labels: metadata.labels.clone(),
    })
}

/// The metadata as a program without the derive would write and read it.
#[derive(Debug, Serialize, Deserialize)]
struct Body<L> {
    valence: f64,
    labels: L,
}

/// The values that the floor binds for one event.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    /// A number for the entity, of which the floor makes no use.
    pub(crate) lane: i64,
    pub(crate) entity_id: String,
    pub(crate) user_id: String,
    pub(crate) metadata: String,
}

impl Row {
    pub(crate) fn of(mood: &MoodEntry) -> anyhow::Result<Self> {
        let body = Body {
            valence: mood.valence,
            labels: &mood.labels,
        };
        let mut lane = DefaultHasher::new();
        (&mood.user_id, mood.id).hash(&mut lane);
        Ok(Self {
            id: Uuid::now_v7(),
            lane: lane.finish().cast_signed(),
            entity_id: mood.id.to_string(),
            user_id: mood.user_id.clone(),
            metadata: serde_json::to_string(&body)?,
        })
    }
}

/// The event as the floor's handler receives it.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    pub(crate) entity_id: String,
    pub(crate) user_id: String,
    pub(crate) metadata: String,
}

impl Claimed {
    /// The payload that was written, if it has its keys and can be read.
    pub(crate) fn mood(&self) -> Option<Mood> {
        let body: Body<Vec<String>> = serde_json::from_str(&self.metadata).ok()?;
        let id = self.entity_id.parse().ok()?;
        Some(Mood {
            id,
            user_id: self.user_id.clone(),
            valence: body.valence,
            labels: body.labels,
        })
    }
}
