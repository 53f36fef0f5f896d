//! The shape that the wire lock sees of a type: everything that its deserialization reveals, but
//! not its name.
#![allow(dead_code, reason = "the types are inspected, not used")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use outbox_runtime::RawMetadata;
use outbox_runtime::prelude::*;
use outbox_testing::wire_lock::Shape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

#[track_caller]
fn assert_shape<T: DeserializeOwned>(expected: &str) {
    let shape = Shape::of::<T>();
    assert_eq!(shape.to_string(), expected);
    let json = serde_json::to_string_pretty(&shape).unwrap();
    let read: Shape = serde_json::from_str(&json).unwrap();
    assert_eq!(read, shape, "the shape must round-trip: {json}");
}

#[test]
fn numbers_are_distinguished_by_width_and_sign() {
    assert_shape::<bool>("bool");
    assert_shape::<i8>("integer(i8)");
    assert_shape::<u16>("integer(u16)");
    assert_shape::<i64>("integer(i64)");
    assert_shape::<u64>("integer(u64)");
    assert_shape::<i128>("integer(i128)");
    assert_shape::<u128>("integer(u128)");
    assert_shape::<f32>("float(f32)");
    assert_shape::<f64>("float(f64)");
    assert_shape::<NonZeroU32>("integer(u32, constrained)");
    assert_shape::<char>("char");
    assert_shape::<()>("null");
}

/// A string with validation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Slug(String);

impl TryFrom<String> for Slug {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.chars().all(|letter| letter.is_ascii_lowercase()) {
            true => Ok(Self(text)),
            false => Err("only lowercase letters"),
        }
    }
}

/// A string that no sample matches.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Password(String);

impl TryFrom<String> for Password {
    type Error = &'static str;

    fn try_from(_: String) -> Result<Self, &'static str> {
        Err("never")
    }
}

#[test]
fn strings_are_distinguished_by_the_values_that_they_accept() {
    assert_shape::<String>("string");
    assert_shape::<Box<str>>("string");
    assert_shape::<Uuid>("string(uuid)");
    assert_shape::<DateTime<Utc>>("string(date-time)");
    assert_shape::<NaiveDateTime>("string(local date-time)");
    assert_shape::<NaiveDate>("string(date)");
    assert_shape::<NaiveTime>("string(time)");
    assert_shape::<Ipv4Addr>("string(ip)");
    assert_shape::<IpAddr>("string(ip|ipv6)");
    assert_shape::<Slug>("string(constrained)");
    assert_shape::<Password>("string(constrained)");
    assert_shape::<EntityId>("any(integer|string)");
}

#[test]
fn containers_show_their_content_types() {
    assert_shape::<Option<String>>("optional string");
    assert_shape::<Vec<Option<i32>>>("[optional integer(i32)]");
    // `null` is the only way to write an absent value.
    assert_shape::<Option<Option<String>>>("optional string");
    assert_shape::<Vec<Option<Option<Option<i32>>>>>("[optional integer(i32)]");
    assert_shape::<BTreeSet<Uuid>>("[string(uuid)]");
    assert_shape::<(bool, String, f64)>("(bool, string, float(f64))");
    assert_shape::<[u8; 2]>("(integer(u8), integer(u8))");
    assert_shape::<HashMap<String, Vec<f64>>>("map of string to [float(f64)]");
    assert_shape::<BTreeMap<u32, Uuid>>("map of integer(u32) to string(uuid)");
    assert_shape::<HashMap<Uuid, bool>>("map of string(uuid) to bool");
    assert_shape::<Box<Vec<Box<bool>>>>("[bool]");
    assert_shape::<Duration>("{nanos: integer(u32), secs: integer(u64)}");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mood {
    entry_id: Uuid,
    logged_at: DateTime<Utc>,
    #[serde(rename = "valence_x")]
    valence: f64,
    labels: Vec<Label>,
    note: Option<String>,
    #[serde(skip)]
    cached: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Label {
    name: Slug,
    weight: Option<u8>,
}

#[test]
fn an_object_has_the_serialized_names_of_its_fields() {
    assert_shape::<Mood>(
        "{entryId: string(uuid), \
         labels: [{name: string(constrained), weight: optional integer(u8)}], \
         loggedAt: string(date-time), note: optional string, valence_x: float(f64)}",
    );
}

#[derive(Deserialize)]
struct Presence {
    required: String,
    #[serde(default)]
    default: i32,
    option: Option<i32>,
    #[serde(deserialize_with = "given")]
    given: Option<i32>,
    #[serde(alias = "colour", alias = "a_colour")]
    color: String,
}

#[derive(Deserialize)]
struct PresenceUnknown {
    secret: Password,
    #[serde(default)]
    default: i32,
    option: Option<i32>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    Option::deserialize(deserializer)
}

#[test]
fn optional_fields_are_recognized_and_aliases_are_not_fields() {
    assert_shape::<Presence>(
        "{color: string, default: integer(i32) with a default, given: integer(i32) or null, \
         option: optional integer(i32), required: string}",
    );
    assert_shape::<PresenceUnknown>(
        "{default: integer(i32), option: optional integer(i32), secret: string(constrained)}",
    );
}

#[derive(Deserialize)]
#[serde(default)]
struct AllDefault {
    text: String,
    number: Option<i32>,
}

impl Default for AllDefault {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            number: None,
        }
    }
}

#[derive(Deserialize)]
struct Unit;

#[derive(Deserialize)]
struct Metres(f64);

#[derive(Deserialize)]
struct Pair(Uuid, Slug);

#[derive(Deserialize)]
struct BehindARefusal(Password, String);

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<Box<T>>,
}

#[test]
fn structs_of_every_form() {
    assert_shape::<AllDefault>("{number: optional integer(i32), text: string with a default}");
    assert_shape::<Unit>("null");
    assert_shape::<Metres>("float(f64)");
    assert_shape::<Pair>("(string(uuid), string(constrained))");
    assert_shape::<BehindARefusal>("(string(constrained), unseen)");
    assert_shape::<Page<Metres>>("{items: [float(f64)], next: optional float(f64)}");
}

#[derive(Deserialize)]
enum External {
    Nothing,
    Newtype(Uuid),
    Tuple(bool, Slug),
    #[serde(rename = "object")]
    Struct {
        id: Uuid,
        depth: u8,
    },
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Walk { metres: f64 },
    Rest,
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
enum InternalChanged {
    Walk { metres: f64 },
    Run { metres: f64 },
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum InternalByType {
    Walk { metres: f64 },
    Rest,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Adjacent {
    Walk(f64),
    Rest,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    Truth(bool),
}

#[test]
fn enums_of_every_form() {
    assert_shape::<External>(
        "enum {Newtype: string(uuid), Nothing: unit, Tuple: (bool, string(constrained)), \
         object: {depth: integer(u8), id: string(uuid)}}",
    );
    assert_shape::<Internal>("enum by \"kind\" {Rest: any, Walk: any}");
    assert_shape::<Vec<InternalChanged>>("[enum by \"kind\" {Run: any, Walk: any}]");
    assert_shape::<Adjacent>("{kind: enum {Rest: unit, Walk: unit}, value: any with a default}");
    assert_shape::<Untagged>("any(bool|integer|string)");
    assert_shape::<serde_json::Value>("any");
    assert_shape::<RawMetadata>("any");
    assert_shape::<HashMap<String, Untagged>>("map of string to any(bool|integer|string)");
}

#[derive(Deserialize)]
struct Flat {
    id: Uuid,
    title: Slug,
    #[serde(flatten)]
    rest: HashMap<String, serde_json::Value>,
}

#[test]
fn a_flattened_struct_shows_its_required_fields() {
    assert_shape::<Flat>("{id: string(uuid), title: string(constrained), ..}");
}

#[derive(Deserialize)]
struct Tree {
    id: Uuid,
    children: Vec<Tree>,
    parent: Option<Box<Tree>>,
}

#[derive(Deserialize)]
struct Nested(Vec<Nested>);

#[derive(Deserialize)]
enum Expression {
    Difference(Box<Expression>, Box<Expression>),
    Number(f64),
    Sum(Box<Expression>, Box<Expression>),
}

#[test]
fn recursion_refers_to_the_level_above() {
    assert_shape::<Tree>(
        "{children: [the same as 2 levels above], id: string(uuid), \
         parent: optional the same as 2 levels above}",
    );
    assert_shape::<Nested>("[the same as 1 level above]");
    assert_shape::<Expression>(
        "enum {Difference: (the same as 2 levels above, the same as 2 levels above), \
         Number: float(f64), Sum: (the same as 2 levels above, the same as 2 levels above)}",
    );
}

#[test]
fn renaming_a_type_changes_nothing() {
    mod old {
        use super::*;

        #[derive(Deserialize)]
        pub(super) struct Entry {
            id: Uuid,
            kind: Kind,
            inner: Option<Box<Entry>>,
        }

        #[derive(Deserialize)]
        pub(super) enum Kind {
            Walk { metres: Metres },
        }
    }
    mod new {
        use super::*;

        #[derive(Deserialize)]
        pub(super) struct Record {
            inner: Option<Box<Record>>,
            kind: Sort,
            id: Uuid,
        }

        #[derive(Deserialize)]
        pub(super) enum Sort {
            Walk { metres: f64 },
        }
    }
    assert_eq!(Shape::of::<old::Entry>(), Shape::of::<new::Record>());
}

#[test]
fn metadata_has_the_shape_of_the_entity_fields() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "moodEntry")]
    struct Entry {
        #[outbox(entity_id, metadata)]
        id: Uuid,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        labels: Vec<Label>,
        #[outbox(metadata)]
        note: Option<String>,
    }

    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "measurement")]
    #[serde(rename_all = "camelCase")]
    struct Measurement {
        #[outbox(entity_id)]
        id: Uuid,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        #[serde(default)]
        body_weight: f64,
    }

    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "goal", snapshot)]
    struct Goal {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
    }

    assert_shape::<EntryMetadata>(
        "{id: string(uuid), labels: [{name: string(constrained), weight: optional integer(u8)}], \
         note: optional string}",
    );
    assert_shape::<MeasurementMetadata>("{bodyWeight: float(f64) with a default}");
    assert_shape::<Goal>("{id: integer(i64), user_id: string}");
}

/// The differences from the first type to the second.
fn differences<A: DeserializeOwned, B: DeserializeOwned>() -> Vec<String> {
    let differences = Shape::of::<A>().differences(&Shape::of::<B>());
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn each_kind_of_change_is_reported_by_path() {
    /// Two structs with one field each, and the expected description of the change.
    macro_rules! change {
        ($($(#[$was_attr:meta])* $was:ident: $was_type:ty => $(#[$is_attr:meta])* $is:ident: $is_type:ty, $expected:expr;)+) => {$({
            #[derive(Deserialize)]
            struct Was { $(#[$was_attr])* $was: $was_type }
            #[derive(Deserialize)]
            struct Is { $(#[$is_attr])* $is: $is_type }
            let expected: &[&str] = &$expected;
            assert_eq!(differences::<Was, Is>(), expected);
        })+};
    }
    change! {
        labels: Vec<String> => labels: Vec<i64>, ["labels[]: string → integer(i64)"];
        id: String => id: Uuid, ["id: string → string(uuid)"];
        count: u32 => count: i32, ["count: integer(u32) → integer(i32)"];
        count: u32 => count: u64, ["count: integer(u32) → integer(u64)"];
        mass: f32 => mass: f64, ["mass: float(f32) → float(f64)"];
        note: String => note: Option<String>, ["note: string → optional string"];
        note: String => #[serde(default)] note: String, ["note: string → string with a default"];
        note: String => text: String, ["note: removed, was string", "text: added, string"];
        note: String => #[serde(rename = "text")] note: String,
            ["note: removed, was string", "text: added, string"];
        label: Label => label: Vec<Label>,
            ["label: {name: string(constrained), weight: optional integer(u8)} → \
              [{name: string(constrained), weight: optional integer(u8)}]"];
        scores: HashMap<String, u8> => scores: HashMap<String, f64>,
            ["scores{}: integer(u8) → float(f64)"];
        scores: HashMap<String, u8> => scores: HashMap<Uuid, u8>,
            ["scores{key}: string → string(uuid)"];
        pair: (u8, String) => pair: (u8, Uuid), ["pair.1: string → string(uuid)"];
        pair: (u8, u8) => pair: (u8, u8, u8),
            ["pair: (integer(u8), integer(u8)) → (integer(u8), integer(u8), integer(u8))"];
        at: DateTime<Utc> => at: NaiveDate, ["at: string(date-time) → string(date)"];
        value: Untagged => value: serde_json::Value, ["value: any(bool|integer|string) → any"];
        pages: Option<Vec<Page<u8>>> => pages: Option<Vec<Page<i8>>>,
            ["pages[].items[]: integer(u8) → integer(i8)", "pages[].next: integer(u8) → integer(i8)"];
        kind: External => kind: Changed,
            ["kind::Newtype: string(uuid) → string", "kind::Nothing: removed, was unit",
             "kind::object.depth: integer(u8) → integer(u16)", "kind::Added: added, unit"];
        kind: Internal => kind: InternalChanged,
            ["kind::Rest: removed, was any", "kind::Run: added, any"];
        kind: Internal => kind: InternalByType,
            ["kind: enum by \"kind\" {Rest: any, Walk: any} → enum by \"type\" {Rest: any, Walk: any}"];
        same: Vec<Tree> => same: Vec<Tree>, [];
    }

    #[derive(Deserialize)]
    enum Changed {
        Added,
        Newtype(String),
        Tuple(bool, Slug),
        #[serde(rename = "object")]
        Struct {
            id: Uuid,
            depth: u16,
        },
    }
}

#[test]
fn a_nested_option_has_the_shape_of_an_option_in_a_recursive_type_too() {
    #[derive(Deserialize)]
    struct Once {
        _next: Option<Vec<Once>>,
    }
    #[derive(Deserialize)]
    struct Twice {
        _next: Option<Option<Vec<Twice>>>,
    }
    let differences = Shape::of::<Twice>().differences(&Shape::of::<Once>());
    assert!(differences.is_empty(), "{differences:?}");
    // The same holds if an earlier version of the library recorded both levels.
    let recorded = r#"{"object":{"note":{"optional":{"optional":"string"}}}}"#;
    let recorded: Shape = serde_json::from_str(recorded).unwrap();
    let now: Shape = serde_json::from_str(r#"{"object":{"note":{"optional":"string"}}}"#).unwrap();
    assert!(recorded.differences(&now).is_empty());
    assert!(now.differences(&recorded).is_empty());
}
