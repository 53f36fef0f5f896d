//! The content of a generated store: entities, their changes, and how many of those V6 delivered.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use uuid::Uuid;

use super::Verdict;
use super::payload;

/// A row of `ZSDOUTBOXEVENT`, and the expected result of its migration.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: Option<Uuid>,
    pub(super) created: Option<f64>,
    pub(super) event_type: Option<String>,
    pub(super) status: Option<&'static str>,
    pub(super) retry_count: Option<i64>,
    pub(super) last_attempt: Option<f64>,
    pub(super) completed: Option<f64>,
    pub(super) error: Option<&'static str>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) verdict: Verdict,
}

/// The app's other data.
#[derive(Debug, Clone)]
pub(super) struct Entity {
    pub(super) kind: Kind,
    pub(super) id: Uuid,
    pub(super) user: Uuid,
    pub(super) backend_id: Option<String>,
    pub(super) created: f64,
    pub(super) deleted: bool,
    pub(super) title: Option<String>,
    pub(super) text: Option<String>,
    pub(super) labels: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) category: String,
    pub(super) number: f64,
    pub(super) flag: bool,
    pub(super) linked: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mood,
    Journal,
    Goal,
    Conversation,
}

/// Seconds since 2001 of 2001-01-01T00:00:00Z in Unix time.
const REFERENCE: i64 = 978_307_200;

/// Seconds since 2001 as RFC 3339 without a fraction.
pub(super) fn iso(seconds: f64) -> String {
    let reference = DateTime::<Utc>::from_timestamp(REFERENCE, 0).unwrap_or_default();
    let time = reference + TimeDelta::seconds(seconds as i64);
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Generates entities with their changes.
pub(super) struct Teller {
    pub(super) rng: Rng,
    users: [Uuid; 2],
    /// The current time in seconds since 2001; every event advances it.
    now: f64,
    last_mood: Option<Uuid>,
}

impl Teller {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let users = [uuid(&mut rng), uuid(&mut rng)];
        Self {
            rng,
            users,
            now: 730_000_000.0,
            last_mood: None,
        }
    }

    pub(super) fn users(&self) -> [Uuid; 2] {
        self.users
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        uuid(&mut self.rng)
    }

    /// The next time; every other one has a fraction.
    pub(super) fn tick(&mut self) -> f64 {
        self.now += f64::from(self.rng.u32(1..600));
        if self.rng.bool() {
            self.now + 0.25
        } else {
            self.now
        }
    }

    /// The next mood, journal entry, goal or conversation.
    pub(super) fn entity(&mut self) -> Entity {
        let kind = match self.rng.u8(..100) {
            0..45 => Kind::Mood,
            45..75 => Kind::Journal,
            75..94 => Kind::Goal,
            _ => Kind::Conversation,
        };
        self.entity_of(kind)
    }

    pub(super) fn entity_of(&mut self, kind: Kind) -> Entity {
        let (id, created) = (self.uuid(), self.tick());
        let rng = &mut self.rng;
        let user = self.users[usize::from(rng.u8(..10) < 2)];
        let linked = (kind == Kind::Journal && rng.bool())
            .then_some(self.last_mood)
            .flatten();
        if kind == Kind::Mood {
            self.last_mood = Some(id);
        }
        Entity {
            kind,
            id,
            user,
            backend_id: None,
            created,
            deleted: false,
            title: rng.bool().then(|| pick(rng, &TITLES)),
            text: (kind != Kind::Mood || rng.bool()).then(|| pick(rng, &TEXTS)),
            labels: vec![pick(rng, &LABELS)],
            tags: (0..rng.usize(..3)).map(|_| pick(rng, &TAGS)).collect(),
            category: match kind {
                Kind::Goal => pick(rng, &CATEGORIES),
                _ => pick(rng, &ENTRY_TYPES),
            },
            number: f64::from(rng.i32(-100..=100)) / 100.0,
            flag: rng.u8(..10) == 0,
            linked,
        }
    }

    /// All changes of one entity and the progress of V6. The rows are in order of creation.
    pub(super) fn life(&mut self) -> (Entity, Vec<Row>) {
        let mut entity = self.entity();
        if entity.kind == Kind::Conversation {
            // V6 queued nothing else of a conversation, and deleted it only after the server had.
            let done = self.rng.u8(..10) < 7;
            entity.backend_id = Some(self.uuid().to_string());
            entity.deleted = done;
            let row = self.row(&entity, "conversation.delete", done);
            return (entity, vec![row]);
        }
        let steps = 1 + usize::from(self.rng.u8(..10) < 3) + usize::from(self.rng.u8(..10) < 1);
        entity.deleted = self.rng.u8(..100) < 12;
        let mut rows = Vec::new();
        let mut delivered = true;
        for step in 0..steps + usize::from(entity.deleted) {
            delivered = delivered && self.rng.u8(..100) < 85;
            let event_type = event_type(&mut self.rng, entity.kind, step, step == steps);
            rows.push(self.row(&entity, event_type, delivered));
            if step == 0 && delivered {
                entity.backend_id = Some(self.uuid().to_string());
            }
        }
        (entity, rows)
    }

    /// A row as left by V6.
    pub(super) fn row(&mut self, entity: &Entity, event_type: &str, delivered: bool) -> Row {
        let created = self.tick();
        let payload = if event_type.contains("delete") {
            payload::deleted(&mut self.rng, entity)
        } else {
            payload::saved(&mut self.rng, entity, created)
        };
        let failed = !delivered && self.rng.u8(..10) < 2;
        Row {
            id: Some(self.uuid()),
            created: Some(created),
            event_type: Some(event_type.to_owned()),
            status: Some(match (delivered, failed) {
                (true, _) => "completed",
                (false, true) => "failed",
                (false, false) => "pending",
            }),
            retry_count: Some(if failed { self.rng.i64(1..5) } else { 0 }),
            last_attempt: (delivered || failed).then_some(created + 1.0),
            completed: delivered.then_some(created + 2.0),
            error: failed.then_some("The Internet connection appears to be offline."),
            payload: Some(payload),
            verdict: if delivered {
                Verdict::Delivered
            } else {
                Verdict::Migrated
            },
        }
    }
}

/// The strings that V6 used, and sometimes those that only its documents mention.
fn event_type(rng: &mut Rng, kind: Kind, step: usize, delete: bool) -> &'static str {
    let documented = rng.u8(..100) < 5;
    match (kind, step, delete) {
        (Kind::Mood, _, true) => "mood.deleted",
        (Kind::Mood, 0, _) if documented => "mood_created",
        (Kind::Mood, 0, _) => "mood.created",
        (Kind::Mood, ..) => "mood.updated",
        (Kind::Journal, _, true) if documented => "journal.delete",
        (Kind::Journal, _, true) => "journal.deleted",
        (Kind::Journal, 0, _) if documented => "journal.create",
        (Kind::Journal, 0, _) => "journal.created",
        (Kind::Journal, ..) if documented => "journal.update",
        (Kind::Journal, ..) => "journal.updated",
        (Kind::Goal, _, true) => "goal.deleted",
        (Kind::Goal, 0, _) => "goal.created",
        (Kind::Goal, 1, _) => "goal.progress_updated",
        (Kind::Goal, ..) if documented => "goal.status_updated",
        (Kind::Goal, ..) => "goal.updated",
        (Kind::Conversation, ..) if documented => "chat.conversation.deleted",
        (Kind::Conversation, ..) => "conversation.delete",
    }
}

fn uuid(rng: &mut Rng) -> Uuid {
    uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid()
}

fn pick(rng: &mut Rng, words: &[&str]) -> String {
    words[rng.usize(..words.len())].to_owned()
}

const TITLES: [&str; 4] = ["Morning", "A long day", "Swim 10×", "Read / write"];
const TEXTS: [&str; 5] = [
    "Slept well, woke early.",
    "Too many meetings; a walk at noon helped.",
    "Dinner with \"the others\" 🍝",
    "Line one\nline two",
    "Überraschend ruhig.",
];
const LABELS: [&str; 6] = [
    "happy", "content", "stressed", "anxious", "grateful", "lonely",
];
const TAGS: [&str; 5] = ["work", "family", "social", "finances", "health"];
const CATEGORIES: [&str; 5] = ["general", "physical", "mental", "social", "spiritual"];
const ENTRY_TYPES: [&str; 4] = ["freeform", "gratitude", "reflection", "daily_log"];
