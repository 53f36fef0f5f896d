//! `/api/v1/consultations`: its own envelope, at most ten at once, and one per persona and goal.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Route, Visit, list, page, read};
use crate::answer::{Done, Envelope, Refusal};
use crate::rules;
use crate::store::{Collection, Entity, Store, Stranger, new_id};

pub(super) const ROUTES: &[Route] = &[
    Route::user("POST /api/v1/consultations", Envelope::Consultations, begin),
    Route::user(
        "GET /api/v1/consultations",
        Envelope::Consultations,
        list::<Consultation>,
    ),
    Route::user(
        "GET /api/v1/consultations/{id}",
        Envelope::Consultations,
        read::<Consultation>,
    ),
    Route::user(
        "DELETE /api/v1/consultations/{id}",
        Envelope::Consultations,
        end,
    ),
    Route::user(
        "POST /api/v1/consultations/{id}/messages",
        Envelope::Consultations,
        say,
    ),
    Route::user(
        "GET /api/v1/consultations/{id}/messages",
        Envelope::Consultations,
        messages,
    ),
];

/// The most consultations per user.
const MOST: usize = 10;
/// Without the two that only the app knows.
const PERSONAS: [&str; 4] = [
    "general_wellness",
    "wellness_specialist",
    "nutritionist",
    "fitness_coach",
];

/// A conversation as sent. All existing ones are active.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Consultation {
    id: String,
    user_id: String,
    persona: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quick_action: Option<String>,
    message_count: usize,
    created_at: String,
    updated_at: String,
}

/// A message of a user.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Message {
    id: String,
    consultation_id: String,
    role: &'static str,
    content: String,
    created_at: String,
}

#[derive(Debug, Deserialize)]
struct Draft {
    persona: String,
    goal_id: Option<String>,
    initial_message: Option<String>,
    context_type: Option<String>,
    context_id: Option<String>,
    quick_action: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Said {
    content: String,
}

impl Entity for Consultation {
    const COLLECTION: &'static str = "consultations";
    const NOUN: &'static str = "consultation";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.consultations
    }
}

impl Entity for Message {
    const COLLECTION: &'static str = "messages";
    const NOUN: &'static str = "message";
    const STRANGER: Stranger = Stranger::Forbidden;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.messages
    }
}

fn begin(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let draft: Draft = visit.read()?;
    rules::one_of("persona", &draft.persona, &PERSONAS)?;
    if let Some(message) = &draft.initial_message {
        rules::length("initial_message", message, 1..=5000)?;
    }
    // A goal is known only by the service's lower-case id.
    let of_context = draft
        .context_id
        .as_ref()
        .filter(|_| draft.context_type.as_deref() == Some("goal"));
    for goal in draft.goal_id.iter().chain(of_context) {
        store.goals.get(visit.user, goal)?;
    }
    check_room(&store.consultations, &draft, visit)?;

    let id = new_id();
    let now = rules::seconds(visit.now);
    let consultation = Consultation {
        id: id.clone(),
        user_id: visit.user.to_owned(),
        persona: draft.persona,
        status: "active",
        goal_id: draft.goal_id,
        context_type: draft.context_type,
        context_id: draft.context_id,
        quick_action: draft.quick_action,
        message_count: usize::from(draft.initial_message.is_some()),
        created_at: now.clone(),
        updated_at: now,
    };
    let done =
        Done::created(json!({ "consultation": consultation, "needs_survey": false })).about(&id);
    store.consultations.insert(id.clone(), consultation, visit);
    if let Some(content) = draft.initial_message {
        let message = Message::new(&id, content, visit);
        store.messages.insert(message.id.clone(), message, visit);
    }
    Ok(done)
}

fn check_room(
    consultations: &Collection<Consultation>,
    draft: &Draft,
    visit: &Visit<'_>,
) -> Result<(), Refusal> {
    let same = consultations
        .of(visit.user)
        .find(|existing| existing.persona == draft.persona && existing.goal_id == draft.goal_id);
    if let Some(existing) = same {
        let mut details = json!({
            "existing_consultation_id": existing.id,
            "persona": existing.persona,
            "status": existing.status,
            "can_continue": true,
        });
        if let Some(goal) = &existing.goal_id {
            details["goal_id"] = json!(goal);
        }
        let refusal = Refusal::new(StatusCode::CONFLICT, "the consultation exists");
        return Err(
            refusal.with_details(json!({ "code": "CONSULTATION_EXISTS", "details": details }))
        );
    }
    if consultations.of(visit.user).count() >= MOST {
        let message = format!("maximum of {MOST} active consultations reached");
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
    }
    Ok(())
}

fn say(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let consultation = store.consultations.get_mut(visit.user, visit.id)?;
    let said: Said = visit.read()?;
    rules::length("content", &said.content, 1..=5000)?;
    consultation.message_count += 1;
    consultation.updated_at = rules::seconds(visit.now);
    let message = Message::new(visit.id, said.content, visit);
    let done = Done::new(StatusCode::ACCEPTED, &message).about(&message.id);
    store.messages.insert(message.id.clone(), message, visit);
    Ok(done)
}

fn messages(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    store.consultations.get(visit.user, visit.id)?;
    let messages = store.messages.of(visit.user);
    page(
        messages.filter(|message| message.consultation_id == visit.id),
        visit,
    )
}

fn end(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    store.consultations.remove(visit.user, visit.id)?;
    store
        .messages
        .retain(|message| message.consultation_id != visit.id);
    Ok(Done::no_content().about(visit.id))
}

impl Message {
    fn new(consultation: &str, content: String, visit: &Visit<'_>) -> Self {
        Self {
            id: new_id(),
            consultation_id: consultation.to_owned(),
            role: "user",
            content,
            created_at: rules::seconds(visit.now),
        }
    }
}
