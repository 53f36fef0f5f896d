//! The payloads of V6, by generation.

use fastrand::Rng;
use uuid::Uuid;

use super::life::{Entity, Kind};

/// The named moods of the oldest generations, and the labels of the current app.
const MOODS: [&str; 8] = [
    "happy", "calm", "sad", "anxious", "grateful", "angry", "content", "stressed",
];

/// A JSON object with keys in any order, as Foundation writes it.
struct Object(Vec<String>);

impl Object {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// `json` is already serialized.
    fn with(mut self, key: &str, json: impl std::fmt::Display) -> Self {
        self.0.push(format!("\"{key}\":{json}"));
        self
    }

    fn with_some(self, key: &str, json: Option<String>) -> Self {
        match json {
            Some(json) => self.with(key, json),
            None => self,
        }
    }

    fn write(mut self, rng: &mut Rng) -> Vec<u8> {
        rng.shuffle(&mut self.0);
        format!("{{{}}}", self.0.join(",")).into_bytes()
    }
}

/// Foundation escapes the slash.
fn text(value: &str) -> String {
    serde_json::Value::from(value)
        .to_string()
        .replace('/', "\\/")
}

/// Upper case, as Swift's `uuidString`.
fn id(value: Uuid) -> String {
    format!("\"{}\"", value.to_string().to_uppercase())
}

fn iso(seconds: f64) -> String {
    text(&super::life::iso(seconds))
}

/// The payload of a creation or a change. `second` is its time in seconds since 2001.
pub(super) fn saved(rng: &mut Rng, entity: &Entity, second: f64) -> Vec<u8> {
    match entity.kind {
        Kind::Mood => mood(rng, entity, second),
        Kind::Journal if rng.u8(..100) < 6 => Object::new()
            .with("action", text("create"))
            .with("entryId", id(entity.id))
            .with("userId", id(entity.user))
            .write(rng),
        Kind::Journal => journal(entity, second).write(rng),
        Kind::Goal => goal(rng, entity, second).write(rng),
        Kind::Conversation => conversation(rng, entity),
    }
}

/// The payload of a deletion: the older form has only the id, and none names the owner.
pub(super) fn deleted(rng: &mut Rng, entity: &Entity) -> Vec<u8> {
    match entity.kind {
        Kind::Conversation => conversation(rng, entity),
        _ if rng.u8(..100) < 15 => Object::new().with("id", id(entity.id)).write(rng),
        _ => Object::new()
            .with("local_id", id(entity.id))
            .with_some("backend_id", entity.backend_id.as_deref().map(text))
            .write(rng),
    }
}

/// The sentinel for a missing remote id.
pub(super) fn deleted_with_sentinel(rng: &mut Rng, entity: &Entity) -> Vec<u8> {
    Object::new()
        .with("local_id", id(entity.id))
        .with("backendId", text("none"))
        .write(rng)
}

/// The first API generation, with the encoder's default dates.
pub(super) fn mood_with_numeric_dates(rng: &mut Rng, entity: &Entity, second: f64) -> Vec<u8> {
    named_mood(rng, entity)
        .with("date", second)
        .with("created_at", second)
        .with("updated_at", second)
        .write(rng)
}

fn mood(rng: &mut Rng, entity: &Entity, second: f64) -> Vec<u8> {
    match rng.u8(..100) {
        // It names no user; the app never wrote it for entries deleted since.
        0..5 if !entity.deleted => Object::new()
            .with("id", id(entity.id))
            .with("mood", text(MOODS[rng.usize(..MOODS.len())]))
            .with_some("note", entity.text.as_deref().map(text))
            .with("date", second)
            .with("timestamp", second)
            .write(rng),
        5..10 => mood_with_numeric_dates(rng, entity, second),
        10..20 => {
            let intensity = (rng.bool()).then(|| rng.u8(1..=10).to_string());
            named_mood(rng, entity)
                .with_some("intensity", intensity)
                .with("date", iso(second))
                .with("created_at", iso(second))
                .with("updated_at", iso(second))
                .write(rng)
        }
        _ => Object::new()
            .with("id", id(entity.id))
            .with("user_id", id(entity.user))
            .with("valence", entity.number)
            .with("labels", strings(&entity.labels))
            .with("associations", strings(&entity.tags))
            .with_some("notes", entity.text.as_deref().map(text))
            .with("date", iso(second))
            .with("source", text("manual"))
            .with("created_at", iso(entity.created))
            .with("updated_at", iso(second))
            .write(rng),
    }
}

fn named_mood(rng: &mut Rng, entity: &Entity) -> Object {
    Object::new()
        .with("id", id(entity.id))
        .with("user_id", id(entity.user))
        .with("mood", text(MOODS[rng.usize(..MOODS.len())]))
        .with_some("note", entity.text.as_deref().map(text))
}

fn journal(entity: &Entity, second: f64) -> Object {
    Object::new()
        .with("id", id(entity.id))
        .with("user_id", id(entity.user))
        .with_some("title", entity.title.as_deref().map(text))
        .with("content", text(entity.text.as_deref().unwrap_or("…")))
        .with("tags", strings(&entity.tags))
        .with("entry_type", text(&entity.category))
        .with("is_favorite", entity.flag)
        .with_some("linked_mood_id", entity.linked.map(id))
        .with("date", iso(entity.created))
        .with("created_at", iso(entity.created))
        .with("updated_at", iso(second))
}

fn goal(rng: &mut Rng, entity: &Entity, second: f64) -> Object {
    let target_date = rng.bool().then(|| iso(entity.created + 30.0 * 86_400.0));
    Object::new()
        .with("id", id(entity.id))
        .with("user_id", id(entity.user))
        .with("title", text(entity.title.as_deref().unwrap_or("Goal")))
        .with("description", text(entity.text.as_deref().unwrap_or("")))
        .with("created_at", iso(entity.created))
        .with("updated_at", iso(second))
        .with_some("target_date", target_date)
        .with("progress", entity.number)
        .with(
            "status",
            text(if entity.flag { "completed" } else { "active" }),
        )
        .with("category", text(&entity.category))
        .with("target_value", 10.0)
        .with("target_unit", text("times"))
        .with("current_value", entity.number * 10.0)
        .with_some("backend_id", entity.backend_id.as_deref().map(text))
}

fn conversation(rng: &mut Rng, entity: &Entity) -> Vec<u8> {
    Object::new()
        .with("conversation_id", id(entity.id))
        .write(rng)
}

fn strings(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", values.join(","))
}
