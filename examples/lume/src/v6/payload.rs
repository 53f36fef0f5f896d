//! The payloads of V6: a type per generation, and its upcast.
//!
//! Unknown keys are ignored; keys that V6 always wrote are required, so that a payload matches only
//! its own generation.

use fitiq_core::LocalId;
use serde::Deserialize;

use super::date::V6Date;
use crate::entities::{ChatMessage, GoalStatus, JournalEntry, MoodEntry, Persona};

/// The oldest form of a mood, from the guide: a name, without an owner.
#[derive(Debug, Clone, Deserialize)]
pub struct GuideMood {
    id: LocalId,
    mood: String,
    note: Option<String>,
    date: V6Date,
    /// Distinguishes it from the next form.
    #[serde(rename = "timestamp")]
    _timestamp: V6Date,
}

/// The form of the first API: a name, later with an intensity from 1 to 10.
#[derive(Debug, Clone, Deserialize)]
pub struct NamedMood {
    id: LocalId,
    user_id: String,
    mood: String,
    intensity: Option<f64>,
    note: Option<String>,
    date: V6Date,
}

/// The last form of V6.
#[derive(Debug, Clone, Deserialize)]
pub struct ValenceMood {
    id: LocalId,
    user_id: String,
    valence: f64,
    labels: Vec<String>,
    associations: Option<Vec<String>>,
    notes: Option<String>,
    date: V6Date,
}

/// A deletion of any kind. Older ones had only `id`.
#[derive(Debug, Clone, Deserialize)]
pub struct Deleted {
    #[serde(alias = "id")]
    local_id: LocalId,
    /// Text, because V6 wrote `none` for a missing id.
    #[serde(alias = "backendId", alias = "backendID")]
    backend_id: Option<String>,
}

/// The planned form of journal entries: it names one without its content.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedJournal {
    #[serde(rename = "entryId")]
    entry_id: LocalId,
    #[serde(rename = "userId")]
    user_id: String,
}

/// A journal entry.
#[derive(Debug, Clone, Deserialize)]
pub struct Journal {
    id: LocalId,
    user_id: String,
    title: Option<String>,
    content: String,
    tags: Option<Vec<String>>,
    entry_type: Option<String>,
    is_favorite: Option<bool>,
    linked_mood_id: Option<LocalId>,
    date: V6Date,
}

/// A goal, after any change.
#[derive(Debug, Clone, Deserialize)]
pub struct Goal {
    id: LocalId,
    user_id: String,
    title: String,
    description: Option<String>,
    category: Option<String>,
    status: Option<String>,
    created_at: V6Date,
    target_date: Option<V6Date>,
    target_value: Option<f64>,
    target_unit: Option<String>,
    current_value: Option<f64>,
    progress: Option<f64>,
    backend_id: Option<String>,
}

/// The deletion of a conversation.
#[derive(Debug, Clone, Deserialize)]
pub struct ConversationDeleted {
    conversation_id: LocalId,
}

impl From<GuideMood> for MoodEntry {
    fn from(old: GuideMood) -> Self {
        Self {
            id: old.id,
            user_id: String::new(),
            valence: valence_of(&old.mood, None),
            labels: vec![old.mood],
            associations: Vec::new(),
            notes: old.note,
            logged_at: old.date.time(),
        }
    }
}

impl From<NamedMood> for MoodEntry {
    fn from(old: NamedMood) -> Self {
        Self {
            id: old.id,
            user_id: old.user_id,
            valence: valence_of(&old.mood, old.intensity),
            labels: vec![old.mood],
            associations: Vec::new(),
            notes: old.note,
            logged_at: old.date.time(),
        }
    }
}

impl From<ValenceMood> for MoodEntry {
    fn from(old: ValenceMood) -> Self {
        Self {
            id: old.id,
            user_id: old.user_id,
            valence: old.valence,
            labels: old.labels,
            associations: old.associations.unwrap_or_default(),
            notes: old.notes,
            logged_at: old.date.time(),
        }
    }
}

impl From<Deleted> for MoodEntry {
    fn from(old: Deleted) -> Self {
        Self {
            id: old.local_id,
            user_id: String::new(),
            valence: 0.0,
            labels: Vec::new(),
            associations: Vec::new(),
            notes: None,
            logged_at: chrono::DateTime::UNIX_EPOCH,
        }
    }
}

impl From<PlannedJournal> for JournalEntry {
    fn from(old: PlannedJournal) -> Self {
        Self {
            id: old.entry_id,
            user_id: old.user_id,
            title: None,
            content: String::new(),
            tags: Vec::new(),
            entry_type: "freeform".to_owned(),
            is_favorite: false,
            linked_mood_id: None,
            logged_at: chrono::DateTime::UNIX_EPOCH,
        }
    }
}

impl From<Journal> for JournalEntry {
    fn from(old: Journal) -> Self {
        Self {
            id: old.id,
            user_id: old.user_id,
            title: old.title,
            content: old.content,
            tags: old.tags.unwrap_or_default(),
            entry_type: old.entry_type.unwrap_or_else(|| "freeform".to_owned()),
            is_favorite: old.is_favorite.unwrap_or_default(),
            linked_mood_id: old.linked_mood_id,
            logged_at: old.date.time(),
        }
    }
}

impl From<Deleted> for JournalEntry {
    fn from(old: Deleted) -> Self {
        PlannedJournal {
            entry_id: old.local_id,
            user_id: String::new(),
        }
        .into()
    }
}

impl From<Goal> for crate::entities::Goal {
    fn from(old: Goal) -> Self {
        let start_date = old.created_at.time().date_naive();
        let target_value = old.target_value.filter(|value| *value > 0.0).unwrap_or(1.0);
        let progress = old.progress.unwrap_or_default().clamp(0.0, 1.0);
        Self {
            id: old.id,
            user_id: old.user_id,
            title: old.title,
            description: old.description.unwrap_or_default(),
            category: old.category.unwrap_or_else(|| "general".to_owned()),
            target_value,
            target_unit: old.target_unit.unwrap_or_else(|| "times".to_owned()),
            current_value: old
                .current_value
                .unwrap_or(progress * target_value)
                .max(0.0),
            start_date,
            target_date: old.target_date.map_or_else(
                || {
                    start_date
                        .checked_add_days(DEFAULT_DAYS)
                        .unwrap_or(start_date)
                },
                |date| date.time().date_naive(),
            ),
            status: GoalStatus::from_word(&old.status.unwrap_or_default()),
        }
    }
}

/// The default duration of a goal.
const DEFAULT_DAYS: chrono::Days = chrono::Days::new(30);

impl From<Deleted> for crate::entities::Goal {
    fn from(old: Deleted) -> Self {
        Self {
            id: old.local_id,
            user_id: String::new(),
            title: String::new(),
            description: String::new(),
            category: String::new(),
            target_value: 1.0,
            target_unit: String::new(),
            current_value: 0.0,
            start_date: chrono::NaiveDate::default(),
            target_date: chrono::NaiveDate::default(),
            status: GoalStatus::Archived,
        }
    }
}

impl From<ConversationDeleted> for ChatMessage {
    fn from(old: ConversationDeleted) -> Self {
        Self {
            conversation_id: old.conversation_id,
            user_id: String::new(),
            message_id: None,
            persona: Persona::GeneralWellness,
            goal_id: None,
            content: String::new(),
            sent_at: chrono::DateTime::UNIX_EPOCH,
        }
    }
}

/// Facts of a payload besides its content, for the migration.
pub(crate) struct Named {
    pub(crate) id: LocalId,
    pub(crate) user_id: Option<String>,
    pub(crate) backend_id: Option<String>,
}

macro_rules! names {
    ($($payload:ty: $id:ident, $user:expr, $backend:expr;)+) => {$(
        impl From<&$payload> for Named {
            fn from(payload: &$payload) -> Self {
                let user: fn(&$payload) -> Option<String> = $user;
                let backend: fn(&$payload) -> Option<String> = $backend;
                Self { id: payload.$id, user_id: user(payload), backend_id: backend(payload) }
            }
        }
    )+};
}

names! {
    GuideMood: id, |_| None, |_| None;
    NamedMood: id, |old| Some(old.user_id.clone()), |_| None;
    ValenceMood: id, |old| Some(old.user_id.clone()), |_| None;
    Deleted: local_id, |_| None, |old| old.backend_id.clone();
    PlannedJournal: entry_id, |old| Some(old.user_id.clone()), |_| None;
    Journal: id, |old| Some(old.user_id.clone()), |_| None;
    Goal: id, |old| Some(old.user_id.clone()), |old| old.backend_id.clone();
    ConversationDeleted: conversation_id, |_| None, |_| None;
}

/// The valences of named feelings.
fn valence_of(mood: &str, intensity: Option<f64>) -> f64 {
    let full = match mood {
        "amazed" | "excited" | "joyful" | "proud" => 0.9,
        "grateful" | "happy" => 0.8,
        "hopeful" | "content" | "peaceful" | "calm" => 0.5,
        "sad" | "lonely" | "worried" | "stressed" | "frustrated" => -0.6,
        "angry" | "anxious" | "overwhelmed" | "scared" => -0.8,
        _ => 0.0,
    };
    // The highest intensity is the full valence, the lowest a tenth of it.
    full * intensity.map_or(1.0, |intensity| intensity.clamp(1.0, 10.0) / 10.0)
}
