//! The wire lock follows an event type to its new name, and out of its set.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]
#![allow(dead_code, reason = "the entities are inspected, not enqueued")]

use outbox_runtime::prelude::*;
use outbox_testing::wire_lock::{EventShapes, FILE_NAME, Finding, check, update};
use tempfile::TempDir;

/// An entity with the given metadata, in its own module.
macro_rules! entity {
    ($module:ident: [$($options:tt)*], { $($field:ident: $type:ty),* $(,)? }) => {
        mod $module {
            use super::*;

            #[derive(OutboxEntity)]
            #[outbox($($options)*)]
            pub(super) struct Entity {
                #[outbox(entity_id)]
                pub(super) id: i64,
                #[outbox(user_id)]
                pub(super) user_id: String,
                $(#[outbox(metadata)] pub(super) $field: $type,)*
            }
        }
    };
}

entity!(mood: [event_type = "mood_entry"], { valence: f64 });
entity!(renamed: [event_type = "moodEntry", alias = ["mood_entry"]], { valence: f64 });
entity!(without_alias: [event_type = "moodEntry"], { valence: f64 });
entity!(changed: [event_type = "moodEntry", alias = ["mood_entry"]], { mark: i64 });
entity!(reordered: [event_type = "moodEntry", alias = ["mood_entry"], order = "user"], { valence: f64 });
entity!(raised: [event_type = "moodEntry", alias = ["mood_entry"], version = 2, upcast(1 = mood::EntityMetadata)], { mark: i64 });

impl From<mood::EntityMetadata> for raised::EntityMetadata {
    fn from(old: mood::EntityMetadata) -> Self {
        Self {
            mark: old.valence as i64,
        }
    }
}

fn of<E: OutboxEntity>() -> [EventShapes; 1] {
    [EventShapes::of::<E>()]
}

/// A folder whose lock file has the mood under its old name.
fn locked() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    update(&folder, "lume", &of::<mood::Entity>()).unwrap();
    folder
}

fn findings(folder: &TempDir, events: &[EventShapes]) -> Vec<Finding> {
    match check(folder, "lume", events) {
        Ok(()) => Vec::new(),
        Err(error) => error.findings().to_vec(),
    }
}

fn text(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap()
}

fn vanished() -> Finding {
    Finding::Vanished {
        event_type: "mood_entry".to_owned(),
    }
}

#[test]
fn a_renamed_type_is_only_unrecorded_under_its_new_name_and_keeps_its_entry() {
    let folder = locked();
    let new = Finding::Unrecorded {
        event_type: "moodEntry".to_owned(),
        version: 1,
    };
    assert_eq!(
        findings(&folder, &of::<renamed::Entity>()),
        std::slice::from_ref(&new)
    );
    assert_eq!(
        findings(&folder, &of::<without_alias::Entity>()),
        [new, vanished()]
    );
    update(&folder, "lume", &of::<renamed::Entity>()).unwrap();
    check(&folder, "lume", &of::<renamed::Entity>()).unwrap();
    assert!(text(&folder).contains("\"mood_entry\""));
    // Its rows may still wait, so that losing the alias is reported.
    assert_eq!(
        findings(&folder, &of::<without_alias::Entity>()),
        [vanished()]
    );
    update(&folder, "lume", &of::<without_alias::Entity>()).unwrap();
    assert!(!text(&folder).contains("\"mood_entry\""));
}

#[test]
fn a_shape_that_changes_with_the_name_is_reported_for_the_rows_of_the_old_name() {
    let folder = locked();
    let changed = of::<changed::Entity>();
    let is_of_the_old_name = |finding: &Finding| matches!(finding, Finding::Changed { event_type, version: 1, .. } if event_type == "mood_entry");
    assert!(findings(&folder, &changed).iter().any(is_of_the_old_name));
    let error = update(&folder, "lume", &changed).unwrap_err();
    assert!(error.findings().iter().any(is_of_the_old_name), "{error}");
    // The old shape is read again, by its version.
    update(&folder, "lume", &of::<raised::Entity>()).unwrap();
    check(&folder, "lume", &of::<raised::Entity>()).unwrap();
}

#[test]
fn an_order_that_changes_with_the_name_is_explained_and_then_accepted() {
    let folder = locked();
    let reordered = of::<reordered::Entity>();
    let is_order = |finding: &Finding| matches!(finding, Finding::OrderChanged { event_type, .. } if event_type == "mood_entry");
    assert!(findings(&folder, &reordered).iter().any(is_order));
    update(&folder, "lume", &reordered).unwrap();
    check(&folder, "lume", &reordered).unwrap();
}

#[test]
fn a_retired_type_is_accounted_for_until_its_retirement_ends() {
    let folder = locked();
    let retired = [EventShapes::retired("mood_entry")];
    check(&folder, "lume", &retired).unwrap();
    update(&folder, "lume", &retired).unwrap();
    assert!(text(&folder).contains("\"mood_entry\""));
    assert_eq!(findings(&folder, &[]), [vanished()]);
    // One that the file does not know is nothing to record.
    let other = [retired[0].clone(), EventShapes::retired("chat")];
    update(&folder, "lume", &other).unwrap();
    assert!(!text(&folder).contains("\"chat\""));
}

#[derive(OutboxEvents)]
#[outbox(retired("goal" = hold))]
enum LumeEvent {
    Mood(Event<renamed::Entity>),
}

#[test]
fn the_names_of_a_set_come_from_its_derive() {
    struct Names(Vec<&'static [&'static str]>);
    impl outbox_runtime::support::VisitEntities for Names {
        fn visit<E: OutboxEntity>(&mut self) {
            self.0.push(EventShapes::of::<E>().aliases());
        }
    }
    use outbox_runtime::support::EventSet as _;
    let mut names = Names(Vec::new());
    LumeEvent::visit_entities(&mut names);
    assert_eq!(names.0, [&["mood_entry"][..]]);
    assert_eq!(LumeEvent::RETIRED.len(), 1);
}
