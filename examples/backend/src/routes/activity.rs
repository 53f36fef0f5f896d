//! `/api/v1/activity-snapshots`

use serde::{Deserialize, Serialize};

use super::{Create, Route, Visit, create, list, read};
use crate::answer::Envelope;
use crate::rules::{self, Checked, Extra};
use crate::store::{Collection, Entity, Store, Stranger};

pub(super) const ROUTES: &[Route] = &[
    Route::user(
        "POST /api/v1/activity-snapshots",
        Envelope::Plain,
        create::<Snapshot>,
    ),
    Route::user(
        "GET /api/v1/activity-snapshots",
        Envelope::Plain,
        list::<Snapshot>,
    ),
    Route::user(
        "GET /api/v1/activity-snapshots/{id}",
        Envelope::Plain,
        read::<Snapshot>,
    ),
];

/// The activity of a day, as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Snapshot {
    id: String,
    user_id: String,
    #[serde(flatten)]
    content: Content,
    created_at: String,
}

/// The request body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    snapshot_time: String,
    active_calories: Option<f64>,
    basal_calories: Option<f64>,
    steps: Option<f64>,
    distance_meters: Option<f64>,
    source: Option<String>,
    source_sync_id: Option<String>,
    /// Further measurements.
    #[serde(flatten)]
    more: Extra,
}

impl Entity for Snapshot {
    const COLLECTION: &'static str = "activity-snapshots";
    const NOUN: &'static str = "activity snapshot";
    const STRANGER: Stranger = Stranger::NotFound;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        &mut store.snapshots
    }
}

impl Create for Snapshot {
    type Draft = Content;

    fn create(mut content: Content, id: String, visit: &Visit<'_>) -> Checked<Self> {
        rules::time("snapshot_time", &content.snapshot_time)?;
        rules::not_negative("active_calories", content.active_calories)?;
        rules::not_negative("basal_calories", content.basal_calories)?;
        rules::not_negative("steps", content.steps)?;
        rules::not_negative("distance_meters", content.distance_meters)?;
        // Callers cannot set the service's own fields.
        let own = ["id", "user_id", "created_at"];
        content.more.retain(|name, _| !own.contains(&name.as_str()));
        Ok(Self {
            id,
            user_id: visit.user.to_owned(),
            content,
            created_at: rules::seconds(visit.now),
        })
    }
}
