//! Promise 9, the other half: a shape that changes without a new version fails a test before the
//! release.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]
#![allow(dead_code, reason = "the entities are inspected, not enqueued")]

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outbox_runtime::RawMetadata;
use outbox_runtime::prelude::*;
use outbox_runtime::support::EntityOptions;
use outbox_testing::wire_lock::{
    self, Difference, EventShapes, FILE_NAME, Finding, WireLockError, check, update,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// An entity with the given metadata, in its own module.
macro_rules! entity {
    ($module:ident: $event_type:literal, [$($options:tt)*], { $($field:ident: $type:ty),* $(,)? }) => {
        mod $module {
            use super::*;

            #[derive(OutboxEntity)]
            #[outbox(event_type = $event_type, $($options)*)]
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

/// A label of a mood.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Label {
    name: String,
}

entity!(mood: "moodEntry", [], { valence: f64, labels: Vec<Label> });
entity!(renamed_types: "moodEntry", [priority = 3], { labels: Vec<Tag>, valence: Box<f64> });
entity!(changed: "moodEntry", [], { valence: f64, labels: Vec<i64>, note: Option<String> });
entity!(raised: "moodEntry", [version = 2, upcast(1 = mood::EntityMetadata)], { mark: f64 });
entity!(raised_wrongly: "moodEntry", [version = 2, upcast(1 = changed::EntityMetadata)], { mark: f64 });
entity!(goal: "goal", [], { title: String });

/// The same shape under another type name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tag {
    name: String,
}

impl From<mood::EntityMetadata> for raised::EntityMetadata {
    fn from(old: mood::EntityMetadata) -> Self {
        Self { mark: old.valence }
    }
}

impl From<changed::EntityMetadata> for raised_wrongly::EntityMetadata {
    fn from(old: changed::EntityMetadata) -> Self {
        Self { mark: old.valence }
    }
}

fn shapes<E: OutboxEntity>() -> [EventShapes; 1] {
    [EventShapes::of::<E>()]
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder whose lock file has the first mood.
fn locked() -> TempDir {
    let folder = folder();
    update(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
    folder
}

fn text(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join(FILE_NAME)).unwrap()
}

/// The only finding.
fn only(error: &WireLockError) -> &Finding {
    match error.findings() {
        [only] => only,
        findings => panic!("{findings:?} of {error}"),
    }
}

#[test]
fn a_missing_lock_file_error_names_the_command_that_writes_it() {
    let folder = folder();
    let error = check(&folder, "lume", &shapes::<mood::Entity>()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "there is no {}; write it with `OUTBOX_LOCK=update cargo test`, and check it in",
            folder.path().join("outbox.lock").display()
        )
    );
    assert!(
        !folder.path().join(FILE_NAME).exists(),
        "a check writes nothing"
    );
}

#[test]
fn the_file_is_readable_text_that_stays_the_same_for_the_same_shapes() {
    let folder = locked();
    let expected = r#"{
  "about": "The shapes of outbox metadata, by set, event type and version, with what keeps events in order. Written by `OUTBOX_LOCK=update cargo test`: check it in, and do not edit it.",
  "format": 3,
  "sets": {
    "lume": {
      "moodEntry": {
        "order": "entity",
        "entity_id": "integer",
        "versions": {
          "1": {
            "object": {
              "labels": {
                "list": {
                  "object": {
                    "name": "string"
                  }
                }
              },
              "valence": "float(f64)"
            }
          }
        }
      }
    }
  }
}
"#;
    assert_eq!(text(&folder), expected);
    check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
    update(&folder, "lume", &shapes::<renamed_types::Entity>()).unwrap();
    assert_eq!(text(&folder), expected, "type names are left out");
    let left: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file is left");
}

#[test]
fn a_change_without_a_new_version_is_reported_by_path_with_the_remedy() {
    let folder = locked();
    let error = check(&folder, "lume", &shapes::<changed::Entity>()).unwrap_err();
    let Finding::Changed { differences, .. } = only(&error) else {
        panic!("{error}")
    };
    let paths: Vec<&str> = differences.iter().map(Difference::path).collect();
    assert_eq!(paths, ["labels[]", "note"]);
    let path = folder.path().join("outbox.lock");
    assert_eq!(
        error.to_string(),
        format!(
            "{} does not match the events of `lume`:\n\
             moodEntry v1: labels[]: {{name: string}} → integer(i64)\n\
             moodEntry v1: note: added, optional string\n  \
             devices may already have rows of version 1: set `version = 2`, keep the old struct, \
             and name it in `upcast(1 = ..)`\n  \
             if no program with version 1 was ever released, \
             `OUTBOX_LOCK=update cargo test` accepts the new shape",
            path.display()
        )
    );
    update(&folder, "lume", &shapes::<changed::Entity>()).unwrap();
    check(&folder, "lume", &shapes::<changed::Entity>()).unwrap();
}

#[test]
fn a_raised_version_is_added_and_the_older_one_stays() {
    let folder = locked();
    let raised = shapes::<raised::Entity>();
    let error = check(&folder, "lume", &raised).unwrap_err();
    assert!(matches!(
        only(&error),
        Finding::Unrecorded { version: 2, .. }
    ));
    assert!(
        error.to_string().contains("OUTBOX_LOCK=update cargo test"),
        "{error}"
    );
    update(&folder, "lume", &raised).unwrap();
    check(&folder, "lume", &raised).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text(&folder)).unwrap();
    let versions = &file["sets"]["lume"]["moodEntry"]["versions"];
    assert_eq!(versions["1"]["object"]["valence"], "float(f64)");
    assert_eq!(versions["2"]["object"]["mark"], "float(f64)");
}

#[test]
fn an_older_version_must_be_read_as_what_it_was_and_is_never_overwritten() {
    let folder = locked();
    let wrong = shapes::<raised_wrongly::Entity>();
    for result in [
        update(&folder, "lume", &wrong),
        check(&folder, "lume", &wrong),
    ] {
        let error = result.unwrap_err();
        let Finding::OlderChanged {
            version,
            differences,
            ..
        } = only(&error)
        else {
            panic!("{error}")
        };
        assert_eq!((*version, differences.len()), (1, 2));
        let message = error.to_string();
        let hint = "the type in `upcast(1 = ..)` must keep the shape of the rows of version 1";
        assert!(message.contains(hint), "{message}");
    }
    update(&folder, "lume", &shapes::<raised::Entity>()).unwrap();
}

#[test]
fn a_lower_version_is_noticed() {
    let folder = folder();
    update(&folder, "lume", &shapes::<raised::Entity>()).unwrap();
    let error = check(&folder, "lume", &shapes::<mood::Entity>()).unwrap_err();
    assert!(matches!(
        only(&error),
        Finding::WentBack {
            recorded: 2,
            version: 1,
            ..
        }
    ));
    update(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
    check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
}

/// A manual impl with a second version and no decoder for the first.
#[derive(Debug)]
struct ByHand;

impl OutboxEntity for ByHand {
    type Metadata = i32;
    const EVENT_TYPE: &'static str = "moodEntry";
    const OPTIONS: EntityOptions = EntityOptions::new("moodEntry").with_metadata_version(2);

    fn entity_id(&self) -> EntityId {
        1.into()
    }

    fn user_id(&self) -> Cow<'_, str> {
        "u1".into()
    }

    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
        RawMetadata::encode(&7)
    }
}

#[test]
fn a_recorded_version_without_a_decoder_is_noticed() {
    let folder = locked();
    let by_hand = shapes::<ByHand>();
    let error = check(&folder, "lume", &by_hand).unwrap_err();
    let not_read = |finding: &Finding| matches!(finding, Finding::NotRead { version: 1, .. });
    assert!(error.findings().iter().any(not_read), "{error}");
    update(&folder, "lume", &by_hand).unwrap();
    check(&folder, "lume", &by_hand).unwrap();
}

#[test]
fn an_event_type_removed_from_its_set_is_reported_until_an_update() {
    let folder = locked();
    let both = [
        EventShapes::of::<mood::Entity>(),
        EventShapes::of::<goal::Entity>(),
    ];
    update(&folder, "lume", &both).unwrap();
    let error = check(&folder, "lume", &shapes::<goal::Entity>()).unwrap_err();
    let vanished = Finding::Vanished {
        event_type: "moodEntry".to_owned(),
    };
    assert_eq!(*only(&error), vanished);
    update(&folder, "lume", &shapes::<goal::Entity>()).unwrap();
    assert!(!text(&folder).contains("moodEntry"));
}

#[test]
fn sets_share_a_file_and_leave_each_other_alone() {
    let folder = locked();
    update(&folder, "fitiq", &shapes::<goal::Entity>()).unwrap();
    update(&folder, "relay", &shapes::<mood::Entity>()).unwrap();
    check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
    check(&folder, "fitiq", &shapes::<goal::Entity>()).unwrap();
    update(&folder, "lume", &[]).unwrap();
    check(&folder, "relay", &shapes::<mood::Entity>()).unwrap();
}

#[test]
fn a_damaged_lock_file_is_reported_by_path_and_left_as_it_is() {
    let shapes = shapes::<mood::Entity>();
    let good = text(&locked());
    let conflict = good.replacen("  \"format\"", "<<<<<<< HEAD\n  \"format\"", 1);
    let no_shape = good.replace("\"list\"", "\"lsit\"");
    let no_version = good.replace("\"1\": {", "\"one\": {");
    let more = good.replace("\"format\": 3", "\"format\": 3, \"more\": 1");
    for (damaged, reason) in [
        ("", "EOF"),
        ("[]", "a lock file is an object"),
        (conflict.as_str(), "line 3"),
        (no_shape.as_str(), "a shape is expected here"),
        (no_version.as_str(), "expected key to be a number"),
        (more.as_str(), "unknown field `more`"),
        ("{}", "missing field `format`"),
    ] {
        let folder = folder();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, damaged).unwrap();
        for result in [
            check(&folder, "lume", &shapes),
            update(&folder, "lume", &shapes),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, WireLockError::Damaged { .. }), "{error}");
            let message = error.to_string();
            assert!(message.contains(path.to_str().unwrap()), "{message}");
            assert!(message.contains(reason), "{message}");
            assert!(message.contains("version control"), "{message}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn a_lock_file_of_a_newer_library_is_left_as_it_is() {
    let folder = folder();
    let later = r#"{"format":4,"shapes":{}}"#;
    fs::write(folder.path().join(FILE_NAME), later).unwrap();
    let error = update(&folder, "lume", &shapes::<mood::Entity>()).unwrap_err();
    assert!(
        matches!(
            error,
            WireLockError::NewerFormat {
                found: 4,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(text(&folder), later);
}

#[test]
fn a_failed_write_is_reported_and_keeps_the_old_lock_file() {
    let folder = locked();
    let before = text(&folder);
    let raised = shapes::<raised::Entity>();
    let io_error = |result: Result<(), WireLockError>| match result.unwrap_err() {
        WireLockError::Io { action, path, .. } => (action, path),
        error => panic!("{error}"),
    };

    // Something is in the way of the temporary file.
    fs::create_dir(folder.path().join("outbox.lock.new")).unwrap();
    let (action, path) = io_error(update(&folder, "lume", &raised));
    assert_eq!((action, path), ("write", folder.path().join(FILE_NAME)));
    assert_eq!(text(&folder), before);
    fs::remove_dir(folder.path().join("outbox.lock.new")).unwrap();

    // A directory is in the place of the lock file.
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join(FILE_NAME)).unwrap();
    assert_eq!(io_error(check(&other, "lume", &raised)).0, "read");

    let nowhere = folder.path().join("nowhere");
    assert_eq!(
        io_error(update(&nowhere, "lume", &raised)),
        ("find", nowhere)
    );
}

#[test]
fn a_lock_in_a_read_only_folder_can_be_checked_but_not_changed() {
    let folder = locked();
    let mood = shapes::<mood::Entity>();
    let writable = fs::metadata(&folder).unwrap().permissions();
    let mut read_only = writable.clone();
    read_only.set_readonly(true);
    fs::set_permissions(&folder, read_only).unwrap();
    let checked = check(&folder, "lume", &mood);
    let unchanged = update(&folder, "lume", &mood);
    let changed = update(&folder, "lume", &shapes::<raised::Entity>());
    // Some may write even to a read-only folder: the superuser, and everyone on a system without
    // permissions.
    let is_privileged = fs::write(folder.path().join("probe"), "").is_ok();
    fs::set_permissions(&folder, writable).unwrap();
    checked.unwrap();
    unchanged.unwrap();
    assert_eq!(changed.is_ok(), is_privileged, "{changed:?}");
    if let Err(error) = changed {
        assert!(
            matches!(
                error,
                WireLockError::Io {
                    action: "write",
                    ..
                }
            ),
            "{error}"
        );
    }
}

/// Runs one test of this file in its own process.
fn run_alone(test: &str, folder: &Path, mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .env("OUTBOX_LOCK", mode)
        .env("RUST_BACKTRACE", "0");
    command
}

const FOLDER: &str = "OUTBOX_TEST_WIRE_LOCK_FOLDER";
const WRITERS: usize = 8;

/// Sets of one event each, written concurrently by the threads of a process.
fn write_many_sets(folder: &Path) {
    let process = std::process::id();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let set = format!("set {writer} of {process}");
                wire_lock::check_or_update(folder, &set, &shapes::<goal::Entity>()).unwrap();
            });
        }
    });
}

#[test]
fn concurrent_writers_do_not_lose_entries_of_each_other() {
    const NAME: &str = "concurrent_writers_do_not_lose_entries_of_each_other";
    const PROCESSES: usize = 4;
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_many_sets(&PathBuf::from(folder));
    }
    let folder = locked();
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let mut writer = run_alone(NAME, folder.path(), "update");
            writer.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let file: serde_json::Value = serde_json::from_str(&text(&folder)).unwrap();
    let sets = file["sets"].as_object().unwrap();
    assert_eq!(sets.len(), PROCESSES * WRITERS + 1);
    check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
}

#[derive(OutboxEvents)]
enum LumeEvent {
    MoodEntry(Event<raised::Entity>),
    Goal(Event<goal::Entity>),
}

fn text_of(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn the_generated_assertion_checks_the_file_next_to_the_manifest() {
    outbox_testing::assert_wire_lock::<LumeEvent>();
}

#[test]
fn the_generated_assertion_panics_where_it_was_called_and_says_why() {
    const NAME: &str = "the_generated_assertion_checks_the_file_next_to_the_manifest";
    let folder = folder();
    let output = run_alone(NAME, folder.path(), "overwrite")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = text_of(&output);
    let why = r#"OUTBOX_LOCK is "overwrite"; set it to `update`, or leave it unset"#;
    assert!(text.contains(why), "{text}");
    let (_, place) = text.split_once("panicked at ").unwrap();
    let (file, _) = place.split_once(".rs:").unwrap();
    assert!(
        file.ends_with("wire_lock"),
        "the panic's location must be the caller's: {text}"
    );
}

#[test]
fn the_environment_chooses_between_checking_and_writing() {
    const NAME: &str = "the_environment_chooses_between_checking_and_writing";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = PathBuf::from(folder);
        return wire_lock::check_or_update(folder, "lume", &shapes::<mood::Entity>()).unwrap();
    }
    let folder = folder();
    let succeeds = |mode| {
        let output = run_alone(NAME, folder.path(), mode).output().unwrap();
        output.status.success()
    };
    assert!(!succeeds(""), "a missing file is an error");
    assert!(succeeds("update"));
    assert!(succeeds(""), "an empty variable counts as unset");
}

#[test]
fn two_sets_may_have_one_event_type_with_different_metadata() {
    let folder = locked();
    update(&folder, "watch", &shapes::<changed::Entity>()).unwrap();
    check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
    check(&folder, "watch", &shapes::<changed::Entity>()).unwrap();
    let error = check(&folder, "watch", &shapes::<mood::Entity>()).unwrap_err();
    assert!(matches!(only(&error), Finding::Changed { .. }), "{error}");
    let error = check(&folder, "phone", &shapes::<raised_wrongly::Entity>()).unwrap_err();
    let is_new = |finding: &Finding| matches!(finding, Finding::Unrecorded { .. });
    assert!(error.findings().iter().all(is_new), "{error}");
}

/// A folder whose lock file was written by another program, with the first mood in the set
/// `app::Old`.
fn locked_by_another() -> TempDir {
    let folder = folder();
    let old = text(&locked()).replace("\"lume\"", "\"app::Old\"");
    fs::write(folder.path().join(FILE_NAME), old).unwrap();
    folder
}

#[test]
fn a_renamed_set_is_recognized_and_an_update_drops_the_old_name() {
    for (name, shapes_now) in [
        ("app::New", shapes::<mood::Entity>()),
        ("app::sync::Old", shapes::<mood::Entity>()),
        ("app::New", shapes::<raised::Entity>()),
    ] {
        let folder = locked_by_another();
        let is_as_it_was = shapes_now == shapes::<mood::Entity>();
        assert_eq!(check(&folder, name, &shapes_now).is_ok(), is_as_it_was);
        update(&folder, name, &shapes_now).unwrap();
        assert!(!text(&folder).contains("app::Old"), "{}", text(&folder));
        check(&folder, name, &shapes_now).unwrap();
    }
}

#[test]
fn only_a_renamed_set_replaces_another() {
    let folder = locked_by_another();
    // A set that is still checked still exists.
    check(&folder, "app::Old", &shapes::<mood::Entity>()).unwrap();
    update(&folder, "app::New", &shapes::<mood::Entity>()).unwrap();
    assert!(text(&folder).contains("app::Old"));
    // Not a rename: the set has other metadata or other events, or another path and name.
    for (name, shapes_now) in [
        ("app::New", shapes::<changed::Entity>()),
        ("app::New", shapes::<goal::Entity>()),
        ("other::New", shapes::<mood::Entity>()),
        ("new", shapes::<mood::Entity>()),
    ] {
        let folder = locked_by_another();
        update(&folder, name, &shapes_now).unwrap();
        assert!(text(&folder).contains("app::Old"));
    }
}

#[test]
fn lock_files_of_older_formats_are_read_and_converted() {
    let mood = r#""moodEntry":{"1":{"object":{"labels":{"list":{"object":{"name":"string"}}},"valence":"float(f64)"}}}"#;
    for older in [
        format!(
            r#"{{"about":"","format":1,"sets":{{"lume":["moodEntry"],"watch":["moodEntry"]}},"events":{{{mood}}}}}"#
        ),
        format!(r#"{{"about":"","format":2,"sets":{{"lume":{{{mood}}},"watch":{{{mood}}}}}}}"#),
    ] {
        let folder = folder();
        fs::write(folder.path().join(FILE_NAME), older).unwrap();
        check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
        let error = check(&folder, "watch", &shapes::<changed::Entity>()).unwrap_err();
        assert!(matches!(only(&error), Finding::Changed { .. }), "{error}");
        update(&folder, "watch", &shapes::<changed::Entity>()).unwrap();
        check(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
        assert!(text(&folder).contains("\"format\": 3"));
        // The recorded order is unknown until the set is written again.
        check(&folder, "lume", &shapes::<by_user::Entity>()).unwrap();
        update(&folder, "lume", &shapes::<mood::Entity>()).unwrap();
        check(&folder, "lume", &shapes::<by_user::Entity>()).unwrap_err();
    }
}

#[test]
fn the_generated_assertion_warns_about_an_unrecorded_order() {
    const NAME: &str = "the_generated_assertion_warns_about_an_unrecorded_order";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = folder.into_string().unwrap();
        return wire_lock::assert_in(folder, "lume", &shapes::<goal::Entity>());
    }
    let folder = folder();
    let older =
        r#"{"about":"","format":2,"sets":{"lume":{"goal":{"1":{"object":{"title":"string"}}}}}}"#;
    fs::write(folder.path().join(FILE_NAME), older).unwrap();
    let warning =
        "warning: the wire lock of `lume` does not have the order and the type of the id of goal";
    for (mode, warns) in [("", true), ("update", false), ("", false)] {
        let output = run_alone(NAME, folder.path(), mode).output().unwrap();
        let text = text_of(&output);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains(warning), warns, "{text}");
    }
}

entity!(by_user: "moodEntry", [order = "user"], { valence: f64, labels: Vec<Label> });
entity!(unordered: "moodEntry", [order = "none"], { valence: f64, labels: Vec<Label> });

#[test]
fn a_change_of_order_is_reported_with_its_effect_on_waiting_rows() {
    let folder = locked();
    for (shapes_now, is) in [
        (shapes::<by_user::Entity>(), "user"),
        (shapes::<unordered::Entity>(), "none"),
    ] {
        let error = check(&folder, "lume", &shapes_now).unwrap_err();
        let path = folder.path().join(FILE_NAME);
        assert_eq!(
            error.to_string(),
            format!(
                "{} does not match the events of `lume`:\n\
                 moodEntry: order: entity → {is}\n  \
                 waiting rows keep the order `entity`; new events use `{is}`, and come after the \
                 waiting ones of their entity\n  \
                 if that is intended, `OUTBOX_LOCK=update cargo test` accepts the new order",
                path.display()
            )
        );
        let other = locked();
        update(&other, "lume", &shapes_now).unwrap();
        check(&other, "lume", &shapes_now).unwrap();
        let back = check(&other, "lume", &shapes::<mood::Entity>()).unwrap_err();
        assert!(
            matches!(only(&back), Finding::OrderChanged { .. }),
            "{back}"
        );
    }
}

/// A mood with an id of another type.
macro_rules! mood_with_id {
    ($module:ident: $type:ty) => {
        mod $module {
            use super::*;

            #[derive(OutboxEntity)]
            #[outbox(event_type = "moodEntry")]
            pub(super) struct Entity {
                #[outbox(entity_id)]
                pub(super) id: $type,
                #[outbox(user_id)]
                pub(super) user_id: String,
                #[outbox(metadata)]
                pub(super) valence: f64,
                #[outbox(metadata)]
                pub(super) labels: Vec<Label>,
            }
        }
    };
}

/// An id of the application's own type, with or without `Deserialize`.
macro_rules! own_id {
    ($name:ident($type:ty) $(, $read:ident)?) => {
        #[derive(Debug, Clone $(, $read)?)]
        struct $name($type);

        impl From<$name> for EntityId {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }
    };
}

own_id!(MoodNumber(i64), Deserialize);
own_id!(MoodUuid(uuid::Uuid), Deserialize);
own_id!(MoodText(String), Deserialize);
own_id!(Opaque(String));

mood_with_id!(of_i32: i32);
mood_with_id!(of_u64: u64);
mood_with_id!(of_uuid: uuid::Uuid);
mood_with_id!(of_text: String);
mood_with_id!(of_any: EntityId);
mood_with_id!(of_own_number: MoodNumber);
mood_with_id!(of_own_uuid: MoodUuid);
mood_with_id!(of_own_text: MoodText);
mood_with_id!(of_opaque: Opaque);

#[test]
fn the_type_of_an_id_is_recognized_whatever_its_name() {
    let id_of = |[shapes]: [EventShapes; 1]| shapes.entity_id_type().to_string();
    for (id, is) in [
        (id_of(shapes::<of_i32::Entity>()), "integer"),
        (id_of(shapes::<of_u64::Entity>()), "integer"),
        (id_of(shapes::<of_uuid::Entity>()), "uuid"),
        (id_of(shapes::<of_text::Entity>()), "text"),
        (id_of(shapes::<of_any::Entity>()), "any"),
        (id_of(shapes::<of_own_number::Entity>()), "integer"),
        (id_of(shapes::<of_own_uuid::Entity>()), "uuid"),
        (id_of(shapes::<of_own_text::Entity>()), "text"),
        (id_of(shapes::<of_opaque::Entity>()), "type Opaque"),
        (id_of(shapes::<ByHand>()), "unknown"),
    ] {
        assert_eq!(id, is);
    }
    let unseen = |[shapes]: [EventShapes; 1]| shapes.unseen().to_vec();
    assert_eq!(
        unseen(shapes::<of_opaque::Entity>()),
        ["moodEntry: the id within `Opaque`"]
    );
    assert_eq!(
        unseen(shapes::<ByHand>()),
        ["moodEntry: the type of its id"]
    );
    assert!(unseen(shapes::<of_own_uuid::Entity>()).is_empty());
}

#[test]
fn a_change_of_the_id_type_is_reported_with_its_effect_on_waiting_rows() {
    let folder = locked();
    for same in [
        shapes::<of_i32::Entity>(),
        shapes::<of_u64::Entity>(),
        shapes::<of_own_number::Entity>(),
    ] {
        check(&folder, "lume", &same).unwrap();
    }
    for (other, is) in [
        (shapes::<of_uuid::Entity>(), "uuid"),
        (shapes::<of_own_uuid::Entity>(), "uuid"),
        (shapes::<of_text::Entity>(), "text"),
        (shapes::<of_any::Entity>(), "any"),
        (shapes::<of_opaque::Entity>(), "type Opaque"),
    ] {
        let error = check(&folder, "lume", &other).unwrap_err();
        let changed = Finding::EntityIdChanged {
            event_type: "moodEntry".to_owned(),
            was: "integer".to_owned(),
            is: is.to_owned(),
        };
        assert_eq!(*only(&error), changed);
        let message = error.to_string();
        for told in [
            format!("moodEntry: entity id: integer → {is}\n"),
            "waiting rows keep their ids".to_owned(),
            "any other is another entity".to_owned(),
            "`OUTBOX_LOCK=update cargo test` accepts the new type".to_owned(),
        ] {
            assert!(message.contains(&told), "{message}");
        }
        let accepted = locked();
        update(&accepted, "lume", &other).unwrap();
        check(&accepted, "lume", &other).unwrap();
        check(&accepted, "lume", &shapes::<mood::Entity>()).unwrap_err();
    }
}

/// Panics whenever it is deserialized.
#[derive(Debug, Clone, Serialize)]
struct Explosive;

impl<'de> Deserialize<'de> for Explosive {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("boom")
    }
}

entity!(explosive: "explosive", [], { charge: Explosive });

#[test]
fn metadata_whose_decoder_panics_is_reported_by_event_and_version() {
    let panic = std::panic::catch_unwind(shapes::<explosive::Entity>).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("explosive v1") && text.ends_with("boom"),
        "{text}"
    );
}

/// Accepts only texts that no sample matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Code(String);

impl TryFrom<String> for Code {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_code = text.starts_with("code-");
        is_code.then_some(Self(text)).ok_or("not a code")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Flat {
    code: Code,
    behind: i64,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Tree {
    Fork(Vec<Tree>, Box<Tree>, i64),
    Leaf,
}

entity!(coded: "coded", [], {
    scores: std::collections::BTreeMap<Code, i64>,
    pairs: Vec<(i64, Code, Option<i64>)>,
    flat: Flat,
    tree: Tree,
});

#[test]
fn parts_that_the_lock_cannot_see_are_reported_by_path() {
    assert_eq!(
        EventShapes::of::<coded::Entity>().unseen(),
        [
            "coded v1: scores{}",
            "coded v1: pairs[].2",
            "coded v1: flat.code and what comes after it",
        ]
    );
    assert!(EventShapes::of::<mood::Entity>().unseen().is_empty());
}

#[derive(OutboxEvents)]
enum CodedEvent {
    Coded(Event<coded::Entity>),
}

#[test]
fn the_generated_assertion_warns_about_parts_that_it_cannot_see() {
    const NAME: &str = "the_generated_assertion_warns_about_parts_that_it_cannot_see";
    if std::env::var_os(FOLDER).is_some() {
        return outbox_testing::assert_wire_lock::<CodedEvent>();
    }
    let folder = folder();
    let output = run_alone(NAME, folder.path(), "").output().unwrap();
    let text = text_of(&output);
    assert!(output.status.success(), "{text}");
    let warning =
        "warning: the wire lock of `wire_lock::CodedEvent` does not see coded v1: scores{}";
    assert!(text.contains(warning), "{text}");
}
