//! What the app is about, and the closed set of what it tells the service.

use outbox_runtime::prelude::*;

mod chat;
mod goal;
mod journal;
mod mood;

pub use self::chat::{ChatMessage, ChatMessageMetadata, Conversation, Persona};
pub use self::goal::{Goal, GoalMetadata, GoalStatus};
pub use self::journal::{JournalEntry, JournalEntryMetadata};
pub use self::mood::{MoodEntry, MoodEntryMetadata};

/// Everything that Lume sends. `outbox.lock` beside `Cargo.toml` has the shapes.
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

/// What kinds of entities the service knows, and how it calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`MoodEntry`]
    Mood,
    /// [`JournalEntry`]
    Journal,
    /// [`Goal`]
    Goal,
    /// [`Conversation`]; the service says consultation.
    Conversation,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mood, Self::Journal, Self::Goal, Self::Conversation];

    /// As it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mood => "mood",
            Self::Journal => "journal",
            Self::Goal => "goal",
            Self::Conversation => "conversation",
        }
    }

    /// Where the service has them.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mood => "/api/v1/wellness/mood-entries",
            Self::Journal => "/api/v1/journal",
            Self::Goal => "/api/v1/goals",
            Self::Conversation => "/api/v1/consultations",
        }
    }

    /// The type of the events about them.
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
