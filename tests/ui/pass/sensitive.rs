//! Sensitive fields in every form of metadata; what is not sensitive is shown.
#![deny(warnings)]

use outbox_runtime::OutboxEntity;
use outbox_runtime::support::Redaction;
use serde::{Deserialize, Serialize};

#[derive(OutboxEntity)]
#[outbox(event_type = "thin")]
pub struct Thin {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata)]
    pub valence: f64,
    #[outbox(metadata, sensitive)]
    pub r#type: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "renamed")]
pub struct Renamed {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata, sensitive)]
    #[serde(rename = "Notes")]
    pub notes: Option<String>,
}

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "snapshot", snapshot)]
pub struct Snapshot {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(sensitive)]
    pub phone: u64,
}

fn redacted<E: OutboxEntity>(metadata: &E::Metadata) -> String {
    let mut redaction = Redaction::default();
    E::hide_sensitive(metadata, &mut redaction);
    redaction.apply("secret 0441234567".to_owned())
}

fn main() {
    let thin = ThinMetadata { valence: 0.5, r#type: "secret".into() };
    assert_eq!(format!("{thin:?}"), "ThinMetadata { valence: 0.5, type: [redacted] }");
    assert_eq!(redacted::<Thin>(&thin), "[redacted] 0441234567");
    let renamed = RenamedMetadata { notes: Some("secret".into()) };
    assert_eq!(format!("{renamed:?}"), "RenamedMetadata { notes: [redacted] }");
    assert_eq!(redacted::<Renamed>(&renamed), "[redacted] 0441234567");
    let snapshot = Snapshot { id: 7, user_id: "u".into(), phone: 441234567 };
    assert_eq!(format!("{snapshot:?}"), "Snapshot { id: 7, user_id: \"u\", phone: [redacted] }");
    assert_eq!(redacted::<Snapshot>(&snapshot), "secret [redacted]");
}
