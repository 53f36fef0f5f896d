//! The requests and responses, and the app's own words where the service has none.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use fitiq_core::{LocalId, RemoteId};
use outbox_runtime::OutboxEntity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::db::Stored;
use crate::entities::{Goal, GoalStatus, JournalEntry, MoodEntry};

/// An entity with endpoints at the service: POST, PUT, DELETE and a list.
pub trait Wire:
    Stored + Sync + Serialize + DeserializeOwned + OutboxEntity<Metadata = Self>
{
    /// The service's representation.
    type Theirs: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static;

    /// Whether the service may need further calls after the one that creates it.
    const HAS_FURTHER_CALLS: bool = false;

    /// Whether it has content, and not just a name.
    fn has_content(&self) -> bool {
        true
    }

    /// An entity whose remote id its own requests have.
    fn refers_to(&self) -> Option<LocalId> {
        None
    }

    /// The body of a POST.
    fn to_create(&self, reference: Option<&RemoteId>) -> Value;

    /// The body of a PUT.
    fn to_update(&self, reference: Option<&RemoteId>) -> Value {
        self.to_create(reference)
    }

    /// Whether the service has the same content.
    fn is(&self, theirs: &Self::Theirs) -> bool;

    /// The remote id.
    fn remote_id(theirs: &Self::Theirs) -> &RemoteId;

    /// Converts the service's representation. `stored` is the local entity, which has more detail.
    fn of(theirs: Self::Theirs, id: LocalId, user_id: &str, stored: Option<Self>) -> Self;
}

/// A list response.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    /// The total number.
    pub items: Vec<T>,
}

/// Whole seconds: not every endpoint accepts fractions.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn is_time(ours: DateTime<Utc>, theirs: DateTime<Utc>) -> bool {
    ours.timestamp() == theirs.timestamp()
}

/// A mood of the service.
#[derive(Debug, Deserialize)]
pub struct TheirMood {
    id: RemoteId,
    valence: f64,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    associations: Vec<String>,
    notes: Option<String>,
    logged_at: DateTime<Utc>,
    source_id: Option<String>,
}

impl Wire for MoodEntry {
    type Theirs = TheirMood;

    fn to_create(&self, _: Option<&RemoteId>) -> Value {
        json!({
            "valence": self.valence.clamp(-1.0, 1.0),
            "labels": labels(&self.labels),
            "associations": associations(&self.associations),
            "notes": self.notes,
            "logged_at": time(self.logged_at),
            "source": "manual",
            "source_id": self.id,
        })
    }

    fn is(&self, theirs: &TheirMood) -> bool {
        theirs.source_id.as_deref() == Some(&self.id.to_string())
    }

    fn remote_id(theirs: &TheirMood) -> &RemoteId {
        &theirs.id
    }

    fn of(theirs: TheirMood, id: LocalId, user_id: &str, stored: Option<Self>) -> Self {
        // Keep the app's more precise word if it maps to the same word of the service.
        let (ours, about) = match stored {
            Some(stored) => (stored.labels, stored.associations),
            None => (Vec::new(), Vec::new()),
        };
        Self {
            id,
            user_id: user_id.to_owned(),
            valence: theirs.valence,
            labels: if labels(&ours) == theirs.labels {
                ours
            } else {
                theirs.labels
            },
            associations: if associations(&about) == theirs.associations {
                about
            } else {
                theirs.associations
            },
            notes: theirs.notes,
            logged_at: theirs.logged_at,
        }
    }
}

fn labels(words: &[String]) -> Vec<&str> {
    words.iter().filter_map(|word| label(word)).collect()
}

fn associations(words: &[String]) -> Vec<&str> {
    words.iter().map(|word| association(word)).collect()
}

/// The service's word for a feeling; `None` where it has none.
fn label(word: &str) -> Option<&str> {
    const KNOWN: [&str; 18] = [
        "amazed",
        "grateful",
        "happy",
        "proud",
        "hopeful",
        "content",
        "peaceful",
        "excited",
        "joyful",
        "sad",
        "angry",
        "stressed",
        "anxious",
        "frustrated",
        "overwhelmed",
        "lonely",
        "scared",
        "worried",
    ];
    match word {
        "calm" | "relaxed" => Some("peaceful"),
        "surprised" => Some("amazed"),
        "irritated" | "annoyed" => Some("frustrated"),
        word => KNOWN
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(word)),
    }
}

/// The service's word for a cause.
fn association(word: &str) -> &str {
    match word {
        "social" => "friends",
        "finances" => "money",
        word => word,
    }
}

/// A journal entry of the service.
#[derive(Debug, Deserialize)]
pub struct TheirJournal {
    id: RemoteId,
    title: Option<String>,
    content: String,
    #[serde(default)]
    tags: Vec<String>,
    entry_type: String,
    #[serde(default)]
    is_favorite: bool,
    logged_at: DateTime<Utc>,
}

impl Wire for JournalEntry {
    type Theirs = TheirJournal;

    fn has_content(&self) -> bool {
        !self.content.is_empty()
    }

    fn refers_to(&self) -> Option<LocalId> {
        self.linked_mood_id
    }

    fn to_create(&self, mood: Option<&RemoteId>) -> Value {
        let mut body = json!({
            "content": self.content,
            "content_format": "plain",
            "entry_type": entry_type(&self.entry_type),
            "tags": self.tags,
            "privacy_level": "private",
            "is_favorite": self.is_favorite,
            "logged_at": time(self.logged_at),
        });
        if let Some(title) = &self.title {
            body["title"] = json!(title);
        }
        if let Some(mood) = mood {
            body["linked_mood_id"] = json!(mood);
        }
        body
    }

    fn is(&self, theirs: &TheirJournal) -> bool {
        self.content == theirs.content
            && self.title == theirs.title
            && is_time(self.logged_at, theirs.logged_at)
    }

    fn remote_id(theirs: &TheirJournal) -> &RemoteId {
        &theirs.id
    }

    fn of(theirs: TheirJournal, id: LocalId, user_id: &str, stored: Option<Self>) -> Self {
        Self {
            id,
            user_id: user_id.to_owned(),
            title: theirs.title,
            content: theirs.content,
            tags: theirs.tags,
            // As for moods: keep the app's more precise word.
            entry_type: match &stored {
                Some(stored) if entry_type(&stored.entry_type) == theirs.entry_type => {
                    stored.entry_type.clone()
                }
                _ => theirs.entry_type,
            },
            is_favorite: theirs.is_favorite,
            linked_mood_id: stored.and_then(|stored| stored.linked_mood_id),
            logged_at: theirs.logged_at,
        }
    }
}

/// The service's word for a type of entry; it has none for what the app calls `reflection` and
/// `daily_log`.
fn entry_type(word: &str) -> &str {
    match word {
        "gratitude" | "goal_review" | "workout" | "meal" | "prompt" => word,
        _ => "freeform",
    }
}

/// A goal of the service.
#[derive(Debug, Deserialize)]
pub struct TheirGoal {
    id: RemoteId,
    title: String,
    #[serde(default)]
    description: String,
    target_value: f64,
    target_unit: String,
    pub(super) current_value: f64,
    start_date: NaiveDate,
    target_date: Option<NaiveDate>,
    pub(super) status: String,
}

impl Wire for Goal {
    type Theirs = TheirGoal;

    const HAS_FURTHER_CALLS: bool = true;

    fn to_create(&self, _: Option<&RemoteId>) -> Value {
        json!({
            "goal_type": goal_type(&self.category),
            "title": self.title,
            "description": self.description,
            "target_value": self.target_value,
            "target_unit": self.target_unit,
            "start_date": self.start_date,
            "target_date": self.target_date.max(self.start_date),
        })
    }

    fn to_update(&self, _: Option<&RemoteId>) -> Value {
        json!({
            "title": self.title,
            "description": self.description,
            "target_value": self.target_value,
            "target_date": self.target_date.max(self.start_date),
        })
    }

    fn is(&self, theirs: &TheirGoal) -> bool {
        self.title == theirs.title
            && self.description == theirs.description
            && self.start_date == theirs.start_date
    }

    fn remote_id(theirs: &TheirGoal) -> &RemoteId {
        &theirs.id
    }

    fn of(theirs: TheirGoal, id: LocalId, user_id: &str, stored: Option<Self>) -> Self {
        let status = match (GoalStatus::from_word(&theirs.status), &stored) {
            // The service has no paused status.
            (GoalStatus::Active, Some(stored)) if stored.status == GoalStatus::Paused => {
                GoalStatus::Paused
            }
            (status, _) => status,
        };
        Self {
            id,
            user_id: user_id.to_owned(),
            title: theirs.title,
            description: theirs.description,
            category: stored.map_or_else(|| "general".to_owned(), |stored| stored.category),
            target_value: theirs.target_value,
            target_unit: theirs.target_unit,
            current_value: theirs.current_value,
            start_date: theirs.start_date,
            target_date: theirs.target_date.unwrap_or(theirs.start_date),
            status,
        }
    }
}

/// The service's word for a kind of goal; it has none for mindfulness, and knows the body better
/// than the mind.
fn goal_type(category: &str) -> &'static str {
    match category {
        "physical" | "activity" => "activity",
        "nutrition" => "nutrition",
        "weight" => "weight",
        _ => "custom",
    }
}
