//! The entities and the event set of the app.

use outbox_runtime::prelude::*;

mod chat;
mod goal;
mod journal;
mod mood;

pub use self::chat::{ChatMessage, ChatMessageMetadata, Conversation, Persona};
pub use self::goal::{Goal, GoalMetadata, GoalStatus};
pub use self::journal::{JournalEntry, JournalEntryMetadata};
pub use self::mood::{MoodEntry, MoodEntryMetadata};

/// The events of Lume. `outbox.lock` beside `Cargo.toml` has their shapes.
#[derive(Debug, OutboxEvents)]
pub enum LumeEvent {
    /// A mood was logged, changed or deleted.
    MoodEntry(Event<MoodEntry>),
    /// A journal entry was written, changed or deleted.
    JournalEntry(Event<JournalEntry>),
    /// A goal was set, moved on, completed, archived or deleted.
    Goal(Event<Goal>),
    /// A message was sent in a conversation, or the conversation was deleted.
    ChatMessage(Event<ChatMessage>),
}

/// The kinds of entities that the service knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`MoodEntry`]
    Mood,
    /// [`JournalEntry`]
    Journal,
    /// [`Goal`]
    Goal,
    /// [`Conversation`]; the service calls it a consultation.
    Conversation,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Mood, Self::Journal, Self::Goal, Self::Conversation];

    /// The spelling in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mood => "mood",
            Self::Journal => "journal",
            Self::Goal => "goal",
            Self::Conversation => "conversation",
        }
    }

    /// The path at the service.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mood => "/api/v1/wellness/mood-entries",
            Self::Journal => "/api/v1/journal",
            Self::Goal => "/api/v1/goals",
            Self::Conversation => "/api/v1/consultations",
        }
    }

    /// The event type.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Mood => MoodEntry::EVENT_TYPE,
            Self::Journal => JournalEntry::EVENT_TYPE,
            Self::Goal => Goal::EVENT_TYPE,
            Self::Conversation => ChatMessage::EVENT_TYPE,
        }
    }
}
