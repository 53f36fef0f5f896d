//! The events of this app.

use outbox_runtime::prelude::*;

use crate::entities::{
    ActivitySnapshot, MealLog, PhysicalAttribute, ProfileMetadata, ProfilePhysical, ProgressEntry,
    SleepSession, Workout, WorkoutTemplate,
};

/// The closed set: a kind without a handler does not compile.
#[derive(Debug, OutboxEvents)]
pub enum FitiqEvent {
    /// A measured value. There are many: 17,520 hourly ones in a year.
    #[outbox(batch = 100, within = "2s")]
    ProgressEntry(Event<ProgressEntry>),
    /// An attribute of the body.
    PhysicalAttribute(Event<PhysicalAttribute>),
    /// The activity of a day so far.
    ActivitySnapshot(Event<ActivitySnapshot>),
    /// The user's profile.
    ProfileMetadata(Event<ProfileMetadata>),
    /// The user's physique.
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

    /// `outbox.lock` beside `Cargo.toml` has the shape of the events. A device may still have rows
    /// of that shape after an update, so a change needs a new `version`. Failures 35 and 36.
    #[test]
    fn event_shapes_change_only_with_their_version() {
        outbox_testing::assert_wire_lock::<FitiqEvent>();
    }
}
