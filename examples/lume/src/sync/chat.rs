//! Conversations: the first message opens one at the service, and the next ones follow.

use std::time::Duration;

use fitiq_core::{ApiError, Call, LocalId, RemoteId};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{LumeSync, Page, local_id};
use crate::db::{exists, links};
use crate::entities::{ChatMessage, Kind};

/// How long a conversation waits for capacity: the service allows ten at a time, and answers with
/// the status of a rate limit.
const FOR_A_PLACE: Duration = Duration::from_secs(60);

/// A conversation of the service. There is at most one per persona and goal.
#[derive(Debug, Deserialize)]
pub(super) struct TheirConversation {
    pub(super) id: RemoteId,
    pub(super) persona: String,
    pub(super) goal_id: Option<RemoteId>,
}

impl LumeSync {
    pub(super) async fn chat(&self, event: &Event<ChatMessage>) -> Result<(), HandlerError> {
        let id = local_id(event)?;
        let (link, here) = self
            .read(move |conn| Ok((links::of(conn, id)?, exists(conn, Kind::Conversation, id)?)))
            .await?;
        let remote_id = match link.remote_id {
            None if link.told && !here => self.find_conversation(event).await?,
            known => known,
        };
        match (event.operation, remote_id) {
            (Operation::Delete, remote_id) => {
                // Without an id it was never opened, so there is nothing to delete.
                if let Some(remote_id) = remote_id {
                    self.delete_remote(event, Kind::Conversation, &remote_id)
                        .await?;
                }
                let forget = move |conn: &Connection| links::forget(conn, id);
                Ok(self.finish(event, forget).await?)
            }
            _ if !here => Err(HandlerError::obsolete()),
            (_, None) => self.open(event, id).await,
            (_, Some(remote_id)) => match self.say(event, &remote_id).await {
                // It was ended elsewhere.
                Err(ApiError::NotFound(_)) => self.open(event, id).await,
                said => Ok(said?),
            },
        }
    }

    /// Opens the conversation with the message.
    async fn open(&self, event: &Event<ChatMessage>, id: LocalId) -> Result<(), HandlerError> {
        let message = event.metadata();
        let goal = self.reference(message.goal_id).await?;
        let user_id = event.user_id.clone();
        self.write(move |conn| {
            links::forget(conn, id)?;
            links::telling(conn, Kind::Conversation, id, &user_id, None)
        })
        .await?;
        let mut body = json!({
            "persona": message.persona.as_str(),
            "initial_message": message.content,
        });
        if let Some(goal) = &goal {
            body["goal_id"] = json!(goal);
            body["context_type"] = json!("goal");
            body["context_id"] = json!(goal);
        }
        let call = Call::post(event, Kind::Conversation.path()).json(&body)?;
        match self.api.send::<IgnoredAny>(call).await {
            Ok(answer) => {
                // Accepted but unreadable: the next message asks again, and learns the id from the
                // refusal.
                let (user_id, remote_id) = (event.user_id.clone(), answer.remote_id().cloned());
                let learn = move |conn: &Connection| match &remote_id {
                    Some(learned) => links::learn(conn, Kind::Conversation, id, &user_id, learned),
                    None => Ok(()),
                };
                Ok(self.finish(event, learn).await?)
            }
            Err(ApiError::Conflict {
                existing: Some(remote_id),
                ..
            }) => {
                self.learn(Kind::Conversation, id, &event.user_id, remote_id.clone())
                    .await?;
                Ok(self.say(event, &remote_id).await?)
            }
            Err(ApiError::RateLimited { after }) => {
                Err(HandlerError::snooze(after.max(FOR_A_PLACE)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn say(&self, event: &Event<ChatMessage>, remote_id: &RemoteId) -> Result<(), ApiError> {
        let call = Call::post(event, Kind::Conversation.path())
            .at(remote_id)
            .then("messages")
            .json(&json!({ "content": event.metadata().content }))?;
        self.api.send::<IgnoredAny>(call).await.map(drop)
    }

    /// Checks whether the service has the conversation after a lost response.
    async fn find_conversation(
        &self,
        event: &Event<ChatMessage>,
    ) -> Result<Option<RemoteId>, HandlerError> {
        let goal = self.reference(event.metadata().goal_id).await?;
        let call = Call::get(&event.user_id, Kind::Conversation.path());
        let page = self
            .api
            .send::<Page<TheirConversation>>(call)
            .await?
            .into_body();
        let mut theirs = page.map(|page| page.items).unwrap_or_default().into_iter();
        let same = |theirs: &TheirConversation| {
            theirs.persona == event.metadata().persona.as_str() && theirs.goal_id == goal
        };
        Ok(theirs.find(same).map(|theirs| theirs.id))
    }
}
