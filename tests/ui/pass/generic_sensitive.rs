//! Sensitive fields of generic entities, in every form of metadata.
#![deny(warnings)]

use outbox_runtime::OutboxEntity;
use outbox_runtime::support::{MetadataValue, Redaction};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "page", snapshot)]
pub struct Page<T, U = ()> {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(sensitive)]
    pub notes: Vec<T>,
    pub other: U,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "thin")]
pub struct Thin<T> {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata, sensitive)]
    pub note: T,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "bySerde")]
pub struct BySerde<T: Iterator> {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata, sensitive)]
    #[serde(rename = "Note")]
    pub note: T::Item,
}

fn redacted<E: OutboxEntity>(metadata: &E::Metadata) -> String {
    let mut redaction = Redaction::default();
    E::hide_sensitive(metadata, &mut redaction);
    redaction.apply("a secret".to_owned())
}

/// Nothing more is asked of the parameters than of those of other entities.
pub fn of_any<T: MetadataValue + From<&'static str>>() -> String
where
    Page<T>: MetadataValue,
{
    let page = Page { id: 1, user_id: "u".to_owned(), notes: vec![T::from("secret")], other: () };
    redacted::<Page<T>>(&page)
}

fn main() {
    assert_eq!(of_any::<String>(), "a [redacted]");
    let thin = ThinMetadata { note: "secret".to_owned() };
    assert_eq!(redacted::<Thin<String>>(&thin), "a [redacted]");
    let by_serde = BySerdeMetadata::<std::vec::IntoIter<String>> { note: "secret".to_owned() };
    assert_eq!(redacted::<BySerde<std::vec::IntoIter<String>>>(&by_serde), "a [redacted]");
    let entity = Thin { id: 1, user_id: "u".to_owned(), note: "secret".to_owned() };
    assert_eq!(format!("{entity:?}"), "Thin { note: [redacted], .. }");
}
