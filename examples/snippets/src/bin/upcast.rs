//! The shape of my metadata changes: what about rows of the previous version?
//!
//! Raise `version`, keep the old struct, and name it in `upcast`. Old rows arrive as the new type.

use std::time::Duration;

use anyhow::ensure;
use outbox_runtime::prelude::*;
use outbox_runtime::{NewEvent, RawMetadata};
use serde::Deserialize;

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", version = 2, upcast(1 = GoalMetadataV1))]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
    #[outbox(metadata)]
    title: String,
    #[outbox(metadata)]
    target: Option<f64>,
}

#[derive(Deserialize)]
struct GoalMetadataV1 {
    name: String,
}

impl From<GoalMetadataV1> for GoalMetadata {
    fn from(old: GoalMetadataV1) -> Self {
        Self {
            title: old.name,
            target: None,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    // A row as the previous release of the app wrote it.
    let metadata = RawMetadata::from_bytes(br#"{"name":"Swim"}"#.to_vec());
    let old = NewEvent::new("goal", 7, "user-1", Operation::Create).with_metadata(metadata);
    store.create_event(old).await?;
    let new = Goal {
        id: 8,
        user_id: "user-1",
        title: "Run".into(),
        target: Some(10.0),
    };
    new.enqueue_create().on(&store).await?;

    let running = Processor::builder(store)
        .handle::<Goal>(|event| async move {
            let GoalMetadata { title, target } = event.metadata();
            match (event.metadata_version, title.as_str(), target) {
                (1, "Swim", None) | (2, "Run", Some(10.0)) => Ok(()),
                other => Err(HandlerError::permanent(format!("{other:?}"))),
            }
        })
        .build()?
        .start("user-1");
    for id in [7, 8] {
        let flushed = running.flush(id, Duration::from_secs(5)).await?;
        ensure!(flushed.is_delivered(), "{flushed:?}");
    }
    println!("a row of version 1 and one of version 2, both delivered as version 2");
    running.stop().await?;
    Ok(())
}
