//! The tables of conversations and their messages.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension, Row, params};

use crate::entities::{ChatMessage, Conversation, Persona};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS conversations (
    id       BLOB PRIMARY KEY,
    user_id  TEXT NOT NULL,
    persona  TEXT NOT NULL,
    goal_id  BLOB,
    archived INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chat_messages (
    id              BLOB PRIMARY KEY,
    conversation_id BLOB NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role            TEXT NOT NULL,
    content         TEXT NOT NULL,
    sent_at         TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chat_messages_by_conversation ON chat_messages (conversation_id)";

/// The speaker of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The user.
    User,
    /// The adviser.
    Assistant,
}

impl Role {
    /// Parses it; anyone but the user is the adviser.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "user" => Self::User,
            _ => Self::Assistant,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The id on this device.
    pub id: LocalId,
    /// The conversation.
    pub conversation_id: LocalId,
    /// The speaker.
    pub role: Role,
    /// The text.
    pub content: String,
    /// The time.
    pub sent_at: DateTime<Utc>,
}

impl StoredMessage {
    /// Writes it, if it is new.
    ///
    /// # Errors
    ///
    /// If the database refuses it, for example because the conversation does not exist.
    pub fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached("INSERT OR REPLACE INTO chat_messages VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                self.id,
                self.conversation_id,
                self.role.as_str(),
                self.content,
                self.sent_at.to_rfc3339()
            ])
            .map(drop)
    }
}

impl Conversation {
    /// The payload; the end of a conversation has no message.
    pub(super) fn says(
        &self,
        message_id: Option<LocalId>,
        content: String,
        at: DateTime<Utc>,
    ) -> ChatMessage {
        ChatMessage {
            conversation_id: self.id,
            user_id: self.user_id.clone(),
            message_id,
            persona: self.persona,
            goal_id: self.goal_id,
            content,
            sent_at: at,
        }
    }

    /// Writes the current state.
    ///
    /// # Errors
    ///
    /// If the database refuses it.
    pub fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "INSERT INTO conversations VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET persona = ?3, goal_id = ?4, archived = ?5",
        )?
        .execute(params![
            self.id,
            self.user_id,
            self.persona.as_str(),
            self.goal_id,
            self.archived
        ])
        .map(drop)
    }

    /// Reads it, if it exists.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn load(conn: &Connection, id: LocalId) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM conversations WHERE id = ?1")?
            .query_row([id], from_row)
            .optional()
    }

    /// All entities of a user.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn list(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>> {
        conn.prepare_cached("SELECT * FROM conversations WHERE user_id = ?1 ORDER BY id")?
            .query_map([user_id], from_row)?
            .collect()
    }

    /// Removes it with its messages. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// If the database cannot be written.
    pub fn remove(conn: &Connection, id: LocalId) -> rusqlite::Result<bool> {
        // Not every connection to the file enforces foreign keys.
        conn.execute("DELETE FROM chat_messages WHERE conversation_id = ?1", [id])?;
        Ok(conn.execute("DELETE FROM conversations WHERE id = ?1", [id])? > 0)
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        persona: Persona::from_word(&row.get::<_, String>("persona")?),
        goal_id: row.get("goal_id")?,
        archived: row.get("archived")?,
    })
}
