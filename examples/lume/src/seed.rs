//! Generated data: moods with their causes, journal entries about them, goals with progress, and a
//! chat.

use chrono::{DateTime, Days, TimeDelta, Utc};
use fastrand::Rng;
use fitiq_core::LocalId;
use outbox_runtime::TransactionError;

use crate::db::Repository;
use crate::entities::{Conversation, Goal, GoalStatus, JournalEntry, MoodEntry, Persona};

/// The amount of generated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seeded {
    /// Moods.
    pub moods: usize,
    /// Journal entries.
    pub journals: usize,
    /// Goals.
    pub goals: usize,
    /// Messages.
    pub messages: usize,
}

/// A feeling, its valence, and a frequent cause.
const FEELINGS: [(&str, f64, &str); 8] = [
    ("content", 0.5, "family"),
    ("stressed", -0.5, "work"),
    ("happy", 0.8, "social"),
    ("anxious", -0.7, "finances"),
    ("grateful", 0.7, "health"),
    ("peaceful", 0.6, "nature"),
    ("lonely", -0.6, "social"),
    ("proud", 0.9, "work"),
];

const PAGES: [(&str, &str); 5] = [
    ("freeform", "A quiet day. Wrote, walked, slept early."),
    (
        "gratitude",
        "For the call from an old friend, and for the rain that stopped in time.",
    ),
    (
        "reflection",
        "Said yes too quickly again. Next time I sleep on it.",
    ),
    (
        "daily_log",
        "07:00 run, 09:00 work, 18:30 dinner with everybody.",
    ),
    ("freeform", "Could not sleep; read until two."),
];

const GOALS: [(&str, &str, f64, &str); 4] = [
    ("Run", "physical", 40.0, "km"),
    ("Meditate", "mental", 10.0, "sessions"),
    ("Call a friend", "social", 4.0, "calls"),
    ("Keep a budget", "general", 30.0, "days"),
];

/// Writes `days` days that end now: two moods a day, an entry on most days, a goal a week. The same
/// seed makes the same data.
///
/// # Errors
///
/// [`TransactionError`]; earlier writes stay.
pub async fn seed(
    repository: &Repository,
    user_id: &str,
    days: u32,
    seed: u64,
    now: DateTime<Utc>,
) -> Result<Seeded, TransactionError> {
    let mut rng = Rng::with_seed(seed);
    let mut seeded = Seeded::default();
    let mut goal_ids = Vec::new();
    for day in (0..days).rev() {
        let morning = now - TimeDelta::days(day.into()) - TimeDelta::minutes(rng.i64(30..600));
        let moods: Vec<MoodEntry> = (0..2)
            .map(|half| mood(&mut rng, user_id, morning + TimeDelta::minutes(half * 7)))
            .collect();
        let mood_id = moods[1].id;
        seeded.moods += moods.len();
        repository.add_all(moods).await?;
        if rng.u8(..10) < 7 {
            repository
                .add(journal(&mut rng, user_id, mood_id, morning))
                .await?;
            seeded.journals += 1;
        }
        if day % 7 == 0 {
            let goal = goal(&mut rng, user_id, morning);
            goal_ids.push(repository.add(goal).await?);
            seeded.goals += 1;
        }
        if let Some(id) = goal_ids.last().copied().filter(|_| rng.u8(..10) < 4) {
            let step = f64::from(rng.u8(1..4));
            let _ = repository
                .edit::<Goal>(id, move |goal| goal.current_value += step)
                .await?;
        }
    }
    if let Some(goal_id) = goal_ids.first().copied() {
        seeded.messages = chat(repository, user_id, goal_id, now).await?;
    }
    Ok(seeded)
}

fn mood(rng: &mut Rng, user_id: &str, logged_at: DateTime<Utc>) -> MoodEntry {
    let (label, valence, association) = FEELINGS[rng.usize(..FEELINGS.len())];
    MoodEntry {
        id: LocalId::new(),
        user_id: user_id.to_owned(),
        valence: (valence + rng.f64() / 5.0 - 0.1).clamp(-1.0, 1.0),
        labels: vec![label.to_owned()],
        associations: vec![association.to_owned()],
        notes: (rng.u8(..4) == 0).then(|| "Remember this one.".to_owned()),
        logged_at,
    }
}

fn journal(
    rng: &mut Rng,
    user_id: &str,
    mood_id: LocalId,
    logged_at: DateTime<Utc>,
) -> JournalEntry {
    let (entry_type, content) = PAGES[rng.usize(..PAGES.len())];
    JournalEntry {
        id: LocalId::new(),
        user_id: user_id.to_owned(),
        title: rng.bool().then(|| logged_at.format("%A").to_string()),
        content: content.to_owned(),
        tags: vec!["seed".to_owned()],
        entry_type: entry_type.to_owned(),
        is_favorite: rng.u8(..10) == 0,
        linked_mood_id: rng.bool().then_some(mood_id),
        logged_at,
    }
}

fn goal(rng: &mut Rng, user_id: &str, made: DateTime<Utc>) -> Goal {
    let (title, category, target_value, unit) = GOALS[rng.usize(..GOALS.len())];
    let start_date = made.date_naive();
    Goal {
        id: LocalId::new(),
        user_id: user_id.to_owned(),
        title: title.to_owned(),
        description: String::new(),
        category: category.to_owned(),
        target_value,
        target_unit: unit.to_owned(),
        current_value: 0.0,
        start_date,
        target_date: start_date + Days::new(30),
        status: GoalStatus::Active,
    }
}

async fn chat(
    repository: &Repository,
    user_id: &str,
    goal_id: LocalId,
    now: DateTime<Utc>,
) -> Result<usize, TransactionError> {
    const SAID: [&str; 3] = [
        "How do I begin?",
        "Ten minutes a day sound possible.",
        "Thank you!",
    ];
    let conversation = Conversation {
        id: LocalId::new(),
        user_id: user_id.to_owned(),
        persona: Persona::WellnessSpecialist,
        goal_id: Some(goal_id),
        archived: false,
    };
    let id = repository.begin(conversation).await?;
    for said in SAID {
        let _ = repository.send(id, said, now).await?;
    }
    Ok(SAID.len())
}
