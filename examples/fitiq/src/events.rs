//! Everything that this app sends.

use outbox_runtime::prelude::*;

use crate::entities::{
    ActivitySnapshot, MealLog, PhysicalAttribute, ProfileMetadata, ProfilePhysical, ProgressEntry,
    SleepSession, Workout, WorkoutTemplate,
};

/// The closed set: a kind without a handler does not compile.
#[derive(Debug, OutboxEvents)]
pub enum FitiqEvent {
    /// A measured value.
    ProgressEntry(Event<ProgressEntry>),
    /// An attribute of the body.
    PhysicalAttribute(Event<PhysicalAttribute>),
    /// What a day was like so far.
    ActivitySnapshot(Event<ActivitySnapshot>),
    /// What the user says of themselves.
    ProfileMetadata(Event<ProfileMetadata>),
    /// What the user's body is like.
    ProfilePhysical(Event<ProfilePhysical>),
    /// A night.
    SleepSession(Event<SleepSession>),
    /// A meal.
    MealLog(Event<MealLog>),
    /// A workout.
    Workout(Event<Workout>),
    /// A plan for workouts.
    WorkoutTemplate(Event<WorkoutTemplate>),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `outbox.lock` beside `Cargo.toml` has the shape of what is sent. A device may still have rows of it when the
    /// program is updated, so that a change needs a new `version`. Failures 35 and 36.
    #[test]
    fn what_is_sent_changes_only_with_its_version() {
        outbox_testing::assert_wire_lock::<FitiqEvent>();
    }
}
