//! Entities, sets, variants and fields named with keywords, of whatever edition.
#![deny(warnings)]
#![allow(non_camel_case_types)]

use outbox_runtime::{Delivery, DeliveryError, Event, HandlerError, OutboxEntity, OutboxEvents};

macro_rules! entities {
    ($($name:ident = $event_type:literal,)*) => {
        $(
            #[derive(OutboxEntity)]
            #[outbox(event_type = $event_type)]
            struct $name {
                #[outbox(entity_id)]
                r#async: i64,
                #[outbox(user_id)]
                r#dyn: String,
                #[outbox(metadata)]
                r#type: String,
            }
        )*
    };
}

entities! {
    r#match = "match",
    r#gen = "gen",
    Type = "type",
    Self_ = "self",
    Crate = "crate",
    Move = "move",
    Union = "union",
}

/// The names are those that serde gives them.
#[derive(OutboxEntity)]
#[outbox(event_type = "loop")]
#[serde(rename_all = "UPPERCASE")]
struct r#loop {
    #[outbox(entity_id, user_id)]
    r#where: String,
    #[outbox(metadata)]
    r#type: u8,
    #[outbox(metadata)]
    #[serde(rename = "for")]
    r#for: u8,
}

#[derive(OutboxEvents)]
enum r#enum {
    r#match(Event<r#match>),
    Gen(Event<r#gen>),
    Type(Event<Type>),
    Self_(Event<Self_>),
    Crate(Event<Crate>),
    Move(Event<Move>),
    Union(Event<Union>),
    r#loop(Event<r#loop>),
}

struct Handler;

macro_rules! handler {
    ($($method:ident: $entity:ident,)*) => {
        impl enumHandler for Handler {
            $(async fn $method(&self, _: Event<$entity>) -> Result<(), HandlerError> { Ok(()) })*
        }
    };
}

handler! {
    r#match: r#match,
    r#gen: r#gen,
    r#type: Type,
    self_: Self_,
    crate_: Crate,
    r#move: Move,
    union: Union,
    r#loop: r#loop,
}

#[derive(Debug, thiserror::Error, DeliveryError)]
#[error("it")]
#[allow(dead_code)]
enum r#try {
    #[outbox(rate_limited(after = r#in))]
    r#yield { r#in: std::time::Duration },
    #[outbox(retry(after = r#as))]
    r#box { r#as: Option<std::time::Duration> },
}

fn main() {
    let entity = r#loop { r#where: "user-1".to_owned(), r#type: 1, r#for: 2 };
    let event = entity.enqueue_sync().into_event().unwrap();
    assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"TYPE":1,"for":2}"#));
    let metadata: matchMetadata = serde_json::from_str(r#"{"type":"final"}"#).unwrap();
    assert_eq!(metadata.r#type, "final");
    assert_eq!(r#enum::EVENT_TYPES.len(), 8);
    let _ = (r#enum::handled_by(Handler), enumMetadata::Generic(Default::default()));
    assert_eq!(r#try::r#box { r#as: None }.delivery(), Delivery::Retry { after: None });
}
