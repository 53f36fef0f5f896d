//! Adds, changes and deletes single entities.

use anyhow::bail;
use chrono::{DateTime, Days, Utc};
use clap::{Args, Subcommand, ValueEnum};
use fitiq_core::LocalId;
use outbox_runtime::Clock as _;
use outbox_runtime::store::SystemClock;
use uuid::Uuid;

use crate::db::{Changed, Repository};
use crate::entities::{Conversation, Goal, GoalStatus, JournalEntry, MoodEntry, Persona};

#[derive(Debug, Subcommand)]
pub(super) enum Add {
    /// A mood
    Mood {
        /// From -1, unpleasant, to 1, pleasant
        #[arg(long, allow_hyphen_values = true, value_parser = valence)]
        valence: f64,
        /// A feeling by name; may be given several times
        #[arg(long = "label", value_name = "WORD")]
        labels: Vec<String>,
        /// A cause; may be given several times
        #[arg(long = "association", value_name = "WORD")]
        associations: Vec<String>,
        /// Free text
        #[arg(long)]
        notes: Option<String>,
    },
    /// A journal entry
    Journal {
        /// The text
        #[arg(value_parser = page)]
        content: String,
        #[arg(long)]
        title: Option<String>,
        /// `freeform`, `gratitude`, `reflection`, `daily_log`, ..
        #[arg(long, default_value = "freeform")]
        entry_type: String,
        #[arg(long = "tag", value_name = "WORD")]
        tags: Vec<String>,
        /// The linked mood
        #[arg(long, value_name = "ID")]
        mood: Option<Uuid>,
    },
    /// A goal
    Goal {
        title: String,
        #[arg(long, default_value = "")]
        description: String,
        /// `general`, `physical`, `mental`, ..
        #[arg(long, default_value = "general")]
        category: String,
        /// The target
        #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = above_zero)]
        target: f64,
        /// The unit
        #[arg(long, default_value = "times")]
        unit: String,
        /// The number of days
        #[arg(long, default_value_t = 30)]
        days: u64,
    },
    /// A conversation; the service learns of it with the first message
    Conversation {
        #[arg(long, value_enum, default_value_t = Persona::GeneralWellness)]
        persona: Persona,
        /// The goal of the conversation
        #[arg(long, value_name = "ID")]
        goal: Option<Uuid>,
    },
    /// A message in a conversation
    Message { conversation: Uuid, content: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum Edit {
    /// Edit a mood
    Mood {
        id: Uuid,
        #[arg(long, allow_hyphen_values = true, value_parser = valence)]
        valence: Option<f64>,
        #[arg(long)]
        notes: Option<String>,
    },
    /// Edit a journal entry
    Journal {
        id: Uuid,
        #[arg(value_parser = page)]
        content: String,
    },
    /// Record progress on a goal, or end it
    Goal {
        id: Uuid,
        #[arg(long, value_name = "NUMBER")]
        current: Option<f64>,
        #[arg(long, value_enum)]
        status: Option<GoalStatus>,
    },
    /// Archive a conversation, on this device only
    Archive { conversation: Uuid },
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[arg(value_enum)]
    what: What,
    /// The id
    #[arg(required_unless_present = "all")]
    id: Option<Uuid>,
    /// All moods, journal entries or goals
    #[arg(long, conflicts_with = "id")]
    all: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Mood,
    Journal,
    Goal,
    Conversation,
}

impl Add {
    /// Returns the id of the new entity.
    pub(super) async fn run(
        self,
        repository: &Repository,
        user_id: &str,
    ) -> anyhow::Result<LocalId> {
        let (id, user_id, now) = (LocalId::new(), user_id.to_owned(), SystemClock.now());
        Ok(match self {
            Self::Mood {
                valence,
                labels,
                associations,
                notes,
            } => {
                let mood = MoodEntry {
                    id,
                    user_id,
                    valence,
                    labels,
                    associations,
                    notes,
                    logged_at: now,
                };
                repository.add(mood).await?
            }
            Self::Journal {
                content,
                title,
                entry_type,
                tags,
                mood,
            } => {
                let entry = JournalEntry {
                    id,
                    user_id,
                    title,
                    content,
                    tags,
                    entry_type,
                    is_favorite: false,
                    linked_mood_id: mood.map(LocalId::from_uuid),
                    logged_at: now,
                };
                repository.add(entry).await?
            }
            Self::Goal {
                title,
                description,
                category,
                target,
                unit,
                days,
            } => {
                let start_date = now.date_naive();
                let Some(target_date) = start_date.checked_add_days(Days::new(days)) else {
                    bail!("{days} days are more than the calendar has");
                };
                let goal = Goal {
                    id,
                    user_id,
                    title,
                    description,
                    category,
                    target_value: target,
                    target_unit: unit,
                    current_value: 0.0,
                    start_date,
                    target_date,
                    status: GoalStatus::Active,
                };
                repository.add(goal).await?
            }
            Self::Conversation { persona, goal } => {
                let conversation = Conversation {
                    id,
                    user_id,
                    persona,
                    goal_id: goal.map(LocalId::from_uuid),
                    archived: false,
                };
                repository.begin(conversation).await?
            }
            Self::Message {
                conversation,
                content,
            } => {
                let conversation = LocalId::from_uuid(conversation);
                found(repository.send(conversation, content, now).await?)?;
                conversation
            }
        })
    }
}

impl Edit {
    pub(super) async fn run(self, repository: &Repository) -> anyhow::Result<()> {
        let changed = match self {
            Self::Mood { id, valence, notes } => {
                let edit = move |mood: &mut MoodEntry| {
                    mood.valence = valence.unwrap_or(mood.valence);
                    mood.notes = notes.or(mood.notes.take());
                };
                repository.edit(LocalId::from_uuid(id), edit).await?
            }
            Self::Journal { id, content } => {
                let edit = move |entry: &mut JournalEntry| entry.content = content;
                repository.edit(LocalId::from_uuid(id), edit).await?
            }
            Self::Goal {
                id,
                current,
                status,
            } => {
                let edit = move |goal: &mut Goal| {
                    goal.current_value = current.unwrap_or(goal.current_value);
                    goal.status = status.unwrap_or(goal.status);
                };
                repository.edit(LocalId::from_uuid(id), edit).await?
            }
            Self::Archive { conversation } => {
                repository.archive(LocalId::from_uuid(conversation)).await?
            }
        };
        found(changed)
    }
}

impl Delete {
    pub(super) async fn run(self, repository: &Repository, user_id: &str) -> anyhow::Result<()> {
        let Some(id) = self.id.map(LocalId::from_uuid) else {
            match self.what {
                What::Mood => repository.delete_all::<MoodEntry>(user_id).await?,
                What::Journal => repository.delete_all::<JournalEntry>(user_id).await?,
                What::Goal => repository.delete_all::<Goal>(user_id).await?,
                What::Conversation => bail!("conversations are deleted one by one"),
            };
            return Ok(());
        };
        let at: DateTime<Utc> = SystemClock.now();
        found(match self.what {
            What::Mood => repository.delete::<MoodEntry>(id).await?,
            What::Journal => repository.delete::<JournalEntry>(id).await?,
            What::Goal => repository.delete::<Goal>(id).await?,
            What::Conversation => repository.end(id, at).await?,
        })
    }
}

fn found(changed: Changed) -> anyhow::Result<()> {
    match changed {
        Changed::Yes => Ok(()),
        Changed::NoSuchEntity => bail!("the entity does not exist on this device"),
    }
}

fn valence(text: &str) -> Result<f64, String> {
    number(text, |value| (-1.0..=1.0).contains(&value), "from -1 to 1")
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value.is_finite(), "above zero")
}

fn number(text: &str, is_good: fn(f64) -> bool, rule: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| is_good(*value));
    value.ok_or_else(|| format!("a number {rule} is required"))
}

fn page(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=10_000).contains(&length) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "it has {length} characters; 1 to 10,000 are allowed"
        ))
    }
}
