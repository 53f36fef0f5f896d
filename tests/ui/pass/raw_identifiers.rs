use outbox_runtime::OutboxEntity;

#[derive(OutboxEntity)]
#[outbox(event_type = "match")]
#[allow(non_camel_case_types)]
struct r#match {
    #[outbox(entity_id)]
    r#fn: i64,
    #[outbox(user_id)]
    r#use: String,
    #[outbox(metadata)]
    r#type: String,
}

fn main() {
    let entity = r#match { r#fn: 7, r#use: "user-1".to_owned(), r#type: "final".to_owned() };
    let event = entity.enqueue_sync().into_event().unwrap();
    assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"type":"final"}"#));
    let metadata: matchMetadata = serde_json::from_str(r#"{"type":"final"}"#).unwrap();
    assert_eq!(metadata.r#type, "final");
}
