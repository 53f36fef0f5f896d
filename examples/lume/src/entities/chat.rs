//! Conversations with an adviser, and the messages in them.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::Goal;
use crate::v6;

/// A conversation with an adviser. Archiving is local only: the service has no equivalent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The id on this device.
    pub id: LocalId,
    /// The owner.
    pub user_id: String,
    /// The adviser.
    pub persona: Persona,
    /// The goal of the conversation, which the service must know first.
    pub goal_id: Option<LocalId>,
    /// Archived on this device.
    pub archived: bool,
}

/// A sent message; the first one opens the conversation at the service.
///
/// Its entity is the conversation, so that messages arrive in order, and the deletion of the
/// conversation after them.
#[derive(Clone, PartialEq, Serialize, Deserialize, OutboxEntity)]
#[outbox(
    event_type = "chatMessage",
    display_name = "Chat Message",
    priority = 5
)]
#[outbox(snapshot, version = 2, upcast(1 = v6::ConversationDeleted))]
pub struct ChatMessage {
    /// The conversation.
    #[outbox(entity_id)]
    pub conversation_id: LocalId,
    /// The owner.
    #[outbox(user_id)]
    pub user_id: String,
    /// The id on this device. The deletion of a conversation has none.
    pub message_id: Option<LocalId>,
    /// The adviser; with the goal, it identifies a conversation at the service.
    pub persona: Persona,
    /// The goal of the conversation, which the service must know first.
    #[outbox(after = Goal)]
    pub goal_id: Option<LocalId>,
    /// 1 to 5,000 characters.
    #[outbox(sensitive)]
    pub content: String,
    /// The time.
    pub sent_at: DateTime<Utc>,
}

/// The metadata of a conversation event: the message.
pub type ChatMessageMetadata = ChatMessage;

/// The adviser.
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
    /// The service's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GeneralWellness => "general_wellness",
            Self::WellnessSpecialist => "wellness_specialist",
            Self::Nutritionist => "nutritionist",
            Self::FitnessCoach => "fitness_coach",
        }
    }

    /// Parses it; the app's own personas, which the service does not know, become the general one.
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
