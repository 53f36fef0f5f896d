//! `/api/v1/goals`: its own envelope, and times with nanoseconds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, Create, Route, Visit, change, create, list, read, remove};
use crate::answer::{Done, Envelope, Refusal};
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user("POST /api/v1/goals", Envelope::Goals, create::<Goal>),
    Route::user("GET /api/v1/goals", Envelope::Goals, list::<Goal>),
    Route::user("GET /api/v1/goals/{id}", Envelope::Goals, read::<Goal>),
    Route::user("PUT /api/v1/goals/{id}", Envelope::Goals, change::<Goal>),
    Route::user("DELETE /api/v1/goals/{id}", Envelope::Goals, remove::<Goal>),
    Route::user(
        "PATCH /api/v1/goals/{id}/progress",
        Envelope::Goals,
        progress,
    ),
    Route::user(
        "POST /api/v1/goals/{id}/complete",
        Envelope::Goals,
        complete,
    ),
    Route::user("POST /api/v1/goals/{id}/abandon", Envelope::Goals, abandon),
];

/// Without `mindfulness`, which the app sends too.
const TYPES: [&str; 4] = ["weight", "activity", "nutrition", "custom"];

/// A goal as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Goal {
    id: String,
    user_id: String,
    goal_type: String,
    title: String,
    description: String,
    target_value: f64,
    target_unit: String,
    current_value: f64,
    start_date: String,
    target_date: Option<String>,
    status: Status,
    created_at: String,
    updated_at: String,
    statistics: Statistics,
    #[serde(flatten)]
    recurrence: Recurrence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Active,
    Completed,
    Abandoned,
}

#[derive(Debug, Clone, Serialize)]
struct Statistics {
    progress_percentage: f64,
    remaining_value: f64,
}

/// Stored as received.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Recurrence {
    #[serde(skip_serializing_if = "Option::is_none")]
    is_recurring: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurrence_pattern: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurrence_interval: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    goal_type: String,
    title: String,
    #[serde(default)]
    description: String,
    target_value: f64,
    target_unit: String,
    start_date: String,
    target_date: Option<String>,
    #[serde(flatten)]
    recurrence: Recurrence,
}

/// The body of `PUT`; other fields of the app are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Edit {
    title: Option<String>,
    description: Option<String>,
    target_value: Option<f64>,
    target_date: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    current_value: f64,
}

impl Entity for Goal {
    const COLLECTION: &'static str = "goals";
    const NOUN: &'static str = "goal";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.goals
    }
}

impl Create for Goal {
    type Draft = Draft;

    fn create(draft: Draft, id: String, visit: &Visit<'_>) -> Checked<Self> {
        rules::one_of("goal_type", &draft.goal_type, &TYPES)?;
        rules::length("target_unit", &draft.target_unit, 1..=50)?;
        rules::day("start_date", &draft.start_date)?;
        let now = rules::nanoseconds(visit.now);
        let goal = Self {
            id,
            user_id: visit.user.to_owned(),
            goal_type: draft.goal_type,
            title: draft.title,
            description: draft.description,
            target_value: draft.target_value,
            target_unit: draft.target_unit,
            current_value: 0.0,
            start_date: draft.start_date,
            target_date: draft.target_date,
            status: Status::Active,
            created_at: now.clone(),
            updated_at: now,
            statistics: Statistics {
                progress_percentage: 0.0,
                remaining_value: draft.target_value,
            },
            recurrence: draft.recurrence,
        };
        goal.check()?;
        Ok(goal)
    }
}

impl Change for Goal {
    type Change = Edit;

    fn change(&mut self, edit: Edit, visit: &Visit<'_>) -> Checked {
        let mut goal = self.clone();
        goal.title = edit.title.unwrap_or(goal.title);
        goal.description = edit.description.unwrap_or(goal.description);
        goal.target_value = edit.target_value.unwrap_or(goal.target_value);
        goal.target_date = edit.target_date.or(goal.target_date);
        goal.check()?;
        goal.touch(visit);
        *self = goal;
        Ok(())
    }
}

impl Goal {
    /// The rules for edits.
    fn check(&self) -> Checked {
        rules::length("title", &self.title, 1..=200)?;
        rules::length("description", &self.description, 0..=1000)?;
        if !self.target_value.is_finite() || self.target_value <= 0.0 {
            return Err(Refusal::invalid("target_value must be above 0"));
        }
        if let Some(target) = &self.target_date {
            let target = rules::day("target_date", target)?;
            let start = rules::day("start_date", &self.start_date)?;
            rules::in_order(("start_date", start), ("target_date", target))?;
        }
        Ok(())
    }

    fn touch(&mut self, visit: &Visit<'_>) {
        self.statistics = Statistics {
            progress_percentage: (self.current_value / self.target_value * 100.0).min(100.0),
            remaining_value: (self.target_value - self.current_value).max(0.0),
        };
        self.updated_at = rules::nanoseconds(visit.now);
    }

    /// Ends an active goal; repeating it changes nothing.
    fn end(&mut self, status: Status, visit: &Visit<'_>) -> Checked {
        if self.status == status {
            return Ok(());
        }
        if self.status != Status::Active {
            return Err(Refusal::invalid("the goal is not active"));
        }
        self.status = status;
        self.touch(visit);
        Ok(())
    }
}

fn progress(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let goal = store.goals.get_mut(visit.user, visit.id)?;
    let progress: Progress = visit.read()?;
    rules::not_negative("current_value", Some(progress.current_value))?;
    goal.current_value = progress.current_value;
    goal.touch(visit);
    Ok(Done::ok(goal).about(visit.id))
}

fn complete(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    end(store, visit, Status::Completed)
}

fn abandon(store: &mut Store, visit: &Visit<'_>) -> Result<Done, Refusal> {
    end(store, visit, Status::Abandoned)
}

fn end(store: &mut Store, visit: &Visit<'_>, status: Status) -> Result<Done, Refusal> {
    let goal = store.goals.get_mut(visit.user, visit.id)?;
    goal.end(status, visit)?;
    Ok(Done::ok(goal).about(visit.id))
}
