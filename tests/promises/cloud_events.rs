//! An event as a CloudEvent: as the specification's own examples are, and without anything that
//! only the outbox knows.

use outbox_runtime::{
    AttributeValue, CloudEvent, CloudEventError, Headers, HttpContent, NewEvent, RawMetadata,
    TraceContext, prelude::*,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

const DATA: &str = r#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#;

/// An event that was enqueued at that time.
fn event_at(created_at: &str, metadata: Option<&str>) -> OutboxEvent {
    let event = NewEvent::new("com.example.someevent", "subject", "u1", Operation::Update);
    let event = match metadata {
        Some(json) => event.with_metadata(RawMetadata::from_bytes(json)),
        None => event,
    };
    event.into_pending(created_at.parse().unwrap())
}

fn event() -> OutboxEvent {
    event_at("2018-04-05T17:31:00Z", Some(DATA))
}

/// With the attributes of the specification's examples and no others.
fn example(event: &OutboxEvent, source: &str, id: &str) -> Result<CloudEvent, CloudEventError> {
    event
        .cloud_event(source)?
        .with_id(id)?
        .without_subject()
        .without_extension("operation")
        .without_extension("dataversion")
        .with_extension("comexampleextension1", "value")?
        .with_extension("comexampleothervalue", 5)
}

fn json_of(content: &HttpContent) -> Value {
    serde_json::from_slice(&content.body).unwrap()
}

fn header<'c>(content: &'c HttpContent, name: &str) -> Option<&'c str> {
    let mut found = content.headers.iter().filter(|(it, _)| it == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    pairs.sort();
    pairs
}

fn sorted(content: &HttpContent) -> Vec<(String, String)> {
    let mut headers = content.headers.clone();
    headers.sort();
    headers
}

/// JSON Event Format 1.0.2, section 3.2, the third example in both modes.
#[test]
fn the_example_with_an_object_is_made_in_both_modes() {
    let envelope = example(&event(), "/mycontext", "C234-1234-1234").unwrap();
    let content = envelope.structured();
    assert_eq!(
        header(&content, "content-type"),
        Some("application/cloudevents+json; charset=utf-8")
    );
    assert_eq!(
        json_of(&content),
        json!({
            "specversion": "1.0",
            "type": "com.example.someevent",
            "source": "/mycontext",
            "id": "C234-1234-1234",
            "time": "2018-04-05T17:31:00Z",
            "comexampleextension1": "value",
            "comexampleothervalue": 5,
            "datacontenttype": "application/json",
            "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": true}
        })
    );
    let content = envelope.binary();
    assert_eq!(
        sorted(&content),
        pairs(&[
            ("ce-specversion", "1.0"),
            ("ce-type", "com.example.someevent"),
            ("ce-source", "/mycontext"),
            ("ce-id", "C234-1234-1234"),
            ("ce-time", "2018-04-05T17:31:00Z"),
            ("ce-comexampleextension1", "value"),
            ("ce-comexampleothervalue", "5"),
            ("content-type", "application/json"),
        ])
    );
    assert_eq!(content.body, DATA.as_bytes());
}

/// The same section, the fourth example.
#[test]
fn the_example_with_a_literal_string_is_made_in_both_modes() {
    let literal = event_at("2018-04-05T17:31:00Z", Some(r#""I'm just a string""#));
    let envelope = example(&literal, "/mycontext", "D234-1234-1234").unwrap();
    let json = json_of(&envelope.structured());
    assert_eq!(json["data"], "I'm just a string");
    let content = envelope.binary();
    assert_eq!(header(&content, "content-type"), Some("application/json"));
    assert_eq!(content.body, br#""I'm just a string""#);
}

/// The same, section 4.3; its first event has binary data, which metadata never is.
#[test]
fn the_example_of_a_batch_is_an_array() {
    let later = event_at("2018-04-05T17:31:05Z", Some(DATA));
    let first = example(&event(), "/mycontext/4", "B234-1234-1234").unwrap();
    let second = example(&later, "/mycontext/9", "C234-1234-1234").unwrap();
    let second = second.with_type("com.example.someotherevent").unwrap();
    let content = CloudEvent::batched([&first, &second]);
    assert_eq!(
        header(&content, "content-type"),
        Some("application/cloudevents-batch+json; charset=utf-8")
    );
    let json = json_of(&content);
    assert_eq!(
        json[1],
        json!({
            "specversion": "1.0",
            "type": "com.example.someotherevent",
            "source": "/mycontext/9",
            "id": "C234-1234-1234",
            "time": "2018-04-05T17:31:05Z",
            "comexampleextension1": "value",
            "comexampleothervalue": 5,
            "datacontenttype": "application/json",
            "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": true}
        })
    );
    assert_eq!(json[0], json_of(&first.structured()));
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    assert_eq!(CloudEvent::batched([]).body, b"[]");
}

/// HTTP Protocol Binding 1.0.2, sections 3.1.3.2 and 3.1.4.
#[test]
fn the_example_of_a_header_value_is_percent_encoded() {
    let at = event_at("2018-04-05T03:56:24Z", Some("{}"));
    let envelope = example(&at, "/mycontext/subcontext", "1234-1234-1234").unwrap();
    let text = "Euro \u{20ac} \u{1f600}";
    let envelope = envelope.with_extension("greeting", text).unwrap();
    let content = envelope.binary();
    assert_eq!(
        header(&content, "ce-greeting"),
        Some("Euro%20%E2%82%AC%20%F0%9F%98%80")
    );
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.someevent"),
        ("ce-time", "2018-04-05T03:56:24Z"),
        ("ce-id", "1234-1234-1234"),
        ("ce-source", "/mycontext/subcontext"),
    ] {
        assert_eq!(header(&content, name), Some(value));
    }
    let envelope = envelope.with_extension("hard", "\"100%\"~").unwrap();
    let content = envelope.binary();
    assert_eq!(header(&content, "ce-hard"), Some("%22100%25%22~"));
    assert_eq!(json_of(&envelope.structured())["hard"], "\"100%\"~");
    let visible = |text: &str| text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    assert!(content.headers.iter().all(|(_, value)| visible(value)));
    assert!(
        content
            .headers
            .iter()
            .all(|(name, _)| name != "ce-datacontenttype")
    );
}

#[test]
fn an_event_has_the_documented_attributes_and_no_state_of_its_row() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = TraceContext::new(parent).unwrap();
    let id = Uuid::now_v7();
    let new = NewEvent::new("invoice", 7, "user-ada", Operation::Create)
        .with_id(id)
        .with_priority(41)
        .with_max_attempts(42)
        .with_destination("eu")
        .with_metadata(RawMetadata::from_bytes(" {\"total\": 1.0e2} "))
        .with_metadata_version(3)
        .with_trace_context(context.with_tracestate("vendor=a").unwrap());
    let mut event = new.into_pending("2026-01-02T03:04:05.000006Z".parse().unwrap());
    event.attempt_count = 43;
    event.error_message = Some("HTTP 500".to_owned());
    event.status = OutboxStatus::Processing;
    event.lease_token = Some(Uuid::now_v7());
    let envelope = event.cloud_event("https://example.com/billing").unwrap();
    let json = envelope.to_json();
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        json!({
            "specversion": "1.0",
            "type": "invoice",
            "source": "https://example.com/billing",
            "id": id.to_string(),
            "subject": "7",
            "time": "2026-01-02T03:04:05.000006Z",
            "operation": "create",
            "dataversion": 3,
            "traceparent": parent,
            "tracestate": "vendor=a",
            "datacontenttype": "application/json",
            "data": {"total": 100.0}
        })
    );
    assert!(
        json.ends_with("\"data\":{\"total\": 1.0e2}}"),
        "as written: {json}"
    );
    let shown = format!("{envelope:?} {:?}", envelope.binary());
    assert!(!shown.contains("total"), "{shown}");

    event.metadata = None;
    let envelope = event.cloud_event("/billing").unwrap();
    let bare = json_of(&envelope.structured());
    for absent in ["data", "datacontenttype", "dataversion"] {
        assert!(bare.get(absent).is_none(), "{absent}");
    }
    assert_eq!((envelope.data(), envelope.datacontenttype()), (None, None));
    let content = envelope.binary();
    assert!(content.body.is_empty() && header(&content, "content-type").is_none());
}

#[test]
fn headers_become_attributes_where_their_names_allow() {
    let mut event = event();
    event.headers = [
        ("tenant", "7"),
        ("X-Region.EU_1", "a b"),
        ("x-double", "kept"),
        ("xdouble", "exact"),
        ("id", "not the id"),
        ("da-ta", "not the data"),
        ("operation", "not the operation"),
        ("traceparent", "not the trace"),
        ("a+b", "another character"),
        ("x-a-very-long-name-of-a-header", "too long"),
        ("x-noncharacter", "\u{fffe}"),
        ("---", "nothing is left"),
        ("empty", ""),
    ]
    .into_iter()
    .collect();
    event.headers.set_sensitive("x-secret", "CANARY");
    let envelope = event.cloud_event("/mycontext").unwrap();
    let extensions: Vec<(String, AttributeValue)> = envelope
        .attributes()
        .skip_while(|(name, _)| *name != "time")
        .skip(1)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let text = |name: &str, value: &str| (name.to_owned(), AttributeValue::from(value));
    assert_eq!(
        extensions,
        [
            ("dataversion".to_owned(), 1.into()),
            text("empty", ""),
            text("operation", "update"),
            text("tenant", "7"),
            text("xdouble", "exact"),
            text("xregioneu1", "a b"),
        ]
    );
    assert!(!envelope.to_json().contains("CANARY"));
    // An application may add anything itself.
    let secret = event.headers().get("x-secret").unwrap();
    let envelope = envelope.with_extension("xsecret", secret).unwrap();
    assert!(envelope.to_json().contains("CANARY"));
    assert_eq!(Headers::new().len(), 0);
}

#[test]
fn what_is_no_uri_reference_is_refused_as_a_source() {
    for source in [
        "/mycontext",
        "mycontext/4",
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "cloudevents/spec/pull/123",
        "/sensors/tn-1234567/alerts",
        "1-555-123-4567",
        "https://user@[2001:db8::7]:80/c=GB?objectClass#one",
        "//example.com?a=/?#/?",
        "./this:that",
        "/a%20b",
        "?",
        "#",
    ] {
        let made = event().cloud_event(source);
        assert!(made.is_ok(), "{source}: {made:?}");
    }
    for (source, why) in [
        ("", "is empty"),
        (" /mycontext", "' ' at byte 0"),
        ("/my context", "' ' at byte 3"),
        ("/ä", "'ä' at byte 1"),
        ("/a\n", "'\\n' at byte 2"),
        ("/a%2", "'%' at byte 2"),
        ("/100%", "'%' at byte 4"),
        ("/a<b>", "'<' at byte 2"),
        ("/a#b#c", "'#' at byte 4"),
        ("/[a]", "'[' at byte 1"),
        ("https://[::1", "'[' at byte 8"),
        ("1tn:alerts", "no scheme"),
        (":a", "no scheme"),
        ("a_b:c", "no scheme"),
    ] {
        let refused = event().cloud_event(source).unwrap_err();
        assert!(
            matches!(refused, CloudEventError::Source { .. }),
            "{source}"
        );
        assert!(refused.to_string().contains(why), "{source}: {refused}");
    }
}

#[test]
fn invalid_attributes_and_damaged_rows_are_refused_with_the_rule() {
    let made = || event().cloud_event("/mycontext").unwrap();
    for event_type in ["", "a\u{7}b", "\u{9f}", "\u{fdd0}", "\u{1ffff}"] {
        let refused = made().with_type(event_type).unwrap_err();
        assert!(matches!(refused, CloudEventError::Type { .. }), "{refused}");
        let mut damaged = event();
        damaged.event_type = event_type.to_owned();
        assert_eq!(damaged.cloud_event("/mycontext"), Err(refused));
        for refused in [made().with_id(event_type), made().with_subject(event_type)] {
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, CloudEventError::Attribute { .. }),
                "{refused}"
            );
        }
    }
    let names = [
        "",
        "x-tenant",
        "Tenant",
        "ü",
        "atmost20lettersanddigits",
        "id",
        "data",
        "time",
    ];
    for name in names {
        let refused = made().with_extension(name, 7).unwrap_err();
        let is_named =
            matches!(&refused, CloudEventError::Attribute { name: it, .. } if it == name);
        assert!(is_named, "{name:?}: {refused}");
    }
    assert!(made().with_extension("a", "b\0").is_err());
    assert!(made().with_extension("a", true).is_ok());
    for uri in ["", "/schema", "schema.json#a:b", "https://a b"] {
        assert!(made().with_dataschema(uri).is_err(), "{uri:?}");
    }
    let with_schema = made()
        .with_dataschema("https://example.com/s.json#v1")
        .unwrap();
    let json = json_of(&with_schema.structured());
    assert_eq!(json["dataschema"], "https://example.com/s.json#v1");

    let mut damaged = event();
    damaged.metadata = Some(RawMetadata::from_bytes(r#"{"CANARY": CANARY}"#));
    let refused = damaged.cloud_event("/mycontext").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the data of a CloudEvent is not JSON at line 1 column 12"
    );
    let mut damaged = event();
    damaged.created_at = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    let refused = damaged.cloud_event("/mycontext").unwrap_err();
    assert!(refused.to_string().contains("\"time\""), "{refused}");
}

#[derive(Serialize, Deserialize)]
struct NoteV1 {
    words: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "note", version = 2, upcast(1 = NoteV1), alias = ["memo"])]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

impl From<NoteV1> for NoteMetadata {
    fn from(old: NoteV1) -> Self {
        Self { text: old.words }
    }
}

#[test]
fn a_typed_event_is_sent_as_the_newest_version_of_its_type() {
    let newest = Note {
        id: 1,
        user_id: "u1".to_owned(),
        text: "hello".to_owned(),
    };
    let newest = newest.enqueue_update().into_event().unwrap();
    let newest = newest.into_pending(chrono::DateTime::UNIX_EPOCH);
    let mut older = newest.clone();
    older.event_type = "memo".to_owned();
    older.metadata_version = 1;
    older.metadata = Some(RawMetadata::from_bytes(r#"{"words":"hello"}"#));
    let typed = |event: &OutboxEvent| {
        let event = Event::<Note>::decode(event.clone()).unwrap();
        json_of(&event.cloud_event("/notes").unwrap().structured())
    };
    assert_eq!(typed(&older), typed(&newest));
    assert_eq!(typed(&older)["data"], json!({"text": "hello"}));
    assert_eq!(typed(&older)["dataversion"], 2);
    // The row itself is sent as it is.
    let row = json_of(&older.cloud_event("/notes").unwrap().structured());
    assert_eq!(
        (&row["type"], &row["dataversion"]),
        (&json!("memo"), &json!(1))
    );
    assert_eq!(row["data"], json!({"words": "hello"}));
}
