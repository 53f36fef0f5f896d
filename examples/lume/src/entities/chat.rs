//! Conversations with an adviser, and the messages in them.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::v6;

/// Messages with an adviser. Archiving it is local only: the service has nothing like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Made on this device.
    pub id: LocalId,
    /// Whose it is.
    pub user_id: String,
    /// Who advises.
    pub persona: Persona,
    /// The goal that it is about. It is opened once the service knows that.
    pub goal_id: Option<LocalId>,
    /// Out of sight, on this device.
    pub archived: bool,
}

/// A message that somebody sent; the first one opens the conversation at the service.
///
/// Its entity is the conversation, so that messages arrive in their order, and the deletion of the conversation after them.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = "chatMessage",
    display_name = "Chat Message",
    priority = 5
)]
#[outbox(snapshot, version = 2, upcast(1 = v6::ConversationDeleted))]
pub struct ChatMessage {
    /// The conversation that it is in.
    #[outbox(entity_id)]
    pub conversation_id: LocalId,
    /// Whose it is.
    #[outbox(user_id)]
    pub user_id: String,
    /// Made on this device. The deletion of a conversation has none.
    pub message_id: Option<LocalId>,
    /// Who advises; with the goal, what the service tells conversations apart by.
    pub persona: Persona,
    /// The goal that the conversation is about.
    pub goal_id: Option<LocalId>,
    /// 1 to 5,000 characters.
    #[outbox(sensitive)]
    pub content: String,
    /// The moment.
    pub sent_at: DateTime<Utc>,
}

/// What an event about a conversation carries: the message.
pub type ChatMessageMetadata = ChatMessage;

/// Who advises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Persona {
    /// Anything.
    GeneralWellness,
    /// Mind and mood.
    WellnessSpecialist,
    /// Food.
    Nutritionist,
    /// Exercise.
    FitnessCoach,
}

impl Persona {
    /// As the service spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GeneralWellness => "general_wellness",
            Self::WellnessSpecialist => "wellness_specialist",
            Self::Nutritionist => "nutritionist",
            Self::FitnessCoach => "fitness_coach",
        }
    }

    /// Reads it; the app's own personas, which the service does not take, advise on anything.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "wellness_specialist" => Self::WellnessSpecialist,
            "nutritionist" => Self::Nutritionist,
            "fitness_coach" => Self::FitnessCoach,
            _ => Self::GeneralWellness,
        }
    }
}
